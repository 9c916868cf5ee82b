//! Handlers that run in order: over HTTP, with each of the inboxes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tower_webhooks::{
    Attempt, Endpoint, Event, EventRouter, Handler, HandlerError, Inbox, Job, MemoryInbox, Secrets,
    SqliteInbox, Webhooks,
    inbox::{Filter, JobState, Selection},
    testing::Sender,
};
use tower_webhooks_tests::{Form, SECRET, Server, Wire, acme, disk_folder, head_of, soon};

const RETRY: Duration = Duration::from_millis(30);

#[derive(Clone, Copy)]
enum Dead {
    Blocks,
    Passes,
}

/// How a run shall end.
enum Ending {
    Dead,
    Done,
    Retry,
}

/// A run of the handler in order, which waits to be told how it ends.
struct Run {
    id: String,
    attempt: u32,
    end: oneshot::Sender<Ending>,
}

/// A receiver of accounts' events on a socket. Its handler `ledger` runs in
/// order, `audit` does not.
struct Bank {
    webhooks: Webhooks,
    wire: Wire,
    runs: mpsc::UnboundedReceiver<Run>,
    audited: mpsc::UnboundedReceiver<String>,
    _server: Server,
}

impl Bank {
    async fn open(inbox: Arc<dyn Inbox>, dead: Dead) -> Self {
        let (tell, runs) = mpsc::unbounded_channel();
        let ledger = move |attempt: Attempt, event: Event<serde_json::Value>| async move {
            let (end, told) = oneshot::channel();
            let run = Run {
                id: event.id().to_string(),
                attempt: attempt.number,
                end,
            };
            tell.send(run).unwrap();
            match told.await.unwrap() {
                Ending::Dead => Err(HandlerError::permanent("no such account")),
                Ending::Done => Ok(()),
                Ending::Retry => Err(HandlerError::retry_after(RETRY, "the ledger is away")),
            }
        };
        let ledger = match dead {
            Dead::Blocks => ledger.in_order(),
            Dead::Passes => ledger.in_order_skipping_dead(),
        };
        let (tell, audited) = mpsc::unbounded_channel();
        let audit = move |job: Job| async move { tell.send(job.event_id().to_string()).unwrap() };
        let events = EventRouter::new()
            .on("*", ledger.named("ledger"))
            .on("*", audit.named("audit"));
        let provider = acme().with_ordering_key("/data/account");
        let endpoint = Endpoint::new("acme", provider, Secrets::new(SECRET).unwrap());
        let webhooks = Webhooks::start(inbox, [endpoint.events(events)])
            .await
            .unwrap();
        let server = Server::start(Form::Terminal.mount(&webhooks, "acme")).await;
        Self {
            webhooks,
            wire: server.connect().await,
            runs,
            audited,
            _server: server,
        }
    }

    /// Receives an event of this account, or of none, and answers when it is
    /// stored. It has reached the handler that is not in order, so whatever else
    /// could run has begun.
    async fn receive(&mut self, id: &str, account: Option<&str>) {
        let data = serde_json::json!({ "account": account });
        let body = format!(r#"{{"type":"moved","id":"{id}","data":{data}}}"#);
        let sender = Sender::new(acme(), SECRET).unwrap().to("/acme");
        let (head, body) = head_of(sender.request(body).unwrap()).await;
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), length.as_bytes(), &body].concat();
        self.wire.send(&request).await;
        let answer = self.wire.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(soon(self.audited.recv()).await.unwrap(), id);
    }

    /// The next run, which must be this event's attempt.
    async fn run(&mut self, id: &str, attempt: u32) -> Run {
        let run = soon(self.runs.recv()).await.unwrap();
        assert_eq!((run.id.as_str(), run.attempt), (id, attempt));
        run
    }

    async fn end(&mut self, id: &str, attempt: u32, ending: Ending) {
        let run = self.run(id, attempt).await;
        assert!(run.end.send(ending).is_ok(), "it still runs");
    }

    /// Nothing runs, though an event that came last has been handled elsewhere.
    async fn nothing_runs(&mut self) {
        self.receive("of nobody", None).await;
        self.end("of nobody", 1, Ending::Done).await;
        assert!(self.runs.try_recv().is_err());
    }

    async fn replay(&self, id: &str) {
        let selection = Selection {
            filter: Filter {
                id: Some(id.into()),
                job_state: Some(JobState::Dead),
                ..Filter::default()
            },
            ..Selection::default()
        };
        let replayed = self.webhooks.inbox().replay(&selection).await.unwrap();
        assert_eq!(replayed.runs.len(), 1);
        self.webhooks.wake();
    }
}

