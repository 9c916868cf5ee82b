//! A worker's part of a batch: what it settles, extends and claims, in one trip to
//! the server unless jobs stand in a line.

use tower_webhooks_inbox::{Batch, Settle, SettleResult};

use super::{
    Result, Transaction,
    claim::{Claiming, Taken},
    jobs::Extending,
};

/// What came of it.
pub(super) struct Worked {
    pub(super) settles: Vec<SettleResult>,
    pub(super) extends: Vec<bool>,
    pub(super) taken: Taken,
}

impl Transaction<'_> {
    /// `in_line` says that some of what is settled stands in a line.
    pub(super) async fn work(&mut self, batch: &Batch, in_line: bool) -> Result<Worked> {
        let (settling, mut settles) = self.settling(&batch.settles).await?;
        let extending = Extending::new(&batch.extends);
        let claiming = batch.claim.as_ref().and_then(Claiming::new);
        let (settle, extend) = (settling.query(), extending.query());
        let (note, claim) = match &claiming {
            Some(claiming) => claiming.queries().map(Some).into(),
            None => (None, None),
        };
        // Whose turn comes by what is stored and settled here is claimed here, too.
        let (settled, extended, taken) = if in_line || !self.calls.is_empty() {
            let [settled, extended] = self.db.query_each([settle, extend]).await?;
            self.settled(&batch.settles, &settling, &settled, &mut settles)?;
            self.call_next().await?;
            let [_, taken] = self.db.query_each([note, claim]).await?;
            (None, extended, taken)
        } else {
            let queries = [settle, extend, note, claim];
            let [settled, extended, _, taken] = self.db.query_each(queries).await?;
            (Some(settled), extended, taken)
        };
        if let Some(settled) = settled {
            self.settled(&batch.settles, &settling, &settled, &mut settles)?;
            self.call_next().await?;
        }
        Ok(Worked {
            settles,
            extends: Extending::results(&batch.extends, &extended)?,
            taken: match &claiming {
                Some(claiming) => self.taken(claiming, &taken)?,
                None => Taken::default(),
            },
        })
    }

    /// Settles one job.
    pub(super) async fn settle(&mut self, settle: &Settle) -> Result<SettleResult> {
        let settles = std::slice::from_ref(settle);
        let (settling, mut results) = self.settling(settles).await?;
        let [rows] = self.db.query_each([settling.query()]).await?;
        self.settled(settles, &settling, &rows, &mut results)?;
        Ok(results.pop().unwrap_or(SettleResult::LeaseLost))
    }
}
