//! What the tests from outside share: a provider of their own, both forms of
//! mounting it, inboxes that fail or end their process on demand, receivers to be
//! ended and started again, and a client that speaks bytes.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by a panic"
)]

mod acme;
mod answered;
pub mod books;
mod fail_point;
#[cfg(target_os = "linux")]
mod failing_disk;
mod faulty;
mod figures;
#[cfg(feature = "fleet")]
pub mod fleet;
mod posted;
mod receiver;
mod schema;
mod shop;
mod trade;
mod wire;

pub use acme::{Acme, NO, SECRET, YES, acme, body};
pub use answered::{ACCEPTED, Answered, Form, ask, endless, refused, soon, turns};
pub use fail_point::{AbortingInbox, FailPoint};
#[cfg(target_os = "linux")]
pub use failing_disk::{FailingDisk, Fault, FaultSwitch};
pub use faulty::FaultyInbox;
pub use figures::Figures;
pub use posted::{Posted, Seen};
pub use receiver::{
    RECEIVERS, Receiver, disk_folder, openssl, receiver_program, webhooks, webhooks_program,
};
pub use schema::Schema;
pub use shop::{Load, Shop};
pub use trade::{AUTHORIZATIONS, KILLING_ATTEMPTS, ORDERS, SETTLEMENTS, Trade, number_of};
pub use wire::{Server, Wire, head_of};

/// The README's code, run as its readers will run it.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
