//! The ready-made answer for a layer around an axum route.

use axum::{
    Extension,
    response::{IntoResponse, Response},
};
use tower_webhooks_core::Delivery;

use crate::answer::AnswerBook;

/// Answers what the delivery's provider wants: `post(ack).layer(…)`. Has no
/// effects, as every answer inside the layer must: it also runs for
/// duplicates.
///
/// Without a [`WebhookLayer`](crate::WebhookLayer) around it there is no
/// delivery, and axum answers 500.
pub async fn ack(Extension(delivery): Extension<Delivery>) -> Response {
    AnswerBook::new(delivery.provider().answers())
        .acknowledge::<axum::body::Body>()
        .into_response()
}
