//! Which handler runs for which event.
//!
//! A handler is an async function or closure; each of its arguments is taken
//! from the [`Job`](crate::Job) by [`FromJob`](crate::FromJob). In any order
//! and up to eight of them: [`Event<T>`](crate::Event), `Delivery`, `Attempt`,
//! `Job`, axum's `State<T>` and `Extension<T>`, and whatever else implements
//! the trait.
//!
//! ```
//! use std::{num::NonZeroUsize, sync::Arc, time::Duration};
//! use axum::extract::State;
//! use tower_webhooks::{Attempt, Event, EventRouter, EventType, Handler, HandlerError, Retry};
//!
//! #[derive(serde::Deserialize, EventType)]
//! #[event("transfer.settled")]
//! struct TransferSettled { amount: String }
//!
//! #[derive(serde::Deserialize)]
//! struct LowBalance { account: String }
//!
//! #[derive(Clone)]
//! struct Ledger(Arc<str>);
//!
//! async fn settled(State(ledger): State<Ledger>, event: Event<TransferSettled>) -> Result<(), HandlerError> {
//!     println!("{}: {} settled, once per {}", ledger.0, event.data.amount, event.id());
//!     Ok(())
//! }
//!
//! async fn low_balance(attempt: Attempt, event: Event<LowBalance>) {
//!     println!("{} is low (try {})", event.data.account, attempt.number);
//! }
//!
//! let events = EventRouter::new()
//!     .on_event(settled)                       // the payload type names its event
//!     .on(
//!         "balance.*",
//!         low_balance
//!             .named("top-up")                 // durable: the pattern may change later
//!             .timeout(Duration::from_secs(20))
//!             .retry(Retry::exponential())
//!             .concurrency(NonZeroUsize::MIN),
//!     )
//!     .fallback(|job: tower_webhooks::Job| async move {
//!         println!("nobody handles {}", job.event_id());
//!     })
//!     .with_state(Ledger("main".into()));
//!
//! assert_eq!(events.event_types(), ["transfer.settled", "balance.*"]);
//! ```
//!
//! # Which handlers run
//!
//! A pattern is one exact type, `a.*` for every type that begins with `a.`, or
//! `*` for all. *Every* handler whose pattern matches gets a job of its own;
//! [`fallback`](crate::EventRouter::fallback) handlers only where none matched. Jobs
//! are independent: one that is done does not run again because another
//! failed. What nothing matches is stored as unhandled and can be replayed.
//!
//! # Names last
//!
//! The inbox keeps jobs under the handler's durable name: its pattern, unless
//! [`named`](crate::Handler::named) says otherwise. Renaming a handler orphans the
//! jobs that wait for the old name; give a name before changing a pattern.
//!
//! # Order
//!
//! Jobs run when they are due, side by side. A handler registered as
//! [`in_order`](crate::Handler::in_order) takes those of one account, or of
//! whatever else the provider's ordering key is, one after another; see
//! [ordering](crate::guide::ordering).
//!
//! # Replies
//!
//! Where the provider waits for a decision (a card authorization), a *reply
//! handler* makes it within a time budget, and a default answers for it when
//! it fails or is late. The type system asks for the default:
//!
//! ```
//! use std::time::Duration;
//! use axum::Json;
//! use serde_json::json;
//! use tower_webhooks::{Decide, Event, EventRouter, HandlerError};
//!
//! #[derive(serde::Deserialize)]
//! struct Authorization { amount_cents: u64 }
//!
//! let decide = |event: Event<Authorization>| async move {
//!     let code = if event.data.amount_cents < 10_000 { "00" } else { "05" };
//!     Ok::<_, HandlerError>(Json(json!({ "code": code })))
//! };
//! let events = EventRouter::new().reply(
//!     "cards.authorization.*",
//!     decide
//!         .or_default(Json(json!({ "code": "05" })))
//!         .within(Duration::from_millis(800)),
//! );
//! # let _: EventRouter = events;
//! ```

mod configured;
pub(crate) mod event_router;
pub(crate) mod handler;
mod names;
pub(crate) mod reply;
mod routes;

#[cfg(test)]
mod tests;

pub use configured::{Configured, HandlerSettings};
pub use names::{NamesEvent, Position};
pub use reply::ReplyHandler;
pub use routes::{SetupProblem, SetupProblems};

pub(crate) use routes::{ReplyRoute, Route, Routes};
