//! What is known of the events that come: asked for all of them at once, kept in
//! step with what this transaction adds.

use std::{
    collections::{BTreeSet, HashMap},
    time::SystemTime,
};

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{NewEvent, body_key, repeat_key};

use super::{Result, Transaction, events::Incoming, rows, seq_of};
use crate::driver::Row;

/// Where an event is unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Scope {
    pub(super) endpoint: Text,
    pub(super) tenant: Option<Text>,
}

impl Scope {
    pub(super) fn of(event: &NewEvent) -> Self {
        Self {
            endpoint: event.endpoint.clone(),
            tenant: event.tenant.clone(),
        }
    }
}

/// An event with some body, and when it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Earlier {
    pub(super) seq: i64,
    pub(super) received_at: SystemTime,
}

/// The latest events with one body among those that the body may identify.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Latest {
    pub(super) usable: Option<Earlier>,
    pub(super) unusable: Option<Earlier>,
}

impl Latest {
    pub(super) fn any(self) -> Option<Earlier> {
        self.usable.max(self.unusable)
    }
}

/// An event's number and hash.
type Keyed = (i64, [u8; 32]);

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The event that has a key, and its hash; `None` where nobody has it.
    keys: HashMap<(Scope, Text), Option<Keyed>>,
    bodies: HashMap<(Scope, [u8; 32]), Latest>,
}

impl Known {
    pub(super) fn latest(&self, scope: &Scope, sha256: &[u8; 32]) -> Latest {
        let found = self.bodies.get(&(scope.clone(), *sha256));
        found.copied().unwrap_or_default()
    }

    /// Forgets all, after a change that it was not told of.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Remembers an event that this transaction stores.
    pub(super) fn add(&mut self, incoming: &Incoming<'_>, key: &Text, seq: i64, by_body: bool) {
        let scope = incoming.scope.clone();
        let known = Some((seq, incoming.sha256));
        self.keys.insert((scope.clone(), key.clone()), known);
        if by_body {
            let latest = self.bodies.entry((scope, incoming.sha256)).or_default();
            let earlier = Some(Earlier {
                seq,
                received_at: incoming.received_at,
            });
            match incoming.event.unusable {
                Some(_) => latest.unusable = earlier,
                None => latest.usable = earlier,
            }
        }
    }
}

impl Transaction<'_> {
    /// Asks for all that the events will probably be matched against.
    pub(super) async fn look_up(&mut self, events: &[Incoming<'_>]) -> Result<()> {
        let bodies: BTreeSet<_> = events
            .iter()
            .filter(|event| event.is_by_body())
            .map(|event| (event.scope.clone(), event.sha256))
            .collect();
        self.ask_bodies(bodies.into_iter().collect()).await?;
        let mut keys = BTreeSet::new();
        for event in events {
            let scope = &event.scope;
            if event.id_key.is_some() {
                // Asked for as the transaction began.
                continue;
            }
            keys.insert((scope.clone(), body_key(&event.sha256)));
            if let Some(latest) = self.known.latest(scope, &event.sha256).any() {
                let key = repeat_key(&event.sha256, seq_of(latest.seq));
                keys.insert((scope.clone(), key));
            }
        }
        self.ask_keys(keys.into_iter().collect()).await
    }

    /// The event that has this key, and its hash.
    pub(super) async fn keyed(&mut self, scope: &Scope, key: &Text) -> Result<Option<Keyed>> {
        let place = (scope.clone(), key.clone());
        if !self.known.keys.contains_key(&place) {
            self.ask_keys(vec![place.clone()]).await?;
        }
        Ok(self.known.keys.get(&place).copied().flatten())
    }

    async fn ask_keys(&mut self, asked: Vec<(Scope, Text)>) -> Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let endpoints: Vec<_> = asked.iter().map(|(at, _)| at.endpoint.as_str()).collect();
        let tenants: Vec<_> = asked.iter().map(|(at, _)| at.tenant.as_deref()).collect();
        let keys: Vec<_> = asked.iter().map(|(_, key)| key.as_str()).collect();
        let rows = self
            .db
            .query(
                BY_KEY,
                &[
                    (&endpoints, Type::TEXT_ARRAY),
                    (&tenants, Type::TEXT_ARRAY),
                    (&keys, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        self.take_keys(asked, &rows)
    }

    pub(super) fn take_keys(&mut self, asked: Vec<(Scope, Text)>, rows: &[Row]) -> Result<()> {
        let mut found = HashMap::new();
        for row in rows {
            found.insert(place(row.get(0)?), (row.get(1)?, rows::sha256(row, 2)?));
        }
        for (number, key) in asked.into_iter().enumerate() {
            self.known.keys.insert(key, found.remove(&number));
        }
        Ok(())
    }

    async fn ask_bodies(&mut self, asked: Vec<(Scope, [u8; 32])>) -> Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let endpoints: Vec<_> = asked.iter().map(|(at, _)| at.endpoint.as_str()).collect();
        let tenants: Vec<_> = asked.iter().map(|(at, _)| at.tenant.as_deref()).collect();
        let hashes: Vec<_> = asked.iter().map(|(_, sha256)| &sha256[..]).collect();
        let rows = self
            .db
            .query(
                BY_BODY,
                &[
                    (&endpoints, Type::TEXT_ARRAY),
                    (&tenants, Type::TEXT_ARRAY),
                    (&hashes, Type::BYTEA_ARRAY),
                ],
            )
            .await?;
        for row in rows {
            let Some(body) = asked.get(place(row.get(0)?)) else {
                continue;
            };
            let latest = self.known.bodies.entry(body.clone()).or_default();
            let earlier = Some(Earlier {
                seq: row.get(1)?,
                received_at: row.get(2)?,
            });
            match row.get(3)? {
                true => latest.unusable = earlier,
                false => latest.usable = earlier,
            }
        }
        Ok(())
    }
}

/// The server counts from one.
fn place(ordinal: i64) -> usize {
    usize::try_from(ordinal.saturating_sub(1)).unwrap_or(usize::MAX)
}

pub(super) const BY_KEY: &str = "SELECT q.place, e.seq, e.body_sha256
    FROM unnest($1, $2, $3) WITH ORDINALITY AS q(endpoint, tenant, key, place)
    CROSS JOIN LATERAL (
        SELECT seq, body_sha256 FROM event
        WHERE key = q.key AND endpoint = q.endpoint
            AND coalesce('=' || tenant, '') = coalesce('=' || q.tenant, '')
        LIMIT 1
    ) AS e";

pub(super) const BY_BODY: &str = "SELECT q.place, e.seq, e.received_at, e.unusable
    FROM unnest($1, $2, $3) WITH ORDINALITY AS q(endpoint, tenant, sha256, place)
    CROSS JOIN (VALUES (true), (false)) AS kind(unusable)
    CROSS JOIN LATERAL (
        SELECT seq, received_at, unusable IS NOT NULL AS unusable FROM event
        WHERE by_body AND body_sha256 = q.sha256 AND endpoint = q.endpoint
            AND coalesce('=' || tenant, '') = coalesce('=' || q.tenant, '')
            AND (unusable IS NOT NULL) = kind.unusable
        ORDER BY seq DESC LIMIT 1
    ) AS e";
