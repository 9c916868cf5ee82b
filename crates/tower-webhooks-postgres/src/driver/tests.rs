//! What a connection keeps, and when it keeps nothing any more.

use std::time::Duration;

use super::*;
use crate::tls::Place;

/// How often its own connection has it.
const KEPT: &str = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%of this%'";

fn pool(direct: bool) -> Pooled {
    let url = std::env::var("TOWER_WEBHOOKS_POSTGRES").unwrap();
    let place = Place::parse(&url).unwrap();
    let limit = Duration::from_secs(5);
    let hosts = Hosts::new(&place.config, place.tls().unwrap(), limit);
    Pooled::ours(&place.config, hosts, 1, direct).unwrap()
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
    let direct = pool(true);
    for _ in 0..2 {
        assert_eq!(transaction(&direct, true).await.unwrap(), [1, 1, 1]);
    }
    for (pool, keep) in [(pool(true), false), (pool(false), true)] {
        assert_eq!(transaction(&pool, keep).await.unwrap(), [0, 0, 0]);
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
        let pool = pool(true);
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
    let pool = pool(true);
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
