//! What people look at: on connections that only read.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, params_from_iter};
use tower_webhooks_inbox::{
    EventRecord, EventSeq, EventState, Filter, HandlerStats, JobRecord, JobState, Listing, Page,
    Stats, Want,
};

use super::{
    column,
    filter::Condition,
    rows::{self, SELECT_EVENT, SELECT_EVENTS, SELECT_JOBS},
    unsigned,
};
use crate::time::until;

pub(crate) fn next_due(
    connection: &Connection,
    wants: &[Want],
    now: i64,
) -> rusqlite::Result<Option<Duration>> {
    let mut earliest = connection.prepare_cached(NEXT_DUE)?;
    let mut next: Option<i64> = None;
    for want in wants.iter().filter(|want| want.free > 0) {
        let due = earliest
            .query_row((want.endpoint.as_str(), want.handler.as_str()), |row| {
                row.get(0)
            })
            .optional()?;
        next = next.into_iter().chain(due).min();
    }
    Ok(next.map(|due| until(now, due)))
}

pub(crate) fn get(
    connection: &Connection,
    seq: EventSeq,
    now: i64,
) -> rusqlite::Result<Option<EventRecord>> {
    let event = connection
        .prepare_cached(SELECT_EVENT)?
        .query_row([column(seq)], rows::event)
        .optional()?;
    event
        .map(|event| {
            let jobs = jobs_of(connection, column(seq), now)?;
            Ok(EventRecord::new(Arc::new(event), jobs))
        })
        .transpose()
}

/// Lists without headers and bodies.
pub(crate) fn list(
    connection: &Connection,
    filter: &Filter,
    page: Page,
    now: i64,
) -> rusqlite::Result<Listing> {
    let mut condition = Condition::of_event(filter, page);
    if filter.names_jobs() {
        condition = condition.with_job(filter);
    }
    let sql = condition.select(SELECT_EVENTS, page);
    let mut events = connection.prepare(&sql)?;
    let events = events.query_map(params_from_iter(&condition.values), rows::event)?;
    let events = events.collect::<rusqlite::Result<Vec<_>>>()?;
    let (events, next) = cut(events, page, |event| event.seq);
    let mut listing = Listing::default();
    listing.next = next;
    for event in events {
        let jobs = jobs_of(connection, column(event.seq), now)?;
        listing.events.push(EventRecord::new(Arc::new(event), jobs));
    }
    Ok(listing)
}

/// Takes the row off that only tells that there is more.
pub(super) fn cut<T>(
    mut rows: Vec<T>,
    page: Page,
    seq: impl Fn(&T) -> EventSeq,
) -> (Vec<T>, Option<EventSeq>) {
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let next = rows.last().map(seq).filter(|_| more);
    (rows, next)
}

pub(super) fn jobs_of(
    connection: &Connection,
    seq: i64,
    now: i64,
) -> rusqlite::Result<Vec<JobRecord>> {
    connection
        .prepare_cached(SELECT_JOBS)?
        .query_map([seq], |row| rows::job(row, now))?
        .collect()
}

/// Reads the counts that every transaction keeps; only what waits is looked through.
pub(crate) fn stats(connection: &Connection, now: i64) -> rusqlite::Result<Stats> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let mut stats = Stats::default();
    stats.undecided = unsigned(number("SELECT count(*) FROM reply WHERE status IS NULL")?);
    stats.held_bytes = unsigned(number("SELECT held_bytes FROM inbox")?);
    stats.oldest_pending = oldest_pending(connection)?.map(|stored_at| until(stored_at, now));
    let newest = "SELECT max(stored_at) FROM event";
    let newest: Option<i64> = connection.query_row(newest, [], |row| row.get(0))?;
    stats.newest_event = newest.map(|stored_at| until(stored_at, now));
    stats.handlers = handlers(connection, now)?;
    let mut events = connection.prepare_cached("SELECT state, events FROM event_count")?;
    let mut events = events.query([])?;
    while let Some(row) = events.next()? {
        if let Some(state) = EventState::from_name(row.get_ref(0)?.as_str()?) {
            stats.events.insert(state, unsigned(row.get(1)?));
        }
    }
    Ok(stats)
}

fn oldest_pending(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .query_row(OLDEST_PENDING, [], |row| row.get(0))
        .optional()
}

fn handlers(connection: &Connection, now: i64) -> rusqlite::Result<Vec<HandlerStats>> {
    let mut handlers: Vec<HandlerStats> = Vec::new();
    let mut counts = connection.prepare_cached(
        "SELECT h.endpoint, h.handler, h.asked_at, c.state, c.jobs
         FROM handler AS h LEFT JOIN job_count AS c USING (endpoint, handler)
         ORDER BY h.endpoint, h.handler",
    )?;
    let mut counts = counts.query([])?;
    while let Some(row) = counts.next()? {
        let (endpoint, handler) = (rows::text(row, 0)?, rows::text(row, 1)?);
        let known = handlers
            .last()
            .is_some_and(|last| last.endpoint == endpoint && last.handler == handler);
        if !known {
            let asked_at = row.get::<_, Option<i64>>(2)?;
            let mut handler = HandlerStats::new(endpoint, handler);
            handler.unasked = asked_at.map(|at| until(at, now));
            handlers.push(handler);
        }
        let (Some(of), Some(state)) = (
            handlers.last_mut(),
            row.get_ref(3)?
                .as_str_or_null()?
                .and_then(JobState::from_name),
        ) else {
            continue;
        };
        let count = match state {
            JobState::Dead => &mut of.dead,
            JobState::Done => &mut of.done,
            JobState::Pending => &mut of.pending,
            JobState::Running => &mut of.running,
        };
        *count = unsigned(row.get(4)?);
    }
    Ok(handlers)
}

pub(super) const NEXT_DUE: &str = "SELECT due_at FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND due_at IS NOT NULL
    ORDER BY due_at LIMIT 1";

pub(super) const OLDEST_PENDING: &str = "SELECT stored_at FROM event
    WHERE seq = (SELECT min(seq) FROM (
        SELECT seq FROM job WHERE due_at IS NOT NULL AND state = 'pending'
        UNION ALL
        SELECT seq FROM job WHERE line IS NOT NULL AND state <> 'done' AND state = 'pending'
    ))";
