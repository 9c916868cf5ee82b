//! One HTTP request and what came of it.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use reqwest::{Client, Response, Url, redirect};

use crate::{failure::Failure, words::one_line};

/// How much of an answer is read in search of its first line's end.
const MAX_READ_BYTES: usize = 4096;

/// Posts to one URL.
pub(crate) struct Poster {
    client: Client,
    url: Url,
    timeout: Duration,
}

/// What a receiver answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The first line of its body, fit for a terminal.
    pub(crate) line: String,
    /// From sending the request to the end of that line.
    pub(crate) took: Duration,
}

impl Poster {
    /// Follows no redirect, as providers do not: one is an answer to show.
    pub(crate) fn new(url: &str, timeout: Duration) -> Result<Self, Failure> {
        let wrong = "--url is not a URL: write it like http://127.0.0.1:3000/mppcash/events";
        let url: Url = url.parse().map_err(|_| Failure::usage(wrong))?;
        // It fails only where one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("webhooks/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout);
        let builder = match url.scheme() {
            "https" => builder,
            // A machine without certificates can still talk to itself.
            "http" => builder.tls_certs_only([]),
            _ => return Err(Failure::usage(wrong)),
        };
        let builder = if is_loopback(&url) {
            builder.no_proxy()
        } else {
            builder
        };
        let client = builder
            .build()
            .map_err(|error| Failure::failed(format!("no TLS: {}", cause(&error))))?;
        Ok(Self {
            client,
            url,
            timeout,
        })
    }

    /// Whether it posts to what listens there on this machine.
    pub(crate) fn reaches(&self, listener: SocketAddr) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let is_same = host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|ip: IpAddr| ip == listener.ip());
        self.url.port_or_known_default() == Some(listener.port())
            && (is_same || is_loopback(&self.url))
    }

    /// Posts one body. An answer that repeats `hidden` is shown without it.
    pub(crate) async fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
        hidden: Option<&str>,
    ) -> Result<Answer, Failure> {
        let request = self
            .client
            .post(self.url.clone())
            .headers(headers)
            .body(body);
        let begun = Instant::now();
        let answer = async {
            let mut response = request.send().await?;
            let line = first_line(&mut response).await?;
            Ok((response.status().as_u16(), line))
        };
        let (status, line) = answer.await.map_err(|error| self.explain(&error))?;
        let line = match hidden {
            Some(hidden) => line.replace(hidden, "[redacted]"),
            None => line,
        };
        Ok(Answer {
            status,
            line: one_line(&line),
            took: begun.elapsed(),
        })
    }

    fn explain(&self, error: &reqwest::Error) -> Failure {
        Failure::failed(if error.is_timeout() {
            let seconds = self.timeout.as_secs_f64();
            format!("no answer within {seconds} s: raise --timeout, or see what the receiver does")
        } else if error.is_connect() {
            let cause = cause(error);
            format!("cannot connect: {cause}; check --url, and whether the receiver runs")
        } else {
            format!("no answer: {}", cause(error))
        })
    }
}

async fn first_line(response: &mut Response) -> reqwest::Result<String> {
    let mut read = Vec::new();
    while read.len() < MAX_READ_BYTES
        && !read.contains(&b'\n')
        && let Some(chunk) = response.chunk().await?
    {
        read.extend_from_slice(&chunk);
    }
    let line = read.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim_end().to_owned())
}

/// The innermost error, which says what happened. The outer ones show the URL,
/// and with it a password that may stand there.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = match error.source() {
        Some(source) => source,
        None => return "the request cannot be made".to_owned(),
    };
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// This machine's own address: no proxy leads there.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, expected) in [
            ("http://127.0.0.1:3000/x", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:3000", true),
            ("http://localhost:3000", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
            ("http://shop.example", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn only_http_urls_are_taken() {
        for url in [
            "",
            "/mppcash",
            "127.0.0.1:3000",
            "ftp://127.0.0.1/",
            "localhost:3000/x",
        ] {
            let failure = Poster::new(url, Duration::from_secs(1)).err().unwrap();
            assert!(
                failure.line().unwrap().starts_with("--url is not a URL"),
                "{url}"
            );
        }
    }
}
