//! M2M by Leap Financial: money transfers through links and a widget.
//!
//! # Sources
//!
//! docs.leapfinancial.com/m2m/webhooks/overview, /security and /events,
//! /m2m/authentication and /m2m/integration/data-requests, read 2026-11-22
//! from stored copies of their first parts.
//!
//! # What the signature covers
//!
//! `X-M2M-Signature` is `sha256=` and the HMAC-SHA256 in hexadecimal of the
//! text of `X-M2M-Timestamp` (seconds since 1970), a full stop and the raw
//! body, keyed with the text of the secret from the Partner Portal. It does
//! not cover `X-M2M-Event`: the type is read from the body.
//!
//! # What is not documented
//!
//! An event id; the size of the time window, which the documents only
//! recommend; whether a redelivery is dated and signed anew; what follows the
//! fifth attempt; the amounts' form; the rest of `operation.cancelled`; and the
//! largest body: the endpoint's 1 MiB applies. If redeliveries are not signed
//! anew, the third to fifth are older than 300 s and refused:
//! [`Provider::with_tolerance`] of 3 h then admits them, and replays within it
//! are duplicates to the inbox.

use std::time::Duration;

use http::{HeaderName, Uri, uri::Scheme as UriScheme};

use super::{known, payload::payload};
use crate::{
    Amount, Provider,
    provider::{
        AlsoSent, Answer, Answers, Envelope, Events, HmacScheme, Part, Retries, Scheme, SentValue,
        SignedAnew, SignedTimestamp,
    },
    providers::RawJson,
};

/// The host of the production API.
pub const API_HOST: &str = "api.m2m.leapfinancial.com";

/// The host of the sandbox's API.
pub const SANDBOX_API_HOST: &str = "api.sandbox.m2m.leapfinancial.com";

/// The preset for M2M by Leap Financial.
#[must_use]
pub fn m2m() -> Provider {
    let timestamp = SignedTimestamp::in_header(HeaderName::from_static("x-m2m-timestamp"))
        .with_tolerance(Duration::from_secs(300));
    Provider::new(
        "m2m",
        Scheme::Hmac(
            HmacScheme::new(HeaderName::from_static("x-m2m-signature"))
                .with_optional_prefix("sha256=")
                .with_signed([Part::Timestamp, Part::literal("."), Part::Body])
                .with_timestamp(timestamp),
        ),
        Envelope::new("/event")
            .with_time("/timestamp")
            .with_data("/data"),
    )
    .with_title("M2M by Leap Financial")
    .with_source("docs.leapfinancial.com/m2m/webhooks, read 2026-11-22 from stored copies")
    .with_answers(Answers::new(
        Answer::text(200, "OK"),
        Answer::text(401, "Invalid signature"),
    ))
    .with_retries(
        Retries::after([60, 5 * 60, 30 * 60, 2 * 60 * 60].map(Duration::from_secs))
            .with_deadline(Duration::from_secs(30))
            .with_signed_anew(SignedAnew::Unknown),
    )
    .with_events(Events::open([
        known::<LinkCreated>(LINK_CREATED),
        known::<LinkOpened>(LINK_OPENED),
        known::<DataRequest>(DATA_REQUEST),
        known::<OperationCreated>(OPERATION_CREATED),
        known::<OperationCancelled>(OPERATION_CANCELLED),
    ]))
    .with_also_sent([AlsoSent::new(
        HeaderName::from_static("x-m2m-event"),
        SentValue::EventType,
    )])
    .with_not_covered([
        "X-M2M-Event: the type is read from the body",
        "all other headers except X-M2M-Timestamp, the method and the URL",
    ])
    .with_assumptions([
        "the time window is not visible: 300 s in both directions",
        "sha256= is documented; a bare digest is taken too",
        "no event id is documented: the body's SHA-256 stands in",
        "whether redeliveries are signed anew, and what follows the fifth attempt, is not visible",
        "the form of amounts is not visible: numbers and text are taken",
        "the largest body is not documented: 1 MiB",
    ])
}

payload! {
    /// A link was created.
    pub struct LinkCreated = "link.created" {
        required {
            /// The link, `link_…`.
            link_id: String = "linkId",
            /// Your reference for the user.
            reference_id: String = "referenceId",
            /// Where the user goes.
            url: String = "url",
            /// `created`.
            status: String = "status",
            /// Until when the link works, in RFC 3339.
            expires_at: String = "expiresAt",
            /// When, in RFC 3339.
            created_at: String = "createdAt",
        }
        optional {
            /// What you gave when the link was made.
            metadata: RawJson = "metadata",
        }
    }
}

