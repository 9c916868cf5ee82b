//! A worker's request that failed on its data, piece by piece.

use std::error::Error;

use tower_webhooks_core::Text;

use super::{
    Worked,
    request::{frees_work, too_short},
    task::{Task, apply},
};
use crate::{Batch, Claim, Extend, InboxError, InboxErrorKind, Settle, SettleResult};

impl Task {
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
