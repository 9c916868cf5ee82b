//! One process of a fleet: two endpoints, whose handlers note what they do.

use std::{
    env, io,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::State};
use tokio::{net::TcpListener, time::sleep};
use tower_webhooks::{
    DeadJob, DoneJob, Endpoint, EventRouter, Handler as _, HandlerError, Inbox, InboxPlace, Job,
    PostgresInbox, Retry, Role, Secrets, Webhooks,
    postgres::Tx,
    serve::{Server, health},
};
use tower_webhooks_tests::{
    acme,
    fleet::{Act, Fate, Journal, LEASE, Note},
};
use tracing_subscriber::EnvFilter;

/// So many that no kill makes a job dead.
const MAX_ATTEMPTS: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// How many handlers run at once, all together: the default.
const SLOTS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

type Done = Result<(), HandlerError>;
type AnyError = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_env_filter(EnvFilter::from_default_env())
        .init();
    let folder = env::var_os("JOURNAL").ok_or("JOURNAL")?;
    let journal = Journal::open(&PathBuf::from(folder));
    let lease = milliseconds("LEASE_MS")?.unwrap_or(LEASE);
    let slots = env::var("SLOTS").map_or(Ok(SLOTS), |text| text.parse())?;
    let inbox: Box<dyn Inbox> = match milliseconds("OPEN_WAIT_MS")? {
        None => InboxPlace::from_env("INBOX")?.open().await?,
        Some(wait) => {
            let inbox = PostgresInbox::builder(env::var("INBOX")?).with_open_wait(wait);
            Box::new(inbox.open().await?)
        }
    };

    let retry = || Retry::fixed(Duration::from_millis(200)).max_attempts(MAX_ATTEMPTS);
    let orders = EventRouter::new()
        .on("order.paid", book.named("book").retry(retry()))
        .on("order.paid", notify.named("notify").retry(retry()))
        .on("order.slow", slow.named("slow").concurrency(SLOTS))
        .with_state(journal.clone());
    let payouts = EventRouter::new()
        .on("payout.sent", pay.named("pay").retry(retry()))
        .with_state(journal.clone());
    let secrets = Secrets::from_env("WEBHOOK_SECRET")?;
    let (done, dead) = (journal.clone(), journal);
    let webhooks = Webhooks::builder()
        .with_role(Role::from_env("ROLE")?)
        .with_concurrency(slots)
        .with_worker(move |worker| worker.with_lease(lease))
        .on_done(move |it: &DoneJob| {
            done.note(Note::Done, &job(&it.handler, &it.event_id), it.attempt);
        })
        .on_dead(move |it: &DeadJob| {
            dead.note(Note::Dead, &job(&it.handler, &it.event_id), it.attempt);
        })
        .start(
            inbox,
            [
                Endpoint::new("orders", acme(), secrets.clone()).events(orders),
                Endpoint::new("payouts", acme(), secrets).events(payouts),
            ],
        )
        .await?;

    let webhooks = Arc::new(webhooks);
    let app = Router::new()
        .route_service("/orders", webhooks.endpoint("orders")?)
        .route_service("/payouts", webhooks.endpoint("payouts")?)
        .merge(health(&webhooks));
    let listener = TcpListener::bind(env::var("BIND_ADDR")?).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let mut server = Server::new(listener);
    if let Some(grace) = milliseconds("GRACE_MS")? {
        server = server.with_grace(grace);
    }
    server.serve(app, webhooks).await?;
    Ok(())
}

/// Books the event in the inbox's own transaction. Nothing but that keeps it from
/// being booked twice.
async fn book(State(journal): State<Journal>, it: Job, tx: Tx) -> Done {
    let _running = begin(&journal, &it);
    let attempt = i64::from(it.attempt().number);
    let insert = "INSERT INTO public.booking VALUES ($1, $2)";
    tx.execute(insert, &[&it.event_id().as_str(), &attempt])
        .await?;
    play(&it).await
}

async fn notify(State(journal): State<Journal>, it: Job) -> Done {
    let _running = begin(&journal, &it);
    play(&it).await
}

async fn pay(State(journal): State<Journal>, it: Job) -> Done {
    let _running = begin(&journal, &it);
    play(&it).await
}

/// Takes longer than any test waits.
async fn slow(State(journal): State<Journal>, it: Job) {
    let _running = begin(&journal, &it);
    sleep(Duration::from_secs(60)).await;
}

fn begin(journal: &Journal, it: &Job) -> tower_webhooks_tests::fleet::Begun {
    journal.begin(&job(it.handler(), it.event_id()), it.attempt().number)
}

/// Does as the script says.
async fn play(it: &Job) -> Done {
    let act = Act::of(it.event_id()).ok_or_else(|| HandlerError::permanent("not in the script"))?;
    sleep(act.pause(it.handler())).await;
    let jobs = act.jobs();
    let fate = jobs
        .iter()
        .find(|(handler, _)| *handler == it.handler().as_str());
    match fate {
        Some((_, Fate::Done)) => Ok(()),
        Some((_, Fate::FailsOnce)) if it.attempt().number > 1 => Ok(()),
        Some((_, Fate::FailsOnce)) => Err(HandlerError::msg("fails once")),
        Some((_, Fate::Dead)) | None => Err(HandlerError::permanent("fails for ever")),
    }
}

fn job(handler: &str, event: &str) -> String {
    format!("{handler}/{event}")
}

fn milliseconds(variable: &str) -> Result<Option<Duration>, AnyError> {
    let Ok(text) = env::var(variable) else {
        return Ok(None);
    };
    Ok(Some(Duration::from_millis(text.parse()?)))
}
