//! The unit of the time, and whether it is signed.

use serde_json::Value;

use super::Change;
use crate::{
    explain::{Cause, case::Case},
    provider::{Layout, Part, TimeUnit, TimestampPlace},
};

pub(super) fn changes<'c>(case: &Case) -> Vec<Change<'c>> {
    let mut changes = units(case);
    if !changes.is_empty() {
        changes.extend(differently_signed());
    }
    changes
}

/// The same text read in another unit.
pub(in crate::explain) fn units<'c>(case: &Case) -> Vec<Change<'c>> {
    let Some(declared) = case.provider.scheme().timestamp().map(|rule| rule.unit()) else {
        return Vec::new();
    };
    let all = [
        (TimeUnit::Seconds, "seconds"),
        (TimeUnit::Milliseconds, "milliseconds"),
        (TimeUnit::Rfc3339, "RFC 3339"),
    ];
    all.into_iter()
        .filter(|(unit, _)| *unit != declared)
        .map(|(unit, name)| {
            let advice = format!(
                "the time is in {name}: have the sender write it in this provider's unit, or \
                 describe the sender with that one"
            );
            Change::new(Cause::TimestampUnit, advice, move |case| {
                case.with_edited(|scheme| {
                    if let Some(timestamp) = scheme.timestamp {
                        *timestamp = timestamp.clone().with_unit(unit);
                    }
                })
            })
            .common()
        })
        .collect()
}

/// Signed in another unit than it is sent in, or not at all.
fn differently_signed<'c>() -> Vec<Change<'c>> {
    let mut changes = Vec::new();
    let scaled = "the signed time is in another unit than the one that is sent: sign exactly the \
         text that is sent";
    for rescale in [thousandfold, thousandth] {
        changes.push(Change::new(Cause::TimestampUnit, scaled, move |case| {
            let text = rescale(&signed_text(case)?)?;
            case.with_edited(|scheme| {
                for part in scheme.parts.iter_mut() {
                    if *part == Part::Timestamp {
                        *part = Part::Literal(text.clone());
                    }
                }
                *scheme.timestamp = None;
            })
        }));
    }
    let unsigned = "the time is sent and not signed: have the sender sign it as this provider \
         does, since an unsigned one proves nothing";
    changes.push(
        Change::new(Cause::TimestampNotSigned, unsigned, |case| {
            case.with_edited(|scheme| {
                *scheme.parts = without_time(scheme.parts);
                *scheme.timestamp = None;
            })
        })
        .common(),
    );
    changes
}

fn thousandfold(text: &str) -> Option<String> {
    text.parse::<u64>().ok().map(|_| format!("{text}000"))
}

fn thousandth(text: &str) -> Option<String> {
    text.parse::<u64>().ok()?;
    let cut = text.len().checked_sub(3)?;
    text.get(..cut)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// The parts without the time and without the text that set it apart.
fn without_time(parts: &[Part]) -> Vec<Part> {
    let mut kept: Vec<Part> = Vec::new();
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        if *part != Part::Timestamp {
            kept.push(part.clone());
        } else if let Some(Part::Literal(_)) = parts.peek() {
            parts.next();
        } else if let Some(Part::Literal(_)) = kept.last() {
            kept.pop();
        }
    }
    kept
}

/// The time as it was sent, wherever it stands.
pub(in crate::explain) fn signed_text(case: &Case) -> Option<String> {
    let signed = case.signed()?;
    match signed.timestamp?.place() {
        TimestampPlace::Header(name) => case.header(name).map(str::to_owned),
        TimestampPlace::Field(field) => {
            let Layout::Fields { separator, .. } = signed.layout else {
                return None;
            };
            let header = case.header(signed.header?)?;
            let mut fields = header
                .split(*separator)
                .filter_map(|text| text.split_once('='));
            let (_, text) = fields.find(|(name, _)| name == field)?;
            Some(text.to_owned())
        }
        TimestampPlace::Pointer(pointer) => {
            let body: Value = serde_json::from_slice(&case.body).ok()?;
            match body.pointer(pointer)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }
        }
    }
}
