//! Several processes share one inbox.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    Schema, claim, done, event, insert, insert_all, register, registration, settle_all, try_insert,
};
use tokio_postgres::Client;
use tower_webhooks_inbox::{
    Batch, EventState, Inbox, InboxErrorKind, Inserted, JobState, NewEvent, Ordering, Reserve,
    Reserved, Selection, Settlement,
};
use tower_webhooks_postgres::{PostgresInbox, tokio_postgres};

/// As many processes as PostgreSQL can tell.
async fn processes(schema: &Schema, count: usize) -> Vec<PostgresInbox> {
    let mut inboxes = Vec::new();
    for _ in 0..count {
        inboxes.push(schema.open().await);
    }
    inboxes
}

/// Waits until somebody waits for a lock of this kind.
async fn somebody_waits(shell: &Client, kind: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    let sql = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND locktype = $1 AND application_name = current_setting('search_path')";
    while Instant::now() < until {
        if shell
            .query_one(sql, &[&kind])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody waits for a lock of kind {kind}");
}

/// An inbox whose connections carry the schema's name, to be found by.
async fn named(schema: &Schema) -> PostgresInbox {
    let url = format!("{}?application_name={}", common::url(), schema.name);
    let inbox = PostgresInbox::builder(url).with_schema(schema.name.clone());
    inbox.without_notify().open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn two_receivers_that_get_the_same_events_store_each_once() {
    let schema = Schema::new();
    let inboxes = processes(&schema, 2).await;
    register(&inboxes[0], registration("ship")).await;
    let receiver = |inbox: PostgresInbox, backwards: bool| async move {
        let mut ids: Vec<u32> = (0..1_000).collect();
        if backwards {
            ids.reverse();
        }
        let mut inserted = Vec::new();
        for ids in ids.chunks(100) {
            let events = ids.iter().map(|id| event(&id.to_string())).collect();
            inserted.extend(insert_all(&inbox, events).await.unwrap());
        }
        inserted
    };
    let (one, two) = (inboxes[0].clone(), inboxes[1].clone());
    let (there, back) = tokio::join!(
        tokio::spawn(receiver(one, false)),
        tokio::spawn(receiver(two, true))
    );
    let inserted: Vec<Inserted> = there.unwrap().into_iter().chain(back.unwrap()).collect();
    let new = |one: &&Inserted| matches!(one, Inserted::New { jobs: 1, .. });
    let again = |one: &&Inserted| matches!(one, Inserted::Duplicate { .. });
    assert_eq!(inserted.iter().filter(new).count(), 1_000);
    assert_eq!(inserted.iter().filter(again).count(), 1_000);
    let seqs: BTreeSet<_> = inserted.iter().map(Inserted::seq).collect();
    assert_eq!(seqs.len(), 1_000, "a duplicate is of the event stored");
    for table in ["event", "event_body", "job"] {
        let count = schema.count(&format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(count, 1_000, "{table}");
    }
    let stats = inboxes[0].stats().await.unwrap();
    assert_eq!(stats.events.get(&EventState::Routed), Some(&1_000));
    assert_eq!(stats.jobs(JobState::Pending), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn an_equal_body_at_the_same_moment_is_stored_once() {
    let schema = Schema::new();
    let inboxes = processes(&schema, 4).await;
    for round in 0..25 {
        // Without an id, with an id that nobody signed, and unusable.
        let of = |process: usize, kind: &str| {
            let mut event = NewEvent::new("shop", format!("{kind} {round}"), now());
            match kind {
                "renamed" => {
                    event.id = Some(format!("{process} {round}").into());
                    event.id_signed = false;
                }
                "unusable" => event.unusable = Some("not JSON".into()),
                _ => {}
            }
            event
        };
        let mut racers = Vec::new();
        for (process, inbox) in inboxes.iter().enumerate() {
            let inbox = inbox.clone();
            let events = ["anonymous", "renamed", "unusable"].map(|kind| of(process, kind));
            racers.push(tokio::spawn(async move {
                insert_all(&inbox, events.to_vec()).await.unwrap()
            }));
        }
        let mut stored = [0; 3];
        for racer in racers {
            for (stored, inserted) in stored.iter_mut().zip(racer.await.unwrap()) {
                *stored += usize::from(!matches!(inserted, Inserted::Duplicate { .. }));
            }
        }
        assert_eq!(stored, [1; 3], "round {round}");
    }
    let suppressed = "SELECT sum(suppressed)::bigint FROM event";
    assert_eq!(schema.count(suppressed).await, 25 * 3 * 3);
}

fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn one_of_many_receivers_decides_a_reply() {
    let schema = Schema::new();
    let inboxes = processes(&schema, 4).await;
    for round in 0..25 {
        let mut racers = Vec::new();
        for inbox in &inboxes {
            let inbox = inbox.clone();
            racers.push(tokio::spawn(async move {
                let reserve = Reserve {
                    event: event(&format!("charge {round}")),
                    hold: Duration::from_secs(30),
                };
                let batch = Batch {
                    reserves: vec![reserve],
                    ..Batch::default()
                };
                inbox.apply(batch).await.unwrap().reserves.remove(0)
            }));
        }
        let mut deciding = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Reserved::New { .. } => deciding += 1,
                Reserved::InProgress { .. } => {}
                other => panic!("decided by nobody yet, not {other:?}"),
            }
        }
        assert_eq!(deciding, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn racing_workers_never_get_one_job_twice() {
    let schema = Schema::new();
    let inboxes = processes(&schema, 4).await;
    register(&inboxes[0], registration("ship")).await;
    let events = (0..500).map(|id| event(&id.to_string())).collect();
    insert_all(&inboxes[0], events).await.unwrap();
    let mut workers = Vec::new();
    for inbox in inboxes {
        workers.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let jobs = claim(&inbox, "ship", 7).await;
                if jobs.is_empty() {
                    return taken;
                }
                let settles = jobs.iter().map(|job| done(job, None)).collect();
                settle_all(&inbox, settles).await;
                taken.extend(jobs.into_iter().map(|job| (job.event.seq, job.attempt)));
            }
        }));
    }
    let mut taken = Vec::new();
    for worker in workers {
        taken.extend(worker.await.unwrap());
    }
    assert!(taken.iter().all(|(_, attempt)| *attempt == 1));
    let once: BTreeSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), once.len()), (500, 500));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn jobs_of_one_key_run_one_at_a_time_whoever_stores_and_works() {
    let schema = Schema::new();
    let inboxes = processes(&schema, 3).await;
    let mut ordered = registration("ship");
    ordered.ordering = Ordering::Block;
    register(&inboxes[0], ordered).await;
    let mut tasks = Vec::new();
    for (process, inbox) in inboxes.iter().cloned().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut most = 0;
            let mut finished = 0;
            for round in 0..30 {
                let mut keyed = event(&format!("{process} {round}"));
                keyed.ordering_key = Some("account".into());
                try_insert(&inbox, keyed).await.unwrap();
                let jobs = claim(&inbox, "ship", 10).await;
                most = most.max(jobs.len());
                finished += jobs.len();
                settle_all(&inbox, jobs.iter().map(|job| done(job, None)).collect()).await;
            }
            (most, finished)
        }));
    }
    let mut finished = 0;
    for task in tasks {
        let (most, some) = task.await.unwrap();
        assert!(most <= 1, "{most} jobs of one key at once");
        finished += some;
    }
    loop {
        let jobs = claim(&inboxes[0], "ship", 10).await;
        if jobs.is_empty() {
            break;
        }
        finished += jobs.len();
        settle_all(
            &inboxes[0],
            jobs.iter().map(|job| done(job, None)).collect(),
        )
        .await;
    }
    assert_eq!(finished, 90, "nobody forgot to call the next");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn who_registers_waits_for_who_stores_without_knowing() {
    let schema = Schema::new();
    let inbox = named(&schema).await;
    let mut shell = schema.shell().await;
    // Somebody stores the same key and does not end: the insert has read the
    // registrations, and waits.
    let other = shell.transaction().await.unwrap();
    other.batch_execute(SAME_KEY).await.unwrap();
    let watch = schema.shell().await;
    let storing = tokio::spawn({
        let inbox = inbox.clone();
        async move { insert_all(&inbox, vec![event("a"), event("taken")]).await }
    });
    somebody_waits(&watch, "transactionid").await;
    let registering = tokio::spawn({
        let inbox = inbox.clone();
        async move { register(&inbox, registration("ship")).await }
    });
    somebody_waits(&watch, "advisory").await;
    assert!(!registering.is_finished());
    other.rollback().await.unwrap();
    let inserted = storing.await.unwrap().unwrap();
    registering.await.unwrap();
    for one in inserted {
        assert!(matches!(one, Inserted::Unhandled { .. }), "{one:?}");
    }
    let later = insert(&inbox, "b").await;
    assert!(matches!(later, Inserted::New { jobs: 1, .. }), "{later:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_renamed_body_waits_for_the_one_that_is_being_stored() {
    let schema = Schema::new();
    let inbox = named(&schema).await;
    let mut shell = schema.shell().await;
    let other = shell.transaction().await.unwrap();
    other.batch_execute(SAME_KEY).await.unwrap();
    let watch = schema.shell().await;
    let renamed = |id: &str| {
        let mut event = NewEvent::new("shop", "captured", now());
        event.id = Some(id.into());
        event.id_signed = false;
        event
    };
    // It has looked whether the body is known, and waits for the key beside it.
    let first = tokio::spawn({
        let (inbox, events) = (inbox.clone(), vec![renamed("a"), event("taken")]);
        async move { insert_all(&inbox, events).await }
    });
    somebody_waits(&watch, "transactionid").await;
    let second = tokio::spawn({
        let (inbox, event) = (inbox.clone(), renamed("b"));
        async move { try_insert(&inbox, event).await }
    });
    somebody_waits(&watch, "advisory").await;
    other.rollback().await.unwrap();
    let stored = first.await.unwrap().unwrap().remove(0);
    assert!(matches!(stored, Inserted::Unhandled { .. }), "{stored:?}");
    let seq = stored.seq();
    let again = second.await.unwrap().unwrap();
    assert_eq!(again, Inserted::Duplicate { seq });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_key_that_another_process_commits_meanwhile_is_known() {
    let schema = Schema::new();
    let inbox = named(&schema).await;
    let mut shell = schema.shell().await;
    let other = shell.transaction().await.unwrap();
    other.batch_execute(SAME_KEY).await.unwrap();
    let watch = schema.shell().await;
    let storing = tokio::spawn({
        let inbox = inbox.clone();
        async move { insert_all(&inbox, vec![event("a"), event("taken")]).await }
    });
    somebody_waits(&watch, "transactionid").await;
    other.commit().await.unwrap();
    let inserted = storing.await.unwrap().unwrap();
    assert!(matches!(inserted[0], Inserted::Unhandled { .. }));
    assert!(
        matches!(inserted[1], Inserted::Conflict { .. }),
        "the other one's body differs: {inserted:?}"
    );
    assert_eq!(schema.count("SELECT count(*) FROM event").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_lock_that_nobody_gives_back_makes_nobody_wait_for_long() {
    let schema = Schema::new();
    let inbox = schema.open().await;
    let mut shell = schema.shell().await;
    let other = shell.transaction().await.unwrap();
    other.batch_execute(SAME_KEY).await.unwrap();
    let started = Instant::now();
    let error = try_insert(&inbox, event("taken")).await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Unavailable);
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("55P03"), "{reason}");
    assert!(started.elapsed() < Duration::from_secs(2));
    other.rollback().await.unwrap();
    let stored = insert(&inbox, "taken").await;
    assert!(matches!(stored, Inserted::Unhandled { .. }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn other_processes_hear_that_jobs_are_due_and_their_own_do_not() {
    let schema = Schema::new();
    let inboxes = processes(&schema, 2).await;
    let (here, there) = (Arc::new(inboxes[0].clone()), inboxes[1].clone());
    register(&*here, registration("ship")).await;
    // Everybody is told once when it begins to listen.
    for inbox in &inboxes {
        soon(inbox.changed()).await;
    }
    insert(&*here, "1").await;
    soon(there.changed()).await;
    // The one who told would have heard it by now, or soon.
    let own = tokio::time::timeout(Duration::from_millis(300), here.changed());
    assert!(own.await.is_err(), "its own hint");
}

// On one thread, so that nothing is told between the answer and the end.
#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn workers_hear_of_a_replay_though_its_program_ends() {
    let schema = Schema::new();
    let inboxes = processes(&schema, 2).await;
    let [worker, operator] = <[PostgresInbox; 2]>::try_from(inboxes).unwrap();
    register(&worker, registration("ship")).await;
    insert(&worker, "1").await;
    let mut job = done(&claim(&worker, "ship", 1).await.remove(0), None);
    job.outcome = Settlement::Dead { error: "no".into() };
    settle_all(&worker, vec![job]).await;
    // It is told once when it begins to listen.
    soon(worker.changed()).await;
    let replayed = operator.replay(&Selection::default()).await.unwrap();
    drop(operator);
    assert_eq!(replayed.runs.len(), 1);
    soon(worker.changed()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_dry_run_waits_for_nobody_who_replays() {
    let schema = Schema::new();
    let inbox = named(&schema).await;
    register(&inbox, registration("ship")).await;
    insert(&inbox, "1").await;
    let mut shell = schema.shell().await;
    let other = shell.transaction().await.unwrap();
    let lock = "SELECT seq FROM job FOR UPDATE";
    other.query_one(lock, &[]).await.unwrap();
    let watch = schema.shell().await;
    let replaying = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.replay(&Selection::default()).await }
    });
    somebody_waits(&watch, "transactionid").await;
    let dry = Selection {
        dry_run: true,
        ..Selection::default()
    };
    let told = inbox.replay(&dry).await.unwrap();
    assert_eq!(told.runs.len(), 1);
    assert!(!replaying.is_finished(), "it waits for the job");
    other.rollback().await.unwrap();
    let replayed = replaying.await.unwrap().unwrap();
    assert_eq!(replayed.runs, told.runs);
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let heard = tokio::time::timeout(Duration::from_secs(5), future).await;
    heard.expect("within five seconds")
}

/// An event with key `taken` and another body than [`event`]'s.
const SAME_KEY: &str = "INSERT INTO event
    (seq, endpoint, key, state, id, id_signed, received_at, stored_at, by_body, body_sha256,
     body_bytes)
    VALUES (nextval('event_seq'), 'shop', 'taken', 'unhandled', 'taken', true, now(), now(), false,
        decode(repeat('00', 32), 'hex'), 0)";
