//! HubSpot: contacts, companies and deals.
//!
//! # Sources
//!
//! github.com/HubSpot/hubspot-api-nodejs (test/unit/signature.spec.ts) and
//! developers.hubspot.com/docs/api-reference/legacy/webhooks/guide (payloads, retries), read
//! 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-HubSpot-Signature-v3` is the HMAC-SHA256 in base64 of the method, the URL that HubSpot
//! called, the raw body and the text of `X-HubSpot-Request-Timestamp` (milliseconds since
//! 1970), keyed with the text of the client secret. The URL is the configured public one with
//! the request's query, as it is or with some escapes undone. Versions 1 and 2, plain digests,
//! are not looked at.
//!
//! # What is left open
//!
//! The single retries: there are up to ten within 24 hours. One delivery holds several events;
//! `attemptNumber` in each counts its redeliveries, and that alone makes no other event.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Encoding, Envelope, EventInfo, Events, HmacScheme, Locator, LocatorPart, Part, Retries,
        Scheme, SignedTimestamp, TimeUnit, UrlForm,
    },
};

/// The preset for HubSpot. Needs the public URL.
#[must_use]
pub fn hubspot() -> Provider {
    let timestamp =
        SignedTimestamp::in_header(HeaderName::from_static("x-hubspot-request-timestamp"))
            .with_unit(TimeUnit::Milliseconds);
    let scheme = HmacScheme::new(HeaderName::from_static("x-hubspot-signature-v3"))
        .with_encoding(Encoding::Base64)
        .with_signed([
            Part::Method,
            Part::UrlAs(UrlForm::Unescaped),
            Part::Body,
            Part::Timestamp,
        ])
        .with_timestamp(timestamp);
    Provider::new(
        "hubspot",
        Scheme::Hmac(scheme),
        Envelope::new("/*/subscriptionType")
            .with_id(Locator::joined(
                ":",
                [
                    "/*/eventId",
                    "/*/subscriptionId",
                    "/*/occurredAt",
                ]
                .map(|place| LocatorPart::any([place])),
            ))
            .with_time("/*/occurredAt")
            .with_time_unit(TimeUnit::Milliseconds)
            .with_data("/*")
            .with_batch("/*")
            .with_changing_fields(["/*/attemptNumber"]),
    )
    .with_title("HubSpot")
    .with_source("github.com/HubSpot/hubspot-api-nodejs and developers.hubspot.com/docs/api-reference/legacy/webhooks/guide, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("contact.creation", CONTACT_CREATION),
        EventInfo::new("contact.propertyChange", CONTACT_PROPERTY_CHANGE),
        EventInfo::new("contact.deletion", CONTACT_DELETION),
        EventInfo::new("company.creation", COMPANY_CREATION),
        EventInfo::new("company.propertyChange", COMPANY_PROPERTY_CHANGE),
        EventInfo::new("deal.creation", DEAL_CREATION),
        EventInfo::new("deal.propertyChange", DEAL_PROPERTY_CHANGE),
        EventInfo::new("ticket.creation", TICKET_CREATION),
    ]))
    .with_retries(
        Retries::within(Duration::from_secs(24 * 60 * 60)).with_deadline(Duration::from_secs(5)),
    )
    .with_not_covered(["all other headers"])
    .with_assumptions([
        "eventId alone is not taken for unique: subscription and time are part of the id",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

const CONTACT_CREATION: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW"}]"#;

const CONTACT_PROPERTY_CHANGE: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":123,"changeSource":"CRM","propertyName":"name","propertyValue":"Acme"}]"#;

const CONTACT_DELETION: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"contact.deletion","attemptNumber":0,"objectId":123,"changeSource":"CRM"}]"#;

const COMPANY_CREATION: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"company.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW"}]"#;

const COMPANY_PROPERTY_CHANGE: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"company.propertyChange","attemptNumber":0,"objectId":123,"changeSource":"CRM","propertyName":"name","propertyValue":"Acme"}]"#;

const DEAL_CREATION: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"deal.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW"}]"#;

const DEAL_PROPERTY_CHANGE: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"deal.propertyChange","attemptNumber":0,"objectId":123,"changeSource":"CRM","propertyName":"dealstage","propertyValue":"closedwon"}]"#;

const TICKET_CREATION: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1772447400000,"subscriptionType":"ticket.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW"}]"#;
