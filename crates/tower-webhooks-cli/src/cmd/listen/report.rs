//! What came, in words or as JSON.

use std::io::{self, Write as _};

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tower_webhooks_core::{Delivery, EventHead, RejectionKind, Text, Unusable};

use crate::words::{many_lines, one_line};

/// One request and its answer.
pub(super) struct Report {
    /// The how-manieth it is.
    pub(super) request: u64,
    pub(super) answered: StatusCode,
    pub(super) verdict: Verdict,
}

/// What a request was.
pub(super) enum Verdict {
    Authentic(Delivery),
    Handshake,
    Rejected(RejectionKind),
}

/// What came of passing a request on.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Forwarded {
    Answered(u16),
    Failed(String),
}

#[derive(Serialize)]
struct Line<'r> {
    request: u64,
    answered: u16,
    event_type: Option<&'r str>,
    id: Option<&'r str>,
    /// In RFC 3339.
    time: Option<String>,
    data: Option<&'r RawValue>,
    /// Why an authentic body names no event.
    unusable: Option<&'static str>,
    /// Whether it was a handshake, which nothing signs, and was answered.
    handshake: bool,
    /// Why it was refused.
    rejection: Option<&'static str>,
}

/// A later line of the same request.
#[derive(Serialize)]
struct ForwardedLine<'r> {
    request: u64,
    event_type: Option<&'r str>,
    id: Option<&'r str>,
    forwarded: &'r Forwarded,
}

impl Report {
    /// Prints a line, or a few, for each event. Nobody is left to tell if writing
    /// fails.
    pub(super) fn print(&self, json: bool) {
        let lines = self.lines().into_iter().map(|line| match json {
            true => serde_json::to_string(&line).unwrap_or_default(),
            false => in_words(&line),
        });
        print_lines(lines);
    }

    /// Prints what came of passing it on.
    pub(super) fn print_forwarded(&self, forwarded: &Forwarded, json: bool) {
        let heads = self.heads();
        let head = match heads.as_slice() {
            [Ok(head)] => Some(*head),
            _ => None,
        };
        let line = ForwardedLine {
            request: self.request,
            event_type: head.map(|head| head.event_type().as_str()),
            id: head.and_then(EventHead::id).map(Text::as_str),
            forwarded,
        };
        print_lines([match json {
            true => serde_json::to_string(&line).unwrap_or_default(),
            false => forwarded_in_words(&line, heads.len()),
        }]);
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let line = |event| self.line(event);
        match &self.verdict {
            Verdict::Authentic(_) => self.heads().into_iter().map(line).collect(),
            Verdict::Handshake => vec![Line {
                handshake: true,
                ..self.nothing()
            }],
            Verdict::Rejected(kind) => vec![Line {
                rejection: Some(kind.as_str()),
                ..self.nothing()
            }],
        }
    }

    /// Each event of the request.
    fn heads(&self) -> Vec<Result<&EventHead, Unusable>> {
        let Verdict::Authentic(delivery) = &self.verdict else {
            return Vec::new();
        };
        match delivery.items() {
            Some(items) if !items.is_empty() => items.iter().map(|item| item.event()).collect(),
            _ => vec![delivery.event()],
        }
    }

    fn line<'r>(&self, event: Result<&'r EventHead, Unusable>) -> Line<'r> {
        let head = match event {
            Ok(head) => head,
            Err(unusable) => {
                return Line {
                    unusable: Some(unusable.as_str()),
                    ..self.nothing()
                };
            }
        };
        let time = head.occurred_at();
        let time = time.and_then(|time| Timestamp::try_from(time).ok());
        Line {
            event_type: Some(head.event_type().as_str()),
            id: head.id().map(Text::as_str),
            time: time.map(|time| time.to_string()),
            data: serde_json::from_str(head.data()).ok(),
            ..self.nothing()
        }
    }

    const fn nothing<'r>(&self) -> Line<'r> {
        Line {
            request: self.request,
            answered: self.answered.as_u16(),
            event_type: None,
            id: None,
            time: None,
            data: None,
            unusable: None,
            handshake: false,
            rejection: None,
        }
    }
}

fn print_lines(lines: impl IntoIterator<Item = String>) {
    let mut out = io::stdout().lock();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}

fn forwarded_in_words(line: &ForwardedLine<'_>, events: usize) -> String {
    let what = match (line.event_type, line.id) {
        (Some(event_type), Some(id)) => format!("{} {}", one_line(event_type), one_line(id)),
        (Some(event_type), None) => one_line(event_type),
        _ if events > 1 => format!("{events} events"),
        _ => "what is unusable".to_owned(),
    };
    match line.forwarded {
        Forwarded::Answered(status) => format!("forwarded {what}: {status}"),
        Forwarded::Failed(why) => format!("not forwarded {what}: {}", one_line(why)),
    }
}

/// What it is in one line, and its data below.
fn in_words(line: &Line<'_>) -> String {
    let mut words = vec![line.answered.to_string()];
    match (line.rejection, line.unusable) {
        (Some(rejection), _) => words.push(format!("rejected: {rejection}")),
        (None, Some(unusable)) => words.push(format!("authentic, unusable: {unusable}")),
        (None, None) if line.handshake => words.push("handshake".to_owned()),
        (None, None) => {}
    }
    words.extend(
        [line.event_type, line.id]
            .into_iter()
            .flatten()
            .map(one_line),
    );
    words.extend(line.time.clone());
    let data = line.data.and_then(|data| {
        let data: serde_json::Value = serde_json::from_str(data.get()).ok()?;
        serde_json::to_string_pretty(&data).ok()
    });
    match data {
        Some(data) => format!("{}\n{}", words.join(" "), many_lines(&data)),
        None => words.join(" "),
    }
}
