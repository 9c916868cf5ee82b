//! What a connection keeps, and when it keeps nothing any more.

use std::time::Duration;

use tokio_postgres::types::{IsNull, private::BytesMut, to_sql_checked};

use super::*;
use crate::tls::Place;

const SERVER: &str = "TOWER_WEBHOOKS_POSTGRES";

/// How often its own connection has it.
const KEPT: &str = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%of this%'";

async fn pool(server: &str, direct: bool) -> Pooled {
    let url = std::env::var(server).unwrap();
    let place = Place::parse(&url).unwrap();
    let limit = Duration::from_secs(5);
    let hosts = Hosts::new(&place.config, place.tls().unwrap(), limit);
    let pool = Pooled::ours(&place.config, hosts, 2, direct).unwrap();
    let _ = pool.probe().await;
    // The tests mean the one that is left.
    pool.pool.resize(1);
    pool
}

/// Asks twice in one transaction, and once more in the trip that ends it.
async fn transaction(pool: &Pooled, keep: bool) -> Result<Vec<i64>, Failure> {
    let mut connection = pool.connection().await?;
    let query: Query<'_> = (KEPT, Vec::new());
    let done = Notify::new();
    let begin = Begin {
        sql: "BEGIN",
        keep,
        done: &done,
    };
    let first = Trip {
        begin: Some(begin),
        queries: &[query.clone(), query.clone()],
        ..Trip::default()
    };
    let last = Trip {
        queries: &[query],
        commit: true,
        ..Trip::default()
    };
    let made = async {
        let mut answers = connection.make(first).await?;
        answers.extend(connection.make(last).await?);
        answers.iter().map(|rows| rows[0].get(0)).collect()
    };
    let made: Result<Vec<i64>, Failure> = made.await;
    if made.is_err() {
        connection.roll_back().await?;
    }
    made
}

