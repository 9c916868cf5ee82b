//! Stopping a worker.

use std::{fmt, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

/// What a worker is told while it runs.
pub(super) enum Order {
    Drain {
        deadline: Instant,
        report: oneshot::Sender<DrainReport>,
    },
}

/// What became of the jobs of a drained worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Attempts that ended by themselves and were settled while draining.
    pub finished: u64,
    /// Jobs given back to the inbox: begun handlers that the deadline stopped,
    /// whose attempt does not count, and jobs claimed but not begun.
    pub released: u64,
    /// Jobs that go with the process because the inbox is not durable. Always
    /// zero for one that is.
    pub dropped: u64,
}

/// A running worker. Dropping it stops the worker at once: running handlers
/// are dropped at their next `await`, and their jobs wait in the inbox until
/// the leases end. [`drain`](Self::drain) is the way to stop.
#[must_use = "dropping the handle stops the worker"]
pub struct WorkerHandle {
    orders: mpsc::Sender<Order>,
    pump: JoinHandle<()>,
    gauges: JoinHandle<()>,
}

impl WorkerHandle {
    pub(super) fn new(
        orders: mpsc::Sender<Order>,
        pump: JoinHandle<()>,
        gauges: JoinHandle<()>,
    ) -> Self {
        Self {
            orders,
            pump,
            gauges,
        }
    }

    /// Stops claiming, lets running handlers finish for at most `within`, and
    /// gives back the jobs of the rest. Returns at the latest about a second
    /// after that.
    ///
    /// An inbox that is not durable loses what it holds with the process: then
    /// the jobs that are due now are run first, as far as time allows, and the
    /// report says how many are dropped.
    ///
    /// Dropping the future does not stop the drain. A second call waits for
    /// the same one, under the earlier of the deadlines, and reports nothing.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or_else(|| now + FAR);
        let (report, reported) = oneshot::channel();
        if self
            .orders
            .send(Order::Drain { deadline, report })
            .await
            .is_err()
        {
            return DrainReport::default();
        }
        reported.await.unwrap_or_default()
    }

    /// Whether the worker has stopped: it was drained, or its committer was
    /// closed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.pump.is_finished()
    }
}

/// A deadline that no drain reaches.
const FAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.pump.abort();
        self.gauges.abort();
    }
}

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandle")
            .field("stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}
