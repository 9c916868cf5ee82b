//! Vectors of providers that sign something else than the body's bytes: fields
//! of the body, forms, or a plain digest.

use http::HeaderName;
use tower_webhooks_core::{
    Provider,
    RejectionKind::{SignatureMalformed, SignatureMismatch, SignatureMissing, TimestampMalformed},
    provider::{
        Algorithm, DigestScheme, Encoding, Envelope, HmacScheme, KeyEncoding, Part, Scheme,
        SignedTimestamp, TimeUnit, UrlForm,
    },
};

use crate::{
    files::Vector,
    run::{self, Tally, Verdict::Refused, within},
};

fn header(name: &str) -> HeaderName {
    name.parse().unwrap()
}

fn provider(name: &'static str, scheme: Scheme) -> Provider {
    Provider::new(name, scheme, Envelope::new("/type"))
}

fn twilio(_: &Vector) -> Result<Provider, &'static str> {
    let scheme = HmacScheme::new(header("x-twilio-signature"))
        .with_algorithm(Algorithm::Sha1)
        .with_encoding(Encoding::Base64)
        .with_signed([
            Part::UrlAs(UrlForm::WithOrWithoutPort),
            Part::Form {
                body_digest: "bodySHA256".to_owned(),
            },
        ]);
    Ok(provider("twilio", Scheme::Hmac(scheme)))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn twilio_signs_its_url_and_sorted_fields() {
    let reasons = [
        ("no bodySHA256", Refused(SignatureMissing)),
        ("does not match bodySHA256", Refused(SignatureMismatch)),
        ("missing", Refused(SignatureMissing)),
        ("wrong sort", Refused(SignatureMismatch)),
        ("wrong", Refused(SignatureMalformed)),
    ];
    let tally = run::file("twilio", twilio, &reasons);
    assert_eq!(tally, Tally::of(19, 6, []));
}

fn mailgun(_: &Vector) -> Result<Provider, &'static str> {
    let scheme = HmacScheme::in_body("/signature/signature").with_signed([
        Part::field("/signature/timestamp"),
        Part::field("/signature/token"),
    ]);
    Ok(provider("mailgun", Scheme::Hmac(scheme)))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn mailgun_signs_in_the_body() {
    let reasons = [("badsignature", Refused(SignatureMalformed))];
    let tally = run::file("mailgun", mailgun, &reasons);
    assert_eq!(tally, Tally::of(2, 1, []));
}

fn adyen(_: &Vector) -> Result<Provider, &'static str> {
    const FIELDS: [&str; 8] = [
        "/pspReference",
        "/originalReference",
        "/merchantAccountCode",
        "/merchantReference",
        "/amount/value",
        "/amount/currency",
        "/eventCode",
        "/success",
    ];
    let joined = FIELDS.into_iter().enumerate().flat_map(|(index, field)| {
        let colon = (index > 0).then(|| Part::literal(":"));
        colon.into_iter().chain([Part::optional_field(field)])
    });
    let scheme = HmacScheme::in_body("/additionalData/hmacSignature")
        .with_encoding(Encoding::Base64)
        .with_key_encoding(KeyEncoding::Hex)
        .with_signed(joined);
    Ok(provider("adyen", Scheme::Hmac(scheme)))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn adyen_signs_eight_fields() {
    let reasons = [
        ("garbage", Refused(SignatureMalformed)),
        ("missing", Refused(SignatureMissing)),
        ("33 bytes", Refused(SignatureMalformed)),
    ];
    let tally = run::file("adyen-classic", adyen, &reasons);
    assert_eq!(tally, Tally::of(5, 3, []));
}

/// With the timestamp as text where upstream takes it so, and as a time where
/// a strict receiver must.
fn lark(vector: &Vector) -> Result<Provider, &'static str> {
    let time = header("x-lark-request-timestamp");
    let nonce = Part::Header(header("x-lark-request-nonce"));
    let scheme = DigestScheme::new(header("x-lark-signature"));
    let scheme = if vector.is_stricter_than_upstream() {
        scheme
            .with_signed([Part::Timestamp, nonce, Part::Secret, Part::Body])
            .with_timestamp(within(SignedTimestamp::in_header(time), vector))
    } else {
        scheme.with_signed([Part::Header(time), nonce, Part::Secret, Part::Body])
    };
    Ok(provider("lark", Scheme::Digest(scheme)))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn lark_digests_its_secret_with_the_body() {
    let reasons = [("BOUNDARY SHIFT", Refused(TimestampMalformed))];
    let tally = run::file("lark-sig", lark, &reasons);
    assert_eq!(tally, Tally::of(1, 2, []));
}

fn hubspot(vector: &Vector) -> Result<Provider, &'static str> {
    let digest = DigestScheme::new(header("x-hubspot-signature"));
    let scheme = match vector.params["version"].as_str().unwrap() {
        "v1" => Scheme::Digest(digest),
        "v2" => {
            let signed = [Part::Secret, Part::Method, Part::Url, Part::Body];
            Scheme::Digest(digest.with_signed(signed))
        }
        "v3" => {
            let timestamp = SignedTimestamp::in_header(header("x-hubspot-request-timestamp"))
                .with_unit(TimeUnit::Milliseconds);
            let url = Part::UrlAs(UrlForm::Unescaped);
            let scheme = HmacScheme::new(header("x-hubspot-signature-v3"))
                .with_encoding(Encoding::Base64)
                .with_signed([Part::Method, url, Part::Body, Part::Timestamp])
                .with_timestamp(within(timestamp, vector));
            Scheme::Hmac(scheme)
        }
        other => panic!("{}: {other}", vector.id),
    };
    Ok(provider("hubspot", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn hubspot_of_all_versions() {
    let tally = run::file("hubspot", hubspot, &[]);
    assert_eq!(tally, Tally::of(4, 0, []));
}
