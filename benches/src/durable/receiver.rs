//! The receivers that are compared.

use std::{
    ffi::OsStr,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, routing::post};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tower_webhooks::{
    Delivery, Endpoint, EventRouter, Handler as _, Inbox, InboxPlace, Secrets, Webhooks,
};

use super::by_hand::{self, Shop, Store};
use crate::{
    event,
    load::{PATH, SECRET, key},
    mode::provider,
};

/// One way to receive durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Receiver {
    /// A file that grows: what the disk can do.
    Log,
    /// One SQLite table, one transaction for all that wait.
    Bare,
    /// The same table, one transaction for each event.
    Naive,
    /// This library with its SQLite inbox, and a handler that does nothing.
    Inbox,
    /// The same, but the handlers wait until they are released: what storing alone takes.
    Held,
    /// One PostgreSQL table, one transaction for each event.
    #[value(name = "shared-naive")]
    SharedNaive,
    /// This library with its PostgreSQL inbox, and a handler that does nothing.
    Shared,
    /// The same, but the handlers wait until they are released.
    #[value(name = "shared-held")]
    SharedHeld,
}

impl Receiver {
    /// Those that need nothing but a folder, in the order of their table.
    pub const EMBEDDED: [Self; 5] = [Self::Log, Self::Bare, Self::Naive, Self::Inbox, Self::Held];

    /// Those that need a PostgreSQL server, in the order of theirs.
    pub const SHARED: [Self; 3] = [Self::SharedNaive, Self::Shared, Self::SharedHeld];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Bare => "bare",
            Self::Naive => "naive",
            Self::Inbox => "inbox",
            Self::Held => "held",
            Self::SharedNaive => "shared-naive",
            Self::Shared => "shared",
            Self::SharedHeld => "shared-held",
        }
    }

    /// Its name in the table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Log => "(a) log, append and fdatasync",
            Self::Bare => "(b) one table, group commit",
            Self::Naive => "(c) one table, an insert each",
            Self::Inbox => "(d) the library, jobs handled",
            Self::Held => "(e) the library, jobs left waiting",
            Self::SharedNaive => "(a) one table, an insert each",
            Self::Shared => "(b) the library, jobs handled",
            Self::SharedHeld => "(c) the library, jobs left waiting",
        }
    }

    /// What it is called beside others.
    #[must_use]
    pub fn letter(self) -> &'static str {
        self.title().split(' ').next().unwrap_or_default()
    }

    fn is_held(self) -> bool {
        matches!(self, Self::Held | Self::SharedHeld)
    }
}

/// A receiver that is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// The application.
    pub router: Router,
    /// How many jobs are done, and stored as done.
    pub handled: Arc<AtomicU64>,
    /// Lets the handlers of [`Receiver::Held`] go on.
    pub release: watch::Sender<bool>,
    /// Runs the handlers until it is dropped.
    _webhooks: Option<Webhooks>,
}

impl Mounted {
    /// Mounts a receiver that stores in this folder, or on the server of this URL, and runs so many handlers at once if it runs
    /// any. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The store cannot be made.
    pub async fn start(
        receiver: Receiver,
        place: &OsStr,
        at_once: NonZeroUsize,
    ) -> anyhow::Result<Self> {
        let folder = Path::new(place);
        let handled = Arc::new(AtomicU64::new(0));
        let (release, released) = watch::channel(!receiver.is_held());
        let store = match receiver {
            Receiver::Log => Store::log(folder)?,
            Receiver::Bare => Store::table_in_groups(folder)?,
            Receiver::Naive => Store::table(folder)?,
            Receiver::SharedNaive => {
                let url = place.to_str().context("the URL is text")?;
                Store::server(url).await?
            }
            Receiver::Inbox | Receiver::Held | Receiver::Shared | Receiver::SharedHeld => {
                let place = match receiver {
                    Receiver::Inbox | Receiver::Held => folder.join("webhooks.db").into_os_string(),
                    _ => place.to_owned(),
                };
                let inbox = InboxPlace::new(place)?.open().await?;
                let webhooks = webhooks(inbox, at_once, released, Arc::clone(&handled)).await?;
                return Ok(Self {
                    router: Router::new().route_service(PATH, webhooks.endpoint("acme")?),
                    handled,
                    release,
                    _webhooks: Some(webhooks),
                });
            }
        };
        let shop = Arc::new(Shop { key: key()?, store });
        Ok(Self {
            router: Router::new()
                .route(PATH, post(by_hand::receive))
                .with_state(shop),
            handled,
            release,
            _webhooks: None,
        })
    }
}

