//! A filter as SQL.

use std::time::SystemTime;

use tokio_postgres::types::{ToSql, Type};
use tower_webhooks_inbox::{EventState, Filter, JobState, Page, Pattern};

use super::{column, limit};
use crate::{driver::Param, time::storable};

/// A value of a `$`.
#[derive(Debug)]
enum Value {
    Number(i64),
    Text(String),
    Time(SystemTime),
}

/// A `WHERE` over `event AS e`, with the values of its `$` in order.
pub(super) struct Condition {
    terms: Vec<String>,
    values: Vec<Value>,
}

impl Condition {
    /// What the filter says about the event itself, from this page on.
    pub(super) fn of_event(filter: &Filter, page: Page) -> Self {
        let mut condition = Self {
            terms: Vec::new(),
            values: Vec::new(),
        };
        if let Some(after) = page.after {
            condition.add("e.seq > ?", Value::Number(column(after)));
        }
        if let Some(seq) = filter.seq {
            condition.add("e.seq = ?", Value::Number(column(seq)));
        }
        if let Some(endpoint) = &filter.endpoint {
            condition.add("e.endpoint = ?", Value::Text(endpoint.to_string()));
        }
        if let Some(tenant) = &filter.tenant {
            condition.add("e.tenant = ?", Value::Text(tenant.to_string()));
        }
        if let Some(id) = &filter.id {
            // Most ids are keys, and the rest have an index: none has both.
            condition.add(
                "e.id = ? AND e.seq IN (SELECT seq FROM event WHERE key = ?
                     UNION ALL SELECT seq FROM event WHERE id = ? AND id IS NOT NULL AND key <> id)",
                Value::Text(id.to_string()),
            );
        }
        if let Some(pattern) = &filter.event_type {
            condition.add_pattern(pattern);
        }
        if let Some(state) = filter.state {
            let name = state.as_str().to_owned();
            condition.add("e.state = ?", Value::Text(name));
            if state != EventState::Routed {
                // Says to PostgreSQL that the index of what is odd will do.
                condition.terms.push("e.state <> 'routed'".to_owned());
            }
        }
        if let Some(from) = filter.received_from {
            condition.add("e.received_at >= ?", Value::Time(storable(from)));
        }
        if let Some(until) = filter.received_until {
            condition.add("e.received_at < ?", Value::Time(storable(until)));
        }
        if filter.suppressed {
            condition.terms.push("e.suppressed > 0".to_owned());
        }
        condition
    }

    /// And that the event has a job as the filter says.
    pub(super) fn with_job(mut self, filter: &Filter) -> Self {
        let mut jobs = "SELECT seq FROM job WHERE true".to_owned();
        if let Some(state) = filter.job_state {
            // Written out, so that PostgreSQL sees which index will do.
            jobs.push_str(&format!(" AND state = '{}'", state.as_str()));
            if state != JobState::Done {
                jobs.push_str(" AND state <> 'done'");
            }
        }
        match &filter.handler {
            Some(handler) => self.add(
                &format!("e.seq IN ({jobs} AND handler = ?)"),
                Value::Text(handler.to_string()),
            ),
            None => self.terms.push(format!("e.seq IN ({jobs})")),
        }
        self
    }

    /// A statement: this selection, the condition, the order and one row more
    /// than the page has, which tells whether there is a next one.
    pub(super) fn select(&self, select: &str, page: Page) -> String {
        let terms = match self.terms.as_slice() {
            [] => "true".to_owned(),
            terms => terms.join(" AND "),
        };
        let rows = limit(page.limit).saturating_add(1);
        format!("{select} WHERE {terms} ORDER BY e.seq LIMIT {rows}")
    }

    /// The values, as they are sent.
    pub(super) fn params(&self) -> Vec<Param<'_>> {
        self.values
            .iter()
            .map(|value| match value {
                Value::Number(number) => (number as &(dyn ToSql + Sync), Type::INT8),
                Value::Text(text) => (text as &(dyn ToSql + Sync), Type::TEXT),
                Value::Time(time) => (time as &(dyn ToSql + Sync), Type::TIMESTAMPTZ),
            })
            .collect()
    }

    /// Adds a term; each `?` in it is the value.
    fn add(&mut self, term: &str, value: Value) {
        self.values.push(value);
        let number = format!("${}", self.values.len());
        self.terms.push(term.replace('?', &number));
    }

    fn add_pattern(&mut self, pattern: &Pattern) {
        if let Some(exact) = pattern.exact() {
            self.add("e.event_type = ?", Value::Text(exact.to_owned()));
            return;
        }
        let text = pattern.to_string();
        // Without its star: nothing, or a prefix that ends in a dot.
        if let Some(prefix) = text.strip_suffix('*').filter(|prefix| !prefix.is_empty()) {
            self.add(
                "starts_with(e.event_type, ?)",
                Value::Text(prefix.to_owned()),
            );
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
        (sql, condition.params().len())
    }

    #[test]
    fn every_number_has_its_value() {
        use JobState::{Dead, Done, Pending, Running};
        for state in [None, Some(Dead), Some(Done), Some(Pending), Some(Running)] {
            let (sql, values) = sql(|filter| {
                filter.seq = Some(tower_webhooks_inbox::EventSeq(1));
                filter.endpoint = Some("shop".into());
                filter.tenant = Some("a".into());
                filter.id = Some("1".into());
                filter.event_type = Some("order.*".parse().unwrap());
                filter.state = Some(EventState::Conflict);
                filter.handler = Some("ship".into());
                filter.job_state = state;
                filter.received_from = Some(SystemTime::UNIX_EPOCH);
                filter.received_until = Some(SystemTime::UNIX_EPOCH);
                filter.suppressed = true;
            });
            assert_eq!(values, 9, "{sql}");
            assert!(sql.contains("$9") && !sql.contains("$10"), "{sql}");
            assert!(!sql.contains('?'), "{sql}");
        }
    }

    #[test]
    fn no_filter_chooses_all() {
        let (sql, values) = sql(|filter| filter.event_type = Some(Pattern::all()));
        assert_eq!(
            sql,
            "SELECT e.seq FROM event AS e WHERE true ORDER BY e.seq LIMIT 101"
        );
        assert_eq!(values, 0);
    }

    #[test]
    fn no_text_of_a_caller_is_sql() {
        let (sql, _) = sql(|filter| {
            filter.handler = Some("'; DROP TABLE job".into());
            filter.event_type = Some("order'?".parse().unwrap());
        });
        assert!(!sql.contains("DROP") && !sql.contains("order"), "{sql}");
    }
}
