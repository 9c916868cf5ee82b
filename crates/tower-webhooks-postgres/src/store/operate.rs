//! What people look at: in transactions that only read.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    Durability, EventRecord, EventSeq, EventState, Filter, HandlerStats, JobRecord, JobState,
    Listing, Page, Stats, StoredEvent, Want,
};

use super::{
    Result, column,
    filter::Condition,
    rows::{self, SELECT_EVENTS, SELECT_JOBS, SELECT_WHOLE},
    unsigned,
};
use crate::{
    driver::{Param, Row},
    session::{Database, Session},
    time::from_micros,
};

pub(crate) async fn next_due(database: &Database, wants: &[Want]) -> Result<Option<Duration>> {
    let wants: Vec<_> = wants.iter().filter(|want| want.free > 0).collect();
    let endpoints: Vec<_> = wants.iter().map(|want| want.endpoint.as_str()).collect();
    let handlers: Vec<_> = wants.iter().map(|want| want.handler.as_str()).collect();
    let params: Vec<Param<'_>> = vec![
        (&endpoints, Type::TEXT_ARRAY),
        (&handlers, Type::TEXT_ARRAY),
    ];
    let rows = database.ask((NEXT_DUE, params)).await?;
    let row = rows.first();
    row.map(|row| Ok(from_micros(row.get(0)?))).transpose()
}

pub(crate) async fn get(session: &mut Session, seq: EventSeq) -> Result<Option<EventRecord>> {
    let seqs = [column(seq)];
    let row = session
        .first(SELECT_WHOLE, &[(&&seqs[..], Type::INT8_ARRAY)])
        .await?;
    let Some(row) = row else { return Ok(None) };
    let event = rows::event(&row)?;
    let mut jobs = jobs_of(session, &seqs).await?;
    Ok(Some(record(event, &mut jobs)))
}

/// Lists without headers and bodies.
pub(crate) async fn list(session: &mut Session, filter: &Filter, page: Page) -> Result<Listing> {
    let mut condition = Condition::of_event(filter, page);
    if filter.names_jobs() {
        condition = condition.with_job(filter);
    }
    let sql = condition.select(SELECT_EVENTS, page);
    let found = session.query(&sql, &condition.params()).await?;
    let events = found.iter().map(rows::event).collect::<Result<Vec<_>>>()?;
    let (events, next) = cut(events, page, |event| event.seq);
    let seqs: Vec<i64> = events.iter().map(|event| column(event.seq)).collect();
    let mut jobs = jobs_of(session, &seqs).await?;
    let mut listing = Listing::default();
    listing.next = next;
    let events = events.into_iter();
    listing
        .events
        .extend(events.map(|event| record(event, &mut jobs)));
    Ok(listing)
}

fn record(event: StoredEvent, jobs: &mut HashMap<i64, Vec<JobRecord>>) -> EventRecord {
    let jobs = jobs.remove(&column(event.seq)).unwrap_or_default();
    EventRecord::new(Arc::new(event), jobs)
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

pub(super) async fn jobs_of(
    session: &mut Session,
    seqs: &[i64],
) -> Result<HashMap<i64, Vec<JobRecord>>> {
    let mut jobs: HashMap<i64, Vec<JobRecord>> = HashMap::new();
    if seqs.is_empty() {
        return Ok(jobs);
    }
    let found = session
        .query(SELECT_JOBS, &[(&seqs, Type::INT8_ARRAY)])
        .await?;
    for row in &found {
        jobs.entry(row.get(0)?).or_default().push(rows::job(row)?);
    }
    Ok(jobs)
}

/// Sums the counts that every transaction appends; only what waits is looked
/// through. Tells also how many lines there were to sum.
pub(crate) async fn stats(session: &mut Session) -> Result<(Stats, u64)> {
    let mut stats = Stats::default();
    let oldest = session.first(OLDEST_PENDING, &[]).await?;
    stats.oldest_pending = oldest
        .and_then(|row| row.get::<Option<i64>>(0).transpose())
        .transpose()?
        .map(from_micros);
    let newest = session.first(NEWEST, &[]).await?;
    stats.newest_event = newest
        .and_then(|row| row.get::<Option<i64>>(0).transpose())
        .transpose()?
        .map(from_micros);
    let undecided = session
        .first("SELECT count(*) FROM reply WHERE status IS NULL", &[])
        .await?;
    if let Some(row) = undecided {
        stats.undecided = unsigned(row.get(0)?);
    }
    let asked = session.query(HANDLERS, &[]).await?;
    for row in &asked {
        let mut handler = HandlerStats::new(rows::text(row, 0)?, rows::text(row, 1)?);
        handler.unasked = row.get::<Option<i64>>(2)?.map(from_micros);
        stats.handlers.push(handler);
    }
    let counts = session.query(COUNTS, &[]).await?;
    let mut lines = 0;
    for row in &counts {
        lines += unsigned(row.get(5)?);
        count(&mut stats, row)?;
    }
    Ok((stats, lines))
}

fn count(stats: &mut Stats, row: &Row) -> Result<()> {
    let number = unsigned(row.get(4)?);
    match row.get(0)? {
        "event" => {
            if let Some(state) = EventState::from_name(row.get(3)?) {
                stats.events.insert(state, number);
            }
        }
        "held_bytes" => stats.held_bytes = number,
        _ => {
            let Some(state) = JobState::from_name(row.get(3)?) else {
                return Ok(());
            };
            let of = handler(stats, &rows::text(row, 1)?, &rows::text(row, 2)?);
            match state {
                JobState::Dead => of.dead = number,
                JobState::Done => of.done = number,
                JobState::Pending => of.pending = number,
                JobState::Running => of.running = number,
            }
        }
    }
    Ok(())
}

/// The handler's counts; one that is not registered any more may have jobs.
fn handler<'a>(stats: &'a mut Stats, endpoint: &Text, handler: &Text) -> &'a mut HandlerStats {
    let known = stats
        .handlers
        .iter()
        .position(|one| one.endpoint == *endpoint && one.handler == *handler);
    let place = known.unwrap_or(stats.handlers.len());
    if known.is_none() {
        let new = HandlerStats::new(endpoint.clone(), handler.clone());
        stats.handlers.push(new);
    }
    &mut stats.handlers[place]
}

