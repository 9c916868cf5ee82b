//! What a handler writes commits with its job's completion, or neither does.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use common::{Schema, claim, done, event, insert, register, registration, try_insert};
use tower_webhooks_inbox::{
    Batch, Extend, Inbox, Inserted, JobState, Leased, Ordering, SettleResult, Work,
};
use tower_webhooks_postgres::{PostgresInbox, Tx, TxError};

const TABLES: &str = "CREATE TABLE settlement (id text PRIMARY KEY);
    CREATE TABLE line (settlement text REFERENCES settlement (id) DEFERRABLE INITIALLY DEFERRED)";

/// An inbox with one job leased, and one connection for handlers.
async fn leased(schema: &Schema) -> (PostgresInbox, Leased) {
    let inbox = schema.builder().with_max_transactions(1);
    let inbox = inbox.open().await.unwrap();
    schema.shell().await.batch_execute(TABLES).await.unwrap();
    register(&inbox, registration("settle")).await;
    insert(&inbox, "1").await;
    let job = claim(&inbox, "settle", 1).await.remove(0);
    (inbox, job)
}

async fn begin(inbox: &PostgresInbox) -> Work {
    let begun = tokio::time::timeout(Duration::from_secs(5), inbox.begin());
    begun
        .await
        .expect("a connection")
        .unwrap()
        .expect("a transaction")
}

/// Writes as a handler does, and gives the transaction back.
async fn write(schema: &Schema, work: &Work, sql: &str) {
    let tx = Tx::take(work).unwrap();
    let name = &schema.name;
    tx.batch_execute(&format!("SET LOCAL search_path = {name}; {sql}"))
        .await
        .unwrap();
}

async fn settle(inbox: &PostgresInbox, job: &Leased, work: &Work) -> SettleResult {
    inbox
        .settle_apart(done(job, Some(work.clone())))
        .await
        .unwrap()
}

async fn settlements(schema: &Schema) -> i64 {
    schema.count("SELECT count(*) FROM settlement").await
}

async fn state(inbox: &PostgresInbox, job: &Leased) -> JobState {
    inbox.get(job.event.seq).await.unwrap().unwrap().jobs[0].state
}

fn reason(result: SettleResult) -> String {
    match result {
        SettleResult::WorkRefused(reason) => reason.to_string(),
        other => panic!("the work is refused, not {other:?}"),
    }
}

