//! What people do: look, replay, prune, erase.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use tower_webhooks_core::Text;

use super::{
    events::{Entry, State, routed},
    lines::line_of,
    room::strip,
};
use crate::{
    Erase, EventRecord, EventSeq, EventState, Filter, HandlerStats, JobKey, JobState, Listing,
    Page, Pruned, Reading, Replayed, Retention, Selection, Stats, StoredEvent, conflict_key,
    unsigned_key,
};

impl State {
    pub(super) fn get(&self, seq: EventSeq, now: Duration) -> Option<EventRecord> {
        self.events.get(&seq).map(|entry| entry.record(now))
    }

    pub(super) fn list(&self, filter: &Filter, page: Page, now: Duration) -> Listing {
        let (chosen, next) = self.choose(page, |entry| {
            filter.matches_event(&entry.event) && (!filter.names_jobs() || entry.has_job(filter))
        });
        Listing {
            events: chosen
                .into_iter()
                .filter_map(|seq| self.get(seq, now))
                .collect(),
            next,
        }
    }

    pub(super) fn stats(&self, now: Duration) -> Stats {
        let queues = || self.queues.values().flat_map(BTreeMap::values);
        let oldest = queues().filter_map(|queue| queue.oldest_pending()).min();
        let mut stats = Stats {
            events: self.room.states.clone(),
            oldest_pending: oldest
                .and_then(|seq| self.events.get(&seq))
                .map(|entry| now.saturating_sub(entry.stored_at)),
            newest_event: self
                .events
                .values()
                .next_back()
                .map(|entry| now.saturating_sub(entry.stored_at)),
            undecided: count(self.room.undecided()),
            held_bytes: count(self.room.held_bytes()),
            ..Stats::default()
        };
        for (endpoint, queues) in &self.queues {
            for (handler, queue) in queues {
                stats.handlers.push(HandlerStats {
                    endpoint: endpoint.clone(),
                    handler: handler.clone(),
                    pending: count(queue.pending()),
                    running: count(queue.running()),
                    done: queue.done,
                    dead: queue.dead,
                    unasked: queue.asked_at.map(|at| now.saturating_sub(at)),
                });
            }
        }
        stats
    }

    pub(super) fn replay(&mut self, selection: &Selection, now: Duration) -> Replayed {
        let filter = &selection.filter;
        let (chosen, next) = self.choose(selection.page, |entry| {
            filter.matches_event(&entry.event)
                && (filter.job_state.is_none() || entry.has_job(filter))
        });
        let mut replayed = Replayed {
            next,
            ..Replayed::default()
        };
        for seq in chosen {
            self.replay_event(seq, selection, now, &mut replayed);
        }
        self.trim();
        replayed
    }

    fn replay_event(
        &mut self,
        seq: EventSeq,
        selection: &Selection,
        now: Duration,
        replayed: &mut Replayed,
    ) {
        let Some(entry) = self.events.get(&seq) else {
            return;
        };
        if entry.event.body.is_none() {
            let finished = entry
                .jobs
                .iter()
                .filter(|job| job.state() == JobState::Done);
            replayed
                .done
                .extend(finished.map(|job| key(seq, &job.handler)));
            replayed.gone.push(seq);
            return;
        }
        let reading = selection.readings.iter().find(|one| one.seq == seq);
        if entry.event.state == EventState::Unusable && reading.is_none() {
            replayed.unread.push(seq);
            return;
        }
        let read = reading
            .filter(|_| entry.event.state == EventState::Unusable)
            .map(|reading| self.read(&entry.event, reading));
        let event = read.as_ref().unwrap_or(&entry.event);
        if read.is_some() && event.state == EventState::Conflict {
            if !selection.dry_run {
                self.replace(seq, event.clone());
            }
            return;
        }

        let mut again = Vec::new();
        for job in &entry.jobs {
            if !selection.filter.matches_job(&job.handler, job.state()) {
                continue;
            }
            match job.state() {
                JobState::Done if !selection.done => replayed.done.push(key(seq, &job.handler)),
                JobState::Running => {}
                JobState::Dead | JobState::Done | JobState::Pending => {
                    again.push(job.handler.clone());
                }
            }
        }
        let routes = event.state != EventState::Routed || selection.backfill;
        if routes && selection.filter.job_state.is_none() {
            let queues = self.queues.get(&event.endpoint);
            let handlers = queues
                .map(|queues| routed(queues, event))
                .unwrap_or_default();
            again.extend(handlers.into_iter().filter(|handler| {
                let wanted = selection.filter.handler.as_ref();
                wanted.is_none_or(|wanted| wanted == handler)
                    && entry.jobs.iter().all(|job| job.handler != *handler)
            }));
        }
        replayed
            .runs
            .extend(again.iter().map(|handler| key(seq, handler)));
        if selection.dry_run {
            return;
        }
        if let Some(read) = read {
            self.replace(seq, read);
        }
        self.run_again(seq, again, now);
    }

