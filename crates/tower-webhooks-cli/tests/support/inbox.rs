//! An inbox that its receiver has open, while the command works beside it.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tower_webhooks_inbox::{
    Batch, Claim, Inbox, Inserted, Leased, NewEvent, Ordering, Pattern, Registration, Settle,
    SettleResult, Settlement, Want,
};
use tower_webhooks_sqlite::SqliteInbox;

use super::{Ran, finish, webhooks};

pub(crate) struct Receiver {
    folder: tempfile::TempDir,
    pub(crate) inbox: SqliteInbox,
}

impl Receiver {
    /// On the disk that has the build, since the system's folder for temporary
    /// files is often in memory, which an inbox refuses.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let inbox = SqliteInbox::open(folder.path().join("webhooks.db"))
            .await
            .unwrap();
        Self { folder, inbox }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `webhooks inbox` on it with these arguments, separated by spaces.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        let mut command = webhooks();
        command.env("INBOX", self.inbox.path());
        command.arg("inbox").args(arguments.split_whitespace());
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

    /// Event 1 of the shop, with `mail` done and `ship` dead.
    pub(crate) async fn with_dead_job() -> Self {
        let receiver = Self::open().await;
        receiver.register("shop", "mail").await;
        receiver.register("shop", "ship").await;
        receiver.insert(event("evt_1", "{\"order\":1}")).await;
        receiver.end("mail", Settlement::Done).await;
        let error = "no stock: \u{1b}[31mred".into();
        receiver.end("ship", Settlement::Dead { error }).await;
        receiver
    }
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