async fn webhooks(
    inbox: Box<dyn Inbox>,
    at_once: NonZeroUsize,
    released: watch::Receiver<bool>,
    handled: Arc<AtomicU64>,
) -> anyhow::Result<Webhooks> {
    let handle = async move |_: Delivery| {
        let mut released = released.clone();
        // An error says that the receiver stops.
        let _ = released.wait_for(|released| *released).await;
    };
    let handle = handle.concurrency(at_once).timeout(A_LONG_TIME);
    let events = EventRouter::new().on(event::TYPE, handle);
    let endpoint = Endpoint::new("acme", provider(), Secrets::new(SECRET)?).events(events);
    let webhooks = Webhooks::builder()
        .on_done(move |_| {
            handled.fetch_add(1, Ordering::Relaxed);
        })
        .start(inbox, [endpoint])
        .await?;
    Ok(webhooks)
}

/// Handlers that are held must not time out.
const A_LONG_TIME: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use rusqlite::Connection;
    use tokio::net::TcpListener;
    use tower::Service as _;

    use super::*;
    use crate::durable::sender::{Senders, Until};

    const EVENTS: u64 = 20;
    const AT_ONCE: NonZeroUsize = NonZeroUsize::new(16).unwrap();

    #[tokio::test]
    async fn every_receiver_has_stored_what_it_answered() {
        for receiver in Receiver::EMBEDDED {
            let folder = tempfile::tempdir().unwrap();
            let mounted = Mounted::start(receiver, folder.path().as_os_str(), AT_ONCE)
                .await
                .unwrap();
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(axum::serve(listener, mounted.router.clone()).into_future());
            let mut senders = Senders::connect(address, 3).await.unwrap();
            let sent = senders.send(Until::Count(EVENTS)).await.unwrap();
            assert_eq!(sent.events, EVENTS);
            assert_eq!(sent.latencies.len(), EVENTS);
            assert_eq!(stored(receiver, folder.path()), EVENTS, "{receiver:?}");
        }
    }

    fn stored(receiver: Receiver, folder: &Path) -> u64 {
        let database = match receiver {
            Receiver::Log => {
                let log = std::fs::read(folder.join("events.log")).unwrap();
                let ids = log.windows(4).filter(|bytes| bytes == b"evt_");
                // Beside the body, which has it too.
                return ids.count() as u64 / 2;
            }
            Receiver::Bare | Receiver::Naive => "events.db",
            Receiver::Inbox | Receiver::Held => "webhooks.db",
            other => panic!("{other:?} stores in no file"),
        };
        let count = Connection::open(folder.join(database)).unwrap().query_row(
            "SELECT count(DISTINCT id) FROM event",
            [],
            |row| row.get::<_, i64>(0),
        );
        u64::try_from(count.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn every_receiver_refuses_what_is_not_signed_so() {
        for receiver in Receiver::EMBEDDED {
            let folder = tempfile::tempdir().unwrap();
            let mut mounted = Mounted::start(receiver, folder.path().as_os_str(), AT_ONCE)
                .await
                .unwrap();
            let request = Request::post(PATH)
                .header(crate::load::SIGNATURE, format!("sha256={}", "0".repeat(64)))
                .body(Body::from(event::body("evt_1", 600).unwrap()))
                .unwrap();
            let response = mounted.router.call(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{receiver:?}");
        }
    }

    #[tokio::test]
    async fn held_jobs_are_handled_once_they_are_released() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Mounted::start(Receiver::Held, folder.path().as_os_str(), AT_ONCE)
            .await
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, mounted.router.clone()).into_future());
        let mut senders = Senders::connect(address, 1).await.unwrap();
        senders.send(Until::Count(EVENTS)).await.unwrap();
        assert_eq!(mounted.handled.load(Ordering::Relaxed), 0);
        mounted.release.send_replace(true);
        let all = async {
            while mounted.handled.load(Ordering::Relaxed) < EVENTS {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all)
            .await
            .unwrap();
    }
}
