//! The typed event.

use std::{any::type_name, error::Error, fmt, time::SystemTime};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request};
use serde::de::DeserializeOwned;
use tower_webhooks_core::{Delivery, EventHead, Text};
use tower_webhooks_inbox::{NewEvent, body_key};

use super::{FromJob, decode::decode};
use crate::{HandlerError, Job};

/// An event with its payload decoded as `T`.
///
/// As argument of a handler: a payload that does not fit is dead at once, with
/// the path to where it does not, since another attempt would find the same.
/// As argument of an axum handler behind a verifying layer: it is answered
/// with 422.
///
/// `Event<Box<RawValue>>` (serde_json's) takes the payload as it was written.
#[derive(Debug, Clone)]
pub struct Event<T> {
    /// The payload: the part of the body that the provider's description calls
    /// the event's data.
    pub data: T,
    id: Text,
    head: EventHead,
    delivery: Delivery,
}

impl<T> Event<T> {
    /// The event's id: the provider's, or where it sends none a key made of
    /// the body; a key of both where the id is not signed and was another body's
    /// before. The same for every attempt, redelivery and replay, so it serves as
    /// an idempotency key.
    #[must_use]
    pub fn id(&self) -> &Text {
        &self.id
    }

    /// The event's type as the provider spells it.
    #[must_use]
    pub fn event_type(&self) -> &Text {
        self.head.event_type()
    }

    /// When it happened, if the provider says so.
    #[must_use]
    pub fn occurred_at(&self) -> Option<SystemTime> {
        self.head.occurred_at()
    }

    /// When its delivery was first received here.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.delivery.received_at()
    }

    /// Whose event it is, at an endpoint with tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&Text> {
        self.delivery.tenant()
    }

    /// The delivery that carried it.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The same event with its payload turned into something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Event<U> {
        Event {
            data: turn(self.data),
            id: self.id,
            head: self.head,
            delivery: self.delivery,
        }
    }
}

impl<T: DeserializeOwned> Event<T> {
    fn decode(delivery: &Delivery, id: impl FnOnce() -> Text) -> Result<Self, Unfit> {
        let head = delivery
            .event()
            .map_err(|unusable| Unfit(unusable.to_string()))?;
        let data = decode(head.data()).map_err(|misfit| Unfit(misfit.to_string()))?;
        Ok(Self {
            data,
            id: id(),
            head: head.clone(),
            delivery: delivery.clone(),
        })
    }
}

impl<S: Sync, T: DeserializeOwned> FromJob<S> for Event<T> {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Self::decode(job.delivery(), || job.event_id().clone()).map_err(HandlerError::permanent)
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Event<T> {
    type Rejection = EventRejection;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, EventRejection> {
        let Some(delivery) = parts.extensions.get::<Delivery>() else {
            return Err(EventRejection(Kind::NoDelivery {
                wanted: type_name::<Self>(),
            }));
        };
        Self::decode(delivery, || event_id(delivery)).map_err(|unfit| {
            tracing::warn!(
                provider = %delivery.provider().name(),
                error = %unfit,
                "an authentic delivery does not fit the handler's payload type",
            );
            EventRejection(Kind::Unfit(unfit))
        })
    }
}

/// The provider's id, or the key that the inbox would give the event.
pub(crate) fn event_id(delivery: &Delivery) -> Text {
    let id = delivery.event().ok().and_then(EventHead::id);
    id.cloned().unwrap_or_else(|| {
        let mut event = NewEvent::new("", delivery.body().clone(), delivery.received_at());
        event.event_type = delivery.event().ok().map(|head| head.event_type().clone());
        event.type_signed = !delivery.provider().tells_bodies_apart_by_type();
        body_key(&event.hash_content(delivery.content_sha256()))
    })
}

#[derive(Debug, Clone)]
struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unfit {}

/// Why [`Event<T>`] could not be taken from a request.
///
/// A payload that does not fit answers 422 without detail: the path goes to
/// the log, not to the sender. A route without the layer answers 500 with what
/// its developer has to change.
#[derive(Debug, Clone)]
pub struct EventRejection(Kind);

#[derive(Debug, Clone)]
enum Kind {
    NoDelivery { wanted: &'static str },
    Unfit(Unfit),
}

impl EventRejection {
    /// The status that it answers with: 422 or 500.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.0 {
            Kind::NoDelivery { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl fmt::Display for EventRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::NoDelivery { wanted } => write!(
                f,
                "`{wanted}` was asked for on a route without a webhook layer: add `.layer(webhooks.layer(\"…\")?)` to it"
            ),
            Kind::Unfit(unfit) => unfit.fmt(f),
        }
    }
}

impl Error for EventRejection {}

impl IntoResponse for EventRejection {
    fn into_response(self) -> Response {
        let body = match self.0 {
            Kind::NoDelivery { .. } => self.to_string(),
            Kind::Unfit(_) => "the payload does not fit".to_owned(),
        };
        (self.status(), body).into_response()
    }
}
