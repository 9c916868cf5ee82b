//! The tables, and how they come to be.
//!
//! A migration only adds, so that the release before it still runs on what it
//! makes: a rolling deploy, or a step back, finds an inbox that it knows. The schema
//! says so itself: its `inbox.runs_on` is the oldest version whose release may. A
//! migration that an older release cannot live with sets it anew.

use std::fmt;

use tokio_postgres::types::Type;

use crate::{
    error::{Failure, OpenError, OpenErrorKind},
    session::{Database, Session},
};

/// Every migration, oldest first: what leads to version 1, 2, …
const MIGRATIONS: &[&str] = &[include_str!("0001.sql")];

/// The version that this release makes.
pub(crate) const NEWEST: u32 = 1;
/// The oldest version that this release runs on without a migration.
pub(crate) const OLDEST: u32 = 1;

/// The schema where nobody names another.
pub(crate) const DEFAULT_SCHEMA: &str = "webhooks";

/// A name that needs no quotes anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaName(String);

impl SchemaName {
    pub(crate) fn new(name: &str) -> Result<Self, OpenError> {
        let mut letters = name.bytes();
        let begins = letters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase() || first == b'_');
        let goes_on =
            letters.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if begins && goes_on && name.len() <= 63 && !name.starts_with("pg_") {
            return Ok(Self(name.to_owned()));
        }
        Err(OpenError::new(
            OpenErrorKind::Url,
            format!(
                "`{name}` is no name for the inbox's schema: it has 1 to 63 of a-z, 0-9 and _, \
                 begins with no digit, and not with pg_"
            ),
        ))
    }

    /// As SQL: a name can be a key word, such as `user`.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self(DEFAULT_SCHEMA.to_owned())
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SQL that leads from this version of the inbox's schema to the newest, for
/// those who migrate by hand. Version 0 is one without tables; the schema itself
/// is made too. Empty if there is nothing to do.
///
/// # Errors
///
/// `Url` if the schema cannot be named so.
///
/// ```
/// let sql = tower_webhooks_postgres::migration_sql("webhooks", 0)?;
/// assert!(sql.starts_with("BEGIN;"));
/// assert!(sql.contains("CREATE TABLE event"));
/// # Ok::<(), tower_webhooks_postgres::OpenError>(())
/// ```
pub fn migration_sql(schema: &str, from: u32) -> Result<String, OpenError> {
    let schema = SchemaName::new(schema)?;
    if from >= NEWEST {
        return Ok(String::new());
    }
    let name = schema.quoted();
    let create = match from {
        0 => format!("CREATE SCHEMA IF NOT EXISTS {name};\n"),
        _ => String::new(),
    };
    Ok(format!(
        "BEGIN;\n{create}SET LOCAL search_path = {name}, pg_temp;\n{}COMMIT;\n",
        steps(from)
    ))
}

/// Makes sure that this release can run on the schema: migrates it if it may,
/// and says what to do if it may not. Returns the version before and now.
pub(crate) async fn prepare(database: &Database, migrate: bool) -> Result<(u32, u32), OpenError> {
    let schema = database.schema();
    let from = found(database).await?;
    if from >= NEWEST || (from >= OLDEST && !migrate) {
        return Ok((from, from));
    }
    if !migrate {
        let why = format!(
            "has version {from} and this release needs {OLDEST} to {NEWEST}; migrate it first"
        );
        return Err(refusal(schema, &why));
    }
    let from = run(database)
        .await
        .map_err(|failure| match failure.code() {
            "42P07" | "42P06" => OpenError::with_source(
                OpenErrorKind::Schema,
                format!("schema `{schema}` has another program's tables"),
                failure,
            ),
            _ => OpenError::unavailable(format!("migrate schema `{schema}`"), failure),
        })?;
    Ok((from, NEWEST))
}

/// The schema's version; 0 if there is no inbox in it.
pub(crate) async fn found(database: &Database) -> Result<u32, OpenError> {
    let schema = database.schema();
    let read = async {
        let mut session = database.read().await?;
        let found = async {
            let encoding = session.first("SHOW server_encoding", &[]).await?;
            let encoding = encoding.map(|row| row.get::<String>(0)).transpose()?;
            if let Some(other) = encoding.filter(|encoding| encoding != "UTF8") {
                return Ok(Err(other));
            }
            let found = version(&mut session, schema).await?.unwrap_or(0);
            let refused = found > NEWEST && !runs_on(&mut session, schema).await?;
            Ok(Ok((found, refused)))
        };
        let found = found.await;
        session.end(found).await
    };
    let failed = |failure| OpenError::unavailable(format!("read schema `{schema}`"), failure);
    match read.await.map_err(failed)? {
        Err(encoding) => Err(OpenError::new(
            OpenErrorKind::Url,
            format!(
                "the database is encoded in {encoding}, and an inbox holds any text that a \
                 provider sends: make one with ENCODING 'UTF8'"
            ),
        )),
        Ok((version, true)) => {
            let why = format!(
                "has version {version}, which a later release made; this one knows up to {NEWEST}"
            );
            Err(refusal(schema, &why))
        }
        Ok((version, false)) => Ok(version),
    }
}

