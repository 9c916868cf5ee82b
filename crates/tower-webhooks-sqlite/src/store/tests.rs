//! How SQLite goes about what is asked often: by an index, without sorting.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, StatementStatus, params_from_iter};
use tower_webhooks_inbox::{EventState, Filter, JobState, Page};

use super::{events, filter::Condition, jobs, lines, operate, retain, rows};
use crate::{
    connection::{self, Settings},
    place, schema,
};

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::prepare(&mut connection, Path::new("a.db"), true).unwrap();
    connection
}

fn plan(connection: &Connection, sql: &str) -> String {
    let mut plan = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let nothing = vec![rusqlite::types::Null; plan.parameter_count()];
    let steps = plan.query_map(params_from_iter(nothing), |row| row.get::<_, String>(3));
    steps
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap()
        .join("; ")
}

#[test]
fn what_is_asked_often_goes_by_an_index_and_sorts_nothing() {
    let connection = database();
    for (sql, index) in [
        (jobs::DUE, "job_due (endpoint=? AND handler=? AND due_at<?)"),
        (
            operate::NEXT_DUE,
            "COVERING INDEX job_due (endpoint=? AND handler=?",
        ),
        (
            events::BY_KEY,
            "event_key (key=? AND endpoint=? AND <expr>=?)",
        ),
        (
            events::BY_BODY,
            "event_body (body_sha256=? AND endpoint=? AND <expr>=? AND <expr>=?)",
        ),
        (
            lines::FIRST_PENDING,
            "COVERING INDEX job_line (endpoint=? AND handler=? AND line=? AND state=?)",
        ),
        (
            lines::OTHER_WITH_TURN,
            "job_turn (endpoint=? AND handler=? AND line=?)",
        ),
        (lines::EARLIER_DEAD, "COVERING INDEX job_line"),
        (
            retain::OLD_KEYS,
            "event_stored (stored_at>? AND stored_at<?)",
        ),
        (
            retain::OLD_BODIES,
            "event_held (stored_at>? AND stored_at<?)",
        ),
        (
            retain::OF_TENANT,
            "event_tenant (endpoint=? AND tenant=? AND rowid>?)",
        ),
        (
            rows::SELECT_EVENT,
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (rows::SELECT_JOBS, "SEARCH job USING PRIMARY KEY (seq=?)"),
    ] {
        let plan = plan(&connection, sql);
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        assert!(!plan.contains("SCAN"), "{sql}: {plan}");
    }
}

#[test]
fn other_values_do_not_compile_a_statement_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inbox.db");
    place::create(&path).unwrap();
    let settings = Settings {
        busy_timeout: Duration::from_secs(1),
        checkpoint_pages: 1000,
    };
    let mut writer = connection::writing(&path, settings).unwrap();
    schema::prepare(&mut writer, &path, true).unwrap();
    let reader = connection::reading(&path, settings).unwrap();
    for (connection, sql) in [
        (&writer, events::BY_BODY),
        (&writer, jobs::DUE),
        (&writer, rows::SELECT_EVENT),
        (&reader, operate::NEXT_DUE),
        (&reader, rows::SELECT_EVENT),
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        for value in 5..8 {
            let values = vec![value; statement.parameter_count()];
            statement.exists(params_from_iter(values)).unwrap();
        }
        let compiled_anew = statement.get_status(StatementStatus::RePrepare);
        assert_eq!(compiled_anew, 0, "{sql}");
    }
}

#[test]
fn the_oldest_pending_job_is_found_without_its_table() {
    let plan = plan(&database(), operate::OLDEST_PENDING);
    for index in [
        "SCAN job USING COVERING INDEX job_due",
        "COVERING INDEX job_line",
    ] {
        assert!(plan.contains(index), "{plan}");
    }
}

#[test]
fn what_is_rare_is_listed_without_reading_all_events() {
    let connection = database();
    let only = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    for (filter, index) in [
        (only(&|f| f.job_state = Some(JobState::Dead)), "job_dead"),
        (only(&|f| f.job_state = Some(JobState::Pending)), "job_due"),
        (only(&|f| f.job_state = Some(JobState::Running)), "job_due"),
        (
            only(&|f| f.state = Some(EventState::Conflict)),
            "event_state (state=?)",
        ),
        (only(&|f| f.suppressed = true), "event_suppressed"),
        (only(&|f| f.id = Some("1".into())), "event_key (key=?)"),
    ] {
        let mut condition = Condition::of_event(&filter, Page::default());
        if filter.names_jobs() {
            condition = condition.with_job(&filter);
        }
        let sql = condition.select(rows::SELECT_EVENTS, Page::default());
        let plan = plan(&connection, &sql);
        assert!(plan.contains(index), "{filter:?}: {plan}");
        assert!(!plan.contains("SCAN e;"), "{filter:?}: {plan}");
    }
}

/// A heartbeat without an id: the same body again after each span.
#[test]
fn looking_for_a_body_costs_the_same_however_often_it_came() {
    let connection = database();
    connection
        .execute_batch(
            "WITH RECURSIVE beat(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM beat LIMIT 2000)
             INSERT INTO event (seq, endpoint, key, state, id_signed, received_at, stored_at,
                 by_body, body_sha256, body_bytes)
             SELECT seq, 'shop', 'sha256:' || seq, 'routed', 1, seq, seq, 1, zeroblob(32), 0
             FROM beat",
        )
        .unwrap();
    for unusable in [false, true] {
        let mut statement = connection.prepare(events::BY_BODY).unwrap();
        let asked = ([0_u8; 32], "shop", None::<&str>, unusable);
        assert_eq!(statement.exists(asked).unwrap(), !unusable);
        let steps = statement.get_status(StatementStatus::VmStep);
        assert!(steps < 100, "{steps} steps, unusable: {unusable}");
    }
}
