//! What can be said without a signature that matches.

use http::{
    HeaderName,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};

use super::{
    Cause, Confidence, Finding,
    case::Case,
    changes::{self, signed_text},
    explanation::Verdict,
    json::Json,
};
use crate::{
    RejectionKind,
    provider::{Part, TimestampPlace},
    timestamp::SignedTimestamp,
};

/// From how many keys on their order is no accident.
const MIN_SORTED_KEYS: usize = 4;

/// The finding where the signature matches as it is, and the request is refused
/// all the same.
pub(super) fn of_matching(case: &Case, verdict: &Verdict) -> Option<Finding> {
    case.signed_by()?;
    match verdict {
        Verdict::NotSetUp { why, .. } => {
            let advice = format!("one of the secrets signed it, and no receiver starts: {why}");
            Some(Finding::new(
                Cause::SecretMalformed,
                Confidence::Certain,
                advice,
            ))
        }
        Verdict::Rejected(kind) => {
            of_unit(case).or_else(|| of_time(case, *kind, Confidence::Certain))
        }
        Verdict::Verified => None,
    }
}

/// Another unit, in which the time of signing is fresh.
fn of_unit(case: &Case) -> Option<Finding> {
    let units = changes::units(case);
    let fits = units.iter().find(|change| {
        let changed = change.apply(case);
        changed.is_some_and(|changed| changed.verdict() == Verdict::Verified)
    })?;
    let (cause, advice) = (fits.cause, fits.advice.clone());
    Some(Finding::new(cause, Confidence::Certain, advice))
}

/// How far the time of signing is away, where the request is refused for that.
pub(super) fn of_time(case: &Case, kind: RejectionKind, confidence: Confidence) -> Option<Finding> {
    let rule = case.provider.scheme().timestamp()?;
    let tolerance = rule.tolerance().unwrap_or_default().as_millis();
    let (away, allowed) = (words(away_ms(case, rule)?), words(tolerance));
    let advice = match kind {
        RejectionKind::TimestampStale => format!(
            "it was signed {away} before the time of checking, and {allowed} are allowed: this \
             machine's clock is off by that, or it is an older request, to be checked as of its \
             own time"
        ),
        RejectionKind::TimestampFuture => format!(
            "it was signed {away} after the time of checking, and {allowed} are allowed: this \
             machine's clock is off by that, or the sender's is; set it by a time server"
        ),
        _ => return None,
    };
    Some(Finding::new(
        Cause::TimestampOutsideTolerance,
        confidence,
        advice,
    ))
}

fn away_ms(case: &Case, rule: &SignedTimestamp) -> Option<u128> {
    let signed = rule.unit().parse_ms(signed_text(case)?.as_bytes())?;
    let signed = crate::timestamp::from_unix_ms(signed)?;
    let away = case
        .now
        .duration_since(signed)
        .or_else(|_| signed.duration_since(case.now));
    Some(away.ok()?.as_millis())
}

fn words(ms: u128) -> String {
    const UNITS: [(u128, &str); 3] = [(86_400_000, "days"), (3_600_000, "h"), (60_000, "min")];
    let unit = UNITS.iter().find(|(unit, _)| ms >= unit.saturating_mul(2));
    match unit {
        Some((unit, name)) => format!("{} {name}", ms.checked_div(*unit).unwrap_or_default()),
        None => format!("{} s", ms.div_ceil(1_000)),
    }
}

/// What there is to say where no change makes the signature match: first what can
/// be seen, then what cannot be ruled out.
pub(super) fn unproven(case: &Case, verdict: &Verdict) -> Vec<Finding> {
    let mut findings = match verdict {
        Verdict::NotSetUp { why, .. } => {
            let advice = format!("{why}: configure it as the provider shows it, whole");
            return vec![Finding::new(
                Cause::SecretMalformed,
                Confidence::Likely,
                advice,
            )];
        }
        Verdict::Rejected(kind) => of_kind(case, *kind),
        Verdict::Verified => return Vec::new(),
    };
    if case.public_url.is_none() && case.provider.scheme().needs_public_url() {
        findings.push(Finding::new(
            Cause::UrlMissing,
            Confidence::Certain,
            "the provider signs its URL, and none is configured: configure the public URL that \
             it calls",
        ));
    }
    findings.extend(of_body(case));
    let is_settled = |finding: &Finding| finding.confidence == Confidence::Certain;
    if !findings.iter().any(is_settled) {
        findings.push(Finding::new(
            Cause::SecretWrong,
            Confidence::Possible,
            "nothing that was tried makes the signature match, so the secret may be another one: \
             copy it again from the provider, for this endpoint and this mode (test or live)",
        ));
        if case.signs_content() {
            findings.extend(of_order(case));
            findings.push(Finding::new(
                Cause::BodyChanged,
                Confidence::Possible,
                "or the body is not what was signed: compare its bytes with those that the \
                 provider's log shows",
            ));
        }
    }
    findings.sort_by_key(|finding| finding.confidence);
    findings
}

