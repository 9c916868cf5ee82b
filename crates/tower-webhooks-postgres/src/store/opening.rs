//! What a transaction asks as it begins, all in one trip to the server.

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::Batch;

use super::{
    Result, Transaction, column,
    events::Incoming,
    fresh::NUMBERS,
    known::{BY_KEY, Scope},
    limit,
    lines::{LINES_OF_JOBS, Line, Lines},
    routes::ROUTES,
};
use crate::driver::{Query, Row};

/// The questions that no lock of ours need be held for: the registrations, which
/// the first statement holds still; the lines of the jobs that are settled; what
/// has the signed ids that come, since a unique index decides in the end; and
/// numbers, where no line wants their order.
#[derive(Default)]
pub(super) struct Opening<'a> {
    routes: bool,
    settles: (Vec<i64>, Vec<&'a str>),
    keys: Keys<'a>,
    numbers: i64,
}

/// What is asked for by key, as columns.
#[derive(Default)]
struct Keys<'a> {
    endpoints: Vec<&'a str>,
    tenants: Vec<Option<&'a str>>,
    keys: Vec<&'a str>,
    places: Vec<(Scope, Text)>,
}

impl<'a> Opening<'a> {
    pub(super) fn of(batch: &'a Batch, events: &'a [Incoming<'a>]) -> Self {
        let mut opening = Self {
            routes: !events.is_empty() || !batch.registers.is_empty(),
            ..Self::default()
        };
        for settle in &batch.settles {
            opening.settles.0.push(column(settle.key.seq));
            opening.settles.1.push(&settle.key.handler);
        }
        for event in events {
            if let Some(key) = &event.id_key {
                let keys = &mut opening.keys;
                keys.endpoints.push(&event.scope.endpoint);
                keys.tenants.push(event.scope.tenant.as_deref());
                keys.keys.push(key);
                keys.places.push((event.scope.clone(), key.clone()));
            }
        }
        if events.iter().all(|one| one.event.ordering_key.is_none()) {
            opening.numbers = limit(events.len());
        }
        opening
    }

    pub(super) fn queries(&self) -> Vec<Query<'_>> {
        let mut queries = Vec::new();
        if self.routes {
            queries.push((ROUTES, Vec::new()));
        }
        if !self.settles.0.is_empty() {
            let params = vec![
                (&self.settles.0 as _, Type::INT8_ARRAY),
                (&self.settles.1 as _, Type::TEXT_ARRAY),
            ];
            queries.push((LINES_OF_JOBS, params));
        }
        if !self.keys.keys.is_empty() {
            let params = vec![
                (&self.keys.endpoints as _, Type::TEXT_ARRAY),
                (&self.keys.tenants as _, Type::TEXT_ARRAY),
                (&self.keys.keys as _, Type::TEXT_ARRAY),
            ];
            queries.push((BY_KEY, params));
        }
        if self.numbers > 0 {
            queries.push((NUMBERS, vec![(&self.numbers as _, Type::INT8)]));
        }
        queries
    }
}

impl Transaction<'_> {
    /// Takes the answers in, in the order of the questions; returns the lines of the
    /// jobs that are settled.
    pub(super) fn open(&mut self, opening: Opening<'_>, answers: Vec<Vec<Row>>) -> Result<Lines> {
        let mut answers = answers.into_iter();
        let mut answer = |asked: bool| match asked {
            true => answers.next().unwrap_or_default(),
            false => Vec::new(),
        };
        if opening.routes {
            self.take_routes(&answer(true))?;
        }
        let lines = answer(!opening.settles.0.is_empty());
        let lines = lines.iter().map(|row| Line::of_row(row, 0));
        let lines = lines.filter_map(Result::transpose).collect();
        let known = answer(!opening.keys.keys.is_empty());
        self.take_keys(opening.keys.places, &known)?;
        self.take_numbers(&answer(opening.numbers > 0))?;
        lines
    }
}