/// A folder for the files, and an inbox of each kind.
async fn inboxes() -> (TempDir, [Arc<dyn Inbox>; 2]) {
    let folder = disk_folder();
    let file: &Path = &folder.path().join("webhooks.db");
    let sqlite = SqliteInbox::open(file).await.unwrap();
    (folder, [Arc::new(MemoryInbox::new()), Arc::new(sqlite)])
}

#[tokio::test]
async fn events_of_one_account_run_as_they_were_stored_also_while_one_is_tried_again() {
    let (_folder, inboxes) = inboxes().await;
    for inbox in inboxes {
        let mut bank = Bank::open(inbox, Dead::Blocks).await;
        for id in ["a1", "a2", "a3"] {
            bank.receive(id, Some("a")).await;
        }
        bank.end("a1", 1, Ending::Retry).await;
        bank.end("a1", 2, Ending::Retry).await;
        bank.end("a1", 3, Ending::Done).await;
        let second = bank.run("a2", 1).await;
        bank.receive("a4", Some("a")).await;
        bank.receive("b1", Some("b")).await;
        // Due later than a3, and begun while a2 runs.
        bank.end("b1", 1, Ending::Done).await;
        assert!(second.end.send(Ending::Retry).is_ok());
        bank.end("a2", 2, Ending::Done).await;
        bank.end("a3", 1, Ending::Done).await;
        bank.end("a4", 1, Ending::Done).await;
    }
}

#[tokio::test]
async fn accounts_do_not_wait_for_each_other_and_who_has_none_waits_for_nobody() {
    let (_folder, inboxes) = inboxes().await;
    for inbox in inboxes {
        let mut bank = Bank::open(inbox, Dead::Blocks).await;
        bank.receive("a1", Some("a")).await;
        let first = bank.run("a1", 1).await;
        bank.receive("a2", Some("a")).await;
        bank.receive("b1", Some("b")).await;
        let other = bank.run("b1", 1).await;
        bank.receive("n1", None).await;
        bank.receive("n2", None).await;
        let (one, two) = (bank.run("n1", 1).await, bank.run("n2", 1).await);
        assert!(bank.runs.try_recv().is_err(), "a2 waits for a1 alone");
        for run in [one, two, other] {
            assert!(run.end.send(Ending::Done).is_ok());
        }
        bank.nothing_runs().await;
        assert!(first.end.send(Ending::Done).is_ok());
        bank.end("a2", 1, Ending::Done).await;
    }
}

#[tokio::test]
async fn a_dead_event_holds_up_its_account_until_it_is_replayed() {
    let (_folder, inboxes) = inboxes().await;
    for inbox in inboxes {
        let mut bank = Bank::open(inbox, Dead::Blocks).await;
        bank.receive("a1", Some("a")).await;
        bank.receive("a2", Some("a")).await;
        bank.end("a1", 1, Ending::Dead).await;
        bank.receive("a3", Some("a")).await;
        bank.nothing_runs().await;
        bank.replay("a1").await;
        bank.end("a1", 1, Ending::Done).await;
        bank.end("a2", 1, Ending::Done).await;
        bank.end("a3", 1, Ending::Done).await;
    }
}

#[tokio::test]
async fn a_dead_event_lets_its_account_pass_where_that_was_asked_for() {
    let (_folder, inboxes) = inboxes().await;
    for inbox in inboxes {
        let mut bank = Bank::open(inbox, Dead::Passes).await;
        bank.receive("a1", Some("a")).await;
        bank.receive("a2", Some("a")).await;
        bank.end("a1", 1, Ending::Dead).await;
        let second = bank.run("a2", 1).await;
        bank.receive("a3", Some("a")).await;
        bank.replay("a1").await;
        bank.nothing_runs().await;
        assert!(second.end.send(Ending::Done).is_ok());
        // Its place is still before the third.
        bank.end("a1", 1, Ending::Done).await;
        bank.end("a3", 1, Ending::Done).await;
    }
}
