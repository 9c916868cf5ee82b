//! What depends on the transport: over real sockets, byte by byte.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, serve::Listener};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tower_webhooks::RejectionKind;
use tower_webhooks_tests::{Acme, Form, NO, Server, Wire, YES, body, head_of, soon};

/// A server that counts the bytes it has read and the connections it holds.
struct Counting {
    address: SocketAddr,
    read: Arc<AtomicUsize>,
    open: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Counting {
    async fn start(app: Router) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let (read, open) = (Arc::default(), watch::Sender::new(0));
        let listener = CountingListener {
            tcp,
            read: Arc::clone(&read),
            open: open.clone(),
        };
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            read,
            open,
            task,
        }
    }

    async fn connect(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// Waits until every connection has been taken and let go again.
    async fn idle(&self, connections: usize) {
        let mut open = self.open.subscribe();
        let all_gone = open.wait_for(|state| *state == connections * 2);
        soon(all_gone).await.unwrap();
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct CountingListener {
    tcp: TcpListener,
    read: Arc<AtomicUsize>,
    /// How many connections were opened, plus how many were closed.
    open: watch::Sender<usize>,
}

impl Listener for CountingListener {
    type Io = CountingStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CountingStream, SocketAddr) {
        loop {
            if let Ok((tcp, address)) = self.tcp.accept().await {
                self.open.send_modify(|state| *state += 1);
                let (read, open) = (Arc::clone(&self.read), self.open.clone());
                return (CountingStream { tcp, read, open }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

struct CountingStream {
    tcp: TcpStream,
    read: Arc<AtomicUsize>,
    open: watch::Sender<usize>,
}

impl Drop for CountingStream {
    fn drop(&mut self) {
        self.open.send_modify(|state| *state += 1);
    }
}

impl AsyncRead for CountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, into);
        self.read
            .fetch_add(into.filled().len() - before, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// More than any buffer between the two ends holds.
const FLOOD_BYTES: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn an_endless_body_without_a_signature_is_refused_at_once_and_not_drained() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let server = Counting::start(acme.app.clone()).await;
        let mut wire = server.connect().await;
        wire.send(b"POST /acme HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        // The answer is there before a byte of the body was sent.
        assert!(wire.head().await.starts_with("HTTP/1.1 401 "), "{form:?}");

        let chunk = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
        let mut sent = 0;
        while sent < FLOOD_BYTES {
            let taken = wire.push(&chunk).await;
            sent += taken;
            if taken < chunk.len() {
                break;
            }
        }
        assert!(sent < FLOOD_BYTES, "{form:?}: the server goes on taking");
        server.idle(1).await;
        let read = server.read.load(Ordering::Relaxed);
        assert!(read < 256 * 1024, "{form:?}: {read} bytes were read");
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
    }
}

#[tokio::test]
async fn an_endless_signed_body_is_cut_at_the_limit() {
    for form in Form::BOTH {
        let limit = 32 * 1024;
        let acme = Acme::start_with(
            form,
            |builder| builder,
            |endpoint| endpoint.with_max_body_bytes(limit),
        )
        .await;
        let server = Counting::start(acme.app.clone()).await;
        let mut wire = server.connect().await;
        let (head, _) = head_of(acme.request("order.paid", "evt_1")).await;
        wire.send(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())
            .await;
        let chunk = [b"1000\r\n".as_slice(), &[b'a'; 0x1000], b"\r\n"].concat();
        for _ in 0..9 {
            wire.push(&chunk).await;
        }
        assert!(wire.head().await.starts_with("HTTP/1.1 413 "), "{form:?}");
        let mut sent = 0;
        while sent < FLOOD_BYTES && wire.push(&chunk).await == chunk.len() {
            sent += chunk.len();
        }
        assert!(sent < FLOOD_BYTES, "{form:?}: the server goes on taking");
        server.idle(1).await;
        let read = server.read.load(Ordering::Relaxed);
        assert!(
            read < limit + 512 * 1024,
            "{form:?}: {read} bytes were read"
        );
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
        assert_eq!(acme.webhooks.bytes_in_flight(), 0, "{form:?}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_408_over_a_socket_too() {
    for form in Form::BOTH {
        let acme = Acme::start_with(
            form,
            |builder| builder,
            |endpoint| endpoint.with_body_deadline(Duration::from_millis(50)),
        )
        .await;
        let server = Server::start(acme.app.clone()).await;
        let (head, text) = head_of(acme.request("order.paid", "evt_1")).await;
        let mut wire = server.connect().await;
        wire.send(format!("{head}content-length: {}\r\n\r\n", text.len()).as_bytes())
            .await;
        wire.send(&text[..text.len() - 1]).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 408 "), "{form:?}");
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
    }
}

/// How a client goes in the middle of a request.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    /// Closes the connection.
    Closing,
    /// Ends its half and waits for an answer.
    HalfClosing,
}

#[tokio::test]
async fn a_client_that_closes_at_any_byte_has_sent_a_whole_event_or_none() {
    for form in Form::BOTH {
        for leaves in [Leaves::Closing, Leaves::HalfClosing] {
            let acme = Acme::start(form).await;
            let server = Counting::start(acme.app.clone()).await;
            let (mut connections, mut length) = (0, 1);
            let mut offset = 0;
            while offset <= length {
                let request = request_of_2_kib(&acme, &format!("evt_{offset:05}")).await;
                length = request.len();
                let mut wire = server.connect().await;
                wire.send(&request[..offset]).await;
                if let Leaves::HalfClosing = leaves {
                    wire.finish().await;
                    wire.rest().await;
                }
                connections += 1;
                offset += 1;
            }
            server.idle(connections).await;

            // Still serving; and what came before this is stored before this.
            let request = request_of_2_kib(&acme, "evt_after").await;
            let mut wire = server.connect().await;
            wire.send(&request).await;
            assert!(
                wire.head().await.starts_with("HTTP/1.1 200 "),
                "{form:?}, {leaves:?}"
            );
            let last = format!("evt_{length:05}");
            for record in acme.inbox.all().await {
                let id = record.event.id.as_deref().unwrap();
                assert!(
                    id == last || id == "evt_after",
                    "{form:?}, {leaves:?}: {id}"
                );
                let whole = padded("order.paid", id).len();
                assert_eq!(record.event.body_bytes, u64::try_from(whole).unwrap());
            }
            assert_eq!(acme.webhooks.bytes_in_flight(), 0, "{form:?}, {leaves:?}");
        }
    }
}

async fn request_of_2_kib(acme: &Acme, id: &str) -> Vec<u8> {
    let (head, text) = head_of(acme.signed(padded("order.paid", id))).await;
    let head = format!("{head}content-length: {}\r\n\r\n", text.len());
    [head.as_bytes(), &text].concat()
}

fn padded(event_type: &str, id: &str) -> String {
    let padding = "x".repeat(1_700);
    format!(r#"{{"type":"{event_type}","id":"{id}","data":"{padding}"}}"#)
}

#[tokio::test]
async fn a_chunked_body_verifies_wherever_it_is_cut() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let server = Server::start(acme.app.clone()).await;
        let mut wire = server.connect().await;
        for cut in 1..body("order.paid", "evt_000").len() {
            let (head, text) = head_of(acme.request("order.paid", &format!("evt_{cut:03}"))).await;
            let (left, right) = text.split_at(cut);
            let mut changed = right.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            for (right, status) in [(right, "200"), (&changed, "401")] {
                let head = format!(
                    "{head}transfer-encoding: chunked\r\n\r\n{:x};cut=here\r\n",
                    left.len()
                );
                let middle = format!("\r\n{:X}\r\n", right.len());
                let end = b"\r\n0\r\nx-acme-signature: v1=00\r\n\r\n";
                let sent = [head.as_bytes(), left, middle.as_bytes(), right, end].concat();
                wire.send(&sent).await;
                let answer = wire.answer().await;
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{form:?}, {cut}"
                );
                assert!(answer.ends_with(if status == "200" { YES } else { NO }));
            }
        }
    }
}

#[test]
fn the_verdict_does_not_depend_on_the_frames_of_a_body() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for form in Form::BOTH {
        let acme = runtime.block_on(Acme::start(form));
        let text = body("order.paid", "evt_1");
        let cuts = prop::collection::vec(0..=text.len(), 0..20);
        let flip = prop::option::of((0..text.len(), 0..8u32));
        let mut runner = TestRunner::default();
        let checked = runner.run(
            &(cuts, flip, any::<bool>()),
            |(mut cuts, flip, trailers)| {
                cuts.sort_unstable();
                let mut bytes = text.clone().into_bytes();
                if let Some((at, bit)) = flip {
                    bytes[at] ^= 1 << bit;
                }
                let mut frames = Vec::new();
                let mut from = 0;
                for cut in cuts.into_iter().chain([bytes.len()]) {
                    frames.push(Frame::data(Bytes::copy_from_slice(&bytes[from..cut])));
                    from = cut;
                }
                if trailers {
                    frames.push(Frame::trailers(http::HeaderMap::new()));
                }
                let frames = stream::iter(frames.into_iter().map(Ok::<_, Infallible>));
                let mut request = acme.signed(text.clone());
                *request.body_mut() = Body::new(StreamBody::new(frames));

                let answer = runtime.block_on(acme.ask(request));
                let expected = match flip {
                    None => (200, YES, None),
                    Some(_) => (401, NO, Some(RejectionKind::SignatureMismatch)),
                };
                prop_assert_eq!(answer.summary(), expected);
                Ok(())
            },
        );
        checked.unwrap();
        // However it was cut, it was one event.
        assert!(runtime.block_on(acme.inbox.all()).len() <= 1, "{form:?}");
    }
}

#[tokio::test]
async fn what_cannot_pass_is_refused_before_100_continue() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let server = Server::start(acme.app.clone()).await;
        let (head, text) = head_of(acme.request("order.paid", "evt_1")).await;
        let unsigned = "POST /acme HTTP/1.1\r\nhost: test\r\n";
        for (head, length, first) in [
            (unsigned, text.len(), "401"),
            (head.as_str(), 1024 * 1024 + 1, "413"),
            (head.as_str(), text.len(), "100"),
        ] {
            let mut wire = server.connect().await;
            let head = format!("{head}content-length: {length}\r\nexpect: 100-continue\r\n\r\n");
            wire.send(head.as_bytes()).await;
            let answer = wire.head().await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {first} ")),
                "{form:?}: {answer}"
            );
            if first == "100" {
                wire.send(&text).await;
                assert!(wire.head().await.starts_with("HTTP/1.1 200 "), "{form:?}");
            }
        }
        assert_eq!(acme.inbox.all().await.len(), 1, "{form:?}");
    }
}