/// Whether this release runs on what a later one made.
async fn runs_on(session: &mut Session, schema: &SchemaName) -> Result<bool, Failure> {
    let oldest = format!("SELECT runs_on FROM {}.inbox", schema.quoted());
    let row = session.first(&oldest, &[]).await?;
    let oldest = row.map(|row| row.get::<i32>(0)).transpose()?;
    Ok(oldest.is_some_and(|oldest| u32::try_from(oldest).is_ok_and(|oldest| oldest <= NEWEST)))
}

fn refusal(schema: &SchemaName, why: &str) -> OpenError {
    let message = format!("schema `{schema}` {why}");
    OpenError::new(OpenErrorKind::Schema, message)
}

/// One process migrates, the others wait for it. Returns the version before.
async fn run(database: &Database) -> Result<u32, Failure> {
    let schema = database.schema();
    let mut session = database.write().await?;
    let migrated = async {
        wait_for_turn(&mut session).await?;
        let from = version(&mut session, schema).await?.unwrap_or(0);
        if from >= NEWEST {
            return Ok(from);
        }
        let exists = session
            .first(
                "SELECT 1 FROM pg_namespace WHERE nspname = $1",
                &[(&schema.as_str(), Type::TEXT)],
            )
            .await?;
        if exists.is_none() {
            // Only now: who may not make schemas may use one that was made for him.
            session
                .batch(&format!("CREATE SCHEMA {}", schema.quoted()))
                .await?;
        }
        session.batch(&steps(from)).await?;
        Ok(from)
    };
    let migrated = migrated.await;
    session.end(migrated).await
}

/// Runs statements of the program's own, as its role finds tables.
pub(crate) async fn make_tables(database: &Database, tables: &[String]) -> Result<(), OpenError> {
    if tables.is_empty() {
        return Ok(());
    }
    let made = async {
        let mut session = database.write().await?;
        let made = async {
            wait_for_turn(&mut session).await?;
            session.batch("SET LOCAL search_path TO DEFAULT").await?;
            for sql in tables {
                session.batch(sql).await?;
            }
            Ok(())
        };
        let made = made.await;
        session.end(made).await
    };
    let failed = |failure| OpenError::unavailable("run what `with_tables` says", failure);
    made.await.map_err(failed)
}

/// Waits until nobody else migrates: for as long as that takes.
async fn wait_for_turn(session: &mut Session) -> Result<(), Failure> {
    let patience = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;";
    let turn = format!("{patience} SELECT pg_advisory_xact_lock({MIGRATING})");
    session.batch(&turn).await
}

/// The schema's version, or `None` if there is no inbox in it.
async fn version(session: &mut Session, schema: &SchemaName) -> Result<Option<u32>, Failure> {
    // Read, not resolved as a name: what this connection remembers of names may be older
    // than a lock that it has just been given.
    let known = session
        .first(
            "SELECT FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
             WHERE nspname = $1 AND relname = 'inbox'",
            &[(&schema.as_str(), Type::TEXT)],
        )
        .await?;
    if known.is_none() {
        return Ok(None);
    }
    let version = format!("SELECT version FROM {}.inbox", schema.quoted());
    let row = session.first(&version, &[]).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(u32::try_from(row.get::<i32>(0)?).unwrap_or(u32::MAX)))
}

fn steps(from: u32) -> String {
    let done = usize::try_from(from).unwrap_or(usize::MAX);
    let mut sql = MIGRATIONS.iter().skip(done).copied().collect::<String>();
    if !sql.is_empty() {
        sql.push_str(&format!("UPDATE inbox SET version = {NEWEST};\n"));
    }
    sql
}

/// The advisory lock of those who migrate, whatever the schema: "whks".
const MIGRATING: i64 = 0x7768_6b73;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_is_a_schema() {
        for name in ["webhooks", "_a1", "user"] {
            assert_eq!(SchemaName::new(name).unwrap().as_str(), name);
        }
        let long = "a".repeat(64);
        for name in ["", "1a", "A", "a-b", "a\"b", "a'b", "pg_hooks", "é", &long] {
            let error = SchemaName::new(name).unwrap_err();
            assert_eq!(error.kind(), OpenErrorKind::Url, "{name}");
        }
    }

    #[test]
    fn nothing_is_printed_for_who_has_the_newest() {
        assert_eq!(migration_sql("webhooks", NEWEST).unwrap(), "");
        let sql = migration_sql("hooks", 0).unwrap();
        assert!(sql.contains("CREATE SCHEMA IF NOT EXISTS \"hooks\";"));
        assert!(sql.ends_with("UPDATE inbox SET version = 1;\nCOMMIT;\n"));
    }
}
