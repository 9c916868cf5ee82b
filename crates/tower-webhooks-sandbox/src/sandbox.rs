//! The sandbox as a whole.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Router, middleware::from_fn_with_state};
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};
use tower_webhooks_core::{
    Clock, Opener, Provider, SecretPair, Secrets, SetupError, SystemClock, providers,
};

use crate::{
    Application, Dispatch, NewRegistration, Registration, State, Trigger, TriggerError, api,
    carrier::{Carrier, Reach},
    console,
    event::Outgoing,
    host::{Here, Hosts, guard},
    ledger::Ledger,
    limit::Limiter,
    registration::Book,
    text::{new_key, new_random, rfc_3339},
};

/// The provider's side: what is registered, what is sent, and what came of it.
///
/// A clone is the same sandbox. Dropping it stops nothing:
/// [`stop`](Self::stop) does.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) applications: Vec<Application>,
    pub(crate) book: Book,
    pub(crate) carrier: Carrier,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cryptomate: api::cryptomate::Till,
    pub(crate) hosts: Hosts,
    pub(crate) ledger: Ledger,
    pub(crate) limiter: Limiter,
    pub(crate) m2m: api::m2m::Links,
    pub(crate) on_attempt: OnAttempt,
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) time_scale: f64,
    tasks: Mutex<JoinSet<()>>,
}

/// Who is told of attempts.
pub(crate) struct OnAttempt(pub(crate) Option<Arc<Told>>);

type Told = dyn Fn(&Dispatch) + Send + Sync;

impl fmt::Debug for OnAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnAttempt").field(&self.0.is_some()).finish()
    }
}

/// Why a sandbox does not start, or cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No client for its deliveries can be made.
    #[error("no client for deliveries: {0}")]
    Carrier(String),
    /// The registrations cannot be read from their file or written to it, or would take
    /// more than 4 MiB.
    #[error("the registrations cannot be kept: {0}")]
    File(#[from] io::Error),
    /// That is no host name.
    #[error("{0} is no host name: give it without a port")]
    Host(String),
    /// There is no such application.
    #[error("there is no application {0}")]
    NoApplication(String),
    /// There is no such provider.
    #[error("there is no provider {0}")]
    NoProvider(String),
    /// The secret does not have the form that the provider's have, or this build
    /// lacks the feature of its algorithm.
    #[error("the secret: {0}")]
    Secret(String),
    /// The scale is no number above 0.
    #[error("the time scale is {0}: give a number above 0")]
    TimeScale(f64),
}

/// Settings of a sandbox.
#[derive(Debug)]
#[must_use = "it does nothing until it is started"]
pub struct SandboxBuilder {
    applications: Vec<Application>,
    clock: Arc<dyn Clock>,
    file: Option<PathBuf>,
    hosts: Vec<String>,
    on_attempt: OnAttempt,
    providers: Vec<Arc<Provider>>,
    reach: Reach,
    time_scale: f64,
}

impl SandboxBuilder {
    /// Divides all waits between attempts by this. The default is 1; with
    /// 8,640 a day takes ten seconds. Deadlines for an answer and the windows of
    /// rate limits stay as they are: a receiver's work takes real time.
    pub const fn with_time_scale(mut self, time_scale: f64) -> Self {
        self.time_scale = time_scale;
        self
    }

    /// Keeps registrations in this file, which holds their secrets. The
    /// default is memory. What was sent is always in memory.
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Replaces the applications. The default is one for each of the five
    /// providers, with all grants: see [`api`].
    pub fn with_applications(mut self, list: impl IntoIterator<Item = Application>) -> Self {
        self.applications = list.into_iter().collect();
        self
    }

    /// Adds an application.
    pub fn add_application(mut self, application: Application) -> Self {
        self.applications.push(application);
        self
    }

    /// Adds a provider of your own, or replaces the preset of that name.
    pub fn add_provider(mut self, provider: impl Into<Arc<Provider>>) -> Self {
        let provider = provider.into();
        self.providers
            .retain(|known| known.name() != provider.name());
        self.providers.push(provider);
        self
    }

