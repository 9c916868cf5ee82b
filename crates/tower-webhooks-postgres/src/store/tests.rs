//! How PostgreSQL goes about what is asked often: by an index, without sorting,
//! with many rows of history.

use std::sync::Arc;

use tokio_postgres::{Client, NoTls, types::Type};
use tower_webhooks_inbox::{EventState, Filter, JobState, Page};

use super::{claim, filter::Condition, jobs, known, lines, operate, replies, retain, rows};
use crate::{driver::Param, schema, session::BY_INDEX};

/// A new inbox.
async fn empty(name: &str) -> Client {
    let url = std::env::var("TOWER_WEBHOOKS_POSTGRES").unwrap();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let migrate = schema::migration_sql(name, 0).unwrap();
    client.batch_execute(&migrate).await.unwrap();
    let enter = format!("SET search_path = {name}");
    client.batch_execute(&enter).await.unwrap();
    client
}

/// An inbox with 60,000 events of history and 50,000 that wait, analysed.
async fn filled() -> (Client, String) {
    let name = format!("plans_{}", std::process::id());
    let client = empty(&name).await;
    client
        .batch_execute(
            "INSERT INTO event (seq, endpoint, key, state, id, id_signed, event_type, received_at,
                 stored_at, by_body, body_sha256, body_bytes)
             SELECT n, 'shop', 'evt_' || md5(n::text),
                 CASE WHEN n % 5000 = 0 THEN 'conflict' ELSE 'routed' END, 'evt_' || md5(n::text),
                 true, 'order.paid', now() - (110001 - n) * interval '1 minute',
                 now() - (110001 - n) * interval '1 minute', n % 10 = 0,
                 sha256(convert_to(n::text, 'UTF8')), 100
             FROM generate_series(1, 110000) AS n;
             INSERT INTO event_body (seq, stored_at, held_bytes, body)
             SELECT seq, stored_at, 100, 'body' FROM event;
             INSERT INTO job (seq, handler, endpoint, state, due_at, line)
             SELECT n, CASE WHEN n % 2 = 0 THEN 'ship' ELSE 'bill' END, 'shop',
                 CASE WHEN n % 3000 = 0 THEN 'dead' WHEN n <= 60000 THEN 'done' ELSE 'pending' END,
                 CASE WHEN n > 60000 AND n % 3000 <> 0 THEN now() - interval '1 s' END, NULL
             FROM generate_series(1, 110000) AS n;
             INSERT INTO handler (endpoint, handler, pattern, fallback, ordering)
             VALUES ('shop', 'ship', '*', false, 'none'), ('shop', 'bill', '*', false, 'none');
             ANALYZE;",
        )
        .await
        .unwrap();
    (client, name)
}

