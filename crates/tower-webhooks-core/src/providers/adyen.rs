//! Adyen: payments, by its standard notifications.
//!
//! # Sources
//!
//! github.com/Adyen/adyen-node-api-library (src/__tests__/hmacValidator.spec.ts),
//! adyen-java-api-library (HMACValidatorTest.java) and github.com/hookdeck/webhook-skills
//! (skills/adyen-webhooks); docs.adyen.com/development-resources/webhooks/troubleshoot (retry
//! queue); read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `additionalData.hmacSignature`, inside the body, is the HMAC-SHA256 in base64 of eight
//! fields of the notification with a colon between them: `pspReference`, `originalReference`,
//! `merchantAccountCode`, `merchantReference`, `amount.value`, `amount.currency`, `eventCode`
//! and `success`; an absent one is empty. The key is hexadecimal. **Every other field can be
//! changed by who captured a notification**: `reason`, `paymentMethod`, `eventDate` and what
//! else stands in `additionalData`. Colons inside a field are not escaped.
//!
//! Of the list of notifications only the first is read: with JSON there is never another, and
//! another would not be covered.
//!
//! # What is left open
//!
//! The retries beyond the ninth: the waits grow from two minutes to eight hours, and the oldest
//! notification is tried for 30 days. A notification has no id: the code, the reference and the
//! outcome stand in.

use std::time::Duration;

use crate::{
    Provider,
    provider::{
        Answer, Answers, Encoding, Envelope, EventInfo, Events, HmacScheme, KeyEncoding, Locator,
        LocatorPart, Part, Retries, Scheme,
    },
    providers::UNDATED_ID,
};

/// The one notification of a delivery.
const ITEM: &str = "/notificationItems/0/NotificationRequestItem";

/// The fields that are signed, in their order.
const SIGNED: [&str; 8] = [
    "/pspReference",
    "/originalReference",
    "/merchantAccountCode",
    "/merchantReference",
    "/amount/value",
    "/amount/currency",
    "/eventCode",
    "/success",
];

/// The preset for Adyen.
#[must_use]
pub fn adyen() -> Provider {
    let parts = SIGNED.iter().enumerate().flat_map(|(index, field)| {
        let colon = (index > 0).then(|| Part::literal(":"));
        colon
            .into_iter()
            .chain([Part::optional_field(format!("{ITEM}{field}"))])
    });
    let scheme = HmacScheme::in_body(format!("{ITEM}/additionalData/hmacSignature"))
        .with_encoding(Encoding::Base64)
        .with_key_encoding(KeyEncoding::Hex)
        .with_signed(parts);
    let at = |field: &str| LocatorPart::any([format!("{ITEM}{field}").as_str()]);
    Provider::new(
        "adyen",
        Scheme::Hmac(scheme),
        Envelope::new(format!("{ITEM}/eventCode").as_str())
            .with_id(Locator::joined(
                ":",
                [at("/eventCode"), at("/success"), at("/pspReference")],
            ))
            .with_time(format!("{ITEM}/eventDate").as_str())
            .with_data(ITEM),
    )
    .with_title("Adyen")
    .with_source("github.com/Adyen/adyen-node-api-library and adyen-java-api-library, and docs.adyen.com/development-resources/webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("AUTHORISATION", AUTHORISATION),
        EventInfo::new("CAPTURE", CAPTURE),
        EventInfo::new("CAPTURE_FAILED", CAPTURE_FAILED),
        EventInfo::new("REFUND", REFUND),
        EventInfo::new("REFUND_FAILED", REFUND_FAILED),
        EventInfo::new("CANCELLATION", CANCELLATION),
        EventInfo::new("CHARGEBACK", CHARGEBACK),
    ]))
    .with_retries(Retries::within(Duration::from_secs(30 * 24 * 60 * 60)))
    .with_answers(Answers::new(Answer::text(200, "[accepted]"), Answer::default()))
    .with_not_covered([
        "all fields but eight, and where one of the eight ends and the next begins",
        UNDATED_ID,
        "all headers, the method and the URL",
    ])
    .with_assumptions([
        "a notification has no id: its code, its reference and its outcome stand in",
        "the retries beyond the ninth are not known, only that they go on for 30 days",
    ])
}

const AUTHORISATION: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"AUTHORISATION","success":"true","eventDate":"2026-03-02T10:30:00+01:00","merchantAccountCode":"TestMerchant","pspReference":"7914073381342284","originalReference":"","merchantReference":"order-1","amount":{"value":1130,"currency":"EUR"},"paymentMethod":"visa","additionalData":{"hmacSignature":""}}}]}"#;

const CAPTURE: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"CAPTURE","success":"true","eventDate":"2026-03-02T10:30:00+01:00","merchantAccountCode":"TestMerchant","pspReference":"8825408195409505","originalReference":"7914073381342284","merchantReference":"order-1","amount":{"value":1130,"currency":"EUR"},"paymentMethod":"visa","additionalData":{"hmacSignature":""}}}]}"#;

const CAPTURE_FAILED: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"CAPTURE_FAILED","success":"true","eventDate":"2026-03-02T10:30:00+01:00","merchantAccountCode":"TestMerchant","pspReference":"8825408195409505","originalReference":"7914073381342284","merchantReference":"order-1","amount":{"value":1130,"currency":"EUR"},"paymentMethod":"visa","additionalData":{"hmacSignature":""}}}]}"#;

const REFUND: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"REFUND","success":"true","eventDate":"2026-03-02T10:30:00+01:00","merchantAccountCode":"TestMerchant","pspReference":"8825408195409505","originalReference":"7914073381342284","merchantReference":"order-1","amount":{"value":1130,"currency":"EUR"},"paymentMethod":"visa","additionalData":{"hmacSignature":""}}}]}"#;

const REFUND_FAILED: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"REFUND_FAILED","success":"true","eventDate":"2026-03-02T10:30:00+01:00","merchantAccountCode":"TestMerchant","pspReference":"8825408195409505","originalReference":"7914073381342284","merchantReference":"order-1","amount":{"value":1130,"currency":"EUR"},"paymentMethod":"visa","additionalData":{"hmacSignature":""}}}]}"#;

const CANCELLATION: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"CANCELLATION","success":"true","eventDate":"2026-03-02T10:30:00+01:00","merchantAccountCode":"TestMerchant","pspReference":"8825408195409505","originalReference":"7914073381342284","merchantReference":"order-1","amount":{"value":1130,"currency":"EUR"},"paymentMethod":"visa","additionalData":{"hmacSignature":""}}}]}"#;

const CHARGEBACK: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"CHARGEBACK","success":"true","eventDate":"2026-03-02T10:30:00+01:00","merchantAccountCode":"TestMerchant","pspReference":"8825408195409505","originalReference":"7914073381342284","merchantReference":"order-1","amount":{"value":1130,"currency":"EUR"},"paymentMethod":"visa","additionalData":{"hmacSignature":""}}}]}"#;
