use std::{io::Write, path::Path};

use serde::Serialize;
use tower_webhooks_sqlite::{
    SqliteInbox, migration_sql,
    rusqlite::{self, Connection, OpenFlags},
};

use super::place::Place;
use crate::failure::Failure;

/// `PRAGMA application_id` of an inbox: "whks".
const APPLICATION_ID: i64 = 0x7768_6b73;

/// Make or migrate an inbox's tables
///
/// A receiver does so by itself when it starts, unless it was told not to. One of the release before
/// can run on: a migration only adds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks inbox migrate
  webhooks inbox migrate --print-sql | sqlite3 webhooks.db")]
pub(super) struct Args {
    /// Print the SQL and change nothing: nothing is printed if there is nothing to do
    #[arg(long)]
    print_sql: bool,
}

pub(super) async fn run(
    args: &Args,
    place: Place,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if args.print_sql {
        let sql = migration_sql(version(place.path())?);
        if json {
            serde_json::to_writer(&mut *out, &Printed { sql: &sql })?;
            writeln!(out)?;
        } else {
            write!(out, "{sql}")?;
        }
        return Ok(());
    }
    let migrated = SqliteInbox::builder(place.path()).migrate().await;
    let migrated = migrated.map_err(|error| Failure::chain(&error))?;
    let (from, to) = (migrated.from, migrated.to);
    if json {
        serde_json::to_writer(&mut *out, &Versions { from, to })?;
        writeln!(out)?;
    } else if from == to {
        writeln!(out, "schema {to}: nothing to do")?;
    } else {
        writeln!(out, "schema {to}, from {from}")?;
    }
    Ok(())
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

/// The schema's version; 0 where there are no tables yet.
fn version(path: &Path) -> Result<u32, Failure> {
    if !path.exists() {
        return Ok(0);
    }
    let (application, version, tables) = facts(path).map_err(|error| {
        let path = path.display();
        Failure::failed(format!("cannot read the schema of {path}: {error}"))
    })?;
    match (application, tables) {
        (APPLICATION_ID, _) => Ok(u32::try_from(version).unwrap_or(u32::MAX)),
        (0, 0) => Ok(0),
        _ => Err(Failure::failed(format!(
            "{} is another program's database",
            path.display()
        ))),
    }
}

/// Whose database it is, the version it says, and how many tables it has.
fn facts(path: &Path) -> rusqlite::Result<(i64, i64, i64)> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let number = |sql| connection.query_row(sql, [], |row| row.get(0));
    Ok((
        number("PRAGMA application_id")?,
        number("PRAGMA user_version")?,
        number("SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")?,
    ))
}
