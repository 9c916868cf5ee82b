//! Events: matched against what is known, stored, routed.

use std::time::Duration;

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    EventSeq, EventState, Inserted, JobState, NewEvent, Ordering, body_key, conflict_key,
    headers_to_json, repeat_key, unsigned_key,
};

use super::{Tx, lines::line_of, seq_of};
use crate::time::{micros, until};

/// What a new event is to those that are known.
pub(super) enum Match {
    Conflict { key: Text },
    Duplicate { seq: i64, by_body: bool },
    New { key: Text },
}

/// An event with this body, and when it was received.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Earlier {
    seq: i64,
    received_at: i64,
}

impl Tx<'_> {
    pub(super) fn insert(&mut self, mut event: NewEvent) -> rusqlite::Result<Inserted> {
        let sha256 = event.hash_body();
        let (key, state) = match self.find(&event, &sha256)? {
            Match::Conflict { key } => (key, EventState::Conflict),
            Match::Duplicate { seq, by_body } => {
                self.count_duplicate(seq, by_body)?;
                return Ok(Inserted::Duplicate { seq: seq_of(seq) });
            }
            Match::New { key } if event.unusable.is_some() => (key, EventState::Unusable),
            Match::New { key } => (key, EventState::Routed),
        };
        let handlers = match state {
            EventState::Routed => self.handlers_of(&event),
            _ => Vec::new(),
        };
        let state = match state {
            EventState::Routed if handlers.is_empty() => EventState::Unhandled,
            other => other,
        };
        let number = self.store(&event, &key, state)?;
        let seq = seq_of(number);
        Ok(match state {
            EventState::Conflict => Inserted::Conflict { seq },
            EventState::Unhandled => Inserted::Unhandled { seq },
            EventState::Unusable => Inserted::Unusable { seq },
            EventState::Routed => Inserted::New {
                seq,
                jobs: self.add_jobs(number, &event, &handlers)?,
            },
        })
    }

    pub(super) fn find(&self, event: &NewEvent, sha256: &[u8; 32]) -> rusqlite::Result<Match> {
        let Some(mut key) = event.id_key() else {
            return self.find_by_body(event, sha256);
        };
        if let Some((seq, known)) = self.keyed(event, &key)? {
            let by_body = false;
            if known == *sha256 {
                return Ok(Match::Duplicate { seq, by_body });
            }
            let id = event.id.as_deref().unwrap_or_default();
            let apart = if event.id_signed {
                conflict_key(id, sha256)
            } else {
                unsigned_key(id, sha256)
            };
            if let Some((seq, _)) = self.keyed(event, &apart)? {
                return Ok(Match::Duplicate { seq, by_body });
            }
            if event.id_signed {
                return Ok(Match::Conflict { key: apart });
            }
            key = apart;
        }
        if !event.id_signed {
            let usable = self.latest(event, sha256, false)?;
            if let Some(seq) = within_span(event, usable) {
                return Ok(Match::Duplicate { seq, by_body: true });
            }
        }
        Ok(Match::New { key })
    }

    fn find_by_body(&self, event: &NewEvent, sha256: &[u8; 32]) -> rusqlite::Result<Match> {
        let usable = self.latest(event, sha256, false)?;
        let unusable = self.latest(event, sha256, true)?;
        let candidate = match event.unusable {
            Some(_) => usable.max(unusable),
            None => usable,
        };
        if let Some(seq) = within_span(event, candidate) {
            return Ok(Match::Duplicate { seq, by_body: true });
        }
        let mut key = body_key(sha256);
        // Normally one step: the latest event of this body names the free key.
        let mut previous = usable.max(unusable).map(|earlier| earlier.seq);
        while let Some((seq, _)) = self.keyed(event, &key)? {
            key = repeat_key(sha256, seq_of(previous.take().unwrap_or(seq)));
        }
        Ok(Match::New { key })
    }

    /// The event that has this key, and its hash.
    pub(super) fn keyed(
        &self,
        event: &NewEvent,
        key: &str,
    ) -> rusqlite::Result<Option<(i64, [u8; 32])>> {
        self.first(
            BY_KEY,
            (key, event.endpoint.as_str(), event.tenant.as_deref()),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// The latest event with this body among those that the body may identify.
    fn latest(
        &self,
        event: &NewEvent,
        sha256: &[u8; 32],
        unusable: bool,
    ) -> rusqlite::Result<Option<Earlier>> {
        self.first(
            BY_BODY,
            (
                sha256,
                event.endpoint.as_str(),
                event.tenant.as_deref(),
                unusable,
            ),
            |row| {
                Ok(Earlier {
                    seq: row.get(0)?,
                    received_at: row.get(1)?,
                })
            },
        )
    }

    pub(super) fn count_duplicate(&self, seq: i64, by_body: bool) -> rusqlite::Result<()> {
        if by_body {
            self.run(
                "UPDATE event SET suppressed = min(suppressed + 1, 4294967295) WHERE seq = ?1",
                [seq],
            )?;
        }
        Ok(())
    }

    /// Keeps the event, without jobs yet; returns its number.
    pub(super) fn store(
        &mut self,
        event: &NewEvent,
        key: &str,
        state: EventState,
    ) -> rusqlite::Result<i64> {
        let seq = self.next_seq();
        let headers = headers_to_json(&event.headers);
        let by_body = state != EventState::Conflict
            && (event.id.is_none() || event.unusable.is_some() || !event.id_signed);
        let body_bytes = bytes(event.body.len());
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO event (seq, endpoint, tenant, key, state, id, id_signed, event_type,
                 ordering_key, unusable, occurred_at, received_at, stored_at, secret_label,
                 payload_label, by_body, body_sha256, body_bytes, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                 ?18, ?19, ?20)",
        )?;
        statement.execute(rusqlite::params![
            seq,
            event.endpoint.as_str(),
            event.tenant.as_deref(),
            key,
            state.as_str(),
            event.id.as_deref(),
            event.id_signed,
            event.event_type.as_deref(),
            event.ordering_key.as_deref(),
            event.unusable.as_deref(),
            event.occurred_at.map(micros),
            micros(event.received_at),
            self.now,
            event.secret_label.as_deref(),
            event.payload_label.as_deref(),
            by_body,
            event.body_sha256,
            body_bytes,
            headers,
            &event.body[..],
        ])?;
        let held = body_bytes.saturating_add(bytes(headers.map_or(0, |json| json.len())));
        self.numbers.held_bytes = self.numbers.held_bytes.saturating_add(held);
        self.tally.event(state, 1);
        Ok(seq)
    }

    pub(super) fn handlers_of(&self, event: &NewEvent) -> Vec<(Text, Ordering)> {
        self.routes.of(&event.endpoint, event.event_type.as_deref())
    }

    /// Makes these handlers' jobs of a new event; returns how many.
    pub(super) fn add_jobs(
        &mut self,
        seq: i64,
        event: &NewEvent,
        handlers: &[(Text, Ordering)],
    ) -> rusqlite::Result<u32> {
        let mut made = 0;
        for (handler, ordering) in handlers {
            let key = event.ordering_key.as_deref();
            let line = line_of(*ordering, event.tenant.as_deref(), key);
            self.add_job(seq, &event.endpoint, handler, *ordering, line)?;
            made += 1;
        }
        Ok(made)
    }

    /// Makes a job that is due now, or waits for its turn.
    pub(super) fn add_job(
        &mut self,
        seq: i64,
        endpoint: &Text,
        handler: &Text,
        ordering: Ordering,
        line: Option<String>,
    ) -> rusqlite::Result<()> {
        let waits = match &line {
            Some(line) => self.must_wait(seq, endpoint, handler, line, ordering)?,
            None => false,
        };
        self.run(
            "INSERT INTO job (seq, handler, endpoint, state, due_at, line)
             VALUES (?1, ?2, ?3, 'pending', ?4, ?5)",
            (
                seq,
                handler.as_str(),
                endpoint.as_str(),
                (!waits).then_some(self.now),
                line,
            ),
        )?;
        self.tally.job(endpoint, handler, JobState::Pending, 1);
        Ok(())
    }

    pub(super) fn set_event_state(
        &mut self,
        seq: EventSeq,
        from: EventState,
        to: EventState,
    ) -> rusqlite::Result<()> {
        if from != to {
            self.run(
                "UPDATE event SET state = ?2 WHERE seq = ?1",
                (super::column(seq), to.as_str()),
            )?;
            self.tally.event(from, -1);
            self.tally.event(to, 1);
        }
        Ok(())
    }
}

fn within_span(event: &NewEvent, earlier: Option<Earlier>) -> Option<i64> {
    let Earlier { seq, received_at } = earlier?;
    // Received "before" the earlier one: two clocks, or one set back.
    let age: Duration = until(received_at, micros(event.received_at));
    (age <= event.dedup_span).then_some(seq)
}

pub(super) fn bytes(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

pub(super) const BY_KEY: &str = "SELECT seq, body_sha256 FROM event
    WHERE key = ?1 AND endpoint = ?2 AND ifnull('=' || tenant, '') = ifnull('=' || ?3, '')";

pub(super) const BY_BODY: &str = "SELECT seq, received_at FROM event
    WHERE by_body = 1 AND body_sha256 = ?1 AND endpoint = ?2
        AND ifnull('=' || tenant, '') = ifnull('=' || ?3, '')
        AND (unusable IS NOT NULL) = ?4
    ORDER BY seq DESC LIMIT 1";
