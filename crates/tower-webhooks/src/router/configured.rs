//! A handler with settings of its own.

use std::{fmt, marker::PhantomData, num::NonZeroUsize, time::Duration};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{BoxFuture, Ordering};

use super::handler::Handler;
use crate::{Job, Outcome, Retry};

/// A run that takes longer than a provider waits for an answer needs a reason.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_CONCURRENCY: usize = 16;

/// What a handler was told beside its pattern. Read by the router; made by
/// [`Handler::named`] and its siblings.
#[derive(Debug, Clone)]
pub struct HandlerSettings {
    pub(crate) name: Option<Text>,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) concurrency: usize,
    pub(crate) ordering: Ordering,
}

impl Default for HandlerSettings {
    fn default() -> Self {
        Self {
            name: None,
            timeout: DEFAULT_TIMEOUT,
            retry: Retry::default(),
            concurrency: DEFAULT_CONCURRENCY,
            ordering: Ordering::None,
        }
    }
}

/// A handler with a name, time-out, retry, concurrency or order of its own.
///
/// Made by [`Handler::named`] and its siblings; register it like any handler.
/// See the [room's example](crate::router).
#[must_use = "a handler does nothing until a router has it"]
pub struct Configured<H, Args, S> {
    handler: H,
    settings: HandlerSettings,
    marker: PhantomData<fn() -> (Args, S)>,
}

impl<H, Args, S> Configured<H, Args, S> {
    pub(super) fn new(handler: H) -> Self {
        Self {
            handler,
            settings: HandlerSettings::default(),
            marker: PhantomData,
        }
    }

    /// As [`Handler::named`].
    pub fn named(mut self, name: impl Into<Text>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// As [`Handler::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// As [`Handler::retry`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// As [`Handler::concurrency`].
    pub fn concurrency(mut self, at_once: NonZeroUsize) -> Self {
        self.settings.concurrency = at_once.get();
        self
    }

    /// As [`Handler::in_order`].
    pub fn in_order(mut self) -> Self {
        self.settings.ordering = Ordering::Block;
        self
    }

    /// As [`Handler::in_order_skipping_dead`].
    pub fn in_order_skipping_dead(mut self) -> Self {
        self.settings.ordering = Ordering::Skip;
        self
    }
}

#[diagnostic::do_not_recommend]
impl<H, Args, S> Handler<Args, S> for Configured<H, Args, S>
where
    H: Handler<Args, S>,
    Args: 'static,
    S: 'static,
{
    fn call(self, job: Job, state: S) -> BoxFuture<'static, Outcome> {
        self.handler.call(job, state)
    }

    fn settings(&self) -> HandlerSettings {
        self.settings.clone()
    }
}

impl<H: Clone, Args, S> Clone for Configured<H, Args, S> {
    fn clone(&self) -> Self {
        Self {
            handler: self.handler.clone(),
            settings: self.settings.clone(),
            marker: PhantomData,
        }
    }
}

impl<H, Args, S> fmt::Debug for Configured<H, Args, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
