//! Unusable events, read anew.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use tower_webhooks_core::{Delivery, Opener, Provider, Restored};
use tower_webhooks_inbox::{
    EventSeq, EventState, Filter, Inbox, InboxError, Page, Reading, StoredEvent,
};

/// Reads what could not be read, now that the provider is described better.
pub(super) struct Reader {
    provider: Arc<Provider>,
    /// Where it encrypts its payloads.
    opener: Option<Opener>,
    /// Those that were looked at and are not behind us: what they say, or why
    /// they still say nothing.
    known: BTreeMap<EventSeq, Result<Reading, &'static str>>,
}

impl Reader {
    pub(super) fn new(provider: Arc<Provider>, opener: Option<Opener>) -> Self {
        Self {
            provider,
            opener,
            known: BTreeMap::new(),
        }
    }

    /// The readings of a page of the events chosen. Of as many unusable ones as
    /// the page has events, so that none that is on the page is missed.
    pub(super) async fn read(
        &mut self,
        inbox: &dyn Inbox,
        filter: &Filter,
        page: Page,
    ) -> Result<Vec<Reading>, InboxError> {
        let filter = Filter {
            state: Some(EventState::Unusable),
            // They have no jobs by which they could be found.
            handler: None,
            job_state: None,
            ..filter.clone()
        };
        self.known.retain(|seq, _| Some(*seq) > page.after);
        for listed in inbox.list(&filter, page).await?.events {
            let seq = listed.event.seq;
            if !self.known.contains_key(&seq)
                && let Some(record) = inbox.get(seq).await?
                && let Some(reading) = self.restore(&record.event)
            {
                self.known.insert(seq, reading);
            }
        }
        let readings = self.known.values();
        Ok(readings.filter_map(|one| one.clone().ok()).collect())
    }

    /// Why this one could not be read again, if it was tried.
    pub(super) fn reason(&self, seq: EventSeq) -> Option<&'static str> {
        let tried = self.known.get(&seq)?;
        tried.as_ref().err().copied()
    }

    /// None if the body has gone.
    fn restore(&self, event: &StoredEvent) -> Option<Result<Reading, &'static str>> {
        let mut restored = Restored::new(event.body.clone()?, event.received_at);
        restored.tenant.clone_from(&event.tenant);
        restored.secret_label.clone_from(&event.secret_label);
        restored.headers = headers(event);
        // The inbox took it from a receiver, which had checked it.
        let provider = Arc::clone(&self.provider);
        let delivery = match &self.opener {
            Some(opener) => Delivery::insecure_restore_sealed(provider, restored, opener),
            None => Delivery::insecure_restore(provider, restored),
        };
        let reading = delivery.event().map(|head| {
            let mut reading = Reading::new(event.seq);
            reading.event_type = Some(head.event_type().clone());
            reading.type_signed = !self.provider.tells_bodies_apart_by_type();
            reading.id = head.id().cloned();
            reading.occurred_at = head.occurred_at();
            reading.ordering_key = head.ordering_key().cloned();
            reading
        });
        Some(reading.map_err(|reason| reason.as_str()))
    }
}

/// The headers that were kept. They were headers once, so none is left out.
fn headers(event: &StoredEvent) -> HeaderMap {
    let pairs = event.headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(value.clone()).ok()?;
        Some((name, value))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}