async fn plan(client: &Client, sql: &str, params: &[Param<'_>]) -> String {
    let rows = client
        .query_typed(&format!("EXPLAIN {sql}"), params)
        .await
        .unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_is_asked_often_goes_by_an_index_however_long_the_history() {
    let (client, name) = filled().await;
    let client = Arc::new(client);
    let shops = vec!["shop"; 2];
    let handlers = vec!["ship", "bill"];
    let (free, lease, worker) = (vec![8_i64; 2], 30_000_000_i64, "worker");
    let wanted: &[Param<'_>] = &[
        (&shops, Type::TEXT_ARRAY),
        (&handlers, Type::TEXT_ARRAY),
        (&free, Type::INT8_ARRAY),
        (&lease, Type::INT8),
        (&worker, Type::TEXT),
    ];
    let tenants = vec![None::<&str>; 2];
    let keys = vec!["evt_1", "evt_2"];
    let hashes = vec![&[0_u8; 32][..], &[1; 32][..]];
    let by_key: &[Param<'_>] = &[
        (&shops, Type::TEXT_ARRAY),
        (&tenants, Type::TEXT_ARRAY),
        (&keys, Type::TEXT_ARRAY),
    ];
    let by_body: &[Param<'_>] = &[
        (&shops, Type::TEXT_ARRAY),
        (&tenants, Type::TEXT_ARRAY),
        (&hashes, Type::BYTEA_ARRAY),
    ];
    let (days, older, most) = (70 * 86_400_000_000_i64, 75 * 86_400_000_000_i64, 100_i64);
    let (begin, first) = (std::time::SystemTime::UNIX_EPOCH, 0_i64);
    let old: &[Param<'_>] = &[
        (&days, Type::INT8),
        (&begin, Type::TIMESTAMPTZ),
        (&first, Type::INT8),
        (&most, Type::INT8),
        (&older, Type::INT8),
    ];
    let seqs = vec![1_i64, 2];
    let these: &[Param<'_>] = &[(&seqs, Type::INT8_ARRAY)];
    let extends: &[Param<'_>] = &[
        (&seqs, Type::INT8_ARRAY),
        (&handlers, Type::TEXT_ARRAY),
        (&seqs, Type::INT8_ARRAY),
        (&seqs, Type::INT8_ARRAY),
    ];
    for (sql, params, index) in [
        (jobs::EXTEND, extends, "Tid Scan on job"),
        (claim::CLAIM, wanted, "job_due"),
        (operate::NEXT_DUE, &wanted[..2], "job_due"),
        (operate::OLDEST_PENDING, &[], "job_unfinished"),
        (known::BY_KEY, by_key, "event_key"),
        (known::BY_BODY, by_body, "event_by_body"),
        (retain::OLD_KEYS, &old[..4], "event_stored"),
        (retain::OLD_BODIES, old, "event_body_stored"),
        (rows::SELECT_WHOLE, these, "event_pkey"),
        (rows::SELECT_JOBS, these, "job_pkey"),
    ] {
        let plan = plan(&client, sql, params).await;
        assert!(plan.contains(index), "{sql}:\n{plan}");
        for table in ["event", "event_body", "job"] {
            for end in [" ", "\n"] {
                let scan = format!("Seq Scan on {table}{end}");
                assert!(!plan.contains(&scan), "{sql}:\n{plan}");
            }
        }
        if sql == claim::CLAIM {
            let due = plan.split("CTE ").nth(1).unwrap_or_default();
            assert!(!due.contains("Sort"), "in the index's order:\n{plan}");
        }
    }
    let only = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    for (filter, index) in [
        (
            only(&|f| f.job_state = Some(JobState::Dead)),
            "job_unfinished",
        ),
        (
            only(&|f| f.state = Some(EventState::Conflict)),
            "event_state",
        ),
        (only(&|f| f.suppressed = true), "event_suppressed"),
        (only(&|f| f.id = Some("1".into())), "event_key"),
    ] {
        let mut condition = Condition::of_event(&filter, Page::default());
        if filter.names_jobs() {
            condition = condition.with_job(&filter);
        }
        let sql = condition.select(rows::SELECT_EVENTS, Page::default());
        let plan = plan(&client, &sql, &condition.params()).await;
        assert!(plan.contains(index), "{filter:?}:\n{plan}");
    }
    let drop = format!("DROP SCHEMA {name} CASCADE");
    client.batch_execute(&drop).await.unwrap();
}

/// A kept plan lasts, and is made by the first batch of all.
#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_is_planned_while_nothing_is_stored_goes_by_an_index_too() {
    let name = format!("empty_plans_{}", std::process::id());
    let client = empty(&name).await;
    let settings = format!("BEGIN; SELECT 1{BY_INDEX}");
    client.batch_execute(&settings).await.unwrap();
    let by_place = &["seq = q.seq", "Tid Scan on job"][..];
    for (sql, types, scans) in [
        (
            claim::CLAIM,
            "text[], text[], bigint[], bigint, text",
            &["(due_at <= ", "Tid Scan on job"][..],
        ),
        (
            jobs::EXTEND,
            "bigint[], text[], bigint[], bigint[]",
            by_place,
        ),
        (
            jobs::SETTLE,
            "bigint[], text[], bigint[], text[], bigint[], bigint[], text[]",
            by_place,
        ),
        (
            known::BY_BODY,
            "text[], text[], bytea[]",
            &["body_sha256 = q.sha256"],
        ),
        (known::BY_KEY, "text[], text[], text[]", &["(key = q.key)"]),
        (lines::LINES_OF_JOBS, "bigint[], text[]", &["seq = q.seq"]),
        (replies::LOOK, "bigint", &["event_pkey", "reply_pkey"]),
        (
            rows::SELECT_WHOLE,
            "bigint[]",
            &["event_pkey", "event_body_pkey"],
        ),
    ] {
        let prepare = format!("PREPARE asked ({types}) AS {sql}");
        client.batch_execute(&prepare).await.unwrap();
        let nothing = vec!["NULL"; types.split(',').count()].join(", ");
        let plan = plan(&client, &format!("EXECUTE asked ({nothing})"), &[]).await;
        client.batch_execute("DEALLOCATE asked").await.unwrap();
        for scan in scans {
            assert!(plan.contains(scan), "{sql}:\n{plan}");
        }
        let lines: Vec<&str> = plan.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            assert!(!line.contains("Seq Scan"), "{sql}:\n{plan}");
            if line.contains("Index Scan") || line.contains("Index Only Scan") {
                let next = lines.get(number + 1).copied().unwrap_or_default();
                assert!(next.contains("Index Cond"), "a whole index: {sql}:\n{plan}");
            }
        }
    }
    let drop = format!("ROLLBACK; DROP SCHEMA {name} CASCADE");
    client.batch_execute(&drop).await.unwrap();
}
