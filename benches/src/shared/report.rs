//! What was measured, as tables or as JSON.

use std::fmt;

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::{claims::Claims, growth::Growth, history::Claimed};
use crate::durable::report::{Report, median, megabytes, shown, to_the_right};

/// Everything.
#[derive(Debug, Serialize)]
pub struct SharedReport {
    /// What the server says of itself, and how it keeps what is committed.
    pub server: String,
    /// Over HTTP.
    pub accepting: Report,
    /// Jobs completed, beside those by hand.
    pub claims: Vec<Claims>,
    /// The tables' size.
    pub growth: Option<Growth>,
    /// Claims beside more and more events.
    pub history: Vec<Claimed>,
}

impl SharedReport {
    fn claims_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "at once",
            "jobs",
            "by hand, jobs/s",
            "library, jobs/s",
            "library to by hand",
        ]);
        for claims in &self.claims {
            let rounds = claims.by_hand.iter().zip(&claims.library);
            let ratios = rounds.map(|(by_hand, library)| library / by_hand);
            table.add_row([
                claims.at_once.to_string(),
                claims.jobs.to_string(),
                shown(median(claims.by_hand.iter().copied()), 0),
                shown(median(claims.library.iter().copied()), 0),
                shown(median(ratios), 2),
            ]);
        }
        to_the_right(table, usize::MAX)
    }

    fn history_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "events",
            "vacuumed",
            "claim p50 ms",
            "claim p99 ms",
            "p99 to the first",
            "next due p99 ms",
        ]);
        for claimed in &self.history {
            let mut alike = self.history.iter();
            let first = alike.find(|other| other.vacuumed == claimed.vacuumed);
            let ratio = first.map(|first| claimed.p99_milliseconds / first.p99_milliseconds);
            let vacuumed = if claimed.vacuumed { "yes" } else { "not yet" };
            table.add_row([
                claimed.events.to_string(),
                vacuumed.to_owned(),
                shown(Some(claimed.p50_milliseconds), 2),
                shown(Some(claimed.p99_milliseconds), 2),
                shown(ratio, 2),
                shown(Some(claimed.next_due_p99_milliseconds), 2),
            ]);
        }
        to_the_right(table, usize::MAX)
    }
}

impl Growth {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "table",
            "rows",
            "MB",
            "MB packed",
            "to packed",
            "bytes/job",
            "autovacuums",
        ]);
        for one in &self.tables {
            let ratio = one.bytes as f64 / one.packed_bytes.max(1) as f64;
            table.add_row([
                one.name.clone(),
                one.rows.to_string(),
                megabytes(one.bytes),
                megabytes(one.packed_bytes),
                shown(Some(ratio), 2),
                shown(Some(one.bytes as f64 / self.jobs as f64), 0),
                one.vacuumed.to_string(),
            ]);
        }
        to_the_right(table, 0)
    }
}

impl fmt::Display for SharedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.server)?;
        if !self.accepting.accepting.is_empty() {
            writeln!(f, "\n{}", self.accepting)?;
        }
        if !self.claims.is_empty() {
            writeln!(f, "\nClaimed and completed:\n\n{}", self.claims_table())?;
        }
        if let Some(growth) = &self.growth {
            let jobs = growth.jobs;
            writeln!(f, "\nAfter {jobs} jobs:\n\n{}", growth.table())?;
        }
        if !self.history.is_empty() {
            writeln!(f, "\nClaims of a few:\n\n{}", self.history_table())?;
        }
        Ok(())
    }
}
