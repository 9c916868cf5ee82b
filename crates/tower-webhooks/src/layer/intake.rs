//! From a delivery to a durable event.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, header};
use tokio::{
    sync::Notify,
    time::{Sleep, sleep},
};
use tower_webhooks_core::{Delivery, Provider, RejectionKind, Text, Unusable};
use tower_webhooks_inbox::{
    Committer, Headers, InboxError, InboxErrorKind, Inserted, NewEvent, Pending,
};

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
    store_timeout: Duration,
}

/// What an event takes in memory beside headers and body, on its way into the inbox.
const EVENT_BYTES: usize = 512;

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
            type_signed: !provider.tells_bodies_apart_by_type(),
            dedup_span: dedup_span.unwrap_or_else(|| provider.dedup_span()),
            store_timeout: common.store_timeout,
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
        self.event_with(delivery, kept(delivery.provider(), headers))
    }

    fn event_with(&self, delivery: &Delivery, headers: Headers) -> NewEvent {
        let mut event = NewEvent::new(
            self.endpoint.clone(),
            delivery.body().clone(),
            delivery.received_at(),
        );
        event.tenant = delivery.tenant().cloned();
        event.secret_label = delivery.secret_label().cloned();
        event.payload_label = delivery.payload_label().cloned();
        event.id_signed = self.id_signed;
        event.type_signed = self.type_signed;
        event.dedup_span = self.dedup_span;
        event.headers = headers;
        // Names share the memory of what they were read from: of the body, which
        // is stored, or of what was restored from it, which is not.
        let own = |text: &Text| match delivery.restored_bytes() {
            0 => text.clone(),
            _ => Text::from(text.as_str()),
        };
        match delivery.event() {
            Ok(head) => {
                event.event_type = Some(own(head.event_type()));
                event.id = head.id().map(own);
                event.occurred_at = head.occurred_at();
                event.ordering_key = head.ordering_key().map(own);
            }
            Err(reason) => event.unusable = Some(Text::from_static(reason.as_str())),
        }
        if let Some(sha256) = delivery.content_sha256() {
            event.hash_content(Some(sha256));
        }
        event
    }

    /// Hands the event over, or all events of a delivery that holds several, without
    /// waiting: from here on they are stored, and counted, whether or not the client
    /// stays.
    pub(crate) fn store(
        &self,
        delivery: &Delivery,
        headers: &HeaderMap,
        mut permit: BytePermit,
    ) -> Result<Storing, RejectionKind> {
        let count = self.counter();
        let handed_over = if delivery.event() == Err(Unusable::Batch) {
            let events = self.each_event(delivery, headers, &mut permit)?;
            let stored = move |inserted: &[Inserted]| {
                inserted.iter().copied().for_each(count);
                drop(permit);
            };
            let pending = self.committer.insert_all_then(events, stored);
            pending.map(HandedOver::All)
        } else {
            let stored = move |inserted| {
                count(inserted);
                drop(permit);
            };
            let event = self.event(delivery, headers);
            let pending = self.committer.insert_then(event, stored);
            pending.map(HandedOver::One)
        };
        Ok(Storing {
            handed_over: handed_over.map_err(|error| refused(&error))?,
            limit: self.store_timeout,
            late: None,
        })
    }

    /// Each event of a delivery by itself.
    fn each_event(
        &self,
        delivery: &Delivery,
        headers: &HeaderMap,
        permit: &mut BytePermit,
    ) -> Result<Vec<NewEvent>, RejectionKind> {
        let mut headers = headers.clone();
        // What is kept of the body is plain.
        headers.remove(header::CONTENT_ENCODING);
        let headers = kept(delivery.provider(), &headers);
        let count = delivery.items().map_or(0, <[_]>::len);
        let mut events = Vec::new();
        for alone in (0..count).filter_map(|index| delivery.alone(index)) {
            if !permit.grow(alone.restored_bytes().saturating_add(EVENT_BYTES)) {
                return Err(RejectionKind::Overloaded);
            }
            events.push(self.event_with(&alone, Arc::clone(&headers)));
        }
        Ok(events)
    }

    /// Counts what was stored, and warns of conflicts.
    fn counter(&self) -> impl Fn(Inserted) + Send + use<> {
        let meter = Arc::clone(&self.meter);
        let endpoint = self.endpoint.clone();
        move |inserted| {
            meter.stored(inserted);
            if let Inserted::Conflict { seq } = inserted {
                tracing::warn!(
                    endpoint = %endpoint,
                    seq = seq.0,
                    "an event came again with another body; it is stored apart and not handled"
                );
            }
        }
    }
}

fn kept(provider: &Provider, headers: &HeaderMap) -> Headers {
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

/// Waits until the event is durable, or all events of a delivery are; not for ever,
/// since the inbox may have fallen silent.
#[derive(Debug)]
pub(crate) struct Storing {
    handed_over: HandedOver,
    limit: Duration,
    /// Set when there is something to wait for.
    late: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum HandedOver {
    All(Pending<Vec<Inserted>>),
    One(Pending<Inserted>),
}

impl Storing {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RejectionKind>> {
        let stored = match &mut self.handed_over {
            HandedOver::All(pending) => Pin::new(pending).poll(cx).map_ok(|_| ()),
            HandedOver::One(pending) => Pin::new(pending).poll(cx).map_ok(|_| ()),
        };
        if let Poll::Ready(stored) = stored {
            return Poll::Ready(stored.map_err(|error| refused(&error)));
        }
        let limit = self.limit;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(late.as_mut().poll(cx));
        tracing::error!(
            waited = ?limit,
            "the inbox does not answer; whether the event is stored its redelivery will tell"
        );
        Poll::Ready(Err(RejectionKind::InboxUnavailable))
    }
}
