//! What people do with an inbox: look, replay, prune, erase.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tower_webhooks_core::Text;

use super::{EventSeq, EventState, JobKey, JobRecord, JobState, Pattern, StoredEvent, typed_hash};

/// Chooses events: those for which every field that is set holds. The default
/// chooses all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// This event only.
    pub seq: Option<EventSeq>,
    /// Of this endpoint.
    pub endpoint: Option<Text>,
    /// Of this tenant.
    pub tenant: Option<Text>,
    /// With this id of the provider's.
    pub id: Option<Text>,
    /// Of these types. An event without a type is only in `*`.
    pub event_type: Option<Pattern>,
    /// In this state.
    pub state: Option<EventState>,
    /// With a job of this handler.
    pub handler: Option<Text>,
    /// With a job in this state; of that handler, if one is named too.
    pub job_state: Option<JobState>,
    /// Received then or later.
    pub received_from: Option<SystemTime>,
    /// Received before then.
    pub received_until: Option<SystemTime>,
    /// Only events that later deliveries with an equal body were taken for.
    pub suppressed: bool,
}

impl Filter {
    /// Whether all that is said about the event itself holds.
    #[must_use]
    pub fn matches_event(&self, event: &StoredEvent) -> bool {
        self.seq.is_none_or(|seq| seq == event.seq)
            && same(self.endpoint.as_ref(), Some(&event.endpoint))
            && same(self.tenant.as_ref(), event.tenant.as_ref())
            && same(self.id.as_ref(), event.id.as_ref())
            && self.event_type.as_ref().is_none_or(|pattern| {
                pattern.matches(event.event_type.as_deref().unwrap_or_default())
            })
            && self.state.is_none_or(|state| state == event.state)
            && self
                .received_from
                .is_none_or(|from| event.received_at >= from)
            && self
                .received_until
                .is_none_or(|until| event.received_at < until)
            && (!self.suppressed || event.suppressed > 0)
    }

    /// Whether all that is said about jobs holds for this one.
    #[must_use]
    pub fn matches_job(&self, handler: &str, state: JobState) -> bool {
        self.handler.as_ref().is_none_or(|name| name == handler)
            && self.job_state.is_none_or(|wanted| wanted == state)
    }

    /// Whether anything is said about jobs.
    #[must_use]
    pub fn names_jobs(&self) -> bool {
        self.handler.is_some() || self.job_state.is_some()
    }
}

/// A piece of a long list, in the order of the events' numbers.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Begin after this event. Default: at the first.
    pub after: Option<EventSeq>,
    /// At most this many events. Default 100.
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            after: None,
            limit: 100,
        }
    }
}

/// One page of events.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The events. A store may leave out their bodies and headers.
    pub events: Vec<EventRecord>,
    /// Where the next page begins, if there is more.
    pub next: Option<EventSeq>,
}

/// An event with all its jobs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EventRecord {
    /// The event.
    pub event: Arc<StoredEvent>,
    /// Its jobs, by the handlers' names.
    pub jobs: Vec<JobRecord>,
}

impl EventRecord {
    /// An event with its jobs.
    #[must_use]
    pub fn new(event: Arc<StoredEvent>, jobs: Vec<JobRecord>) -> Self {
        Self { event, jobs }
    }
}

/// What to replay.
///
/// Of the events chosen, dead jobs run again and pending ones at once; running
/// ones are left alone. Events that have no job by their state (unhandled,
/// conflict, unusable) are routed over the handlers registered now.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Which events, and which of their jobs. A handler named here limits the
    /// jobs, and so also finds events for which it has none yet.
    pub filter: Filter,
    /// Whether jobs that are done run again too. Default no: what is done is done.
    pub done: bool,
    /// Whether handlers registered since get jobs for events that were routed
    /// before they came. Default no.
    pub backfill: bool,
    /// Whether to only say what would run. Default no.
    pub dry_run: bool,
    /// What unusable events turned out to be. Those without a reading stay.
    pub readings: Vec<Reading>,
    /// How many events to take at once, and from where.
    pub page: Page,
}

