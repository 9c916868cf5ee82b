//! Authentic bodies that are awkward JSON.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, Method, Uri};
use serde::Deserialize;
use tower_webhooks_core::{
    Head, Provider, Secret, Signer, Unusable,
    provider::{Envelope, HmacScheme, Scheme},
};

use crate::{
    files::{self, bytes_of_base64},
    run::verifier,
};

#[derive(Deserialize)]
struct Case {
    case: String,
    body: String,
}

impl Case {
    /// The bytes, where the file describes them instead of holding them.
    fn body(&self) -> Bytes {
        match self.case.as_str() {
            "invalid UTF-8 (base64)" => bytes_of_base64(&self.body),
            "depth 1M unclosed" => "[".repeat(1_000_000).into(),
            _ => Bytes::copy_from_slice(self.body.as_bytes()),
        }
    }
}

/// The type that is routed, or why there is none. Every case that says
/// "dead-letter" has no type; what handlers parse is the same bytes.
const OUTCOMES: [(&str, Result<&str, Unusable>); 17] = [
    ("duplicate key type", Err(Unusable::DuplicateField)),
    ("BOM", Err(Unusable::NotJson)),
    ("invalid UTF-8 (base64)", Err(Unusable::NotJson)),
    ("lone surrogate", Err(Unusable::TypeMalformed)),
    ("NUL escape", Err(Unusable::TypeMalformed)),
    ("1e400", Ok("a")),
    ("2^64", Ok("a")),
    ("depth 128", Err(Unusable::NotAnObject)),
    ("depth 1M unclosed", Err(Unusable::NotJson)),
    ("trailing garbage", Err(Unusable::NotJson)),
    ("two documents", Err(Unusable::NotJson)),
    ("empty body", Err(Unusable::NotJson)),
    ("null", Err(Unusable::NotAnObject)),
    ("array body", Err(Unusable::NotAnObject)),
    // A whole number is a name of its own, which no handler is registered for.
    ("type not a string", Ok("1")),
    ("escaped key", Ok("a")),
    ("newline in type", Err(Unusable::TypeMalformed)),
];

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn awkward_bodies_are_delivered_as_sent_and_routed_only_where_they_have_one_reading() {
    let provider = Provider::new(
        "bodies",
        Scheme::Hmac(HmacScheme::new(HeaderName::from_static("x-signature"))),
        Envelope::new("/type"),
    );
    let now = SystemTime::UNIX_EPOCH;
    let signer = Signer::new(provider.clone(), Secret::new("swordfish").unwrap());
    let verifier = verifier(&provider, &["swordfish"]).unwrap();
    let (method, uri) = (Method::POST, Uri::from_static("/"));

    let cases = files::read::<Case>("json-bodies");
    let names: Vec<_> = cases.iter().map(|case| case.case.as_str()).collect();
    assert_eq!(names, OUTCOMES.map(|(name, _)| name));
    for (case, (name, outcome)) in cases.iter().zip(OUTCOMES) {
        let body = case.body();
        let headers = signer.sign(&body, now).unwrap();
        let screened = provider.screen(&headers, now).unwrap();
        let head = Head::new(&method, &uri, &headers);
        let delivery = verifier.verify(head, &screened, body.clone(), now).unwrap();
        assert_eq!(delivery.body(), &body, "{name}");
        let event = delivery.event();
        let found = event.map(|event| event.event_type().as_str());
        assert_eq!(found, outcome, "{name}");
        if let Ok(event) = event {
            assert_eq!(event.data().as_bytes(), body, "{name}");
        }
    }
}
