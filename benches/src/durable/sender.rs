//! Who sends: as many senders as there are connections, each waiting for its answer before it
//! sends again.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    event,
    load::{PATH, SIGNATURE, key},
};

/// What is sent, in bytes.
pub const BODY_BYTES: usize = 600;

/// Stands where the id comes, as long as every id.
const NO_ID: &str = "evt_0000000000000000";

/// An answer's header is much smaller.
const MAX_HEADERS: usize = 16;

/// Until when is sent.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// So many events are sent.
    Count(u64),
    /// So long; the answers of the first part do not count, since everything warms up.
    Time {
        /// The first part.
        warm_up: Duration,
        /// What counts.
        measured: Duration,
    },
}

/// What was sent, and how it went.
#[derive(Debug)]
pub struct Sent {
    /// All that were answered.
    pub events: u64,
    /// Of them, those that were answered in the time that counts.
    pub counted: u64,
    /// How long the answers took to requests sent in the time that counts, in microseconds.
    pub latencies: Histogram<u64>,
}

/// The senders to one receiver.
#[derive(Debug)]
pub struct Senders {
    senders: Vec<Sender>,
    /// How many events the receiver got.
    sent: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Sender {
    stream: TcpStream,
    key: Hmac<Sha256>,
    /// One request, in which id and signature are replaced.
    request: Vec<u8>,
    id_at: usize,
    signature_at: usize,
    body_at: usize,
    answer: Vec<u8>,
}

impl Senders {
    /// Connects so many.
    ///
    /// # Errors
    ///
    /// The receiver cannot be reached.
    pub async fn connect(address: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let mut senders = Vec::new();
        for _ in 0..connections {
            senders.push(Sender::connect(address).await?);
        }
        Ok(Self {
            senders,
            sent: Arc::default(),
        })
    }

    /// Sends on all connections at once.
    ///
    /// # Errors
    ///
    /// An answer is not 200.
    pub async fn send(&mut self, until: Until) -> anyhow::Result<Sent> {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for mut sender in self.senders.drain(..) {
            let numbers = Arc::clone(&self.sent);
            tasks.spawn(async move {
                let sent = sender.send_all(&numbers, started, until).await?;
                anyhow::Ok((sender, sent))
            });
        }
        let mut all = Sent::nothing()?;
        while let Some(task) = tasks.join_next().await {
            let (sender, sent) = task??;
            self.senders.push(sender);
            all.events += sent.events;
            all.counted += sent.counted;
            all.latencies.add(sent.latencies)?;
        }
        Ok(all)
    }
}

impl Sender {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let body = event::body(NO_ID, BODY_BYTES)?;
        let digest = "0".repeat(64);
        let head = format!(
            "POST {PATH} HTTP/1.1\r\n\
             host: hooks.example.com\r\n\
             user-agent: Acme-Webhooks/1.4\r\n\
             accept: */*\r\n\
             content-type: application/json\r\n\
             content-length: {BODY_BYTES}\r\n\
             {SIGNATURE}: sha256={digest}\r\n\r\n"
        );
        let place = |text: &str, part: &str| text.find(part).context("it was just written");
        let body_at = head.len();
        Ok(Self {
            stream,
            key: key()?,
            id_at: body_at + place(std::str::from_utf8(&body)?, NO_ID)?,
            signature_at: place(&head, &digest)?,
            body_at,
            request: [head.into_bytes(), body].concat(),
            answer: Vec::with_capacity(1024),
        })
    }

    async fn send_all(
        &mut self,
        numbers: &AtomicU64,
        started: Instant,
        until: Until,
    ) -> anyhow::Result<Sent> {
        let mut sent = Sent::nothing()?;
        loop {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let asked = started.elapsed();
            let (from, to) = match until {
                Until::Count(count) if number < count => (Duration::ZERO, Duration::MAX),
                Until::Time { warm_up, measured } if asked < warm_up + measured => {
                    (warm_up, warm_up + measured)
                }
                Until::Count(_) | Until::Time { .. } => return Ok(sent),
            };
            self.send_one(number).await?;
            let answered = started.elapsed();
            sent.events += 1;
            sent.counted += u64::from(answered >= from && answered < to);
            if asked >= from {
                let took = answered.saturating_sub(asked);
                sent.latencies.record(u64::try_from(took.as_micros())?)?;
            }
        }
    }

    async fn send_one(&mut self, number: u64) -> anyhow::Result<()> {
        // Spread as random ids are, so that an index of them grows as it does in earnest.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let id_at = self.id_at + "evt_".len();
        const_hex::encode_to_slice(spread, &mut self.request[id_at..id_at + 16])?;
        let mut mac = self.key.clone();
        mac.update(&self.request[self.body_at..]);
        let digest = mac.finalize().into_bytes();
        let signature = self.signature_at..self.signature_at + 64;
        const_hex::encode_to_slice(digest, &mut self.request[signature])?;
        self.stream.write_all(&self.request).await?;
        self.answered().await
    }

    async fn answered(&mut self) -> anyhow::Result<()> {
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the receiver hung up");
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut answer = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(head_bytes) = answer.parse(&self.answer)? else {
                continue;
            };
            ensure!(
                answer.code == Some(200),
                "{:?} was answered",
                answer.code.unwrap_or_default()
            );
            let length = answer
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                .context("an answer without a length")?;
            let body_bytes: usize = std::str::from_utf8(length.value)?.parse()?;
            if self.answer.len() >= head_bytes + body_bytes {
                return Ok(());
            }
        }
    }
}

impl Sent {
    fn nothing() -> anyhow::Result<Self> {
        Ok(Self {
            events: 0,
            counted: 0,
            latencies: Histogram::new(3)?,
        })
    }
}
