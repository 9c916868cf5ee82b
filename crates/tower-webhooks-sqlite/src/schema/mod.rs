//! The tables, and how they come to be.
//!
//! A migration only adds, so that the release before it still runs on what it
//! makes: a rolling deploy, or a step back, finds an inbox that it knows. The file
//! says so itself: its `inbox.runs_on` is the oldest version whose release may. A
//! migration that an older release cannot live with sets it anew.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{OpenError, OpenErrorKind};

/// Every migration, oldest first: what leads to version 1, 2, …
const MIGRATIONS: &[&str] = &[include_str!("0001.sql")];

/// The version that this release makes.
pub(crate) const NEWEST: u32 = 1;
/// The oldest version that this release runs on without a migration.
pub(crate) const OLDEST: u32 = 1;

/// `PRAGMA application_id` of an inbox: "whks".
const APPLICATION_ID: i64 = 0x7768_6b73;

/// The tables that are ours; work that joins a transaction may only read them.
pub(crate) const TABLES: &[&str] = &[
    "dead_letter",
    "event",
    "event_count",
    "handler",
    "inbox",
    "job",
    "job_count",
    "reply",
];

/// The SQL that leads from this version of the schema to the newest, for those
/// who migrate by hand. Version 0 is an empty database. Empty if there is
/// nothing to do. [`SqliteBuilder::pending_sql`](crate::SqliteBuilder::pending_sql)
/// looks into the file for the version.
///
/// ```
/// let sql = tower_webhooks_sqlite::migration_sql(0);
/// assert!(sql.starts_with("BEGIN IMMEDIATE;"));
/// assert!(sql.contains("CREATE TABLE event"));
/// ```
#[must_use]
pub fn migration_sql(from: u32) -> String {
    if from >= NEWEST {
        return String::new();
    }
    format!("BEGIN IMMEDIATE;\n{}COMMIT;\n", steps(from))
}

/// What a database is to this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Empty,
    Foreign,
    Version(u32),
}

impl Found {
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let version = number("PRAGMA user_version")?;
        match number("PRAGMA application_id")? {
            APPLICATION_ID => Ok(Self::Version(u32::try_from(version).unwrap_or(u32::MAX))),
            0 if version == 0 => {
                let tables =
                    number("SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")?;
                Ok(if tables == 0 {
                    Self::Empty
                } else {
                    Self::Foreign
                })
            }
            _ => Ok(Self::Foreign),
        }
    }
}

/// Makes sure that this release can run on the database: migrates it if it may,
/// and says what to do if it may not.
pub(crate) fn prepare(
    connection: &mut Connection,
    path: &Path,
    migrate: bool,
) -> Result<(), OpenError> {
    let from = version(connection, path)?;
    if from >= NEWEST || (from >= OLDEST && !migrate) {
        return Ok(());
    }
    if !migrate {
        return Err(refusal(
            path,
            &format!(
                "has schema {from} and this release needs {OLDEST} to {NEWEST}; migrate it first"
            ),
        ));
    }
    run(connection, from).map_err(|error| OpenError::unavailable("migrate", path, error))
}

/// The version of the database's schema, 0 if it is empty, where this release
/// can migrate it or need not.
pub(crate) fn version(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let found = Found::of(connection)
        .map_err(|error| OpenError::unavailable("read the schema of", path, error))?;
    match found {
        Found::Version(version) if version > NEWEST && !runs_on(connection) => Err(refusal(
            path,
            &format!(
                "has schema {version}, which a later release made; this one knows up to {NEWEST}"
            ),
        )),
        Found::Version(version) => Ok(version),
        Found::Empty => Ok(0),
        Found::Foreign => Err(refusal(path, "is another program's database")),
    }
}

/// Whether this release runs on what a later one made.
fn runs_on(connection: &Connection) -> bool {
    let oldest = connection.query_row("SELECT runs_on FROM inbox", [], |row| row.get::<_, u32>(0));
    oldest.is_ok_and(|oldest| oldest <= NEWEST)
}

fn refusal(path: &Path, why: &str) -> OpenError {
    OpenError::new(OpenErrorKind::Schema, format!("{} {why}", path.display()))
}