/// What an unusable event says, now that it could be read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reading {
    /// The event.
    pub seq: EventSeq,
    /// Its type.
    pub event_type: Option<Text>,
    /// Whether the signature covers the type; see
    /// [`NewEvent::type_signed`](super::NewEvent::type_signed). Default `true`.
    pub type_signed: bool,
    /// Its id. If an event with that id is known, this one becomes a conflict
    /// and runs only when it is replayed as such; one whose id is not signed only
    /// where it is known with this body.
    pub id: Option<Text>,
    /// When the provider says it happened.
    pub occurred_at: Option<SystemTime>,
    /// What its handlers may order their jobs by. Its place among them is that of
    /// its number, behind those that have begun.
    pub ordering_key: Option<Text>,
}

impl Reading {
    /// A reading of this event that says nothing yet.
    #[must_use]
    pub fn new(seq: EventSeq) -> Self {
        Self {
            seq,
            event_type: None,
            type_signed: true,
            id: None,
            occurred_at: None,
            ordering_key: None,
        }
    }

    /// What stands for the event's body now that its type is known: a redelivery
    /// brings the same.
    #[must_use]
    pub fn hash_of(&self, event: &StoredEvent) -> [u8; 32] {
        let names_type = !self.type_signed && (self.id.is_none() || !event.id_signed);
        match &self.event_type {
            Some(event_type) if names_type => typed_hash(&event.body_sha256, event_type),
            Some(_) | None => event.body_sha256,
        }
    }
}

/// What a replay did, or would do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Replayed {
    /// Jobs that run again, or for the first time.
    pub runs: Vec<JobKey>,
    /// Jobs left alone because they are done.
    pub done: Vec<JobKey>,
    /// Events whose body is pruned or erased: they cannot run.
    pub gone: Vec<EventSeq>,
    /// Unusable events that came without a reading.
    pub unread: Vec<EventSeq>,
    /// Where the next page begins, if there is more.
    pub next: Option<EventSeq>,
}

/// How long to keep what is finished, since it was stored.
///
/// What is unfinished, dead or unusable is kept for ever, unless erased. A reply that is
/// reserved and that nobody decided is finished once its hold is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Bodies and headers. Default 30 days: after that an event cannot be replayed.
    pub bodies: Duration,
    /// The event with its key. Default 90 days. **It must outlive the provider's
    /// longest retry or manual redelivery**: a delivery that comes after its key
    /// has gone is a new event, and its handlers run, and pay, again.
    pub keys: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            bodies: DAY * 30,
            keys: DAY * 90,
        }
    }
}

/// What a pruning step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Events whose body and headers went.
    pub bodies: usize,
    /// Events that went with their key.
    pub keys: usize,
    /// Whether the step ended at its limit: there may be more.
    pub more: bool,
}

/// What to erase on request, such as a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erase {
    /// One event.
    Event(EventSeq),
    /// Everything of one tenant.
    Tenant {
        /// The endpoint.
        endpoint: Text,
        /// The tenant.
        tenant: Text,
    },
}

/// A handler that is taken out for good: its program has it no more, or under
/// another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retire {
    /// The endpoint.
    pub endpoint: Text,
    /// The handler's durable name.
    pub handler: Text,
    /// Whether also a handler goes that a worker asked for within the last minute.
    /// It is back as soon as a process that has it starts.
    pub force: bool,
}

impl Retire {
    /// Whether a worker seems to have the handler still, which it asked for so
    /// long ago.
    #[must_use]
    pub fn refuses(&self, unasked: Option<Duration>) -> bool {
        !self.force && unasked.is_some_and(|unasked| unasked < ORPHANED_AFTER)
    }
}

/// What a step of retiring a handler did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retired {
    /// A worker asked for the handler so long ago, and so nothing was done.
    pub asked: Option<Duration>,
    /// Whether it was registered until now. It gets no jobs from here on.
    pub registered: bool,
    /// How many of its jobs were deleted: those pending, running or dead. What is
    /// done stays as the history of its event.
    pub jobs: usize,
    /// How many events have no job left. They are unhandled now, so that a replay
    /// gives them to whoever is registered.
    pub unhandled: usize,
    /// Whether the step ended at its limit: there may be more.
    pub more: bool,
}

