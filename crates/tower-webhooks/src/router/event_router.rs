//! Collects handlers under patterns.

use std::{fmt, sync::Arc};

use http::HeaderValue;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Pattern, Reply};

use super::{
    NamesEvent, ReplyHandler, ReplyRoute, Route, Routes, SetupProblem, SetupProblems,
    handler::Handler,
    reply::Decide,
    routes::{ReplyInfo, RouteInfo},
};

/// Name of a fallback handler that was given none.
const FALLBACK: &str = "fallback";

/// Which handler runs for which event: the counterpart of axum's `Router`.
///
/// `S` is the state that its handlers still lack; an endpoint takes a router
/// that lacks none. A mistake in a pattern or a name does not panic here: all
/// of them are reported together when the endpoint starts. The rules of
/// matching and naming, with examples: [`router`](crate::router).
#[must_use = "a router does nothing until an endpoint has it"]
pub struct EventRouter<S = ()> {
    handlers: Vec<Registered<RouteInfo, Route, S>>,
    replies: Vec<Registered<ReplyInfo, ReplyRoute, S>>,
    problems: Vec<SetupProblem>,
}

/// A handler that waits for its state.
struct Registered<I, R, S> {
    info: I,
    bind: Arc<dyn Fn(S) -> R + Send + Sync>,
}

impl<S: Clone + Send + Sync + 'static> EventRouter<S> {
    /// A router without handlers.
    pub fn new() -> Self {
        Self {
            handlers: Vec::new(),
            replies: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Runs `handler` for every event whose type matches `pattern`: an exact
    /// type, `a.*` for all that begin with `a.`, or `*`.
    pub fn on<H, Args>(self, pattern: impl Into<Text>, handler: H) -> Self
    where
        H: Handler<Args, S>,
    {
        self.add(pattern.into(), false, handler)
    }

    /// Runs `handler` for the event type that the payload type in its
    /// signature names ([`EventType`](crate::EventType)).
    pub fn on_event<H, Args, P>(self, handler: H) -> Self
    where
        H: Handler<Args, S>,
        Args: NamesEvent<P>,
    {
        self.on(Text::from_static(Args::EVENT_TYPE), handler)
    }

    /// Runs `handler` for events that no pattern matches. Its durable name is
    /// `fallback` unless it was given another.
    pub fn fallback<H, Args>(self, handler: H) -> Self
    where
        H: Handler<Args, S>,
    {
        self.add(Text::from_static("*"), true, handler)
    }

    /// Lets `handler` decide the answer to events whose type matches
    /// `pattern`. Where several patterns match, the most specific decides:
    /// the exact type, then the longest prefix, then `*`.
    ///
    /// Handlers registered with [`on`](Self::on) see the event too.
    pub fn reply<D, Args>(
        mut self,
        pattern: impl Into<Text>,
        handler: ReplyHandler<D, Args, S>,
    ) -> Self
    where
        D: Decide<Args, S>,
    {
        let text = pattern.into();
        let Some(pattern) = self.parse(&text) else {
            return self;
        };
        let usable = handler
            .default
            .map_err(|error| error.chain())
            .and_then(usable);
        let default = match usable {
            Ok(default) => default,
            Err(reason) => {
                self.problems.push(SetupProblem::DefaultReply {
                    pattern: text,
                    reason,
                });
                return self;
            }
        };
        let info = ReplyInfo {
            text,
            pattern,
            default,
            budget: handler.budget,
        };
        let (decide, shared) = (handler.decide, info.clone());
        self.replies.push(Registered {
            info,
            bind: Arc::new(move |state: S| {
                let decide = decide.clone();
                ReplyRoute::new(
                    shared.clone(),
                    Arc::new(move |job| decide.clone().decide(job, state.clone())),
                )
            }),
        });
        self
    }

    /// Takes over everything that `other` has. Routers with states of their
    /// own merge after [`with_state`](Self::with_state).
    pub fn merge(mut self, other: Self) -> Self {
        self.handlers.extend(other.handlers);
        self.replies.extend(other.replies);
        self.problems.extend(other.problems);
        self
    }

    /// Gives the handlers their state.
    pub fn with_state(self, state: S) -> EventRouter {
        EventRouter {
            handlers: bind_all(self.handlers, &state),
            replies: bind_all(self.replies, &state),
            problems: self.problems,
        }
    }

    /// What is handled: each pattern once, in the order of registration, those
    /// of reply handlers last. A fallback is not listed.
    #[must_use]
    pub fn event_types(&self) -> Vec<&str> {
        let handled = self.handlers.iter().map(|it| &it.info);
        let handled = handled
            .filter(|info| !info.fallback)
            .map(|info| info.text.as_str());
        let replied = self.replies.iter().map(|it| it.info.text.as_str());
        let mut types = Vec::new();
        for pattern in handled.chain(replied) {
            if !types.contains(&pattern) {
                types.push(pattern);
            }
        }
        types
    }

    fn add<H, Args>(mut self, text: Text, fallback: bool, handler: H) -> Self
    where
        H: Handler<Args, S>,
    {
        let Some(pattern) = self.parse(&text) else {
            return self;
        };
        let settings = handler.settings();
        let name = match &settings.name {
            Some(name) => name.clone(),
            None if fallback => Text::from_static(FALLBACK),
            None => text.clone(),
        };
        let info = RouteInfo {
            name,
            text,
            pattern,
            fallback,
            settings,
        };
        let shared = info.clone();
        self.handlers.push(Registered {
            info,
            bind: Arc::new(move |state: S| {
                let handler = handler.clone();
                Route::new(
                    shared.clone(),
                    Arc::new(move |job| handler.clone().call(job, state.clone())),
                )
            }),
        });
        self
    }

    fn parse(&mut self, text: &Text) -> Option<Pattern> {
        match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.problems.push(SetupProblem::Pattern(error));
                None
            }
        }
    }
}

