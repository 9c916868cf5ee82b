//! Who sends to a fleet.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tower_webhooks::testing::Sender;

use super::Act;
use crate::{SECRET, Wire, acme, body, head_of};

/// A provider's connection to one receiver, kept alive.
#[derive(Debug)]
pub struct Provided {
    address: SocketAddr,
    wire: Option<Wire>,
    sender: Sender,
    /// How often the answer was 503.
    pub refused: u64,
}

/// An answer, and how long it took.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Whether it says when to come again.
    pub retry_after: bool,
    /// When the request was sent.
    pub asked: Instant,
    /// Until the answer's last byte.
    pub took: Duration,
}

impl Provided {
    /// Sends to the receiver there.
    ///
    /// # Panics
    ///
    /// Never: the secret is not empty.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self {
            address,
            wire: None,
            sender: Sender::new(acme(), SECRET).unwrap(),
            refused: 0,
        }
    }

    /// Posts an event until it is acknowledged.
    ///
    /// # Panics
    ///
    /// When it is answered otherwise than with 200 or a 503 that says when to
    /// come again, or is not acknowledged within a minute.
    pub async fn deliver(&mut self, act: Act) {
        let (path, body) = (
            format!("/{}", act.endpoint()),
            body(act.event_type(), &act.id()),
        );
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < until, "{act:?} is never acknowledged");
            match self.post(&path, &body).await {
                // Closed, because it was idle, or too slow: again at once.
                None => {}
                Some(answer) if answer.status == 200 => return,
                Some(answer) => {
                    assert_eq!(
                        (answer.status, answer.retry_after),
                        (503, true),
                        "{answer:?}"
                    );
                    self.refused += 1;
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Posts a body once. There is no answer on a connection that the receiver
    /// closes, nor after 5 s.
    ///
    /// # Panics
    ///
    /// When nobody listens, or the answer is not HTTP.
    pub async fn post(&mut self, path: &str, body: &str) -> Option<Answer> {
        let sender = self.sender.clone().to(path);
        let (head, body) = head_of(sender.request(body.to_owned()).unwrap()).await;
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), length.as_bytes(), &body].concat();
        let asked = Instant::now();
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::connect(self.address).await,
        };
        wire.send(&request).await;
        let answer = timeout(PATIENCE, wire.whole_answer()).await.ok()??;
        let took = asked.elapsed();
        self.wire = Some(wire);
        Some(Answer {
            status: answer.split(' ').nth(1).unwrap().parse().unwrap(),
            retry_after: answer.contains("\r\nretry-after: "),
            asked,
            took,
        })
    }
}

/// As the hastiest of providers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sooner than a receiver asks for: a provider that hurries is the harder one.
const AGAIN: Duration = Duration::from_millis(50);
