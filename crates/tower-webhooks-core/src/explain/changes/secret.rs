//! The secret as it was copied, and how it becomes a key.

use percent_encoding::percent_decode_str;

use super::Change;
use crate::{
    Secret, Text,
    explain::{Cause, case::Case},
    provider::{KeyEncoding, Scheme},
};

/// What secrets and keys are known to begin with, a longer one before a shorter
/// one that it begins with.
const PREFIXES: [&str; 12] = [
    "whsec_",
    "whsk_",
    "whpk_",
    "wh_sec_",
    "pdl_ntfset_",
    "ntfset_",
    "secret_",
    "base64:",
    "hex:",
    "sha256=",
    "Bearer ",
    "0x",
];

/// Secrets that the endpoint does not use.
#[derive(Debug, Clone, Default)]
pub(in crate::explain) struct Others {
    /// Those before the current one.
    pub(in crate::explain) previous: Vec<Secret>,
    /// Those of other endpoints, by their names.
    pub(in crate::explain) named: Vec<(Text, Secret)>,
}

pub(super) fn changes<'c>(case: &Case, others: &'c Others) -> Vec<Change<'c>> {
    let mut changes = copied();
    changes.extend(prefixed(case));
    changes.extend(encoded(case));
    changes.extend(kept(others));
    changes
}

/// What happens when a secret is copied.
fn copied<'c>() -> Vec<Change<'c>> {
    let whitespace = "white space, often a line end, or an invisible character stands at an end \
         of the secret: take it away where the secret is kept (`printf %s`, not `echo`)";
    let quoted = "quotes stand around the secret: take them away where it is kept; most readers \
         of environment files do not";
    let escaped = "the secret holds escapes that were never undone, such as %2B or \\n: keep it \
         as the provider shows it";
    let missing = "the sender's secret ends in a line end that ours has not: the sender reads it \
         from a file and should take the line end away";
    vec![
        Change::new(Cause::SecretWhitespace, whitespace, |case| {
            case.with_texts(|text| Some(trimmed(text).to_owned()))
        })
        .common(),
        Change::new(Cause::SecretQuoted, quoted, |case| {
            case.with_texts(|text| unquoted(text).map(str::to_owned))
        })
        .common(),
        Change::new(Cause::SecretEscaped, escaped, |case| {
            case.with_texts(|text| {
                let decoded = percent_decode_str(text).decode_utf8().ok()?;
                Some(decoded.into_owned())
            })
        }),
        Change::new(Cause::SecretEscaped, escaped, |case| {
            case.with_texts(|text| Some(text.replace("\\r", "\r").replace("\\n", "\n")))
        }),
        Change::new(Cause::SecretEscaped, escaped, |case| {
            case.with_texts(|text| {
                let cut = text.strip_suffix("\\n")?;
                Some(cut.strip_suffix("\\r").unwrap_or(cut).to_owned())
            })
        }),
        Change::new(Cause::SecretWhitespace, missing, |case| {
            case.with_texts(|text| Some(format!("{text}\n")))
        }),
        Change::new(Cause::SecretWhitespace, missing, |case| {
            case.with_texts(|text| Some(format!("{text}\r\n")))
        }),
    ]
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|char: char| {
        char.is_whitespace()
            || char.is_control()
            || matches!(char, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
    })
}

fn unquoted(text: &str) -> Option<&str> {
    const PAIRS: [(char, char); 5] = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('\u{201c}', '\u{201d}'),
        ('<', '>'),
    ];
    let inner = PAIRS
        .iter()
        .find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
    // One of two is lost as easily.
    inner.or_else(|| {
        let cut = text.trim_matches(['"', '\'']);
        (cut.len() < text.len()).then_some(cut)
    })
}

fn behind_prefix(text: &str) -> Option<&str> {
    PREFIXES
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .filter(|rest| !rest.is_empty())
}

/// What becomes of a prefix.
fn prefixed<'c>(case: &Case) -> Vec<Change<'c>> {
    let part = "the secret's prefix is no part of the key here, and was used as one: configure \
         what stands behind it";
    let missing = "the secret's prefix, whsec_, is a part of the key: configure the whole secret \
         as the provider shows it";
    let mut changes = vec![
        Change::new(Cause::SecretPrefix, part, |case| {
            case.with_texts(|text| behind_prefix(text).map(str::to_owned))
        })
        .common(),
        Change::new(Cause::SecretPrefix, missing, |case| {
            case.with_texts(|text| Some(format!("whsec_{text}")))
        }),
    ];
    if let Scheme::Token(_) = case.provider.scheme() {
        return changes;
    }
    for (encoding, name) in [
        (KeyEncoding::Base64, "base64"),
        (KeyEncoding::Hex, "hexadecimal"),
    ] {
        let decoded = format!(
            "the key is what stands behind the secret's prefix, decoded from {name}, and it was \
             not decoded: describe the sender with that key encoding"
        );
        let change = Change::new(Cause::SecretPrefix, decoded, move |case| {
            case.with_texts(|text| behind_prefix(text).map(standard_base64))?
                .with_edited(|mut scheme| scheme.set_key(encoding))
        });
        changes.push(if encoding == KeyEncoding::Base64 {
            change.common()
        } else {
            change
        });
    }
    let whole = "the sender signs with the secret's whole text, its prefix included, and does not \
         decode it: correct the sender, or describe it with the key encoding utf8";
    changes.push(Change::new(Cause::SecretPrefix, whole, |case| {
        let has_prefix = |text: &str| behind_prefix(text).is_some();
        if !case
            .secrets
            .iter()
            .any(|secret| has_prefix(secret.expose()))
        {
            return None;
        }
        case.with_edited(|mut scheme| scheme.set_key(KeyEncoding::Utf8))
    }));
    changes
}

