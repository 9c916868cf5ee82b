//! Replies: reserved, recorded.

use std::{sync::Arc, time::Duration};

use super::events::{Entry, Match, State};
use crate::{EventSeq, EventState, RecordReply, Recorded, RecordedReply, Reserve, Reserved};

#[derive(Debug)]
pub(super) struct Reservation {
    token: u64,
    until: Duration,
}

impl State {
    pub(super) fn reserve(&mut self, reserve: Reserve, now: Duration) -> Reserved {
        let Reserve { mut event, hold } = reserve;
        let sha256 = event.hash_body();
        match self.find(&event, &sha256) {
            Match::Conflict { key } => Reserved::Conflict {
                seq: self.store(event, key, EventState::Conflict, now),
            },
            Match::Duplicate { seq, by_body } => {
                let reserved = self.reserve_known(seq, hold, now);
                // Who finds it in progress looks again, and is one delivery all the same.
                if !matches!(reserved, Reserved::InProgress { .. }) {
                    self.count_duplicate(seq, by_body);
                }
                reserved
            }
            Match::New { key } => {
                let state = match event.unusable {
                    Some(_) => EventState::Unusable,
                    None => EventState::Routed,
                };
                let seq = self.store(event, key, state, now);
                if state == EventState::Routed {
                    self.route(seq, now);
                }
                let token = self.hold(seq, hold, now);
                Reserved::New { seq, token }
            }
        }
    }

    fn reserve_known(&mut self, seq: EventSeq, hold: Duration, now: Duration) -> Reserved {
        if let Some(entry) = self.events.get(&seq) {
            if entry.event.state == EventState::Conflict {
                return Reserved::Conflict { seq };
            }
            if let Some(recorded) = &entry.event.reply {
                let reply = recorded.reply.clone();
                return Reserved::Recorded { seq, reply };
            }
            if let Some(reservation) = &entry.reservation
                && reservation.until > now
            {
                let remaining = reservation.until - now;
                return Reserved::InProgress { seq, remaining };
            }
        }
        let token = self.hold(seq, hold, now);
        Reserved::Abandoned { seq, token }
    }

    fn hold(&mut self, seq: EventSeq, hold: Duration, now: Duration) -> u64 {
        let token = self.token();
        if let Some(entry) = self.events.get_mut(&seq) {
            entry.reservation = Some(Reservation {
                token,
                until: now.saturating_add(hold),
            });
        }
        self.account(seq);
        token
    }

    pub(super) fn record(&mut self, record: RecordReply) -> Recorded {
        let RecordReply {
            seq,
            token,
            reply,
            by,
        } = record;
        let Some(entry) = self.events.get_mut(&seq) else {
            return Recorded::Lost;
        };
        if let Some(recorded) = &entry.event.reply {
            return Recorded::Superseded(recorded.reply.clone());
        }
        match &entry.reservation {
            Some(reservation) if reservation.token == token => {
                Arc::make_mut(&mut entry.event).reply = Some(RecordedReply { reply, by });
                self.account(seq);
                Recorded::Stored
            }
            _ => Recorded::Lost,
        }
    }
}

impl Entry {
    /// Whether somebody may still decide its reply. Once the hold is over nobody does,
    /// unless it comes again.
    pub(super) fn is_being_decided(&self, now: Duration) -> bool {
        let reservation = self.reservation.as_ref();
        self.event.reply.is_none() && reservation.is_some_and(|held| held.until > now)
    }
}