fn run(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let now = match Found::of(&transaction)? {
        Found::Version(version) => version,
        Found::Empty | Found::Foreign => from,
    };
    transaction.execute_batch(&steps(now))?;
    transaction.commit()
}

fn steps(from: u32) -> String {
    let done = usize::try_from(from).unwrap_or(usize::MAX);
    let mut sql = MIGRATIONS.iter().skip(done).copied().collect::<String>();
    if !sql.is_empty() {
        sql.push_str(&format!(
            "PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {NEWEST};\n"
        ));
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    fn refused(connection: &mut Connection, migrate: bool) -> String {
        let error = prepare(connection, Path::new("a.db"), migrate).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Schema);
        error.to_string()
    }

    #[test]
    fn an_empty_database_is_migrated_and_then_known() {
        let mut connection = database();
        assert_eq!(Found::of(&connection).unwrap(), Found::Empty);
        prepare(&mut connection, Path::new("a.db"), true).unwrap();
        assert_eq!(Found::of(&connection).unwrap(), Found::Version(NEWEST));
        prepare(&mut connection, Path::new("a.db"), true).unwrap();
        prepare(&mut connection, Path::new("a.db"), false).unwrap();
    }

    #[test]
    fn the_printed_sql_makes_the_same_tables() {
        let tables = |connection: &Connection| -> Vec<String> {
            let mut tables = connection
                .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
                .unwrap();
            let rows = tables.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let mut migrated = database();
        prepare(&mut migrated, Path::new("a.db"), true).unwrap();
        let by_hand = database();
        by_hand.execute_batch(&migration_sql(0)).unwrap();
        assert_eq!(tables(&by_hand), tables(&migrated));
        assert_eq!(Found::of(&by_hand).unwrap(), Found::Version(NEWEST));
        assert_eq!(migration_sql(NEWEST), "");
    }

    #[test]
    fn without_leave_nothing_is_migrated() {
        let mut connection = database();
        assert_eq!(
            refused(&mut connection, false),
            "a.db has schema 0 and this release needs 1 to 1; migrate it first"
        );
        assert_eq!(Found::of(&connection).unwrap(), Found::Empty);
    }

    #[test]
    fn a_later_schema_is_used_where_it_says_that_it_may_be() {
        let mut later = database();
        prepare(&mut later, Path::new("a.db"), true).unwrap();
        later
            .execute_batch("ALTER TABLE job ADD COLUMN colour TEXT; PRAGMA user_version = 99")
            .unwrap();
        for migrate in [true, false] {
            prepare(&mut later, Path::new("a.db"), migrate).unwrap();
            assert_eq!(Found::of(&later).unwrap(), Found::Version(99), "as it was");
        }
        assert_eq!(version(&later, Path::new("a.db")).unwrap(), 99);
        assert_eq!(migration_sql(99), "");
    }

    #[test]
    fn a_later_schema_and_a_foreign_database_are_left_alone() {
        let mut later = database();
        prepare(&mut later, Path::new("a.db"), true).unwrap();
        later
            .execute_batch("UPDATE inbox SET runs_on = 2; PRAGMA user_version = 99")
            .unwrap();
        assert_eq!(
            refused(&mut later, true),
            "a.db has schema 99, which a later release made; this one knows up to 1"
        );
        let mut foreign = database();
        foreign
            .execute_batch("CREATE TABLE song (name TEXT)")
            .unwrap();
        assert_eq!(
            refused(&mut foreign, true),
            "a.db is another program's database"
        );
        let mut numbered = database();
        numbered.execute_batch("PRAGMA user_version = 1").unwrap();
        assert_eq!(
            refused(&mut numbered, true),
            "a.db is another program's database"
        );
    }

    #[test]
    fn every_table_of_ours_is_named() {
        let mut connection = database();
        prepare(&mut connection, Path::new("a.db"), true).unwrap();
        let mut made = connection
            .prepare("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
            .unwrap();
        let made = made.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let made: Vec<String> = made.collect::<Result<_, _>>().unwrap();
        assert_eq!(made, TABLES);
    }
}
