//! What was counted.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Collects the metrics of a receiver that is started while it is set.
pub struct Figures {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Figures {
    /// An empty collection.
    #[must_use]
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Makes this thread count here until the guard is dropped.
    #[must_use]
    pub fn set(&self) -> metrics::LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(&self.recorder)
    }

    /// The figure of a metric, written as `/metrics` shows it:
    /// `name{label="value"}`. Zero where it is not shown.
    #[must_use]
    pub fn of(&self, metric: &str) -> f64 {
        self.handle
            .render()
            .lines()
            .find_map(|line| line.strip_prefix(metric)?.trim().parse().ok())
            .unwrap_or_default()
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}
