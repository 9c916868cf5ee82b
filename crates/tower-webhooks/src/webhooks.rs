//! A receiver as a whole: its endpoints, its inbox and its workers.

use std::{collections::BTreeMap, fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use http::Extensions;
use tokio::time::{Instant, timeout};
use tower_webhooks_core::{Clock, SetupError, SystemClock, Text};
use tower_webhooks_inbox::{Committer, CommitterOptions, Inbox, InboxError, Retention};

use crate::{
    DeadJob, DoneJob, DrainReport, Endpoint, EndpointService, Role, WebhookLayer, Worker,
    endpoint::{Common, DEFAULT_MAX_BYTES_IN_FLIGHT, Opened},
    layer::budget::ByteBudget,
    pruning::Pruning,
    router::{Routes, SetupProblems},
    worker::{HandledEndpoint, WorkerHandle},
};

/// What the last commit of a drain may take beyond the time given.
const LAST_COMMIT: Duration = Duration::from_secs(1);

/// A running receiver. Its layers and services take deliveries in, its worker
/// runs the handlers.
///
/// Dropping it stops the worker at once, and its layers and services answer
/// 503: running handlers are dropped at their next `await`, and what they left
/// undone waits in the inbox (a [`MemoryInbox`](crate::MemoryInbox) forgets it
/// with the process). Keep it as long as the server runs;
/// [`drain`](Self::drain) is the way to stop.
#[must_use = "dropping it stops the worker"]
pub struct Webhooks {
    endpoints: BTreeMap<Text, (Opened, Vec<String>)>,
    committer: Committer,
    inbox: Arc<dyn Inbox>,
    budget: ByteBudget,
    /// `None` in a process that only receives.
    worker: Option<WorkerHandle>,
    _pruning: Option<Pruning>,
}

/// Why a receiver did not start. Says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An endpoint's provider or secrets do not fit.
    #[error("endpoint `{endpoint}`: {error}")]
    Endpoint {
        /// The endpoint's name.
        endpoint: Text,
        /// What is wrong.
        error: SetupError,
    },
    /// A handler is registered for a type that its provider does not have.
    #[error("endpoint `{endpoint}`: {provider} has no event type `{pattern}`{}", suggestion(.nearest))]
    EventType {
        /// The endpoint's name.
        endpoint: Text,
        /// The provider.
        provider: Text,
        /// The type or pattern.
        pattern: String,
        /// The known type nearest to it.
        nearest: Option<Text>,
    },
    /// Handlers are registered wrongly.
    #[error("endpoint `{endpoint}`: {problems}")]
    Handlers {
        /// The endpoint's name.
        endpoint: Text,
        /// What is wrong.
        problems: SetupProblems,
    },
    /// The inbox is away, or its settings promise less than it must.
    #[error("the inbox cannot be used")]
    Inbox(#[from] InboxError),
    /// A process does half of the work over an inbox that no other process has.
    #[error("role {0:?}: no other process shares this inbox, so the role must be `Both`: {1}")]
    Lonely(Role, Text),
    /// Two endpoints have one name.
    #[error(
        "two endpoints are named `{0}`: events are stored under the name, so it must be unique"
    )]
    Name(Text),
}

