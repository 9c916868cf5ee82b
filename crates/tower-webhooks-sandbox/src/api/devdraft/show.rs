//! A webhook as the calls show it, with what came of its deliveries.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{Dispatch, Outcome, Registration, State as How};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The webhook as creating, changing and the first form of listing show it.
pub(super) fn show(known: &Registration, sent: &[Dispatch]) -> Map<String, Value> {
    let own = || sent.iter().filter(|one| one.registration == known.id);
    let count = |how| own().filter(|one| one.state == how).count();
    let last = own()
        .rev()
        .find_map(|one| one.attempts.last())
        .map(|attempt| attempt.at.as_str());
    let shown = json!({
        "id": known.id,
        "name": known.name,
        "url": known.url,
        "isActive": known.is_active,
        "encrypted": known.is_encrypted,
        "created_at": known.created_at,
        "updated_at": known.updated_at,
        "delivery_stats": {
            "total_events": own().count(),
            "successful_deliveries": count(How::Delivered),
            "failed_deliveries": count(How::Failed),
            "last_delivery": last,
        },
    });
    match shown {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The same as the second form of listing shows it, with what is secret.
pub(super) fn show_listed(known: &Registration, sent: &[Dispatch]) -> Map<String, Value> {
    let mut shown = show(known, sent);
    shown.insert("signing_secret".to_owned(), known.secret().into());
    if known.is_encrypted {
        let secret = known.payload_secret().into();
        shown.insert("encryption_secret".to_owned(), secret);
    }
    let app = json!({ "id": known.application, "name": known.application });
    shown.insert("app".to_owned(), app);
    add_stats(&mut shown, [("success_rate", success_rate(known, sent))]);
    shown
}

/// The same as getting one shows it.
pub(super) fn show_whole(
    known: &Registration,
    sent: &[Dispatch],
    now: SystemTime,
) -> Map<String, Value> {
    let mut shown = show_listed(known, sent);
    let own = || sent.iter().filter(|one| one.registration == known.id);
    let took: Vec<u64> = own()
        .flat_map(|one| &one.attempts)
        .filter(|attempt| matches!(attempt.outcome, Outcome::Answered { .. }))
        .map(|attempt| u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX))
        .collect();
    let sum = took
        .iter()
        .fold(0, |sum: u64, one| sum.saturating_add(*one));
    let average = sum.checked_div(u64::try_from(took.len()).unwrap_or(u64::MAX));
    let recent = || own().filter(|one| is_recent(one, now));
    let failures = recent().filter(|one| one.state == How::Failed);
    let figures = [
        ("average_response_time", average.into()),
        ("last_24h_events", recent().count().into()),
        ("last_24h_failures", failures.count().into()),
    ];
    add_stats(&mut shown, figures);
    shown
}

pub(super) fn show_event(sent: &Dispatch) -> Value {
    let last = sent.attempts.last();
    let code = last.and_then(|attempt| match attempt.outcome {
        Outcome::Answered { status, .. } => Some(status),
        _ => None,
    });
    json!({
        "id": sent.event_id.as_ref().map_or(sent.id.as_str(), |id| id.as_str()),
        "event_type": sent.event_type,
        "delivery_status": sent.state,
        "response_code": code,
        "response_time": last.map(|attempt| attempt.took.as_millis()),
    })
}

fn add_stats<const N: usize>(shown: &mut Map<String, Value>, figures: [(&str, Value); N]) {
    let stats = shown
        .get_mut("delivery_stats")
        .and_then(Value::as_object_mut);
    if let Some(stats) = stats {
        stats.extend(figures.map(|(name, value)| (name.to_owned(), value)));
    }
}

/// How many of those that ended were delivered, in percent: to a tenth, and without a
/// fraction where there is none, as JavaScript writes numbers.
fn success_rate(known: &Registration, sent: &[Dispatch]) -> Value {
    let own = || sent.iter().filter(|one| one.registration == known.id);
    let count = |how| own().filter(|one| one.state == how).count();
    let (delivered, failed) = (count(How::Delivered), count(How::Failed));
    let ended = delivered.saturating_add(failed);
    let tenths = delivered.saturating_mul(1_000).checked_div(ended);
    let tenths = u32::try_from(tenths.unwrap_or_default()).unwrap_or_default();
    match tenths % 10 {
        0 => (tenths / 10).into(),
        _ => (f64::from(tenths) / 10.0).into(),
    }
}

/// Whether its last attempt was within a day; one that is not yet tried was triggered
/// just now.
fn is_recent(sent: &Dispatch, now: SystemTime) -> bool {
    let Some(last) = sent.attempts.last() else {
        return true;
    };
    let at = last.at.parse::<Timestamp>().map(SystemTime::from);
    at.is_ok_and(|at| now.duration_since(at).unwrap_or_default() <= DAY)
}
