//! What a handler writes in the inbox's own transaction.

use std::num::NonZeroU32;

use tower_webhooks_inbox::{Erase, SettleResult};

use super::*;
use crate::{Attempt, FromJob, Handler, HandlerError, Job, Retry};

/// What a transaction of [`Store`] holds. Dropped uncommitted, it is gone.
#[derive(Debug, Default)]
pub(super) struct Writes(pub(super) Vec<String>);

/// Writes in the job's transaction, as a store's extractor would: takes it, and
/// gives it back when it is dropped.
struct Tx(Work, Option<Writes>);

impl Tx {
    fn write(&mut self, line: &str) {
        self.1.as_mut().unwrap().0.push(line.to_owned());
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        self.0.give_back(self.1.take().unwrap());
    }
}

impl<S: Sync> FromJob<S> for Tx {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        let work = job.transaction().await?.clone();
        let writes = work.take().ok_or_else(|| HandlerError::msg("taken"))?;
        Ok(Self(work, Some(writes)))
    }
}

fn thrice() -> Retry {
    Retry::fixed(SECOND).max_attempts(NonZeroU32::new(3).unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_wrote_is_committed_with_its_completion() {
    let shop = Shop::durable();
    let events = EventRouter::new().on("*", |mut tx: Tx| async move { tx.write("paid") });
    let done = Log::default();
    let hook = done.clone();
    let _worker = shop
        .worker(events)
        .on_done(move |job| hook.note(job.event_id.to_string()))
        .spawn()
        .await
        .unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    let job = shop.until(seq, "*", JobState::Done).await;
    assert_eq!(job.attempts, 1);
    assert_eq!(shop.store.written.lines(), ["paid"]);
    tokio::time::sleep(SECOND).await;
    assert_eq!(done.lines(), ["evt_1"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_wrote_before_it_failed_is_rolled_back() {
    let shop = Shop::durable();
    let flaky = |mut tx: Tx, attempt: Attempt| async move {
        tx.write(&format!("attempt {}", attempt.number));
        match attempt.number {
            3 => Ok(()),
            _ => Err(HandlerError::msg("not yet")),
        }
    };
    let events = EventRouter::new().on("*", flaky.retry(thrice()));
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    shop.until(seq, "*", JobState::Done).await;
    assert_eq!(shop.store.written.lines(), ["attempt 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_lost_its_lease_commits_nothing() {
    let shop = Shop::durable();
    let store = shop.store.clone();
    let erasing = move |mut tx: Tx, job: Job| {
        let store = store.clone();
        async move {
            tx.write("paid");
            assert_eq!(job.attempt().number, 1);
            // Whatever takes the lease away; here it also ends the job.
            store.erase(&Erase::Event(EventSeq(1))).await.unwrap();
        }
    };
    let lost = Log::default();
    let hook = lost.clone();
    let events = EventRouter::new().on("*", erasing);
    let _worker = shop
        .worker(events)
        .on_done(move |_| hook.note("done"))
        .spawn()
        .await
        .unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    assert_eq!(seq, EventSeq(1));
    shop.until(seq, "*", JobState::Dead).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(shop.store.written.lines(), [""; 0]);
    assert_eq!(lost.lines(), [""; 0]);
    assert_eq!(*shop.store.apart.lock().unwrap(), [SettleResult::LeaseLost]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_outlives_its_handler_is_not_committed() {
    let shop = Shop::durable();
    let leaking = |tx: Tx| async move {
        tokio::spawn(async move {
            tokio::time::sleep(60 * SECOND).await;
            drop(tx);
        });
    };
    let once = Retry::none();
    let events = EventRouter::new().on("*", leaking.retry(once));
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    let job = shop.until(seq, "*", JobState::Dead).await;
    let error = job.last_error.unwrap();
    assert!(error.contains("still in use"), "{error}");
    assert!(shop.store.apart.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_is_a_failed_attempt() {
    let shop = Shop::durable();
    let unlucky = |mut tx: Tx, attempt: Attempt| async move {
        match attempt.number {
            1 => tx.write("refuse"),
            _ => tx.write("paid"),
        }
    };
    let events = EventRouter::new().on("*", unlucky.retry(thrice()));
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    let job = shop.until(seq, "*", JobState::Done).await;
    assert_eq!(job.attempts, 2);
    let error = job.last_error.unwrap();
    assert!(error.contains("a constraint"), "{error}");
    assert_eq!(shop.store.written.lines(), ["paid"]);
}

#[tokio::test(start_paused = true)]
async fn where_the_inbox_has_no_transactions_a_job_that_wants_one_is_dead() {
    let inbox: Arc<dyn Inbox> = Arc::new(MemoryInbox::new());
    let committer = Committer::start(inbox.clone(), CommitterOptions::new());
    let events = EventRouter::new().on("*", |mut tx: Tx| async move { tx.write("paid") });
    let shop = HandledEndpoint::new("shop", fixtures::provider(), events).unwrap();
    let dead = Log::default();
    let hook = dead.clone();
    let _worker = Worker::new(committer.clone(), inbox, [shop])
        .unwrap()
        .on_dead(move |job| hook.note(job.error.to_string()))
        .spawn()
        .await
        .unwrap();
    let body = fixtures::body("order.paid", "evt_1", "{}");
    let event = NewEvent::new("shop", body, SystemTime::UNIX_EPOCH);
    let stored = committer.insert(event, ()).unwrap().await.unwrap();
    assert_eq!(stored.seq(), EventSeq(1));
    while dead.lines().is_empty() {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(dead.lines(), ["the inbox has no transactions for handlers"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_woken_by_what_another_process_stored() {
    let shop = Shop::durable();
    let log = Log::default();
    let notes = log.clone();
    let handler = move || {
        let notes = notes.clone();
        async move { notes.note("ran") }
    };
    let events = EventRouter::new().on("*", handler);
    let hour = 3600 * SECOND;
    let worker = shop.worker(events).with_poll_interval(hour);
    let _worker = worker.spawn().await.unwrap();
    tokio::time::sleep(SECOND).await;

    // As another process does: past this one's committer.
    let mut event = NewEvent::new("shop", "{}", SystemTime::UNIX_EPOCH);
    event.event_type = Some(Text::from("order.paid"));
    let batch = Batch {
        inserts: vec![event],
        ..Batch::default()
    };
    shop.store.inner.apply(batch).await.unwrap();
    shop.store.elsewhere.notify_one();
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.lines(), ["ran"]);
}
