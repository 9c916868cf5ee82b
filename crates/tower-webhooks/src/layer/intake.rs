//! From a delivery to a durable event.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, header};
use tokio::sync::Notify;
use tower_webhooks_core::{Delivery, Provider, RejectionKind, Text};
use tower_webhooks_inbox::{Committer, InboxError, InboxErrorKind, Inserted, NewEvent, Pending};

use super::{budget::BytePermit, gate::Gate, meter::Meter};
use crate::{
    endpoint::Common,
    router::{ReplyRoute, Routes},
};

/// Where an endpoint's deliveries go.
pub(crate) struct Intake {
    pub(crate) endpoint: Text,
    pub(crate) committer: Committer,
    pub(crate) routes: Arc<Routes>,
    pub(crate) meter: Arc<Meter>,
    /// What reply handlers take as `Extension<T>`.
    pub(crate) extensions: Extensions,
    /// Told whenever a reply has been recorded.
    pub(crate) decided: Arc<Notify>,
    id_signed: bool,
    type_signed: bool,
    dedup_span: Duration,
}

/// Of the connection, and of no use to a handler.
const LEFT_OUT: [http::HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TRANSFER_ENCODING,
];

impl Intake {
    /// Takes in what passes the gate.
    pub(crate) fn new(
        gate: &Gate,
        common: &Common,
        routes: Arc<Routes>,
        dedup_span: Option<Duration>,
    ) -> Self {
        let provider = &gate.provider;
        Self {
            endpoint: gate.name.clone(),
            committer: common.committer.clone(),
            extensions: common.extensions.clone(),
            routes,
            meter: Arc::clone(&gate.meter),
            decided: Arc::new(Notify::new()),
            id_signed: provider.binds_id(),
            type_signed: !provider.has_type_in_unsigned_header(),
            dedup_span: dedup_span.unwrap_or_else(|| provider.dedup_span()),
        }
    }

    /// The reply handler for a delivery, if its type has one. A body that names
    /// no type could be one that wants a decision: it gets the first default.
    pub(crate) fn reply_for(&self, delivery: &Delivery) -> Option<&ReplyRoute> {
        match delivery.event() {
            Ok(event) => self.routes.reply_for(event.event_type()),
            Err(_) => self.routes.first_reply(),
        }
    }

    pub(crate) fn event(&self, delivery: &Delivery, headers: &HeaderMap) -> NewEvent {
        let mut event = NewEvent::new(
            self.endpoint.clone(),
            delivery.body().clone(),
            delivery.received_at(),
        );
        event.tenant = delivery.tenant().cloned();
        event.secret_label = delivery.secret_label().cloned();
        event.id_signed = self.id_signed;
        event.type_signed = self.type_signed;
        event.dedup_span = self.dedup_span;
        event.headers = kept(delivery.provider(), headers);
        match delivery.event() {
            Ok(head) => {
                event.event_type = Some(head.event_type().clone());
                event.id = head.id().cloned();
                event.occurred_at = head.occurred_at();
                event.ordering_key = head.ordering_key().cloned();
            }
            Err(reason) => event.unusable = Some(Text::from_static(reason.as_str())),
        }
        event
    }

    /// Hands the event over, without waiting: from here on it is stored, and
    /// counted, whether or not the client stays.
    pub(crate) fn store(
        &self,
        delivery: &Delivery,
        headers: &HeaderMap,
        permit: BytePermit,
    ) -> Result<Storing, RejectionKind> {
        let meter = Arc::clone(&self.meter);
        let endpoint = self.endpoint.clone();
        let stored = move |inserted| {
            meter.stored(inserted);
            if let Inserted::Conflict { seq } = inserted {
                tracing::warn!(
                    endpoint = %endpoint,
                    seq = seq.0,
                    "an event came again with another body; it is stored apart and not handled"
                );
            }
            drop(permit);
        };
        self.committer
            .insert_then(self.event(delivery, headers), stored)
            .map(Storing)
            .map_err(|error| refused(&error))
    }
}

fn kept(provider: &Provider, headers: &HeaderMap) -> Arc<[(Text, Bytes)]> {
    headers
        .iter()
        .filter(|(name, _)| !provider.is_credential(name) && !LEFT_OUT.contains(name))
        .map(|(name, value)| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            (Text::from(name.as_str()), value)
        })
        .collect()
}

/// What an inbox's failure means for the sender: come back later.
pub(crate) fn refused(error: &InboxError) -> RejectionKind {
    match error.kind() {
        InboxErrorKind::Closed => RejectionKind::Draining,
        _ => {
            tracing::error!(
                error = %error,
                cause = std::error::Error::source(error).map(tracing::field::display),
                "an event was not stored"
            );
            RejectionKind::InboxUnavailable
        }
    }
}

/// Waits until the event is durable.
#[derive(Debug)]
pub(crate) struct Storing(Pending<Inserted>);

impl Storing {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RejectionKind>> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|stored| stored.map(|_| ()).map_err(|error| refused(&error)))
    }
}
