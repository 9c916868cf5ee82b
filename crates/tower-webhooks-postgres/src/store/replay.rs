//! Replay: jobs that run again, and events that get jobs late.

use std::collections::HashSet;

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    EventState, JobKey, JobRecord, JobState, NewEvent, Reading, Replayed, Selection, StoredEvent,
    conflict_key, unsigned_key,
};

use super::{
    Result, Transaction, column,
    filter::Condition,
    known::Scope,
    lines::{Line, line_of},
    operate::{cut, jobs_of},
    rows::{self, SELECT_EVENTS},
    seq_of,
};
use crate::time::storable;

/// An event that runs again: its jobs, as they were, and handlers that get one late.
struct Again {
    event: StoredEvent,
    jobs: Vec<(Text, JobState)>,
    late: Vec<Text>,
}

impl Again {
    fn jobs(&self) -> impl Iterator<Item = (i64, &str, JobState)> {
        let seq = column(self.event.seq);
        let jobs = self.jobs.iter();
        jobs.map(move |(handler, state)| (seq, handler.as_str(), *state))
    }
}

impl Transaction<'_> {
    /// Changes nothing, and takes no lock, if it is a dry run.
    pub(crate) async fn replay(&mut self, selection: &Selection) -> Result<Replayed> {
        self.load_routes().await?;
        let page = selection.page;
        let mut condition = Condition::of_event(&selection.filter, page);
        if selection.filter.job_state.is_some() {
            condition = condition.with_job(&selection.filter);
        }
        let sql = condition.select("SELECT e.seq FROM event AS e", page);
        let chosen = self.db.query(&sql, &condition.params()).await?;
        let chosen = chosen.iter().map(|row| row.get(0));
        let chosen = chosen.collect::<Result<Vec<i64>>>()?;
        let (chosen, next) = cut(chosen, page, |seq| seq_of(*seq));
        let mut replayed = Replayed::default();
        replayed.next = next;
        let sql = format!("{SELECT_EVENTS} WHERE e.seq = ANY($1) ORDER BY e.seq");
        let events = self.db.query(&sql, &[(&chosen, Type::INT8_ARRAY)]).await?;
        let events = events.iter().map(rows::event).collect::<Result<Vec<_>>>()?;
        if !selection.dry_run {
            self.lock_replayed(&chosen, &events, &selection.readings)
                .await?;
        }
        let mut jobs = jobs_of(self.db, &chosen).await?;
        let held = self.held_bodies(&chosen).await?;
        let mut all = Vec::new();
        for event in events {
            let seq = column(event.seq);
            let jobs = jobs.remove(&seq).unwrap_or_default();
            let held = held.contains(&seq);
            let again = self.replay_event(event, held, jobs, selection, &mut replayed);
            all.extend(again.await?);
        }
        self.run_again(all, &mut replayed).await?;
        self.store_fresh();
        self.call_next().await?;
        Ok(replayed)
    }

    /// Locks the lines that the jobs of these events stand in, or may come to stand in.
    async fn lock_replayed(
        &mut self,
        chosen: &[i64],
        events: &[StoredEvent],
        readings: &[Reading],
    ) -> Result<()> {
        let mut lines = self.lines_of_jobs(chosen).await?;
        for event in events {
            lines.extend(self.possible_lines(event, event.ordering_key.as_deref()));
            for reading in readings.iter().filter(|reading| reading.seq == event.seq) {
                lines.extend(self.possible_lines(event, reading.ordering_key.as_deref()));
            }
        }
        self.lock_lines(&lines).await
    }

    /// What is to run of an event; `None` if it stays as it is.
    async fn replay_event(
        &mut self,
        mut event: StoredEvent,
        held: bool,
        jobs: Vec<JobRecord>,
        selection: &Selection,
        replayed: &mut Replayed,
    ) -> Result<Option<Again>> {
        let seq = event.seq;
        let key = |handler: &Text| JobKey {
            seq,
            handler: handler.clone(),
        };
        if !held {
            let done = jobs.iter().filter(|job| job.state == JobState::Done);
            replayed.done.extend(done.map(|job| key(&job.handler)));
            replayed.gone.push(seq);
            return Ok(None);
        }
        if event.state == EventState::Unusable {
            let Some(reading) = selection.readings.iter().find(|one| one.seq == seq) else {
                replayed.unread.push(seq);
                return Ok(None);
            };
            self.read(&mut event, reading).await?;
            if !selection.dry_run {
                self.replace(&event).await?;
            }
            if event.state == EventState::Conflict {
                return Ok(None);
            }
        }

        let late = self.late_handlers(&event, &jobs, selection);
        if jobs.is_empty() && late.is_empty() {
            return Ok(None);
        }
        let mut again = Vec::new();
        for job in jobs {
            if !selection.filter.matches_job(&job.handler, job.state) {
                continue;
            }
            match job.state {
                JobState::Done if !selection.done => replayed.done.push(key(&job.handler)),
                JobState::Running => {}
                JobState::Dead | JobState::Done | JobState::Pending => {
                    again.push((job.handler, job.state));
                }
            }
        }
        if selection.dry_run {
            let all = again.iter().map(|(handler, _)| handler).chain(&late);
            replayed.runs.extend(all.map(key));
            return Ok(None);
        }
        Ok(Some(Again {
            event,
            jobs: again,
            late,
        }))
    }

    /// The lines that jobs made late would stand in by this key, whatever the event turns out to be.
    fn possible_lines(&self, event: &StoredEvent, key: Option<&str>) -> Vec<Line> {
        let tenant = event.tenant.as_deref();
        let ordered = self.routes.all(&event.endpoint).filter_map(|handler| {
            let line = line_of(handler.ordering, tenant, key)?;
            Some(Line {
                endpoint: event.endpoint.clone(),
                handler: handler.handler.clone(),
                line: Text::from(line),
            })
        });
        ordered.collect()
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

    fn add_late(&mut self, event: &StoredEvent, handler: &Text) {
        let ordering = self.routes.ordering(&event.endpoint, handler);
        let key = event.ordering_key.as_deref();
        let line = line_of(ordering, event.tenant.as_deref(), key);
        self.add_job(column(event.seq), &event.endpoint, handler, line);
    }

    /// Makes jobs pending and due, as soon as their lines allow: but for those that a worker has
    /// changed since they were read. In one statement, since the lines are locked meanwhile.
    async fn run_again(&mut self, all: Vec<Again>, replayed: &mut Replayed) -> Result<()> {
        let jobs = || all.iter().flat_map(Again::jobs);
        let seqs: Vec<i64> = jobs().map(|(seq, _, _)| seq).collect();
        let handlers: Vec<&str> = jobs().map(|(_, handler, _)| handler).collect();
        let states: Vec<&str> = jobs().map(|(_, _, state)| state.as_str()).collect();
        let params = [
            (&seqs as _, Type::INT8_ARRAY),
            (&handlers as _, Type::TEXT_ARRAY),
            (&states as _, Type::TEXT_ARRAY),
        ];
        let mut runs = HashSet::new();
        if !seqs.is_empty() {
            for row in self.db.query(RUN_AGAIN, &params).await? {
                self.calls.extend(Line::of_row(&row, 2)?);
                runs.insert((row.get::<i64>(0)?, rows::text(&row, 1)?));
            }
        }
        for one in all {
            let Again { event, jobs, late } = one;
            let seq = event.seq;
            for (handler, was) in jobs {
                if runs.contains(&(column(seq), handler.clone())) {
                    self.tally.job(&event.endpoint, &handler, was, -1);
                    self.tally
                        .job(&event.endpoint, &handler, JobState::Pending, 1);
                    self.tally.make_due();
                    replayed.runs.push(JobKey { seq, handler });
                }
            }
            for handler in late {
                self.add_late(&event, &handler);
                replayed.runs.push(JobKey { seq, handler });
            }
            self.make_routed(&event);
        }
        Ok(())
    }

    fn make_routed(&mut self, event: &StoredEvent) {
        if event.state == EventState::Routed {
            return;
        }
        self.tally.event(event.state, -1);
        self.tally.event(EventState::Routed, 1);
        let seq = column(event.seq);
        let routed = "UPDATE event SET state = 'routed' WHERE seq = $1";
        self.db.defer(routed, vec![(Box::new(seq), Type::INT8)]);
    }

    /// Makes of an unusable event what this reading says it is.
    async fn read(&mut self, event: &mut StoredEvent, reading: &Reading) -> Result<()> {
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
        let mut named = NewEvent::new("", "", event.received_at);
        named.id = Some(id.clone());
        let key = named.id_key().unwrap_or_default();
        let scope = Scope {
            endpoint: event.endpoint.clone(),
            tenant: event.tenant.clone(),
        };
        let Some((_, known)) = self.keyed(&scope, &key).await? else {
            event.key = key;
            return Ok(());
        };
        let sha256 = &event.body_sha256;
        let apart = unsigned_key(id, sha256);
        let is_new = known != *sha256 && self.keyed(&scope, &apart).await?.is_none();
        if !event.id_signed && is_new {
            event.key = apart;
            return Ok(());
        }
        let conflict = conflict_key(id, sha256);
        if self.keyed(&scope, &conflict).await?.is_none() {
            event.key = conflict;
        }
        event.state = EventState::Conflict;
        Ok(())
    }

    /// Stores what a reading changed. A receiver that stores the same id at this
    /// moment makes the key fail: done again, the replay finds it.
    async fn replace(&mut self, event: &StoredEvent) -> Result<()> {
        let by_body =
            event.state != EventState::Conflict && (event.id.is_none() || !event.id_signed);
        let replaced = self
            .db
            .run(
                "UPDATE event SET key = $2, state = $3, id = $4, event_type = $5, occurred_at = $6,
                     ordering_key = $7, unusable = NULL, by_body = $8, body_sha256 = $9
                 WHERE seq = $1",
                &[
                    (&column(event.seq), Type::INT8),
                    (&event.key.as_str(), Type::TEXT),
                    (&event.state.as_str(), Type::TEXT),
                    (&event.id.as_deref(), Type::TEXT),
                    (&event.event_type.as_deref(), Type::TEXT),
                    (&event.occurred_at.map(storable), Type::TIMESTAMPTZ),
                    (&event.ordering_key.as_deref(), Type::TEXT),
                    (&by_body, Type::BOOL),
                    (&&event.body_sha256[..], Type::BYTEA),
                ],
            )
            .await;
        match replaced {
            Err(failure) if failure.code() == "23505" => return Err(crate::error::Failure::Raced),
            other => other?,
        }
        self.known.forget();
        self.tally.event(EventState::Unusable, -1);
        self.tally.event(event.state, 1);
        Ok(())
    }

    /// Which of these events still have their body.
    async fn held_bodies(&mut self, seqs: &[i64]) -> Result<HashSet<i64>> {
        let rows = self
            .db
            .query(
                "SELECT seq FROM event_body WHERE seq = ANY($1)",
                &[(&seqs, Type::INT8_ARRAY)],
            )
            .await?;
        rows.iter().map(|row| row.get(0)).collect()
    }
}

const RUN_AGAIN: &str = "UPDATE job SET state = 'pending', ended_at = NULL, attempts = 0,
        earlier_attempts = earlier_attempts + attempts,
        due_at = CASE WHEN line IS NULL THEN statement_timestamp() END
    FROM unnest($1, $2, $3) AS q(seq, handler, state)
    WHERE job.seq = q.seq AND job.handler = q.handler AND job.state = q.state
    RETURNING job.seq, job.handler, job.endpoint, job.handler, job.line";
