//! Requests byte by byte, which no well-kept client would send.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use reqwest::Url;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How much of an answer is read in search of its first line's end.
const MAX_STATUS_LINE_BYTES: usize = 1024;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reply {
    /// The connection ended without an answer, or none was made.
    Closed,
    /// It was not waited for.
    NotAwaited,
    /// An answer of that status.
    Status(u16),
    /// Nothing within the time-out.
    TimedOut,
}

/// One step of a request.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Ends the connection without waiting for an answer.
    Cut,
    /// Sends nothing more.
    Finish,
    Pause(Duration),
    Send(Bytes),
}

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    /// An `http` URL: TLS is ended before what is tried here.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let url: Url = url
            .parse()
            .ok()
            .filter(|url: &Url| url.scheme() == "http")?;
        let host = url.host_str()?.to_owned();
        let port = url.port_or_known_default()?;
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path.push('?');
            path.push_str(query);
        }
        Some(Self {
            authority: format!("{host}:{port}"),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            path,
        })
    }

    /// A request's head with these headers.
    pub(super) fn head(&self, headers: &HeaderMap) -> Bytes {
        let mut head = format!("POST {} HTTP/1.1\r\n", self.path).into_bytes();
        let authority = HeaderValue::try_from(&self.authority).ok();
        let close = HeaderValue::from_static("close");
        let own = [
            (&header::HOST, authority.as_ref()),
            (&header::CONNECTION, Some(&close)),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in own.chain(headers) {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head.into()
    }

    /// Takes the steps on a connection of their own, and gives what came back.
    pub(super) async fn exchange(&self, steps: &[Step], patience: Duration) -> Reply {
        match timeout(patience, self.try_exchange(steps)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Reply::Closed,
            Err(_) => Reply::TimedOut,
        }
    }

    /// Whether a connection is taken.
    pub(super) async fn is_there(&self, patience: Duration) -> bool {
        let address = (self.host.as_str(), self.port);
        matches!(
            timeout(patience, TcpStream::connect(address)).await,
            Ok(Ok(_))
        )
    }

    async fn try_exchange(&self, steps: &[Step]) -> io::Result<Reply> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let (mut from, mut to) = stream.into_split();
        // Both at once: an answer may overtake the request's end, and the rest
        // of the request then meets a closed connection.
        let send = async {
            for step in steps {
                let sent = match step {
                    Step::Cut => return true,
                    Step::Finish => to.shutdown().await,
                    Step::Pause(time) => {
                        sleep(*time).await;
                        Ok(())
                    }
                    Step::Send(bytes) => to.write_all(bytes).await,
                };
                if sent.is_err() {
                    break;
                }
            }
            false
        };
        let read = async {
            let mut line = Vec::new();
            let mut piece = [0; 256];
            while line.len() < MAX_STATUS_LINE_BYTES && !line.contains(&b'\n') {
                match from.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => line.extend_from_slice(piece.get(..read).unwrap_or_default()),
                }
            }
            status(&line)
        };
        tokio::pin!(send, read);
        tokio::select! {
            is_cut = &mut send => match is_cut {
                true => Ok(Reply::NotAwaited),
                false => Ok(read.await.map_or(Reply::Closed, Reply::Status)),
            },
            status = &mut read => Ok(status.map_or(Reply::Closed, Reply::Status)),
        }
    }
}

/// The status of a line such as `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    let is_http = words.next()?.starts_with("HTTP/1.");
    is_http.then_some(())?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_nothing_else_taken_for_one() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 401\r\nx"), Some(401));
        assert_eq!(status(b"SSH-2.0-x 200\r\n"), None);
        assert_eq!(status(b""), None);
    }

    #[test]
    fn a_target_is_an_http_url() {
        let target = Target::parse("http://127.0.0.1:3000/hook?a=1").unwrap();
        let head = target.head(&HeaderMap::new());
        let expected =
            "POST /hook?a=1 HTTP/1.1\r\nhost: 127.0.0.1:3000\r\nconnection: close\r\n\r\n";
        assert_eq!(head, expected);
        assert_eq!(Target::parse("http://[::1]/").unwrap().host, "::1");
        assert!(Target::parse("https://127.0.0.1/").is_none());
    }
}
