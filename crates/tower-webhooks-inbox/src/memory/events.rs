//! Events: matched against what is known, stored, routed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tower_webhooks_core::Text;

use super::{
    lines::line_of,
    queue::{Job, Queue},
    replies::Reservation,
    room::Room,
};
use crate::{
    Applied, Batch, EventSeq, EventState, InboxError, Inserted, NewEvent, Registration,
    StoredEvent, body_key, conflict_key, repeat_key, route, unsigned_key,
};

/// All that the inbox holds.
#[derive(Debug, Default)]
pub(super) struct State {
    last_seq: u64,
    last_token: u64,
    pub(super) events: BTreeMap<EventSeq, Entry>,
    scopes: HashMap<(Text, Option<Text>), Scope>,
    /// By endpoint, then handler.
    pub(super) queues: HashMap<Text, BTreeMap<Text, Queue>>,
    pub(super) room: Room,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) event: Arc<StoredEvent>,
    pub(super) jobs: Vec<Job>,
    pub(super) stored_at: Duration,
    pub(super) reservation: Option<Reservation>,
}

/// What is known of one tenant of one endpoint.
#[derive(Debug, Default)]
struct Scope {
    keys: HashMap<Text, EventSeq>,
    /// Of events that were not matched by a signed id and are no conflict.
    bodies: HashMap<[u8; 32], Known>,
}

/// The latest events with one body.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    usable: Option<(EventSeq, SystemTime)>,
    unusable: Option<(EventSeq, SystemTime)>,
}

/// What a new event is to those that are known.
pub(super) enum Match {
    Conflict { key: Text },
    Duplicate { seq: EventSeq, by_body: bool },
    New { key: Text },
}

impl State {
    pub(super) fn apply(&mut self, batch: Batch, now: Duration) -> Result<Applied, InboxError> {
        self.make_room(&batch)?;
        for registration in batch.registers {
            self.register(registration, now);
        }
        let mut applied = Applied::default();
        applied
            .inserts
            .extend(batch.inserts.into_iter().map(|one| self.insert(one, now)));
        applied
            .reserves
            .extend(batch.reserves.into_iter().map(|one| self.reserve(one, now)));
        applied
            .replies
            .extend(batch.replies.into_iter().map(|one| self.record(one)));
        applied
            .settles
            .extend(batch.settles.into_iter().map(|one| self.settle(one, now)));
        applied
            .extends
            .extend(batch.extends.iter().map(|one| self.extend(one, now)));
        if let Some(claim) = batch.claim {
            applied.claimed = self.claim(&claim, now);
        }
        self.trim();
        Ok(applied)
    }

    fn register(&mut self, registration: Registration, now: Duration) {
        let handler = registration.handler.clone();
        let queue = self
            .queues
            .entry(registration.endpoint.clone())
            .or_default()
            .entry(handler.clone())
            .or_default();
        for seq in queue.register(registration) {
            self.call(Some(seq), &handler, now);
        }
    }

    fn insert(&mut self, mut event: NewEvent, now: Duration) -> Inserted {
        let sha256 = event.hash_body();
        match self.find(&event, &sha256) {
            Match::Conflict { key } => Inserted::Conflict {
                seq: self.store(event, key, EventState::Conflict, now),
            },
            Match::Duplicate { seq, by_body } => {
                self.count_duplicate(seq, by_body);
                Inserted::Duplicate { seq }
            }
            Match::New { key } if event.unusable.is_some() => Inserted::Unusable {
                seq: self.store(event, key, EventState::Unusable, now),
            },
            Match::New { key } => {
                let seq = self.store(event, key, EventState::Routed, now);
                match self.route(seq, now) {
                    0 => {
                        self.set_state(seq, EventState::Unhandled);
                        Inserted::Unhandled { seq }
                    }
                    jobs => Inserted::New { seq, jobs },
                }
            }
        }
    }

    pub(super) fn find(&self, event: &NewEvent, sha256: &[u8; 32]) -> Match {
        let scope = (event.endpoint.clone(), event.tenant.clone());
        let scope = self.scopes.get(&scope);
        let known = scope
            .and_then(|scope| scope.bodies.get(sha256))
            .copied()
            .unwrap_or_default();
        let key_of = |key: &str| scope.and_then(|scope| scope.keys.get(key)).copied();

        let Some(mut key) = event.id_key() else {
            let candidate = match event.unusable {
                Some(_) => known.usable.max(known.unusable),
                None => known.usable,
            };
            if let Some(seq) = within_span(event, candidate) {
                return Match::Duplicate { seq, by_body: true };
            }
            let mut key = body_key(sha256);
            // Normally one step: the latest event of this body names the free key.
            let mut previous = known.usable.max(known.unusable).map(|(seq, _)| seq);
            while let Some(seq) = key_of(&key) {
                key = repeat_key(sha256, previous.take().unwrap_or(seq));
            }
            return Match::New { key };
        };
        if let Some(seq) = key_of(&key) {
            let by_body = false;
            if self.has_body(seq, sha256) {
                return Match::Duplicate { seq, by_body };
            }
            let id = event.id.as_deref().unwrap_or_default();
            let apart = if event.id_signed {
                conflict_key(id, sha256)
            } else {
                unsigned_key(id, sha256)
            };
            if let Some(seq) = key_of(&apart) {
                return Match::Duplicate { seq, by_body };
            }
            if event.id_signed {
                return Match::Conflict { key: apart };
            }
            key = apart;
        }
        if !event.id_signed
            && let Some(seq) = within_span(event, known.usable)
        {
            return Match::Duplicate { seq, by_body: true };
        }
        Match::New { key }
    }