    /// Lets the sandbox be called under this host name too, without a port: in a network
    /// of containers that is the name of its own. The default are the names that no page
    /// of a stranger can have: loopback addresses, `localhost` and, where
    /// [`serve`](Sandbox::serve) knows it, the address that a request came in at.
    pub fn add_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Replaces the clock that dates signatures and counts windows of rate
    /// limits. The default is the system's. Waits between attempts are the
    /// runtime's.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Is told of every attempt, the last of the dispatch's, right after it.
    pub fn on_attempt(mut self, told: impl Fn(&Dispatch) + Send + Sync + 'static) -> Self {
        self.on_attempt = OnAttempt(Some(Arc::new(told)));
        self
    }

    /// Lets deliveries leave this machine: whoever reaches the sandbox can
    /// then have it post to any URL.
    pub const fn insecure_reach_anywhere(mut self) -> Self {
        self.reach = Reach::Anywhere;
        self
    }

    /// A sandbox with these settings.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] when the scale or a host name is none, the file cannot be
    /// read, or no client can be made.
    pub fn start(self) -> Result<Sandbox, SandboxError> {
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return Err(SandboxError::TimeScale(self.time_scale));
        }
        Ok(Sandbox {
            inner: Arc::new(Inner {
                applications: self.applications,
                book: Book::open(self.file)?,
                carrier: Carrier::new(self.reach).map_err(SandboxError::Carrier)?,
                clock: self.clock,
                cryptomate: api::cryptomate::Till::default(),
                hosts: Hosts::new(&self.hosts).map_err(SandboxError::Host)?,
                ledger: Ledger::default(),
                limiter: Limiter::default(),
                m2m: api::m2m::Links::default(),
                on_attempt: self.on_attempt,
                providers: self.providers,
                time_scale: self.time_scale,
                tasks: Mutex::default(),
            }),
        })
    }
}

