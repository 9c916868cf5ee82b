//! Opening: tables, roles, certificates, what is durable.

mod common;

use std::sync::Arc;

use common::{Schema, event, insert, try_insert};
use tower_webhooks_inbox::{Committer, CommitterOptions, Inbox, InboxErrorKind, Inserted};
use tower_webhooks_postgres::{OpenErrorKind, PostgresInbox, migration_sql};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn of_eight_that_open_at_once_one_migrates() {
    let schema = Schema::new();
    let mut openers = Vec::new();
    for _ in 0..8 {
        openers.push(tokio::spawn(schema.builder().migrate()));
    }
    let mut migrated = 0;
    for opener in openers {
        let done = opener.await.unwrap().unwrap();
        assert_eq!(done.to, 1);
        migrated += usize::from(done.from == 0);
    }
    assert_eq!(migrated, 1);
    let inbox = schema.builder().auto_migrate(false).open().await.unwrap();
    insert(&inbox, "1").await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn without_leave_nothing_is_migrated() {
    let schema = Schema::new();
    let builder = || schema.builder().auto_migrate(false);
    let error = builder().open().await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Schema);
    let name = &schema.name;
    assert_eq!(
        error.to_string(),
        format!("schema `{name}` has version 0 and this release needs 1 to 1; migrate it first")
    );
    let by_hand = migration_sql(name, 0).unwrap();
    schema.shell().await.batch_execute(&by_hand).await.unwrap();
    let inbox = builder().open().await.unwrap();
    insert(&inbox, "1").await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_printed_sql_makes_the_same_tables() {
    const COLUMNS: &str = "SELECT string_agg(format('%s.%s %s %s', table_name, column_name,
            data_type, is_nullable), ',' ORDER BY table_name, ordinal_position)
        || (SELECT string_agg(replace(indexdef, schemaname, ''), ',' ORDER BY indexname)
            FROM pg_indexes WHERE schemaname = current_schema())
        FROM information_schema.columns WHERE table_schema = current_schema()";
    let tables = async |schema: &Schema| -> String {
        let row = schema.shell().await.query_one(COLUMNS, &[]).await.unwrap();
        row.get(0)
    };
    let (opened, by_hand) = (Schema::new(), Schema::new());
    opened.open().await;
    let sql = migration_sql(&by_hand.name, 0).unwrap();
    by_hand.shell().await.batch_execute(&sql).await.unwrap();
    assert_eq!(tables(&by_hand).await, tables(&opened).await);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_later_schema_and_another_programs_tables_are_left_alone() {
    let later = Schema::new();
    later.open().await;
    let shell = later.shell().await;
    shell
        .batch_execute("ALTER TABLE job ADD COLUMN colour text; UPDATE inbox SET version = 99")
        .await
        .unwrap();
    // It only added, and says that this release still runs on it.
    later.open().await;
    assert_eq!(later.count("SELECT version::bigint FROM inbox").await, 99);
    shell
        .batch_execute("UPDATE inbox SET runs_on = 99")
        .await
        .unwrap();
    let error = later.builder().open().await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Schema);
    assert!(error.to_string().contains("which a later release made"));

    let foreign = Schema::new();
    let name = &foreign.name;
    let song = format!("CREATE SCHEMA {name}; CREATE TABLE {name}.event (name text)");
    foreign.shell().await.batch_execute(&song).await.unwrap();
    let error = foreign.builder().open().await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Schema);
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
    assert_eq!(foreign.count(tables).await, 1, "all of it or nothing");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_database_that_cannot_hold_all_text_is_refused() {
    let schema = Schema::new();
    let postgres = common::shell(&common::url().replace("webhooks@", "postgres@")).await;
    let name = &schema.name;
    for (encoding, refused) in [("LATIN1", true), ("SQL_ASCII", true), ("UTF8", false)] {
        let create = format!(
            "CREATE DATABASE {name} OWNER webhooks TEMPLATE template0 ENCODING '{encoding}' \
             LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        postgres.batch_execute(&create).await.unwrap();
        let url = common::url();
        let (server, _) = url.rsplit_once('/').unwrap();
        let opened = PostgresInbox::open(format!("{server}/{name}")).await;
        assert_eq!(opened.is_err(), refused, "{encoding}");
        if let Err(error) = opened {
            assert_eq!(error.kind(), OpenErrorKind::Url);
            let said = format!("the database is encoded in {encoding}, and");
            assert!(error.to_string().starts_with(&said), "{error}");
        }
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        postgres.batch_execute(&drop).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_wrong_place_is_said_at_once() {
    let started = std::time::Instant::now();
    for (url, kind) in [
        ("mysql://db/hooks", OpenErrorKind::Url),
        (
            "postgres://me@127.0.0.1:1/hooks?sslmode=verify-ca",
            OpenErrorKind::Url,
        ),
        (
            "postgres://me@127.0.0.1:1/hooks?sslrootcert=/nowhere.pem",
            OpenErrorKind::Url,
        ),
    ] {
        let error = PostgresInbox::open(url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}");
    }
    let nobody = common::url().replace("webhooks@", "nobody_knows@");
    let error = PostgresInbox::open(nobody).await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Unavailable);
    let away = PostgresInbox::builder("postgres://me@127.0.0.1:1/hooks");
    let away = away.with_open_wait(std::time::Duration::ZERO).open();
    let error = away.await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Unavailable);
    assert!(started.elapsed().as_secs() < 5);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_certificate_is_verified_where_encryption_is_required() {
    let ca = std::env::var("TOWER_WEBHOOKS_POSTGRES_CA").unwrap();
    let schema = Schema::new();
    let open = async |host: &str, settings: &str| {
        let url = common::url().replace("127.0.0.1", host);
        let name = &schema.name;
        PostgresInbox::builder(format!("{url}?application_name={name}&{settings}"))
            .with_schema(name.clone())
            .with_open_wait(std::time::Duration::ZERO)
            .open()
            .await
    };
    let encrypted = async || {
        let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE ssl AND application_name = current_setting('search_path')";
        schema.count(sql).await > 0
    };
    let mine = format!("sslrootcert={ca}");
    for settings in [
        format!("sslmode=require&{mine}"),
        format!("sslmode=verify-full&{mine}"),
        // Whatever the certificate.
        "sslmode=prefer".to_owned(),
    ] {
        let inbox = open("localhost", &settings).await.unwrap();
        assert!(encrypted().await, "{settings}");
        drop(inbox);
    }
    for (host, settings) in [
        // Of an authority that the system does not know.
        ("localhost", "sslmode=require"),
        ("localhost", "sslmode=verify-full"),
        // Not for this name.
        ("127.0.0.1", &format!("sslmode=require&{mine}")),
    ] {
        let error = open(host, settings).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Unavailable, "{settings}");
    }
    let any = PostgresInbox::builder(common::url()).insecure_any_certificate();
    any.with_schema(schema.name.clone()).open().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_role_that_commits_lazily_commits_durably_here() {
    let schema = Schema::new();
    let url = format!("{}?options=-csynchronous_commit%3Doff", common::url());
    let inbox = PostgresInbox::builder(url)
        .with_schema(schema.name.clone())
        .open()
        .await
        .unwrap();
    let durability = inbox.check().await.unwrap();
    assert!(durability.durable, "{}", durability.description);
    let settings = "fsync = on, synchronous_commit = on, full_page_writes = on";
    assert!(durability.description.contains(settings));
    assert!(durability.description.starts_with("PostgreSQL "));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_table_that_a_crash_empties_is_not_durable() {
    let schema = Schema::new();
    let inbox = schema.open().await;
    assert!(inbox.check().await.unwrap().durable);
    let shell = schema.shell().await;
    shell
        .batch_execute("ALTER TABLE event SET UNLOGGED")
        .await
        .unwrap();
    let durability = inbox.check().await.unwrap();
    assert!(!durability.durable);
    assert!(durability.description.ends_with("1 tables not logged"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_pool_of_the_programs_own_will_do() {
    let schema = Schema::new();
    let config: tokio_postgres::Config = common::url().parse().unwrap();
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    let pool = deadpool_postgres::Pool::builder(manager)
        .max_size(2)
        .build()
        .unwrap();
    let inbox = PostgresInbox::from_pool(pool.clone())
        .with_schema(schema.name.clone())
        .open()
        .await
        .unwrap();
    insert(&inbox, "1").await;
    // Whoever uses the connections after us finds them as he left them.
    let client = pool.get().await.unwrap();
    let path = client.query_one("SHOW search_path", &[]).await.unwrap();
    assert_eq!(path.get::<_, &str>(0), "\"$user\", public");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_cannot_be_stored_is_the_fault_of_the_data() {
    let schema = Schema::new();
    let inbox = schema.open().await;
    let mut odd = event("1");
    odd.tenant = Some("a\0b".into());
    let error = try_insert(&inbox, odd).await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Data, "{error:?}");
    let stored = insert(&inbox, "1").await;
    assert!(matches!(stored, Inserted::Unhandled { .. }));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn an_event_that_a_table_refuses_keeps_no_other_of_its_delivery_out() {
    let schema = Schema::new();
    let inbox = Arc::new(schema.open().await);
    let shell = schema.shell().await;
    let refuse = "ALTER TABLE event ADD CONSTRAINT bad CHECK (id <> 'bad')";
    shell.batch_execute(refuse).await.unwrap();
    let committer = Committer::start(inbox.clone(), CommitterOptions::new());
    let delivery = ["1", "bad", "2"].map(event).to_vec();
    let found = committer.insert_all_then(delivery, |_| ()).unwrap();
    let found = found.await.unwrap();
    assert!(matches!(found[0], Inserted::Unhandled { .. }));
    assert!(matches!(found[1], Inserted::Unusable { .. }));
    assert!(matches!(found[2], Inserted::Unhandled { .. }));
    let aside = inbox.get(found[1].seq()).await.unwrap().unwrap().event;
    assert_eq!(aside.unusable.as_deref(), Some("refused-by-inbox"));
    assert_eq!(aside.body, Some(event("bad").body));

    // Nothing of it can be stored: the others are, and it comes again.
    let mut odd = event("3");
    odd.tenant = Some("a\0b".into());
    let delivery = vec![odd, event("4")];
    let refused = committer.insert_all_then(delivery, |_| ()).unwrap().await;
    assert_eq!(refused.unwrap_err().kind(), InboxErrorKind::Data);
    let known = committer.insert(event("4"), ()).unwrap().await.unwrap();
    assert!(matches!(known, Inserted::Duplicate { .. }));
}

#[tokio::test(start_paused = true)]
async fn who_opens_waits_five_minutes_for_a_server_that_is_away() {
    let started = tokio::time::Instant::now();
    let away = PostgresInbox::open("postgres://me@127.0.0.1:1/hooks").await;
    assert_eq!(away.unwrap_err().kind(), OpenErrorKind::Unavailable);
    let waited = started.elapsed().as_secs();
    assert!((299..=300).contains(&waited), "{waited} s");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn batches_are_kept_prepared_unless_there_may_be_a_pooler() {
    for is_direct in [true, false] {
        let schema = Schema::new();
        let mut builder = schema.builder();
        if !is_direct {
            builder = builder.without_notify();
        }
        let inbox = builder.open().await.unwrap();
        // Counted where the batch runs: nobody else sees what a connection keeps.
        let count = "CREATE TABLE seen (statements bigint);
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO seen SELECT count(*) FROM pg_prepared_statements;
                RETURN NULL;
            END $$;
            CREATE TRIGGER look AFTER INSERT ON event EXECUTE FUNCTION look()";
        schema.shell().await.batch_execute(count).await.unwrap();
        insert(&inbox, "1").await;
        let kept = schema.count("SELECT max(statements) FROM seen").await;
        assert_eq!(kept > 0, is_direct, "{kept} statements");
    }
}
