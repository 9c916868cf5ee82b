//! What was sent, attempt by attempt.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::watch, time::Instant};
use tower_webhooks_core::Text;

/// How many dispatches are remembered; the oldest are forgotten first.
pub(crate) const MAX_REMEMBERED: usize = 10_000;

/// One event on its way to one registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dispatch {
    /// Its id, `dsp_…`.
    pub id: String,
    /// The provider's name.
    pub provider: Text,
    /// The registration's id.
    pub registration: String,
    /// Where it goes.
    pub url: String,
    /// The event's type.
    pub event_type: Text,
    /// The event's id, where the provider has ids.
    pub event_id: Option<Text>,
    /// How it stands.
    pub state: State,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
}

/// How a dispatch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// Its registration was deleted or is not active: no more is sent.
    Cancelled,
    /// The receiver accepted it.
    Delivered,
    /// No attempt was accepted, and no more follow. That the event is then
    /// marked as failed is documented by Monterrey, and ours for the others.
    Failed,
    /// Further attempts follow.
    Pending,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// When it began, in RFC 3339.
    pub at: String,
    /// When it began, from the dispatch's beginning.
    #[serde(rename = "after_ms", serialize_with = "milliseconds")]
    pub after: Duration,
    /// How long it took.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Duration,
    /// Whether it was asked for by hand.
    pub by_hand: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// The beginning of its body, at most 4 KiB.
        body: String,
    },
    /// No connection, or none until the answer's end.
    Broken(String),
    /// Nothing was sent, and why not.
    NotSent(String),
    /// No whole answer within the deadline.
    TimedOut,
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Every dispatch that is remembered.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Mutex<VecDeque<Entry>>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Entry {
    dispatch: Dispatch,
    begun: Instant,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Ledger {
    pub(crate) fn add(&self, dispatch: Dispatch) {
        let mut entries = self.lock();
        if entries.len() == MAX_REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(Entry {
            dispatch,
            begun: Instant::now(),
        });
        drop(entries);
        self.changed.send_replace(());
    }

    pub(crate) fn list(&self) -> Vec<Dispatch> {
        let entries = self.lock();
        entries.iter().map(|entry| entry.dispatch.clone()).collect()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Dispatch> {
        let entries = self.lock();
        let entry = entries.iter().find(|entry| entry.dispatch.id == id)?;
        Some(entry.dispatch.clone())
    }

    /// The time since the dispatch's beginning.
    pub(crate) fn age(&self, id: &str) -> Duration {
        let entries = self.lock();
        let entry = entries.iter().find(|entry| entry.dispatch.id == id);
        entry.map_or(Duration::ZERO, |entry| entry.begun.elapsed())
    }

    /// Changes a dispatch that is still remembered.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Dispatch)) {
        if let Some(entry) = self.lock().iter_mut().find(|entry| entry.dispatch.id == id) {
            change(&mut entry.dispatch);
        }
        self.changed.send_replace(());
    }

    /// The dispatch as soon as it is as wanted; nothing if it is not known.
    pub(crate) async fn until(
        &self,
        id: &str,
        is_wanted: impl Fn(&Dispatch) -> bool,
    ) -> Option<Dispatch> {
        let mut changed = self.changed.subscribe();
        loop {
            let dispatch = self.find(id)?;
            if is_wanted(&dispatch) {
                return Some(dispatch);
            }
            changed.changed().await.ok()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
