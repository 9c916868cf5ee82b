//! The registrations, remembered so that storing an event reads none.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Ordering, Pattern, Registration, route};

use super::Tx;

/// By endpoint, then handler.
#[derive(Debug, Default)]
pub(super) struct Routes(HashMap<Text, BTreeMap<Text, Known>>);

#[derive(Debug)]
pub(super) struct Known {
    registration: Registration,
    /// When a worker last asked for its jobs, as it is stored.
    pub(super) asked_at: Option<i64>,
}

impl Routes {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut routes = Self::default();
        let mut rows = connection.prepare_cached(
            "SELECT endpoint, handler, pattern, fallback, ordering, asked_at FROM handler",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get::<_, String>(column).map(Text::from);
            let handler = text(1)?;
            let pattern: String = row.get(2)?;
            let Ok(pattern) = Pattern::parse(&pattern) else {
                // Only an edit by hand can have done this; the others must go on.
                tracing::warn!(%handler, pattern, "a registration has no pattern; it gets no jobs");
                continue;
            };
            let registration = Registration {
                endpoint: text(0)?,
                handler,
                pattern,
                fallback: row.get(3)?,
                ordering: ordering(&row.get::<_, String>(4)?),
            };
            routes.put(registration, row.get(5)?);
        }
        Ok(routes)
    }

    fn put(&mut self, registration: Registration, asked_at: Option<i64>) {
        let handlers = self.0.entry(registration.endpoint.clone()).or_default();
        let known = Known {
            registration,
            asked_at,
        };
        handlers.insert(known.registration.handler.clone(), known);
    }

    pub(super) fn remove(&mut self, endpoint: &str, handler: &str) {
        if let Some(handlers) = self.0.get_mut(endpoint) {
            handlers.remove(handler);
        }
    }

    pub(super) fn get_mut(&mut self, endpoint: &str, handler: &str) -> Option<&mut Known> {
        self.0.get_mut(endpoint)?.get_mut(handler)
    }

    /// The handlers that an event of this type is for, and how they order jobs.
    pub(super) fn of(&self, endpoint: &str, event_type: Option<&str>) -> Vec<(Text, Ordering)> {
        let Some(handlers) = self.0.get(endpoint) else {
            return Vec::new();
        };
        let registrations = handlers.values().map(|known| &known.registration);
        route(registrations, event_type)
            .map(|handler| (handler.clone(), self.ordering(endpoint, handler)))
            .collect()
    }

    /// How the handler orders its jobs; one that is not registered does not.
    pub(super) fn ordering(&self, endpoint: &str, handler: &str) -> Ordering {
        self.0
            .get(endpoint)
            .and_then(|handlers| handlers.get(handler))
            .map_or(Ordering::None, |known| known.registration.ordering)
    }
}

impl Tx<'_> {
    pub(super) fn register(&mut self, registration: Registration) -> rusqlite::Result<()> {
        let Registration {
            endpoint,
            handler,
            pattern,
            fallback,
            ordering,
        } = &registration;
        let known = self.routes.get_mut(endpoint, handler);
        let asked_at = known.as_ref().and_then(|known| known.asked_at);
        let before = known.map(|known| known.registration.clone());
        if before.as_ref() == Some(&registration) {
            return Ok(());
        }
        self.run(
            "INSERT INTO handler (endpoint, handler, pattern, fallback, ordering)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET pattern = excluded.pattern, fallback = excluded.fallback,
                 ordering = excluded.ordering",
            (
                endpoint.as_str(),
                handler.as_str(),
                pattern.to_string(),
                fallback,
                ordering_name(*ordering),
            ),
        )?;
        let (endpoint, handler, ordering) = (endpoint.clone(), handler.clone(), *ordering);
        self.routes.put(registration, asked_at);
        match before {
            Some(before) if before.ordering != ordering => {
                self.reorder(&endpoint, &handler, ordering)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes that a worker asks for this handler's jobs: once a second, since
    /// nobody looks closer, and a claim that finds nothing should write nothing.
    pub(super) fn note_asked(&mut self, endpoint: &str, handler: &str) -> rusqlite::Result<()> {
        let now = self.now;
        let Some(known) = self.routes.get_mut(endpoint, handler) else {
            return Ok(());
        };
        if known
            .asked_at
            .is_some_and(|at| now.saturating_sub(at) < ASKED_STEP_MICROS)
        {
            return Ok(());
        }
        known.asked_at = Some(now);
        self.run(
            "UPDATE handler SET asked_at = ?3 WHERE endpoint = ?1 AND handler = ?2",
            (endpoint, handler, now),
        )?;
        Ok(())
    }
}

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

const ASKED_STEP_MICROS: i64 = 1_000_000;