const PAY: &str = "INSERT INTO settlement VALUES ('a')";

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_row_and_the_completion_commit_together() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    assert_eq!(settlements(&schema).await, 0, "not before");
    let result = settle(&inbox, &job, &work).await;
    assert_eq!(result, SettleResult::Settled);
    let both = "SELECT count(*) FROM settlement, job WHERE state = 'done' AND due_at IS NULL";
    assert_eq!(schema.count(both).await, 1);
    let stats = inbox.stats().await.unwrap();
    assert_eq!(
        (stats.jobs(JobState::Running), stats.jobs(JobState::Done)),
        (0, 1)
    );
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_lost_lease_commits_nothing() {
    let schema = Schema::new();
    let (inbox, mut job) = leased(&schema).await;
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    job.token += 1;
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::LeaseLost);
    assert_eq!(settlements(&schema).await, 0);
    assert_eq!(state(&inbox, &job).await, JobState::Running);

    job.token -= 1;
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
    let work = begin(&inbox).await;
    write(&schema, &work, "INSERT INTO settlement VALUES ('b')").await;
    let twice = settle(&inbox, &job, &work).await;
    assert_eq!(twice, SettleResult::LeaseLost);
    assert_eq!(settlements(&schema).await, 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_commit_that_the_server_refuses_leaves_the_job_leased() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let work = begin(&inbox).await;
    let dangling = format!("{PAY}; INSERT INTO line VALUES ('nowhere')");
    write(&schema, &work, &dangling).await;
    let refused = reason(settle(&inbox, &job, &work).await);
    assert!(refused.contains("23503"), "{refused}");
    assert_eq!(settlements(&schema).await, 0);
    assert_eq!(state(&inbox, &job).await, JobState::Running);

    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn an_error_that_the_handler_hid_commits_nothing() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    let tx = Tx::take(&work).unwrap();
    tx.batch_execute("SELECT 1 / 0").await.unwrap_err();
    drop(tx);
    let refused = reason(settle(&inbox, &job, &work).await);
    assert!(refused.contains("25P02"), "{refused}");
    assert_eq!(settlements(&schema).await, 0);
    assert_eq!(state(&inbox, &job).await, JobState::Running);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_handler_that_commits_by_itself_is_refused() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    for ending in ["COMMIT", "COMMIT; BEGIN", "ROLLBACK", "ROLLBACK; BEGIN"] {
        let work = begin(&inbox).await;
        write(&schema, &work, ending).await;
        let refused = reason(settle(&inbox, &job, &work).await);
        assert!(
            refused.starts_with("the handler ended its transaction itself"),
            "{ending}: {refused}"
        );
        assert_eq!(state(&inbox, &job).await, JobState::Running);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_transaction_that_nobody_settles_is_rolled_back() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let pid = async |work: &Work| -> i32 {
        let tx = Tx::take(work).unwrap();
        let row = tx.query_one("SELECT pg_backend_pid()", &[]).await;
        row.unwrap().get(0)
    };
    let work = begin(&inbox).await;
    let first = pid(&work).await;
    write(&schema, &work, PAY).await;
    drop(work);
    // There is one connection, and it is clean.
    let work = begin(&inbox).await;
    assert_eq!(pid(&work).await, first);
    write(&schema, &work, PAY).await;
    // The handler is stopped in the middle of a statement.
    let slow = async {
        let tx = Tx::take(&work).unwrap();
        tx.batch_execute("SELECT pg_sleep(0.3)").await
    };
    let stopped = tokio::time::timeout(Duration::from_millis(50), slow).await;
    assert!(stopped.is_err());
    assert!(!work.is_taken());
    drop(work);
    assert_eq!(settlements(&schema).await, 0);
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
    assert_eq!(settlements(&schema).await, 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_transaction_in_use_is_not_settled() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let work = begin(&inbox).await;
    let kept = Tx::take(&work).unwrap();
    assert!(matches!(Tx::take(&work), Err(TxError::InUse)));
    let refused = reason(settle(&inbox, &job, &work).await);
    assert!(refused.contains("still has it in use"), "{refused}");
    drop(kept);
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn slow_handlers_keep_no_acknowledgement_waiting() {
    let schema = Schema::new();
    let (inbox, _job) = leased(&schema).await;
    let _all_of_them = begin(&inbox).await;
    let stored = try_insert(&inbox, event("2")).await;
    assert!(stored.is_ok(), "{stored:?}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_next_of_its_line_comes_with_the_commit() {
    let schema = Schema::new();
    let inbox = schema.open().await;
    let mut ordered = registration("settle");
    ordered.ordering = Ordering::Block;
    register(&inbox, ordered).await;
    for id in ["1", "2"] {
        let mut keyed = event(id);
        keyed.ordering_key = Some("account".into());
        try_insert(&inbox, keyed).await.unwrap();
    }
    let first = claim(&inbox, "settle", 10).await.remove(0);
    assert!(claim(&inbox, "settle", 10).await.is_empty());
    let work = begin(&inbox).await;
    assert_eq!(settle(&inbox, &first, &work).await, SettleResult::Settled);
    assert_eq!(claim(&inbox, "settle", 10).await.len(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_the_commit_triggers_finds_the_handlers_tables() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let elsewhere = Schema::new();
    let name = &elsewhere.name;
    let trigger = format!(
        "CREATE SCHEMA {name};
         CREATE TABLE {name}.noted (id text);
         CREATE FUNCTION {name}.note() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN INSERT INTO noted VALUES (NEW.id); RETURN NEW; END';
         CREATE CONSTRAINT TRIGGER note AFTER INSERT ON settlement DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION {name}.note();"
    );
    schema.shell().await.batch_execute(&trigger).await.unwrap();
    let work = begin(&inbox).await;
    let there = format!("{PAY}; SET LOCAL search_path = {name}");
    write(&schema, &work, &there).await;
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
    let noted = format!("SELECT count(*) FROM {name}.noted");
    assert_eq!(schema.count(&noted).await, 1);
    // The trigger goes before the schema that its function is in.
    schema
        .shell()
        .await
        .batch_execute("DROP TABLE settlement CASCADE")
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_handler_that_changed_its_role_is_settled_and_keeps_it_for_the_commit() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let name = &schema.name;
    let trigger = format!(
        "CREATE TABLE noted (id text); GRANT INSERT ON noted TO PUBLIC;
         GRANT INSERT ON settlement TO PUBLIC; GRANT USAGE ON SCHEMA {name} TO PUBLIC;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
             INSERT INTO {name}.noted VALUES (concat_ws('' '', current_user,
                 current_setting(''lock_timeout''),
                 current_setting(''idle_in_transaction_session_timeout'')));
             RETURN NEW; END';
         CREATE CONSTRAINT TRIGGER note AFTER INSERT ON settlement DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION note();"
    );
    schema.shell().await.batch_execute(&trigger).await.unwrap();
    // Any role that this one may be; every server has this one.
    let granted = "GRANT pg_monitor TO webhooks";
    let postgres = common::url().replace("webhooks@", "postgres@");
    common::shell(&postgres)
        .await
        .batch_execute(granted)
        .await
        .unwrap();
    let work = begin(&inbox).await;
    let other = "SET LOCAL ROLE pg_monitor; SET LOCAL lock_timeout = '7s'";
    write(&schema, &work, &format!("{other}; {PAY}")).await;
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
    // What he set is back; and who vanishes now keeps the job's row no longer than a statement.
    let noted = "SELECT count(*) FROM noted WHERE id = 'pg_monitor 7s 5s'";
    assert_eq!(schema.count(noted).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_handlers_transaction_may_not_idle_for_ever_nor_wait_for_ever_to_be_settled() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let shows = async |work: &Work| -> String {
        let tx = Tx::take(work).unwrap();
        let sql = "SHOW idle_in_transaction_session_timeout";
        tx.query_one(sql, &[]).await.unwrap().get(0)
    };
    let work = begin(&inbox).await;
    assert_eq!(shows(&work).await, "10min");
    drop(work);

    // Somebody holds the table: the settle waits for it as long as for a statement.
    let inbox = schema.builder().with_max_transactions(1);
    let inbox = inbox.with_statement_timeout(Duration::from_millis(300));
    let inbox = inbox.open().await.unwrap();
    let mut shell = schema.shell().await;
    let holding = shell.transaction().await.unwrap();
    let hold = "LOCK TABLE job IN EXCLUSIVE MODE";
    holding.batch_execute(hold).await.unwrap();
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    let refused = reason(settle(&inbox, &job, &work).await);
    assert!(refused.contains("55P03"), "{refused}");
    holding.rollback().await.unwrap();
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_documented_statement_completes_a_job_once() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let shell = schema.shell().await;
    let complete = async |token: i64| {
        let seq = i64::try_from(job.event.seq.0).unwrap();
        let sql = format!("SELECT {}.complete($1, $2, $3)", schema.name);
        let handler = job.handler.as_str();
        let row = shell.query_one(&sql, &[&seq, &handler, &token]).await;
        row.unwrap().get::<_, bool>(0)
    };
    let token = i64::try_from(job.token).unwrap();
    assert!(!complete(token + 1).await, "another worker's");
    assert!(complete(token).await);
    assert!(!complete(token).await, "once");
    assert_eq!(state(&inbox, &job).await, JobState::Done);
    let late = inbox
        .settle_apart(done(&job, Some(begin(&inbox).await)))
        .await;
    assert_eq!(late.unwrap(), SettleResult::LeaseLost);
    let stats = inbox.stats().await.unwrap();
    assert_eq!(stats.jobs(JobState::Done), 1, "and is counted");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_documented_statement_calls_the_next_of_its_line() {
    let schema = Schema::new();
    let inbox = schema.open().await;
    let mut ordered = registration("settle");
    ordered.ordering = Ordering::Skip;
    register(&inbox, ordered).await;
    for id in ["1", "2"] {
        let mut keyed = event(id);
        keyed.ordering_key = Some("account".into());
        try_insert(&inbox, keyed).await.unwrap();
    }
    let first = claim(&inbox, "settle", 10).await.remove(0);
    // From wherever the caller finds his own tables.
    let shell = schema.shell().await;
    let elsewhere = shell.batch_execute("SET search_path = public");
    elsewhere.await.unwrap();
    let sql = format!("SELECT {}.complete($1, 'settle', $2)", schema.name);
    let (seq, token) = (first.event.seq.0.cast_signed(), first.token.cast_signed());
    let row = shell.query_one(&sql, &[&seq, &token]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!(claim(&inbox, "settle", 10).await.len(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_documented_statement_refuses_a_snapshot_that_hides_the_next_of_a_line() {
    let schema = Schema::new();
    let inbox = schema.open().await;
    let mut ordered = registration("settle");
    ordered.ordering = Ordering::Skip;
    register(&inbox, ordered).await;
    let insert_keyed = async |id: &str| {
        let mut keyed = event(id);
        keyed.ordering_key = Some("account".into());
        try_insert(&inbox, keyed).await.unwrap()
    };
    insert_keyed("1").await;
    let first = claim(&inbox, "settle", 10).await.remove(0);
    let (seq, token) = (first.event.seq.0.cast_signed(), first.token.cast_signed());
    let mut shell = schema.shell().await;
    for (level, done) in [
        ("REPEATABLE READ", false),
        ("SERIALIZABLE", false),
        ("READ COMMITTED", true),
    ] {
        let transaction = shell.transaction().await.unwrap();
        let begin = format!("SET TRANSACTION ISOLATION LEVEL {level}; SELECT FROM job");
        transaction.batch_execute(&begin).await.unwrap();
        insert_keyed(level).await;
        let complete = "SELECT complete($1, 'settle', $2)";
        let completed = transaction.query_one(complete, &[&seq, &token]).await;
        if done {
            assert!(completed.unwrap().get::<_, bool>(0));
            transaction.commit().await.unwrap();
        } else {
            let error = completed.unwrap_err();
            let said = error.as_db_error().unwrap();
            let expected = format!(
                "a job of an ordering key is completed in READ COMMITTED only, not in {level}"
            );
            assert_eq!((said.code().code(), said.message()), ("25000", &*expected));
        }
    }
    assert_eq!(claim(&inbox, "settle", 10).await.len(), 1);

    // A job that stands in no line has nobody to call.
    register(&inbox, registration("ship")).await;
    insert(&inbox, "alone").await;
    let job = claim(&inbox, "ship", 10).await.remove(0);
    let (seq, token) = (job.event.seq.0.cast_signed(), job.token.cast_signed());
    let alone = format!(
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT complete({seq}, 'ship', {token}); COMMIT"
    );
    shell.batch_execute(&alone).await.unwrap();
    let ships = "SELECT count(*) FROM job WHERE handler = 'ship' AND state = 'done'";
    assert_eq!(schema.count(ships).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_commit_that_waits_keeps_neither_events_nor_leases_waiting() {
    let schema = Schema::new();
    let (inbox, slow) = leased(&schema).await;
    insert(&inbox, "2").await;
    let other = claim(&inbox, "settle", 1).await.remove(0);
    let mut shell = schema.shell().await;
    shell.batch_execute(PAY).await.unwrap();
    // Whoever refers to the row waits, with the commit, until it is gone or not.
    let deleting = shell.transaction().await.unwrap();
    let delete = "DELETE FROM settlement";
    deleting.batch_execute(delete).await.unwrap();
    let work = begin(&inbox).await;
    write(&schema, &work, "INSERT INTO line VALUES ('a')").await;
    let committing = tokio::spawn({
        let (inbox, slow) = (inbox.clone(), slow.clone());
        async move { settle(&inbox, &slow, &work).await }
    });
    let free = "SELECT count(*) FROM (SELECT FROM job WHERE state = 'running'
        FOR UPDATE SKIP LOCKED) AS free";
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while schema.count(free).await == 2 {
        assert!(std::time::Instant::now() < until, "it does not commit");
    }

    let extend = |job: &Leased| Extend {
        key: job.key(),
        token: job.token,
        by: Duration::from_secs(60),
    };
    let batch = Batch {
        inserts: vec![event("3")],
        extends: vec![extend(&slow), extend(&other)],
        ..Batch::default()
    };
    let applied = inbox.apply(batch).await.unwrap();
    assert!(matches!(applied.inserts[0], Inserted::New { .. }));
    assert_eq!(applied.extends, [false, true]);
    assert!(!committing.is_finished(), "nobody waited for it");
    deleting.rollback().await.unwrap();
    assert_eq!(committing.await.unwrap(), SettleResult::Settled);
}

#[cfg(feature = "sqlx")]
mod over_sqlx {
    use tower_webhooks_postgres::{
        SqlxTx,
        sqlx::{self, postgres::PgPoolOptions},
    };

    use super::*;

    async fn leased_over(schema: &Schema, connections: u32) -> (PostgresInbox, Leased) {
        let (_, job) = leased(schema).await;
        let pool = PgPoolOptions::new().max_connections(connections);
        let pool = pool.connect(&common::url()).await.unwrap();
        let inbox = PostgresInbox::from_sqlx(pool).with_schema(schema.name.clone());
        (inbox.open().await.unwrap(), job)
    }

    async fn pay(schema: &Schema, work: &Work) {
        let mut tx = SqlxTx::take(work).unwrap();
        let sql = format!("INSERT INTO {}.settlement VALUES ($1)", schema.name);
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind("a")
            .execute(&mut *tx)
            .await
            .unwrap();
    }

    #[tokio::test]
    #[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
    async fn the_row_and_the_completion_commit_together() {
        let schema = Schema::new();
        let (inbox, job) = leased_over(&schema, 3).await;
        let work = begin(&inbox).await;
        assert!(matches!(
            Tx::take(&work),
            Err(TxError::OtherKind("`SqlxTx`"))
        ));
        pay(&schema, &work).await;
        assert_eq!(settlements(&schema).await, 0, "not before");
        let mut stale = job.clone();
        stale.token += 1;
        assert_eq!(settle(&inbox, &stale, &work).await, SettleResult::LeaseLost);
        let work = begin(&inbox).await;
        pay(&schema, &work).await;
        assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
        assert_eq!(settlements(&schema).await, 1);
        assert_eq!(state(&inbox, &job).await, JobState::Done);
    }

    #[tokio::test]
    #[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
    async fn a_transaction_that_nobody_settles_is_rolled_back() {
        let schema = Schema::new();
        let (inbox, job) = leased_over(&schema, 1).await;
        let work = begin(&inbox).await;
        pay(&schema, &work).await;
        drop(work);
        let work = begin(&inbox).await;
        pay(&schema, &work).await;
        let slow = async {
            let mut tx = SqlxTx::take(&work).unwrap();
            let sleep = sqlx::query("SELECT pg_sleep(0.3)");
            sleep.execute(&mut *tx).await
        };
        let stopped = tokio::time::timeout(Duration::from_millis(50), slow).await;
        assert!(stopped.is_err());
        drop(work);
        assert_eq!(settlements(&schema).await, 0);
        let work = begin(&inbox).await;
        pay(&schema, &work).await;
        assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
        assert_eq!(settlements(&schema).await, 1);
    }

    #[tokio::test]
    #[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
    async fn a_pool_is_as_large_after_a_server_ended_its_connections() {
        let schema = Schema::new();
        let (inbox, job) = leased_over(&schema, 1).await;
        for _ in 0..2 {
            let work = begin(&inbox).await;
            let mut tx = SqlxTx::take(&work).unwrap();
            let own = sqlx::query_scalar("SELECT pg_backend_pid()");
            let pid: i32 = own.fetch_one(&mut *tx).await.unwrap();
            drop(tx);
            let end = format!("SELECT pg_terminate_backend({pid})");
            schema.shell().await.batch_execute(&end).await.unwrap();
            drop(work);
        }
        let work = begin(&inbox).await;
        assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
    }

    #[tokio::test]
    #[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
    async fn a_transaction_within_the_handlers_is_a_savepoint_of_it() {
        let schema = Schema::new();
        let (_, job) = leased(&schema).await;
        let pool = PgPoolOptions::new().max_connections(1);
        let pool = pool.connect(&common::url()).await.unwrap();
        let inbox = PostgresInbox::from_sqlx(pool.clone()).with_schema(schema.name.clone());
        let inbox = inbox.open().await.unwrap();
        let insert = |id: &str| {
            let sql = format!("INSERT INTO {}.settlement VALUES ('{id}')", schema.name);
            sqlx::query(sqlx::AssertSqlSafe(sql))
        };
        // As a function that takes a connection, and knows nothing of the handler's.
        let within = async |work: &Work, id: &str| {
            let mut tx = SqlxTx::take(work).unwrap();
            let mut inner = sqlx::Connection::begin(&mut *tx).await.unwrap();
            insert(id).execute(&mut *inner).await.unwrap();
            inner.commit().await.unwrap();
        };

        let work = begin(&inbox).await;
        within(&work, "a").await;
        assert_eq!(settlements(&schema).await, 0, "not before");
        // The handler fails.
        drop(work);
        let work = begin(&inbox).await;
        assert_eq!(settlements(&schema).await, 0);
        within(&work, "b").await;
        let mut tx = SqlxTx::take(&work).unwrap();
        let mut inner = sqlx::Connection::begin(&mut *tx).await.unwrap();
        insert("c").execute(&mut *inner).await.unwrap();
        inner.rollback().await.unwrap();
        drop(tx);
        assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
        assert_eq!(settlements(&schema).await, 1);

        // The connection serves the program's own transactions as it did before.
        let mut own = pool.begin().await.unwrap();
        insert("d").execute(&mut *own).await.unwrap();
        own.commit().await.unwrap();
        assert_eq!(settlements(&schema).await, 2);
    }

    #[tokio::test]
    #[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
    async fn a_refused_commit_leaves_a_clean_connection() {
        let schema = Schema::new();
        let (inbox, job) = leased_over(&schema, 1).await;
        let work = begin(&inbox).await;
        let mut tx = SqlxTx::take(&work).unwrap();
        let dangling = format!("INSERT INTO {}.line VALUES ('nowhere')", schema.name);
        let dangling = sqlx::raw_sql(sqlx::AssertSqlSafe(dangling));
        dangling.execute(&mut *tx).await.unwrap();
        drop(tx);
        let refused = reason(settle(&inbox, &job, &work).await);
        assert!(refused.contains("23503"), "{refused}");
        let work = begin(&inbox).await;
        pay(&schema, &work).await;
        assert_eq!(settle(&inbox, &job, &work).await, SettleResult::Settled);
        assert_eq!(settlements(&schema).await, 1);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_job_in_use_is_told_apart_and_keeps_nothing_else_waiting() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let using = schema.shell().await;
    let lock = "BEGIN; SELECT FROM job WHERE state = 'running' FOR UPDATE";
    using.batch_execute(lock).await.unwrap();
    let again = || Batch {
        inserts: vec![event("evt_2")],
        settles: vec![done(&job, None)],
        ..Batch::default()
    };
    let applied = inbox.apply(again()).await.unwrap();
    assert_eq!(applied.settles, [SettleResult::Busy]);
    assert!(matches!(applied.inserts[..], [Inserted::New { .. }]));
    assert_eq!(state(&inbox, &job).await, JobState::Running);

    using.batch_execute("ROLLBACK").await.unwrap();
    let applied = inbox.apply(again()).await.unwrap();
    assert_eq!(applied.settles, [SettleResult::Settled]);
    let applied = inbox.apply(again()).await.unwrap();
    assert_eq!(applied.settles, [SettleResult::LeaseLost]);
}

/// Its own worker may be extending the lease when a handler ends.
#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_handlers_commit_waits_for_whoever_has_the_jobs_row() {
    let schema = Schema::new();
    let (inbox, job) = leased(&schema).await;
    let work = begin(&inbox).await;
    write(&schema, &work, PAY).await;
    let using = schema.shell().await;
    let extend =
        "BEGIN; UPDATE job SET due_at = due_at + interval '1 minute' WHERE state = 'running'";
    using.batch_execute(extend).await.unwrap();
    let settling = tokio::spawn({
        let (inbox, job, work) = (inbox.clone(), job.clone(), work.clone());
        async move { settle(&inbox, &job, &work).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!settling.is_finished(), "it waits");
    using.batch_execute("COMMIT").await.unwrap();
    assert_eq!(settling.await.unwrap(), SettleResult::Settled);
    assert_eq!(settlements(&schema).await, 1);
}
