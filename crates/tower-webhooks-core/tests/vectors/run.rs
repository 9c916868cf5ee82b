//! Puts one request to a verifier, and a file of them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::Request;
use tower_webhooks_core::{
    Head, Provider, RejectionKind, SecretError, SecretErrorKind, Secrets, SetupError, Text,
    Verifier, provider::SignedTimestamp,
};

use crate::files::{self, Expect, Vector};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused(RejectionKind),
    /// The secret is refused at set-up, so that no request ever verifies.
    SecretRefused(SecretErrorKind),
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    /// How many vectors the description cannot express, by the reason.
    pub(crate) left_out: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub(crate) fn of<const N: usize>(
        accepted: usize,
        refused: usize,
        left_out: [(&'static str, usize); N],
    ) -> Self {
        Self {
            accepted,
            refused,
            left_out: left_out.into(),
        }
    }
}

/// A verdict that a vector's `why` tells: the first row whose text it contains
/// counts, and a mismatch where there is none.
pub(crate) type Reason = (&'static str, Verdict);

/// Runs a file. `describe` gives the provider, or why the vector cannot be
/// expressed.
pub(crate) fn file(
    name: &str,
    describe: impl Fn(&Vector) -> Result<Provider, &'static str>,
    reasons: &[Reason],
) -> Tally {
    let mut tally = Tally::of(0, 0, []);
    let mut told = vec![false; reasons.len()];
    for vector in files::read::<Vector>(name) {
        let provider = match describe(&vector) {
            Ok(provider) => provider,
            Err(reason) => {
                *tally.left_out.entry(reason).or_default() += 1;
                continue;
            }
        };
        let Vector { id, why, .. } = &vector;
        let found = verdict(&provider, &vector, vector.body());
        if vector.expected() == Expect::Valid {
            tally.accepted += 1;
            assert_eq!(found, Verdict::Accepted, "{id}: {why}");
            let longer = [&vector.body()[..], b" "].concat().into();
            // One that stands in the body covers some of its fields, not its
            // bytes.
            let expected = match provider.scheme().field() {
                Some(_) => Verdict::Accepted,
                None => Verdict::Refused(RejectionKind::SignatureMismatch),
            };
            assert_eq!(
                verdict(&provider, &vector, longer),
                expected,
                "{id}: longer"
            );
        } else {
            tally.refused += 1;
            let row = reasons.iter().position(|(text, _)| why.contains(text));
            let expected = row.map_or(Verdict::Refused(RejectionKind::SignatureMismatch), |row| {
                reasons[row].1
            });
            assert_eq!(found, expected, "{id}: {why}");
            if let Some(row) = row {
                told[row] = true;
            }
        }
    }
    for ((text, _), told) in reasons.iter().zip(told) {
        assert!(told, "{name}: no vector is refused for {text:?}");
    }
    println!("{name}: {tally:?}");
    tally
}

/// What becomes of a vector's request with this body.
pub(crate) fn verdict(provider: &Provider, vector: &Vector, body: Bytes) -> Verdict {
    match verifier(provider, &vector.secrets()) {
        Ok(verifier) => ask(verifier, vector, body),
        Err(error) => Verdict::SecretRefused(error.kind()),
    }
}

/// What becomes of a vector's request where its key has a name.
#[cfg(all(feature = "ecdsa", feature = "ed25519", feature = "rsa"))]
pub(crate) fn labelled_verdict(
    provider: &Provider,
    vector: &Vector,
    key: &str,
    label: &str,
) -> Verdict {
    let secret = tower_webhooks_core::Secret::new(key).unwrap();
    let secrets = Secrets::from(secret.with_label(label));
    let verifier = Verifier::new(provider.clone(), &secrets).unwrap();
    ask(verifier, vector, vector.body())
}

fn ask(verifier: Verifier, vector: &Vector, body: Bytes) -> Verdict {
    let url = vector.url.as_deref().unwrap_or("/");
    // As a server sees it: without the scheme, the user and the host.
    let target = url.split_once("://").map_or(url, |(_, rest)| {
        rest.find('/').map_or("/", |path| rest.split_at(path).1)
    });
    let mut request = Request::builder()
        .method(vector.method.as_str())
        .uri(target);
    for (name, value) in &vector.headers {
        request = request.header(name, value.as_bytes());
    }
    let request = request.body(body).unwrap();
    let public_url = url.split('?').next().map(Text::from);
    decide(
        &verifier.with_public_url(public_url),
        request,
        clock(vector),
    )
}

/// Asks as the layer does: the headers first, then the body.
pub(crate) fn put(
    provider: &Provider,
    secrets: &[&str],
    public_url: Option<Text>,
    request: Request<Bytes>,
    now: SystemTime,
) -> Verdict {
    match verifier(provider, secrets) {
        Ok(verifier) => decide(&verifier.with_public_url(public_url), request, now),
        Err(error) => Verdict::SecretRefused(error.kind()),
    }
}

fn decide(verifier: &Verifier, request: Request<Bytes>, now: SystemTime) -> Verdict {
    let (parts, body) = request.into_parts();
    let screened = verifier.provider().screen(&parts.headers, now);
    let delivery = screened.and_then(|screened| {
        verifier.admit(&screened, now)?;
        verifier.verify(Head::from(&parts), &screened, body.clone(), now)
    });
    match delivery {
        Ok(delivery) => {
            assert_eq!(delivery.body(), &body);
            Verdict::Accepted
        }
        Err(rejection) => Verdict::Refused(rejection.kind()),
    }
}

pub(crate) fn verifier(provider: &Provider, secrets: &[&str]) -> Result<Verifier, SecretError> {
    let (current, previous) = secrets.split_first().unwrap();
    let secrets = previous
        .iter()
        .try_fold(Secrets::new(*current)?, |secrets, secret| {
            secrets.with_previous(*secret)
        })?;
    Verifier::new(provider.clone(), &secrets).map_err(|error| match error {
        SetupError::Secret(error) => error,
        error => panic!("{}: {error}", provider.name()),
    })
}

/// The tolerance that a vector has, or none where its time is not checked.
pub(crate) fn within(timestamp: SignedTimestamp, vector: &Vector) -> SignedTimestamp {
    match vector.tolerance {
        Some(seconds) => timestamp.with_tolerance(Duration::from_secs(seconds)),
        None => timestamp.insecure_any_age(),
    }
}

fn clock(vector: &Vector) -> SystemTime {
    assert_eq!(vector.now.is_some(), vector.tolerance.is_some());
    SystemTime::UNIX_EPOCH + Duration::from_secs(vector.now.unwrap_or_default())
}
