use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{Extensions, HeaderName, HeaderValue};
use tower_webhooks_core::{Delivery, Opener, Provider, Restored, Secrets, SetupError, Text};
use tower_webhooks_inbox::EventSeq;

use crate::{Attempt, Job, Lease, extract::event_id, job::Parts, transaction::Transaction};

/// A job that no inbox holds, to call an extractor or a handler with.
///
/// The delivery is taken as authentic: nothing is signed, and nothing checked.
///
/// ```
/// use tower_webhooks::{Event, FromJob, HandlerError, providers, testing::TestJob};
///
/// #[derive(serde::Deserialize)]
/// struct Settled { amount: String }
///
/// async fn settled(event: Event<Settled>) -> Result<(), HandlerError> {
///     match event.data.amount.as_str() {
///         "0" => Err(HandlerError::permanent("nothing was settled")),
///         _ => Ok(()),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), HandlerError> {
/// let job = TestJob::new(
///     providers::mppcash(),
///     r#"{"type":"transfer.settled","data":{"amount":"0"}}"#,
/// )
/// .with_tenant("acme")
/// .build();
///
/// let event = Event::from_job(&job, &()).await?;
/// assert_eq!(event.tenant().unwrap(), "acme");
/// assert!(settled(event).await.unwrap_err().is_permanent());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "it is no job until it is built"]
pub struct TestJob {
    provider: Arc<Provider>,
    restored: Restored,
    opener: Option<Opener>,
    endpoint: Text,
    handler: Text,
    attempt: Attempt,
    extensions: Extensions,
    lease: Option<Lease>,
}

impl TestJob {
    /// The first and only attempt at what the provider sends with this body,
    /// received now at the endpoint `test` for the handler `test`.
    pub fn new(provider: impl Into<Arc<Provider>>, body: impl Into<Bytes>) -> Self {
        Self {
            provider: provider.into(),
            restored: Restored::new(body.into(), SystemTime::now()),
            opener: None,
            endpoint: Text::from_static("test"),
            handler: Text::from_static("test"),
            attempt: Attempt::new(1, 1),
            extensions: Extensions::new(),
            lease: None,
        }
    }