impl EventRouter {
    /// The handlers, ready to run.
    pub(crate) fn build(self) -> Result<Routes, SetupProblems> {
        let bind = |it: Registered<_, Route, ()>| (it.bind)(());
        let handlers = self.handlers.into_iter().map(bind).collect();
        let replies = self.replies.into_iter().map(|it| (it.bind)(())).collect();
        Routes::new(handlers, replies, self.problems)
    }
}

/// A default that cannot be sent would be found out by the first time-out.
fn usable(default: Reply) -> Result<Reply, String> {
    if !(200..600).contains(&default.status) {
        return Err(format!("{} is no status of an answer", default.status));
    }
    match &default.content_type {
        Some(text) if HeaderValue::from_str(text).is_err() => {
            Err(format!("{text:?} is no content type"))
        }
        _ => Ok(default),
    }
}

fn bind_all<I, R: Clone + Send + Sync + 'static, S: Clone>(
    registered: Vec<Registered<I, R, S>>,
    state: &S,
) -> Vec<Registered<I, R, ()>> {
    let bound = registered.into_iter().map(|it| {
        let route = (it.bind)(state.clone());
        Registered {
            info: it.info,
            bind: Arc::new(move |()| route.clone()) as Arc<dyn Fn(()) -> R + Send + Sync>,
        }
    });
    bound.collect()
}

impl<S: Clone + Send + Sync + 'static> Default for EventRouter<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for EventRouter<S> {
    fn clone(&self) -> Self {
        Self {
            handlers: self.handlers.clone(),
            replies: self.replies.clone(),
            problems: self.problems.clone(),
        }
    }
}

impl<I: Clone, R, S> Clone for Registered<I, R, S> {
    fn clone(&self) -> Self {
        Self {
            info: self.info.clone(),
            bind: Arc::clone(&self.bind),
        }
    }
}

impl<S> fmt::Debug for EventRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers = self.handlers.iter().map(|it| &it.info);
        let replies = self.replies.iter().map(|it| &it.info.text);
        f.debug_struct("EventRouter")
            .field("handlers", &handlers.collect::<Vec<_>>())
            .field("replies", &replies.collect::<Vec<_>>())
            .field("problems", &self.problems)
            .finish()
    }
}