fn suggestion(nearest: &Option<Text>) -> String {
    nearest
        .as_ref()
        .map(|nearest| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default()
}

/// No endpoint has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no endpoint is named `{0}`")]
pub struct UnknownEndpoint(Text);

impl Webhooks {
    /// Starts endpoints over an inbox, with defaults for the rest.
    ///
    /// # Errors
    ///
    /// [`StartError`] when something is set up wrongly or the inbox is away.
    pub async fn start(
        inbox: impl Inbox,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Result<Self, StartError> {
        Self::builder().start(inbox, endpoints).await
    }

    /// Starts with other settings than the defaults.
    pub fn builder() -> WebhooksBuilder {
        WebhooksBuilder {
            clock: None,
            max_bytes_in_flight: DEFAULT_MAX_BYTES_IN_FLIGHT,
            committer: CommitterOptions::new(),
            extensions: Extensions::new(),
            retention: Some(Retention::default()),
            role: Role::Both,
            store_timeout: None,
            worker: Vec::new(),
        }
    }

    /// The layer for an endpoint, to go around your own answer.
    ///
    /// # Errors
    ///
    /// [`UnknownEndpoint`] when none has that name.
    pub fn layer(&self, endpoint: &str) -> Result<WebhookLayer, UnknownEndpoint> {
        self.opened(endpoint)
            .map(|opened| WebhookLayer::new(Arc::clone(&opened.gate)))
    }

    /// An endpoint ready to mount, which answers what its provider wants.
    ///
    /// # Errors
    ///
    /// [`UnknownEndpoint`] when none has that name.
    pub fn endpoint(&self, endpoint: &str) -> Result<EndpointService, UnknownEndpoint> {
        self.opened(endpoint).map(EndpointService::new)
    }

    /// The event types and patterns that an endpoint handles.
    ///
    /// # Errors
    ///
    /// [`UnknownEndpoint`] when none has that name.
    pub fn event_types(&self, endpoint: &str) -> Result<&[String], UnknownEndpoint> {
        self.endpoints
            .get(endpoint)
            .map(|(_, types)| types.as_slice())
            .ok_or_else(|| UnknownEndpoint(endpoint.into()))
    }

    fn opened(&self, endpoint: &str) -> Result<&Opened, UnknownEndpoint> {
        self.endpoints
            .get(endpoint)
            .map(|(opened, _)| opened)
            .ok_or_else(|| UnknownEndpoint(endpoint.into()))
    }

    /// Whether deliveries are taken in: the worker runs, and no drain has
    /// begun. For a readiness probe.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        let stopped = |worker: &WorkerHandle| worker.is_stopped();
        !self.budget.is_refusing() && !self.worker.as_ref().is_some_and(stopped)
    }

    /// Body bytes in flight or waiting to be stored now.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        self.budget.used()
    }

    /// The inbox, to look into it.
    #[must_use]
    pub fn inbox(&self) -> &Arc<dyn Inbox> {
        &self.inbox
    }

    /// Lets the worker look for due jobs now: after a replay, or after a clock
    /// was turned by hand.
    pub fn wake(&self) {
        self.committer.wake();
    }

    /// Refuses new deliveries with 503 from now on; those being received are
    /// still stored and handled. Call it as soon as the process is asked to
    /// stop, let connections finish, then [`drain`](Self::drain).
    pub fn stop_accepting(&self) {
        self.budget.refuse();
    }

    /// Stops: refuses deliveries that are not yet received, claims no more jobs, lets running
    /// handlers finish for at most `within` (20 s is usual: shorter than the
    /// 30 s that Kubernetes gives), gives the rest back to the inbox, and
    /// commits what waits. An inbox that is not durable runs its due jobs
    /// first, and the report says how many are dropped.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let started = Instant::now();
        self.budget.close();
        // What was let in before is stored, and its jobs made, before the
        // worker looks for the last time.
        let _ = timeout(within, self.budget.idle()).await;
        let left = within.saturating_sub(started.elapsed());
        let report = match &self.worker {
            Some(worker) => worker.drain(left).await,
            None => DrainReport::default(),
        };
        let left = within.saturating_sub(started.elapsed()) + LAST_COMMIT;
        if timeout(left, self.committer.close()).await.is_err() {
            tracing::error!("the inbox did not take the last commit in time");
        }
        if report.dropped > 0 {
            tracing::warn!(
                dropped = report.dropped,
                "jobs are dropped, because the inbox is not durable"
            );
        }
        report
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.budget.close();
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks")
            .field("endpoints", &self.endpoints.keys())
            .field("accepting", &self.is_accepting())
            .finish_non_exhaustive()
    }
}

