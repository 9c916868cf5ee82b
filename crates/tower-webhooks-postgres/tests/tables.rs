//! What the program names itself: the schema in the URL, and tables of its own.

mod common;

use common::{Schema, insert, url};
use tower_webhooks_postgres::{OpenErrorKind, PostgresInbox};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS settlement (id int)";

/// The schema's URL, on whose search path the role finds its tables there too.
fn url_of(schema: &Schema) -> String {
    let name = &schema.name;
    format!("{}?schema={name}&options=-csearch_path%3D{name}", url())
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_schema_of_the_url_gives_way_to_the_builders() {
    let (named, chosen) = (Schema::new(), Schema::new());
    let url = url_of(&named);
    let inbox = PostgresInbox::open(url.clone()).await.unwrap();
    assert_eq!(inbox.schema(), named.name);
    let builder = PostgresInbox::builder(url).with_schema(chosen.name.clone());
    let inbox = builder.open().await.unwrap();
    assert_eq!(inbox.schema(), chosen.name);
    insert(&inbox, "1").await;
    assert_eq!(chosen.count("SELECT count(*) FROM event").await, 1);
    assert_eq!(named.count("SELECT count(*) FROM event").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn eight_that_open_at_once_make_the_programs_tables() {
    let schema = Schema::new();
    let builder = || PostgresInbox::builder(url_of(&schema)).with_tables(TABLE);
    let openers: Vec<_> = (0..8).map(|_| tokio::spawn(builder().open())).collect();
    for opener in openers {
        insert(&opener.await.unwrap().unwrap(), "1").await;
    }
    assert_eq!(schema.count("SELECT count(*) FROM settlement").await, 0);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn tables_are_made_where_the_role_finds_them_or_not_at_all() {
    let (inbox, own) = (Schema::new(), Schema::new());
    let shell = own.shell().await;
    let made = format!("CREATE SCHEMA {}", own.name);
    shell.batch_execute(&made).await.unwrap();
    let builder = || PostgresInbox::builder(url_of(&own)).with_schema(inbox.name.clone());

    let twice = builder().with_tables(TABLE).with_tables("CREATE TABLE");
    let error = twice.open().await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Unavailable);
    assert_eq!(error.to_string(), "cannot run what `with_tables` says");
    let tables = format!(
        "SELECT count(*) FROM pg_tables WHERE tablename = 'settlement' AND schemaname = '{}'",
        own.name
    );
    assert_eq!(own.count(&tables).await, 0);

    builder().with_tables(TABLE).open().await.unwrap();
    assert_eq!(own.count(&tables).await, 1);
}
