//! Lines: the jobs of one handler, tenant and ordering key, run one after another.
//!
//! At most one job of a line has a due time; the others wait without one, so
//! that a claim never meets them. Every job of a line is made waiting, and whoever
//! changes the line calls its next, under the line's lock.

use std::{collections::BTreeSet, fmt::Write};

use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{NewEvent, Ordering, Registration, Settle};

use super::{Result, Transaction, column, rows};
use crate::driver::Row;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) endpoint: Text,
    pub(super) handler: Text,
    pub(super) line: Text,
}

/// Lines whose next job may have its turn now.
pub(super) type Lines = BTreeSet<Line>;

impl Line {
    /// Three columns as a line, if the third is one.
    pub(super) fn of_row(row: &Row, from: usize) -> Result<Option<Self>> {
        let Some(line) = rows::maybe_text(row, from + 2)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            endpoint: rows::text(row, from)?,
            handler: rows::text(row, from + 1)?,
            line,
        }))
    }
}

/// The line that a job stands in, if its handler orders jobs and its event has a
/// key: JSON, so that no tenant and key run into one another; hashed where it is
/// too long for an index.
pub(super) fn line_of(
    ordering: Ordering,
    tenant: Option<&str>,
    key: Option<&str>,
) -> Option<String> {
    const LONGEST: usize = 1_000;
    let line = match (ordering, key) {
        (Ordering::None, _) | (_, None) => return None,
        (_, Some(key)) => serde_json::json!([tenant, key]).to_string(),
    };
    if line.len() <= LONGEST {
        return Some(line);
    }
    let hash = <[u8; 32]>::from(Sha256::digest(&line));
    let hashed = hash.iter().fold("sha256:".to_owned(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Some(hashed)
}

impl Transaction<'_> {
    /// The lines that an event's jobs would stand in.
    pub(super) fn lines_of(&self, event: &NewEvent) -> Vec<Line> {
        let Some(key) = event.ordering_key.as_deref() else {
            return Vec::new();
        };
        let handlers = self.routes.of(&event.endpoint, event.event_type.as_deref());
        handlers
            .into_iter()
            .filter_map(|(handler, ordering)| {
                let line = line_of(ordering, event.tenant.as_deref(), Some(key))?;
                Some(Line {
                    endpoint: event.endpoint.clone(),
                    handler,
                    line: Text::from(line),
                })
            })
            .collect()
    }

    /// The line of a job that is about to be settled.
    pub(super) async fn lines_of_settle(&mut self, settle: &Settle) -> Result<Lines> {
        let seqs = [column(settle.key.seq)];
        let handlers = [settle.key.handler.as_str()];
        let rows = self
            .db
            .query(
                LINES_OF_JOBS,
                &[
                    (&&seqs[..], Type::INT8_ARRAY),
                    (&&handlers[..], Type::TEXT_ARRAY),
                ],
            )
            .await?;
        let lines = rows.iter().map(|row| Line::of_row(row, 0));
        lines.filter_map(Result::transpose).collect()
    }

    /// The lines of these handlers in which somebody may wait.
    pub(super) async fn lines_of_handlers(&mut self, handlers: &[Registration]) -> Result<Lines> {
        if handlers.is_empty() {
            return Ok(Lines::new());
        }
        let endpoints: Vec<_> = handlers.iter().map(|one| one.endpoint.as_str()).collect();
        let names: Vec<_> = handlers.iter().map(|one| one.handler.as_str()).collect();
        let rows = self
            .db
            .query(
                "SELECT DISTINCT job.endpoint, job.handler, job.line
                 FROM unnest($1, $2) AS q(endpoint, handler) JOIN job USING (endpoint, handler)
                 WHERE job.line IS NOT NULL AND job.state <> 'done'",
                &[(&endpoints, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)],
            )
            .await?;
        let lines = rows.iter().map(|row| Line::of_row(row, 0));
        lines.filter_map(Result::transpose).collect()
    }

    /// Lets those run that nothing holds up any more, after these handlers began to
    /// order their jobs otherwise. Their lines' locks are held.
    pub(super) async fn reorder(&mut self, handlers: &[Registration], lines: Lines) -> Result<()> {
        self.calls.extend(lines);
        for one in handlers {
            if one.ordering == Ordering::None {
                self.db
                    .run(
                        "UPDATE job SET line = NULL, due_at = CASE WHEN state = 'pending'
                             THEN coalesce(due_at, statement_timestamp()) ELSE due_at END
                         WHERE endpoint = $1 AND handler = $2 AND line IS NOT NULL
                             AND state <> 'done'",
                        &[
                            (&one.endpoint.as_str(), Type::TEXT),
                            (&one.handler.as_str(), Type::TEXT),
                        ],
                    )
                    .await?;
                self.tally.make_due();
            }
        }
        Ok(())
    }

    /// Gives the turn to the next job of each line that changed, unless one has it
    /// or a dead one blocks.
    pub(super) async fn call_next(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.calls);
        if lines.is_empty() {
            return Ok(());
        }
        let columns = |of: fn(&Line) -> &str| lines.iter().map(of).collect::<Vec<_>>();
        self.db
            .run(
                "SELECT call_next($1, $2, $3)",
                &[
                    (&columns(|line| &line.endpoint), Type::TEXT_ARRAY),
                    (&columns(|line| &line.handler), Type::TEXT_ARRAY),
                    (&columns(|line| &line.line), Type::TEXT_ARRAY),
                ],
            )
            .await?;
        self.tally.make_due();
        Ok(())
    }
}

pub(super) const LINES_OF_JOBS: &str = "SELECT DISTINCT job.endpoint, job.handler, job.line
    FROM unnest($1, $2) AS q(seq, handler)
    CROSS JOIN LATERAL (
        SELECT endpoint, handler, line FROM job
        WHERE seq = q.seq AND handler = q.handler AND line IS NOT NULL
        LIMIT 1
    ) AS job";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_and_keys_never_run_into_one_another() {
        let line = |tenant, key| line_of(Ordering::Block, tenant, key);
        assert_eq!(line(None, None), None);
        assert_eq!(line_of(Ordering::None, None, Some("a")), None);
        let long = ["a", "b"].map(|end| "x".repeat(2_000) + end);
        let lines = [
            line(None, Some("a")),
            line(Some(""), Some("a")),
            line(Some("null"), Some("a")),
            line(Some("a\",\""), Some("")),
            line(Some("a"), Some("\",\"")),
            line(None, Some(&long[0])),
            line(None, Some(&long[1])),
        ];
        for (place, one) in lines.iter().enumerate() {
            assert!(one.as_ref().is_some_and(|line| line.len() <= 1_000));
            assert!(!lines[..place].contains(one), "{one:?}");
        }
    }
}
