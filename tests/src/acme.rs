//! A provider that can be refused for every reason.

use std::time::Duration;

use http::HeaderName;
use tower_webhooks::{
    Answer, Answers, Envelope, HmacScheme, Part, Provider, Scheme, SignedTimestamp,
    testing::Sender,
};

/// The secret that it shares with the receiver under test.
pub const SECRET: &str = "acme-and-the-tests-share-this-1f0c2a9d";

/// The body that acknowledges.
pub const YES: &str = r#"{"received":true}"#;

/// The body of every 401.
pub const NO: &str = r#"{"received":false}"#;

/// Signs `timestamp.body` as `v1=<hex>` in `x-acme-signature`, with seconds in
/// `x-acme-timestamp` that may be 300 s off.
#[must_use]
pub fn acme() -> Provider {
    let timestamp = SignedTimestamp::in_header(HeaderName::from_static("x-acme-timestamp"))
        .with_tolerance(Duration::from_secs(300));
    let scheme = HmacScheme::new(HeaderName::from_static("x-acme-signature"))
        .with_prefix("v1=")
        .with_signed([Part::Timestamp, Part::literal("."), Part::Body])
        .with_timestamp(timestamp);
    let envelope = Envelope::new("/type").with_id("/id").with_data("/data");
    Provider::new("acme", Scheme::Hmac(scheme), envelope)
        .with_answers(Answers::new(Answer::json(200, YES), Answer::json(401, NO)))
}

/// A body of that provider.
#[must_use]
pub fn body(event_type: &str, id: &str) -> String {
    format!(r#"{{"type":"{event_type}","id":"{id}","data":{{"n":1}}}}"#)
}

/// Signs as that provider does, now, for `/acme`.
///
/// # Panics
///
/// Never: the secret is not empty.
#[must_use]
pub fn sender() -> Sender {
    Sender::new(acme(), SECRET).unwrap().to("/acme")
}
