//! The registrations, as they are while this transaction stores.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Ordering, Pattern, Registration, route};

use super::{Result, Transaction, locks, rows};
use crate::driver::Row;

/// By endpoint, then handler.
#[derive(Debug, Default)]
pub(super) struct Routes(HashMap<Text, BTreeMap<Text, Registration>>);

impl Routes {
    /// The handlers that an event of this type is for, and how they order jobs.
    pub(super) fn of(&self, endpoint: &str, event_type: Option<&str>) -> Vec<(Text, Ordering)> {
        let Some(handlers) = self.0.get(endpoint) else {
            return Vec::new();
        };
        route(handlers.values(), event_type)
            .map(|handler| (handler.clone(), self.ordering(endpoint, handler)))
            .collect()
    }

    /// How the handler orders its jobs; one that is not registered does not.
    pub(super) fn ordering(&self, endpoint: &str, handler: &str) -> Ordering {
        self.find(endpoint, handler)
            .map_or(Ordering::None, |known| known.ordering)
    }

    /// Every handler of an endpoint.
    pub(super) fn all(&self, endpoint: &str) -> impl Iterator<Item = &Registration> {
        self.0.get(endpoint).into_iter().flat_map(BTreeMap::values)
    }

    fn find(&self, endpoint: &str, handler: &str) -> Option<&Registration> {
        self.0.get(endpoint)?.get(handler)
    }

    fn knows(&self, registration: &Registration) -> bool {
        self.find(&registration.endpoint, &registration.handler) == Some(registration)
    }

    fn put(&mut self, registration: Registration) {
        let handlers = self.0.entry(registration.endpoint.clone()).or_default();
        handlers.insert(registration.handler.clone(), registration);
    }
}

impl Transaction<'_> {
    pub(super) async fn load_routes(&mut self) -> Result<()> {
        let rows = self.db.query(ROUTES, &[]).await?;
        self.take_routes(&rows)
    }

    pub(super) fn take_routes(&mut self, rows: &[Row]) -> Result<()> {
        self.routes = Routes::default();
        for row in rows {
            let handler = rows::text(row, 1)?;
            let pattern = rows::text(row, 2)?;
            let Ok(pattern) = Pattern::parse(&pattern) else {
                // Only an edit by hand can have done this; the others must go on.
                tracing::warn!(%handler, %pattern, "a registration has no pattern; it gets no jobs");
                continue;
            };
            self.routes.put(Registration {
                endpoint: rows::text(row, 0)?,
                handler,
                pattern,
                fallback: row.get(3)?,
                ordering: ordering(row.get(4)?),
            });
        }
        Ok(())
    }

    /// Registers what is not known as it is. Waits until all are done that store
    /// now; who stores later sees it. So no event is stored without the job of a
    /// handler whose registration was answered before. Returns whose jobs are
    /// ordered otherwise now.
    pub(super) async fn register(
        &mut self,
        all: &[Registration],
        stores: bool,
    ) -> Result<Vec<Registration>> {
        if all.iter().all(|one| self.routes.knows(one)) {
            if stores {
                self.db
                    .batch(&locks::share_registrations(self.schema))
                    .await?;
                self.load_routes().await?;
            }
            return Ok(Vec::new());
        }
        self.db
            .batch(&locks::own_registrations(self.schema))
            .await?;
        // Another process may have registered meanwhile.
        self.load_routes().await?;
        let mut reordered = Vec::new();
        for one in all {
            let known = self.routes.find(&one.endpoint, &one.handler);
            if known.is_some_and(|known| known.ordering != one.ordering) {
                reordered.push(one.clone());
            }
            self.db
                .run(
                    "INSERT INTO handler (endpoint, handler, pattern, fallback, ordering)
                     VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (endpoint, handler) DO UPDATE SET pattern = excluded.pattern,
                         fallback = excluded.fallback, ordering = excluded.ordering",
                    &[
                        (&one.endpoint.as_str(), Type::TEXT),
                        (&one.handler.as_str(), Type::TEXT),
                        (&one.pattern.to_string(), Type::TEXT),
                        (&one.fallback, Type::BOOL),
                        (&ordering_name(one.ordering), Type::TEXT),
                    ],
                )
                .await?;
        }
        self.load_routes().await?;
        Ok(reordered)
    }
}

pub(super) const ROUTES: &str =
    "SELECT endpoint, handler, pattern, fallback, ordering FROM handler";

fn ordering_name(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Block => "block",
        Ordering::None => "none",
        Ordering::Skip => "skip",
    }
}

fn ordering(name: &str) -> Ordering {
    match name {
        "block" => Ordering::Block,
        "skip" => Ordering::Skip,
        _ => Ordering::None,
    }
}
