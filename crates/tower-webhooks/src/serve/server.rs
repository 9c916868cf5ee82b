use std::{io, num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    select,
    time::{Instant, timeout},
};

use super::{connections::Connections, signal};
use crate::{DrainReport, Webhooks};

/// Serves an axum app over HTTP/1, and stops without losing what it
/// acknowledged. See the [module](super).
///
/// A handler of the app finds the peer's address as axum's
/// `ConnectInfo<SocketAddr>`.
#[derive(Debug)]
#[must_use = "a server does nothing until it serves"]
pub struct Server {
    listener: TcpListener,
    header_timeout: Duration,
    max_connections: NonZeroUsize,
    grace: Duration,
}

impl Server {
    /// A server on a bound listener, with safe limits.
    pub fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            header_timeout: Duration::from_secs(10),
            max_connections: const { NonZeroUsize::new(1_024).unwrap() },
            grace: Duration::from_secs(20),
        }
    }

    /// Replaces how long a request's header may take, counted from the
    /// connection's begin or from the answer before, so that it bounds idle
    /// connections too. The default is 10 s: a sender that has an event sends
    /// its header at once.
    pub fn with_header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// Replaces how many connections are open at once; others wait in the
    /// system's queue. The default is 1,024: with 64 KiB of header each, they
    /// hold at most 64 MiB. Each is an open file: where the process may have
    /// no more than 1,024 (`ulimit -n`), raise that, or lower this.
    pub fn with_max_connections(mut self, connections: NonZeroUsize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Replaces how long stopping may take. Connections get at most half of
    /// it, handlers all of it. The default is 20 s: shorter than the 30 s that
    /// Kubernetes gives, and its half is the layer's deadline for a body.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Serves until SIGTERM or SIGINT (elsewhere than on Unix: Ctrl-C), then
    /// drains. Reports what became of the jobs.
    ///
    /// # Errors
    ///
    /// When the process cannot listen to signals; nothing was served.
    pub async fn serve(self, app: Router, webhooks: Arc<Webhooks>) -> io::Result<DrainReport> {
        let asked_to_stop = signal::asked_to_stop()?;
        Ok(self.serve_until(app, webhooks, asked_to_stop).await)
    }

    /// Serves until `shutdown` is ready, then drains. Dropping the future
    /// closes every connection at once.
    pub async fn serve_until(
        self,
        app: Router,
        webhooks: Arc<Webhooks>,
        shutdown: impl Future<Output = ()>,
    ) -> DrainReport {
        let mut connections = Connections::new(
            self.listener,
            app,
            self.header_timeout,
            self.max_connections,
        );
        let mut shutdown = pin!(shutdown);
        loop {
            select! {
                () = &mut shutdown => break,
                () = connections.accept_one() => {}
            }
        }

        tracing::info!("stopping: new deliveries are refused, handlers finish");
        webhooks.stop_accepting();
        let stopped_at = Instant::now();
        let mut open = connections.finish_open();
        let stop = async {
            let finished = timeout(self.grace / 2, async {
                while open.join_next().await.is_some() {}
            });
            if finished.await.is_err() {
                tracing::warn!(
                    connections = open.len(),
                    "connections are cut: they did not finish"
                );
                // Before the drain: what they would store now, nobody would run.
                open.shutdown().await;
            }
            webhooks
                .drain(self.grace.saturating_sub(stopped_at.elapsed()))
                .await
        };
        let mut stop = pin!(stop);
        loop {
            select! {
                report = &mut stop => break report,
                () = connections.accept_one() => {}
            }
        }
    }
}
