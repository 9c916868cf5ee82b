//! Runs handlers: claims due jobs from the inbox, runs each in a task of its
//! own, and settles how it ended.
//!
//! [`Webhooks::start`](crate::Webhooks::start) starts one. Alone it serves a
//! process that only handles what another process receives into the same
//! inbox:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tower_webhooks::{EventRouter, Job, Worker, providers, worker::HandledEndpoint};
//! use tower_webhooks_inbox::{Committer, CommitterOptions, Inbox, MemoryInbox};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let events = EventRouter::new().on("order.*", |job: Job| async move {
//!     println!("handled {}", job.event_id());
//! });
//! let inbox: Arc<dyn Inbox> = Arc::new(MemoryInbox::new());
//! let committer = Committer::start(inbox.clone(), CommitterOptions::new());
//! let shop = HandledEndpoint::new("shop", providers::monterrey(), events)?;
//!
//! let worker = Worker::new(committer, inbox, [shop])?
//!     .on_dead(|job| eprintln!("{} gave up on {}: {}", job.handler, job.event_id, job.error))
//!     .spawn()
//!     .await?;
//! let report = worker.drain(Duration::from_secs(20)).await;
//! assert_eq!(report.released, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! * A handler that panics, hangs, fails or fills its slots leaves the others
//!   alone. A time-out drops a handler at its next `await`; one that blocks
//!   its thread cannot be stopped and keeps its slot.
//! * At least once: a job is done when the inbox says so, not when the handler
//!   returned. A process that dies in between runs the handler again.
//! * Leases are extended while a handler runs. A worker that cannot extend one
//!   stops the handler *before* the lease ends, so that no two run at once.
//! * An attempt counts when it is claimed: a handler that kills its process
//!   runs out of attempts like any other.
//!
//! # Metrics
//!
//! | name | labels | |
//! |---|---|---|
//! | `webhooks_attempts_total` | `endpoint`, `handler`, `outcome` | `done`, `retry`, `dead`, `panic`, `timeout`; `lost` when another worker has the job |
//! | `webhooks_dead_total` | `endpoint`, `handler` | jobs that ended dead |
//! | `webhooks_handler_seconds` | `endpoint`, `handler` | how long an attempt took |
//! | `webhooks_jobs_pending` | `endpoint`, `handler` | every 5 s |
//! | `webhooks_jobs_orphaned` | `endpoint`, `handler` | pending ones of a handler that no worker has asked for in a minute; every 5 s |
//! | `webhooks_oldest_pending_seconds` | | every 5 s |
//!
//! Install the recorder before the worker: it looks its metrics up once.

mod attempt;
pub(crate) mod builder;
pub(crate) mod handle;
pub(crate) mod hooks;
mod lanes;
mod leases;
mod meters;
mod pump;
#[cfg(test)]
mod tests;
mod trip;

use builder::{Options, Worker};
pub use handle::WorkerHandle;
pub use lanes::HandledEndpoint;
