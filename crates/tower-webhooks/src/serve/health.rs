use std::sync::Arc;

use axum::{Router, routing::get};
use http::StatusCode;

use crate::Webhooks;

/// Probes for an orchestrator, to merge into the app: `/healthz` is 200 while
/// the process answers; `/readyz` is 503 once the receiver stops accepting,
/// and 200 before.
///
/// They do not keep the receiver alive: dropping it still stops its worker.
pub fn health(webhooks: &Arc<Webhooks>) -> Router {
    let webhooks = Arc::downgrade(webhooks);
    let ready = move || {
        let accepts = webhooks
            .upgrade()
            .is_some_and(|webhooks| webhooks.is_accepting());
        let answer = if accepts {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not accepting\n")
        };
        std::future::ready(answer)
    };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}