type WithWorker = Box<dyn FnOnce(Worker) -> Worker + Send>;

/// Settings of a receiver. Made by [`Webhooks::builder`].
#[must_use = "nothing is started yet"]
pub struct WebhooksBuilder {
    clock: Option<Arc<dyn Clock>>,
    max_bytes_in_flight: usize,
    committer: CommitterOptions,
    extensions: Extensions,
    retention: Option<Retention>,
    role: Role,
    store_timeout: Option<Duration>,
    worker: Vec<WithWorker>,
}

impl WebhooksBuilder {
    /// Replaces the clock of all endpoints. The default is the system's.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Replaces how many bytes of all bodies may be in flight or wait to be
    /// stored; beyond it the answer is 503. The default is 64 MiB.
    pub fn with_max_bytes_in_flight(mut self, bytes: usize) -> Self {
        self.max_bytes_in_flight = bytes;
        self
    }

    /// Replaces the bounds of batches and of the queue before the inbox.
    pub fn with_committer(mut self, options: CommitterOptions) -> Self {
        self.committer = options;
        self
    }

    /// Replaces how long a delivery waits to be stored before its sender is answered
    /// 503. The default is what the inbox [says](crate::inbox::Durability::answers_within):
    /// 0.9 s for one in PostgreSQL, so that a server that falls silent in the middle of
    /// a commit is a 503 within a second; 5 s for a file, so that a busy disk is waited
    /// for. What was handed over may still be stored once the inbox goes on, and
    /// its redelivery is then a duplicate. Replies have the budget of their handlers.
    pub fn with_store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = Some(limit);
        self
    }

    /// Replaces how long finished events are kept. The default is 30 days for
    /// bodies and 90 for keys; a key must outlive the provider's longest retry,
    /// or a late redelivery is a new event. Unfinished and dead ones stay.
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Prunes nothing by itself: the command does, or nobody.
    pub fn without_pruning(mut self) -> Self {
        self.retention = None;
        self
    }

    /// Replaces which half of the work this process does. The default is
    /// [`Role::Both`]. Only those that run handlers prune.
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Replaces how many handlers run at once, all together. The default is
    /// 256.
    pub fn with_concurrency(self, at_once: NonZeroUsize) -> Self {
        self.with_worker(move |worker| worker.with_concurrency(at_once))
    }

    /// Adds a value that handlers, and reply handlers, take as `Extension<T>`.
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Calls `hook` for every job that ended dead, once that is stored.
    pub fn on_dead(self, hook: impl Fn(&DeadJob) + Send + Sync + 'static) -> Self {
        self.with_worker(move |worker| worker.on_dead(hook))
    }

    /// Calls `hook` for every job that is done, once that is stored.
    pub fn on_done(self, hook: impl Fn(&DoneJob) + Send + Sync + 'static) -> Self {
        self.with_worker(move |worker| worker.on_done(hook))
    }

    /// Changes any other setting of the worker.
    pub fn with_worker(mut self, change: impl FnOnce(Worker) -> Worker + Send + 'static) -> Self {
        self.worker.push(Box::new(change));
        self
    }

    /// Checks the set-up and the inbox's durability, registers the handlers, and
    /// starts the worker.
    ///
    /// # Errors
    ///
    /// [`StartError`] when something is set up wrongly or the inbox is away.
    pub async fn start(
        self,
        inbox: impl Inbox,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Result<Webhooks, StartError> {
        let inbox: Arc<dyn Inbox> = Arc::new(inbox);
        let durability = inbox.check().await?;
        if !durability.durable {
            tracing::warn!(
                inbox = %durability.description,
                "the inbox is not durable: a crash loses events that were answered with 200"
            );
        }
        if self.role != Role::Both && !durability.durable {
            return Err(StartError::Lonely(self.role, durability.description));
        }
        let common = Common {
            committer: Committer::start(Arc::clone(&inbox), self.committer),
            budget: ByteBudget::new(self.max_bytes_in_flight),
            clock: self.clock,
            extensions: self.extensions,
            store_timeout: self.store_timeout.unwrap_or(durability.answers_within),
        };
        let mut opened = BTreeMap::new();
        let mut handled = Vec::new();
        for endpoint in endpoints {
            let name = endpoint.name.clone();
            let types = handled_types(&endpoint)?;
            let wrong = |problems| StartError::Handlers {
                endpoint: name.clone(),
                problems,
            };
            let routes: Arc<Routes> = Arc::new(endpoint.events.clone().build().map_err(wrong)?);
            let unfit = |error| StartError::Endpoint {
                endpoint: name.clone(),
                error,
            };
            let provider = Arc::clone(&endpoint.provider);
            let opener = endpoint.opener();
            let of_endpoint =
                HandledEndpoint::from_routes(name.clone(), provider, Arc::clone(&routes))
                    .map_err(wrong)?;
            let open = endpoint.open(&common, routes).map_err(unfit)?;
            handled.push(of_endpoint.with_opener(opener.map_err(unfit)?));
            if opened.insert(name.clone(), (open, types)).is_some() {
                return Err(StartError::Name(name));
            }
        }
        let worker = Worker::new(common.committer.clone(), Arc::clone(&inbox), handled)
            .map_err(|problems| StartError::Handlers {
                endpoint: Text::from_static("all"),
                problems,
            })?
            .with_extensions(common.extensions);
        let worker = self
            .worker
            .into_iter()
            .fold(worker, |worker, change| change(worker));
        worker.register().await?;
        if !self.role.receives() {
            common.budget.close();
        }
        let retention = self.retention.filter(|_| self.role.works());
        Ok(Webhooks {
            endpoints: opened,
            committer: common.committer,
            _pruning: retention.map(|retention| {
                Pruning::start(Arc::clone(&inbox), retention, Arc::new(SystemClock))
            }),
            inbox,
            budget: common.budget,
            worker: self.role.works().then(|| worker.run(durability.durable)),
        })
    }
}

