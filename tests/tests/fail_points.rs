//! Receivers whose process ends at a named point under load: each time the file
//! shows that it was there, and afterwards nothing is lost, twice, or answered
//! in two ways.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figures are what a run is for"
)]

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::Mutex;
use tower_webhooks::sqlite::rusqlite::Connection;
use tower_webhooks_tests::{
    AUTHORIZATIONS, FailPoint, SETTLEMENTS, Shop,
    books::{count, decisions, left_behind, numbers},
    number_of, soon,
};

/// The process ends at this pass of the point, with a file that every earlier
/// crash has left. The first is early, while the file is empty.
const PASSES: [u64; 3] = [1, 12, 40];

/// Each would take the other's share of the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ends receivers; run with `scripts/crash`"]
async fn wherever_the_process_ends_every_settlement_is_recorded_once() {
    let _alone = ALONE.lock().await;
    for (name, point) in FailPoint::NAMES {
        if name.starts_with("reply-") {
            continue;
        }
        let mut shop = Shop::aborting(SETTLEMENTS, PROGRAM);
        end_at(point, &mut shop).await;
        let file = shop.settle().await;
        shop.check_events(&file);
        shop.check_settlements(&file);
        println!("{name}, settlements: {}", shop.figures());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ends receivers; run with `scripts/crash`"]
async fn wherever_the_process_ends_every_authorization_has_one_answer() {
    let _alone = ALONE.lock().await;
    for (name, point) in FailPoint::NAMES {
        if name.starts_with("settle-") {
            continue;
        }
        let mut shop = Shop::aborting(AUTHORIZATIONS, PROGRAM);
        let crashes = end_at(point, &mut shop).await;
        let file = shop.settle().await;
        shop.check_events(&file);
        let defaults = shop.check_replies(&file);
        crashes.check_replies(&file);
        println!(
            "{name}, authorizations: {}; {defaults} declined since nobody had decided",
            shop.figures()
        );
    }
}

/// What the file showed right after each crash.
struct Crashes {
    point: FailPoint,
    /// The events that were at the point.
    left: BTreeSet<u64>,
    /// The replies that were recorded by then.
    recorded: BTreeMap<u64, String>,
}

/// Ends the process at the point, at each of the passes.
async fn end_at(point: FailPoint, shop: &mut Shop) -> Crashes {
    let mut crashes = Crashes {
        point,
        left: BTreeSet::new(),
        recorded: BTreeMap::new(),
    };
    let mut handled = 0;
    for nth in PASSES {
        let mut receiver = shop.start_armed(point, nth).await;
        let lines = receiver.lines();
        let load = shop.load(receiver.address).await;
        receiver.aborted().await;
        let under_way = shop.finish(load).await;
        handled += soon(lines).await.unwrap().len() as u64;
        let (_folder, file) = left_behind(&shop.file());
        crashes
            .left
            .extend(left_at(point, shop, &file, &under_way, handled));
        crashes
            .recorded
            .extend(recorded(&file, "status IS NOT NULL"));
    }
    assert!(
        !crashes.left.is_empty(),
        "{point}: nothing shows where it ended"
    );
    crashes
}

/// The events of which the file shows that the process ended at this point:
/// some of `under_way`, or for the end of jobs any.
fn left_at(
    point: FailPoint,
    shop: &Shop,
    file: &Connection,
    under_way: &BTreeSet<u64>,
    handled: u64,
) -> BTreeSet<u64> {
    let number = shop.trade.number;
    let named = |which: &str| -> BTreeSet<u64> {
        let sql = format!("SELECT {number} FROM event LEFT JOIN reply USING (seq) WHERE {which}");
        numbers(file, &sql).into_iter().collect()
    };
    let decided: BTreeSet<u64> = decisions(&shop.notes()).into_keys().collect();
    let open = || &named("reply.seq IS NOT NULL AND status IS NULL") & under_way;
    let running = || {
        let running = "seq IN (SELECT seq FROM job WHERE state = 'running')";
        // Whatever is done has been told: the end of no others was stored.
        let done = count(file, "SELECT count(*) FROM job WHERE state = 'done'");
        assert_eq!(done, handled, "{point}");
        named(running)
    };
    match point {
        FailPoint::IntakeBeforeCommit | FailPoint::IntakeWithinCommit => under_way - &named("true"),
        FailPoint::IntakeAfterCommit => &named("true") & under_way,
        FailPoint::ReplyReserved => &open() - &decided,
        FailPoint::ReplyDecided | FailPoint::ReplyWithinCommit => &open() & &decided,
        FailPoint::ReplyRecorded => &named("status IS NOT NULL") & under_way,
        FailPoint::SettleBeforeCommit | FailPoint::SettleWithinCommit => running(),
        FailPoint::SettleAfterCommit => {
            let done = named("seq IN (SELECT seq FROM job WHERE state = 'done')");
            assert!(done.len() as u64 > handled, "{point}");
            done
        }
    }
}

impl Crashes {
    /// Checks that what had been decided stayed so, and that what was being
    /// decided at a crash was answered with the default when it came again.
    fn check_replies(&self, file: &Connection) {
        let now = recorded(file, "status IS NOT NULL");
        for (number, reply) in &self.recorded {
            assert_eq!(now.get(number), Some(reply), "{}: {number}", self.point);
        }
        if let FailPoint::ReplyReserved | FailPoint::ReplyDecided | FailPoint::ReplyWithinCommit =
            self.point
        {
            let cut_off = "decided_by = 'default' AND reason = 'the first decision was cut off'";
            let cut_off: BTreeSet<_> = recorded(file, cut_off).into_keys().collect();
            assert!(
                self.left.is_subset(&cut_off),
                "{}: {:?}",
                self.point,
                self.left
            );
        }
    }
}

/// The recorded replies of a file, by their authorizations' numbers; none of
/// another trade's.
fn recorded(file: &Connection, which: &str) -> BTreeMap<u64, String> {
    let sql = format!(
        "SELECT {}, status || ' ' || decided_by || ' ' || CAST(reply.body AS TEXT)
         FROM event JOIN reply USING (seq) WHERE {which}",
        AUTHORIZATIONS.number
    );
    let mut replies = file.prepare(&sql).unwrap();
    let replies = replies.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
    let replies = replies.unwrap().map(Result::unwrap);
    replies
        .map(|(text, reply)| (number_of(&text), reply))
        .collect()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_aborting-receiver");
