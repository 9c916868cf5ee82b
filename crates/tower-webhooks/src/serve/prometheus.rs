use std::{future::ready, time::Duration};

use axum::routing::{MethodRouter, get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// Upper bounds of what is measured, in seconds: from an answer out of memory
/// to a handler's default time-out.
const SECONDS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// How often samples that nobody fetched are folded together.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs a Prometheus recorder for the whole process, and gives what to
/// mount at `/metrics`. Feature `prometheus`.
///
/// Call it before the receiver starts, which looks its metrics up once. Its
/// durations become histograms; for other settings, or another exporter,
/// install a recorder of your own.
///
/// ```
/// use axum::Router;
/// use tower_webhooks::serve::prometheus;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app: Router = Router::new().route("/metrics", prometheus()?);
/// assert!(prometheus().is_err(), "the process has one already");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the process has a recorder already.
///
/// # Panics
///
/// Outside of a tokio runtime, in which it keeps the recorder small.
pub fn prometheus() -> Result<MethodRouter, RecorderError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Prefix("webhooks_".to_owned()), SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| RecorderError(error.to_string()))?;
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(get(move || ready(recorder.render())))
}

/// Why no recorder could be installed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the Prometheus recorder cannot be installed: {0}")]
pub struct RecorderError(String);