impl fmt::Debug for WebhooksBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhooksBuilder")
            .field("max_bytes_in_flight", &self.max_bytes_in_flight)
            .finish_non_exhaustive()
    }
}

/// The types that an endpoint handles; one that its provider cannot send is a
/// mistake where its list is complete, and suspicious where it is open.
fn handled_types(endpoint: &Endpoint) -> Result<Vec<String>, StartError> {
    let events = endpoint.provider.events();
    let patterns: Vec<String> = endpoint
        .events
        .event_types()
        .into_iter()
        .map(str::to_owned)
        .collect();
    for pattern in &patterns {
        let reaches_one = match pattern.strip_suffix('*') {
            Some(prefix) => events
                .list
                .iter()
                .any(|event| event.name.starts_with(prefix)),
            None => events.find(pattern).is_some(),
        };
        if reaches_one || events.list.is_empty() {
            continue;
        }
        let nearest = nearest(pattern, events.list.iter().map(|event| &event.name));
        if events.complete {
            return Err(StartError::EventType {
                endpoint: endpoint.name.clone(),
                provider: endpoint.provider.title().clone(),
                pattern: pattern.clone(),
                nearest,
            });
        }
        match nearest {
            Some(nearest) => tracing::warn!(
                endpoint = %endpoint.name,
                pattern,
                %nearest,
                "a handler is registered for an event type that is not in the provider's known list"
            ),
            // Most open lists are short: this is hardly a slip of the pen.
            None => tracing::info!(
                endpoint = %endpoint.name,
                pattern,
                "a handler is registered for an event type that is not in the provider's known list"
            ),
        }
    }
    Ok(patterns)
}

fn nearest<'k>(pattern: &str, known: impl Iterator<Item = &'k Text>) -> Option<Text> {
    known
        .map(|name| (strsim::jaro_winkler(pattern, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name.clone())
}
