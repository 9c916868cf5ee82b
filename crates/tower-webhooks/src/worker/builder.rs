use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::Extensions;
use tokio::sync::mpsc;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Committer, Inbox, InboxError};

use super::{
    HandledEndpoint, WorkerHandle,
    hooks::{DeadJob, DoneJob, Hooks},
    lanes::Lanes,
    meters,
    pump::Pump,
};
use crate::router::SetupProblems;

/// Beyond this, sums of times could overflow; no lease or wait is so long.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Distinguishes the workers of one process.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Runs the handlers of some endpoints. See the [module](super).
#[must_use = "a worker does nothing until it is spawned"]
pub struct Worker {
    pub(crate) committer: Committer,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(super) lanes: Lanes,
    pub(super) hooks: Hooks,
    pub(super) options: Options,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) name: Text,
    pub(crate) concurrency: usize,
    pub(crate) lease: Duration,
    pub(crate) poll: Duration,
    pub(crate) extensions: Extensions,
}

impl Worker {
    /// A worker for these endpoints. `committer` writes to `inbox`.
    ///
    /// # Errors
    ///
    /// When an endpoint is given twice.
    pub fn new(
        committer: Committer,
        inbox: Arc<dyn Inbox>,
        endpoints: impl IntoIterator<Item = HandledEndpoint>,
    ) -> Result<Self, SetupProblems> {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            committer,
            inbox,
            lanes: Lanes::new(endpoints)?,
            hooks: Hooks::default(),
            options: Options {
                name: Text::from(format!("{}-{number}", std::process::id())),
                concurrency: 256,
                lease: Duration::from_secs(60),
                poll: Duration::from_secs(1),
                extensions: Extensions::new(),
            },
        })
    }

    /// Replaces the name that the inbox shows for its jobs. Default: process
    /// id and a number.
    pub fn with_name(mut self, name: impl Into<Text>) -> Self {
        self.options.name = name.into();
        self
    }

    /// Replaces how many handlers run at once, all together. Default 256:
    /// beside the bound of each handler, one for the process's memory.
    pub fn with_concurrency(mut self, at_once: NonZeroUsize) -> Self {
        self.options.concurrency = at_once.get();
        self
    }

    /// Replaces how long the inbox keeps a job for this worker before another
    /// may take it; at least 100 ms. Default 60 s, extended every third of it:
    /// how long the jobs of a crashed process wait, and how long the inbox may
    /// be away before running handlers are stopped.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.options.lease = lease.clamp(Duration::from_millis(100), LONGEST);
        self
    }

    /// Replaces how long the worker sleeps at most before it looks for jobs;
    /// at least 1 ms. Default 1 s: events received by this process wake it at
    /// once, so this bounds only the wait for those of others. Beyond a minute, jobs
    /// that wait for it count as [orphaned](tower_webhooks_inbox::HandlerStats::orphaned).
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.options.poll = interval.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Adds a value that handlers take as `Extension<T>`. Another of the same
    /// type replaces it.
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.options.extensions.insert(value);
        self
    }

    pub(crate) fn with_extensions(mut self, extensions: Extensions) -> Self {
        self.options.extensions.extend(extensions);
        self
    }

    /// Calls `hook` for every job that ended dead, once that is stored. Keep
    /// it short: the worker waits for it. A panic in it is caught and logged.
    pub fn on_dead(mut self, hook: impl Fn(&DeadJob) + Send + Sync + 'static) -> Self {
        self.hooks.dead.push(Arc::new(hook));
        self
    }

    /// Calls `hook` for every job that is done, once that is stored; like
    /// [`on_dead`](Self::on_dead).
    pub fn on_done(mut self, hook: impl Fn(&DoneJob) + Send + Sync + 'static) -> Self {
        self.hooks.done.push(Arc::new(hook));
        self
    }

    /// Registers the handlers in the inbox and starts to run them: events that
    /// are stored after this has returned are missed by none.
    ///
    /// # Errors
    ///
    /// When the inbox cannot be reached; nothing was started.
    pub async fn spawn(self) -> Result<WorkerHandle, InboxError> {
        self.register().await?;
        let durable = self.inbox.check().await?.durable;
        Ok(self.run(durable))
    }

    /// Makes every event stored from now on have jobs for these handlers.
    pub(crate) async fn register(&self) -> Result<(), InboxError> {
        self.committer.register(self.lanes.registrations())?.await
    }

    /// Starts what [`register`](Self::register) announced.
    pub(crate) fn run(self, durable: bool) -> WorkerHandle {
        let (commands, orders) = mpsc::channel(4);
        let gauges = tokio::spawn(meters::watch(Arc::clone(&self.inbox)));
        let pump = Pump::new(self, durable);
        WorkerHandle::new(commands, tokio::spawn(pump.run(orders)), gauges)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("lanes", &self.lanes)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
