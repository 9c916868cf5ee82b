use std::io::Write;

use serde_json::{Value, json};
use tower_webhooks_registrar::Registration;

use crate::{failure::Failure, words::one_line};

/// A registration, never with its secret.
pub(super) fn as_json(known: &Registration) -> Value {
    json!({
        "id": known.id,
        "url": known.url,
        "events": known.events,
        "name": known.name,
        "active": known.active,
        "encrypted": known.encrypted,
    })
}

/// The same in a line, behind what was done with it.
pub(super) fn in_words(done: &str, known: &Registration) -> String {
    let mut line = done.to_owned();
    for part in [&known.id, &known.url, &known.name].into_iter().flatten() {
        line.push(' ');
        line.push_str(part);
    }
    if let Some(events) = &known.events {
        line.push_str(": ");
        line.push_str(&events.join(", "));
    }
    if known.active == Some(false) {
        line.push_str(" (inactive)");
    }
    one_line(&line)
}

/// One registration and what was done with it.
pub(super) fn show(
    done: &str,
    known: &Registration,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if json {
        writeln!(out, "{}", as_json(known))?;
    } else {
        writeln!(out, "{}", in_words(done, known))?;
    }
    Ok(())
}