/// Whether a store keeps what it says it has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Durability {
    /// Whether an event survives a crash of the process and of the machine once
    /// its insert has returned.
    pub durable: bool,
    /// The settings this follows from, as read back from the store.
    pub description: Text,
    /// How long to wait for a commit before the sender is told to come again. Default
    /// 5 s, so that a disk that is busy for a while is waited for.
    pub answers_within: Duration,
}

impl Durability {
    /// Whether events survive, and by which settings.
    #[must_use]
    pub fn new(durable: bool, description: impl Into<Text>) -> Self {
        let description = description.into();
        Self {
            durable,
            description,
            answers_within: Duration::from_secs(5),
        }
    }

    /// Replaces how long to wait for a commit: a store whose server may vanish says
    /// less.
    #[must_use]
    pub fn with_answers_within(mut self, limit: Duration) -> Self {
        self.answers_within = limit;
        self
    }
}

/// Counts, for metrics and monitors.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// How many events are in each state; states without one may be missing.
    pub events: BTreeMap<EventState, u64>,
    /// Each handler that is registered or has jobs.
    pub handlers: Vec<HandlerStats>,
    /// How long the oldest pending job's event has been in the inbox, also where the
    /// job waits for its next attempt.
    pub oldest_pending: Option<Duration>,
    /// How long ago the last event was stored, by the store's clock: what pruning reckons
    /// by. `None` where there is no event.
    pub newest_event: Option<Duration>,
    /// Reserved replies that nobody has recorded.
    pub undecided: u64,
    /// The bytes of bodies and headers held.
    pub held_bytes: u64,
}

impl Stats {
    /// How many jobs of all handlers are in this state.
    #[must_use]
    pub fn jobs(&self, state: JobState) -> u64 {
        self.handlers
            .iter()
            .map(|handler| match state {
                JobState::Dead => handler.dead,
                JobState::Done => handler.done,
                JobState::Pending => handler.pending,
                JobState::Running => handler.running,
            })
            .sum()
    }

    /// How many jobs of all handlers are [orphaned](HandlerStats::orphaned).
    #[must_use]
    pub fn orphaned(&self) -> u64 {
        self.handlers.iter().map(HandlerStats::orphaned).sum()
    }
}

/// One handler's jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerStats {
    /// The endpoint.
    pub endpoint: Text,
    /// The handler's durable name.
    pub handler: Text,
    /// Jobs waiting until they are due.
    pub pending: u64,
    /// Jobs leased.
    pub running: u64,
    /// Jobs done.
    pub done: u64,
    /// Jobs dead.
    pub dead: u64,
    /// How long since a worker last asked for its jobs, with free slots or
    /// without; `None` if none ever did.
    pub unasked: Option<Duration>,
}

impl HandlerStats {
    /// A handler without jobs that nobody has asked for.
    #[must_use]
    pub fn new(endpoint: impl Into<Text>, handler: impl Into<Text>) -> Self {
        Self {
            endpoint: endpoint.into(),
            handler: handler.into(),
            pending: 0,
            running: 0,
            done: 0,
            dead: 0,
            unasked: None,
        }
    }

    /// How many pending jobs nobody will run: all of them, if no worker has asked
    /// for a minute. Its name was changed, its worker does not run, or it was
    /// taken out of the program.
    ///
    /// A worker asks every second; the minute is for a restart, whose drain takes
    /// 20 to 30 s.
    #[must_use]
    pub fn orphaned(&self) -> u64 {
        match self.unasked {
            Some(unasked) if unasked < ORPHANED_AFTER => 0,
            Some(_) | None => self.pending,
        }
    }
}

const ORPHANED_AFTER: Duration = Duration::from_secs(60);

fn same(wanted: Option<&Text>, found: Option<&Text>) -> bool {
    wanted.is_none() || wanted == found
}