payload! {
    /// The user opened a link for the first time.
    pub struct LinkOpened = "link.opened" {
        required {
            /// The link, `link_…`.
            link_id: String = "linkId",
            /// Your reference for the user.
            reference_id: String = "referenceId",
            /// When, in RFC 3339.
            opened_at: String = "openedAt",
        }
        optional {
            /// What the user opened it with.
            device_info: DeviceInfo = "deviceInfo",
        }
    }
}

payload! {
    /// What a user opened a link with, as the device says.
    pub struct DeviceInfo {
        optional {
            /// The browser's own description.
            user_agent: String = "userAgent",
            /// The operating system.
            platform: String = "platform",
            /// The language, such as `es-MX`.
            language: String = "language",
        }
    }
}

payload! {
    /// Data of the user is missing. Without an answer before `expires_at` the
    /// user is asked in the widget.
    pub struct DataRequest = "user.data_request" {
        required {
            /// The request, `dr_…`.
            data_request_id: String = "dataRequestId",
            /// Your reference for the user.
            reference_id: String = "referenceId",
            /// The link, `link_…`.
            link_id: String = "linkId",
            /// What is wanted, such as `name.secondName`, `idNumber` or `dob`.
            required_fields: Vec<String> = "requiredFields",
            /// Where the answer goes. Your API key goes with it: see
            /// [`reply_endpoint_on`](Self::reply_endpoint_on).
            reply_endpoint: String = "replyEndpoint",
            /// Until when, in RFC 3339.
            expires_at: String = "expiresAt",
        }
    }
}

impl DataRequest {
    /// The URL to answer to, if it is `https` and lies exactly on `host`,
    /// usually [`API_HOST`] or [`SANDBOX_API_HOST`].
    ///
    /// The answer carries your API key to a URL that came with the payload, so
    /// a URL on another host, port or scheme, with a user name in it, or with
    /// characters that another reader of URLs could take differently, is none.
    /// Letters count in either case; `host` may have a port, which the URL
    /// must then name.
    ///
    /// ```
    /// use tower_webhooks_core::providers::m2m::{API_HOST, DataRequest};
    ///
    /// let request: DataRequest = serde_json::from_str(r#"{
    ///     "dataRequestId": "dr_1", "referenceId": "user_1", "linkId": "link_1",
    ///     "requiredFields": ["dob"], "expiresAt": "2026-03-02T11:30:00.000Z",
    ///     "replyEndpoint": "https://api.m2m.leapfinancial.com.evil.example/partner"
    /// }"#)?;
    /// assert_eq!(request.reply_endpoint_on(API_HOST), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn reply_endpoint_on(&self, host: &str) -> Option<&str> {
        let url = self.reply_endpoint.as_str();
        let one_reading = url
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if !one_reading {
            return None;
        }
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let same = uri.scheme() == Some(&UriScheme::HTTPS) && authority.eq_ignore_ascii_case(host);
        same.then_some(url)
    }
}

payload! {
    /// The user completed a transfer.
    pub struct OperationCreated = "operation.created" {
        required {
            /// The operation.
            operation_id: String = "operationId",
            /// Your reference for the user.
            reference_id: String = "referenceId",
            /// What was sent, what arrives and what it costs.
            amount: OperationAmount = "amount",
            /// The operation's state.
            status: String = "status",
            /// When, in RFC 3339.
            created_at: String = "createdAt",
        }
    }
}

payload! {
    /// The amounts of an operation. Their currencies are not documented.
    pub struct OperationAmount {
        required {
            /// What the user sends.
            send: Amount = "send",
            /// What arrives.
            receive: Amount = "receive",
            /// What it costs.
            fee: Amount = "fee",
        }
    }
}

payload! {
    /// The user cancelled a transfer: reverse what you hold for it.
    pub struct OperationCancelled = "operation.cancelled" {
        required {
            /// The operation.
            operation_id: String = "operationId",
            /// Your reference for the user.
            reference_id: String = "referenceId",
        }
    }
}

const LINK_CREATED: &str = r#"{"event":"link.created","timestamp":"2026-03-02T10:20:00.000Z","data":{"linkId":"link_acme_x9y8z7w6v5u4","referenceId":"user_12345","url":"https://m2m.leapfinancial.com/l/x9y8z7w6v5u4","status":"created","expiresAt":"2026-03-02T11:20:00.000Z","createdAt":"2026-03-02T10:20:00.000Z"}}"#;

const LINK_OPENED: &str = r#"{"event":"link.opened","timestamp":"2026-03-02T10:25:00.000Z","data":{"linkId":"link_acme_x9y8z7w6v5u4","referenceId":"user_12345","openedAt":"2026-03-02T10:25:00.000Z","deviceInfo":{"userAgent":"Mozilla/5.0","platform":"iOS","language":"es-MX"}}}"#;

