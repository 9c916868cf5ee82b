//! Async functions as handlers.

use std::{num::NonZeroUsize, time::Duration};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::BoxFuture;

use super::{Configured, HandlerSettings};
use crate::{FromJob, IntoOutcome, Job, Outcome, Retry};

/// An async function or closure that handles an event.
///
/// Implemented for every `FnOnce` that can be cloned, whose up to eight
/// arguments each implement [`FromJob`], and whose future returns something
/// that is [`IntoOutcome`]. There is no need to implement it by hand.
///
/// `Args` and `S` (the router's state) are found by the compiler. Import the
/// trait to write `handler.named("…")` and its siblings; they make a
/// [`Configured`] handler. Where the compiler does not find these methods, the
/// function is no handler: pass it to [`on`](crate::EventRouter::on) without
/// them to be told why.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler",
    label = "not an event handler",
    note = "a handler is an `async fn`, an async closure, or a closure that returns a future that is `Send`",
    note = "each argument implements `FromJob`: `Event<T>` with `T: DeserializeOwned`, `Delivery`, `Attempt`, `Job`, `State<T>`, `Extension<T>`; at most eight",
    note = "it returns `()`, `Completion`, `Outcome`, or `Result<(), E>` with `E: Into<HandlerError>`"
)]
pub trait Handler<Args, S>: Clone + Send + Sync + Sized + 'static {
    /// Runs the handler once. What an argument's extraction refuses becomes
    /// the outcome.
    fn call(self, job: Job, state: S) -> BoxFuture<'static, Outcome>;

    /// What the handler was told; the defaults for a plain function.
    fn settings(&self) -> HandlerSettings {
        HandlerSettings::default()
    }

    /// Gives the handler its durable name; otherwise its pattern is its name.
    fn named(self, name: impl Into<Text>) -> Configured<Self, Args, S> {
        Configured::new(self).named(name)
    }

    /// Bounds one run, the default is 30 s: it is then dropped at its next
    /// `await`, and the attempt has failed.
    fn timeout(self, timeout: Duration) -> Configured<Self, Args, S> {
        Configured::new(self).timeout(timeout)
    }

    /// Says how failures are tried again; [`Retry::exponential`] otherwise.
    fn retry(self, retry: Retry) -> Configured<Self, Args, S> {
        Configured::new(self).retry(retry)
    }

    /// Runs the handler's jobs of one ordering key one after another, in the
    /// order in which their events were stored: the next begins when the one
    /// before it is done. **One that dies holds up those behind it** until it is
    /// replayed or erased. The endpoint's provider says what the key is; see
    /// [ordering](crate::guide::ordering).
    fn in_order(self) -> Configured<Self, Args, S> {
        Configured::new(self).in_order()
    }

    /// Like [`in_order`](Self::in_order), but a job that dies lets those behind
    /// it pass: they run although the handler never succeeded for it.
    fn in_order_skipping_dead(self) -> Configured<Self, Args, S> {
        Configured::new(self).in_order_skipping_dead()
    }

    /// Bounds how many runs of this handler a worker has at once, the default
    /// is 16: few enough for a database's pool, enough to hide its latency.
    fn concurrency(self, at_once: NonZeroUsize) -> Configured<Self, Args, S> {
        Configured::new(self).concurrency(at_once)
    }
}

macro_rules! impl_handler {
    ($($arg:ident),*) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_variables, reason = "one macro for every number of arguments, also none")]
        impl<F, Fut, S, $($arg,)*> Handler<($($arg,)*), S> for F
        where
            F: FnOnce($($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send,
            S: Send + Sync + 'static,
            $($arg: FromJob<S> + Send,)*
        {
            fn call(self, job: Job, state: S) -> BoxFuture<'static, Outcome> {
                Box::pin(async move {
                    $(
                        let $arg = match $arg::from_job(&job, &state).await {
                            Ok(argument) => argument,
                            Err(error) => return Outcome::failed(error),
                        };
                    )*
                    self($($arg),*).await.into_outcome()
                })
            }
        }
    };
}

super::names::every_arity!(impl_handler);
