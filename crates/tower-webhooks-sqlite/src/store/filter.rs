//! A filter as SQL.

use rusqlite::types::Value;
use tower_webhooks_inbox::{EventState, Filter, JobState, Page, Pattern};

use super::column;
use crate::time::micros;

/// A `WHERE` over `event AS e`, with the values of its `?` in order.
pub(super) struct Condition {
    terms: Vec<String>,
    pub(super) values: Vec<Value>,
}

impl Condition {
    /// What the filter says about the event itself, from this page on.
    pub(super) fn of_event(filter: &Filter, page: Page) -> Self {
        let mut condition = Self {
            terms: Vec::new(),
            values: Vec::new(),
        };
        if let Some(after) = page.after {
            condition.add("e.seq > ?", column(after));
        }
        if let Some(seq) = filter.seq {
            condition.add("e.seq = ?", column(seq));
        }
        if let Some(endpoint) = &filter.endpoint {
            condition.add("e.endpoint = ?", endpoint.to_string());
        }
        if let Some(tenant) = &filter.tenant {
            condition.add("e.tenant = ?", tenant.to_string());
        }
        if let Some(id) = &filter.id {
            // Most ids are keys, and the rest have an index: none has both.
            condition.add("e.id = ?", id.to_string());
            condition.add(
                "e.seq IN (SELECT seq FROM event WHERE key = ?
                     UNION ALL SELECT seq FROM event WHERE id = ? AND id IS NOT NULL AND key <> id)",
                id.to_string(),
            );
            condition.values.push(Value::Text(id.to_string()));
        }
        if let Some(pattern) = &filter.event_type {
            condition.add_pattern(pattern);
        }
        if let Some(state) = filter.state {
            condition.add("e.state = ?", state.as_str().to_owned());
            if state != EventState::Routed {
                // Says to SQLite that the index of what is odd will do.
                condition.terms.push("e.state <> 'routed'".to_owned());
            }
        }
        if let Some(from) = filter.received_from {
            condition.add("e.received_at >= ?", micros(from));
        }
        if let Some(until) = filter.received_until {
            condition.add("e.received_at < ?", micros(until));
        }
        if filter.suppressed {
            condition.terms.push("e.suppressed > 0".to_owned());
        }
        condition
    }

    /// And that the event has a job as the filter says.
    pub(super) fn with_job(mut self, filter: &Filter) -> Self {
        let unfinished = match filter.job_state {
            // `IN` begins at these few jobs, not at the many events.
            Some(JobState::Dead) => vec!["state = 'dead'"],
            Some(JobState::Pending) => vec![
                "state = 'pending' AND due_at IS NOT NULL",
                "state = 'pending' AND line IS NOT NULL AND state <> 'done'",
            ],
            Some(JobState::Running) => vec!["state = 'running' AND due_at IS NOT NULL"],
            Some(JobState::Done) | None => Vec::new(),
        };
        let of_handler = if filter.handler.is_some() {
            " AND handler = ?"
        } else {
            ""
        };
        let mut selects = Vec::new();
        for jobs in unfinished {
            selects.push(format!("SELECT seq FROM job WHERE {jobs}{of_handler}"));
            self.add_handler(filter);
        }
        if selects.is_empty() {
            let mut exists = format!("SELECT 1 FROM job WHERE job.seq = e.seq{of_handler}");
            self.add_handler(filter);
            if let Some(state) = filter.job_state {
                exists.push_str(" AND state = ?");
                self.values.push(Value::Text(state.as_str().to_owned()));
            }
            self.terms.push(format!("EXISTS ({exists})"));
        } else {
            self.terms
                .push(format!("e.seq IN ({})", selects.join(" UNION ALL ")));
        }
        self
    }

    /// A statement: this selection, the condition, the order and one row more
    /// than the page has, which tells whether there is a next one.
    pub(super) fn select(&mut self, select: &str, page: Page) -> String {
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        self.values.push(Value::Integer(limit.saturating_add(1)));
        let terms = match self.terms.as_slice() {
            [] => "1".to_owned(),
            terms => terms.join(" AND "),
        };
        format!("{select} WHERE {terms} ORDER BY e.seq LIMIT ?")
    }

    fn add(&mut self, term: &str, value: impl Into<Value>) {
        self.terms.push(term.to_owned());
        self.values.push(value.into());
    }

    fn add_handler(&mut self, filter: &Filter) {
        let handler = filter.handler.as_ref();
        self.values
            .extend(handler.map(|handler| Value::Text(handler.to_string())));
    }

    fn add_pattern(&mut self, pattern: &Pattern) {
        if let Some(exact) = pattern.exact() {
            self.add("e.event_type = ?", exact.to_owned());
            return;
        }
        let text = pattern.to_string();
        // Without its star: nothing, or a prefix that ends in a dot. What begins
        // with it lies before the same with the character after the dot.
        if let Some(stem) = text.strip_suffix(".*") {
            self.add("e.event_type >= ?", format!("{stem}."));
            self.add("e.event_type < ?", format!("{stem}/"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(change: impl FnOnce(&mut Filter)) -> (String, usize) {
        let mut filter = Filter::default();
        change(&mut filter);
        let mut condition = Condition::of_event(&filter, Page::default());
        if filter.names_jobs() {
            condition = condition.with_job(&filter);
        }
        let sql = condition.select("SELECT e.seq FROM event AS e", Page::default());
        (sql, condition.values.len())
    }

    #[test]
    fn every_question_mark_has_its_value() {
        let all = |state| {
            sql(|filter| {
                filter.seq = Some(tower_webhooks_inbox::EventSeq(1));
                filter.endpoint = Some("shop".into());
                filter.tenant = Some("a".into());
                filter.id = Some("1".into());
                filter.event_type = Some("order.*".parse().unwrap());
                filter.state = Some(EventState::Conflict);
                filter.handler = Some("ship".into());
                filter.job_state = state;
                filter.received_from = Some(std::time::SystemTime::UNIX_EPOCH);
                filter.received_until = Some(std::time::SystemTime::UNIX_EPOCH);
                filter.suppressed = true;
            })
        };
        use JobState::{Dead, Done, Pending, Running};
        for state in [None, Some(Dead), Some(Done), Some(Pending), Some(Running)] {
            let (sql, values) = all(state);
            assert_eq!(sql.matches('?').count(), values, "{sql}");
        }
    }

    #[test]
    fn no_filter_chooses_all() {
        let (sql, values) = sql(|filter| filter.event_type = Some(Pattern::all()));
        assert_eq!(
            sql,
            "SELECT e.seq FROM event AS e WHERE 1 ORDER BY e.seq LIMIT ?"
        );
        assert_eq!(values, 1);
    }

    #[test]
    fn rare_jobs_are_where_the_search_begins() {
        let (sql, _) = sql(|filter| filter.job_state = Some(JobState::Dead));
        assert!(sql.contains("e.seq IN (SELECT seq FROM job WHERE state = 'dead')"));
    }
}
