//! What was measured, as a table or as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::receiver::Receiver;

/// Everything.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Processors that receivers and senders share.
    pub processors: usize,
    /// The size of each body.
    pub body_bytes: usize,
    /// How long each receiver was measured in each round.
    pub round_seconds: f64,
    /// The receivers beside which the others are seen.
    pub beside: Vec<Receiver>,
    /// Each receiver with each number of connections.
    pub accepting: Vec<Accepting>,
    /// The library with jobs that wait.
    pub backlogs: Vec<Backlog>,
}

/// One receiver with so many connections.
#[derive(Debug, Serialize)]
pub struct Accepting {
    /// How many senders wait for answers at once.
    pub connections: usize,
    /// Which receiver.
    pub receiver: Receiver,
    /// In the order in which they were run, beside those of the other receivers.
    pub rounds: Vec<Round>,
    /// Resident memory after the last round.
    pub resident_bytes: u64,
}

/// One receiver's turn.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// Answered with 200, a second.
    pub events_per_second: f64,
    /// Half of the answers took no longer.
    pub p50_milliseconds: f64,
    /// All but a hundredth of the answers took no longer.
    pub p99_milliseconds: f64,
    /// The receiver's, until it had nothing to do any more.
    pub cpu_microseconds_per_event: f64,
}

/// Jobs that were left waiting, then handled.
#[derive(Debug, Serialize)]
pub struct Backlog {
    /// How many waited.
    pub jobs: u64,
    /// Resident memory while they waited.
    pub resident_bytes: u64,
    /// How many handlers ran at once.
    pub at_once: usize,
    /// Claimed, handled and stored as done, a second.
    pub jobs_per_second: f64,
    /// The receiver's.
    pub cpu_microseconds_per_job: f64,
}

impl Report {
    /// The receiver's figure of a round to another receiver's in the same round.
    fn ratio(&self, one: &Accepting, to: Receiver) -> Option<f64> {
        let other = self
            .accepting
            .iter()
            .find(|other| other.connections == one.connections && other.receiver == to)?;
        let rounds = one.rounds.iter().zip(&other.rounds);
        median(rounds.map(|(one, other)| one.events_per_second / other.events_per_second))
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        let columns = ["connections", "receiver", "events/s", "from", "to"];
        let mut header: Vec<_> = columns.map(str::to_owned).into();
        let beside = self.beside.iter();
        header.extend(beside.map(|other| format!("to {}", other.letter())));
        let columns = ["p50 ms", "p99 ms", "CPU µs/event", "MB"];
        header.extend(columns.map(str::to_owned));
        table.load_style(ASCII_MARKDOWN).set_header(header);
        for one in &self.accepting {
            let per_second = || one.rounds.iter().map(|round| round.events_per_second);
            let figure = |of: fn(&Round) -> f64| median(one.rounds.iter().map(of));
            let mut row = vec![
                one.connections.to_string(),
                one.receiver.title().to_owned(),
                shown(median(per_second()), 0),
                shown(per_second().min_by(f64::total_cmp), 0),
                shown(per_second().max_by(f64::total_cmp), 0),
            ];
            let beside = self.beside.iter();
            row.extend(beside.map(|other| shown(self.ratio(one, *other), 2)));
            row.extend([
                shown(figure(|round| round.p50_milliseconds), 2),
                shown(figure(|round| round.p99_milliseconds), 2),
                shown(figure(|round| round.cpu_microseconds_per_event), 1),
                megabytes(one.resident_bytes),
            ]);
            table.add_row(row);
        }
        to_the_right(table, 1)
    }

    fn backlog_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "jobs waiting",
            "MB",
            "handlers at once",
            "handled jobs/s",
            "CPU µs/job",
        ]);
        for backlog in &self.backlogs {
            table.add_row([
                backlog.jobs.to_string(),
                megabytes(backlog.resident_bytes),
                backlog.at_once.to_string(),
                shown(Some(backlog.jobs_per_second), 0),
                shown(Some(backlog.cpu_microseconds_per_job), 1),
            ]);
        }
        to_the_right(table, usize::MAX)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processors,
            body_bytes,
            round_seconds,
            ..
        } = self;
        writeln!(
            f,
            "Signed bodies of {body_bytes} B over HTTP on kept connections, one request at a time on \
             each.\nReceiver and sender share {processors} processors. Medians of rounds of \
             {round_seconds} s, in which the receivers took turns."
        )?;
        writeln!(f, "\n{}", self.table())?;
        if !self.backlogs.is_empty() {
            writeln!(f, "\n{}", self.backlog_table())?;
        }
        Ok(())
    }
}

/// Numbers, in all columns but one.
pub(crate) fn to_the_right(mut table: Table, but: usize) -> Table {
    for (place, column) in table.column_iter_mut().enumerate() {
        if place != but {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

pub(crate) fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
