use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::Semaphore;
use tower_webhooks_core::Text;

use super::*;
use crate::{
    Applied, Batch, BoxFuture, DecidedBy, EventState, Filter, MemoryInbox, Page, Pattern, Reply,
    Settlement, Want, Work, forward_inbox,
};

/// A store that can be held up and made to fail, over one in memory.
#[derive(Debug)]
struct Faulty {
    inner: MemoryInbox,
    /// One permit lets one batch through.
    gate: Semaphore,
    /// The sizes of the batches that were applied: intake, settles.
    batches: Mutex<Vec<(usize, usize)>>,
    applies: AtomicUsize,
    /// Ids of events of which nothing can be stored.
    bad: HashSet<&'static str>,
    /// Ids that cannot be stored, of bodies that can.
    bad_ids: HashSet<&'static str>,
    /// The errors that settles cannot be stored with, and the handlers whose jobs
    /// cannot be claimed.
    bad_words: HashSet<&'static str>,
    failing: Mutex<Option<InboxErrorKind>>,
    refusing_intake: AtomicBool,
    panicking: AtomicBool,
    short: AtomicBool,
    writers: usize,
}

impl Faulty {
    fn new(permits: usize) -> Self {
        Self {
            inner: MemoryInbox::new(),
            gate: Semaphore::new(permits),
            batches: Mutex::default(),
            applies: AtomicUsize::new(0),
            bad: HashSet::new(),
            bad_ids: HashSet::new(),
            bad_words: HashSet::new(),
            failing: Mutex::default(),
            refusing_intake: AtomicBool::new(false),
            panicking: AtomicBool::new(false),
            short: AtomicBool::new(false),
            writers: 1,
        }
    }

    fn open() -> Self {
        Self::new(Semaphore::MAX_PERMITS)
    }

    fn check_batch(&self, batch: &Batch) -> Result<(), InboxErrorKind> {
        assert!(!self.panicking.swap(false, Ordering::SeqCst), "as asked");
        if let Some(kind) = *self.failing.lock().unwrap() {
            return Err(kind);
        }
        let intake = batch.inserts.len() + batch.reserves.len();
        if self.refusing_intake.load(Ordering::SeqCst) && intake > 0 {
            return Err(InboxErrorKind::Full);
        }
        let is_bad = |event: &NewEvent| {
            let id = event.id.as_deref().unwrap_or_default();
            let mut bodies = self.bad.iter().map(|id| format!("body of {id}"));
            self.bad_ids.contains(id) || bodies.any(|body| event.body == body)
        };
        let of_settle = |settle: &Settle| match &settle.outcome {
            Settlement::Dead { error } => self.bad_words.contains(error.as_str()),
            _ => false,
        };
        let wants = batch.claim.iter().flat_map(|claim| &claim.wants);
        let mut handlers = wants.map(|want| want.handler.as_str());
        if batch.inserts.iter().any(is_bad)
            || batch.settles.iter().any(of_settle)
            || handlers.any(|handler| self.bad_words.contains(handler))
        {
            return Err(InboxErrorKind::Data);
        }
        Ok(())
    }
}

impl Inbox for Faulty {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            self.applies.fetch_add(1, Ordering::SeqCst);
            for event in &batch.inserts {
                assert!(event.body_sha256.is_some(), "hashed before it is stored");
            }
            self.check_batch(&batch)
                .map_err(|kind| InboxError::new(kind, "as asked"))?;
            let size = (
                batch.inserts.len() + batch.reserves.len(),
                batch.settles.len(),
            );
            let mut applied = self.inner.apply(batch).await?;
            self.batches.lock().unwrap().push(size);
            if self.short.load(Ordering::SeqCst) {
                applied.inserts.pop();
            }
            Ok(applied)
        })
    }

    fn writers(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.writers).unwrap()
    }

    forward_inbox!(self => self.inner; begin settle_apart changed next_due list get stats replay
        prune retire erase check);
}

