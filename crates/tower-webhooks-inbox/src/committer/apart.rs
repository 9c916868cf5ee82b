//! A request that failed on its data, piece by piece.

use std::error::Error;

use tower_webhooks_core::Text;

use super::{
    Worked,
    request::{frees_work, makes_work, too_short},
    task::{Task, apply},
};
use crate::{
    Batch, Claim, EventSeq, Extend, Headers, InboxError, InboxErrorKind, Inserted, NewEvent,
    Settle, SettleResult,
};

/// What came of the events of one delivery.
#[derive(Default)]
pub(super) struct Stored {
    /// In their order, without those that were refused.
    pub(super) found: Vec<Inserted>,
    /// Why some were refused.
    pub(super) error: Option<InboxError>,
}

impl Task {
    /// Stores by halves what could not be stored together, for this reason, so that one
    /// event that cannot be stored keeps no other out. It is itself
    /// [set aside](NewEvent::set_aside), and refused where not even that can be stored.
    pub(super) async fn events_apart(
        &mut self,
        events: Vec<NewEvent>,
        error: &InboxError,
    ) -> Stored {
        let mut stored = Stored::default();
        let mut known = Some(error.clone());
        let mut waiting = vec![events];
        while let Some(mut events) = waiting.pop() {
            let mut tried = match known.take() {
                Some(error) => Err(error),
                None => self.store(&events).await,
            };
            if let Err(error) = &tried
                && error.kind() == InboxErrorKind::Data
                && let [event] = &events[..]
            {
                tried = self.set_aside(event.clone(), error).await;
            }
            match tried {
                Ok(found) => stored.found.extend(found),
                Err(error) if error.kind() == InboxErrorKind::Data && events.len() > 1 => {
                    let later = events.split_off(events.len() / 2);
                    waiting.push(later);
                    waiting.push(events);
                }
                Err(error) => {
                    let is_away = error.kind() != InboxErrorKind::Data;
                    stored.error = Some(error);
                    if is_away {
                        break;
                    }
                }
            }
        }
        stored
    }

    async fn set_aside(
        &mut self,
        event: NewEvent,
        error: &InboxError,
    ) -> Result<Vec<Inserted>, InboxError> {
        let endpoint = event.endpoint.clone();
        let headers = event.headers.clone();
        let mut kept = self.store(&[event.set_aside()]).await;
        if let Ok([Inserted::Duplicate { seq }]) = kept.as_deref()
            && !self.came_with(*seq, &headers).await?
        {
            // What told it from the other, such as a type in a header, would be kept nowhere.
            kept = Err(error.clone());
        }
        tracing::error!(
            endpoint = %endpoint,
            reason = %reason(error),
            is_kept = kept.is_ok(),
            "the inbox refused an event: its bytes are kept as unusable, if it takes those"
        );
        kept
    }

    /// Whether the event that is known came with these headers.
    async fn came_with(&self, seq: EventSeq, headers: &Headers) -> Result<bool, InboxError> {
        let known = self.inbox.get(seq).await?;
        Ok(known.is_some_and(|known| known.event.headers == *headers))
    }

    async fn store(&mut self, events: &[NewEvent]) -> Result<Vec<Inserted>, InboxError> {
        let batch = Batch {
            inserts: events.to_vec(),
            ..Batch::default()
        };
        let found = apply(&*self.inbox, batch).await?.inserts;
        if found.iter().any(makes_work) {
            self.wake();
        }
        if found.len() < events.len() {
            return Err(too_short());
        }
        Ok(found)
    }

    /// Settles by halves, so that one settle that cannot be stored refuses only
    /// itself; then extends and claims.
    pub(super) async fn work_apart(
        &mut self,
        settles: Vec<Settle>,
        extends: Vec<Extend>,
        claim: Option<Claim>,
    ) -> Result<Worked, InboxError> {
        let mut worked = Worked::default();
        let mut waiting = vec![settles];
        while let Some(mut settles) = waiting.pop().filter(|settles| !settles.is_empty()) {
            match self.settle(&settles).await {
                Ok(results) => worked.settles.extend(results),
                Err(error) if error.kind() != InboxErrorKind::Data => return Err(error),
                Err(error) if settles.len() == 1 => {
                    tracing::warn!(reason = %reason(&error), "the inbox refused a settle");
                    worked.settles.push(SettleResult::Refused(reason(&error)));
                }
                Err(_) => {
                    let later = settles.split_off(settles.len() / 2);
                    waiting.push(later);
                    waiting.push(settles);
                }
            }
        }
        if !extends.is_empty() {
            let batch = Batch {
                extends,
                ..Batch::default()
            };
            worked.extends = apply(&*self.inbox, batch).await?.extends;
        }
        if claim.is_some() {
            let batch = Batch {
                claim,
                ..Batch::default()
            };
            match apply(&*self.inbox, batch).await {
                Ok(applied) => worked.claimed = applied.claimed,
                Err(error) if worked.settles.is_empty() && worked.extends.is_empty() => {
                    return Err(error);
                }
                // The worker must hear how its settles fared; it claims again soon.
                Err(error) => tracing::warn!(reason = %reason(&error), "the inbox refused a claim"),
            }
        }
        Ok(worked)
    }

    async fn settle(&mut self, settles: &[Settle]) -> Result<Vec<SettleResult>, InboxError> {
        let batch = Batch {
            settles: settles.to_vec(),
            ..Batch::default()
        };
        let results = apply(&*self.inbox, batch).await?.settles;
        if frees_work(settles) {
            self.wake();
        }
        if results.len() < settles.len() {
            return Err(too_short());
        }
        Ok(results)
    }
}

fn reason(error: &InboxError) -> Text {
    let source = error.source().map(ToString::to_string);
    Text::from(source.unwrap_or_else(|| error.to_string()))
}
