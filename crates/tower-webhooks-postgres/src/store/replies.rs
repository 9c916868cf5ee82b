//! Replies: reserved, recorded.

use std::time::Duration;

use tokio_postgres::types::Type;
use tower_webhooks_inbox::{DecidedBy, EventState, RecordReply, Recorded, Reserved};

use super::{
    Result, Transaction, column,
    events::{Incoming, Match},
    rows, seq_of, unsigned,
};
use crate::{
    driver::Row,
    error::Failure,
    time::{from_micros, micros},
};

/// The token of an event's first reservation.
const FIRST_TOKEN: u64 = 1;

impl Transaction<'_> {
    pub(super) async fn reserve(
        &mut self,
        incoming: &Incoming<'_>,
        hold: Duration,
    ) -> Result<Reserved> {
        match self.find(incoming).await? {
            Match::Conflict { key } => {
                let seq = self.keep(incoming, key, EventState::Conflict).await?;
                Ok(Reserved::Conflict { seq: seq_of(seq) })
            }
            Match::Duplicate { seq, by_body } => {
                let reserved = match self.fresh.state(seq) {
                    Some(state) => self.reserve_fresh(seq, state, hold),
                    None => self.reserve_known(seq, hold).await?,
                };
                // Who finds it in progress looks again, and is one delivery all the same.
                if !matches!(reserved, Reserved::InProgress { .. }) {
                    self.count_duplicate(seq, by_body);
                }
                Ok(reserved)
            }
            Match::New { key } => {
                let event = incoming.event;
                let number = if event.unusable.is_some() {
                    self.keep(incoming, key, EventState::Unusable).await?
                } else {
                    let handlers = self.routes.of(&event.endpoint, event.event_type.as_deref());
                    let number = self.keep(incoming, key, EventState::Routed).await?;
                    self.add_jobs(number, event, &handlers);
                    number
                };
                self.fresh.replies.insert(number, hold);
                Ok(Reserved::New {
                    seq: seq_of(number),
                    token: FIRST_TOKEN,
                })
            }
        }
    }

    /// Of an event that came earlier in this batch.
    fn reserve_fresh(&mut self, number: i64, state: EventState, hold: Duration) -> Reserved {
        let seq = seq_of(number);
        if state == EventState::Conflict {
            return Reserved::Conflict { seq };
        }
        if let Some(remaining) = self.fresh.replies.get(&number) {
            let remaining = *remaining;
            return Reserved::InProgress { seq, remaining };
        }
        self.fresh.replies.insert(number, hold);
        Reserved::Abandoned {
            seq,
            token: FIRST_TOKEN,
        }
    }

    async fn reserve_known(&mut self, number: i64, hold: Duration) -> Result<Reserved> {
        // Looked at first: to try to take it locks it even where somebody has it, and whoever
        // waits for a reply looks every few milliseconds.
        let known = self.db.first(LOOK, &[(&number, Type::INT8)]).await?;
        if let Some(row) = known
            && let Some(reserved) = standing(&row, number)?
        {
            return Ok(reserved);
        }
        let params = [(&number as _, Type::INT8), (&micros(hold) as _, Type::INT8)];
        let taken = self.db.first(RESERVE, &params).await?;
        // Pruned since it was found, or another process reserved it at this very moment.
        let row = taken.ok_or(Failure::Raced)?;
        let token = unsigned(row.get(0)?);
        let seq = seq_of(number);
        Ok(Reserved::Abandoned { seq, token })
    }

    /// Records replies, in one order for all processes: of two that record the same ones, one
    /// waits for the other, and never both.
    pub(super) async fn record_all(&mut self, records: &[RecordReply]) -> Result<Vec<Recorded>> {
        let mut order: Vec<usize> = (0..records.len()).collect();
        order.sort_by_key(|place| records.get(*place).map(|record| record.seq));
        let mut all = vec![Recorded::Lost; records.len()];
        for place in order {
            if let (Some(record), Some(recorded)) = (records.get(place), all.get_mut(place)) {
                *recorded = self.record(record).await?;
            }
        }
        Ok(all)
    }

    async fn record(&mut self, record: &RecordReply) -> Result<Recorded> {
        let Ok(token) = i64::try_from(record.token) else {
            return Ok(Recorded::Lost);
        };
        let seq = column(record.seq);
        let (decided_by, reason) = match &record.by {
            DecidedBy::Default(reason) => ("default", Some(reason.as_str())),
            DecidedBy::Handler => ("handler", None),
        };
        let reply = &record.reply;
        let stored = self
            .db
            .first(
                "UPDATE reply SET status = $3, content_type = $4, body = $5, decided_by = $6,
                     reason = $7
                 WHERE seq = $1 AND token = $2 AND status IS NULL
                 RETURNING seq",
                &[
                    (&seq, Type::INT8),
                    (&token, Type::INT8),
                    (&i32::from(reply.status), Type::INT4),
                    (&reply.content_type.as_deref(), Type::TEXT),
                    (&&reply.body[..], Type::BYTEA),
                    (&decided_by, Type::TEXT),
                    (&reason, Type::TEXT),
                ],
            )
            .await?;
        if stored.is_some() {
            return Ok(Recorded::Stored);
        }
        let known = self
            .db
            .first(
                "SELECT status, content_type, body, decided_by, reason FROM reply WHERE seq = $1",
                &[(&seq, Type::INT8)],
            )
            .await?;
        Ok(match known.map(|row| rows::reply(&row, 0)).transpose()? {
            Some(Some(recorded)) => Recorded::Superseded(recorded.reply),
            Some(None) | None => Recorded::Lost,
        })
    }
}

/// How a known event's reservation stands, unless it can be taken.
fn standing(row: &Row, number: i64) -> Result<Option<Reserved>> {
    let seq = seq_of(number);
    if EventState::from_name(row.get(0)?) == Some(EventState::Conflict) {
        return Ok(Some(Reserved::Conflict { seq }));
    }
    if let Some(recorded) = rows::reply(row, 2)? {
        let reply = recorded.reply;
        return Ok(Some(Reserved::Recorded { seq, reply }));
    }
    let remaining = row.get::<Option<i64>>(1)?.map(from_micros);
    let remaining = remaining.filter(|remaining| !remaining.is_zero());
    Ok(remaining.map(|remaining| Reserved::InProgress { seq, remaining }))
}

pub(super) const LOOK: &str = "SELECT e.state,
        (extract(epoch FROM r.held_until - statement_timestamp()) * 1000000)::bigint,
        r.status, r.content_type, r.body, r.decided_by, r.reason
    FROM event AS e LEFT JOIN reply AS r USING (seq)
    WHERE e.seq = $1";

/// Takes the reservation if nobody has it. The event is locked, so that it is not
/// pruned meanwhile.
pub(super) const RESERVE: &str = "INSERT INTO reply AS r (seq, token, held_until)
    SELECT seq, 1, statement_timestamp() + $2 * interval '1 microsecond'
    FROM (SELECT seq FROM event WHERE seq = $1 AND state <> 'conflict' FOR KEY SHARE) AS e
    ON CONFLICT (seq) DO UPDATE SET token = r.token + 1, held_until = excluded.held_until
    WHERE r.status IS NULL AND r.held_until <= statement_timestamp()
    RETURNING token";
