//! Providers in words: a line of a table, or one in full.

use std::{fmt::Write as _, time::Duration};

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use tower_webhooks_core::{
    Provider,
    provider::{Answer, Encoding, Layout, Prefix, Scheme, SentValue, SignedAnew, TimestampPlace},
};

const COLUMNS: [&str; 8] = [
    "provider",
    "header",
    "scheme",
    "value",
    "tolerance",
    "event id",
    "retries after",
    "ours",
];

/// A line for each, in aligned columns.
pub(crate) fn table(providers: &[Provider]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(COLUMNS)
        .add_rows(providers.iter().map(|provider| {
            let ours = match provider.assumptions().len() {
                0 => "none".to_owned(),
                1 => "1 value".to_owned(),
                values => format!("{values} values"),
            };
            row(provider, ours)
        }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// The same in Markdown, with what is ours spelled out below it. Without
/// padding: a change of one line then changes no other.
pub(crate) fn markdown(providers: &[Provider]) -> String {
    let columns: Vec<_> = COLUMNS
        .split_last()
        .map_or(&[][..], |(_, rest)| rest)
        .to_vec();
    let rule: Vec<_> = columns.iter().map(|_| "---").collect();
    let mut lines = vec![cells(&columns), cells(&rule)];
    lines.extend(providers.iter().map(|provider| cells(&about(provider))));
    lines.push("\nWhat their documents leave open is ours, and can be replaced:\n".to_owned());
    lines.extend(
        providers
            .iter()
            .filter(|provider| !provider.assumptions().is_empty())
            .map(|provider| {
                format!(
                    "* **{}**: {}.",
                    provider.name(),
                    provider.assumptions().join("; ")
                )
            }),
    );
    lines.join("\n")
}

fn cells(row: &[impl AsRef<str>]) -> String {
    let cells: Vec<_> = row
        .iter()
        .map(|cell| cell.as_ref().replace('|', "\\|"))
        .collect();
    format!("| {} |", cells.join(" | "))
}

fn row(provider: &Provider, ours: String) -> Vec<String> {
    let mut row = about(provider);
    row.push(ours);
    row
}

fn about(provider: &Provider) -> Vec<String> {
    vec![
        provider.name().to_string(),
        place(provider.scheme()),
        provider.scheme().describe(),
        value(provider.scheme()),
        tolerance(provider.scheme()),
        id(provider),
        delays(provider),
    ]
}

/// Everything that is known of one.
pub(crate) fn full(provider: &Provider) -> String {
    let scheme = provider.scheme();
    let envelope = provider.envelope();
    let mut page = Page(format!("{} ({})\n\n", provider.title(), provider.name()));
    page.line("source", provider.source().map_or("none", |text| text));
    page.line("scheme", &scheme.describe());
    let (kind, shown) = match scheme.header() {
        Some(header) => ("header", header.to_string()),
        None => ("field", place(scheme)),
    };
    page.line(kind, &format!("{shown}: {}", value(scheme)));
    if let Some(timestamp) = scheme.timestamp() {
        page.line(
            "signed time",
            &match timestamp.place() {
                TimestampPlace::Header(name) => format!("header {name}"),
                TimestampPlace::Field(name) => format!("field {name} of the header"),
                TimestampPlace::Pointer(pointer) => format!("body {pointer}"),
                _ => "elsewhere".to_owned(),
            },
        );
    }
    page.line("tolerance", &tolerance(scheme));
    let signed = |is_signed| if is_signed { "signed" } else { "not signed" };
    let event_type = envelope.event_type();
    page.line(
        "event type",
        &format!("{event_type}, {}", signed(provider.signs_type())),
    );
    page.line(
        "event id",
        &match envelope.id() {
            Some(_) => format!("{}, {}", id(provider), signed(provider.signs_id())),
            None => id(provider),
        },
    );
    if let Some(time) = envelope.time() {
        page.line("event time", &time.to_string());
    }
    let changing = envelope.changing_fields();
    if !changing.is_empty() {
        page.line("may change", &changing.join(", "));
    }
    if let Some(field) = envelope.form_field() {
        page.line("may be form", &format!("with the payload in {field}"));
    }
    page.line(
        "payload",
        match envelope.data() {
            "" => "the whole body",
            pointer => pointer,
        },
    );
    let answers = provider.answers();
    page.line(
        "stored",
        &answer(answers.acknowledge.status, &answers.acknowledge),
    );
    page.line("refused", &answer(401, &answers.refuse));
    page.line("retries", &retries(provider));
    if let Some(limit) = provider.max_body_bytes() {
        page.line("body limit", &format!("{limit} bytes"));
    }
    for sent in provider.also_sent() {
        let what = match sent.value {
            SentValue::EventType => "the event type",
            SentValue::Milliseconds => "milliseconds since 1970",
            SentValue::Seconds => "seconds since 1970",
            _ => "more",
        };
        page.line("also sent", &format!("{}: {what}, not signed", sent.header));
    }
    for reply in provider.replies() {
        let (event, budget) = (&reply.event_type, reply.budget.as_millis());
        page.line("replies", &format!("{event} within {budget} ms"));
    }
    page.list("not covered by the signature", provider.not_covered());
    page.list(
        "ours, since its documents leave it open",
        provider.assumptions(),
    );

    let complete = if provider.events().complete {
        "events, all that there are"
    } else {
        "events, perhaps not all"
    };
    page.heading(complete);
    for event in &provider.events().list {
        // Writing to a string cannot fail.
        let _ = writeln!(page.0, "  {}", event.name);
        if let Some(sample) = &event.sample {
            let _ = writeln!(page.0, "    {sample}");
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, name: &str, value: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<13}{value}");
    }

    fn heading(&mut self, heading: &str) {
        let _ = writeln!(self.0, "\n{heading}:");
    }

    fn list(&mut self, heading: &str, items: &[impl std::fmt::Display]) {
        if items.is_empty() {
            return;
        }
        self.heading(heading);
        for item in items {
            let _ = writeln!(self.0, "  - {item}");
        }
    }
}

/// The header that holds the signature, or where in the body it stands.
fn place(scheme: &Scheme) -> String {
    match (scheme.header(), scheme.field()) {
        (Some(header), _) => header.to_string(),
        (None, field) => format!("body {}", field.unwrap_or_default()),
    }
}

/// How the header's value is written: an optional prefix stands in brackets.
fn value(scheme: &Scheme) -> String {
    let (encoding, prefix, layout) = match scheme {
        Scheme::Digest(scheme) => (scheme.encoding(), scheme.prefix(), scheme.layout()),
        Scheme::Hmac(scheme) => (scheme.encoding(), scheme.prefix(), scheme.layout()),
        Scheme::PublicKey(scheme) => (scheme.encoding(), scheme.prefix(), scheme.layout()),
        Scheme::Token(scheme) => return behind(scheme.prefix(), "token"),
        _ => return "see its description".to_owned(),
    };
    let encoding = match encoding {
        Encoding::Base64 => "base64",
        Encoding::Base64url => "base64url",
        Encoding::Hex => "hex",
        _ => "digest",
    };
    let value = behind(prefix, encoding);
    match layout {
        Layout::Fields {
            separator,
            signature,
        } => match scheme.timestamp().map(|timestamp| timestamp.place()) {
            Some(TimestampPlace::Field(time)) => {
                format!("{time}=time{separator}{signature}={value}")
            }
            _ => format!("{signature}={value}"),
        },
        Layout::List { separator } => format!("{value}{separator}…"),
        _ => value,
    }
}

fn behind(prefix: &Prefix, value: &str) -> String {
    match prefix {
        Prefix::Optional(prefix) => format!("[{prefix}]{value}"),
        Prefix::Required(prefix) => format!("{prefix}{value}"),
        _ => value.to_owned(),
    }
}

fn tolerance(scheme: &Scheme) -> String {
    match scheme.timestamp() {
        None => "no signed time".to_owned(),
        Some(timestamp) => match timestamp.tolerance() {
            Some(tolerance) => format!("{} s", tolerance.as_secs()),
            None => "any age".to_owned(),
        },
    }
}

fn id(provider: &Provider) -> String {
    const BODY: &str = "body's SHA-256";
    match provider.envelope().id() {
        Some(id) if provider.envelope().is_id_optional() => format!("{id}, or {BODY}"),
        Some(id) => id.to_string(),
        None => BODY.to_owned(),
    }
}

fn delays(provider: &Provider) -> String {
    let delays = &provider.retries().delays;
    if delays.is_empty() {
        return match provider.retries().lasts {
            None => "unknown".to_owned(),
            Some(Duration::ZERO) => "none".to_owned(),
            Some(lasts) => format!("within {}", short(lasts)),
        };
    }
    let delays: Vec<_> = delays.iter().copied().map(short).collect();
    delays.join(", ")
}

fn retries(provider: &Provider) -> String {
    let retries = provider.retries();
    let span = short(provider.dedup_span());
    let mut text = match (retries.delays.as_slice(), retries.lasts) {
        ([], None) => format!("unknown; duplicates are known for {span}"),
        ([], Some(Duration::ZERO)) => "none by itself".to_owned(),
        ([], Some(_)) => format!("{}, the single waits are unknown", delays(provider)),
        _ => format!("after {}", delays(provider)),
    };
    if let Some(deadline) = retries.deadline {
        let _ = write!(text, "; waits {} for an answer", short(deadline));
    }
    if provider.scheme().timestamp().is_some() {
        text.push_str(match retries.signed_anew {
            SignedAnew::No => "; not signed anew",
            SignedAnew::Unknown => "; whether signed anew is unknown",
            SignedAnew::Yes => "; signed anew",
        });
    }
    if let Some(afterwards) = &retries.afterwards {
        let _ = write!(text, "; then {afterwards}");
    }
    text
}

fn answer(status: u16, answer: &Answer) -> String {
    match answer.body.as_str() {
        "" => format!("{status} without a body"),
        body => format!("{status} {body}"),
    }
}

/// The duration in its largest whole unit.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, name) in [(3_600, "h"), (60, "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use tower_webhooks_core::provider::{
        Envelope, HmacScheme, Part, Retries, SignedTimestamp, TokenScheme,
    };

    use super::*;

    #[test]
    fn a_value_shows_prefix_layout_and_encoding() {
        let header = HeaderName::from_static("x-signature");
        let hmac = || HmacScheme::new(header.clone());
        let dated = hmac()
            .with_fields(',', "v1")
            .with_signed([Part::Timestamp, Part::Body])
            .with_timestamp(SignedTimestamp::in_field("t"));
        for (scheme, expected) in [
            (Scheme::Hmac(hmac()), "hex"),
            (Scheme::Hmac(hmac().with_prefix("sha256=")), "sha256=hex"),
            (Scheme::Hmac(hmac().with_optional_prefix("v0=")), "[v0=]hex"),
            (
                Scheme::Hmac(
                    hmac()
                        .with_encoding(Encoding::Base64)
                        .with_prefix("v1,")
                        .with_list(' '),
                ),
                "v1,base64 …",
            ),
            (Scheme::Hmac(hmac().with_fields(';', "s")), "s=hex"),
            (Scheme::Hmac(dated), "t=time,v1=hex"),
            (
                Scheme::Token(TokenScheme::new(header.clone()).with_prefix("Bearer ")),
                "Bearer token",
            ),
        ] {
            assert_eq!(value(&scheme), expected);
        }
    }

    #[test]
    fn retries_and_ids_say_what_is_known_of_them() {
        let acme = |retries, envelope| {
            let scheme = Scheme::Hmac(HmacScheme::new(HeaderName::from_static("x-signature")));
            Provider::new("acme", scheme, envelope).with_retries(retries)
        };
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        for (known, expected) in [
            (Retries::default(), "unknown"),
            (Retries::none(), "none"),
            (Retries::within(hours(4)), "within 4 h"),
            (Retries::after([hours(1), hours(2)]), "1 h, 2 h"),
        ] {
            let provider = acme(known, Envelope::new("/type"));
            assert_eq!(delays(&provider), expected);
        }
        for (envelope, expected) in [
            (Envelope::new("/type"), "body's SHA-256"),
            (Envelope::new("/type").with_id("/id"), "/id"),
            (
                Envelope::new("/type").with_optional_id("/id"),
                "/id, or body's SHA-256",
            ),
        ] {
            let changing = envelope.clone().with_changing_fields(["/n", "/at"]);
            let provider = acme(Retries::within(hours(4)), changing);
            assert_eq!(id(&provider), expected);
            let page = full(&provider);
            assert!(page.contains("\nmay change   /n, /at\n"), "{page}");
            let retries = "\nretries      within 4 h, the single waits are unknown\n";
            assert!(page.contains(retries), "{page}");
        }
    }

    #[test]
    fn a_duration_has_its_largest_whole_unit() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (90, "90 s"),
            (300, "5 min"),
            (7_200, "2 h"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_bar_stays_within_its_cell_of_a_markdown_table() {
        let scheme = Scheme::Token(TokenScheme::new(HeaderName::from_static("x-key")));
        let provider =
            Provider::new("acme", scheme, Envelope::new("/type")).with_assumptions(["a|b"]);
        assert_eq!(cells(&["a|b", "c"]), "| a\\|b | c |");
        assert!(markdown(&[provider]).ends_with("* **acme**: a|b."));
    }
}