    pub(super) fn has_body(&self, seq: EventSeq, sha256: &[u8; 32]) -> bool {
        self.events
            .get(&seq)
            .is_some_and(|known| known.event.body_sha256 == *sha256)
    }

    /// The event of this one's endpoint and tenant that has this key.
    pub(super) fn keyed(&self, event: &StoredEvent, key: &str) -> Option<EventSeq> {
        let scope = (event.endpoint.clone(), event.tenant.clone());
        self.scopes.get(&scope)?.keys.get(key).copied()
    }

    pub(super) fn count_duplicate(&mut self, seq: EventSeq, by_body: bool) {
        if by_body && let Some(entry) = self.events.get_mut(&seq) {
            let event = Arc::make_mut(&mut entry.event);
            event.suppressed = event.suppressed.saturating_add(1);
        }
    }

    /// Keeps the event, without jobs yet.
    pub(super) fn store(
        &mut self,
        event: NewEvent,
        key: Text,
        state: EventState,
        now: Duration,
    ) -> EventSeq {
        self.last_seq += 1;
        let seq = EventSeq(self.last_seq);
        // Copied out of the buffer that they may share with the whole connection:
        // what is kept is what is counted.
        let key = Text::from(key.as_str());
        let mut event = event;
        event.body = Bytes::copy_from_slice(&event.body);
        event.id = event.id.map(|id| Text::from(id.as_str()));
        event.event_type = event.event_type.map(|name| Text::from(name.as_str()));
        event.ordering_key = event.ordering_key.map(|key| Text::from(key.as_str()));
        let event = Arc::new(StoredEvent::new(seq, key, state, event));
        self.events.insert(
            seq,
            Entry {
                event,
                jobs: Vec::new(),
                stored_at: now,
                reservation: None,
            },
        );
        self.index(seq);
        self.room.count_state(state, true);
        self.account(seq);
        seq
    }

    /// Makes the jobs of an event, for the handlers that have none; returns how many.
    pub(super) fn route(&mut self, seq: EventSeq, now: Duration) -> u32 {
        let Some(entry) = self.events.get_mut(&seq) else {
            return 0;
        };
        let Some(queues) = self.queues.get_mut(&entry.event.endpoint) else {
            return 0;
        };
        let mut made = 0;
        for handler in routed(queues, &entry.event) {
            if entry.jobs.iter().any(|job| job.handler == *handler) {
                continue;
            }
            if let Some(queue) = queues.get_mut(&handler) {
                let line = line_of(&entry.event);
                entry.jobs.push(queue.add(seq, handler, line, now));
                made += 1;
            }
        }
        self.account(seq);
        made
    }

    pub(super) fn set_state(&mut self, seq: EventSeq, state: EventState) {
        if let Some(entry) = self.events.get_mut(&seq) {
            self.room.count_state(entry.event.state, false);
            self.room.count_state(state, true);
            Arc::make_mut(&mut entry.event).state = state;
        }
    }

    /// Greater than every token before it.
    pub(super) fn token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }

    /// Makes the event findable by its key, and by its body where that matters.
    pub(super) fn index(&mut self, seq: EventSeq) {
        let Some(entry) = self.events.get(&seq) else {
            return;
        };
        let event = &entry.event;
        let scope = self
            .scopes
            .entry((event.endpoint.clone(), event.tenant.clone()))
            .or_default();
        scope.keys.insert(event.key.clone(), seq);
        if matched_by_body(event) {
            let known = scope.bodies.entry(event.body_sha256).or_default();
            let latest = match event.unusable {
                Some(_) => &mut known.unusable,
                None => &mut known.usable,
            };
            *latest = (*latest).max(Some((seq, event.received_at)));
        }
    }

    /// Undoes [`index`](Self::index).
    pub(super) fn unindex(&mut self, event: &StoredEvent) {
        let name = (event.endpoint.clone(), event.tenant.clone());
        let Some(scope) = self.scopes.get_mut(&name) else {
            return;
        };
        scope.keys.remove(&event.key);
        if let Some(known) = scope.bodies.get_mut(&event.body_sha256) {
            let is_it = |latest: &mut (EventSeq, SystemTime)| latest.0 == event.seq;
            known.usable.take_if(is_it);
            known.unusable.take_if(is_it);
            if known.usable.is_none() && known.unusable.is_none() {
                scope.bodies.remove(&event.body_sha256);
            }
        }
        if scope.keys.is_empty() {
            self.scopes.remove(&name);
        }
    }
}

/// The handlers that this event is for, as registered now.
pub(super) fn routed(queues: &BTreeMap<Text, Queue>, event: &StoredEvent) -> Vec<Text> {
    let registrations = queues
        .values()
        .filter_map(|queue| queue.registration.as_ref());
    route(registrations, event.event_type.as_deref())
        .cloned()
        .collect()
}

fn matched_by_body(event: &StoredEvent) -> bool {
    event.state != EventState::Conflict
        && (event.id.is_none() || event.unusable.is_some() || !event.id_signed)
}

fn within_span(event: &NewEvent, earlier: Option<(EventSeq, SystemTime)>) -> Option<EventSeq> {
    let (seq, received_at) = earlier?;
    match event.received_at.duration_since(received_at) {
        Ok(age) if age > event.dedup_span => None,
        // Received "before" the earlier one: two clocks, or one set back.
        Ok(_) | Err(_) => Some(seq),
    }
}
