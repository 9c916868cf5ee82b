//! Posts, as far as it is allowed to.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use reqwest::{Client, ClientBuilder, Response, Url, redirect};

use crate::Outcome;

/// How much of an answer is read.
const MAX_READ_BYTES: usize = 4096;

/// What `localhost` means.
const THIS_MACHINE: [SocketAddr; 2] = [
    // Port 0 stands for the one of the URL.
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// Where deliveries may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Anywhere,
    Loopback,
}

/// Posts deliveries. Follows no redirect, as providers do not.
#[derive(Debug)]
pub(crate) struct Carrier {
    reach: Reach,
    plain: Client,
    /// Made with the first `https` URL: a machine without certificates can
    /// still talk to itself.
    secure: OnceLock<Client>,
}

impl Carrier {
    pub(crate) fn new(reach: Reach) -> Result<Self, String> {
        // It fails only where one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = client(reach).tls_certs_only([]).build();
        Ok(Self {
            reach,
            plain: plain.map_err(|error| cause(&error))?,
            secure: OnceLock::new(),
        })
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        deadline: Duration,
    ) -> Outcome {
        let (client, url) = match self.way_to(url) {
            Ok(way) => way,
            Err(why) => return Outcome::NotSent(why),
        };
        let request = client.post(url).headers(headers).body(body);
        let answer = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let body = beginning(response).await?;
            Ok::<_, reqwest::Error>(Outcome::Answered { status, body })
        };
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => Outcome::Broken(cause(&error)),
            Err(_) => Outcome::TimedOut,
        }
    }

    fn way_to(&self, url: &str) -> Result<(&Client, Url), String> {
        let url: Url = url.parse().map_err(|_| "its URL is none".to_owned())?;
        if self.reach == Reach::Loopback && !is_loopback(&url) {
            return Err("its URL is not on this machine, and nothing else was allowed".to_owned());
        }
        match url.scheme() {
            "http" => Ok((&self.plain, url)),
            "https" => {
                if let Some(client) = self.secure.get() {
                    return Ok((client, url));
                }
                let made = client(self.reach).build().map_err(|error| cause(&error))?;
                Ok((self.secure.get_or_init(|| made), url))
            }
            _ => Err("its URL is neither http nor https".to_owned()),
        }
    }
}

fn client(reach: Reach) -> ClientBuilder {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .user_agent(concat!(
            "tower-webhooks-sandbox/",
            env!("CARGO_PKG_VERSION")
        ))
        // Each attempt stands alone: a receiver that was away and is back must
        // not meet a connection of before.
        .pool_max_idle_per_host(0)
        // Whatever a resolver says, this name stays on this machine.
        .resolve_to_addrs("localhost", &THIS_MACHINE);
    match reach {
        Reach::Anywhere => builder,
        Reach::Loopback => builder.no_proxy(),
    }
}

async fn beginning(mut response: Response) -> reqwest::Result<String> {
    let mut read = Vec::new();
    while read.len() < MAX_READ_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        read.extend_from_slice(&chunk);
    }
    read.truncate(MAX_READ_BYTES);
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// The innermost error, which says what happened; the outer ones show the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether a URL stays on this machine, whatever a resolver says.
fn is_loopback(url: &Url) -> bool {
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
    fn only_this_machine_is_reached_unless_asked() {
        let (near, far) = (
            Carrier::new(Reach::Loopback).unwrap(),
            Carrier::new(Reach::Anywhere).unwrap(),
        );
        for (url, is_near) in [
            ("http://127.0.0.1:3000/x", true),
            ("http://2130706433/", true),
            ("http://[::1]:3000", true),
            ("http://LOCALHOST:3000", true),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
            ("http://10.0.0.1", false),
            ("http://127.0.0.1@shop.example", false),
            ("http://[::ffff:10.0.0.1]/", false),
        ] {
            assert_eq!(near.way_to(url).is_ok(), is_near, "{url}");
            assert!(far.way_to(url).is_ok(), "{url}");
        }
        for url in ["", "/x", "ftp://127.0.0.1/", "file:///etc/passwd"] {
            assert!(far.way_to(url).is_err(), "{url}");
        }
    }
}
