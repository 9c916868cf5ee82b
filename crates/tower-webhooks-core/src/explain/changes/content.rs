//! What is signed, in which order, with what between.

use super::Change;
use crate::{
    explain::{Cause, case::Case},
    provider::Part,
};

/// What senders write between a time and a body.
const SEPARATORS: [&str; 8] = ["", ".", ":", ",", "|", "\n", "-", ";"];

pub(super) fn changes<'c>(case: &Case) -> Vec<Change<'c>> {
    let Some(signed) = case.signed() else {
        return Vec::new();
    };
    if !signed.has(&Part::Body) {
        return Vec::new();
    }
    let advice = |what: &str| {
        format!(
            "the signature covers {what}, not what this provider signs: have the sender sign as \
             the provider does, or describe the sender so"
        )
    };
    let mut changes = Vec::new();
    if signed.parts.len() > 1 {
        changes.push(Change::new(
            Cause::SignedContent,
            advice("the body alone"),
            |case| with_parts(case, vec![Part::Body], false),
        ));
    }
    if signed.has(&Part::Timestamp) {
        for separator in SEPARATORS {
            for is_first in [true, false] {
                let (what, parts) = arranged(separator, is_first);
                changes.push(Change::new(
                    Cause::SignedContent,
                    advice(&what),
                    move |case| with_parts(case, parts.clone(), true),
                ));
            }
        }
    }
    if signed.parts.iter().any(Part::is_url) {
        changes.push(Change::new(
            Cause::SignedContent,
            advice("the body and then the URL"),
            |case| {
                let url = case.signed()?.parts.iter().find(|part| part.is_url())?;
                with_parts(case, vec![Part::Body, url.clone()], false)
            },
        ));
    }
    changes
}

fn arranged(separator: &str, is_time_first: bool) -> (String, Vec<Part>) {
    let (first, last, words) = if is_time_first {
        (Part::Timestamp, Part::Body, ("time", "body"))
    } else {
        (Part::Body, Part::Timestamp, ("body", "time"))
    };
    let parts = [first, Part::literal(separator), last];
    let between = match separator {
        "" => "nothing".to_owned(),
        text => format!("{text:?}"),
    };
    let what = format!("{}, {between}, {}", words.0, words.1);
    (
        what,
        parts
            .into_iter()
            .filter(|part| *part != Part::literal(""))
            .collect(),
    )
}

fn with_parts(case: &Case, parts: Vec<Part>, keeps_time: bool) -> Option<Case> {
    if case.signed()?.parts == parts {
        return None;
    }
    // A plain digest has the secret among its parts.
    let secret = case.signed()?.has(&Part::Secret).then_some(Part::Secret);
    case.with_edited(|scheme| {
        *scheme.parts = secret.into_iter().chain(parts).collect();
        if !keeps_time {
            *scheme.timestamp = None;
        }
    })
}
