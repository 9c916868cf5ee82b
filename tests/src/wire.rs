//! Requests over a real socket, byte by byte.

use std::{fmt::Write as _, net::SocketAddr};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::soon;

/// A served app; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves an app as its users do.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, task }
    }

    /// A connection of one's own.
    ///
    /// # Panics
    ///
    /// When the server does not listen any more.
    pub async fn connect(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// Sends bytes on a connection of their own, and with `finish` nothing
    /// more; returns what comes back until the server closes.
    pub async fn exchange(&self, bytes: &[u8], finish: bool) -> Vec<u8> {
        let (mut from, mut to) = self.connect().await.0.into_inner().into_split();
        let mut answer = Vec::new();
        // Both at once: an answer that overtakes the request's end would be
        // lost with the reset that follows it. Either side may be cut off.
        let send = async {
            let _ = to.write_all(bytes).await;
            if finish {
                let _ = to.shutdown().await;
            }
            to
        };
        let read = from.read_to_end(&mut answer);
        let _ = soon(async { tokio::join!(send, read) }).await;
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// A connection to that address.
    ///
    /// # Panics
    ///
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(
            soon(TcpStream::connect(address)).await.unwrap(),
        ))
    }

    /// Sends bytes. A server that has closed takes no more of them; what it
    /// said before can still be read.
    pub async fn send(&mut self, bytes: &[u8]) {
        // The refusal may overtake the rest of a body.
        let _ = soon(self.0.write_all(bytes)).await;
    }

    /// How many of these bytes the server took before it closed.
    pub async fn push(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match soon(self.0.write(&bytes[sent..])).await {
                Ok(0) | Err(_) => break,
                Ok(more) => sent += more,
            }
        }
        sent
    }

    /// Ends the sending half.
    pub async fn finish(&mut self) {
        // The server may have closed already.
        let _ = soon(self.0.shutdown()).await;
    }

    /// The head of the next answer, up to and with its empty line; empty when
    /// the server closed.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match soon(self.0.read_u8()).await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// The next answer with its body, whose length it must declare.
    ///
    /// # Panics
    ///
    /// When the server closed before its end.
    pub async fn answer(&mut self) -> String {
        let head = self.head().await;
        let body = self.body_of(&head).await;
        head + &body
    }

    /// The next answer with its body, unless the server closed before its end.
    pub async fn whole_answer(&mut self) -> Option<String> {
        let head = self.head().await;
        let body = self.try_body_of(&head).await?;
        head.ends_with("\r\n\r\n").then(|| head + &body)
    }

    /// The body that belongs to a head, which must declare its length.
    ///
    /// # Panics
    ///
    /// When the server closed before its end.
    pub async fn body_of(&mut self, head: &str) -> String {
        self.try_body_of(head).await.unwrap()
    }

    async fn try_body_of(&mut self, head: &str) -> Option<String> {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.ok()?;
        Some(String::from_utf8_lossy(&body).into_owned())
    }

    /// Everything that comes until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset after the answer ends it as a close does.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        rest
    }
}

/// Writes a request's head as HTTP/1.1 and returns it with the body. Framing
/// headers are the caller's.
///
/// # Panics
///
/// When the body fails.
pub async fn head_of(request: Request<Body>) -> (String, Bytes) {
    let (parts, body) = request.into_parts();
    let mut head = format!("{} {} HTTP/1.1\r\nhost: test\r\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        write!(head, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    (head, body.collect().await.unwrap().to_bytes())
}
