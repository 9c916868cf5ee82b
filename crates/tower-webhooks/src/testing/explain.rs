use std::time::SystemTime;

use http::Request;
use tower_webhooks_core::{
    Provider, Secrets,
    explain::{Explainer, Explanation},
};

/// Why a request would be refused now by an endpoint with these secrets.
///
/// A provider that signs its URL needs a request whose target is the whole URL.
/// [`Explainer`] takes another time, another URL, and secrets that may have been
/// mixed up. Never for a server: see [the guide](crate::guide::invalid_signature).
///
/// ```
/// use tower_webhooks::{Secrets, providers, testing::{Cause, Sender, explain}};
///
/// let sender = Sender::new(providers::monterrey(), "a-shared-secret")?;
/// let request = sender.signed(r#"{"event":"payment.confirmed"}"#)?;
///
/// // The receiver parsed the body and wrote it again.
/// let altered = request.map(|_| r#"{ "event": "payment.confirmed" }"#);
/// let why = explain(&providers::monterrey(), &Secrets::new("a-shared-secret")?, &altered);
/// assert_eq!(why.first().unwrap().cause(), Cause::BodyReserialised);
/// assert!(why.to_string().starts_with("rejected: signature-mismatch\ncertain: body-reserialised\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn explain<B: AsRef<[u8]>>(
    provider: &Provider,
    secrets: &Secrets,
    request: &Request<B>,
) -> Explanation {
    Explainer::new(provider.clone(), secrets).explain_request(request, SystemTime::now())
}

/// Asserts that an endpoint with these secrets would accept a request now.
///
/// # Panics
///
/// When it would not, with the whole [explanation](explain()).
///
/// ```
/// use tower_webhooks::{Secrets, providers, testing::{Sender, assert_verifies}};
///
/// let sender = Sender::new(providers::m2m(), "a-shared-secret")?;
/// let request = sender.signed(r#"{"event":"operation.created","data":{}}"#)?;
/// assert_verifies(&providers::m2m(), &Secrets::new("a-shared-secret")?, &request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
#[expect(clippy::panic, reason = "documented; an assertion")]
pub fn assert_verifies<B: AsRef<[u8]>>(
    provider: &Provider,
    secrets: &Secrets,
    request: &Request<B>,
) {
    let explanation = explain(provider, secrets, request);
    if !explanation.is_verified() {
        panic!(
            "the request of {} does not verify\n{explanation}",
            provider.name()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{self, AssertUnwindSafe},
        time::Duration,
    };

    use tower_webhooks_core::{ManualClock, Secret, Signer, providers};

    use super::*;
    use crate::testing::{Cause, Sender};

    #[test]
    fn a_failed_assertion_says_why() {
        let sender = Sender::new(providers::m2m(), "a-shared-secret").unwrap();
        let request = sender.signed(r#"{"event":"a"}"#).unwrap();
        let secrets = Secrets::new("a-shared-secret ").unwrap();
        let failed = panic::catch_unwind(AssertUnwindSafe(|| {
            assert_verifies(&providers::m2m(), &secrets, &request);
        }));
        let said = *failed.unwrap_err().downcast::<String>().unwrap();
        let expected = "the request of m2m does not verify\nrejected: signature-mismatch\n\
                        certain: secret-whitespace\n";
        assert!(said.starts_with(expected), "{said}");
        assert!(!said.contains("a-shared-secret"), "{said}");
    }

    #[test]
    fn a_whole_url_is_the_one_that_was_called() {
        let url = "https://shop.example/hooks?a=1";
        let secret = Secret::new("a-shared-secret").unwrap();
        let signer = Signer::new(providers::square(), secret.clone()).with_url(url);
        let body = r#"{"type":"a"}"#;
        let mut request = Request::new(body);
        *request.headers_mut() = signer.sign(body.as_bytes(), SystemTime::now()).unwrap();

        *request.uri_mut() = url.parse().unwrap();
        assert_verifies(&providers::square(), &secret.clone().into(), &request);
        *request.uri_mut() = url.replace("https", "http").parse().unwrap();
        let why = explain(&providers::square(), &secret.into(), &request);
        assert_eq!(why.first().unwrap().cause(), Cause::UrlScheme);
    }

    #[test]
    fn a_request_of_another_hour_is_explained_by_its_time() {
        let clock = ManualClock::at(SystemTime::now() - Duration::from_secs(3_600));
        let sender = Sender::new(providers::m2m(), "a-shared-secret")
            .unwrap()
            .at(&clock);
        let request = sender.signed("{}").unwrap();
        let secrets = Secrets::new("a-shared-secret").unwrap();
        let why = explain(&providers::m2m(), &secrets, &request);
        assert_eq!(
            why.first().unwrap().cause(),
            Cause::TimestampOutsideTolerance
        );
    }
}
