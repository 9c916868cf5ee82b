//! The ready-made answer for a layer around an axum route.

use std::sync::Arc;

use axum::{Extension, response::Response};
use tower_webhooks_core::Delivery;

use crate::{answer::AnswerBook, layer::gate::Gate};

/// Which gate a request came through: it has the answer ready.
#[derive(Debug, Clone)]
#[expect(
    unnameable_types,
    reason = "an argument of `ack` that only the layer fills in"
)]
pub struct ThroughGate(pub(crate) Arc<Gate>);

/// Answers what the delivery's provider wants: `post(ack).layer(…)`. Has no
/// effects, as every answer inside the layer must: it also runs for
/// duplicates.
///
/// Without a [`WebhookLayer`](crate::WebhookLayer) around it there is no
/// delivery, and axum answers 500.
pub async fn ack(
    Extension(delivery): Extension<Delivery>,
    gate: Option<Extension<ThroughGate>>,
) -> Response {
    match gate {
        Some(Extension(gate)) => gate.0.answers.acknowledge(),
        None => AnswerBook::new(delivery.provider().answers()).acknowledge(),
    }
}
