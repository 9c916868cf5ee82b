//! What is stored, as records; and records, as what is stored.

use bytes::Bytes;
use rusqlite::{Row, types::Type};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    DecidedBy, EventState, JobRecord, JobState, NewEvent, RecordedReply, Reply, StoredEvent,
    headers_from_json,
};

use super::{seq_of, unsigned};
use crate::time::{system_time, until};

/// A `SELECT` of events with their replies, in the order that [`event`] reads.
macro_rules! select_events {
    ($headers:literal, $body:literal, $rest:literal) => {
        concat!(
            "SELECT e.seq, e.endpoint, e.tenant, e.key, e.state, e.id, e.id_signed, e.event_type,
                 e.ordering_key, e.unusable, e.occurred_at, e.received_at, e.secret_label,
                 e.suppressed, e.erased, e.body_sha256, e.body_bytes,
                 r.status, r.content_type, r.body, r.decided_by, r.reason, ",
            $headers,
            ", ",
            $body,
            ", e.payload_label FROM event AS e LEFT JOIN reply AS r USING (seq) ",
            $rest
        )
    };
}

/// One event, whole.
pub(super) const SELECT_EVENT: &str = select_events!("e.headers", "e.body", "WHERE e.seq = ?1");

/// The beginning of a list: without headers and bodies, which would fill the memory.
pub(super) const SELECT_EVENTS: &str = select_events!("NULL", "NULL", "");

pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let endpoint = text(row, 1)?;
    let mut new = NewEvent::new(endpoint, Bytes::new(), system_time(row.get(11)?));
    new.tenant = maybe_text(row, 2)?;
    new.id = maybe_text(row, 5)?;
    new.id_signed = row.get(6)?;
    new.event_type = maybe_text(row, 7)?;
    new.ordering_key = maybe_text(row, 8)?;
    new.unusable = maybe_text(row, 9)?;
    new.occurred_at = row.get::<_, Option<i64>>(10)?.map(system_time);
    new.secret_label = maybe_text(row, 12)?;
    new.payload_label = maybe_text(row, 24)?;
    new.body_sha256 = Some(row.get(15)?);
    if let Some(headers) = row.get_ref(22)?.as_str_or_null().map_err(|_| odd(22))? {
        new.headers = headers_from_json(headers);
    }
    let state = EventState::from_name(row.get_ref(4)?.as_str()?).ok_or_else(|| odd(4))?;
    let mut stored = StoredEvent::new(seq_of(row.get(0)?), text(row, 3)?, state, new);
    stored.body = row.get::<_, Option<Vec<u8>>>(23)?.map(Bytes::from);
    stored.body_bytes = unsigned(row.get(16)?);
    stored.suppressed = small(row, 13)?;
    stored.erased = row.get(14)?;
    stored.reply = reply(row, 17)?;
    Ok(stored)
}

/// The recorded reply in five columns from this one on; `None` if there is none
/// or it is only reserved.
pub(super) fn reply(row: &Row<'_>, from: usize) -> rusqlite::Result<Option<RecordedReply>> {
    let Some(status) = row.get::<_, Option<u16>>(from)? else {
        return Ok(None);
    };
    let body: Option<Vec<u8>> = row.get(from + 2)?;
    let by = match maybe_text(row, from + 3)? {
        Some(by) if by == "default" => {
            DecidedBy::Default(maybe_text(row, from + 4)?.unwrap_or_default())
        }
        _ => DecidedBy::Handler,
    };
    Ok(Some(RecordedReply {
        reply: Reply {
            status,
            content_type: maybe_text(row, from + 1)?,
            body: body.map(Bytes::from).unwrap_or_default(),
        },
        by,
    }))
}

/// `SELECT` of an event's jobs.
pub(super) const SELECT_JOBS: &str = "SELECT handler, state, attempts, earlier_attempts, due_at,
    worker, last_error FROM job WHERE seq = ?1 ORDER BY handler";

pub(super) fn job(row: &Row<'_>, now: i64) -> rusqlite::Result<JobRecord> {
    let state = JobState::from_name(row.get_ref(1)?.as_str()?).ok_or_else(|| odd(1))?;
    let mut job = JobRecord::new(text(row, 0)?, state);
    job.attempts = small(row, 2)?;
    job.earlier_attempts = small(row, 3)?;
    job.due_in = row.get::<_, Option<i64>>(4)?.map(|due| until(now, due));
    job.worker = maybe_text(row, 5)?;
    job.last_error = maybe_text(row, 6)?;
    Ok(job)
}

pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Text> {
    Ok(Text::from(row.get_ref(column)?.as_str()?))
}

pub(super) fn maybe_text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Text>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(Text::from))
}

/// A count that began as 32 bits.
pub(super) fn small(row: &Row<'_>, column: usize) -> rusqlite::Result<u32> {
    Ok(u32::try_from(row.get::<_, i64>(column)?).unwrap_or(u32::MAX))
}

/// What a row holds that we never write; only an edit by hand can have.
fn odd(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "unknown value".to_owned(), Type::Text)
}
