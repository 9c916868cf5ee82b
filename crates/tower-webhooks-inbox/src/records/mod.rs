//! What goes into an inbox and what comes out.
//!
//! * `event` is one event, new and stored; `key` is what makes two the same.
//! * `pattern` and `route` decide which handlers get a job.
//! * `job` is one event for one handler: claimed, extended, settled.
//! * `reply` is an answer that a reply handler decided, and its reservation.
//! * `batch` puts them into one transaction.
//! * `text` is how stores write states and headers.
//! * `operate` is what people do: look, replay, prune, erase.

mod batch;
mod event;
mod job;
mod key;
mod operate;
mod pattern;
mod reply;
mod route;
mod text;

pub use batch::{Applied, Batch, Inserted};
pub use event::{EventSeq, EventState, Headers, NewEvent, StoredEvent, typed_hash};
pub use job::{
    Claim, Extend, JobKey, JobRecord, JobState, Leased, Settle, SettleResult, Settlement, Want,
    Work, put_off,
};
pub(crate) use key::id_key;
pub use key::{body_key, conflict_key, repeat_key, unsigned_key};
pub use operate::{
    Durability, Erase, EventRecord, Filter, HandlerStats, Listing, Page, Pruned, Reading, Replayed,
    Retention, Retire, Retired, Selection, Stats,
};
pub use pattern::{Pattern, PatternError};
pub use reply::{DecidedBy, RecordReply, Recorded, RecordedReply, Reply, Reserve, Reserved};
pub use route::{Ordering, Registration, route};
pub use text::{headers_from_json, headers_to_json};
