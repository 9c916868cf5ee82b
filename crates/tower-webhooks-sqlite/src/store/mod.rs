//! What one transaction does, in SQL.
//!
//! * `events` matches and stores; `jobs` claims and settles; `lines` keeps the
//!   jobs of one ordering key in a row; `replies` reserves and records.
//! * `work` runs what commits with a completion.
//! * `boot` frees what the receiver before had leased; `routes` remembers the
//!   registrations; `tally` counts.
//! * `rows` reads what is stored; `filter`, `operate`, `replay`, `retain` and
//!   `retire` are what people do.

mod boot;
mod events;
mod filter;
mod jobs;
mod lines;
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

use rusqlite::{Connection, OptionalExtension, Params, Row};
use tower_webhooks_inbox::{Applied, Batch, EventSeq};

pub(crate) use self::{
    boot::start_boot,
    operate::{get, list, next_due, stats},
    replay::dry_run,
    retain::{Erased, PrunedTo},
    work::Guard,
};
use self::{routes::Routes, tally::Tally};

/// What the writing connection remembers between transactions. Dropped with the
/// connection, and when a transaction is taken back.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    routes: Option<Routes>,
    /// SQLite's count of the changes that other connections made.
    data_version: i64,
}

/// A transaction under way: `BEGIN IMMEDIATE` is done, `COMMIT` is the caller's.
pub(crate) struct Tx<'a> {
    connection: &'a Connection,
    guard: &'a Guard,
    routes: &'a mut Routes,
    tally: Tally,
    now: i64,
    boot: Boot,
    numbers: Numbers,
    begun_with: Numbers,
}

/// Whose leases these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    /// A process beside the receiver; its leases outlive the receiver's restart.
    Beside,
    /// This opening of the receiver.
    Receiver(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    last_seq: i64,
    last_token: i64,
    held_bytes: i64,
}

impl<'a> Tx<'a> {
    /// Reads what every transaction needs. `None` if another receiver has opened
    /// the inbox since.
    pub(crate) fn begin(
        connection: &'a Connection,
        guard: &'a Guard,
        memo: &'a mut Memo,
        now: i64,
        boot: Boot,
    ) -> rusqlite::Result<Option<Self>> {
        let data_version = connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if memo.data_version != data_version {
            memo.routes = None;
            memo.data_version = data_version;
        }
        let routes = match &mut memo.routes {
            Some(routes) => routes,
            empty => empty.insert(Routes::load(connection)?),
        };
        let (numbers, current) = connection
            .prepare_cached("SELECT last_seq, last_token, held_bytes, boot FROM inbox")?
            .query_row([], |row| {
                let numbers = Numbers {
                    last_seq: row.get(0)?,
                    last_token: row.get(1)?,
                    held_bytes: row.get(2)?,
                };
                Ok((numbers, row.get::<_, i64>(3)?))
            })?;
        if matches!(boot, Boot::Receiver(boot) if boot != current) {
            return Ok(None);
        }
        Ok(Some(Self {
            connection,
            guard,
            routes,
            tally: Tally::default(),
            now,
            boot,
            numbers,
            begun_with: numbers,
        }))
    }

    pub(crate) fn apply(&mut self, batch: Batch) -> rusqlite::Result<Applied> {
        for registration in batch.registers {
            self.register(registration)?;
        }
        let mut applied = Applied::default();
        for event in batch.inserts {
            applied.inserts.push(self.insert(event)?);
        }
        for reserve in batch.reserves {
            applied.reserves.push(self.reserve(reserve)?);
        }
        for reply in batch.replies {
            applied.replies.push(self.record(reply)?);
        }
        for settle in batch.settles {
            applied.settles.push(self.settle(settle)?);
        }
        for extend in batch.extends {
            applied.extends.push(self.extend(&extend)?);
        }
        if let Some(claim) = batch.claim {
            applied.claimed = self.claim(&claim)?;
        }
        Ok(applied)
    }

    /// Writes the counts and numbers that the transaction has changed.
    pub(crate) fn finish(self) -> rusqlite::Result<()> {
        self.tally.write(self.connection)?;
        if self.numbers != self.begun_with {
            let Numbers {
                last_seq,
                last_token,
                held_bytes,
            } = self.numbers;
            self.run(
                "UPDATE inbox SET last_seq = ?1, last_token = ?2, held_bytes = ?3,
                     last_at = max(last_at, ?4)",
                (last_seq, last_token, held_bytes, self.now),
            )?;
        }
        Ok(())
    }

    fn next_seq(&mut self) -> i64 {
        self.numbers.last_seq = self.numbers.last_seq.saturating_add(1);
        self.numbers.last_seq
    }

    /// Greater than every token before it.
    fn next_token(&mut self) -> i64 {
        self.numbers.last_token = self.numbers.last_token.saturating_add(1);
        self.numbers.last_token
    }

    fn boot(&self) -> i64 {
        match self.boot {
            Boot::Beside => 0,
            Boot::Receiver(boot) => boot,
        }
    }

    /// Runs a statement; returns how many rows it changed.
    fn run(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(params)
    }

    fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.connection
            .prepare_cached(sql)?
            .query_row(params, read)
            .optional()
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.connection
            .prepare_cached(sql)?
            .query_map(params, read)?
            .collect()
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