    /// Opens the payload of a provider that encrypts it, as a worker does. The secrets
    /// are the payloads' own, or the signing ones where these open the payloads. The
    /// body is then the sealed one, which [`Sender::signed`](super::Sender::signed) makes.
    /// Changes nothing for a provider that encrypts nothing.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when a secret does not fit the provider's cipher, or this build
    /// lacks the feature `encryption`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if cfg!(not(feature = "encryption")) { return Ok(()); }
    /// use tower_webhooks::{Event, FromJob, Secrets, providers, testing::{Sender, TestJob}};
    ///
    /// let key = "0123456789abcdef0123456789ABCDEF";
    /// let sealed = Sender::new(providers::devdraft_encrypted(), "signs")?
    ///     .payload_secret(key)?
    ///     .signed(r#"{"id":"evt_1","event_type":"payment.completed","created_at":"2026-11-22T10:00:00Z","data":{"n":1}}"#)?;
    ///
    /// let job = TestJob::new(providers::devdraft_encrypted(), sealed.into_body())
    ///     .with_payload_secrets(&Secrets::new(key)?)?
    ///     .build();
    /// let event: Event<serde_json::Value> = Event::from_job(&job, &()).await.unwrap();
    /// assert_eq!((event.id().as_str(), &event.data["n"]), ("evt_1", &1.into()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_payload_secrets(mut self, secrets: &Secrets) -> Result<Self, SetupError> {
        let encryption = self.provider.encryption();
        let opener = encryption.map(|encryption| Opener::new(encryption, secrets));
        self.opener = opener.transpose()?;
        Ok(self)
    }

    /// Replaces the endpoint's name.
    pub fn with_endpoint(mut self, endpoint: impl Into<Text>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Replaces the handler's durable name.
    pub fn with_handler(mut self, handler: impl Into<Text>) -> Self {
        self.handler = handler.into();
        self
    }

    /// Sets the tenant. The default is none.
    pub fn with_tenant(mut self, tenant: impl Into<Text>) -> Self {
        self.restored.tenant = Some(tenant.into());
        self
    }

    /// Replaces when the delivery was received.
    pub fn with_received_at(mut self, at: SystemTime) -> Self {
        self.restored.received_at = at;
        self
    }

    /// Adds a header that was kept with the delivery.
    pub fn add_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.restored.headers.append(name, value);
        self
    }

    /// Replaces which try this is, from 1, and how many there are at most.
    pub fn with_attempt(mut self, number: u32, max: u32) -> Self {
        self.attempt = Attempt::new(number, max);
        self
    }

    /// Sets the lease that it runs under: the event's number in the inbox, and the
    /// token. The default is none.
    pub fn with_lease(mut self, seq: EventSeq, token: u64) -> Self {
        self.lease = Some(Lease::new(seq, token));
        self
    }

    /// Adds a value that handlers take as `Extension<T>`. Another of the same
    /// type replaces it.
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// The job. Its event's id is the provider's, or the key that the inbox
    /// makes of the body.
    #[must_use]
    pub fn build(self) -> Job {
        let delivery = match &self.opener {
            Some(opener) => Delivery::insecure_restore_sealed(self.provider, self.restored, opener),
            None => Delivery::insecure_restore(self.provider, self.restored),
        };
        Job::new(Parts {
            event_id: event_id(&delivery),
            delivery,
            endpoint: self.endpoint,
            handler: self.handler,
            attempt: self.attempt,
            extensions: self.extensions,
            lease: self.lease,
            transaction: Transaction::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[cfg(feature = "encryption")]
    use tower_webhooks_core::{Unusable, providers};

    use super::*;
    use crate::fixtures;

    #[test]
    fn a_job_says_what_it_was_given() {
        let received_at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        let name = HeaderName::from_static("x-region");
        let job = TestJob::new(fixtures::provider(), fixtures::body("a", "evt_1", "1"))
            .with_received_at(received_at)
            .add_header(name.clone(), HeaderValue::from_static("eu"))
            .add_header(name.clone(), HeaderValue::from_static("us"))
            .with_endpoint("shop")
            .with_handler("ship")
            .with_attempt(2, 3)
            .with_lease(EventSeq(4), 5)
            .build();
        assert_eq!(job.event_id(), "evt_1");
        assert_eq!(job.delivery().received_at(), received_at);
        assert_eq!(job.delivery().tenant(), None);
        assert_eq!(job.delivery().headers().get_all(name).iter().count(), 2);
        assert_eq!((&**job.endpoint(), &**job.handler()), ("shop", "ship"));
        assert_eq!((job.attempt().number, job.attempt().max), (2, 3));
        assert_eq!(job.lease(), Some(Lease::new(EventSeq(4), 5)));
    }

    #[test]
    fn an_unusable_body_is_known_by_its_hash_as_in_the_inbox() {
        let job = TestJob::new(fixtures::provider(), "[]").build();
        assert!(job.delivery().event().is_err());
        assert_eq!(
            job.event_id(),
            "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
        );
    }

    #[cfg(feature = "encryption")]
    #[test]
    fn a_sealed_body_is_opened_by_the_key_that_sealed_it_and_by_no_other() {
        const KEY: &str = "0123456789abcdef0123456789ABCDEF";
        let provider = providers::devdraft_encrypted;
        let sender = crate::testing::Sender::new(provider(), "signs").unwrap();
        let plain = r#"{"id":"evt_1","event_type":"payment.completed","created_at":"2026-11-22T10:00:00Z","data":{}}"#;
        let sealed = sender.payload_secret(KEY).unwrap().signed(plain).unwrap();
        let job = |key: &str| {
            TestJob::new(provider(), sealed.body().clone())
                .with_payload_secrets(&Secrets::new(key).unwrap())
                .unwrap()
                .build()
        };
        assert_eq!(job(KEY).event_id(), "evt_1");
        assert_eq!(job(KEY).delivery().body(), sealed.body(), "as it came");
        let other = job(&KEY.to_uppercase());
        assert_eq!(other.delivery().event(), Err(Unusable::Undecryptable));
        let secrets = Secrets::new("short").unwrap();
        let unfit = TestJob::new(providers::wechat_pay(), "{}").with_payload_secrets(&secrets);
        assert!(matches!(unfit, Err(SetupError::Secret(_))));
    }
}
