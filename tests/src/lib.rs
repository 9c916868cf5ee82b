//! What the tests from outside share: a provider of their own, both forms of
//! mounting it, an inbox that fails on demand, and a client that speaks bytes.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by a panic"
)]

mod acme;
mod answered;
mod faulty;
mod figures;
mod receiver;
mod wire;

pub use acme::{Acme, NO, SECRET, YES, acme, body};
pub use answered::{ACCEPTED, Answered, Form, ask, endless, refused, soon, turns};
pub use faulty::FaultyInbox;
pub use figures::Figures;
pub use receiver::{RECEIVERS, Receiver, disk_folder, openssl};
pub use wire::{Server, Wire, head_of};

/// The README's code, run as its readers will run it.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
