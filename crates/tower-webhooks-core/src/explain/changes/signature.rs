//! How the signature is written, and where it stands.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::HeaderName;

use super::Change;
use crate::{
    SignedRequest, Signer,
    encoding::Encoding,
    explain::{Cause, case::Case, changes::signed_text},
    mac::Algorithm,
    provider::{DigestScheme, HmacScheme, Layout, Part, Prefix, Scheme},
    scheme::Signed,
};

/// What senders write before a signature.
const PREFIXES: [&str; 10] = [
    "sha256=",
    "sha1=",
    "sha512=",
    "v0=",
    "v1=",
    "v1,",
    "v1a,",
    "hmac-sha256=",
    "Bearer ",
    "t=",
];

/// How much of a signature must be left to be told by: 64 bits in hexadecimal.
const MIN_LEFT_CHARS: usize = 16;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

pub(super) fn changes<'c>(case: &Case) -> Vec<Change<'c>> {
    let mut changes = encodings(case);
    changes.extend(algorithms(case));
    changes.extend(prefixes(case));
    changes.extend(damaged());
    changes.extend(elsewhere(case));
    changes
}

fn encodings<'c>(case: &Case) -> Vec<Change<'c>> {
    let Some(declared) = case.signed().map(|signed| signed.encoding) else {
        return Vec::new();
    };
    let all = [
        (Encoding::Hex, "hexadecimal"),
        (Encoding::Base64, "base64"),
        (Encoding::Base64url, "base64url"),
    ];
    let mut changes: Vec<_> = all
        .into_iter()
        .filter(|(encoding, _)| *encoding != declared)
        .map(|(encoding, name)| {
            let advice = format!(
                "the signature is written in {name}: have the sender write it as this provider \
                 does, or describe the sender with that encoding"
            );
            Change::new(Cause::DigestEncoding, advice, move |case| {
                case.with_edited(|scheme| *scheme.encoding = encoding)
            })
            .common()
        })
        .collect();
    let unpadded = "the signature is base64 without its padding: have the sender write the = at \
         its end";
    changes.push(Change::new(Cause::DigestEncoding, unpadded, |case| {
        let engine = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
        // Padded anew, in whichever encoding it is then tried.
        let padded = with_signature(case, |text| {
            let bytes = engine.decode(text).ok()?;
            Some(Encoding::Base64.encode(&bytes))
        })?;
        padded.with_edited(|scheme| *scheme.encoding = Encoding::Base64)
    }));
    let marked = "the signature is hexadecimal behind 0x: have the sender leave that out";
    changes.push(Change::new(Cause::DigestEncoding, marked, |case| {
        with_signature(case, |text| text.strip_prefix("0x").map(str::to_owned))
    }));
    changes
}

fn algorithms<'c>(case: &Case) -> Vec<Change<'c>> {
    let all = [
        (Algorithm::Sha1, "HMAC-SHA1"),
        (Algorithm::Sha256, "HMAC-SHA256"),
        (Algorithm::Sha512, "HMAC-SHA512"),
    ];
    let advice = |name| {
        format!(
            "it is signed with {name}: have the sender use this provider's algorithm, or describe \
             the sender with that one"
        )
    };
    let mut changes = Vec::new();
    for (algorithm, name) in all {
        let is_declared =
            matches!(case.provider.scheme(), Scheme::Hmac(scheme) if scheme.algorithm == algorithm);
        if is_declared || !is_shared(case) {
            continue;
        }
        changes.push(
            Change::new(Cause::WrongAlgorithm, advice(name), move |case| {
                keyed(case, algorithm)
            })
            .common(),
        );
    }
    for is_before in [true, false] {
        changes.push(Change::new(
            Cause::WrongAlgorithm,
            advice("a plain SHA-256 over the secret and the content (no HMAC)"),
            move |case| plain(case, is_before),
        ));
    }
    changes
}

fn is_shared(case: &Case) -> bool {
    matches!(case.provider.scheme(), Scheme::Digest(_) | Scheme::Hmac(_))
}

