//! An inbox that its receiver has open, while the command works beside it.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering as Atomic},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tower_webhooks_inbox::{
    Batch, Claim, Inbox, Inserted, Leased, NewEvent, Ordering, Pattern, Registration, Settle,
    SettleResult, Settlement, Want,
};
use tower_webhooks_postgres::{
    PostgresInbox,
    tokio_postgres::{self, Client, NoTls},
};
use tower_webhooks_sqlite::{SqliteInbox, rusqlite::Connection};

use super::{Ran, finish, webhooks};

/// Makes of each of these functions a test on a file and one on PostgreSQL.
#[allow(unused_macros, reason = "not every test binary has an inbox")]
macro_rules! on_both_stores {
    ($($name:ident)+) => {
        mod on_a_file {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(super::support::inbox::Store::File).await;
                }
            )+
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
                async fn $name() {
                    super::$name(super::support::inbox::Store::Postgres).await;
                }
            )+
        }
    };
}
#[allow(unused_imports, reason = "not every test binary has an inbox")]
pub(crate) use on_both_stores;

/// Where a test has its inbox.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Store {
    File,
    Postgres,
}

pub(crate) struct Receiver {
    folder: tempfile::TempDir,
    pub(crate) inbox: Box<dyn Inbox>,
    place: Place,
}

/// What is open.
enum Place {
    File(PathBuf),
    Postgres(Schema),
}

impl Receiver {
    pub(crate) async fn open(store: Store) -> Self {
        // On the disk that has the build, since the system's folder for temporary files
        // is often in memory, which an inbox refuses.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (inbox, place): (Box<dyn Inbox>, _) = match store {
            Store::File => {
                let file = folder.path().join("webhooks.db");
                let inbox = SqliteInbox::open(&file).await.unwrap();
                (Box::new(inbox), Place::File(file))
            }
            Store::Postgres => {
                let schema = Schema::new();
                let inbox = PostgresInbox::open(schema.url()).await.unwrap();
                (Box::new(inbox), Place::Postgres(schema))
            }
        };
        Self {
            folder,
            inbox,
            place,
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `webhooks inbox` on it with these arguments, separated by spaces.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.run_command("inbox", arguments)
    }

    /// Runs another command that takes an inbox.
    pub(crate) fn run_command(&self, name: &str, arguments: &str) -> Ran {
        let mut command = webhooks();
        match &self.place {
            Place::File(path) => command.env("INBOX", path),
            Place::Postgres(schema) => command.env("INBOX", schema.url()),
        };
        command.arg(name).args(arguments.split_whitespace());
        finish(command, "")
    }

    /// What it prints, when all is well.
    #[track_caller]
    pub(crate) fn text(&self, arguments: &str) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments}");
        ran.stdout
    }

    /// The JSON it prints, when all is well.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{arguments} --json"))).unwrap()
    }

    pub(crate) async fn register(&self, endpoint: &str, handler: &str) {
        let registration = Registration {
            endpoint: endpoint.into(),
            handler: handler.into(),
            pattern: Pattern::all(),
            fallback: false,
            ordering: Ordering::None,
        };
        let batch = Batch {
            registers: vec![registration],
            ..Batch::default()
        };
        self.inbox.apply(batch).await.unwrap();
    }

    pub(crate) async fn insert(&self, event: NewEvent) -> Inserted {
        let batch = Batch {
            inserts: vec![event],
            ..Batch::default()
        };
        self.inbox.apply(batch).await.unwrap().inserts[0]
    }

    pub(crate) async fn claim(&self, endpoint: &str, handler: &str) -> Vec<Leased> {
        let want = Want {
            endpoint: endpoint.into(),
            handler: handler.into(),
            free: 10,
        };
        let batch = Batch {
            claim: Some(Claim {
                worker: "worker".into(),
                wants: vec![want],
                lease: Duration::from_secs(30),
            }),
            ..Batch::default()
        };
        self.inbox.apply(batch).await.unwrap().claimed
    }

    /// Ends all of a handler's jobs this way.
    pub(crate) async fn end(&self, handler: &str, outcome: Settlement) {
        let settles: Vec<_> = self
            .claim("shop", handler)
            .await
            .iter()
            .map(|job| Settle {
                key: job.key(),
                token: job.token,
                outcome: outcome.clone(),
                work: None,
            })
            .collect();
        assert!(!settles.is_empty(), "{handler} has no job");
        let batch = Batch {
            settles,
            ..Batch::default()
        };
        for settled in self.inbox.apply(batch).await.unwrap().settles {
            assert_eq!(settled, SettleResult::Settled);
        }
    }

    /// As if all workers had asked for their jobs so long ago.
    pub(crate) async fn asked_seconds_ago(&self, seconds: u32) {
        match &self.place {
            Place::File(path) => {
                let sql = "UPDATE handler SET asked_at = (unixepoch('subsec') - ?1) * 1000000";
                let file = Connection::open(path).unwrap();
                file.execute(sql, [seconds]).unwrap();
            }
            Place::Postgres(schema) => {
                let sql = format!("UPDATE handler SET asked_at = now() - interval '{seconds} s'");
                schema.shell().await.batch_execute(&sql).await.unwrap();
            }
        }
    }

    /// Event 1 of the shop, with `mail` done and `ship` dead.
    pub(crate) async fn with_dead_job(store: Store) -> Self {
        let receiver = Self::open(store).await;
        receiver.register("shop", "mail").await;
        receiver.register("shop", "ship").await;
        receiver.insert(event("evt_1", "{\"order\":1}")).await;
        receiver.end("mail", Settlement::Done).await;
        let error = "no stock: \u{1b}[31mred".into();
        receiver.end("ship", Settlement::Dead { error }).await;
        receiver
    }
}

/// A schema of its own, dropped with its test.
pub(crate) struct Schema(String);

impl Schema {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let started = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let number = NEXT.fetch_add(1, Atomic::Relaxed);
        Self(format!("cli_{}_{number}_{started}", std::process::id()))
    }

    /// Names the inbox that is, or could be, in the schema.
    pub(crate) fn url(&self) -> String {
        format!("{}?schema={}", server(), self.0)
    }

    /// Its tables as `psql` sees them.
    pub(crate) async fn shell(&self) -> Client {
        let shell = connect().await;
        let set = format!("SET search_path = {}", self.0);
        shell.batch_execute(&set).await.unwrap();
        shell
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.0);
        // On a thread of its own: the test's runtime may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { connect().await.batch_execute(&drop).await.unwrap() });
        });
        // A test that fails already must not fail twice.
        let _ = dropped.join();
    }
}

async fn connect() -> Client {
    let (client, connection) = tokio_postgres::connect(&server(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn server() -> String {
    std::env::var("TOWER_WEBHOOKS_POSTGRES").unwrap()
}

/// An event of the shop's, received at 2026-03-02T10:15:30Z.
pub(crate) fn event(id: &str, body: &str) -> NewEvent {
    let mut event = NewEvent::new("shop", body.to_owned(), received());
    event.id = Some(id.into());
    event.event_type = Some("order.paid".into());
    event
}

pub(crate) fn received() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_446_530)
}
