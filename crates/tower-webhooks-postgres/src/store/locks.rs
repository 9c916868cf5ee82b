//! Locks between processes, where no unique key can decide: who registers and
//! who stores, equal bodies without a signed id, lines, what people do.
//!
//! Advisory locks of the transaction, which its end gives back and a pooler does
//! not mind. What many values would need a lock each for shares 256: the server
//! has room for some thousands.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;

use super::{
    Result, Transaction,
    events::Incoming,
    lines::{Line, Lines},
};
use crate::schema::SchemaName;

/// What a lock is for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Bodies,
    Fold,
    Operate,
    Registrations,
}

/// Waits until nobody registers; then registrations stay as they are.
pub(super) fn share_registrations(schema: &SchemaName) -> String {
    let key = key(schema, Purpose::Registrations);
    format!("SELECT pg_advisory_xact_lock_shared({key});")
}

/// Waits until nobody stores.
pub(super) fn own_registrations(schema: &SchemaName) -> String {
    let key = key(schema, Purpose::Registrations);
    format!("SELECT pg_advisory_xact_lock({key});")
}

/// One at a time of what people do.
pub(super) fn operate(schema: &SchemaName) -> String {
    let key = key(schema, Purpose::Operate);
    format!("SELECT pg_advisory_xact_lock({key});")
}

/// Whoever sums up; asked for, not waited for.
pub(super) fn fold(schema: &SchemaName) -> i64 {
    key(schema, Purpose::Fold)
}

impl Transaction<'_> {
    /// Takes all locks that what comes needs, sorted, so that no two processes
    /// wait for one another.
    pub(super) async fn lock(&mut self, events: &[Incoming<'_>], settled: Lines) -> Result<()> {
        let mut bodies = BTreeSet::new();
        let mut lines = settled;
        for event in events {
            if event.is_by_body() {
                bodies.insert(bucket(self.schema, Purpose::Bodies, &event.sha256));
            }
            lines.extend(self.lines_of(event.event));
        }
        self.take(&bodies, &lines).await
    }

    pub(super) async fn lock_lines(&mut self, lines: &Lines) -> Result<()> {
        self.take(&BTreeSet::new(), lines).await
    }

    async fn take(&mut self, bodies: &BTreeSet<i64>, lines: &Lines) -> Result<()> {
        if bodies.is_empty() && lines.is_empty() {
            return Ok(());
        }
        let bodies: Vec<i64> = bodies.iter().copied().collect();
        let columns = |of: fn(&Line) -> &str| lines.iter().map(of).collect::<Vec<_>>();
        self.db
            .run(
                "SELECT pg_advisory_xact_lock(key) FROM (
                     SELECT unnest($1) AS key
                     UNION SELECT line_lock(endpoint, handler, line)
                         FROM unnest($2, $3, $4) AS q(endpoint, handler, line)
                     ORDER BY key
                 ) AS keys",
                &[
                    (&bodies, Type::INT8_ARRAY),
                    (&columns(|line| &line.endpoint), Type::TEXT_ARRAY),
                    (&columns(|line| &line.handler), Type::TEXT_ARRAY),
                    (&columns(|line| &line.line), Type::TEXT_ARRAY),
                ],
            )
            .await
    }
}

/// One of a purpose's 256 locks.
fn bucket(schema: &SchemaName, purpose: Purpose, value: &[u8]) -> i64 {
    let [bucket, ..] = <[u8; 32]>::from(Sha256::digest(value));
    key(schema, purpose) & !0xff | i64::from(bucket)
}

fn key(schema: &SchemaName, purpose: Purpose) -> i64 {
    let text = format!("tower-webhooks {schema} {purpose:?}");
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(text));
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_purposes_and_values_are_apart() {
        let (one, two) = (
            SchemaName::new("one").unwrap(),
            SchemaName::new("two").unwrap(),
        );
        let keys = BTreeSet::from([
            key(&one, Purpose::Operate),
            key(&one, Purpose::Fold),
            key(&two, Purpose::Fold),
            bucket(&one, Purpose::Bodies, b"a"),
            bucket(&one, Purpose::Bodies, b"b"),
            bucket(&two, Purpose::Bodies, b"a"),
        ]);
        assert_eq!(keys.len(), 6);
    }

    #[test]
    fn a_purpose_has_no_more_than_256_locks() {
        let schema = SchemaName::new("hooks").unwrap();
        let keys: BTreeSet<i64> = (0..5_000_u32)
            .map(|value| bucket(&schema, Purpose::Bodies, &value.to_be_bytes()))
            .collect();
        assert_eq!(keys.len(), 256);
    }
}
