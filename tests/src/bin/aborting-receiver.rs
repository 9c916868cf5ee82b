//! Receivers of the examples, and one of our own, whose process ends: the crash
//! tests run it.
//!
//! `RECEIVER` says which, `FAIL_POINT` and `FAIL_AT` where its process ends and
//! at which time, and `NOTES` a file that gets a line for what its handlers do.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use axum::Router;
use cryptomate_receiver::{Cards, Ledger};
use mppcash_receiver::{
    Alerts, Desk, TopUp,
    books::{self, Books},
};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_webhooks::{
    Amount, Completion, Endpoint, Event, EventRouter, Handler as _, HandlerError, Inbox, Retry,
    Secrets, SqliteInbox, Webhooks, WebhooksBuilder,
    providers::{
        RawJson,
        cryptomate::{APPROVED, CardTransaction, Common, Deposit},
    },
    serve::{Server, health, print_handled},
    sqlite::SqliteWork,
};
use tower_webhooks_tests::{AbortingInbox, FailPoint, KILLING_ATTEMPTS, acme};

/// A row for each order.
const BOOKS: &str = "CREATE TABLE IF NOT EXISTS book (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID";
const BOOK: &str = "INSERT INTO book VALUES (?1)";

type Done = Result<(), HandlerError>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let setting = |name: &'static str| env::var(name).context(name);
    let secrets = Secrets::from_env("WEBHOOK_SECRET")?;
    let effects = Noted::to(&setting("NOTES")?)?;
    let armed = match env::var("FAIL_POINT") {
        Ok(name) => {
            let point: FailPoint = name.parse().map_err(anyhow::Error::msg)?;
            Some((point, setting("FAIL_AT")?.parse()?))
        }
        Err(_) => None,
    };
    let tables = format!("{};\n{BOOKS}", books::TABLES);
    let file = SqliteInbox::builder(setting("INBOX")?).with_tables(tables);
    let inbox = AbortingInbox::new(file.open().await?, armed);
    let builder = Webhooks::builder().on_done(print_handled);
    let (app, webhooks) = match &*setting("RECEIVER")? {
        "acme" => killing(secrets, effects, inbox, builder).await?,
        "cryptomate-receiver" => cryptomate_receiver::app(secrets, effects, inbox, builder).await?,
        "mppcash-receiver" => {
            let desk = Desk {
                books: Books::File,
                effects,
                top_up: None,
            };
            mppcash_receiver::app(secrets, desk, inbox, builder).await?
        }
        other => bail!("RECEIVER: {other} is none of them"),
    };
    let listener = TcpListener::bind(setting("BIND_ADDR")?).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let app = app.merge(health(&webhooks));
    Server::new(listener).serve(app, webhooks).await?;
    Ok(())
}

/// One handler for every order, which commits a row with its job, and another
/// for lost ones, which ends the process.
async fn killing(
    secrets: Secrets,
    effects: Noted,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let books = |order: Event<Value>| async move {
        let id = order.id().to_string();
        let work = SqliteWork::new(move |tx| tx.execute(BOOK, [id]).map(drop));
        Completion::with_work(work.into())
    };
    let kills = move |order: Event<Value>| {
        let noted = effects.note("ended by", order.id());
        async move {
            match noted {
                Ok(()) => std::process::abort(),
                Err(error) => Err::<(), _>(error),
            }
        }
    };
    let retry = Retry::exponential().max_attempts(KILLING_ATTEMPTS);
    let events = EventRouter::new()
        .on("order.*", books.named("books").retry(retry))
        .on("order.lost", kills.named("kills").retry(retry));
    let endpoint = Endpoint::new("acme", acme(), secrets).events(events);
    let webhooks = builder.start(inbox, [endpoint]).await?;
    let app = Router::new().route_service("/acme", webhooks.endpoint("acme")?);
    Ok((app, Arc::new(webhooks)))
}

/// Writes down what is done, in a file that outlives the process.
#[derive(Debug, Clone)]
struct Noted(Arc<File>);

impl Noted {
    fn to(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(file)))
    }

    fn note(&self, what: &str, which: &str) -> Done {
        // In one write: others append to the same file.
        let line = format!("{what} {which}\n");
        (&*self.0)
            .write_all(line.as_bytes())
            .map_err(HandlerError::new)
    }
}

impl Alerts for Noted {
    async fn alert(&self, key: &str, _: &str, _: &str) -> Done {
        self.note("alerted", key)
    }
}

impl TopUp for Noted {
    async fn top_up(&self, _: &str, to: &str, _: &Amount) -> Done {
        self.note("topped-up", to)
    }
}

impl Ledger for Noted {
    async fn credit(&self, key: &str, _: &Deposit) -> Done {
        self.note("credited", key)
    }
}

impl Cards for Noted {
    /// Approves everything: what is declined was not decided here.
    async fn decide(&self, wanted: &CardTransaction) -> Result<&'static str, HandlerError> {
        self.note("decided", &wanted.merchant_data.name)?;
        Ok(APPROVED)
    }

    async fn follow(&self, _: &str, operation: &Common, _: &RawJson) -> Done {
        self.note("followed", &operation.operation_id)
    }
}