    /// Makes these handlers' jobs pending and due, and those that are missing.
    fn run_again(&mut self, seq: EventSeq, handlers: Vec<Text>, now: Duration) {
        let Some(entry) = self.events.get_mut(&seq) else {
            return;
        };
        let Some(queues) = self.queues.get_mut(&entry.event.endpoint) else {
            return;
        };
        let mut called = Vec::new();
        for handler in handlers {
            let Some(queue) = queues.get_mut(&handler) else {
                continue;
            };
            match entry.jobs.iter_mut().find(|job| job.handler == handler) {
                Some(job) => {
                    let next = queue.put(seq, job, JobState::Pending, now);
                    called.push((next, handler));
                    job.earlier_attempts = job.earlier_attempts.saturating_add(job.attempts);
                    job.attempts = 0;
                }
                None => {
                    let line = line_of(&entry.event);
                    entry.jobs.push(queue.add(seq, handler, line, now));
                }
            }
        }
        let state = match (entry.event.state, entry.jobs.is_empty()) {
            (state, true) => state,
            (_, false) => EventState::Routed,
        };
        for (next, handler) in called {
            self.call(next, &handler, now);
        }
        self.set_state(seq, state);
        self.account(seq);
    }

    /// What an unusable event becomes by this reading.
    fn read(&self, event: &StoredEvent, reading: &Reading) -> Arc<StoredEvent> {
        let mut read = event.clone();
        read.unusable = None;
        read.state = EventState::Unhandled;
        read.event_type.clone_from(&reading.event_type);
        read.body_sha256 = reading.hash_of(event);
        read.id.clone_from(&reading.id);
        read.occurred_at = reading.occurred_at.or(read.occurred_at);
        read.ordering_key.clone_from(&reading.ordering_key);
        if let Some(id) = &reading.id {
            match self.key_of_reading(&read, id) {
                Ok(key) => read.key = key,
                Err(conflict) => {
                    read.state = EventState::Conflict;
                    if self.keyed(event, &conflict).is_none() {
                        read.key = conflict;
                    }
                }
            }
        }
        Arc::new(read)
    }

    /// The key of an event that turned out to have this id. `Err` where it
    /// conflicts with one that is known.
    fn key_of_reading(&self, event: &StoredEvent, id: &Text) -> Result<Text, Text> {
        let sha256 = &event.body_sha256;
        let key = crate::records::id_key(id);
        let Some(known) = self.keyed(event, &key) else {
            return Ok(key);
        };
        let apart = unsigned_key(id, sha256);
        let is_new = !self.has_body(known, sha256) && self.keyed(event, &apart).is_none();
        if !event.id_signed && is_new {
            return Ok(apart);
        }
        Err(conflict_key(id, sha256))
    }

    fn replace(&mut self, seq: EventSeq, event: Arc<StoredEvent>) {
        self.set_state(seq, event.state);
        let Some(entry) = self.events.get_mut(&seq) else {
            return;
        };
        let old = std::mem::replace(&mut entry.event, event);
        self.unindex(&old);
        self.index(seq);
        self.account(seq);
    }

