//! Kills the receiver and starts it again: what was acknowledged must survive,
//! and what was not must be taken when it comes again.

use std::{
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::JoinSet};
use tower_webhooks_sandbox::{
    Trigger,
    faults::{FaultError, FaultPlayer, Prepared, Reply},
};

use super::{
    judge::{Judged, Row},
    observe::Observer,
};
use crate::failure::Failure;

/// The two rows of this file.
pub(super) const ROWS: [&str; 2] = [AFTER, BEFORE];

const AFTER: &str = "killed after the answer, effects";
const BEFORE: &str = "killed before the answer and sent again, effects";

/// How many events are acknowledged before the first kill: more than most
/// receivers handle at once, and more again where all were handled by then.
const ACKNOWLEDGED: [usize; 3] = [20, 60, 180];

/// How many are on their way at any time before the second.
const UNDER_WAY: usize = 8;

/// How long they are sent before that kill.
const HEAD_START: Duration = Duration::from_millis(100);

/// How long a receiver that was killed may still take connections, and one that
/// was started none.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(50);

/// How the receiver is killed and started, and how long it may take afterwards.
#[derive(Debug)]
pub(super) struct Crash {
    pub(super) kill: String,
    pub(super) start: String,
    pub(super) recovery: Duration,
}

/// Whom it is done to, and with what.
pub(super) struct Stage<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) player: &'a FaultPlayer,
    pub(super) event: &'a Trigger,
    pub(super) observer: &'a Observer,
}

/// The rows of a receiver that cannot be killed.
pub(super) fn unseen() -> [Row; 2] {
    let why = || Some("needs --observe, --kill and --start".to_owned());
    ROWS.map(|name| Row::of_effects(name, Judged::NotObservable, why()))
}

impl Crash {
    pub(super) fn play(&self, stage: &Stage<'_>) -> Result<[Row; 2], Failure> {
        Ok([
            self.after_the_answer(stage)?,
            self.before_the_answer(stage)?,
        ])
    }

    /// Acknowledged, and then killed before all handlers have run.
    fn after_the_answer(&self, stage: &Stage<'_>) -> Result<Row, Failure> {
        let [first, more @ ..] = ACKNOWLEDGED;
        let mut row = self.after_so_many(stage, first)?;
        for count in more {
            if row.judged != Judged::NotObservable {
                break;
            }
            row = self.after_so_many(stage, count)?;
        }
        Ok(row)
    }

    fn after_so_many(&self, stage: &Stage<'_>, count: usize) -> Result<Row, Failure> {
        let before = stage.observer.settled()?;
        let events = stage.prepare(count)?;
        let replies = stage.runtime.block_on(send_all(stage.player, events));
        self.kill(stage)?;
        let at_the_kill = stage.observer.count()?.saturating_sub(before);
        self.start(stage)?;
        let acknowledged = replies.iter().filter(|(_, reply)| is_accepted(*reply));
        let acknowledged = acknowledged.count() as u64;
        let effects = stage
            .observer
            .reached(before, acknowledged, self.recovery)?;
        let (judged, why) = if acknowledged == 0 {
            let why = "none was acknowledged: nothing was at stake";
            (Judged::NotObservable, Some(why.to_owned()))
        } else if at_the_kill >= acknowledged {
            let why = "every effect was there before the kill: nothing was at stake";
            (Judged::NotObservable, Some(why.to_owned()))
        } else {
            judged(acknowledged, effects, "acknowledged before the kill")
        };
        Ok(Row::of_effects(AFTER, judged, why))
    }

    /// Killed while requests are under way, which then come again.
    fn before_the_answer(&self, stage: &Stage<'_>) -> Result<Row, Failure> {
        let before = stage.observer.settled()?;
        let kill = self.kill.clone();
        let (killed, sent) = stage.runtime.block_on(async {
            let kill = tokio::task::spawn_blocking(move || {
                sleep(HEAD_START);
                run("--kill", &kill)
            });
            let sent = send_until_closed(stage.player, stage.event).await;
            (kill.await, sent)
        });
        killed.map_err(Failure::failed)??;
        stage.wait_until(false)?;
        self.start(stage)?;
        let sent = sent.map_err(Failure::usage)?;
        let (answered, unanswered): (Vec<_>, Vec<_>) =
            sent.into_iter().partition(|(_, reply)| is_accepted(*reply));
        if unanswered.is_empty() {
            let why = "every event was answered before the kill: nothing was at stake";
            let row = Row::of_effects(BEFORE, Judged::NotObservable, Some(why.to_owned()));
            return Ok(row);
        }
        let again = unanswered.into_iter().map(|(event, _)| event).collect();
        let again = stage.runtime.block_on(send_all(stage.player, again));
        if let Some((_, reply)) = again.iter().find(|(_, reply)| !is_accepted(*reply)) {
            let why = format!("an event that was sent again was not accepted: {reply:?}");
            return Ok(Row::of_effects(BEFORE, Judged::Wrong, Some(why)));
        }
        let acknowledged = (answered.len() + again.len()) as u64;
        let effects = stage
            .observer
            .reached(before, acknowledged, self.recovery)?;
        let what = "acknowledged, at once or when they came again";
        let (judged, why) = judged(acknowledged, effects, what);
        Ok(Row::of_effects(BEFORE, judged, why))
    }

