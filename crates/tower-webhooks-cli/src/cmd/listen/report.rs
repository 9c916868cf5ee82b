//! What came, in words or as JSON.

use std::io::{self, Write as _};

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tower_webhooks_core::{Delivery, EventHead, Rejection, Text, Unusable};

use crate::words::{many_lines, one_line};

/// One request, after it was answered.
pub(super) struct Report {
    pub(super) answered: StatusCode,
    pub(super) verdict: Result<Delivery, Rejection>,
    /// What came of passing it on.
    pub(super) forwarded: Option<Forwarded>,
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
    forwarded: Option<&'r Forwarded>,
}

impl Report {
    /// Prints a line, or a few, for each event. Nobody is left to tell if writing
    /// fails.
    pub(super) fn print(&self, json: bool) {
        let mut out = io::stdout().lock();
        for line in self.lines() {
            let text = if json {
                serde_json::to_string(&line).unwrap_or_default()
            } else {
                in_words(&line)
            };
            let _ = writeln!(out, "{text}");
        }
        let _ = out.flush();
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let delivery = match &self.verdict {
            Ok(delivery) => delivery,
            Err(rejection) => {
                let handshake = self.answered.is_success();
                return vec![Line {
                    handshake,
                    rejection: (!handshake).then(|| rejection.kind().as_str()),
                    ..self.line(Err(None))
                }];
            }
        };
        match delivery.items() {
            Some(items) if !items.is_empty() => {
                let events = items.iter().map(|item| item.event().map_err(Some));
                events.map(|event| self.line(event)).collect()
            }
            _ => vec![self.line(delivery.event().map_err(Some))],
        }
    }

    fn line<'r>(&'r self, event: Result<&'r EventHead, Option<Unusable>>) -> Line<'r> {
        let head = event.ok();
        let time = head.and_then(EventHead::occurred_at);
        let time = time.and_then(|time| Timestamp::try_from(time).ok());
        Line {
            answered: self.answered.as_u16(),
            event_type: head.map(|head| head.event_type().as_str()),
            id: head.and_then(EventHead::id).map(Text::as_str),
            time: time.map(|time| time.to_string()),
            data: head.and_then(|head| serde_json::from_str(head.data()).ok()),
            unusable: event.err().flatten().map(Unusable::as_str),
            handshake: false,
            rejection: None,
            forwarded: self.forwarded.as_ref(),
        }
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
    match line.forwarded {
        Some(Forwarded::Answered(status)) => words.push(format!("forwarded: {status}")),
        Some(Forwarded::Failed(why)) => words.push(format!("not forwarded: {}", one_line(why))),
        None => {}
    }
    let data = line.data.and_then(|data| {
        let data: serde_json::Value = serde_json::from_str(data.get()).ok()?;
        serde_json::to_string_pretty(&data).ok()
    });
    match data {
        Some(data) => format!("{}\n{}", words.join(" "), many_lines(&data)),
        None => words.join(" "),
    }
}
