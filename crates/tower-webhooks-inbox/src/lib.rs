//! The inbox of tower-webhooks: where an event is durable before its sender
//! hears 200, and where its handlers' jobs wait until each is done.
//!
//! * [`Inbox`] is the store's side: one hot method, [`apply`](Inbox::apply), one
//!   transaction. Its documentation says which mistake costs money.
//! * [`Committer`] is the callers' side: it gathers what waits into one batch, so
//!   that many events share one commit.
//! * [`MemoryInbox`] keeps everything in memory, for tests and trying out.
//! * [`conformance`] is the suite that every store passes, yours too.
//!
//! ```
//! use std::{sync::Arc, time::{Duration, SystemTime}};
//! use tower_webhooks_inbox::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), InboxError> {
//! let inbox = Committer::start(Arc::new(MemoryInbox::new()), CommitterOptions::new());
//! inbox
//!     .register(vec![Registration {
//!         endpoint: "shop".into(),
//!         handler: "ship".into(),
//!         pattern: Pattern::all(),
//!         fallback: false,
//!         ordering: Ordering::None,
//!     }])?
//!     .await?;
//!
//! // The receiver's side: once this is answered, the event is in.
//! let mut event = NewEvent::new("shop", "{}", SystemTime::now());
//! event.id = Some("evt_1".into());
//! let stored = inbox.insert(event.clone(), ())?.await?;
//! assert!(matches!(stored, Inserted::New { jobs: 1, .. }));
//! assert_eq!(inbox.insert(event, ())?.await?, Inserted::Duplicate { seq: stored.seq() });
//!
//! // The worker's side: claim, run, settle.
//! let claim = Claim {
//!     worker: "worker-1".into(),
//!     wants: vec![Want { endpoint: "shop".into(), handler: "ship".into(), free: 8 }],
//!     lease: Duration::from_secs(30),
//! };
//! let job = inbox.work(vec![], vec![], Some(claim))?.await?.claimed.remove(0);
//! assert_eq!(job.attempt, 1);
//! let done = Settle { key: job.key(), token: job.token, outcome: Settlement::Done, work: None };
//! let worked = inbox.work(vec![done], vec![], None)?.await?;
//! assert_eq!(worked.settles, [SettleResult::Settled]);
//! # Ok(())
//! # }
//! ```

mod committer;
pub mod conformance;
mod error;
mod inbox;
mod memory;
mod records;

pub use committer::{Committer, CommitterOptions, Pending, Wakeups, Worked};
pub use error::{InboxError, InboxErrorKind};
pub use inbox::{BoxFuture, Inbox};
pub use memory::MemoryInbox;
pub use records::{
    Applied, Batch, Claim, DecidedBy, Durability, Erase, EventRecord, EventSeq, EventState, Extend,
    Filter, HandlerStats, Headers, Inserted, JobKey, JobRecord, JobState, Leased, Listing,
    NewEvent, Ordering, Page, Pattern, PatternError, Pruned, Reading, RecordReply, Recorded,
    RecordedReply, Registration, Replayed, Reply, Reserve, Reserved, Retention, Retire, Retired,
    Selection, Settle, SettleResult, Settlement, Stats, StoredEvent, Want, Work, body_key,
    conflict_key, headers_from_json, headers_to_json, put_off, repeat_key, route, typed_hash,
    unsigned_key,
};
