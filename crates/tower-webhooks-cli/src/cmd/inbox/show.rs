use std::{io::Write, time::Duration};

use serde::Serialize;
use tower_webhooks_inbox::{EventRecord, EventSeq, Inbox};

use super::record::{Job, Record, hex, or_dash, roughly, table};
use crate::{
    failure::Failure,
    words::{many_lines, one_line},
};

/// Show one event with its headers and jobs, and its body on request
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks inbox show 12 --body")]
pub(super) struct Args {
    /// Its number in the inbox
    #[arg(value_name = "SEQ")]
    seq: u64,

    /// Show the body too: control characters escaped, or in hexadecimal if it is no text
    #[arg(long)]
    body: bool,
}

pub(super) async fn run(
    args: &Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let record = find(inbox, args.seq).await?;
    let full = Full::new(&record, args.body);
    if json {
        serde_json::to_writer(&mut *out, &full)?;
        writeln!(out)?;
        Ok(())
    } else {
        full.write(args.body, out)
    }
}

/// The event of that number.
pub(in crate::cmd) async fn find(inbox: &dyn Inbox, seq: u64) -> Result<EventRecord, Failure> {
    let found = inbox.get(EventSeq(seq)).await;
    found
        .map_err(|error| Failure::chain(&error))?
        .ok_or_else(|| Failure::failed(format!("there is no event {seq}")))
}

#[derive(Serialize)]
struct Full<'r> {
    #[serde(flatten)]
    record: Record<'r>,
    /// Names and values, in their order.
    headers: Vec<(&'r str, String)>,
    /// Whether the body is still there.
    body_kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'r str>,
    /// The body, if it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl<'r> Full<'r> {
    fn new(record: &'r EventRecord, with_body: bool) -> Self {
        let event = &*record.event;
        let headers = event.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value).into_owned();
            (name.as_str(), value)
        });
        let (body, body_hex) = match event.body.as_deref().filter(|_| with_body) {
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => (Some(text), None),
                Err(_) => (None, Some(hex(bytes))),
            },
            None => (None, None),
        };
        Self {
            record: Record::new(record),
            headers: headers.collect(),
            body_kept: event.body.is_some(),
            body,
            body_hex,
        }
    }

    fn write(&self, with_body: bool, out: &mut impl Write) -> Result<(), Failure> {
        let event = &self.record;
        let id = event.id.map(|id| {
            let note = if event.id_signed { "" } else { " (not signed)" };
            format!("{id}{note}")
        });
        let suppressed = (event.suppressed > 0).then(|| {
            let count = event.suppressed;
            format!("{count} later deliveries with an equal body")
        });
        let body = match (self.body_kept, event.erased) {
            (true, _) => format!("{} bytes", event.body_bytes),
            (false, true) => format!("erased, {} bytes once", event.body_bytes),
            (false, false) => format!("pruned, {} bytes once", event.body_bytes),
        };
        let reply = event
            .reply
            .as_ref()
            .map(|reply| match reply.default_because {
                Some(why) => format!("{}, the default: {why}", reply.status),
                None => reply.status.to_string(),
            });
        for (name, value) in [
            ("event", Some(event.seq.to_string())),
            ("state", Some(event.state.to_owned())),
            ("unusable", event.unusable.map(str::to_owned)),
            ("endpoint", Some(event.endpoint.to_owned())),
            ("tenant", event.tenant.map(str::to_owned)),
            ("type", event.event_type.map(str::to_owned)),
            ("id", id),
            ("time", event.occurred_at.clone()),
            ("received", Some(event.received_at.clone())),
            ("ordering key", event.ordering_key.map(str::to_owned)),
            ("secret", event.secret.map(str::to_owned)),
            ("payload secret", event.payload_secret.map(str::to_owned)),
            ("suppressed", suppressed),
            ("reply", reply),
            ("body", Some(body)),
            ("sha256", Some(event.body_sha256.clone())),
        ] {
            if let Some(value) = value {
                writeln!(out, "{name}: {}", one_line(&value))?;
            }
        }
        for (name, value) in &self.headers {
            writeln!(out, "header {}: {}", one_line(name), one_line(value))?;
        }
        if !event.jobs.is_empty() {
            let columns = ["handler", "state", "attempts", "due", "worker"];
            writeln!(out, "\n{}", table(columns, event.jobs.iter().map(row)))?;
        }
        for job in &event.jobs {
            if let Some(error) = job.last_error {
                writeln!(out, "{}: {}", one_line(job.handler), one_line(error))?;
            }
        }
        if with_body {
            match (self.body, &self.body_hex) {
                (Some(text), _) => writeln!(out, "\n{}", many_lines(text))?,
                (None, Some(hex)) => writeln!(out, "\n{hex}")?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}

fn row(job: &Job<'_>) -> [String; 5] {
    let earlier = match job.earlier_attempts {
        0 => String::new(),
        earlier => format!(" (and {earlier} before a replay)"),
    };
    let due = job.due_in_seconds.map(|seconds| {
        let due = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        match due.as_secs() {
            0 => "now".to_owned(),
            _ => format!("in {}", roughly(due)),
        }
    });
    [
        job.handler.to_owned(),
        job.state.to_owned(),
        format!("{}{earlier}", job.attempts),
        or_dash(due.as_deref()),
        or_dash(job.worker),
    ]
}
