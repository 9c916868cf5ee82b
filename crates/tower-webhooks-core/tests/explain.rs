//! The true cause of failures that were prepared by changing one thing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by a panic"
)]

#[path = "explain/attempt.rs"]
mod attempt;
#[path = "explain/failures.rs"]
mod failures;
#[path = "explain/properties.rs"]
mod properties;
#[path = "explain/unproven.rs"]
mod unproven;
