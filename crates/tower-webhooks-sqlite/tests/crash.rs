//! A process that is killed while it stores and settles loses nothing that it
//! has acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::HashSet,
    fs::OpenOptions,
    hash::{BuildHasher, RandomState},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Folder, claim, done, event, register, settle_all, want};
use tower_webhooks_inbox::{Committer, CommitterOptions, Inbox, JobState};
use tower_webhooks_sqlite::SqliteInbox;

const CYCLES: u64 = 5;
const FOLDER: &str = "CRASHING_INBOX";

#[test]
fn what_was_acknowledged_is_there_exactly_once_after_each_kill() {
    let folder = Folder::new();
    let acknowledged = folder.file("acknowledged");
    let mut after_last = 0;
    for cycle in 0..CYCLES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stores_until_it_is_killed", "--ignored"])
            .env(FOLDER, folder.file(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while lines(&acknowledged).len() == after_last {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "it stores nothing"
            );
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
        let random = RandomState::new().hash_one(cycle) % 300;
        std::thread::sleep(Duration::from_millis(random));
        child.kill().unwrap();
        child.wait().unwrap();

        let lines = lines(&acknowledged);
        after_last = lines.len();
        let stored = stored(&folder);
        let lost: Vec<_> = lines.iter().filter(|id| !stored.contains(*id)).collect();
        assert!(lost.is_empty(), "cycle {cycle} lost {lost:?}");
        check_the_whole(&folder);
    }
    finish(&folder, after_last);
}

#[test]
#[ignore = "the process that the test above kills"]
fn stores_until_it_is_killed() {
    // Called without a folder, by whoever runs all ignored tests, it has nothing to do.
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(store_for_ever(Path::new(&folder)));
}

/// Never returns; but not for ever, should the test above end before it.
async fn store_for_ever(folder: &Path) {
    let inbox = SqliteInbox::open(folder.join("webhooks.db")).await.unwrap();
    register(&inbox, "ship").await;
    register(&inbox, "bill").await;
    let inbox = Arc::new(inbox);
    let committer = Committer::start(inbox.clone(), CommitterOptions::new());
    let process = std::process::id();
    for producer in 0..8 {
        let committer = committer.clone();
        let mut acknowledged = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("acknowledged"))
            .unwrap();
        tokio::spawn(async move {
            for number in 0_u32.. {
                let id = format!("{process}-{producer}-{number}");
                let inserted = committer.insert(event(&id), ()).unwrap().await;
                inserted.unwrap();
                // In one write: the others append to the same file.
                acknowledged
                    .write_all(format!("{id}\n").as_bytes())
                    .unwrap();
            }
        });
    }
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let jobs = claim(&*inbox, "ship", 16).await;
        settle_all(&*inbox, jobs.iter().map(|job| done(job, None)).collect()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whole lines only: the last one may be cut short by the kill.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(str::to_owned).collect()
}

fn stored(folder: &Folder) -> HashSet<String> {
    let shell = folder.shell();
    let mut ids = shell.prepare("SELECT id FROM event").unwrap();
    let ids = ids.query_map([], |row| row.get(0)).unwrap();
    let ids: Vec<String> = ids.collect::<Result<_, _>>().unwrap();
    let unique: HashSet<String> = ids.iter().cloned().collect();
    assert_eq!(unique.len(), ids.len(), "one row an id");
    unique
}

fn check_the_whole(folder: &Folder) {
    let shell = folder.shell();
    let check: String = shell
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let wrong = [
        "SELECT count(*) FROM event WHERE (SELECT count(*) FROM job WHERE job.seq = event.seq) <> 2",
        "SELECT count(*) FROM event WHERE body_bytes <> length(body)",
        "SELECT abs(count(*) - (SELECT sum(events) FROM event_count)) FROM event",
        "SELECT count(*) FROM job_count AS c WHERE jobs <> (SELECT count(*) FROM job
             WHERE job.handler = c.handler AND job.state = c.state)",
        "SELECT abs(max(seq) - (SELECT last_seq FROM inbox)) FROM event",
    ];
    for sql in wrong {
        assert_eq!(folder.count(sql), 0, "{sql}");
    }
}

/// Nothing is left leased: every job ends in the next process.
fn finish(folder: &Folder, acknowledged: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let inbox = folder.open().await;
        for handler in ["ship", "bill"] {
            let started = Instant::now();
            // What was cut short more than once comes back a little later.
            while let Some(wait) = inbox.next_due(&[want(handler, 1)]).await.unwrap() {
                assert!(
                    started.elapsed() < Duration::from_secs(60),
                    "{handler} is due in {wait:?}"
                );
                let jobs = claim(&inbox, handler, 1_000).await;
                settle_all(&inbox, jobs.iter().map(|job| done(job, None)).collect()).await;
                tokio::time::sleep(wait.min(Duration::from_millis(10))).await;
            }
        }
        let stats = inbox.stats().await.unwrap();
        let done = usize::try_from(stats.jobs(JobState::Done)).unwrap();
        assert!(done >= acknowledged * 2, "{done} of {acknowledged} twice");
        let left = [JobState::Pending, JobState::Running, JobState::Dead];
        assert_eq!(left.map(|state| stats.jobs(state)), [0, 0, 0]);
    });
}
