//! Delivers: signs, posts, waits, and tries again.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tower_webhooks_core::{Provider, Secret, SignedRequest, provider::SignedAnew};

use crate::{
    Attempt, Dispatch, EventSigner, Outcome, Registration, Sandbox, Schedule, State,
    api::devdraft::sealing,
    event::Outgoing,
    schedule::is_accepted,
    text::{new_id, rfc_3339},
};

/// What an attempt needs besides the registration, which may have changed
/// since.
#[derive(Debug)]
pub(crate) struct Shipment {
    id: String,
    registration: String,
    url: Option<String>,
    provider: Arc<Provider>,
    event: Outgoing,
    schedule: Schedule,
    /// The first attempt's request, where a redelivery repeats it.
    first: OnceLock<SignedRequest>,
}

impl Shipment {
    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let body = self.event.draft.body.len();
        let copies = if self.repeats() { 2 } else { 1 };
        body.saturating_mul(copies)
    }

    /// Whether a redelivery is the first attempt's request again.
    fn repeats(&self) -> bool {
        self.provider.retries().signed_anew == SignedAnew::No
    }
}

impl Sandbox {
    /// Begins to deliver; to `url`, where the event's object has its own.
    pub(crate) fn dispatch(
        &self,
        provider: &Arc<Provider>,
        registration: &Registration,
        url: Option<String>,
        event: Outgoing,
    ) -> String {
        let id = new_id("dsp");
        let dispatch = Dispatch {
            id: id.clone(),
            provider: provider.name().clone(),
            registration: registration.id.clone(),
            url: url.clone().unwrap_or_else(|| registration.url.clone()),
            event_type: event.event_type.clone(),
            event_id: event.event_id.clone(),
            state: State::Pending,
            attempts: Vec::new(),
        };
        let shipment = Arc::new(Shipment {
            id: id.clone(),
            registration: registration.id.clone(),
            url,
            schedule: Schedule::for_event(provider, &event.event_type),
            provider: Arc::clone(provider),
            event,
            first: OnceLock::new(),
        });
        self.inner.ledger.add(dispatch, Arc::clone(&shipment));
        let sandbox = self.clone();
        let task = self.spawn(async move { sandbox.deliver(&shipment).await });
        self.inner.ledger.set_task(&id, task);
        id
    }

    /// All attempts, until one is accepted or none is left.
    async fn deliver(&self, shipment: &Shipment) {
        self.attempt(shipment, false).await;
        for delay in &shipment.schedule.delays {
            if self.state_of(shipment) != Some(State::Pending) {
                return;
            }
            tokio::time::sleep(self.scaled(*delay)).await;
            // It may have been redelivered by hand meanwhile.
            if self.state_of(shipment) != Some(State::Pending) {
                return;
            }
            self.attempt(shipment, false).await;
        }
        self.inner.ledger.change(&shipment.id, |dispatch| {
            if dispatch.state == State::Pending {
                dispatch.state = State::Failed;
            }
        });
    }

    fn state_of(&self, shipment: &Shipment) -> Option<State> {
        Some(self.inner.ledger.find(&shipment.id)?.state)
    }

    /// One attempt, and what is to be remembered of it.
    pub(crate) async fn attempt(&self, shipment: &Shipment, by_hand: bool) {
        let after = self.inner.ledger.age(&shipment.id);
        let at = self.inner.clock.now();
        let registration = self.inner.book.find(&shipment.registration);
        let registration = registration.filter(|registration| registration.is_active);
        let is_gone = registration.is_none();
        let outcome = match registration {
            Some(registration) => self.post(shipment, &registration).await,
            None => Outcome::NotSent("its registration is gone or not active".to_owned()),
        };
        let took = self.inner.ledger.age(&shipment.id).saturating_sub(after);
        tracing::debug!(id = shipment.id, ?outcome, "attempted");
        self.inner.ledger.change(&shipment.id, |dispatch| {
            match &outcome {
                Outcome::Answered { status, .. } if is_accepted(&shipment.provider, *status) => {
                    dispatch.state = State::Delivered;
                }
                _ if is_gone && dispatch.state == State::Pending => {
                    dispatch.state = State::Cancelled;
                }
                _ => {}
            }
            dispatch.attempts.push(Attempt {
                at: rfc_3339(at),
                after,
                took,
                by_hand,
                outcome,
            });
        });
        if let (Some(told), Some(dispatch)) = (
            &self.inner.on_attempt.0,
            self.inner.ledger.find(&shipment.id),
        ) {
            told(&dispatch);
        }
    }

    async fn post(&self, shipment: &Shipment, registration: &Registration) -> Outcome {
        let url = shipment.url.as_deref().unwrap_or(&registration.url);
        let request = match shipment.first.get() {
            Some(first) => first.clone(),
            None => match self.sign(shipment, registration, url) {
                Ok(request) => request,
                Err(why) => return Outcome::NotSent(why),
            },
        };
        if shipment.repeats() {
            // Only the first attempt's stays.
            let _ = shipment.first.set(request.clone());
        }
        let SignedRequest { headers, body, .. } = request;
        let deadline = shipment.schedule.deadline;
        self.inner.carrier.post(url, headers, body, deadline).await
    }

    /// Where it is not documented whether a redelivery is dated and signed
    /// anew, it is: the choice that a tolerance does not refuse.
    fn sign(
        &self,
        shipment: &Shipment,
        registration: &Registration,
        url: &str,
    ) -> Result<SignedRequest, String> {
        let secret = |text: &str| Secret::new(text).map_err(|error| error.to_string());
        // Providers that name the key name it by something of their own.
        let signing = secret(registration.signing_secret())?.with_label(registration.id.clone());
        let provider = match registration.is_encrypted {
            true => Arc::new(sealing(&shipment.provider)),
            false => Arc::clone(&shipment.provider),
        };
        let mut signer = EventSigner::new(provider, signing, url);
        if let Some(text) = registration.payload_secret() {
            signer = signer.with_payload_secret(secret(text)?);
        }
        signer
            .sign(&shipment.event.draft, self.inner.clock.now())
            .map_err(|error| error.to_string())
    }

    fn scaled(&self, delay: Duration) -> Duration {
        let seconds = delay.as_secs_f64() / self.inner.time_scale;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}