fn keyed(case: &Case, algorithm: Algorithm) -> Option<Case> {
    match case.provider.scheme() {
        Scheme::Hmac(scheme) => {
            let scheme = scheme.clone().with_algorithm(algorithm);
            Some(case.with_scheme(Scheme::Hmac(scheme)))
        }
        Scheme::Digest(scheme) => {
            let DigestScheme {
                header,
                field,
                encoding,
                prefix,
                layout,
                signed,
                timestamp,
                key,
                key_id,
                ..
            } = scheme.clone();
            let signed = signed.into_iter().filter(|part| *part != Part::Secret);
            let scheme = HmacScheme {
                header,
                field,
                algorithm,
                encoding,
                prefix,
                layout,
                signed: signed.collect(),
                timestamp,
                key,
                key_id,
            };
            Some(case.with_scheme(Scheme::Hmac(scheme)))
        }
        _ => None,
    }
}

/// A plain digest with the secret before or behind the content.
fn plain(case: &Case, is_before: bool) -> Option<Case> {
    let Scheme::Hmac(scheme) = case.provider.scheme() else {
        return None;
    };
    let HmacScheme {
        header,
        field,
        encoding,
        prefix,
        layout,
        signed,
        timestamp,
        key,
        key_id,
        ..
    } = scheme.clone();
    let secret = std::iter::once(Part::Secret);
    let signed = if is_before {
        secret.chain(signed).collect()
    } else {
        signed.into_iter().chain(secret).collect()
    };
    let scheme = DigestScheme {
        header,
        field,
        algorithm: crate::provider::DigestAlgorithm::Sha256,
        encoding,
        prefix,
        layout,
        signed,
        timestamp,
        key,
        key_id,
    };
    Some(case.with_scheme(Scheme::Digest(scheme)))
}

fn prefixes<'c>(case: &Case) -> Vec<Change<'c>> {
    let Some(declared) = case.signed().map(|signed| signed.prefix.text().to_owned()) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    if !declared.is_empty() {
        let advice = format!("the signature lacks its prefix {declared}: have the sender write it");
        let change = Change::new(Cause::PrefixMissing, advice, |case| {
            case.with_edited(|scheme| *scheme.prefix = Prefix::None)
        });
        changes.push(change.common());
    }
    for prefix in PREFIXES {
        if prefix == declared {
            continue;
        }
        let advice = format!(
            "{prefix:?} stands before the signature, which this provider does not write: have the \
             sender leave it out, or describe the sender with that prefix"
        );
        changes.push(Change::new(Cause::PrefixUnexpected, advice, move |case| {
            case.with_edited(|scheme| *scheme.prefix = Prefix::Required(prefix.to_owned()))
        }));
    }
    changes
}

/// What happens to a header on its way.
fn damaged<'c>() -> Vec<Change<'c>> {
    let quoted = "quotes or white space stand around the signature: hand on the header as it came";
    let truncated = "a part of the signature is cut off: look for a column, a variable or a log \
         that is too short, and hand on the whole header";
    let repeated = "the signature header is there more than once, and one of them is right: look \
         for a proxy or a middleware that adds one";
    let mut changes = vec![Change::new(Cause::SignatureQuoted, quoted, |case| {
        let name = case.provider.scheme().header()?;
        let text = case.header(name)?;
        let cut = text.trim().trim_matches(['"', '\'']).trim();
        (cut != text).then(|| case.with_header(name, cut))?
    })];
    for at in [Cut::End, Cut::Start] {
        changes.push(Change::new(
            Cause::SignatureTruncated,
            truncated,
            move |case| completed(case, at),
        ));
    }
    for is_first in [true, false] {
        changes.push(Change::new(Cause::HeaderRepeated, repeated, move |case| {
            let name = case.provider.scheme().header()?;
            let mut values = case.headers.get_all(name).iter();
            let (first, last) = (values.next()?, values.next_back()?);
            let mut single = case.clone();
            let kept = if is_first { first } else { last };
            single.headers.insert(name, kept.clone());
            Some(single)
        }));
    }
    changes
}