    pub(super) fn prune(
        &mut self,
        retention: &Retention,
        max_rows: usize,
        now: Duration,
    ) -> Pruned {
        let mut pruned = Pruned::default();
        let younger = retention.bodies.min(retention.keys);
        let mut old = Vec::new();
        for (seq, entry) in &self.events {
            let age = now.saturating_sub(entry.stored_at);
            if age < younger {
                break;
            }
            let key = age >= retention.keys;
            if entry.may_go(now) && (key || entry.event.body.is_some()) {
                if old.len() == max_rows {
                    pruned.more = true;
                    break;
                }
                old.push((*seq, key));
            }
        }
        for (seq, key) in old {
            if key {
                self.forget(seq);
                pruned.keys += 1;
            } else {
                self.strip(seq);
                pruned.bodies += 1;
            }
        }
        pruned
    }

    pub(super) fn erase(&mut self, what: &Erase, now: Duration) -> u64 {
        let chosen: Vec<EventSeq> = match what {
            Erase::Event(seq) => vec![*seq],
            Erase::Tenant { endpoint, tenant } => self
                .events
                .values()
                .map(|entry| &entry.event)
                .filter(|event| {
                    event.endpoint == *endpoint && event.tenant.as_ref() == Some(tenant)
                })
                .map(|event| event.seq)
                .collect(),
        };
        count(
            chosen
                .into_iter()
                .filter(|seq| self.erase_event(*seq, now))
                .count(),
        )
    }

    fn erase_event(&mut self, seq: EventSeq, now: Duration) -> bool {
        let Some(entry) = self.events.get_mut(&seq) else {
            return false;
        };
        if entry.event.erased {
            return false;
        }
        let queues = self.queues.get_mut(&entry.event.endpoint);
        let mut called = Vec::new();
        if let Some(queues) = queues {
            for job in &mut entry.jobs {
                job.last_error = None;
                let Some(queue) = queues.get_mut(&job.handler) else {
                    continue;
                };
                if !job.is_finished() {
                    let next = queue.put(seq, job, JobState::Dead, now);
                    called.push((next, job.handler.clone()));
                    job.last_error = Some(Text::from_static("the event was erased"));
                }
                // What is erased cannot run, so it must not block for ever either.
                called.push((queue.leave_line(seq, job), job.handler.clone()));
            }
        }
        let event = Arc::make_mut(&mut entry.event);
        event.erased = true;
        event.ordering_key = None;
        // It may quote the body.
        if let Some(unusable) = &mut event.unusable {
            *unusable = Text::from_static("erased");
        }
        for (next, handler) in called {
            self.call(next, &handler, now);
        }
        self.strip(seq);
        true
    }

    fn strip(&mut self, seq: EventSeq) {
        if let Some(entry) = self.events.get_mut(&seq) {
            strip(&mut entry.event);
        }
        self.account(seq);
    }

    fn choose(
        &self,
        page: Page,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> (Vec<EventSeq>, Option<EventSeq>) {
        let from = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut chosen: Vec<EventSeq> = self
            .events
            .range((from, Bound::Unbounded))
            .filter(|(_, entry)| wanted(entry))
            .map(|(seq, _)| *seq)
            .take(page.limit.saturating_add(1))
            .collect();
        let more = chosen.len() > page.limit;
        chosen.truncate(page.limit);
        let next = chosen.last().copied().filter(|_| more);
        (chosen, next)
    }
}

impl Entry {
    fn record(&self, now: Duration) -> EventRecord {
        let mut jobs: Vec<_> = self.jobs.iter().map(|job| job.record(now)).collect();
        jobs.sort_by(|one, other| one.handler.cmp(&other.handler));
        EventRecord {
            event: self.event.clone(),
            jobs,
        }
    }

    fn has_job(&self, filter: &Filter) -> bool {
        self.jobs
            .iter()
            .any(|job| filter.matches_job(&job.handler, job.state()))
    }

    /// Whether its age may take it: nothing about it waits for anybody.
    fn may_go(&self, now: Duration) -> bool {
        let waits = self.jobs.iter().any(|job| job.state() != JobState::Done)
            || self.event.state == EventState::Unusable;
        !self.is_being_decided(now) && (self.event.erased || !waits)
    }
}

fn key(seq: EventSeq, handler: &Text) -> JobKey {
    JobKey {
        seq,
        handler: handler.clone(),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
