//! The server over real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::to_bytes, extract::ConnectInfo, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::ServiceExt as _;
use tower_webhooks::{
    DrainReport, Endpoint, EventRouter, MemoryInbox, Secrets, Webhooks, providers,
    serve::{Server, health},
    testing::Sender,
};

const SECRET: &str = "a-shared-secret";
const BODY: &str = r#"{"type":"transfer.settled","data":{}}"#;

/// Long enough that only a mistake waits for it.
const AT_LAST: Duration = Duration::from_secs(10);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<DrainReport>,
}

/// A receiver of MPPCash, behind a server as `with` makes it.
async fn start(events: EventRouter, with: impl FnOnce(Server) -> Server) -> Running {
    let secrets = Secrets::new(SECRET).unwrap();
    let endpoint = Endpoint::new("mppcash", providers::mppcash(), secrets).events(events);
    let webhooks = Webhooks::start(MemoryInbox::new(), [endpoint])
        .await
        .unwrap();
    let webhooks = Arc::new(webhooks);
    let app = Router::new()
        .route_service("/events", webhooks.endpoint("mppcash").unwrap())
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
        .merge(health(&webhooks));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = with(Server::new(listener)).serve_until(app, webhooks, async {
        let _ = stopped.await;
    });
    Running {
        address,
        stop,
        server: tokio::spawn(server),
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own, and the whole answer.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    /// Waits until the server says that it accepts no more.
    async fn is_stopping(&self) {
        let stopping = async {
            while !self.ask(READY).await.starts_with("HTTP/1.1 503") {
                tokio::task::yield_now().await;
            }
        };
        timeout(AT_LAST, stopping).await.unwrap();
    }

    async fn report(self) -> DrainReport {
        timeout(AT_LAST, self.server).await.unwrap().unwrap()
    }
}

const READY: &str = "GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
const READY_AND_STAY: &str = "GET /readyz HTTP/1.1\r\nHost: test\r\n\r\n";

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = timeout(AT_LAST, stream.read_to_end(&mut text))
        .await
        .unwrap();
    match read {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    String::from_utf8(text).unwrap()
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut text = vec![0; 4096];
    let read = timeout(AT_LAST, stream.read(&mut text))
        .await
        .unwrap()
        .unwrap();
    text.truncate(read);
    String::from_utf8(text).unwrap()
}

/// A signed delivery as it stands on the wire.
fn delivery() -> String {
    let signed = Sender::new(providers::mppcash(), SECRET)
        .unwrap()
        .request(BODY)
        .unwrap();
    let signature = signed.headers()["x-mppcash-signature"].to_str().unwrap();
    let length = BODY.len();
    format!(
        "POST /events HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         X-MPPCash-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n{BODY}"
    )
}

#[tokio::test]
async fn a_header_that_does_not_arrive_in_time_is_cut() {
    let short = Duration::from_millis(100);
    let running = start(EventRouter::new(), |server| {
        server.with_header_timeout(short)
    })
    .await;
    let mut slow = running.connect().await;
    let began = Instant::now();
    slow.write_all(b"POST /events HTTP/1.1\r\nHost: te")
        .await
        .unwrap();
    let answer = rest(&mut slow).await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert!(began.elapsed() >= short, "cut before its time");
}

#[tokio::test]
async fn a_header_that_drips_is_cut_all_the_same() {
    let short = Duration::from_millis(300);
    let running = start(EventRouter::new(), |server| {
        server.with_header_timeout(short)
    })
    .await;
    let mut slow = running.connect().await;
    let dripping = async {
        // Fails once the server has closed.
        while slow.write_all(b"POST").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(AT_LAST, dripping).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let short = Duration::from_millis(100);
    let running = start(EventRouter::new(), |server| {
        server.with_header_timeout(short)
    })
    .await;
    let mut idle = running.connect().await;
    idle.write_all(READY_AND_STAY.as_bytes()).await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn a_header_may_have_32_kib_and_not_64() {
    let running = start(EventRouter::new(), |server| server).await;
    let request = |kib: usize| {
        let padding = "x".repeat(kib * 1024);
        format!("GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX: {padding}\r\n\r\n")
    };
    let taken = running.ask(&request(31)).await;
    assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");

    let mut stream = running.connect().await;
    let began = Instant::now();
    // The server may close before it has all of it, and reset its answer.
    let _ = stream.write_all(request(65).as_bytes()).await;
    let refused = rest(&mut stream).await;
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 431"),
        "{refused}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "refused for its size, not its time"
    );
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_slot() {
    let running = start(EventRouter::new(), |server| {
        server.with_max_connections(NonZeroUsize::MIN)
    })
    .await;
    let mut first = running.connect().await;
    first.write_all(READY_AND_STAY.as_bytes()).await.unwrap();
    assert!(read_answer(&mut first).await.starts_with("HTTP/1.1 200"));

    let mut second = running.connect().await;
    second.write_all(READY.as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = timeout(Duration::from_millis(200), second.peek(&mut byte)).await;
    assert!(early.is_err(), "the bound does not hold");

    drop(first);
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn handlers_know_the_peer() {
    let running = start(EventRouter::new(), |server| server).await;
    let mut stream = running.connect().await;
    let peer = stream.local_addr().unwrap();
    stream
        .write_all(b"GET /peer HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with(&format!("\r\n\r\n{peer}")), "{answer}");
}

#[tokio::test]
async fn what_was_acknowledged_is_handled_before_the_server_ends() {
    let (handled, gate) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let events = EventRouter::new().on("transfer.settled", {
        let (handled, gate) = (handled.clone(), gate.clone());
        move || async move {
            gate.notified().await;
            handled.store(true, Ordering::SeqCst);
        }
    });
    let mut running = start(events, |server| server).await;
    assert!(running.ask(&delivery()).await.starts_with("HTTP/1.1 200"));
    let stop = std::mem::replace(&mut running.stop, oneshot::channel().0);
    stop.send(()).unwrap();

    // While the handler runs, the probe and the sender are told.
    running.is_stopping().await;
    let refused = running.ask(&delivery()).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 5\r\n"), "{refused}");
    let alive = running
        .ask("GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");

    assert!(!handled.load(Ordering::SeqCst));
    gate.notify_one();
    let address = running.address;
    assert_eq!(running.report().await.finished, 1);
    assert!(handled.load(Ordering::SeqCst));
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_delivery_in_flight_is_finished_and_handled() {
    let handled = Arc::new(AtomicBool::new(false));
    let events = EventRouter::new().on("transfer.settled", {
        let handled = handled.clone();
        move || async move { handled.store(true, Ordering::SeqCst) }
    });
    let mut running = start(events, |server| server).await;
    let (delivery, mut stream) = (delivery(), running.connect().await);
    let (begin, end) = delivery.split_at(delivery.len() - 10);
    stream.write_all(begin.as_bytes()).await.unwrap();
    // Connections are served in the order in which they came.
    assert!(running.ask(READY).await.starts_with("HTTP/1.1 200"));

    let stop = std::mem::replace(&mut running.stop, oneshot::channel().0);
    stop.send(()).unwrap();
    running.is_stopping().await;
    stream.write_all(end.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.report().await;
    assert!(handled.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_connection_that_does_not_finish_is_cut_after_half_the_grace() {
    let grace = Duration::from_millis(400);
    let mut running = start(EventRouter::new(), |server| server.with_grace(grace)).await;
    let (delivery, mut stream) = (delivery(), running.connect().await);
    let (begin, _) = delivery.split_at(delivery.len() - 10);
    stream.write_all(begin.as_bytes()).await.unwrap();
    assert!(running.ask(READY).await.starts_with("HTTP/1.1 200"));

    let stop = std::mem::replace(&mut running.stop, oneshot::channel().0);
    let began = Instant::now();
    stop.send(()).unwrap();
    assert_eq!(rest(&mut stream).await, "");
    running.report().await;
    assert!(began.elapsed() >= grace / 2);
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let mut running = start(EventRouter::new(), |server| server).await;
    let mut idle = running.connect().await;
    idle.write_all(READY_AND_STAY.as_bytes()).await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    let stop = std::mem::replace(&mut running.stop, oneshot::channel().0);
    let began = Instant::now();
    stop.send(()).unwrap();
    running.report().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn the_probes_do_not_keep_a_dropped_receiver_alive() {
    let webhooks = Webhooks::start(MemoryInbox::new(), []).await.unwrap();
    let webhooks = Arc::new(webhooks);
    let probes = health(&webhooks);
    let ask = async |path| {
        let request = http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = probes.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 100).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(ask("/readyz").await, (200, "ready\n".into()));
    webhooks.stop_accepting();
    assert_eq!(ask("/readyz").await, (503, "not accepting\n".into()));
    assert_eq!(ask("/healthz").await, (200, "alive\n".into()));
    drop(webhooks);
    assert_eq!(ask("/readyz").await, (503, "not accepting\n".into()));
}