const DATA_REQUEST: &str = r#"{"event":"user.data_request","timestamp":"2026-03-02T10:30:00.000Z","data":{"dataRequestId":"dr_acme_a1b2c3d4e5f6","referenceId":"user_12345","linkId":"link_acme_x9y8z7w6v5u4","requiredFields":["name.secondName","idNumber","idType","dob"],"replyEndpoint":"https://api.m2m.leapfinancial.com/partner/data-requests/dr_acme_a1b2c3d4e5f6","expiresAt":"2026-03-02T11:30:00.000Z"}}"#;

const OPERATION_CREATED: &str = r#"{"event":"operation.created","timestamp":"2026-03-02T10:40:00.000Z","data":{"operationId":"op_acme_m1n2o3p4q5r6","referenceId":"user_12345","amount":{"send":100.5,"receive":1725.58,"fee":2.99},"status":"created","createdAt":"2026-03-02T10:40:00.000Z"}}"#;

const OPERATION_CANCELLED: &str = r#"{"event":"operation.cancelled","timestamp":"2026-03-02T10:45:00.000Z","data":{"operationId":"op_acme_m1n2o3p4q5r6","referenceId":"user_12345"}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn request_to(reply_endpoint: &str) -> DataRequest {
        serde_json::from_value(serde_json::json!({
            "dataRequestId": "dr_1",
            "referenceId": "user_1",
            "linkId": "link_1",
            "requiredFields": ["dob"],
            "replyEndpoint": reply_endpoint,
            "expiresAt": "2026-03-02T11:30:00.000Z",
        }))
        .unwrap()
    }

    #[test]
    fn a_reply_goes_to_the_configured_host() {
        for url in [
            "https://api.m2m.leapfinancial.com/partner/data-requests/dr_1",
            "https://api.m2m.leapfinancial.com",
            "https://api.m2m.leapfinancial.com?x=@evil.example",
            "https://api.m2m.leapfinancial.com/#@evil.example",
            "https://API.M2M.LeapFinancial.com/partner",
            "HTTPS://api.m2m.leapfinancial.com/partner",
        ] {
            assert_eq!(request_to(url).reply_endpoint_on(API_HOST), Some(url));
        }
        let on_port = request_to("https://localhost:8443/reply");
        assert!(on_port.reply_endpoint_on("localhost:8443").is_some());
        assert!(on_port.reply_endpoint_on("localhost").is_none());
    }

    #[test]
    fn a_reply_goes_nowhere_else() {
        for url in [
            "http://api.m2m.leapfinancial.com/partner",
            "ftp://api.m2m.leapfinancial.com/partner",
            "https://evil.example/partner",
            "https://api.m2m.leapfinancial.com.evil.example/partner",
            "https://evil-api.m2m.leapfinancial.com/partner",
            "https://api.m2m.leapfinancial.com@evil.example/partner",
            "https://api.m2m.leapfinancial.com:x@evil.example/partner",
            "https://user@api.m2m.leapfinancial.com/partner",
            "https://user:pass@api.m2m.leapfinancial.com/partner",
            "https://api.m2m.leapfinancial.com:8443/partner",
            "https://api.m2m.leapfinancial.com:443/partner",
            "https://api.m2m.leapfinancial.com:/partner",
            "https://api.m2m.leapfinancial.com./partner",
            "https://api.m2m.leapfinancial.com\\@evil.example/partner",
            "https://evil.example\\@api.m2m.leapfinancial.com/partner",
            "https:\\\\api.m2m.leapfinancial.com/partner",
            "https://api.m2m.leapfinancial.com\t.evil.example/partner",
            "https://api.m2m.leapfinancial.com/par\ntner",
            " https://api.m2m.leapfinancial.com/partner",
            "https://api.m2m.leapfinancial.com%2eevil.example/partner",
            "https://api%2em2m.leapfinancial.com/partner",
            "https://api.m2m.leapfinanciaⅼ.com/partner",
            "https://api。m2m。leapfinancial。com/partner",
            "https://api.m2m.leapfinancial.com/pärtner",
            "https://api.m2m.leapfinancial.com/#\t@evil.example",
            "https://[::1]/partner",
            "https:/api.m2m.leapfinancial.com/partner",
            "https:api.m2m.leapfinancial.com/partner",
            "https:///api.m2m.leapfinancial.com/partner",
            "//api.m2m.leapfinancial.com/partner",
            "api.m2m.leapfinancial.com",
            "/partner",
            "javascript://api.m2m.leapfinancial.com/",
            "",
        ] {
            assert_eq!(request_to(url).reply_endpoint_on(API_HOST), None, "{url:?}");
        }
        let empty = request_to("https:///partner");
        assert_eq!(empty.reply_endpoint_on(""), None);
    }
}
