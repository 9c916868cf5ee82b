//! The database goes away, hangs, or loses an answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Schema, claim, event, insert, register, registration, try_insert};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_webhooks_inbox::{Inbox, InboxErrorKind, Inserted};
use tower_webhooks_postgres::PostgresInbox;

/// The answer that a receiver gives when this fails must leave within a second.
async fn unavailable(inbox: &PostgresInbox) {
    let started = Instant::now();
    let error = try_insert(inbox, event("away")).await.unwrap_err();
    let took = started.elapsed();
    assert_eq!(error.kind(), InboxErrorKind::Unavailable, "{error:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

async fn recovers(inbox: &PostgresInbox, id: &str) -> Inserted {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match try_insert(inbox, event(id)).await {
            Ok(inserted) => return inserted,
            Err(error) if Instant::now() > until => panic!("does not recover: {error:?}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// A server that this test may kill.
struct Server(String);

impl Server {
    fn start() -> Self {
        let server = Self(format!("away-{}", std::process::id()));
        server.script("start");
        server
    }

    fn url(&self) -> String {
        self.script("url").trim().to_owned()
    }

    fn script(&self, command: &str) -> String {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let output = Command::new("scripts/postgres")
            .args([command, &self.0])
            .current_dir(workspace)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script("remove");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_killed_server_is_unavailable_within_a_second_and_then_found_again() {
    let server = Server::start();
    let schema = Schema::at(server.url());
    let inbox = schema.open().await;
    register(&inbox, registration("ship")).await;
    let before = insert(&inbox, "before").await;
    let leased = claim(&inbox, "ship", 10).await;
    assert_eq!(leased.len(), 1);

    server.script("kill");
    for _ in 0..3 {
        unavailable(&inbox).await;
    }
    assert!(inbox.get(before.seq()).await.is_err());
    server.script("start");
    let after = recovers(&inbox, "after").await;
    assert!(matches!(after, Inserted::New { jobs: 1, .. }), "{after:?}");
    let known = insert(&inbox, "before").await;
    let seq = before.seq();
    assert_eq!(known, Inserted::Duplicate { seq }, "what was acknowledged");

    server.script("restart-immediate");
    let again = recovers(&inbox, "after").await;
    let seq = after.seq();
    assert_eq!(again, Inserted::Duplicate { seq });
}

const PASS: u8 = 0;
/// Nothing goes through in either direction.
const HANG: u8 = 1;
/// What the server answers to a commit is lost, and the connection with it.
const LOSE: u8 = 2;
/// A commit never arrives, and the connection breaks.
const CUT: u8 = 3;

/// Stands between the inbox and the server.
#[derive(Clone)]
struct Proxy {
    port: u16,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            mode: Arc::new(AtomicU8::new(PASS)),
        };
        let mode = proxy.mode.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, mode.clone()));
            }
        });
        proxy
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, mode: Arc<AtomicU8>) {
    let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    let mut losing = false;
    loop {
        let mode = || mode.load(Ordering::SeqCst);
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                let commits = asked[..read].windows(7).any(|word| word == b"COMMIT\0");
                match mode() {
                    HANG => continue,
                    CUT if commits => return,
                    LOSE if commits => losing = true,
                    _ => {}
                }
                server.write_all(&asked[..read]).await.unwrap();
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                match mode() {
                    // Not before it is done: what came before the commit is answered, too.
                    _ if losing && answered[..read].windows(7).any(|word| word == b"COMMIT\0") => {
                        return;
                    }
                    HANG => continue,
                    _ if losing => continue,
                    _ => {}
                }
                if client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// With statements that are kept, or without.
async fn through_a_proxy(schema: &Schema, keeps: bool) -> (PostgresInbox, Proxy) {
    let url = common::url();
    let (_, port) = url.rsplit_once(':').unwrap();
    let (port, _) = port.split_once('/').unwrap();
    let proxy = Proxy::start(port.parse().unwrap()).await;
    let url = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    let mut inbox =
        PostgresInbox::builder(format!("{url}?sslmode=disable")).with_schema(schema.name.clone());
    if !keeps {
        inbox = inbox.without_notify();
    }
    (inbox.open().await.unwrap(), proxy)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_server_that_says_nothing_is_unavailable_within_a_second() {
    for keeps in [false, true] {
        let schema = Schema::new();
        let (inbox, proxy) = through_a_proxy(&schema, keeps).await;
        insert(&inbox, "before").await;
        proxy.set(HANG);
        for _ in 0..3 {
            unavailable(&inbox).await;
        }
        // Who waits while another tries is told with him.
        let many = (0..10).map(|_| unavailable(&inbox));
        futures_util::future::join_all(many).await;
        proxy.set(PASS);
        let after = recovers(&inbox, "after").await;
        assert!(matches!(after, Inserted::Unhandled { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn an_event_whose_answer_was_lost_is_known_when_it_comes_again() {
    for keeps in [false, true] {
        let schema = Schema::new();
        let (inbox, proxy) = through_a_proxy(&schema, keeps).await;
        register(&inbox, registration("ship")).await;
        proxy.set(LOSE);
        unavailable(&inbox).await;
        proxy.set(PASS);
        assert_eq!(schema.count("SELECT count(*) FROM event").await, 1);
        let again = recovers(&inbox, "away").await;
        assert!(matches!(again, Inserted::Duplicate { .. }), "{again:?}");
        assert_eq!(claim(&inbox, "ship", 10).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn an_event_whose_commit_did_not_arrive_is_new_when_it_comes_again() {
    for keeps in [false, true] {
        let schema = Schema::new();
        let (inbox, proxy) = through_a_proxy(&schema, keeps).await;
        proxy.set(CUT);
        unavailable(&inbox).await;
        proxy.set(PASS);
        let again = recovers(&inbox, "away").await;
        assert!(matches!(again, Inserted::Unhandled { .. }), "{again:?}");
        assert_eq!(schema.count("SELECT count(*) FROM event").await, 1);
    }
}

/// The URL with another host before the server's.
fn after(first: u16) -> String {
    let url = common::url();
    let (_, server) = url.rsplit_once('@').unwrap();
    let both = url.replace(server, &format!("127.0.0.1:{first},{server}"));
    format!("{both}?sslmode=disable&target_session_attrs=read-write")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_first_host_that_says_nothing_keeps_nobody_from_the_second() {
    let schema = Schema::new();
    // It takes connections, in the kernel at least, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = silent.local_addr().unwrap().port();
    let started = Instant::now();
    let inbox = PostgresInbox::builder(after(first))
        .with_schema(schema.name.clone())
        .with_open_wait(Duration::from_secs(5));
    let inbox = inbox.open().await.unwrap();
    insert(&inbox, "1").await;
    let many: Vec<_> = (2..10).map(|id| try_insert_soon(&inbox, id)).collect();
    futures_util::future::join_all(many).await;
    let work = inbox.begin().await.unwrap();
    assert!(work.is_some());
    assert!(started.elapsed() < Duration::from_secs(3));
    // Hints come too.
    let hint = inbox.changed();
    tokio::time::timeout(Duration::from_secs(3), hint)
        .await
        .unwrap();
}

async fn try_insert_soon(inbox: &PostgresInbox, id: u32) {
    let started = Instant::now();
    insert(inbox, &id.to_string()).await;
    assert!(started.elapsed() < Duration::from_secs(1));
}

/// Shorter than a lock is waited for.
const BRIEF: Duration = Duration::from_millis(250);

const WAITS: &str =
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'event'::regclass";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn waiting_for_a_lock_is_not_the_database_being_away() {
    let schema = Schema::new();
    let inbox = schema.builder().with_begin_timeout(BRIEF);
    let inbox = inbox.open().await.unwrap();
    insert(&inbox, "before").await;
    let mut shell = schema.shell().await;
    let holding = shell.transaction().await.unwrap();
    // What looks for keys waits for it, longer than a transaction may take to begin.
    holding.batch_execute("LOCK TABLE event").await.unwrap();
    let storing = tokio::spawn({
        let inbox = inbox.clone();
        async move { try_insert(&inbox, event("1")).await }
    });
    while schema.count(WAITS).await == 0 {
        assert!(!storing.is_finished(), "it does not wait");
    }
    let release = Instant::now() + BRIEF * 3 / 2;
    while Instant::now() < release {
        // Others are served meanwhile.
        inbox.next_due(&[common::want("ship", 1)]).await.unwrap();
    }
    holding.rollback().await.unwrap();
    let stored = storing.await.unwrap();
    assert!(
        matches!(stored, Ok(Inserted::Unhandled { .. })),
        "{stored:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn waiting_for_a_connection_of_ones_own_is_not_the_database_being_away() {
    let schema = Schema::new();
    let inbox = schema.builder().with_max_connections(2);
    let inbox = inbox.with_begin_timeout(BRIEF);
    let inbox = inbox.open().await.unwrap();
    insert(&inbox, "before").await;
    let mut shell = schema.shell().await;
    let holding = shell.transaction().await.unwrap();
    holding.batch_execute("LOCK TABLE event").await.unwrap();
    let storing: Vec<_> = ["1", "2"]
        .map(|id| {
            let inbox = inbox.clone();
            tokio::spawn(async move { try_insert(&inbox, event(id)).await })
        })
        .into();
    while schema.count(WAITS).await < 2 {
        assert!(!storing[0].is_finished(), "it does not wait");
    }
    let error = inbox.stats().await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Unavailable);
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        said,
        "no connection to the database is free: all are in use"
    );
    holding.rollback().await.unwrap();
    // At once.
    inbox.stats().await.unwrap();
}