/// Reads back, within a transaction like those that store.
pub(crate) async fn check(session: &mut Session) -> Result<Durability> {
    let row = session.first(CHECK, &[]).await?;
    let Some(row) = row else {
        return Err(rows::odd(0));
    };
    let (version, fsync, commit, pages): (&str, &str, &str, &str) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let (standby, unlogged): (bool, i64) = (row.get(4)?, row.get(5)?);
    let durable = fsync == "on"
        && matches!(commit, "on" | "remote_apply")
        && pages == "on"
        && !standby
        && unlogged == 0;
    let mut description = format!(
        "PostgreSQL {version}, fsync = {fsync}, synchronous_commit = {commit}, \
         full_page_writes = {pages}"
    );
    if standby {
        description.push_str(", a standby that takes no writes");
    }
    if unlogged > 0 {
        description.push_str(&format!(", {unlogged} tables not logged"));
    }
    let answers_within = session.begin_limit().saturating_add(COMMITS);
    Ok(Durability::new(durable, description).with_answers_within(answers_within))
}

/// What a batch takes at most, once it has begun, while the server is well.
const COMMITS: Duration = Duration::from_millis(400);

pub(super) const NEXT_DUE: &str = "SELECT
        (extract(epoch FROM d.due_at - statement_timestamp()) * 1000000)::bigint
    FROM unnest($1, $2) AS q(endpoint, handler)
    CROSS JOIN LATERAL (
        SELECT due_at FROM job
        WHERE endpoint = q.endpoint AND handler = q.handler AND due_at IS NOT NULL
        ORDER BY due_at LIMIT 1
    ) AS d
    ORDER BY d.due_at LIMIT 1";

pub(super) const OLDEST_PENDING: &str = "SELECT
        (extract(epoch FROM statement_timestamp() - stored_at) * 1000000)::bigint
    FROM event WHERE seq = (
        SELECT seq FROM job WHERE state = 'pending' AND state <> 'done' ORDER BY seq LIMIT 1
    )";

const NEWEST: &str = "SELECT
        (extract(epoch FROM statement_timestamp() - max(stored_at)) * 1000000)::bigint
    FROM event";

const HANDLERS: &str = "SELECT endpoint, handler,
        (extract(epoch FROM statement_timestamp() - asked_at) * 1000000)::bigint
    FROM handler ORDER BY endpoint, handler";

const COUNTS: &str = "SELECT what, endpoint, handler, state, sum(number)::bigint, count(*)
    FROM tally GROUP BY what, endpoint, handler, state
    HAVING sum(number) <> 0 ORDER BY endpoint, handler";

const CHECK: &str = "SELECT current_setting('server_version'), current_setting('fsync'),
        current_setting('synchronous_commit'), current_setting('full_page_writes'),
        pg_is_in_recovery(),
        (SELECT count(*) FROM pg_class AS c JOIN pg_class AS e USING (relnamespace)
         WHERE e.oid = 'event'::regclass AND c.relkind = 'r' AND c.relpersistence <> 'p'
             AND c.relname IN ('event', 'event_body', 'handler', 'inbox', 'job', 'reply'))";