/// What else the text may be: base64, hexadecimal, or the key itself.
fn encoded<'c>(case: &Case) -> Vec<Change<'c>> {
    let Some(signed) = case.signed() else {
        return Vec::new();
    };
    let shared = [
        (KeyEncoding::Base64, "base64"),
        (KeyEncoding::Hex, "hexadecimal"),
        (KeyEncoding::Utf8, "utf8"),
    ];
    let public = [
        (KeyEncoding::Pem, "pem"),
        (KeyEncoding::Base64, "base64"),
        (KeyEncoding::Hex, "hexadecimal"),
        (KeyEncoding::Whpk, "whpk"),
    ];
    let (encodings, declared): (&[_], _) = match case.provider.scheme() {
        Scheme::PublicKey(_) => (&public, signed.key.encoding()),
        _ => (&shared, signed.key.encoding()),
    };
    let mut changes = Vec::new();
    for (encoding, name) in encodings.iter().copied() {
        if encoding == declared {
            continue;
        }
        let advice = match encoding {
            KeyEncoding::Utf8 => "the sender signs with the secret's text itself and does not \
                 decode it: correct the sender, or describe it with the key encoding utf8"
                .to_owned(),
            _ => format!(
                "the secret's text is {name} of the key, and was taken for something else: \
                 describe the sender with the key encoding {name}"
            ),
        };
        changes.push(
            Change::new(Cause::KeyEncoding, advice, move |case| {
                let decoded = case.with_edited(|mut scheme| scheme.set_key(encoding))?;
                if encoding == KeyEncoding::Base64 {
                    return decoded
                        .with_texts(|text| Some(standard_base64(text)))
                        .or(Some(decoded));
                }
                Some(decoded)
            })
            .common(),
        );
    }
    if matches!(declared, KeyEncoding::Whsec | KeyEncoding::Base64) {
        let advice = "the sender signs with the text behind the secret's prefix and does not \
             decode it: correct the sender, or configure that text with the key encoding utf8";
        changes.push(Change::new(Cause::KeyEncoding, advice, |case| {
            case.with_texts(|text| behind_prefix(text).map(str::to_owned))?
                .with_edited(|mut scheme| scheme.set_key(KeyEncoding::Utf8))
        }));
        let advice = "the secret is in the alphabet of base64url: write - as + and _ as /";
        changes.push(Change::new(Cause::KeyEncoding, advice, |case| {
            case.with_texts(|text| match text.strip_prefix("whsec_") {
                Some(rest) => Some(format!("whsec_{}", standard_base64(rest))),
                None => Some(standard_base64(text)),
            })
        }));
    }
    changes
}

fn standard_base64(text: &str) -> String {
    text.replace('-', "+").replace('_', "/")
}

/// Secrets that are kept, and not used for this.
fn kept(others: &Others) -> Vec<Change<'_>> {
    let expired = "the secret that signed it has expired here: the sender still uses it";
    let key_id = "the secret's label is not what the request names its key by: give the secret \
         the name of its key, or no label";
    let previous = "the secret before the current one signed it: the sender has not changed over \
         yet. Keep both until it has";
    let mut changes = vec![
        Change::new(Cause::SecretExpired, expired, |case| {
            let mut kept = case.clone();
            kept.secrets = case.secrets.iter().filter_map(without_expiry).collect();
            (!kept.secrets.is_empty()).then_some(kept)
        }),
        Change::new(Cause::KeyId, key_id, |case| {
            case.signed()?.key_id?;
            let mut unnamed = case.clone();
            unnamed.secrets = case.secrets.iter().filter_map(without_label).collect();
            (!unnamed.secrets.is_empty()).then_some(unnamed)
        }),
    ];
    changes.extend(others.previous.iter().map(|secret| {
        let change = Change::new(Cause::PreviousSecret, previous, |case| {
            Some(with_only(case, secret))
        });
        change.common()
    }));
    changes.extend(others.named.iter().map(|(name, secret)| {
        let advice = format!(
            "the secret of {name} signed it: one of the two is configured for the wrong endpoint"
        );
        Change::new(Cause::OtherSecret, advice, |case| {
            Some(with_only(case, secret))
        })
        .common()
    }));
    changes
}

fn with_only(case: &Case, secret: &Secret) -> Case {
    Case {
        secrets: vec![secret.clone()],
        ..case.clone()
    }
}

fn without_expiry(secret: &Secret) -> Option<Secret> {
    secret.expires_at()?;
    let kept = Secret::new(secret.expose()).ok()?;
    Some(match secret.label() {
        Some(label) => kept.with_label(label.clone()),
        None => kept,
    })
}

fn without_label(secret: &Secret) -> Option<Secret> {
    secret.label()?;
    let unnamed = Secret::new(secret.expose()).ok()?;
    Some(match secret.expires_at() {
        Some(at) => unnamed.with_expiry(at),
        None => unnamed,
    })
}
