//! Handlers that decide the answer.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::Json;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{BoxFuture, Reply};

use crate::{FromJob, HandlerError, Job};

/// What a reply handler may return: a [`Reply`], `Json`, a status with `Json`,
/// or a `Result` of those.
#[diagnostic::on_unimplemented(
    message = "a reply handler cannot return `{Self}`",
    label = "not a reply",
    note = "it returns `Reply`, `Json<T>`, `(StatusCode, Json<T>)`, or a `Result` of those with `E: Into<HandlerError>`"
)]
pub trait IntoReply {
    /// The reply that this value means.
    ///
    /// # Errors
    ///
    /// When the value is an error, or cannot be written as JSON.
    fn into_reply(self) -> Result<Reply, HandlerError>;
}

impl IntoReply for Reply {
    fn into_reply(self) -> Result<Reply, HandlerError> {
        Ok(self)
    }
}

impl<T: Serialize> IntoReply for Json<T> {
    fn into_reply(self) -> Result<Reply, HandlerError> {
        (StatusCode::OK, self).into_reply()
    }
}

impl<T: Serialize> IntoReply for (StatusCode, Json<T>) {
    fn into_reply(self) -> Result<Reply, HandlerError> {
        let (status, Json(value)) = self;
        let body = serde_json::to_vec(&value).map_err(HandlerError::permanent)?;
        Ok(Reply {
            status: status.as_u16(),
            content_type: Some(Text::from_static("application/json")),
            body: Bytes::from(body),
        })
    }
}

impl<R: IntoReply, E: Into<HandlerError>> IntoReply for Result<R, E> {
    fn into_reply(self) -> Result<Reply, HandlerError> {
        self.map_err(Into::into)?.into_reply()
    }
}

/// An async function or closure that decides the answer to an event.
///
/// Implemented as [`Handler`](crate::Handler) is, for functions that return
/// something that is [`IntoReply`]; where the compiler does not find
/// [`or_default`](Self::or_default), the function is none. It runs while the sender waits; it is not
/// a job, and is not tried again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not decide a reply",
    label = "not a reply handler",
    note = "a reply handler is an `async fn`, an async closure, or a closure that returns a future that is `Send`",
    note = "each argument implements `FromJob`: `Event<T>` with `T: DeserializeOwned`, `Delivery`, `Attempt`, `Job`, `State<T>`, `Extension<T>`; at most eight",
    note = "it returns `Reply`, `Json<T>`, `(StatusCode, Json<T>)`, or a `Result` of those with `E: Into<HandlerError>`"
)]
pub trait Decide<Args, S>: Clone + Send + Sync + Sized + 'static {
    /// Decides once. What an argument's extraction refuses is an error.
    fn decide(self, job: Job, state: S) -> BoxFuture<'static, Result<Reply, HandlerError>>;

    /// Completes the decision with the answer that is given, and recorded,
    /// when it fails, panics or is late. Choose what costs least when wrong:
    /// for a card, a decline.
    fn or_default(self, default: impl IntoReply) -> ReplyHandler<Self, Args, S> {
        ReplyHandler {
            decide: self,
            default: default.into_reply(),
            budget: None,
            marker: PhantomData,
        }
    }
}

macro_rules! impl_decide {
    ($($arg:ident),*) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_variables, reason = "one macro for every number of arguments, also none")]
        impl<F, Fut, S, $($arg,)*> Decide<($($arg,)*), S> for F
        where
            F: FnOnce($($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoReply> + Send,
            S: Send + Sync + 'static,
            $($arg: FromJob<S> + Send,)*
        {
            fn decide(self, job: Job, state: S) -> BoxFuture<'static, Result<Reply, HandlerError>> {
                Box::pin(async move {
                    $(let $arg = $arg::from_job(&job, &state).await?;)*
                    self($($arg),*).await.into_reply()
                })
            }
        }
    };
}

super::names::every_arity!(impl_decide);

/// A decision with its default and its time budget. Made by
/// [`Decide::or_default`], taken by
/// [`EventRouter::reply`](crate::EventRouter::reply).
#[must_use = "a reply handler does nothing until a router has it"]
pub struct ReplyHandler<D, Args, S> {
    pub(super) decide: D,
    pub(super) default: Result<Reply, HandlerError>,
    pub(super) budget: Option<Duration>,
    marker: PhantomData<fn() -> (Args, S)>,
}

impl<D, Args, S> ReplyHandler<D, Args, S> {
    /// How long the decision may take before the default answers for it.
    /// Otherwise what the provider declares for the event type; 1 s where it
    /// declares nothing.
    pub fn within(mut self, budget: Duration) -> Self {
        self.budget = Some(budget);
        self
    }
}

impl<D, Args, S> fmt::Debug for ReplyHandler<D, Args, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyHandler")
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