async fn run(pool: &Pooled, sql: &str) {
    let mut connection = pool.connection().await.unwrap();
    connection.make(Trip::first(sql)).await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_comes_again_is_kept_where_the_way_is_direct() {
    let direct = pool(SERVER, true).await;
    for _ in 0..2 {
        assert_eq!(transaction(&direct, true).await.unwrap(), [1, 1, 1]);
    }
    for (direct, keep) in [(true, false), (false, true)] {
        let pool = pool(SERVER, direct).await;
        assert_eq!(transaction(&pool, keep).await.unwrap(), [0, 0, 0]);
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer before PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_pooler_is_noticed_before_anything_is_kept() {
    let pool = pool("TOWER_WEBHOOKS_PGBOUNCER", true).await;
    for _ in 0..3 {
        assert_eq!(transaction(&pool, true).await.unwrap(), [0, 0, 0]);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_connection_that_leads_to_another_process_keeps_nothing_any_more() {
    for elsewhere in [
        // Another connection has introduced itself here.
        "SELECT set_config('webhooks.connection', 'of another', false)",
        // Nobody has.
        "DISCARD ALL",
        // Somebody cleans up behind others.
        "DEALLOCATE ALL",
    ] {
        let pool = pool(SERVER, true).await;
        assert_eq!(transaction(&pool, true).await.unwrap(), [1, 1, 1]);
        run(&pool, elsewhere).await;
        let failure = transaction(&pool, true).await.unwrap_err();
        assert!(matches!(failure, Failure::Raced), "{elsewhere}: {failure}");
        run(&pool, "DEALLOCATE ALL").await;
        assert_eq!(
            transaction(&pool, true).await.unwrap(),
            [0, 0, 0],
            "{elsewhere}"
        );
    }
}

/// A statement of that name that is another's is never run: the check comes first.
#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_strangers_statement_of_the_same_name_is_not_run() {
    let pool = pool(SERVER, true).await;
    transaction(&pool, true).await.unwrap();
    run(
        &pool,
        "DO $$
         DECLARE taken text;
         BEGIN
             CREATE TEMP SEQUENCE ran;
             SELECT name INTO taken FROM pg_prepared_statements WHERE statement LIKE '%of this%';
             EXECUTE format('DEALLOCATE %I', taken);
             EXECUTE format('PREPARE %I AS SELECT nextval(''ran'')', taken);
             PERFORM set_config('webhooks.connection', 'of another', false);
         END $$",
    )
    .await;
    let failure = transaction(&pool, true).await.unwrap_err();
    assert!(matches!(failure, Failure::Raced), "{failure}");
    let unused = "DO $$ BEGIN ASSERT NOT (SELECT is_called FROM ran); END $$";
    run(&pool, unused).await;
}

/// A transaction that is begun, asked and ended in one trip.
async fn one_trip(
    pool: &Pooled,
    sql: &str,
    keep: bool,
    queries: &[Query<'_>],
) -> Result<(), Failure> {
    let done = Notify::new();
    let begin = Begin {
        sql,
        keep,
        done: &done,
    };
    let trip = Trip {
        begin: Some(begin),
        queries,
        commit: true,
        ..Trip::default()
    };
    let mut connection = pool.connection().await?;
    connection.make(trip).await.map(drop)
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_cannot_be_prepared_takes_back_its_transaction() {
    let pool = pool(SERVER, true).await;
    run(&pool, "CREATE TEMP TABLE made (number bigint)").await;
    let queries: [Query<'_>; 2] = [
        ("INSERT INTO made VALUES ($1)", vec![(&1_i64, Type::INT8)]),
        ("SELECT nothing_such", Vec::new()),
    ];
    for _ in 0..2 {
        let failure = one_trip(&pool, "BEGIN", true, &queries).await.unwrap_err();
        assert_eq!(failure.code(), "42703");
        let none = "DO $$ BEGIN
            ASSERT NOT EXISTS (SELECT FROM made);
            ASSERT now() = statement_timestamp(), 'a transaction is open';
        END $$";
        run(&pool, none).await;
    }
    assert_eq!(transaction(&pool, true).await.unwrap(), [1, 1, 1]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_refusal_to_begin_says_nothing_of_names() {
    let pool = pool(SERVER, true).await;
    // With what is otherwise the sign of another process.
    let refused = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1 / 0";
    let failure = one_trip(&pool, refused, true, &[]).await.unwrap_err();
    assert_eq!(failure.code(), ELSEWHERE);
    run(&pool, "ROLLBACK").await;
    assert_eq!(transaction(&pool, true).await.unwrap(), [1, 1, 1]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_statement_for_a_table_that_has_changed_is_prepared_anew() {
    let pool = pool(SERVER, true).await;
    run(
        &pool,
        "CREATE TEMP TABLE shape AS SELECT 1::bigint AS number",
    )
    .await;
    let query: [Query<'_>; 1] = [("SELECT number FROM shape", Vec::new())];
    let ask = async || one_trip(&pool, "BEGIN", true, &query).await;
    ask().await.unwrap();
    run(&pool, "ALTER TABLE shape ALTER number TYPE text").await;
    let failure = ask().await.unwrap_err();
    assert!(matches!(failure, Failure::Raced), "{failure}");
    ask().await.unwrap();
    assert_eq!(transaction(&pool, true).await.unwrap(), [1, 1, 1]);
}

/// A value that cannot be sent.
#[derive(Debug)]
struct Unsendable;

impl ToSql for Unsendable {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Err("it cannot be sent".into())
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The server does not know of it, and would commit what came before.
#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_cannot_be_sent_takes_back_its_transaction() {
    for keep in [false, true] {
        let pool = pool(SERVER, keep).await;
        run(&pool, "CREATE TEMP TABLE kept (number bigint)").await;
        let insert = "INSERT INTO kept VALUES ($1)";
        let queries: [Query<'_>; 2] = [
            (insert, vec![(&1_i64, Type::INT8)]),
            (insert, vec![(&Unsendable, Type::INT8)]),
        ];
        assert!(one_trip(&pool, "BEGIN", keep, &queries).await.is_err());
        let none = "DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM kept); END $$";
        run(&pool, none).await;
    }
}