#[derive(Clone, Copy)]
enum Cut {
    End,
    Start,
}

/// The request with the whole signature, where what is left of it is a part of
/// that.
fn completed(case: &Case, at: Cut) -> Option<Case> {
    if !is_shared(case) {
        return None;
    }
    let signed = case.signed()?;
    let timestamp = signed_text(case).unwrap_or_default();
    let request = SignedRequest {
        headers: case.headers.clone(),
        body: case.body.clone(),
    };
    let url = match (&case.public_url, case.uri.query()) {
        (Some(base), Some(query)) => format!("{base}?{query}"),
        (Some(base), None) => base.clone(),
        (None, _) => String::new(),
    };
    case.secrets.iter().find_map(|secret| {
        let signer = Signer::new(std::sync::Arc::clone(&case.provider), secret.clone())
            .with_method(case.method.clone())
            .with_url(url.clone());
        let whole = signer.signature(&signed, &request, timestamp.as_bytes());
        let whole = signed.encoding.encode(&whole.ok()?);
        with_signature(case, |left| {
            let left = match signed.encoding {
                Encoding::Hex => left.to_ascii_lowercase(),
                Encoding::Base64 | Encoding::Base64url => left.to_owned(),
            };
            let is_part = match at {
                Cut::End => whole.starts_with(&left),
                Cut::Start => whole.ends_with(&left),
            };
            (is_part && left.len() >= MIN_LEFT_CHARS).then(|| whole.clone())
        })
    })
}

/// A signature under a name that the provider does not use.
fn elsewhere<'c>(case: &Case) -> Vec<Change<'c>> {
    let Some(expected) = case.provider.scheme().header() else {
        return Vec::new();
    };
    if case.headers.contains_key(expected) {
        return Vec::new();
    }
    let says_so = |name: &&HeaderName| {
        ["sign", "hmac", "hash", "digest", "token", "key"]
            .iter()
            .any(|word| name.as_str().contains(word))
    };
    let names = case.headers.keys().filter(says_so).take(8).cloned();
    names
        .map(|name| {
            let advice = format!(
                "the signature stands in the header {name}, not in {expected}: describe the \
                 provider with that header, or look for a proxy that renames it"
            );
            Change::new(Cause::HeaderName, advice, move |case| {
                let value = case.header(&name)?;
                let expected = case.provider.scheme().header()?;
                case.with_header(expected, value)
            })
        })
        .collect()
}

/// The request with other text in the place of its signatures, or nothing where
/// nothing changes.
fn with_signature(case: &Case, rewrite: impl Fn(&str) -> Option<String>) -> Option<Case> {
    let signed = case.signed()?;
    let name = signed.header?;
    let text = case.header(name)?;
    let new = rewritten(&signed, text, rewrite);
    (new != text).then(|| case.with_header(name, &new))?
}

fn rewritten(signed: &Signed<'_>, text: &str, rewrite: impl Fn(&str) -> Option<String>) -> String {
    let prefix = signed.prefix.text();
    let entry = |entry: &str| match entry.strip_prefix(prefix) {
        Some(digest) => rewrite(digest).map(|new| format!("{prefix}{new}")),
        None => rewrite(entry),
    };
    let entry = |text: &str| entry(text).unwrap_or_else(|| text.to_owned());
    match signed.layout {
        Layout::Whole => entry(text),
        Layout::List { separator } => {
            let entries: Vec<_> = text.split(*separator).map(entry).collect();
            entries.join(&separator.to_string())
        }
        Layout::Fields {
            separator,
            signature,
        } => {
            let field = |field: &str| match field.split_once('=') {
                Some((name, value)) if name == signature => format!("{name}={}", entry(value)),
                _ => field.to_owned(),
            };
            let fields: Vec<_> = text.split(*separator).map(field).collect();
            fields.join(&separator.to_string())
        }
    }
}