fn of_kind(case: &Case, kind: RejectionKind) -> Vec<Finding> {
    let of = |cause, confidence, advice: String| vec![Finding::new(cause, confidence, advice)];
    let place = match (
        case.provider.scheme().header(),
        case.provider.scheme().field(),
    ) {
        (Some(name), _) => format!("the header {name}"),
        (None, Some(pointer)) => format!("the body's field {pointer}"),
        (None, None) => "the signature".to_owned(),
    };
    match kind {
        RejectionKind::SignatureMissing | RejectionKind::TimestampMissing => match missing(case) {
            Some(name) => of(
                Cause::HeaderMissing,
                Confidence::Certain,
                format!(
                    "the header {name} is not there: it is not a request of {}, or something on \
                     the way drops it",
                    case.provider.title()
                ),
            ),
            None => of(
                Cause::HeaderMissing,
                Confidence::Likely,
                "a field of the body or of the query that is needed to check the signature is \
                 not there: it is another kind of request, or the body is not what was sent"
                    .to_owned(),
            ),
        },
        RejectionKind::SignatureRepeated => of(
            Cause::HeaderRepeated,
            Confidence::Certain,
            format!(
                "{place}, or another that is signed, is there more than once: look for a proxy or a middleware that adds one"
            ),
        ),
        RejectionKind::SignatureMalformed => of(
            Cause::SignatureMalformed,
            Confidence::Likely,
            format!(
                "{place} does not hold a signature as {} writes it: compare it with what the provider's log shows",
                case.provider.title()
            ),
        ),
        RejectionKind::TimestampMalformed => of(
            Cause::TimestampMalformed,
            Confidence::Likely,
            "the time of signing is not written as this provider does".to_owned(),
        ),
        RejectionKind::TimestampFuture | RejectionKind::TimestampStale => {
            of_time(case, kind, Confidence::Likely)
                .into_iter()
                .collect()
        }
        RejectionKind::ContentEncodingUnsupported => of(
            Cause::Compression,
            Confidence::Likely,
            "the body is not in the coding that its Content-Encoding names: look for a proxy that \
             inflates it"
                .to_owned(),
        ),
        _ => Vec::new(),
    }
}

/// The first header that is needed and not there.
fn missing(case: &Case) -> Option<&HeaderName> {
    let Some(signed) = case.signed() else {
        let name = case.provider.scheme().header()?;
        return (!case.headers.contains_key(name)).then_some(name);
    };
    let time = signed
        .timestamp
        .and_then(|timestamp| match timestamp.place() {
            TimestampPlace::Header(name) => Some(name),
            TimestampPlace::Field(_) | TimestampPlace::Pointer(_) => None,
        });
    let parts = signed.parts.iter().filter_map(|part| match part {
        Part::Header(name) => Some(name),
        _ => None,
    });
    let needed = signed
        .header
        .into_iter()
        .chain(parts)
        .chain(time)
        .chain(signed.key_id);
    let mut absent = needed.filter(|name| !case.headers.contains_key(*name));
    absent.next()
}

/// Keys in the order of the alphabet: many writers sort them, few senders do.
fn of_order(case: &Case) -> Option<Finding> {
    let Json::Object(fields) = Json::read(&case.body)? else {
        return None;
    };
    let sorted = fields.len() >= MIN_SORTED_KEYS && fields.is_sorted_by_key(|(name, _)| name);
    let advice = "or the body was parsed and written again, since its keys are sorted: which order \
         they had is lost. Verify the raw bytes, before anything parses them";
    sorted.then(|| Finding::new(Cause::BodyReserialised, Confidence::Possible, advice))
}

/// What the body itself shows.
fn of_body(case: &Case) -> Option<Finding> {
    if !case.signs_content() {
        return None;
    }
    let likely = |cause, advice: &str| Some(Finding::new(cause, Confidence::Likely, advice));
    if case.body.is_empty() {
        return likely(
            Cause::BodyEmpty,
            "the body is empty: a middleware or an extractor has read it before, or it was not \
             handed on. Verify first, and give the bytes to what comes after",
        );
    }
    let compressed = case
        .header(&CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity");
    if compressed && !matches!(&*case.body, [0x1f, 0x8b, ..] | [0x78, ..]) {
        return likely(
            Cause::Compression,
            "the request says that its body is compressed, and it is not: somebody inflated it on \
             the way. Verify it before anything decompresses requests",
        );
    }
    let declared = case
        .header(&CONTENT_LENGTH)
        .and_then(|text| text.parse::<usize>().ok());
    if let Some(declared) = declared.filter(|declared| *declared != case.body.len()) {
        let advice = format!(
            "the request declares {declared} bytes of body and has {}: it was cut off, or written \
             anew",
            case.body.len()
        );
        return likely(Cause::BodyIncomplete, &advice);
    }
    // U+FFFD: what decoders put in the place of what they cannot decode.
    let is_replaced = case.body.windows(3).any(|bytes| bytes == b"\xef\xbf\xbd");
    if is_replaced {
        return likely(
            Cause::Charset,
            "the body holds the mark that decoders leave where they cannot decode: it was taken \
             for text in another character set, and what was there is lost. Verify the bytes as \
             they came",
        );
    }
    None
}
