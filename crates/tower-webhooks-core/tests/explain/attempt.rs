//! A request from its sender to its receiver, either of which may be wrong.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tower_webhooks_core::{
    Head, Provider, Secret, Secrets, SignedRequest, Signer,
    explain::{Explainer, Explanation},
    provider::{HmacScheme, Scheme},
    providers,
};

pub(super) const URL: &str = "https://shop.example/hooks?tenant=7&kind=a%20b";

pub(super) const PUBLIC_URL: &str = "https://shop.example/hooks";

/// What encrypts payloads, where a preset does.
const PAYLOAD_SECRET: &str = "0123456789abcdef0123456789ABCDEF";

/// Behind `whsec_`, and as a text of its own.
pub(super) const BASE64: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What is sent and what it is checked by. As made by [`Attempt::of`] it verifies.
pub(super) struct Attempt {
    pub(super) sender: Provider,
    pub(super) sender_secret: String,
    pub(super) sender_url: String,
    pub(super) sender_method: Method,
    pub(super) sender_headers: Vec<(&'static str, &'static str)>,
    pub(super) signed_body: Vec<u8>,
    pub(super) signed_at: SystemTime,
    /// What arrives, where it is not what was signed.
    pub(super) body: Option<Vec<u8>>,
    pub(super) on_the_way: fn(&mut HeaderMap),
    pub(super) provider: Provider,
    pub(super) secrets: Vec<Secret>,
    pub(super) previous: Option<String>,
    pub(super) other: Option<String>,
    pub(super) url: Option<String>,
    pub(super) target: String,
    pub(super) method: Method,
    pub(super) now: SystemTime,
}

impl Attempt {
    /// A preset's sample, signed and checked alike.
    pub(super) fn of(preset: &str) -> Self {
        let provider = providers::find(preset).unwrap();
        let secret = match preset {
            "standard-webhooks" | "svix" | "stripe" => format!("whsec_{BASE64}"),
            _ => "a-Secret_of-this-test-0001".to_owned(),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_447_400);
        let sample = provider.events().list[0].sample.clone().unwrap();
        let body = sample.as_bytes().to_vec();
        Self {
            sender: provider.clone(),
            sender_secret: secret.clone(),
            sender_url: URL.to_owned(),
            sender_method: Method::POST,
            sender_headers: vec![("webhook-id", "msg_1"), ("svix-id", "msg_1")],
            signed_body: body,
            signed_at: now,
            body: None,
            on_the_way: |_| {},
            provider,
            secrets: vec![Secret::new(secret).unwrap()],
            previous: None,
            other: None,
            url: Some(PUBLIC_URL.to_owned()),
            target: URL.to_owned(),
            method: Method::POST,
            now,
        }
    }

    pub(super) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.signed_body = body.into();
        self
    }

    /// The receiver's only secret becomes this text.
    pub(super) fn set_secret(&mut self, text: impl Into<String>) {
        self.secrets = vec![Secret::new(text).unwrap()];
    }

    /// Both sides' secret becomes this text.
    pub(super) fn set_secrets(&mut self, text: &str) {
        self.sender_secret = text.to_owned();
        self.set_secret(text);
    }

    /// The sender signs in another way.
    pub(super) fn sender_scheme(&mut self, change: impl FnOnce(HmacScheme) -> Scheme) {
        let Scheme::Hmac(scheme) = self.sender.scheme() else {
            panic!("only for HMAC");
        };
        let scheme = change(scheme.clone());
        self.sender = self.sender.clone().with_scheme(scheme);
    }

    /// What the sender sends.
    pub(super) fn sign(&self) -> SignedRequest {
        let mut signer = Signer::new(
            self.sender.clone(),
            Secret::new(self.sender_secret.clone()).unwrap(),
        )
        .with_url(self.sender_url.clone())
        .with_payload_secret(Secret::new(PAYLOAD_SECRET).unwrap())
        .with_method(self.sender_method.clone());
        for (name, value) in &self.sender_headers {
            signer = signer.with_header(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        signer
            .sign_request(&self.signed_body, self.signed_at)
            .unwrap()
    }

    pub(super) fn explain(&self) -> Explanation {
        let signed = self.sign();
        let mut headers = signed.headers;
        (self.on_the_way)(&mut headers);
        let body = self.body.clone().map_or(signed.body, Bytes::from);

        let (first, others) = self.secrets.split_first().unwrap();
        let secrets = others
            .iter()
            .fold(Secrets::from(first.clone()), |secrets, secret| {
                secrets.add_secret(secret.clone()).unwrap()
            });
        let mut explainer = Explainer::new(self.provider.clone(), &secrets)
            .with_public_url(self.url.as_deref().map(Into::into));
        if let Some(previous) = &self.previous {
            explainer = explainer.add_previous(Secret::new(previous.clone()).unwrap());
        }
        if let Some(other) = &self.other {
            explainer = explainer.add_other("billing", Secret::new(other.clone()).unwrap());
        }
        let uri: Uri = self.target.parse().unwrap();
        explainer.explain(Head::new(&self.method, &uri, &headers), &body, self.now)
    }
}

/// Replaces a header's value by what becomes of its text.
pub(super) fn rewrite(headers: &mut HeaderMap, name: &str, change: impl FnOnce(&str) -> String) {
    let text = change(headers[name].to_str().unwrap());
    let name: HeaderName = name.parse().unwrap();
    headers.insert(name, text.parse().unwrap());
}
