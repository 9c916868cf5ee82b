//! Replay: jobs that run again, and events that get jobs late.

use rusqlite::{Connection, params_from_iter};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    EventState, JobKey, JobRecord, JobState, NewEvent, Ordering, Reading, Replayed, Selection,
    StoredEvent, conflict_key, unsigned_key,
};

use super::{
    Boot, Guard, Memo, Tx, column,
    filter::Condition,
    lines::line_of,
    operate::{cut, jobs_of},
    rows::{self, SELECT_EVENT},
    seq_of,
};
use crate::time::micros;

/// What a replay would do, from a connection that only reads.
pub(crate) fn dry_run(
    connection: &Connection,
    selection: &Selection,
    now: i64,
) -> rusqlite::Result<Replayed> {
    let (guard, mut memo) = (Guard::default(), Memo::default());
    match Tx::begin(connection, &guard, &mut memo, now, Boot::Beside)? {
        Some(mut tx) => tx.replay(selection),
        // Only a receiver has a successor.
        None => Ok(Replayed::default()),
    }
}

impl Tx<'_> {
    pub(crate) fn replay(&mut self, selection: &Selection) -> rusqlite::Result<Replayed> {
        let page = selection.page;
        let mut condition = Condition::of_event(&selection.filter, page);
        if selection.filter.job_state.is_some() {
            condition = condition.with_job(&selection.filter);
        }
        let sql = condition.select("SELECT e.seq FROM event AS e", page);
        let chosen = self.all(&sql, params_from_iter(&condition.values), |row| {
            row.get::<_, i64>(0)
        })?;
        let (chosen, next) = cut(chosen, page, |seq| seq_of(*seq));
        let mut replayed = Replayed::default();
        replayed.next = next;
        for seq in chosen {
            let event = self.first(SELECT_EVENT, [seq], rows::event)?;
            if let Some(event) = event {
                self.replay_event(event, selection, &mut replayed)?;
            }
        }
        Ok(replayed)
    }

    fn replay_event(
        &mut self,
        mut event: StoredEvent,
        selection: &Selection,
        replayed: &mut Replayed,
    ) -> rusqlite::Result<()> {
        let seq = event.seq;
        let jobs = jobs_of(self.connection, column(seq), self.now)?;
        let key = |handler: &Text| JobKey {
            seq,
            handler: handler.clone(),
        };
        if event.body.is_none() {
            let done = jobs.iter().filter(|job| job.state == JobState::Done);
            replayed.done.extend(done.map(|job| key(&job.handler)));
            replayed.gone.push(seq);
            return Ok(());
        }
        if event.state == EventState::Unusable {
            let Some(reading) = selection.readings.iter().find(|one| one.seq == seq) else {
                replayed.unread.push(seq);
                return Ok(());
            };
            self.read(&mut event, reading)?;
            if !selection.dry_run {
                self.replace(&event)?;
            }
            if event.state == EventState::Conflict {
                return Ok(());
            }
        }

        let mut again = Vec::new();
        for job in &jobs {
            if !selection.filter.matches_job(&job.handler, job.state) {
                continue;
            }
            match job.state {
                JobState::Done if !selection.done => replayed.done.push(key(&job.handler)),
                JobState::Running => {}
                JobState::Dead | JobState::Done | JobState::Pending => {
                    again.push(job.handler.clone());
                }
            }
        }
        again.extend(self.late_handlers(&event, &jobs, selection));
        replayed.runs.extend(again.iter().map(key));
        if selection.dry_run {
            return Ok(());
        }
        for handler in &again {
            match jobs.iter().find(|job| job.handler == *handler) {
                Some(job) => self.run_again(&event, job)?,
                None => self.add_late(&event, handler)?,
            }
        }
        if again.is_empty() && jobs.is_empty() {
            return Ok(());
        }
        self.set_event_state(seq, event.state, EventState::Routed)
    }

    /// The handlers that the event is for and that have no job of it.
    fn late_handlers(
        &self,
        event: &StoredEvent,
        jobs: &[JobRecord],
        selection: &Selection,
    ) -> Vec<Text> {
        let routes = event.state != EventState::Routed || selection.backfill;
        if !routes || selection.filter.job_state.is_some() {
            return Vec::new();
        }
        let handlers = self.routes.of(&event.endpoint, event.event_type.as_deref());
        let wanted = selection.filter.handler.as_ref();
        handlers
            .into_iter()
            .map(|(handler, _)| handler)
            .filter(|handler| {
                wanted.is_none_or(|wanted| wanted == handler)
                    && jobs.iter().all(|job| job.handler != *handler)
            })
            .collect()
    }

    fn add_late(&mut self, event: &StoredEvent, handler: &Text) -> rusqlite::Result<()> {
        let ordering = self.routes.ordering(&event.endpoint, handler);
        let key = event.ordering_key.as_deref();
        let line = line_of(ordering, event.tenant.as_deref(), key);
        self.add_job(column(event.seq), &event.endpoint, handler, ordering, line)
    }

    /// Makes a job pending and due, as soon as its line allows.
    fn run_again(&mut self, event: &StoredEvent, job: &JobRecord) -> rusqlite::Result<()> {
        let (seq, endpoint, handler) = (column(event.seq), &event.endpoint, &job.handler);
        let line = self.first(
            "SELECT line FROM job WHERE seq = ?1 AND handler = ?2",
            (seq, handler.as_str()),
            |row| rows::maybe_text(row, 0),
        )?;
        let ordering: Ordering = self.routes.ordering(endpoint, handler);
        let waits = match line.flatten() {
            Some(line) => self.must_wait(seq, endpoint, handler, &line, ordering)?,
            None => false,
        };
        self.run(
            "UPDATE job SET state = 'pending', due_at = ?3, ended_at = NULL, attempts = 0,
                 earlier_attempts = min(earlier_attempts + attempts, 4294967295)
             WHERE seq = ?1 AND handler = ?2",
            (seq, handler.as_str(), (!waits).then_some(self.now)),
        )?;
        self.tally.job(endpoint, handler, job.state, -1);
        self.tally.job(endpoint, handler, JobState::Pending, 1);
        Ok(())
    }

    /// Makes of an unusable event what this reading says it is.
    fn read(&self, event: &mut StoredEvent, reading: &Reading) -> rusqlite::Result<()> {
        event.unusable = None;
        event.state = EventState::Unhandled;
        event.event_type.clone_from(&reading.event_type);
        event.body_sha256 = reading.hash_of(event);
        event.id.clone_from(&reading.id);
        event.occurred_at = reading.occurred_at.or(event.occurred_at);
        event.ordering_key.clone_from(&reading.ordering_key);
        let Some(id) = &reading.id else {
            return Ok(());
        };
        let mut named = NewEvent::new(event.endpoint.clone(), "", event.received_at);
        named.tenant.clone_from(&event.tenant);
        named.id = Some(id.clone());
        let key = named.id_key().unwrap_or_default();
        let Some((_, known)) = self.keyed(&named, &key)? else {
            event.key = key;
            return Ok(());
        };
        let sha256 = &event.body_sha256;
        let apart = unsigned_key(id, sha256);
        let is_new = known != *sha256 && self.keyed(&named, &apart)?.is_none();
        if !event.id_signed && is_new {
            event.key = apart;
            return Ok(());
        }
        let conflict = conflict_key(id, sha256);
        if self.keyed(&named, &conflict)?.is_none() {
            event.key = conflict;
        }
        event.state = EventState::Conflict;
        Ok(())
    }

    /// Stores what a reading changed.
    fn replace(&mut self, event: &StoredEvent) -> rusqlite::Result<()> {
        let by_body =
            event.state != EventState::Conflict && (event.id.is_none() || !event.id_signed);
        self.run(
            "UPDATE event SET key = ?2, state = ?3, id = ?4, event_type = ?5, occurred_at = ?6,
                 ordering_key = ?7, unusable = NULL, by_body = ?8, body_sha256 = ?9
             WHERE seq = ?1",
            (
                column(event.seq),
                event.key.as_str(),
                event.state.as_str(),
                event.id.as_deref(),
                event.event_type.as_deref(),
                event.occurred_at.map(micros),
                event.ordering_key.as_deref(),
                by_body,
                event.body_sha256,
            ),
        )?;
        self.tally.event(EventState::Unusable, -1);
        self.tally.event(event.state, 1);
        Ok(())
    }
}
