//! Accepts connections and runs each in a task of its own.

use std::{io, mem, net::SocketAddr, num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tower_service::Service;

/// A request's header of this size is taken. The buffer grows in powers of two
/// and ends below twice of it, where the header is refused.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// How long to wait when the system has no file or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Connections {
    listener: TcpListener,
    app: Router,
    http: http1::Builder,
    slots: Arc<Semaphore>,
    tasks: JoinSet<()>,
    /// Dropped when the connections of `tasks` are to finish.
    open: watch::Sender<()>,
}

impl Connections {
    pub(super) fn new(
        listener: TcpListener,
        app: Router,
        header_timeout: Duration,
        max_connections: NonZeroUsize,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(MAX_HEADER_BYTES);
        let max_connections = max_connections.get().min(Semaphore::MAX_PERMITS);
        Self {
            listener,
            app,
            http,
            slots: Arc::new(Semaphore::new(max_connections)),
            tasks: JoinSet::new(),
            open: watch::Sender::new(()),
        }
    }

    /// Accepts one connection, when a slot is free. Dropping the future
    /// before it is ready loses none.
    pub(super) async fn accept_one(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return;
        };
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole: waiting to fill a packet only
                // delays them. Refused, the connection is merely slower.
                let _ = stream.set_nodelay(true);
                let connection = Connection {
                    stream,
                    peer,
                    slot,
                    open: self.open.subscribe(),
                };
                self.tasks
                    .spawn(connection.run(self.http.clone(), self.app.clone()));
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Lets the open connections finish what they began, and hands them over.
    /// From now on each new one serves a single request.
    pub(super) fn finish_open(&mut self) -> JoinSet<()> {
        self.http.keep_alive(false);
        self.open = watch::Sender::new(());
        mem::take(&mut self.tasks)
    }
}

/// Whether a connection failed, and not the listener.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    open: watch::Receiver<()>,
}

impl Connection {
    async fn run(mut self, http: http1::Builder, app: Router) {
        let peer = self.peer;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().call(request)
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(self.stream), service));
        let ended = select! {
            ended = connection.as_mut() => ended,
            _ = self.open.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
        drop(self.slot);
    }
}
