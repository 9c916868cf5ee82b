//! Counts of events and jobs by state, gathered over a transaction, appended at
//! its end, and summed up from time to time.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{EventState, JobState};

use super::{After, Result, Transaction, locks};
use crate::session::Database;

/// What is counted, and by how much it changed.
type Line<'a> = (&'a str, &'a str, &'a str, &'a str, i64);

#[derive(Debug, Default)]
pub(super) struct Tally {
    events: BTreeMap<EventState, i64>,
    jobs: BTreeMap<(Text, Text, JobState), i64>,
    held_bytes: i64,
    due: bool,
}

impl Tally {
    pub(super) fn event(&mut self, state: EventState, by: i64) {
        *self.events.entry(state).or_default() += by;
    }

    pub(super) fn job(&mut self, endpoint: &Text, handler: &Text, state: JobState, by: i64) {
        let key = (endpoint.clone(), handler.clone(), state);
        *self.jobs.entry(key).or_default() += by;
    }

    pub(super) fn hold(&mut self, bytes: i64) {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
    }

    /// Jobs became due.
    pub(super) fn make_due(&mut self) {
        self.due = true;
    }

    pub(super) fn after(&self) -> After {
        After {
            due: self.due,
            counted: !self.lines().is_empty(),
        }
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let events = self
            .events
            .iter()
            .map(|(state, by)| ("event", "", "", state.as_str(), *by));
        let jobs = self.jobs.iter().map(|((endpoint, handler, state), by)| {
            let state = state.as_str();
            ("job", endpoint.as_str(), handler.as_str(), state, *by)
        });
        let held = [("held_bytes", "", "", "", self.held_bytes)];
        let all = events.chain(jobs).chain(held);
        all.filter(|line| line.4 != 0).collect()
    }
}

impl Transaction<'_> {
    /// Appends the counts, with what comes next.
    pub(super) fn write_tally(&mut self) {
        let lines = self.tally.lines();
        if lines.is_empty() {
            return;
        }
        let texts = |of: for<'a> fn(&Line<'a>) -> &'a str| -> Box<dyn ToSql + Send + Sync> {
            Box::new(
                lines
                    .iter()
                    .map(|line| of(line).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let numbers: Vec<i64> = lines.iter().map(|line| line.4).collect();
        let params = vec![
            (texts(|line| line.0), Type::TEXT_ARRAY),
            (texts(|line| line.1), Type::TEXT_ARRAY),
            (texts(|line| line.2), Type::TEXT_ARRAY),
            (texts(|line| line.3), Type::TEXT_ARRAY),
            (Box::new(numbers) as Box<_>, Type::INT8_ARRAY),
        ];
        self.db.defer(
            "INSERT INTO tally (what, endpoint, handler, state, number)
             SELECT * FROM unnest($1, $2, $3, $4, $5)",
            params,
        );
    }
}

/// Makes one line of each count's many. Nothing if another process is at it.
pub(crate) async fn fold(database: &Database) -> Result<()> {
    let mut session = database.write().await?;
    let folded = async {
        let lock = locks::fold(database.schema());
        let first = session
            .first(
                "SELECT pg_try_advisory_xact_lock($1)",
                &[(&lock, Type::INT8)],
            )
            .await?;
        if first.is_some_and(|row| row.get(0).unwrap_or(false)) {
            session.run(FOLD, &[]).await?;
        }
        Ok(())
    };
    let folded = folded.await;
    session.end(folded).await
}

/// As many as one statement does well: after a long pause there may be millions, and whoever comes
/// next goes on.
const FOLD: &str = "WITH gone AS (
        DELETE FROM tally WHERE ctid = ANY (ARRAY(SELECT ctid FROM tally LIMIT 50000)) RETURNING *
    )
    INSERT INTO tally (what, endpoint, handler, state, number)
    SELECT what, endpoint, handler, state, sum(number) FROM gone
    GROUP BY what, endpoint, handler, state
    HAVING sum(number) <> 0";
