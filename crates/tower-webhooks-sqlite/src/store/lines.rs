//! Lines: the jobs of one handler, tenant and ordering key, run one after another.
//!
//! At most one job of a line has a due time; the others wait without one, so
//! that a claim never meets them. Whoever leaves the line calls the next.

use tower_webhooks_core::Text;
use tower_webhooks_inbox::Ordering;

use super::Tx;

/// The line that a job stands in, if its handler orders jobs and its event has a
/// key: JSON, so that no tenant and key run into one another.
pub(super) fn line_of(
    ordering: Ordering,
    tenant: Option<&str>,
    key: Option<&str>,
) -> Option<String> {
    match (ordering, key) {
        (Ordering::None, _) | (_, None) => None,
        (_, Some(key)) => Some(serde_json::json!([tenant, key]).to_string()),
    }
}

impl Tx<'_> {
    /// Whether a job that becomes pending now has to wait: an earlier one does, or
    /// another one has the turn, or a dead one blocks.
    pub(super) fn must_wait(
        &self,
        seq: i64,
        endpoint: &str,
        handler: &str,
        line: &str,
        ordering: Ordering,
    ) -> rusqlite::Result<bool> {
        let first = self.first_pending(endpoint, handler, line)?;
        Ok(first.is_some_and(|first| first < seq)
            || self.has_turn(seq, endpoint, handler, line)?
            || self.is_blocked(seq, endpoint, handler, line, ordering)?)
    }

    fn first_pending(
        &self,
        endpoint: &str,
        handler: &str,
        line: &str,
    ) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached(FIRST_PENDING)?
            .query_row((endpoint, handler, line), |row| row.get(0))
    }

    /// Whether a job other than this one has the line's turn.
    fn has_turn(
        &self,
        seq: i64,
        endpoint: &str,
        handler: &str,
        line: &str,
    ) -> rusqlite::Result<bool> {
        let other = self.first(OTHER_WITH_TURN, (endpoint, handler, line, seq), |_| Ok(()))?;
        Ok(other.is_some())
    }

    /// Whether a dead job earlier in the line blocks this one.
    fn is_blocked(
        &self,
        seq: i64,
        endpoint: &str,
        handler: &str,
        line: &str,
        ordering: Ordering,
    ) -> rusqlite::Result<bool> {
        if ordering != Ordering::Block {
            return Ok(false);
        }
        let dead = self.first(EARLIER_DEAD, (endpoint, handler, line, seq), |_| Ok(()))?;
        Ok(dead.is_some())
    }

    /// Lets those run that nothing holds up any more, after the handler began to
    /// order its jobs in this way.
    pub(super) fn reorder(
        &self,
        endpoint: &Text,
        handler: &Text,
        ordering: Ordering,
    ) -> rusqlite::Result<()> {
        match ordering {
            Ordering::Block => Ok(()),
            Ordering::None => self
                .run(DISBAND, (endpoint.as_str(), handler.as_str(), self.now))
                .map(drop),
            Ordering::Skip => {
                let place = (endpoint.as_str(), handler.as_str());
                let lines = self.all(WAITING_LINES, place, |row| row.get::<_, String>(0))?;
                for line in lines {
                    self.call_next(endpoint, handler, &line)?;
                }
                Ok(())
            }
        }
    }

    /// Gives the turn to the line's next job, after one has ended. Nothing
    /// happens while another still has it.
    pub(super) fn call_next(
        &self,
        endpoint: &Text,
        handler: &Text,
        line: &str,
    ) -> rusqlite::Result<()> {
        let Some(seq) = self.first_pending(endpoint, handler, line)? else {
            return Ok(());
        };
        let ordering = self.routes.ordering(endpoint, handler);
        if !self.must_wait(seq, endpoint, handler, line, ordering)? {
            self.run(
                "UPDATE job SET due_at = ?3 WHERE seq = ?1 AND handler = ?2 AND due_at IS NULL",
                (seq, handler.as_str(), self.now),
            )?;
        }
        Ok(())
    }
}

const DISBAND: &str = "UPDATE job SET line = NULL,
        due_at = CASE WHEN state = 'pending' THEN ifnull(due_at, ?3) ELSE due_at END
    WHERE endpoint = ?1 AND handler = ?2 AND line IS NOT NULL AND state <> 'done'";

const WAITING_LINES: &str = "SELECT DISTINCT line FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND line IS NOT NULL AND state = 'pending'
        AND state <> 'done' AND due_at IS NULL";

pub(super) const FIRST_PENDING: &str = "SELECT min(seq) FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND line = ?3 AND state = 'pending' AND state <> 'done'";

pub(super) const OTHER_WITH_TURN: &str = "SELECT 1 FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND line = ?3 AND seq <> ?4 AND due_at IS NOT NULL
    LIMIT 1";

pub(super) const EARLIER_DEAD: &str = "SELECT 1 FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND line = ?3 AND state = 'dead' AND state <> 'done'
        AND seq < ?4
    LIMIT 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_and_keys_never_run_into_one_another() {
        let line = |tenant, key| line_of(Ordering::Block, tenant, key);
        assert_eq!(line(None, None), None);
        assert_eq!(line_of(Ordering::None, None, Some("a")), None);
        let lines = [
            line(None, Some("a")),
            line(Some(""), Some("a")),
            line(Some("null"), Some("a")),
            line(Some("a\",\""), Some("")),
            line(Some("a"), Some("\",\"")),
        ];
        for (place, one) in lines.iter().enumerate() {
            assert!(one.is_some());
            assert!(!lines[..place].contains(one), "{one:?}");
        }
    }
}