    fn kill(&self, stage: &Stage<'_>) -> Result<(), Failure> {
        run("--kill", &self.kill)?;
        stage.wait_until(false)
    }

    /// Leaves the receiver running, as whoever starts one wants it.
    fn start(&self, stage: &Stage<'_>) -> Result<(), Failure> {
        let mut receiver = shell(&self.start)
            .spawn()
            .map_err(|error| Failure::failed(format!("--start cannot run: {error}")))?;
        stage
            .wait_until(true)
            .map_err(|failure| why_not_started(&mut receiver).unwrap_or(failure))
    }
}

impl Stage<'_> {
    fn wait_until(&self, there: bool) -> Result<(), Failure> {
        let begun = Instant::now();
        while self.runtime.block_on(self.player.is_there()) != there {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::failed(match there {
                    true => "--start brought no receiver that takes connections at --url",
                    false => "--kill left a receiver that takes connections at --url",
                }));
            }
            sleep(PAUSE);
        }
        Ok(())
    }

    fn prepare(&self, count: usize) -> Result<Vec<Prepared>, Failure> {
        let events = (0..count).map(|_| self.player.prepare(self.event));
        events.collect::<Result<_, _>>().map_err(Failure::usage)
    }
}

/// All at once.
async fn send_all(player: &FaultPlayer, events: Vec<Prepared>) -> Vec<(Prepared, Reply)> {
    let mut sending = JoinSet::new();
    for event in events {
        let player = player.clone();
        sending.spawn(async move {
            let reply = player.send(&event).await;
            (event, reply)
        });
    }
    sending.join_all().await
}

/// One after another, several times at once, until each has got no answer.
async fn send_until_closed(
    player: &FaultPlayer,
    event: &Trigger,
) -> Result<Vec<(Prepared, Reply)>, FaultError> {
    let begun = Instant::now();
    let mut sending: JoinSet<Result<Vec<_>, FaultError>> = JoinSet::new();
    for _ in 0..UNDER_WAY {
        let (player, event) = (player.clone(), event.clone());
        sending.spawn(async move {
            let mut sent = Vec::new();
            loop {
                let event = player.prepare(&event)?;
                let reply = player.send(&event).await;
                sent.push((event, reply));
                // One that nothing ends is found out afterwards.
                let is_over = begun.elapsed() > HEAD_START + PATIENCE;
                if is_over || !matches!(reply, Reply::Status(_)) {
                    return Ok(sent);
                }
            }
        });
    }
    let all: Result<Vec<_>, _> = sending.join_all().await.into_iter().collect();
    Ok(all?.into_iter().flatten().collect())
}

fn judged(acknowledged: u64, effects: u64, what: &str) -> (Judged, Option<String>) {
    if effects >= acknowledged {
        return (Judged::Right, None);
    }
    let why = format!("{acknowledged} events were {what}; {effects} effects came");
    (Judged::Wrong, Some(why))
}

const fn is_accepted(reply: Reply) -> bool {
    matches!(reply, Reply::Status(200..300))
}

fn run(option: &str, command: &str) -> Result<(), Failure> {
    let status = shell(command)
        .status()
        .map_err(|error| Failure::failed(format!("{option} cannot run: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::failed(format!("{option} failed: {status}")))
    }
}

fn why_not_started(receiver: &mut Child) -> Option<Failure> {
    let status = receiver.try_wait().ok()??;
    let failed = (!status.success()).then(|| format!("--start failed: {status}"))?;
    Some(Failure::failed(failed))
}

/// A command of the user's. What it says goes nowhere: a receiver that stays
/// must not hold our own output open.
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    shell
}
