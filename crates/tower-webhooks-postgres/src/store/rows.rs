//! What is stored, as records; and records, as what is stored.

use std::time::SystemTime;

use bytes::Bytes;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    DecidedBy, EventState, JobRecord, JobState, NewEvent, RecordedReply, Reply, StoredEvent,
    headers_from_json,
};

use super::{Result, seq_of, unsigned};
use crate::{driver::Row, error::Failure, time::from_micros};

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

/// These events, whole.
pub(super) const SELECT_WHOLE: &str = select_events!(
    "b.headers::text",
    "b.body",
    "LEFT JOIN event_body AS b USING (seq) WHERE e.seq = ANY($1) ORDER BY e.seq"
);

/// The beginning of a list: without headers and bodies, which would fill the memory.
pub(super) const SELECT_EVENTS: &str = select_events!("NULL", "NULL", "");

pub(super) fn event(row: &Row) -> Result<StoredEvent> {
    let mut new = NewEvent::new(text(row, 1)?, Bytes::new(), row.get::<SystemTime>(11)?);
    new.tenant = maybe_text(row, 2)?;
    new.id = maybe_text(row, 5)?;
    new.id_signed = row.get(6)?;
    new.event_type = maybe_text(row, 7)?;
    new.ordering_key = maybe_text(row, 8)?;
    new.unusable = maybe_text(row, 9)?;
    new.occurred_at = row.get(10)?;
    new.secret_label = maybe_text(row, 12)?;
    new.payload_label = maybe_text(row, 24)?;
    new.body_sha256 = Some(sha256(row, 15)?);
    if let Some(headers) = row.get::<Option<&str>>(22)? {
        new.headers = headers_from_json(headers);
    }
    let state = EventState::from_name(row.get(4)?).ok_or_else(|| odd(4))?;
    let mut stored = StoredEvent::new(seq_of(row.get(0)?), text(row, 3)?, state, new);
    stored.body = row.get::<Option<&[u8]>>(23)?.map(Bytes::copy_from_slice);
    stored.body_bytes = unsigned(row.get(16)?);
    stored.suppressed = small(row, 13)?;
    stored.erased = row.get(14)?;
    stored.reply = reply(row, 17)?;
    Ok(stored)
}

/// The recorded reply in five columns from this one on; `None` if there is none
/// or it is only reserved.
pub(super) fn reply(row: &Row, from: usize) -> Result<Option<RecordedReply>> {
    let Some(status) = row.get::<Option<i32>>(from)? else {
        return Ok(None);
    };
    let body: Option<&[u8]> = row.get(from + 2)?;
    let by = match maybe_text(row, from + 3)? {
        Some(by) if by == "default" => {
            DecidedBy::Default(maybe_text(row, from + 4)?.unwrap_or_default())
        }
        _ => DecidedBy::Handler,
    };
    Ok(Some(RecordedReply {
        reply: Reply {
            status: u16::try_from(status).map_err(|_| odd(from))?,
            content_type: maybe_text(row, from + 1)?,
            body: body.map(Bytes::copy_from_slice).unwrap_or_default(),
        },
        by,
    }))
}

/// `SELECT` of these events' jobs, in the order that [`job`] reads.
pub(super) const SELECT_JOBS: &str = "SELECT seq, handler, state, attempts, earlier_attempts,
    (extract(epoch FROM due_at - statement_timestamp()) * 1000000)::bigint, worker, last_error
    FROM job WHERE seq = ANY($1) ORDER BY seq, handler";

pub(super) fn job(row: &Row) -> Result<JobRecord> {
    let state = JobState::from_name(row.get(2)?).ok_or_else(|| odd(2))?;
    let mut job = JobRecord::new(text(row, 1)?, state);
    job.attempts = small(row, 3)?;
    job.earlier_attempts = small(row, 4)?;
    job.due_in = row.get::<Option<i64>>(5)?.map(from_micros);
    job.worker = maybe_text(row, 6)?;
    job.last_error = maybe_text(row, 7)?;
    Ok(job)
}

pub(super) fn text(row: &Row, column: usize) -> Result<Text> {
    Ok(Text::from(row.get::<&str>(column)?))
}

pub(super) fn maybe_text(row: &Row, column: usize) -> Result<Option<Text>> {
    Ok(row.get::<Option<&str>>(column)?.map(Text::from))
}

/// A count that began as 32 bits.
pub(super) fn small(row: &Row, column: usize) -> Result<u32> {
    Ok(u32::try_from(row.get::<i64>(column)?).unwrap_or(u32::MAX))
}

pub(super) fn sha256(row: &Row, column: usize) -> Result<[u8; 32]> {
    let bytes: &[u8] = row.get(column)?;
    bytes.try_into().map_err(|_| odd(column))
}

/// What a row holds that we never write; only an edit by hand can have.
pub(super) fn odd(column: usize) -> Failure {
    Failure::Row {
        column,
        reason: "unknown value".into(),
    }
}
