//! Replies: reserved, recorded.

use std::time::Duration;

use tower_webhooks_inbox::{
    DecidedBy, EventState, RecordReply, Recorded, Reply, Reserve, Reserved,
};

use super::{Tx, column, events::Match, rows, seq_of, unsigned};
use crate::time::{after, until};

impl Tx<'_> {
    pub(super) fn reserve(&mut self, reserve: Reserve) -> rusqlite::Result<Reserved> {
        let Reserve { mut event, hold } = reserve;
        let sha256 = event.hash_body();
        match self.find(&event, &sha256)? {
            Match::Conflict { key } => {
                let seq = self.store(&event, &key, EventState::Conflict)?;
                Ok(Reserved::Conflict { seq: seq_of(seq) })
            }
            Match::Duplicate { seq, by_body } => {
                let reserved = self.reserve_known(seq, hold)?;
                // Who finds it in progress looks again, and is one delivery all the same.
                if !matches!(reserved, Reserved::InProgress { .. }) {
                    self.count_duplicate(seq, by_body)?;
                }
                Ok(reserved)
            }
            Match::New { key } => {
                let number = if event.unusable.is_some() {
                    self.store(&event, &key, EventState::Unusable)?
                } else {
                    let handlers = self.handlers_of(&event);
                    let number = self.store(&event, &key, EventState::Routed)?;
                    self.add_jobs(number, &event, &handlers)?;
                    number
                };
                let token = self.hold(number, hold)?;
                let seq = seq_of(number);
                Ok(Reserved::New { seq, token })
            }
        }
    }

    fn reserve_known(&mut self, number: i64, hold: Duration) -> rusqlite::Result<Reserved> {
        let seq = seq_of(number);
        let conflict = self.first(
            "SELECT 1 FROM event WHERE seq = ?1 AND state = 'conflict'",
            [number],
            |_| Ok(()),
        )?;
        if conflict.is_some() {
            return Ok(Reserved::Conflict { seq });
        }
        let reserved = self.first(
            "SELECT held_until, status, content_type, body, decided_by, reason FROM reply
             WHERE seq = ?1",
            [number],
            |row| Ok((row.get::<_, i64>(0)?, rows::reply(row, 1)?)),
        )?;
        match reserved {
            Some((_, Some(recorded))) => {
                let reply = recorded.reply;
                return Ok(Reserved::Recorded { seq, reply });
            }
            Some((held_until, None)) if held_until > self.now => {
                let remaining = until(self.now, held_until);
                return Ok(Reserved::InProgress { seq, remaining });
            }
            Some(_) | None => {}
        }
        let token = self.hold(number, hold)?;
        Ok(Reserved::Abandoned { seq, token })
    }

    fn hold(&mut self, seq: i64, hold: Duration) -> rusqlite::Result<u64> {
        let token = self.next_token();
        self.run(
            "INSERT INTO reply (seq, token, boot, held_until) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET token = excluded.token, boot = excluded.boot,
                 held_until = excluded.held_until",
            (seq, token, self.boot(), after(self.now, hold)),
        )?;
        Ok(unsigned(token))
    }

    pub(super) fn record(&mut self, record: RecordReply) -> rusqlite::Result<Recorded> {
        let RecordReply {
            seq,
            token,
            reply,
            by,
        } = record;
        let known = self.first(
            "SELECT token, status, content_type, body, decided_by, reason FROM reply
             WHERE seq = ?1",
            [column(seq)],
            |row| Ok((row.get::<_, i64>(0)?, rows::reply(row, 1)?)),
        )?;
        match known {
            Some((_, Some(recorded))) => return Ok(Recorded::Superseded(recorded.reply)),
            Some((current, None)) if i64::try_from(token) == Ok(current) => {}
            Some(_) | None => return Ok(Recorded::Lost),
        }
        let (decided_by, reason) = match &by {
            DecidedBy::Default(reason) => ("default", Some(reason.as_str())),
            DecidedBy::Handler => ("handler", None),
        };
        let Reply {
            status,
            content_type,
            body,
        } = &reply;
        self.run(
            "UPDATE reply SET status = ?2, content_type = ?3, body = ?4, decided_by = ?5,
                 reason = ?6
             WHERE seq = ?1",
            (
                column(seq),
                status,
                content_type.as_deref(),
                &body[..],
                decided_by,
                reason,
            ),
        )?;
        Ok(Recorded::Stored)
    }
}
