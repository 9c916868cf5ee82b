//! Memory: counted, refused, given back.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use tower_webhooks_core::Text;

use super::events::{Entry, Match, State};
use crate::{
    Batch, EventSeq, EventState, Headers, InboxError, InboxErrorKind, JobState, NewEvent,
    StoredEvent,
};

/// What is held, and how much of it may be.
#[derive(Debug)]
pub(super) struct Room {
    max_bytes: usize,
    max_finished: usize,
    /// By event, what it counts for; only those with a body that is still there.
    held: BTreeMap<EventSeq, usize>,
    /// Bytes of events with unfinished jobs.
    live_bytes: usize,
    /// Bytes of the others.
    resting_bytes: usize,
    /// Events whose body goes when room is needed.
    resting: BTreeSet<EventSeq>,
    /// Events that may be forgotten, key and all.
    finished: BTreeSet<EventSeq>,
    /// Events whose reply is reserved and not recorded.
    undecided: BTreeSet<EventSeq>,
    pub(super) states: BTreeMap<EventState, u64>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024 * 1024,
            max_finished: 100_000,
            held: BTreeMap::new(),
            live_bytes: 0,
            resting_bytes: 0,
            resting: BTreeSet::new(),
            finished: BTreeSet::new(),
            undecided: BTreeSet::new(),
            states: BTreeMap::new(),
        }
    }
}

impl Room {
    pub(super) fn held_bytes(&self) -> usize {
        self.live_bytes + self.resting_bytes
    }

    pub(super) fn undecided(&self) -> usize {
        self.undecided.len()
    }

    pub(super) fn count_state(&mut self, state: EventState, more: bool) {
        let count = self.states.entry(state).or_default();
        *count = if more { *count + 1 } else { *count - 1 };
    }

    fn hold(&mut self, seq: EventSeq, bytes: usize, live: bool) {
        self.held.insert(seq, bytes);
        if live {
            self.live_bytes += bytes;
        } else {
            self.resting.insert(seq);
            self.resting_bytes += bytes;
        }
    }

    fn release(&mut self, seq: EventSeq) {
        if let Some(bytes) = self.held.remove(&seq) {
            if self.resting.remove(&seq) {
                self.resting_bytes -= bytes;
            } else {
                self.live_bytes -= bytes;
            }
        }
        self.finished.remove(&seq);
        self.undecided.remove(&seq);
    }
}

impl State {
    pub(super) fn set_max_bytes(&mut self, bytes: usize) {
        self.room.max_bytes = bytes;
    }

    pub(super) fn set_max_finished(&mut self, events: NonZeroUsize) {
        self.room.max_finished = events.get();
    }

    /// Refuses a batch whose new events do not fit, before any of it is done.
    pub(super) fn make_room(&mut self, batch: &Batch) -> Result<(), InboxError> {
        let events = || {
            let reserved = batch.reserves.iter().map(|reserve| &reserve.event);
            batch.inserts.iter().chain(reserved)
        };
        let free = self.room.max_bytes.saturating_sub(self.room.live_bytes);
        // The first look overestimates: it takes duplicates for new events.
        let fits = |bytes: usize| bytes <= free;
        if !fits(events().map(cost).sum())
            && !fits(events().filter(|event| self.is_new(event)).map(cost).sum())
        {
            return Err(InboxError::new(
                InboxErrorKind::Full,
                "unfinished events fill the memory set aside for them",
            ));
        }
        Ok(())
    }

    fn is_new(&self, event: &NewEvent) -> bool {
        let mut event = event.clone();
        let sha256 = event.hash_body();
        !matches!(self.find(&event, &sha256), Match::Duplicate { .. })
    }

    /// Counts an event anew after something about it has changed, and gives back
    /// what need not be held.
    pub(super) fn account(&mut self, seq: EventSeq) {
        let Some(entry) = self.events.get_mut(&seq) else {
            return;
        };
        self.room.release(seq);
        let live = entry.jobs.iter().any(|job| !job.is_finished());
        if !live && entry.is_done() {
            strip(&mut entry.event);
        }
        if entry.event.body.is_some() {
            let bytes = entry.event.weight_bytes() + OVERHEAD_BYTES;
            self.room.hold(seq, bytes, live);
        }
        if entry.is_undecided() {
            self.room.undecided.insert(seq);
        } else if !live {
            self.room.finished.insert(seq);
        }
    }

    /// Drops what was kept only while there was room. Called when a call is over,
    /// so that an event is never taken away half way through its own.
    pub(super) fn trim(&mut self) {
        while self.room.held_bytes() > self.room.max_bytes {
            let Some(seq) = self.room.resting.first().copied() else {
                break;
            };
            self.room.release(seq);
            if let Some(entry) = self.events.get_mut(&seq) {
                strip(&mut entry.event);
            }
            self.account(seq);
        }
        while self.room.finished.len() > self.room.max_finished {
            let Some(seq) = self.room.finished.first().copied() else {
                break;
            };
            self.forget(seq);
        }
    }

    /// Drops an event with its key and jobs.
    pub(super) fn forget(&mut self, seq: EventSeq) {
        self.room.release(seq);
        let Some(entry) = self.events.remove(&seq) else {
            return;
        };
        self.room.count_state(entry.event.state, false);
        self.unindex(&entry.event);
        if let Some(queues) = self.queues.get_mut(&entry.event.endpoint) {
            for job in &entry.jobs {
                if let Some(queue) = queues.get_mut(&job.handler) {
                    queue.forget(seq, job);
                }
            }
        }
    }
}

impl Entry {
    /// Whether a reply is reserved and not recorded.
    pub(super) fn is_undecided(&self) -> bool {
        self.reservation.is_some() && self.event.reply.is_none()
    }

    /// Whether all that was to be done with it is done.
    fn is_done(&self) -> bool {
        self.event.state == EventState::Routed
            && !self.is_undecided()
            && (self.event.reply.is_some() || !self.jobs.is_empty())
            && self.jobs.iter().all(|job| job.state() == JobState::Done)
    }
}

/// Takes body and headers away. Texts may share the body's memory, so they are
/// copied out of it.
pub(super) fn strip(event: &mut Arc<StoredEvent>) {
    if event.body.is_none() {
        return;
    }
    let own = |text: &Text| Text::from(text.as_str());
    let own_some = |text: &Option<Text>| text.as_ref().map(own);
    let stripped = StoredEvent {
        key: own(&event.key),
        endpoint: own(&event.endpoint),
        tenant: own_some(&event.tenant),
        id: own_some(&event.id),
        event_type: own_some(&event.event_type),
        ordering_key: own_some(&event.ordering_key),
        unusable: own_some(&event.unusable),
        secret_label: own_some(&event.secret_label),
        payload_label: own_some(&event.payload_label),
        headers: Headers::default(),
        body: None,
        ..StoredEvent::clone(event)
    };
    *event = Arc::new(stripped);
}

/// What an event counts for beside its headers and body: its record, its key,
/// its jobs.
const OVERHEAD_BYTES: usize = 512;

fn cost(event: &NewEvent) -> usize {
    event.weight_bytes().saturating_add(OVERHEAD_BYTES)
}
