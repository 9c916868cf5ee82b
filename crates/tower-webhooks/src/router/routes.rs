//! A router that is ready to run: types erased, names and patterns checked.

use std::{cmp::Reverse, collections::HashMap, fmt, sync::Arc, time::Duration};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{BoxFuture, Pattern, PatternError, Reply};

use super::HandlerSettings;
use crate::{HandlerError, Job, Outcome};

pub(super) type ErasedHandler = Arc<dyn Fn(Job) -> BoxFuture<'static, Outcome> + Send + Sync>;
pub(super) type ErasedDecide =
    Arc<dyn Fn(Job) -> BoxFuture<'static, Result<Reply, HandlerError>> + Send + Sync>;

/// A mistake in how handlers were registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupProblem {
    /// A reply handler's default cannot be written.
    #[error("the default reply for `{pattern}` cannot be used: {reason}")]
    DefaultReply {
        /// The pattern it was registered under.
        pattern: Text,
        /// What is wrong with it.
        reason: String,
    },
    /// Two handlers have one durable name.
    #[error(
        "two handlers are named `{name}`, registered for `{first}` and `{second}`: give one of them another name with `.named(\"…\")`"
    )]
    DuplicateName {
        /// The name.
        name: Text,
        /// The pattern of the handler that was registered first.
        first: Text,
        /// The pattern of the other.
        second: Text,
    },
    /// Two reply handlers have one pattern.
    #[error("two reply handlers are registered for `{pattern}`: an event has one answer")]
    DuplicateReply {
        /// The pattern.
        pattern: Text,
    },
    /// An endpoint was given twice.
    #[error("the endpoint `{endpoint}` is given twice")]
    DuplicateEndpoint {
        /// The endpoint's name.
        endpoint: Text,
    },
    /// A handler's durable name is empty.
    #[error("the handler for `{pattern}` has an empty name")]
    EmptyName {
        /// The pattern it was registered under.
        pattern: Text,
    },
    /// A handler runs in order, and the events have nothing to order it by.
    #[error(
        "the handler `{name}` runs in order, and its provider's events have no ordering key: say where it lies with `Provider::with_ordering_key(\"/data/…\")`, or take `.in_order()` away"
    )]
    NoOrderingKey {
        /// The handler's durable name.
        name: Text,
    },
    /// An endpoint's provider encrypts its payloads, and the worker has nothing to
    /// open them with.
    #[error(
        "the provider of the endpoint `{endpoint}` encrypts its payloads: give the worker what opens them with `HandledEndpoint::with_payload_secrets`"
    )]
    PayloadSecretsMissing {
        /// The endpoint's name.
        endpoint: Text,
    },
    /// A reply handler is registered for a provider that puts several events into
    /// one delivery.
    #[error(
        "a reply handler is registered for `{pattern}`, and its provider puts several events into one delivery, which has one answer: use `.on(…)`"
    )]
    ReplyInBatch {
        /// The pattern.
        pattern: Text,
    },
    /// A text is no pattern.
    #[error(transparent)]
    Pattern(PatternError),
}

/// Every mistake in how handlers were registered; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupProblems(Vec<SetupProblem>);

impl SetupProblems {
    pub(crate) fn check(problems: Vec<SetupProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self(problems))
        }
    }

    /// The mistakes, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &SetupProblem> {
        self.0.iter()
    }
}

impl fmt::Display for SetupProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SetupProblems {}

#[derive(Debug, Clone)]
pub(crate) struct RouteInfo {
    pub(crate) name: Text,
    /// The pattern as it was written.
    pub(crate) text: Text,
    pub(crate) pattern: Pattern,
    pub(crate) fallback: bool,
    pub(crate) settings: HandlerSettings,
}

/// A handler, ready to run.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) info: RouteInfo,
    call: ErasedHandler,
}

impl Route {
    pub(super) fn new(info: RouteInfo, call: ErasedHandler) -> Self {
        Self { info, call }
    }

    pub(crate) fn call(&self, job: Job) -> BoxFuture<'static, Outcome> {
        (self.call)(job)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ReplyInfo {
    /// The pattern as it was written; also the reply handler's name.
    pub(crate) text: Text,
    pub(crate) pattern: Pattern,
    pub(crate) default: Reply,
    pub(crate) budget: Option<Duration>,
}

/// A reply handler, ready to decide.
#[derive(Clone)]
pub(crate) struct ReplyRoute {
    pub(crate) info: ReplyInfo,
    decide: ErasedDecide,
}

impl ReplyRoute {
    pub(super) fn new(info: ReplyInfo, decide: ErasedDecide) -> Self {
        Self { info, decide }
    }

    pub(crate) fn decide(&self, job: Job) -> BoxFuture<'static, Result<Reply, HandlerError>> {
        (self.decide)(job)
    }
}

/// The handlers of one endpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    handlers: Vec<Route>,
    /// The most specific first.
    replies: Vec<ReplyRoute>,
}

impl Routes {
    pub(super) fn new(
        handlers: Vec<Route>,
        mut replies: Vec<ReplyRoute>,
        mut problems: Vec<SetupProblem>,
    ) -> Result<Self, SetupProblems> {
        let mut names: HashMap<&str, &Text> = HashMap::new();
        for info in handlers.iter().map(|route| &route.info) {
            if info.name.is_empty() {
                problems.push(SetupProblem::EmptyName {
                    pattern: info.text.clone(),
                });
            } else if let Some(first) = names.insert(&info.name, &info.text) {
                problems.push(SetupProblem::DuplicateName {
                    name: info.name.clone(),
                    first: first.clone(),
                    second: info.text.clone(),
                });
            }
        }
        // among prefixes the longer is the more specific
        replies.sort_by_key(|reply| {
            let exact = reply.info.pattern.exact().is_some();
            (!exact, Reverse(reply.info.text.len()))
        });
        for (index, reply) in replies.iter().enumerate() {
            let earlier = replies.iter().take(index);
            if earlier
                .into_iter()
                .any(|it| it.info.text == reply.info.text)
            {
                problems.push(SetupProblem::DuplicateReply {
                    pattern: reply.info.text.clone(),
                });
            }
        }
        SetupProblems::check(problems)?;
        Ok(Self { handlers, replies })
    }

    pub(crate) fn handlers(&self) -> &[Route] {
        &self.handlers
    }

    /// The most specific reply handler of all.
    pub(crate) fn first_reply(&self) -> Option<&ReplyRoute> {
        self.replies.first()
    }

    /// The most specific reply handler for an event type.
    pub(crate) fn reply_for(&self, event_type: &str) -> Option<&ReplyRoute> {
        self.replies
            .iter()
            .find(|reply| reply.info.pattern.matches(event_type))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}

impl fmt::Debug for ReplyRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyRoute")
            .field("pattern", &self.info.text)
            .field("budget", &self.info.budget)
            .finish_non_exhaustive()
    }
}
