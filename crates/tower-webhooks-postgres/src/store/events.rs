//! Events: matched against what is known, and routed.

use std::time::{Duration, SystemTime};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    EventState, Inserted, NewEvent, body_key, conflict_key, repeat_key, unsigned_key,
};

use super::{
    Result, Transaction,
    known::{Earlier, Scope},
    seq_of,
};
use crate::time::storable;

/// An event that comes, with what it is matched by.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    pub(super) event: &'a NewEvent,
    pub(super) scope: Scope,
    pub(super) id_key: Option<Text>,
    pub(super) sha256: [u8; 32],
    pub(super) received_at: SystemTime,
}

/// What a new event is to those that are known.
pub(super) enum Match {
    Conflict { key: Text },
    Duplicate { seq: i64, by_body: bool },
    New { key: Text },
}

impl<'a> Incoming<'a> {
    pub(super) fn new(event: &'a NewEvent) -> Self {
        Self {
            scope: Scope::of(event),
            id_key: event.id_key(),
            // Set by the committer, but for those who come without one.
            sha256: event
                .body_sha256
                .unwrap_or_else(|| event.clone().hash_body()),
            received_at: storable(event.received_at),
            event,
        }
    }

    /// Whether its body may identify it: there is no signed id to do so.
    pub(super) fn is_by_body(&self) -> bool {
        self.id_key.is_none() || !self.event.id_signed
    }
}

impl Transaction<'_> {
    pub(super) async fn insert(&mut self, incoming: &Incoming<'_>) -> Result<Inserted> {
        let (key, state) = match self.find(incoming).await? {
            Match::Conflict { key } => (key, EventState::Conflict),
            Match::Duplicate { seq, by_body } => {
                self.count_duplicate(seq, by_body);
                return Ok(Inserted::Duplicate { seq: seq_of(seq) });
            }
            Match::New { key } if incoming.event.unusable.is_some() => (key, EventState::Unusable),
            Match::New { key } => (key, EventState::Routed),
        };
        let event = incoming.event;
        let handlers = match state {
            EventState::Routed => self.routes.of(&event.endpoint, event.event_type.as_deref()),
            _ => Vec::new(),
        };
        let state = match state {
            EventState::Routed if handlers.is_empty() => EventState::Unhandled,
            other => other,
        };
        let number = self.keep(incoming, key, state).await?;
        let seq = seq_of(number);
        Ok(match state {
            EventState::Conflict => Inserted::Conflict { seq },
            EventState::Unhandled => Inserted::Unhandled { seq },
            EventState::Unusable => Inserted::Unusable { seq },
            EventState::Routed => Inserted::New {
                seq,
                jobs: self.add_jobs(number, event, &handlers),
            },
        })
    }

    pub(super) async fn find(&mut self, incoming: &Incoming<'_>) -> Result<Match> {
        let Incoming {
            event,
            scope,
            sha256,
            ..
        } = incoming;
        let Some(mut key) = incoming.id_key.clone() else {
            return self.find_by_body(incoming).await;
        };
        if let Some((seq, known)) = self.keyed(scope, &key).await? {
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
            if let Some((seq, _)) = self.keyed(scope, &apart).await? {
                return Ok(Match::Duplicate { seq, by_body });
            }
            if event.id_signed {
                return Ok(Match::Conflict { key: apart });
            }
            key = apart;
        }
        if !event.id_signed {
            let usable = self.known.latest(scope, sha256).usable;
            if let Some(seq) = within_span(incoming, usable) {
                return Ok(Match::Duplicate { seq, by_body: true });
            }
        }
        Ok(Match::New { key })
    }

    async fn find_by_body(&mut self, incoming: &Incoming<'_>) -> Result<Match> {
        let Incoming { scope, sha256, .. } = incoming;
        let latest = self.known.latest(scope, sha256);
        let candidate = match incoming.event.unusable {
            Some(_) => latest.any(),
            None => latest.usable,
        };
        if let Some(seq) = within_span(incoming, candidate) {
            return Ok(Match::Duplicate { seq, by_body: true });
        }
        let mut key = body_key(sha256);
        // Normally one step: the latest event of this body names the free key.
        let mut previous = latest.any().map(|earlier| earlier.seq);
        while let Some((seq, _)) = self.keyed(scope, &key).await? {
            key = repeat_key(sha256, seq_of(previous.take().unwrap_or(seq)));
        }
        Ok(Match::New { key })
    }
}

fn within_span(incoming: &Incoming<'_>, earlier: Option<Earlier>) -> Option<i64> {
    let Earlier { seq, received_at } = earlier?;
    // Received "before" the earlier one: two clocks, or one set back.
    let age: Duration = incoming
        .received_at
        .duration_since(received_at)
        .unwrap_or_default();
    (age <= incoming.event.dedup_span).then_some(seq)
}
