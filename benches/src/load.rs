//! Signed requests, sent into a receiver one after the other.

use std::time::Duration;

use anyhow::ensure;
use axum::body::Body;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use sha2::Sha256;
use tokio::runtime::Runtime;
use tower::Service as _;

use crate::{
    event,
    mode::{Mode, Receiver},
};

/// Where the receivers are mounted.
pub const PATH: &str = "/webhooks/acme";

/// The header that holds `sha256=` and the digest.
pub const SIGNATURE: &str = "x-acme-signature";

/// What is shared with the sender.
pub const SECRET: &str = "8c1ZbGkZ0mQvJt3p";

/// The sizes of the bodies that are sent.
pub const SIZES: [usize; 2] = [600, 16 * 1024];

/// How often tokio is asked again whether the last handler is done: rarely, so that asking costs
/// nothing beside the work.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A handler that is not done by then never will be.
const GIVE_UP: Duration = Duration::from_secs(10);

/// The secret, ready to use.
///
/// # Errors
///
/// None is known: HMAC takes keys of any length.
pub fn key() -> anyhow::Result<Hmac<Sha256>> {
    Ok(Hmac::new_from_slice(SECRET.as_bytes())?)
}

/// One receiver on a runtime of its own, which runs on the calling thread alone.
#[derive(Debug)]
pub struct Load {
    mode: Mode,
    body_bytes: usize,
    runtime: Runtime,
    receiver: Receiver,
    sent: u64,
}

impl Load {
    /// Starts a mode, to be sent bodies of that size.
    ///
    /// # Errors
    ///
    /// The runtime or the receiver does not start.
    pub fn start(mode: Mode, body_bytes: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let receiver = runtime.block_on(Receiver::start(mode))?;
        Ok(Self {
            mode,
            body_bytes,
            runtime,
            receiver,
            sent: 0,
        })
    }

    /// Requests as they come out of a server's parser, each with an event of its own.
    ///
    /// # Errors
    ///
    /// None is known.
    pub fn requests(&mut self, count: usize) -> anyhow::Result<Vec<Request<Body>>> {
        (0..count)
            .map(|_| {
                self.sent += 1;
                let body = event::body(&format!("evt_{:08}", self.sent), self.body_bytes)?;
                signed(body.into())
            })
            .collect()
    }

    /// Receives them all and waits until their work is done. Neither inlined nor split, so that
    /// a profiler can be told to look at this alone.
    ///
    /// # Errors
    ///
    /// An answer is not 200, or the work is not done in 10 s.
    #[inline(never)]
    pub fn serve(&mut self, requests: Vec<Request<Body>>) -> anyhow::Result<()> {
        let Receiver { router, till, .. } = &mut self.receiver;
        let count = u64::try_from(requests.len())?;
        let expected = if self.mode.settles() {
            till.events() + count
        } else {
            0
        };
        self.runtime.block_on(async {
            for request in requests {
                let response = router.call(request).await?;
                ensure!(response.status() == StatusCode::OK, "{}", response.status());
                // A server would wait for its socket now, and tasks would run.
                tokio::task::yield_now().await;
            }
            let done = async {
                while till.events() < expected {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            };
            Ok(tokio::time::timeout(GIVE_UP, done).await?)
        })
    }
}

/// A request as a provider sends it through a proxy, and as hyper's parser hands it on: the
/// values of its headers are parts of one buffer, the names are their own.
fn signed(body: Bytes) -> anyhow::Result<Request<Body>> {
    let mut mac = key()?;
    mac.update(&body);
    let digest = const_hex::encode(mac.finalize().into_bytes());
    let length = body.len().to_string();
    let signature = format!("sha256={digest}");
    let headers = [
        ("host", "hooks.example.com"),
        ("user-agent", "Acme-Webhooks/1.4"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
        ("x-acme-delivery", "7f1c3a52-54f5-4c0e-8f21-8c9b2a7c9b10"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        (SIGNATURE, signature.as_str()),
    ];
    let mut values = Bytes::from(headers.map(|(_, value)| value).concat());
    let mut request = Request::post(PATH).body(Body::from(body))?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        let value = HeaderValue::from_maybe_shared(values.split_to(value.len()))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_answers_and_does_its_work() {
        for mode in Mode::ALL {
            let mut load = Load::start(mode, 600).unwrap();
            let requests = load.requests(3).unwrap();
            load.serve(requests).unwrap();
            let settled = if mode.settles() { 3 } else { 0 };
            assert_eq!(load.receiver.till.events(), settled, "{mode:?}");
        }
    }

    #[test]
    fn every_mode_but_the_floor_refuses_a_changed_body() {
        for mode in Mode::ALL {
            let mut load = Load::start(mode, 600).unwrap();
            let (parts, _) = load.requests(1).unwrap().remove(0).into_parts();
            let other = event::body("evt_99999999", 600).unwrap();
            let request = Request::from_parts(parts, Body::from(other));
            let error = load
                .serve(vec![request])
                .err()
                .map(|error| error.to_string());
            let expected = mode.settles().then(|| "401 Unauthorized".to_owned());
            assert_eq!(error, expected, "{mode:?}");
        }
    }
}
