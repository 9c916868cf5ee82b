use std::io::Write;

use serde::Serialize;
use tower_webhooks_sqlite::SqliteInbox;

use super::place::{Place, server, unopened};
use crate::failure::Failure;

/// Make or migrate an inbox's tables
///
/// A receiver does so by itself when it starts, unless it was told not to. One of the release before
/// can run on: a migration only adds. In PostgreSQL the tables are in the schema that the URL names with
/// schema=, or in `webhooks`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks inbox migrate
  (umask 077; webhooks inbox migrate --print-sql | sqlite3 webhooks.db)
  webhooks inbox migrate --print-sql --inbox postgres://db/app | psql postgres://db/app")]
pub(super) struct Args {
    /// Print the SQL and change nothing: nothing is printed if there is nothing to do
    #[arg(long)]
    print_sql: bool,
}

pub(super) async fn run(
    args: &Args,
    place: &Place,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if args.print_sql {
        let sql = pending_sql(place).await?;
        if json {
            serde_json::to_writer(&mut *out, &Printed { sql: &sql })?;
            writeln!(out)?;
        } else {
            write!(out, "{sql}")?;
        }
        return Ok(());
    }
    let versions = migrate(place).await?;
    let Versions { from, to } = versions;
    if json {
        serde_json::to_writer(&mut *out, &versions)?;
        writeln!(out)?;
    } else if from == to {
        writeln!(out, "schema {to}: nothing to do")?;
    } else {
        writeln!(out, "schema {to}, from {from}")?;
    }
    Ok(())
}

async fn pending_sql(place: &Place) -> Result<String, Failure> {
    match place {
        Place::File(path) => {
            let sql = SqliteInbox::builder(path).pending_sql().await;
            sql.map_err(|error| Failure::chain(&error))
        }
        Place::Postgres(url) => server(url).pending_sql().await.map_err(unopened),
    }
}

async fn migrate(place: &Place) -> Result<Versions, Failure> {
    let (from, to) = match place {
        Place::File(path) => {
            let migrated = SqliteInbox::builder(path).migrate().await;
            let migrated = migrated.map_err(|error| Failure::chain(&error))?;
            (migrated.from, migrated.to)
        }
        Place::Postgres(url) => {
            let migrated = server(url).migrate().await.map_err(unopened)?;
            (migrated.from, migrated.to)
        }
    };
    Ok(Versions { from, to })
}

#[derive(Serialize)]
struct Printed<'s> {
    sql: &'s str,
}

#[derive(Serialize)]
struct Versions {
    from: u32,
    to: u32,
}
