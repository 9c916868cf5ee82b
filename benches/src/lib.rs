//! What receiving a webhook costs, beside code by hand.
//!
//! * [`event`] is what is sent, and the work that it asks for;
//! * [`hand`] is the handler that a careful team writes;
//! * [`mode`] mounts that handler, and this library in its forms, behind the same axum router;
//! * [`load`] sends signed requests into one of them;
//! * [`durable`] receives over HTTP and answers when the event is on the disk;
//! * [`shared`] works with an inbox in PostgreSQL, without HTTP.

pub mod durable;
pub mod event;
pub mod hand;
pub mod load;
pub mod mode;
pub mod shared;
