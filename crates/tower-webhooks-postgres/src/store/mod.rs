//! What one transaction does, in SQL.
//!
//! * `events` matches what comes against what is `known`; `fresh` stores what is
//!   new; `locks` keeps processes apart where no unique key can.
//! * `opening` is what a transaction asks as it begins.
//! * `work` does what workers ask for: `jobs` settles and extends, `claim` claims;
//!   `lines` keeps the jobs of one ordering key in a row; `replies` reserves and
//!   records.
//! * `routes` are the registrations; `tally` counts.
//! * `rows` reads what is stored; `filter`, `operate`, `replay`, `retain` and
//!   `retire` are what people do.
//!
//! Statements see what was committed before each of them began (READ COMMITTED),
//! and take their locks in one order: registrations, bodies and lines, keys, jobs.

mod apart;
mod claim;
mod events;
mod filter;
mod fresh;
mod jobs;
mod known;
mod lines;
mod locks;
mod opening;
mod operate;
mod replay;
mod replies;
mod retain;
mod retire;
mod routes;
mod rows;
mod tally;
#[cfg(test)]
mod tests;
mod work;

use tower_webhooks_inbox::{Applied, Batch, EventSeq, Replayed, Selection};

pub(crate) use self::{
    apart::complete,
    operate::{check, get, list, next_due, stats},
    retain::PrunedTo,
    tally::fold,
};
use self::{
    claim::Taken, fresh::Fresh, known::Known, lines::Lines, opening::Opening, routes::Routes,
    tally::Tally, work::Worked,
};
use crate::{
    error::Failure,
    schema::SchemaName,
    session::{Database, Session},
};

type Result<T, E = Failure> = std::result::Result<T, E>;

/// A transaction under way; its end is the caller's.
pub(crate) struct Transaction<'a> {
    db: &'a mut Session,
    schema: &'a SchemaName,
    routes: Routes,
    known: Known,
    fresh: Fresh,
    calls: Lines,
    tally: Tally,
}

/// What a transaction leaves to do once it is committed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct After {
    /// Jobs may have become due for other processes.
    pub(crate) due: bool,
    /// Counts were appended.
    pub(crate) counted: bool,
}

/// Does the batch in a transaction of its own.
pub(crate) async fn apply(database: &Database, batch: &Batch) -> Result<(Applied, After)> {
    let events: Vec<_> = batch
        .inserts
        .iter()
        .chain(batch.reserves.iter().map(|reserve| &reserve.event))
        .map(events::Incoming::new)
        .collect();
    // Who registers decides on its lock when it knows whether anything changes.
    let first = if !events.is_empty() && batch.registers.is_empty() {
        locks::share_registrations(database.schema())
    } else {
        String::new()
    };
    let opening = Opening::of(batch, &events);
    let (mut session, answers) = database.store(&first, &opening.queries()).await?;
    let mut transaction = Transaction::new(&mut session, database.schema());
    let applied = async {
        let lines = transaction.open(opening, answers)?;
        transaction.apply(batch, &events, lines).await
    };
    let (mut applied, taken, after) = match applied.await {
        Ok(applied) => applied,
        Err(failure) => return session.end(Err(failure)).await.map_err(Failure::raced),
    };
    let events: Vec<_> = taken.query().into_iter().collect();
    let mut answers = session.commit(&events).await.map_err(Failure::raced)?;
    applied.claimed = taken.leased(&answers.pop().unwrap_or_default());
    Ok((applied, after))
}

/// Does something else that writes in a transaction of its own, one process at a
/// time: what people do looks first and changes then.
pub(crate) async fn operate<'a>(
    database: &'a Database,
    session: &'a mut Session,
) -> Result<Transaction<'a>> {
    session.batch(&locks::operate(database.schema())).await?;
    Ok(Transaction::new(session, database.schema()))
}

/// What a replay would do: reads, and so waits for nobody.
pub(crate) async fn dry_run(
    database: &Database,
    session: &mut Session,
    selection: &Selection,
) -> Result<Replayed> {
    let mut transaction = Transaction::new(session, database.schema());
    transaction.replay(selection).await
}

impl<'a> Transaction<'a> {
    fn new(db: &'a mut Session, schema: &'a SchemaName) -> Self {
        Self {
            db,
            schema,
            routes: Routes::default(),
            known: Known::default(),
            fresh: Fresh::default(),
            calls: Lines::default(),
            tally: Tally::default(),
        }
    }

    async fn apply(
        &mut self,
        batch: &Batch,
        events: &[events::Incoming<'_>],
        mut lines: Lines,
    ) -> Result<(Applied, Taken, After)> {
        let mut reordered = Vec::new();
        if !batch.registers.is_empty() {
            reordered = self.register(&batch.registers, !events.is_empty()).await?;
        }
        let freed = self.lines_of_handlers(&reordered).await?;
        lines.extend(freed.iter().cloned());
        self.fresh.expected = events.len();
        let in_line = !lines.is_empty();
        self.lock(events, lines).await?;
        self.reorder(&reordered, freed).await?;
        self.look_up(events).await?;

        let mut applied = Applied::default();
        let (inserts, reserves) = events.split_at(batch.inserts.len());
        for event in inserts {
            applied.inserts.push(self.insert(event).await?);
        }
        for (event, reserve) in reserves.iter().zip(&batch.reserves) {
            applied
                .reserves
                .push(self.reserve(event, reserve.hold).await?);
        }
        self.store_fresh();
        applied.replies = self.record_all(&batch.replies).await?;
        let worked = self.work(batch, in_line).await?;
        let Worked {
            settles,
            extends,
            taken,
        } = worked;
        applied.settles = settles;
        applied.extends = extends;
        Ok((applied, taken, self.finish()))
    }

    /// Leaves the counts to be written that the transaction has changed.
    pub(crate) fn finish(&mut self) -> After {
        self.write_tally();
        self.tally.after()
    }
}

/// The column of a number; one that is too large is in no row.
fn column(seq: EventSeq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// The number in a column; ours are never negative.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn seq_of(number: i64) -> EventSeq {
    EventSeq(unsigned(number))
}

/// A number of rows, for `LIMIT`.
fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