fn event(id: &str) -> NewEvent {
    let mut event = NewEvent::new("shop", format!("body of {id}"), SystemTime::UNIX_EPOCH);
    event.id = Some(Text::from(id));
    event
}

fn start(inbox: &Arc<Faulty>) -> Committer {
    Committer::start(inbox.clone(), CommitterOptions::new())
}

fn claim() -> Claim {
    Claim {
        worker: Text::from("worker"),
        wants: vec![Want {
            endpoint: Text::from("shop"),
            handler: Text::from("ship"),
            free: 100,
        }],
        lease: Duration::from_secs(30),
    }
}

async fn register(committer: &Committer) {
    register_handler(committer, "ship").await;
}

async fn register_handler(committer: &Committer, handler: &str) {
    let registration = Registration {
        endpoint: Text::from("shop"),
        handler: Text::from(handler),
        pattern: Pattern::all(),
        fallback: false,
        ordering: crate::Ordering::None,
    };
    let registered = committer.register(vec![registration]).unwrap();
    registered.await.unwrap();
}

async fn claim_all(committer: &Committer) -> Vec<Leased> {
    let worked = committer.work(vec![], vec![], Some(claim())).unwrap();
    worked.await.unwrap().claimed
}

fn settle(job: &Leased, outcome: Settlement) -> Settle {
    Settle {
        key: job.key(),
        token: job.token,
        outcome,
        work: None,
    }
}

fn kind<T: fmt::Debug>(result: Result<T, InboxError>) -> InboxErrorKind {
    result.unwrap_err().kind()
}

/// Lets the committer take what waits, up to where the store holds it.
async fn let_it_run() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_waits_during_a_commit_shares_the_next_one() {
    let inbox = Arc::new(Faulty::new(0));
    let committer = start(&inbox);
    let first = committer.insert(event("0"), ()).unwrap();
    let_it_run().await;
    let rest: Vec<_> = (1..=50)
        .map(|id| committer.insert(event(&id.to_string()), ()).unwrap())
        .collect();
    inbox.gate.add_permits(2);
    let mut seqs = HashSet::from([first.await.unwrap().seq()]);
    for pending in rest {
        seqs.insert(pending.await.unwrap().seq());
    }
    assert_eq!(seqs.len(), 51, "each has its own answer");
    assert_eq!(*inbox.batches.lock().unwrap(), [(1, 0), (50, 0)]);
}

#[tokio::test]
async fn of_two_writers_one_gathers_while_the_other_commits() {
    let inbox = Arc::new(Faulty {
        writers: 2,
        ..Faulty::new(0)
    });
    let committer = start(&inbox);
    let mut pending = Vec::new();
    // The first two find a writer each; the rest waits for whichever is done first.
    for id in ["a", "b"] {
        pending.push(committer.insert(event(id), ()).unwrap());
        let_it_run().await;
    }
    for id in 0..10 {
        pending.push(committer.insert(event(&id.to_string()), ()).unwrap());
    }
    let other = committer.clone();
    let closing = tokio::spawn(async move { other.close().await });
    inbox.gate.add_permits(2);
    let_it_run().await;
    assert!(
        !closing.is_finished(),
        "a writer still waits for its commit"
    );
    inbox.gate.add_permits(1);
    closing.await.unwrap();
    let mut seqs = HashSet::new();
    for pending in pending {
        seqs.insert(pending.await.unwrap().seq());
    }
    assert_eq!(seqs.len(), 12, "each has its own answer");
    assert_eq!(*inbox.batches.lock().unwrap(), [(1, 0), (1, 0), (10, 0)]);
}

