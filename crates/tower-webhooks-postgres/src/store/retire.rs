//! A handler that is taken out.

use std::time::Duration;

use tokio_postgres::types::Type;
use tower_webhooks_inbox::{EventState, JobState, Retire, Retired};

use super::{
    Result, Transaction, limit,
    lines::{Line, Lines},
    locks, rows, unsigned,
};

impl Transaction<'_> {
    pub(crate) async fn retire(&mut self, what: &Retire, max_jobs: usize) -> Result<Retired> {
        let mut retired = Retired::default();
        let endpoint = what.endpoint.as_str();
        let handler = what.handler.as_str();
        let name = [(&endpoint as _, Type::TEXT), (&handler as _, Type::TEXT)];
        // Who stores now still sees it, and is waited for; who stores later does not.
        self.db
            .batch(&locks::own_registrations(self.schema))
            .await?;
        if let Some(row) = self.db.first(ASKED, &name).await? {
            let unasked = row
                .get::<Option<i64>>(0)?
                .map(|micros| unsigned(micros.max(0)));
            let unasked = unasked.map(Duration::from_micros);
            if what.refuses(unasked) {
                retired.asked = unasked;
                return Ok(retired);
            }
            retired.registered = true;
            let delete = "DELETE FROM handler WHERE endpoint = $1 AND handler = $2";
            self.db.run(delete, &name).await?;
        }
        let most = limit(max_jobs).saturating_add(1);
        let [endpoint, handler] = name;
        let page = [endpoint, handler, (&most as _, Type::INT8)];
        let jobs = self.db.query(UNFINISHED, &page).await?;
        retired.more = jobs.len() > max_jobs;
        let jobs = jobs.get(..max_jobs).unwrap_or(&jobs);
        let seqs = jobs.iter().map(|row| row.get(3));
        let seqs = seqs.collect::<Result<Vec<i64>>>()?;
        let lines = jobs.iter().map(|row| Line::of_row(row, 0));
        let lines = lines
            .filter_map(Result::transpose)
            .collect::<Result<Lines>>()?;
        self.lock_lines(&lines).await?;
        let deleted = self
            .db
            .query(
                "WITH gone AS (
                     DELETE FROM job WHERE seq = ANY($1) AND handler = $2 AND state <> 'done'
                     RETURNING state
                 )
                 SELECT state, count(*) FROM gone GROUP BY state",
                &[
                    (&seqs, Type::INT8_ARRAY),
                    (&what.handler.as_str(), Type::TEXT),
                ],
            )
            .await?;
        for row in &deleted {
            let state = JobState::from_name(row.get(0)?).ok_or_else(|| rows::odd(0))?;
            let jobs = row.get::<i64>(1)?;
            self.tally.job(&what.endpoint, &what.handler, state, -jobs);
            retired.jobs += usize::try_from(jobs).unwrap_or(0);
        }
        let left = self
            .db
            .query(LEFT_ALONE, &[(&seqs, Type::INT8_ARRAY)])
            .await?;
        retired.unhandled = left.len();
        self.tally.event(EventState::Routed, -limit(left.len()));
        self.tally.event(EventState::Unhandled, limit(left.len()));
        // For the next step, or a handler that comes back between two.
        self.calls.extend(lines);
        self.call_next().await?;
        Ok(retired)
    }
}

const ASKED: &str =
    "SELECT (extract(epoch FROM statement_timestamp() - asked_at) * 1000000)::bigint
    FROM handler WHERE endpoint = $1 AND handler = $2";

const UNFINISHED: &str = "SELECT endpoint, handler, line, seq FROM job
    WHERE endpoint = $1 AND handler = $2 AND state <> 'done' ORDER BY seq LIMIT $3";

const LEFT_ALONE: &str = "UPDATE event SET state = 'unhandled'
    WHERE seq = ANY($1) AND state = 'routed'
        AND NOT EXISTS (SELECT FROM job WHERE job.seq = event.seq)
        AND NOT EXISTS (SELECT FROM reply WHERE reply.seq = event.seq)
    RETURNING seq";
