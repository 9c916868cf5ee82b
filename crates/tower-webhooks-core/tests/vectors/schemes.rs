//! The providers' own vectors. Each function below is the description that a
//! user of that provider would write.

use http::HeaderName;
use serde_json::json;
use tower_webhooks_core::{
    Provider,
    RejectionKind::{
        SignatureMalformed, SignatureMissing, SignatureRepeated, TimestampFuture,
        TimestampMalformed, TimestampMissing, TimestampStale,
    },
    SecretErrorKind::Empty,
    provider::{Encoding, Envelope, HmacScheme, KeyEncoding, Part, Scheme, SignedTimestamp},
};

use crate::{
    files::{self, Vector},
    run::{
        self, Reason, Tally,
        Verdict::{self, Refused, SecretRefused},
        within,
    },
};

fn header(name: &str) -> HeaderName {
    name.parse().unwrap()
}

fn provider(name: &'static str, scheme: HmacScheme) -> Provider {
    Provider::new(name, Scheme::Hmac(scheme), Envelope::new("/type"))
}

/// The vectors say their parameters, so here the provider comes from data.
fn from_params(vector: &Vector) -> Provider {
    let params = &vector.params;
    let prefix = match (params["prefix"].as_str(), &params["prefix_optional"]) {
        (None, _) => json!("none"),
        (Some(prefix), optional) if *optional == true => json!({ "optional": prefix }),
        (Some(prefix), _) => json!({ "required": prefix }),
    };
    let layout = match params["multi_sep"].as_str() {
        None => json!("whole"),
        Some(separator) => json!({ "list": { "separator": separator } }),
    };
    let signed = match params["signed"].as_str() {
        None => json!(["body"]),
        Some("body+header") => json!(["body", { "header": params["extra_header"] }]),
        Some(other) => panic!("{}: {other}", vector.id),
    };
    let provider = json!({
        "name": vector.provider,
        "scheme": {
            "kind": "hmac",
            "header": params["sig_header"],
            "algorithm": params["alg"],
            "encoding": params["enc"],
            "prefix": prefix,
            "layout": layout,
            "signed": signed,
            "key": { "encoding": vector.secret_encoding },
        },
        "envelope": { "event_type": "/type" },
    });
    serde_json::from_value(provider).unwrap_or_else(|error| panic!("{}: {error}", vector.id))
}

/// GitHub's description, which did not opt into the digest in SHA-1 that
/// GitHub sends besides.
fn github() -> Provider {
    let scheme = HmacScheme::new(header("x-hub-signature-256")).with_prefix("sha256=");
    provider("github", scheme)
}

