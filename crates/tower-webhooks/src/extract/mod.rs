//! What a handler's arguments are taken from.
//!
//! In a handler of an [`EventRouter`](crate::EventRouter) every argument is
//! taken from the [`Job`] by [`FromJob`]. Behind a
//! [`WebhookLayer`](crate::WebhookLayer), in an axum handler, [`Event<T>`] is
//! an axum extractor too, and the delivery itself is there as
//! `axum::Extension<Delivery>`.

mod decode;
mod event;
#[cfg(feature = "postgres")]
mod transaction;

#[cfg(test)]
mod tests;

pub(crate) use event::event_id;
pub use event::{Event, EventRejection};

use axum::{
    Extension,
    extract::{FromRef, State},
};
use tower_webhooks_core::Delivery;

use crate::{Attempt, HandlerError, Job};

/// Makes a handler's argument from a job. `S` is the router's state.
///
/// An error fails the attempt before the handler runs: make it
/// [`permanent`](HandlerError::permanent) if another attempt would find the
/// same. An own extractor may wait, for a permit or a connection; that counts
/// against the handler's time-out.
///
/// ```
/// use tower_webhooks::{EventRouter, FromJob, HandlerError, Job};
///
/// struct Tenant(String);
///
/// impl<S: Sync> FromJob<S> for Tenant {
///     async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
///         let tenant = job.delivery().tenant();
///         tenant
///             .map(|tenant| Self(tenant.to_string()))
///             .ok_or_else(|| HandlerError::permanent("the delivery names no tenant"))
///     }
/// }
///
/// let events = EventRouter::new().on("*", |Tenant(name): Tenant| async move {
///     println!("an event for {name}");
/// });
/// # let _: EventRouter = events;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a job",
    label = "not an argument that a handler can have",
    note = "handlers take `Event<T>` with `T: DeserializeOwned`, `Delivery`, `Attempt`, `Job`, `State<T>`, `Extension<T>`, or a type of yours that implements `FromJob`"
)]
pub trait FromJob<S>: Sized {
    /// Makes the argument.
    ///
    /// # Errors
    ///
    /// What the argument needs is not there; the attempt fails with it.
    fn from_job(job: &Job, state: &S) -> impl Future<Output = Result<Self, HandlerError>> + Send;
}

impl<S: Sync> FromJob<S> for Job {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(job.clone())
    }
}

impl<S: Sync> FromJob<S> for Delivery {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(job.delivery().clone())
    }
}

impl<S: Sync> FromJob<S> for Attempt {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(job.attempt())
    }
}

impl<S: Sync, T: FromRef<S>> FromJob<S> for State<T> {
    async fn from_job(_: &Job, state: &S) -> Result<Self, HandlerError> {
        Ok(Self(T::from_ref(state)))
    }
}

/// What the worker was given with
/// [`with_extension`](crate::Worker::with_extension). Missing, the attempt
/// fails and is tried again: the next deploy may bring it.
impl<S: Sync, T: Clone + Send + Sync + 'static> FromJob<S> for Extension<T> {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        let found = job.extensions().get::<T>().cloned();
        found.map(Self).ok_or_else(|| {
            HandlerError::msg(format_args!(
                "the worker has no extension `{}`: give it one with `with_extension`",
                std::any::type_name::<T>()
            ))
        })
    }
}