#[tokio::test]
async fn a_batch_is_bounded_in_events_and_bytes() {
    for options in [
        CommitterOptions::new().with_max_batch_events(3),
        // Each body has 9 bytes: the third reaches the limit.
        CommitterOptions::new().with_max_batch_bytes(20),
    ] {
        let inbox = Arc::new(Faulty::open());
        let committer = Committer::start(inbox.clone(), options);
        let pending: Vec<_> = (0..7)
            .map(|id| committer.insert(event(&id.to_string()), ()).unwrap())
            .collect();
        for pending in pending {
            pending.await.unwrap();
        }
        let batches = inbox.batches.lock().unwrap().clone();
        assert_eq!(batches, [(3, 0), (3, 0), (1, 0)], "{options:?}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_intake_but_not_what_finishes_it() {
    let inbox = Arc::new(Faulty::new(0));
    let options = CommitterOptions::new().with_max_queued_events(2);
    let committer = Committer::start(inbox.clone(), options);
    let _held_up = committer.insert(event("0"), ()).unwrap();
    let_it_run().await;
    let _first = committer.insert(event("1"), ()).unwrap();
    let _second = committer.insert(event("2"), ()).unwrap();
    let refused = committer.insert(event("3"), ());
    assert_eq!(kind(refused), InboxErrorKind::Full);
    let worked = committer.work(vec![], vec![], Some(claim())).unwrap();
    inbox.gate.add_permits(2);
    worked.await.unwrap();
}

#[tokio::test]
async fn one_bad_event_refuses_no_other() {
    let mut inbox = Faulty::open();
    inbox.bad = HashSet::from(["3", "11"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    committer
        .insert(event("before"), ())
        .unwrap()
        .await
        .unwrap();
    let job = claim_all(&committer).await.remove(0);

    let inserts: Vec<_> = (0..16)
        .map(|id| committer.insert(event(&id.to_string()), ()).unwrap())
        .collect();
    let done = settle(&job, Settlement::Done);
    let worked = committer.work(vec![done], vec![], Some(claim())).unwrap();
    let mut refused = Vec::new();
    for (id, pending) in inserts.into_iter().enumerate() {
        match pending.await {
            Ok(inserted) => assert!(matches!(inserted, Inserted::New { jobs: 1, .. })),
            Err(error) => {
                assert_eq!(error.kind(), InboxErrorKind::Data);
                refused.push(id);
            }
        }
    }
    assert_eq!(refused, [3, 11]);
    let worked = worked.await.unwrap();
    assert_eq!(worked.settles, [SettleResult::Settled], "applied once");
    assert_eq!(worked.claimed.len(), 14, "after all intake");
    // Without those that would keep at least the bytes.
    let applies = inbox.applies.load(Ordering::SeqCst) - refused.len();
    assert!(
        applies < 20,
        "a search by halves, not one by one: {applies}"
    );
}

#[tokio::test]
async fn events_of_one_delivery_stay_together_whatever_fails_beside_them() {
    let mut inbox = Faulty::open();
    inbox.bad = HashSet::from(["3", "b2"]);
    let inbox = Arc::new(inbox);
    let options = CommitterOptions::new().with_max_batch_events(12);
    let committer = Committer::start(inbox.clone(), options);
    register(&committer).await;
    let all = |ids: [&str; 3]| ids.map(event).to_vec();
    let counted = Arc::new(Mutex::new(Vec::new()));
    let count = || {
        let counted = Arc::clone(&counted);
        move |inserted: &[Inserted]| counted.lock().unwrap().push(inserted.len())
    };
    let insert_all = |ids| committer.insert_all_then(all(ids), count()).unwrap();

    let before = committer.insert(event("3"), ()).unwrap();
    let good = insert_all(["a1", "a2", "a3"]);
    let bad = insert_all(["b1", "b2", "b3"]);
    let again = insert_all(["a3", "c1", "a1"]);
    let after = committer.insert(event("4"), ()).unwrap();
    let none = committer.insert_all_then(Vec::new(), count()).unwrap();
    assert_eq!(kind(before.await), InboxErrorKind::Data);
    assert_eq!(kind(bad.await), InboxErrorKind::Data, "sent again");
    let seqs: Vec<_> = good.await.unwrap().iter().map(|one| one.seq()).collect();
    let again = again.await.unwrap();
    assert!(matches!(again[0], Inserted::Duplicate { seq } if seq == seqs[2]));
    assert!(matches!(again[1], Inserted::New { jobs: 1, .. }));
    assert!(matches!(again[2], Inserted::Duplicate { seq } if seq == seqs[0]));
    after.await.unwrap();
    assert!(none.await.unwrap().is_empty());
    assert_eq!(*counted.lock().unwrap(), [3, 2, 3]);
    let stored = inbox.stats().await.unwrap();
    assert_eq!(
        stored.events[&EventState::Routed],
        7,
        "a1, a2, a3, b1, b3, c1 and 4"
    );
    for (size, _) in inbox.batches.lock().unwrap().iter() {
        assert!(
            [0, 1, 3, 4, 6, 7].contains(size),
            "none is torn apart: {size}"
        );
    }
}

#[tokio::test]
async fn an_event_that_the_store_refuses_is_kept_as_unusable_and_those_beside_it_run() {
    let mut inbox = Faulty::open();
    inbox.bad_ids = HashSet::from(["b2", "4"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    let counted = Arc::new(Mutex::new(Vec::new()));
    let send = || {
        let counted = Arc::clone(&counted);
        let count = move |inserted: &[Inserted]| counted.lock().unwrap().push(inserted.len());
        let delivery = ["b1", "b2", "b3"].map(event).to_vec();
        let delivery = committer.insert_all_then(delivery, count).unwrap();
        (delivery, committer.insert(event("4"), ()).unwrap())
    };
    let mut wakeups = committer.wakeups();
    let (delivery, alone) = send();
    let found = delivery.await.unwrap();
    assert!(matches!(found[0], Inserted::New { jobs: 1, .. }));
    assert!(matches!(found[1], Inserted::Unusable { .. }));
    assert!(matches!(found[2], Inserted::New { jobs: 1, .. }));
    let alone = alone.await.unwrap();
    assert!(matches!(alone, Inserted::Unusable { .. }), "{alone:?}");
    assert!(wakeups.next().await, "for b1 and b3");

    let stored = inbox.get(found[1].seq()).await.unwrap().unwrap();
    assert_eq!(stored.event.state, EventState::Unusable);
    assert_eq!(stored.event.unusable.as_deref(), Some("refused-by-inbox"));
    assert_eq!(stored.event.body.as_deref(), Some(&b"body of b2"[..]));
    assert_eq!((&stored.event.id, stored.jobs.len()), (&None, 0));

    let (delivery, again) = send();
    for (again, first) in delivery.await.unwrap().iter().zip(&found) {
        assert_eq!(*again, Inserted::Duplicate { seq: first.seq() });
    }
    let seq = alone.seq();
    assert_eq!(again.await.unwrap(), Inserted::Duplicate { seq });

    // The same body with another header may be another event: its type is kept nowhere else.
    let mut other = event("4");
    other.headers = [("x-topic".into(), "orders/paid".into())].into();
    let other = committer.insert(other, ()).unwrap();
    assert_eq!(kind(other.await), InboxErrorKind::Data, "sent again");
    assert_eq!(*counted.lock().unwrap(), [3, 3]);
}

#[tokio::test]
async fn what_was_not_stored_of_a_delivery_when_the_inbox_went_away_comes_again() {
    let mut inbox = Faulty::new(3);
    inbox.bad_ids = HashSet::from(["2"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    let counted = Arc::new(AtomicUsize::new(0));
    let send = || {
        let counted = Arc::clone(&counted);
        let count = move |inserted: &[Inserted]| {
            counted.fetch_add(inserted.len(), Ordering::SeqCst);
        };
        let delivery = ["1", "2", "3"].map(event).to_vec();
        committer.insert_all_then(delivery, count).unwrap()
    };
    // Registered, all three, the first alone: then it waits for the other two.
    let delivery = send();
    let_it_run().await;
    *inbox.failing.lock().unwrap() = Some(InboxErrorKind::Unavailable);
    inbox.gate.add_permits(100);
    assert_eq!(kind(delivery.await), InboxErrorKind::Unavailable);
    assert_eq!(counted.load(Ordering::SeqCst), 1, "the first is stored");

    *inbox.failing.lock().unwrap() = None;
    let found = send().await.unwrap();
    assert!(matches!(found[0], Inserted::Duplicate { .. }));
    assert!(matches!(found[1], Inserted::Unusable { .. }));
    assert!(matches!(found[2], Inserted::New { jobs: 1, .. }));
}

#[tokio::test]
async fn a_batch_is_bounded_in_the_events_of_deliveries_too() {
    let inbox = Arc::new(Faulty::new(0));
    let options = CommitterOptions::new().with_max_batch_events(4);
    let committer = Committer::start(inbox.clone(), options);
    let first = committer.insert(event("0"), ()).unwrap();
    let_it_run().await;
    let all = |first: u32| (first..first + 3).map(|id| event(&id.to_string()));
    let pending: Vec<_> = [1, 4, 7]
        .into_iter()
        .map(|first| {
            committer
                .insert_all_then(all(first).collect(), |_| ())
                .unwrap()
        })
        .collect();
    inbox.gate.add_permits(10);
    first.await.unwrap();
    for pending in pending {
        assert_eq!(pending.await.unwrap().len(), 3);
    }
    let batches = inbox.batches.lock().unwrap().clone();
    assert_eq!(batches, [(1, 0), (6, 0), (3, 0)]);
}

#[tokio::test]
async fn a_full_store_still_settles() {
    let inbox = Arc::new(Faulty::open());
    let committer = start(&inbox);
    register(&committer).await;
    committer.insert(event("1"), ()).unwrap().await.unwrap();
    let job = claim_all(&committer).await.remove(0);
    inbox.refusing_intake.store(true, Ordering::SeqCst);
    let refused = committer.insert(event("2"), ()).unwrap();
    let settles = vec![settle(&job, Settlement::Done)];
    let worked = committer.work(settles, vec![], None).unwrap();
    assert_eq!(kind(refused.await), InboxErrorKind::Full);
    assert_eq!(worked.await.unwrap().settles, [SettleResult::Settled]);
}

#[tokio::test]
async fn a_failed_commit_answers_everyone_and_the_next_one_works() {
    let inbox = Arc::new(Faulty::open());
    let committer = start(&inbox);
    *inbox.failing.lock().unwrap() = Some(InboxErrorKind::Unavailable);
    let pending = ["1", "2"].map(|id| committer.insert(event(id), ()).unwrap());
    let worked = committer.work(vec![], vec![], Some(claim())).unwrap();
    for pending in pending {
        assert_eq!(kind(pending.await), InboxErrorKind::Unavailable);
    }
    assert_eq!(kind(worked.await), InboxErrorKind::Unavailable);
    assert_eq!(inbox.applies.load(Ordering::SeqCst), 1, "not tried again");
    *inbox.failing.lock().unwrap() = None;
    let inserted = committer.insert(event("1"), ()).unwrap().await.unwrap();
    assert!(
        matches!(inserted, Inserted::Unhandled { .. }),
        "{inserted:?}"
    );
}

#[tokio::test]
async fn a_panic_of_the_store_is_a_failed_commit() {
    let inbox = Arc::new(Faulty::open());
    let committer = start(&inbox);
    inbox.panicking.store(true, Ordering::SeqCst);
    let failed = committer.insert(event("1"), ()).unwrap().await;
    assert_eq!(kind(failed), InboxErrorKind::Unavailable);
    committer.insert(event("1"), ()).unwrap().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_the_store_left_out_is_an_error() {
    let inbox = Arc::new(Faulty::open());
    let committer = start(&inbox);
    inbox.short.store(true, Ordering::SeqCst);
    let pending = ["1", "2"].map(|id| committer.insert(event(id), ()).unwrap());
    let [first, second] = pending;
    first.await.unwrap();
    assert_eq!(kind(second.await), InboxErrorKind::Unavailable);
}

#[tokio::test]
async fn a_dropped_answer_takes_nothing_back() {
    let inbox = Arc::new(Faulty::new(0));
    let committer = start(&inbox);
    drop(committer.insert(event("1"), ()).unwrap());
    inbox.gate.add_permits(1);
    committer.close().await;
    let stored = inbox.list(&Filter::default(), Page::default()).await;
    assert_eq!(stored.unwrap().events[0].event.id.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_guard_is_dropped_when_the_event_is_applied_or_refused() {
    let inbox = Arc::new(Faulty::new(0));
    let committer = start(&inbox);
    let guard = Arc::new(());
    let pending = committer.insert(event("1"), guard.clone()).unwrap();
    let_it_run().await;
    assert_eq!(Arc::strong_count(&guard), 2, "held while it waits");
    inbox.gate.add_permits(1);
    pending.await.unwrap();
    assert_eq!(Arc::strong_count(&guard), 1);

    *inbox.failing.lock().unwrap() = Some(InboxErrorKind::Full);
    let reserve = Reserve {
        event: event("2"),
        hold: Duration::from_secs(1),
    };
    let pending = committer.reserve(reserve, guard.clone()).unwrap();
    inbox.gate.add_permits(1);
    assert_eq!(kind(pending.await), InboxErrorKind::Full);
    assert_eq!(Arc::strong_count(&guard), 1);
}

#[tokio::test]
async fn closing_applies_what_waits_and_refuses_the_rest() {
    let inbox = Arc::new(Faulty::new(0));
    let committer = start(&inbox);
    let pending: Vec<_> = (0..5)
        .map(|id| committer.insert(event(&id.to_string()), ()).unwrap())
        .collect();
    let other = committer.clone();
    let closing = tokio::spawn(async move { other.close().await });
    let_it_run().await;
    let late = committer.insert(event("late"), ());
    assert_eq!(kind(late), InboxErrorKind::Closed);
    let late = committer.work(vec![], vec![], None);
    assert_eq!(kind(late), InboxErrorKind::Closed);
    assert!(!closing.is_finished(), "waits for the commit");
    inbox.gate.add_permits(100);
    closing.await.unwrap();
    for pending in pending {
        pending.await.unwrap();
    }
    committer.close().await;
}

#[tokio::test]
async fn dropping_every_handle_ends_the_task_after_what_waits() {
    let inbox = Arc::new(Faulty::open());
    let committer = start(&inbox);
    let pending = committer.insert(event("1"), ()).unwrap();
    drop(committer);
    pending.await.unwrap();
    let_it_run().await;
    assert_eq!(Arc::strong_count(&inbox), 1, "the task has let go of it");
}

#[tokio::test]
async fn two_claims_each_get_their_own_jobs() {
    let inbox = Arc::new(Faulty::new(2));
    let committer = start(&inbox);
    register(&committer).await;
    register_handler(&committer, "bill").await;
    let insert = committer.insert(event("1"), ()).unwrap();
    let ship = committer.work(vec![], vec![], Some(claim())).unwrap();
    let mut bill = claim();
    bill.wants[0].handler = Text::from("bill");
    let bill = committer.work(vec![], vec![], Some(bill)).unwrap();
    inbox.gate.add_permits(2);
    insert.await.unwrap();
    for (pending, handler) in [(ship, "ship"), (bill, "bill")] {
        let claimed = pending.await.unwrap().claimed;
        assert_eq!(claimed.len(), 1, "{handler}");
        assert_eq!(claimed[0].handler, handler);
    }
}

#[tokio::test]
async fn intake_comes_first_in_the_halves_of_a_failed_batch_too() {
    let mut inbox = Faulty::new(1);
    inbox.bad = HashSet::from(["bad"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    // The second claim is kept for the next batch, so it comes before the events.
    let first = committer.work(vec![], vec![], Some(claim())).unwrap();
    let second = committer.work(vec![], vec![], Some(claim())).unwrap();
    let_it_run().await;
    let bad = committer.insert(event("bad"), ()).unwrap();
    let good = committer.insert(event("good"), ()).unwrap();
    inbox.gate.add_permits(100);
    assert!(first.await.unwrap().claimed.is_empty());
    assert_eq!(kind(bad.await), InboxErrorKind::Data);
    let good = good.await.unwrap().seq();
    let claimed = second.await.unwrap().claimed;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].event.seq, good);
}

#[tokio::test]
async fn a_decision_goes_through_the_committer() {
    let inbox = Arc::new(Faulty::open());
    let committer = start(&inbox);
    let reserve = || Reserve {
        event: event("1"),
        hold: Duration::from_secs(1),
    };
    let reserved = committer.reserve(reserve(), ()).unwrap().await.unwrap();
    let Reserved::New { seq, token } = reserved else {
        panic!("{reserved:?}");
    };
    let reply = Reply {
        status: 200,
        content_type: None,
        body: "00".into(),
    };
    let record = RecordReply {
        seq,
        token,
        reply: reply.clone(),
        by: DecidedBy::Handler,
    };
    let recorded = committer.record(record).unwrap().await.unwrap();
    assert_eq!(recorded, Recorded::Stored);
    let again = committer.reserve(reserve(), ()).unwrap().await.unwrap();
    assert_eq!(again, Reserved::Recorded { seq, reply });
}

#[tokio::test]
async fn jobs_that_come_or_come_back_wake_the_worker() {
    let inbox = Arc::new(Faulty::open());
    let committer = start(&inbox);
    let mut wakeups = committer.wakeups();
    let quiet = async |wakeups: &mut Wakeups| {
        tokio::select! {
            biased;
            woken = wakeups.next() => panic!("woken: {woken}"),
            () = let_it_run() => {}
        }
    };
    committer
        .insert(event("unhandled"), ())
        .unwrap()
        .await
        .unwrap();
    quiet(&mut wakeups).await;
    register(&committer).await;
    committer.insert(event("1"), ()).unwrap().await.unwrap();
    assert!(
        wakeups.next().await,
        "a new job, even before it was waited for"
    );
    committer.insert(event("1"), ()).unwrap().await.unwrap();
    quiet(&mut wakeups).await;

    let job = claim_all(&committer).await.remove(0);
    let release = vec![settle(&job, Settlement::Release)];
    committer
        .work(release, vec![], None)
        .unwrap()
        .await
        .unwrap();
    assert!(wakeups.next().await, "a job given back");
    let job = claim_all(&committer).await.remove(0);
    let done = vec![settle(&job, Settlement::Done)];
    committer.work(done, vec![], None).unwrap().await.unwrap();
    quiet(&mut wakeups).await;
    committer.wake();
    assert!(wakeups.next().await, "as asked");
    committer.close().await;
    assert!(!wakeups.next().await, "no more to come");
}

#[tokio::test]
async fn work_that_no_store_took_survives_a_search_for_bad_data() {
    let mut inbox = Faulty::open();
    inbox.bad = HashSet::from(["bad"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    committer.insert(event("1"), ()).unwrap().await.unwrap();
    let job = claim_all(&committer).await.remove(0);
    let mut done = settle(&job, Settlement::Done);
    let work = Work::new(7_u32);
    done.work = Some(work.clone());
    let bad = committer.insert(event("bad"), ()).unwrap();
    let worked = committer.work(vec![done], vec![], None).unwrap();
    assert_eq!(kind(bad.await), InboxErrorKind::Data);
    let results = worked.await.unwrap().settles;
    assert!(
        matches!(results[..], [SettleResult::WorkRefused(_)]),
        "{results:?}"
    );
    assert_eq!(work.take::<u32>(), Some(7));
}

fn dead(job: &Leased, error: &'static str) -> Settle {
    let error = Text::from_static(error);
    settle(job, Settlement::Dead { error })
}

#[tokio::test]
async fn one_bad_settle_refuses_only_itself() {
    let mut inbox = Faulty::open();
    inbox.bad_words = HashSet::from(["odd"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    for id in 0..17 {
        let insert = committer.insert(event(&id.to_string()), ()).unwrap();
        insert.await.unwrap();
    }
    let mut jobs = claim_all(&committer).await;
    let held = jobs.pop().unwrap();
    let mut wakeups = committer.wakeups();
    let before = inbox.applies.load(Ordering::SeqCst);
    let settles = jobs.iter().enumerate().map(|(place, job)| match place {
        3 => dead(job, "odd"),
        11 => settle(job, Settlement::Release),
        _ => dead(job, "as usual"),
    });
    let extend = Extend {
        key: held.key(),
        token: held.token,
        by: Duration::from_secs(60),
    };
    let asked = committer.work(settles.collect(), vec![extend], Some(claim()));
    let worked = asked.unwrap().await.unwrap();
    assert_eq!(worked.settles.len(), 16);
    for (place, result) in worked.settles.iter().enumerate() {
        match place {
            3 => assert_eq!(*result, SettleResult::Refused(Text::from("as asked"))),
            _ => assert_eq!(*result, SettleResult::Settled, "{place}"),
        }
    }
    assert_eq!(worked.extends, [true]);
    assert_eq!(worked.claimed.len(), 1, "the one given back");
    assert_eq!(worked.claimed[0].key(), jobs[11].key());
    assert!(wakeups.next().await);
    let applies = inbox.applies.load(Ordering::SeqCst) - before;
    assert!(applies < 14, "a search by halves: {applies}");

    // Its lease is kept, so it can be settled in other words.
    let again = vec![dead(&jobs[3], "in other words")];
    let worked = committer.work(again, vec![], None).unwrap();
    assert_eq!(worked.await.unwrap().settles, [SettleResult::Settled]);
    let alone = vec![dead(&held, "odd")];
    let worked = committer.work(alone, vec![], None).unwrap().await.unwrap();
    assert!(matches!(worked.settles[..], [SettleResult::Refused(_)]));
}

#[tokio::test]
async fn a_bad_claim_refuses_no_settle() {
    let mut inbox = Faulty::open();
    inbox.bad_words = HashSet::from(["odd"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    committer.insert(event("1"), ()).unwrap().await.unwrap();
    let job = claim_all(&committer).await.remove(0);
    let mut odd = claim();
    odd.wants[0].handler = Text::from("odd");
    let done = vec![settle(&job, Settlement::Done)];
    let worked = committer.work(done, vec![], Some(odd.clone())).unwrap();
    let worked = worked.await.unwrap();
    assert_eq!(worked.settles, [SettleResult::Settled]);
    assert!(worked.claimed.is_empty());
    let alone = committer.work(vec![], vec![], Some(odd)).unwrap();
    assert_eq!(kind(alone.await), InboxErrorKind::Data);
}

#[tokio::test]
async fn an_inbox_that_goes_away_between_the_pieces_answers_so() {
    let mut inbox = Faulty::new(2);
    inbox.bad_words = HashSet::from(["odd"]);
    let inbox = Arc::new(inbox);
    let committer = start(&inbox);
    register(&committer).await;
    committer.insert(event("1"), ()).unwrap().await.unwrap();
    inbox.gate.add_permits(1);
    let job = claim_all(&committer).await.remove(0);
    let settles = vec![dead(&job, "odd"), dead(&job, "as usual")];
    let worked = committer.work(settles, vec![], None).unwrap();
    inbox.gate.add_permits(1);
    let_it_run().await;
    *inbox.failing.lock().unwrap() = Some(InboxErrorKind::Unavailable);
    inbox.gate.add_permits(10);
    assert_eq!(kind(worked.await), InboxErrorKind::Unavailable);
}