const HMAC: [Reason; 31] = [
    ("empty secret", SecretRefused(Empty)),
    ("legacy sha1 header", Refused(SignatureMissing)),
    // A header of the request, and the one that is signed with the body.
    ("header missing", Refused(SignatureMissing)),
    ("missing header", Refused(SignatureMissing)),
    ("missing signature", Refused(SignatureMissing)),
    ("header twice", Refused(SignatureRepeated)),
    ("missing sha256= prefix", Refused(SignatureMalformed)),
    ("sha1= prefix on", Refused(SignatureMalformed)),
    ("sha1 signature put into", Refused(SignatureMalformed)),
    ("text before the prefix", Refused(SignatureMalformed)),
    ("space after prefix", Refused(SignatureMalformed)),
    ("doubled prefix", Refused(SignatureMalformed)),
    ("upper-case prefix", Refused(SignatureMalformed)),
    ("no prefix", Refused(SignatureMalformed)),
    ("prefix missing", Refused(SignatureMalformed)),
    ("odd number of hex digits", Refused(SignatureMalformed)),
    ("odd-length hex", Refused(SignatureMalformed)),
    ("one byte short", Refused(SignatureMalformed)),
    ("one byte too long", Refused(SignatureMalformed)),
    ("33 bytes decoded", Refused(SignatureMalformed)),
    ("too short", Refused(SignatureMalformed)),
    ("wrong, short", Refused(SignatureMalformed)),
    ("length mismatch", Refused(SignatureMalformed)),
    ("empty", Refused(SignatureMalformed)),
    ("non-hex", Refused(SignatureMalformed)),
    ("not hex", Refused(SignatureMalformed)),
    ("not base64", Refused(SignatureMalformed)),
    ("non-ASCII", Refused(SignatureMalformed)),
    ("garbage", Refused(SignatureMalformed)),
    ("list of two bad", Refused(SignatureMalformed)),
    ("signature \"foo\"", Refused(SignatureMalformed)),
];

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn hmac_over_the_body() {
    let describe = |vector: &Vector| {
        Ok(if vector.is_stricter_than_upstream() {
            github()
        } else {
            from_params(vector)
        })
    };
    let tally = run::file("hmac", describe, &HMAC);
    assert_eq!(tally, Tally::of(80, 61, []));
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn a_digest_in_sha1_verifies_only_where_it_was_asked_for() {
    let vectors = files::read::<Vector>("hmac");
    let stricter: Vec<_> = vectors
        .iter()
        .filter(|vector| vector.is_stricter_than_upstream())
        .collect();
    assert_eq!(stricter.len(), 1);
    for vector in stricter {
        assert_eq!(vector.params["alg"], "sha1", "{}", vector.id);
        let asked = run::verdict(&from_params(vector), vector, vector.body());
        assert_eq!(asked, Verdict::Accepted, "{}", vector.id);
    }
}

/// Slack, and Zoom with headers of its own.
fn slack(vector: &Vector) -> Result<Provider, &'static str> {
    let (signature, timestamp) = match vector.provider.as_str() {
        "zoom" => ("x-zm-signature", "x-zm-request-timestamp"),
        _ => ("x-slack-signature", "x-slack-request-timestamp"),
    };
    let timestamp = SignedTimestamp::in_header(header(timestamp));
    let scheme = HmacScheme::new(header(signature))
        .with_prefix("v0=")
        .with_signed([
            Part::literal("v0:"),
            Part::Timestamp,
            Part::literal(":"),
            Part::Body,
        ])
        .with_timestamp(within(timestamp, vector));
    Ok(provider("slack", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn slack_and_zoom() {
    let reasons = [
        ("timestamp missing", Refused(TimestampMissing)),
        ("timestamp header missing", Refused(TimestampMissing)),
        ("timestamp 0", Refused(TimestampMalformed)),
        ("expired", Refused(TimestampStale)),
        ("BEFORE the timestamp", Refused(TimestampFuture)),
        ("signature missing", Refused(SignatureMissing)),
        ("unknown version", Refused(SignatureMalformed)),
        ("not hex", Refused(SignatureMalformed)),
    ];
    let tally = run::file("slack", slack, &reasons);
    assert_eq!(tally, Tally::of(4, 12, []));
}

fn zendesk(vector: &Vector) -> Result<Provider, &'static str> {
    let timestamp = SignedTimestamp::in_header(header("x-zendesk-webhook-signature-timestamp"));
    let scheme = HmacScheme::new(header("x-zendesk-webhook-signature"))
        .with_encoding(Encoding::Base64)
        .with_signed([Part::Timestamp, Part::Body])
        .with_timestamp(within(timestamp, vector));
    Ok(provider("zendesk", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn zendesk_signs_its_timestamp() {
    let reasons = [
        ("other timestamp", Refused(TimestampMalformed)),
        ("outside tolerance", Refused(TimestampStale)),
        ("bad signature", Refused(SignatureMalformed)),
        ("missing", Refused(SignatureMissing)),
    ];
    let tally = run::file("zendesk", zendesk, &reasons);
    assert_eq!(tally, Tally::of(1, 4, []));
}

/// Without the length that the specification wants of a key: its own test
/// suite has one of 23 bytes.
fn standard_webhooks(vector: &Vector) -> Result<Provider, &'static str> {
    if vector.secret_encoding == "whpk" {
        return Err(PUBLIC_KEY);
    }
    let brand = vector.params["brand"].as_str().unwrap_or("webhook");
    let name = |what| header(&format!("{brand}-{what}"));
    let timestamp = SignedTimestamp::in_header(name("timestamp"));
    let scheme = HmacScheme::new(name("signature"))
        .with_encoding(Encoding::Base64)
        .with_prefix("v1,")
        .with_list(' ')
        .with_signed([
            Part::Header(name("id")),
            Part::literal("."),
            Part::Timestamp,
            Part::literal("."),
            Part::Body,
        ])
        .with_timestamp(within(timestamp, vector))
        .with_key_encoding(KeyEncoding::Whsec);
    Ok(provider("standard-webhooks", scheme))
}

const PUBLIC_KEY: &str = "public-key signatures run on their own";

const STANDARD_WEBHOOKS: [Reason; 27] = [
    ("EMPTY SECRET", SecretRefused(Empty)),
    ("missing header webhook-id", Refused(SignatureMissing)),
    (
        "missing header webhook-signature",
        Refused(SignatureMissing),
    ),
    (
        "missing header webhook-timestamp",
        Refused(TimestampMissing),
    ),
    ("timestamp not a number", Refused(TimestampMalformed)),
    ("float timestamp", Refused(TimestampMalformed)),
    ("string timestamp", Refused(TimestampMalformed)),
    ("negative timestamp", Refused(TimestampMalformed)),
    ("timestamp -1", Refused(TimestampMalformed)),
    ("non-positive timestamp", Refused(TimestampMalformed)),
    ("non-canonical timestamp", Refused(TimestampMalformed)),
    ("even though signed", Refused(TimestampMalformed)),
    ("too old", Refused(TimestampStale)),
    ("delta=-301", Refused(TimestampStale)),
    ("too new", Refused(TimestampFuture)),
    ("delta=301", Refused(TimestampFuture)),
    ("wrong length", Refused(SignatureMalformed)),
    ("short garbage", Refused(SignatureMalformed)),
    ("partial signature", Refused(SignatureMalformed)),
    ("empty signature", Refused(SignatureMalformed)),
    ("wrong version tag", Refused(SignatureMalformed)),
    ("no comma", Refused(SignatureMalformed)),
    ("not base64", Refused(SignatureMalformed)),
    ("no version", Refused(SignatureMalformed)),
    ("v1a signature offered", Refused(SignatureMalformed)),
    ("bare signature", Refused(SignatureMalformed)),
    ("non-ASCII", Refused(SignatureMalformed)),
];

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn standard_webhooks_svix_and_openai() {
    let tally = run::file("standard-webhooks", standard_webhooks, &STANDARD_WEBHOOKS);
    assert_eq!(tally, Tally::of(17, 39, [(PUBLIC_KEY, 3)]));
}

fn stripe(vector: &Vector) -> Result<Provider, &'static str> {
    let scheme = HmacScheme::new(header("stripe-signature"))
        .with_fields(',', "v1")
        .with_signed([Part::Timestamp, Part::literal("."), Part::Body])
        .with_timestamp(within(SignedTimestamp::in_field("t"), vector));
    Ok(provider("stripe", scheme))
}

const STRIPE: [Reason; 16] = [
    ("EMPTY SECRET", SecretRefused(Empty)),
    ("missing header", Refused(SignatureMissing)),
    ("15 s earlier", Refused(TimestampStale)),
    ("in the future", Refused(TimestampFuture)),
    ("t=12345abc", Refused(TimestampMalformed)),
    ("hex timestamp", Refused(TimestampMalformed)),
    ("beyond i64", Refused(TimestampMalformed)),
    ("i64::MAX", Refused(TimestampMalformed)),
    ("i64::MIN", Refused(TimestampMalformed)),
    ("malformed header", Refused(SignatureMalformed)),
    ("bad signature value", Refused(SignatureMalformed)),
    ("only scheme v0", Refused(SignatureMalformed)),
    ("empty", Refused(SignatureMalformed)),
    ("short forged signature", Refused(SignatureMalformed)),
    ("two t= fields", Refused(SignatureMalformed)),
    ("item without =", Refused(SignatureMalformed)),
];

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn stripe_fields() {
    let tally = run::file("stripe", stripe, &STRIPE);
    assert_eq!(tally, Tally::of(10, 20, []));
}

fn paddle(vector: &Vector) -> Result<Provider, &'static str> {
    let scheme = HmacScheme::new(header("paddle-signature"))
        .with_fields(';', "h1")
        .with_signed([Part::Timestamp, Part::literal(":"), Part::Body])
        .with_timestamp(within(SignedTimestamp::in_field("ts"), vector));
    Ok(provider("paddle", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn paddle_fields() {
    let reasons = [
        ("missing", Refused(SignatureMissing)),
        ("other timestamp", Refused(TimestampStale)),
        ("now = ts+", Refused(TimestampStale)),
        ("now = ts-", Refused(TimestampFuture)),
        ("not hex", Refused(SignatureMalformed)),
        ("malformed header", Refused(SignatureMalformed)),
        ("format", Refused(SignatureMalformed)),
    ];
    let tally = run::file("paddle", paddle, &reasons);
    assert_eq!(tally, Tally::of(8, 15, []));
}

fn square(_: &Vector) -> Result<Provider, &'static str> {
    let scheme = HmacScheme::new(header("x-square-hmacsha256-signature"))
        .with_encoding(Encoding::Base64)
        .with_signed([Part::Url, Part::Body]);
    Ok(provider("square", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn square_signs_its_url() {
    let reasons = [("20-byte", Refused(SignatureMalformed))];
    let tally = run::file("square", square, &reasons);
    assert_eq!(tally, Tally::of(3, 5, []));
}

const HOOK0_HEADERS: &str = "the signature itself names the headers that it covers";

/// The scheme that covers the body. Of the newer one the signature itself
/// names the headers that it covers, and no list of parts can say that.
fn hook0(vector: &Vector) -> Result<Provider, &'static str> {
    let signatures = vector
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-hook0-signature"));
    if signatures
        .flat_map(|(_, value)| value.split(','))
        .any(|field| field.starts_with("v1="))
    {
        return Err(HOOK0_HEADERS);
    }
    let scheme = HmacScheme::new(header("x-hook0-signature"))
        .with_fields(',', "v0")
        .with_signed([Part::Timestamp, Part::literal("."), Part::Body])
        .with_timestamp(within(SignedTimestamp::in_field("t"), vector));
    Ok(provider("hook0", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn hook0_over_the_body() {
    let reasons = [
        ("older than the tolerance", Refused(TimestampStale)),
        ("further ahead than", Refused(TimestampFuture)),
        ("not hexadecimal", Refused(SignatureMalformed)),
        ("not whole", Refused(SignatureMalformed)),
        ("fuzz seed", Refused(SignatureMalformed)),
    ];
    let tally = run::file("hook0", hook0, &reasons);
    assert_eq!(tally, Tally::of(2, 10, [(HOOK0_HEADERS, 6)]));
}