impl Sandbox {
    /// Settings: all presets, the five applications, memory, real time, this
    /// machine alone.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder {
            applications: api::applications(),
            clock: Arc::new(SystemClock),
            file: None,
            hosts: Vec::new(),
            on_attempt: OnAttempt(None),
            providers: providers::all().into_iter().map(Arc::new).collect(),
            reach: Reach::Loopback,
            time_scale: 1.0,
        }
    }

    /// What its HTTP server answers: the providers' management APIs, each
    /// under the provider's name, and the sandbox's own calls. A request that names a
    /// host which is not allowed, or none, and one of another site's page are answered
    /// 403: see [`SandboxBuilder::add_host`].
    pub fn router(&self) -> Router {
        api::router()
            .merge(console::router())
            .with_state(self.clone())
            .layer(from_fn_with_state(self.clone(), guard))
    }

    /// Serves its [`router`](Self::router) until the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of the listener.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let service = self.router().into_make_service_with_connect_info::<Here>();
        axum::serve(listener, service).await
    }

    /// The provider of that name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<Arc<Provider>> {
        let mut providers = self.inner.providers.iter();
        providers.find(|known| known.name() == name).cloned()
    }

    /// Every provider.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.inner.providers
    }

    /// Registers an endpoint, as on the page of a provider's portal.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] when there is no such provider or application, a secret
    /// is none for this provider, or the file cannot be written.
    pub fn register(&self, mut new: NewRegistration) -> Result<Registration, SandboxError> {
        let Some(provider) = self.provider(&new.provider) else {
            return Err(SandboxError::NoProvider(new.provider));
        };
        let application = match &new.application {
            Some(name) => self
                .inner
                .applications
                .iter()
                .find(|known| known.provider == new.provider && known.name == *name)
                .map(|known| known.name.clone())
                .ok_or_else(|| SandboxError::NoApplication(name.clone()))?,
            None => self.first_application(&new.provider),
        };
        let unfit = |error: SetupError| SandboxError::Secret(error.to_string());
        let pair = match &new.secret {
            Some(secret) => SecretPair::of_sender(&provider, secret),
            None => SecretPair::generate(&provider, &new_random()),
        };
        let pair = pair.map_err(unfit)?;
        let payload_secret = match provider.encryption() {
            Some(encryption) if provider.needs_payload_secrets() => {
                let text = match new.payload_secret.take() {
                    Some(text) => text,
                    None => encryption.new_secret(&new_random()).to_string(),
                };
                let secrets = Secrets::new(text.as_str()).map_err(|error| unfit(error.into()))?;
                Opener::new(encryption, &secrets).map_err(unfit)?;
                Some(text)
            }
            _ => None,
        };
        let made = new.register(application, String::new(), self.now_text());
        Ok(self.keep_registration(made.with_pair(&pair, payload_secret))?)
    }

    /// The sandbox's own providers have an application that only the sandbox
    /// knows.
    fn first_application(&self, provider: &str) -> String {
        let mut applications = self.inner.applications.iter();
        applications
            .find(|known| known.provider == provider)
            .map_or_else(|| "sandbox".to_owned(), |known| known.name.clone())
    }

    /// As a provider's own management API does, which takes and makes shared
    /// secrets alone.
    pub(crate) fn add(
        &self,
        mut new: NewRegistration,
        application: String,
    ) -> io::Result<Registration> {
        let secret = new.secret.take();
        let secret = secret.unwrap_or_else(|| format!("whsec_{}", new_key()));
        self.keep_registration(new.register(application, secret, self.now_text()))
    }

    fn keep_registration(&self, made: Registration) -> io::Result<Registration> {
        self.inner.book.change(|list| list.push(made.clone()))?;
        Ok(made)
    }

    /// Every registration, in the order in which they were made.
    #[must_use]
    pub fn registrations(&self) -> Vec<Registration> {
        self.inner.book.list()
    }

    /// Sends an event to every active registration that takes its type, and
    /// gives the ids of the dispatches: none where nobody takes it.
    ///
    /// # Errors
    ///
    /// [`TriggerError`] when there is no such provider, no sample, or the body
    /// is none of that type.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn trigger(&self, trigger: &Trigger) -> Result<Vec<String>, TriggerError> {
        let provider = self
            .provider(&trigger.provider)
            .ok_or_else(|| TriggerError::Provider(trigger.provider.clone()))?;
        let url = match &trigger.link {
            Some(link) => self.inner.m2m.callback_of(link)?,
            None => None,
        };
        let event = Outgoing::new(&provider, trigger)?;
        let takers = self.registrations().into_iter().filter(|registration| {
            registration.provider == trigger.provider.as_str()
                && registration.is_active
                && registration.takes(&event.event_type)
                && trigger
                    .application
                    .as_ref()
                    .is_none_or(|name| registration.application == *name)
        });
        Ok(takers
            .map(|taker| self.dispatch(&provider, &taker, url.clone(), event.clone()))
            .collect())
    }

    /// Every dispatch that is remembered, in order: the last 10,000, and no more than
    /// fit into 64 MiB with their bodies and answers. What is forgotten is not tried again.
    #[must_use]
    pub fn dispatches(&self) -> Vec<Dispatch> {
        self.inner.ledger.list()
    }

    /// One dispatch.
    #[must_use]
    pub fn find_dispatch(&self, id: &str) -> Option<Dispatch> {
        self.inner.ledger.find(id)
    }

    /// The dispatch once it has ended; nothing if it is not known.
    pub async fn ended(&self, id: &str) -> Option<Dispatch> {
        let has_ended = |dispatch: &Dispatch| dispatch.state != State::Pending;
        self.inner.ledger.until(id, has_ended).await
    }

    /// The dispatch once it has had so many attempts, or has ended; nothing if
    /// it is not known.
    pub async fn attempted(&self, id: &str, attempts: usize) -> Option<Dispatch> {
        let is_there = |dispatch: &Dispatch| {
            dispatch.attempts.len() >= attempts || dispatch.state != State::Pending
        };
        self.inner.ledger.until(id, is_there).await
    }

    /// Makes one attempt now, whatever came of the others. Gives the dispatch
    /// afterwards; nothing if it is not known.
    pub async fn redeliver(&self, id: &str) -> Option<Dispatch> {
        let shipment = self.inner.ledger.shipment(id)?;
        self.attempt(&shipment, true).await;
        self.find_dispatch(id)
    }

    /// Ends all attempts that are under way or still to come.
    pub fn stop(&self) {
        self.tasks().abort_all();
    }

    pub(crate) fn now_text(&self) -> String {
        rfc_3339(self.inner.clock.now())
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.inner
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
