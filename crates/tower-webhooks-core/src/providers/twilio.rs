//! Twilio: messages and calls.
//!
//! # Sources
//!
//! github.com/twilio/twilio-node (spec/validation.spec.js), twilio-go
//! (client/request_validator_test.go),
//! www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides and
//! github.com/hookdeck/webhook-skills (skills/twilio-webhooks), read 2026-11-22 from stored
//! copies.
//!
//! # What the signature covers
//!
//! `X-Twilio-Signature` is the HMAC-SHA1 in base64 of the URL that Twilio called and then, for
//! a form, its fields sorted by name, names and values in one row; keyed with the text of the
//! auth token. The URL is the configured public one with the request's query, with its port or
//! without. A body that is no form is covered by its SHA-256 in the query's `bodySHA256`.
//!
//! Nothing stands between the fields: who captured a request can cut the row into other names
//! and values, and send it in another order. Each of these is known as the one that was
//! captured, since an event is told by the row that is signed, and its id counts as unsigned.
//!
//! # What is left open
//!
//! The retry schedule: it is set in the URL that Twilio is given, and is one attempt more for a
//! connection that fails. The event has no type: its status is taken for one. A body that is no
//! form is verified and names no event here: [`Provider::with_envelope`] reads it.
//!
//! A message or a recording in one status is one event. A call is not: `<Gather>`, `<Record>`
//! and `<Redirect>` ask several times under one `CallSid` and one status. What Twilio posts
//! about a call is therefore known by its body: status callbacks differ by their
//! `SequenceNumber`, answers of a caller by what was said or typed. **Two equal answers in one
//! call are one event** for 72 h, and `I-Twilio-Idempotency-Token`, which would tell them apart,
//! is not signed.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Algorithm, BodyFormat, Encoding, Envelope, EventInfo, Events, HmacScheme, Locator,
        LocatorPart, Part, Place, Retries, Scheme, UrlForm,
    },
    providers::UNDATED,
};

/// The preset for Twilio. Needs the public URL.
#[must_use]
pub fn twilio() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-twilio-signature"))
        .with_algorithm(Algorithm::Sha1)
        .with_encoding(Encoding::Base64)
        .with_signed([
            Part::UrlAs(UrlForm::WithOrWithoutPort),
            Part::Form {
                body_digest: "bodySHA256".to_owned(),
            },
        ]);
    let status = [
        "/MessageStatus",
        "/SmsStatus",
        "/RecordingStatus",
        "/CallStatus",
    ];
    let sid = ["/RecordingSid", "/MessageSid", "/SmsSid"];
    Provider::new(
        "twilio",
        Scheme::Hmac(scheme),
        Envelope::new(Locator::joined("", [LocatorPart::any(status)]))
            .with_optional_id(Locator::joined(
                ":",
                [
                    LocatorPart::any([Place::EventType]),
                    LocatorPart::any(sid),
                ],
            ))
            .with_format(BodyFormat::Form),
    )
    .with_title("Twilio")
    .with_source("github.com/twilio/twilio-node and twilio-go, and www.twilio.com/docs/usage/webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("delivered", MESSAGE_DELIVERED),
        EventInfo::new("queued", MESSAGE_QUEUED),
        EventInfo::new("sending", MESSAGE_SENDING),
        EventInfo::new("sent", MESSAGE_SENT),
        EventInfo::new("undelivered", MESSAGE_UNDELIVERED),
        EventInfo::new("failed", MESSAGE_FAILED),
        EventInfo::new("ringing", CALL_RINGING),
        EventInfo::new("in-progress", CALL_IN_PROGRESS),
        EventInfo::new("completed", CALL_COMPLETED),
        EventInfo::new("busy", CALL_BUSY),
        EventInfo::new("no-answer", CALL_NO_ANSWER),
        EventInfo::new("canceled", CALL_CANCELED),
    ]))
    .with_retries(Retries::default().with_deadline(Duration::from_secs(15)))
    .with_not_covered([
        "where one field ends and the next begins",
        UNDATED,
        "all headers and the method",
    ])
    .with_assumptions([
        "the status is taken for the type, and the status with the resource's id for the event's id",
        "a call's SID is not taken for an id, since a call asks several times: the body's SHA-256 stands in",
        "the retry schedule is set in the URL: duplicates are known for 72 h",
    ])
}

const MESSAGE_DELIVERED: &str = r#"AccountSid=AC1&From=%2B14155552671&MessageSid=SM1&MessageStatus=delivered&To=%2B14155552672"#;

const MESSAGE_QUEUED: &str =
    r#"AccountSid=AC1&From=%2B14155552671&MessageSid=SM1&MessageStatus=queued&To=%2B14155552672"#;

const MESSAGE_SENDING: &str =
    r#"AccountSid=AC1&From=%2B14155552671&MessageSid=SM1&MessageStatus=sending&To=%2B14155552672"#;

const MESSAGE_SENT: &str =
    r#"AccountSid=AC1&From=%2B14155552671&MessageSid=SM1&MessageStatus=sent&To=%2B14155552672"#;

const MESSAGE_UNDELIVERED: &str = r#"AccountSid=AC1&ErrorCode=30003&From=%2B14155552671&MessageSid=SM1&MessageStatus=undelivered&To=%2B14155552672"#;

const MESSAGE_FAILED: &str = r#"AccountSid=AC1&ErrorCode=30008&From=%2B14155552671&MessageSid=SM1&MessageStatus=failed&To=%2B14155552672"#;

const CALL_RINGING: &str = r#"AccountSid=AC1&CallSid=CA1&CallStatus=ringing&Direction=outbound-api&From=%2B14155552671&To=%2B14155552672"#;

const CALL_IN_PROGRESS: &str = r#"AccountSid=AC1&CallSid=CA1&CallStatus=in-progress&Direction=outbound-api&From=%2B14155552671&To=%2B14155552672"#;

const CALL_COMPLETED: &str = r#"AccountSid=AC1&CallSid=CA1&CallStatus=completed&Direction=outbound-api&From=%2B14155552671&To=%2B14155552672"#;

const CALL_BUSY: &str = r#"AccountSid=AC1&CallSid=CA1&CallStatus=busy&Direction=outbound-api&From=%2B14155552671&To=%2B14155552672"#;

const CALL_NO_ANSWER: &str = r#"AccountSid=AC1&CallSid=CA1&CallStatus=no-answer&Direction=outbound-api&From=%2B14155552671&To=%2B14155552672"#;

const CALL_CANCELED: &str = r#"AccountSid=AC1&CallSid=CA1&CallStatus=canceled&Direction=outbound-api&From=%2B14155552671&To=%2B14155552672"#;
