//! An event in words and as JSON.

use std::time::{Duration, SystemTime};

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use jiff::Timestamp;
use serde::Serialize;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{DecidedBy, EventRecord, JobRecord};

use crate::words::cell;

/// An event with its jobs, as JSON shows it.
#[derive(Serialize)]
pub(super) struct Record<'r> {
    pub(super) seq: u64,
    pub(super) state: &'static str,
    pub(super) endpoint: &'r str,
    pub(super) tenant: Option<&'r str>,
    pub(super) id: Option<&'r str>,
    pub(super) id_signed: bool,
    pub(super) event_type: Option<&'r str>,
    pub(super) ordering_key: Option<&'r str>,
    /// Why it could not be read.
    pub(super) unusable: Option<&'r str>,
    /// In RFC 3339.
    pub(super) received_at: String,
    /// In RFC 3339.
    pub(super) occurred_at: Option<String>,
    pub(super) body_bytes: u64,
    pub(super) body_sha256: String,
    /// The label of the secret that matched.
    pub(super) secret: Option<&'r str>,
    /// The label of the secret that opened the payload.
    pub(super) payload_secret: Option<&'r str>,
    pub(super) suppressed: u32,
    pub(super) erased: bool,
    pub(super) reply: Option<Answer<'r>>,
    pub(super) jobs: Vec<Job<'r>>,
}

/// The answer recorded for it.
#[derive(Serialize)]
pub(super) struct Answer<'r> {
    pub(super) status: u16,
    /// Why it is the default, if it is.
    pub(super) default_because: Option<&'r str>,
}

#[derive(Serialize)]
pub(super) struct Job<'r> {
    pub(super) handler: &'r str,
    pub(super) state: &'static str,
    pub(super) attempts: u32,
    pub(super) earlier_attempts: u32,
    pub(super) due_in_seconds: Option<f64>,
    pub(super) worker: Option<&'r str>,
    pub(super) last_error: Option<&'r str>,
}

impl<'r> Record<'r> {
    pub(super) fn new(record: &'r EventRecord) -> Self {
        let event = &*record.event;
        let text = |text: &'r Option<Text>| text.as_ref().map(Text::as_str);
        Self {
            seq: event.seq.0,
            state: event.state.as_str(),
            endpoint: &event.endpoint,
            tenant: text(&event.tenant),
            id: text(&event.id),
            id_signed: event.id_signed,
            event_type: text(&event.event_type),
            ordering_key: text(&event.ordering_key),
            unusable: text(&event.unusable),
            received_at: rfc_3339(event.received_at),
            occurred_at: event.occurred_at.map(rfc_3339),
            body_bytes: event.body_bytes,
            body_sha256: hex(&event.body_sha256),
            secret: text(&event.secret_label),
            payload_secret: text(&event.payload_label),
            suppressed: event.suppressed,
            erased: event.erased,
            reply: event.reply.as_ref().map(|recorded| Answer {
                status: recorded.reply.status,
                default_because: match &recorded.by {
                    DecidedBy::Default(reason) => Some(reason),
                    DecidedBy::Handler => None,
                },
            }),
            jobs: record.jobs.iter().map(Job::new).collect(),
        }
    }
}

impl<'r> Job<'r> {
    pub(super) fn new(job: &'r JobRecord) -> Self {
        Self {
            handler: &job.handler,
            state: job.state.as_str(),
            attempts: job.attempts,
            earlier_attempts: job.earlier_attempts,
            due_in_seconds: job.due_in.map(|due| due.as_secs_f64()),
            worker: job.worker.as_ref().map(Text::as_str),
            last_error: job.last_error.as_ref().map(Text::as_str),
        }
    }
}

/// Aligned columns; the cells are made fit for a terminal.
pub(in crate::cmd) fn table<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns)
        .add_rows(
            rows.into_iter()
                .map(|row| row.map(|text| cell(&text)).to_vec()),
        );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A value that may be missing, in a table.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// In UTC. A time that the calendar does not reach is said to be one.
pub(in crate::cmd) fn rfc_3339(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "out of range".to_owned(), |at| at.to_string())
}

/// In the largest unit that leaves a whole number of it, such as `3m`.
pub(in crate::cmd) fn roughly(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes in lower case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_rounded_down_to_its_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m"),
            (3_600, "1h"),
            (86_399, "23h"),
            (200_000, "2d"),
        ] {
            assert_eq!(roughly(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_table_cannot_be_steered_by_its_cells() {
        let table = table(["a", "b"], [["1\u{1b}[2J".to_owned(), "x\ny".to_owned()]]);
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.contains(r"1\u{1b}[2J  x\ny"), "{table}");
    }
}
