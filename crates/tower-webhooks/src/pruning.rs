//! Drops what is old enough, so that an inbox does not grow for ever.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{task::JoinHandle, time::sleep};
use tower_webhooks_core::Clock;
use tower_webhooks_inbox::{Inbox, Retention};

/// How long after the start the first time: not while a backlog is worked off.
const FIRST: Duration = Duration::from_secs(60);

/// How often. Ages are days, so an hour more or less is nothing.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// How many events a step may touch: a step holds the inbox's writer for
/// milliseconds, and deliveries wait for it.
const STEP: usize = 500;

/// The pause between two steps, in which deliveries have their turn.
const PAUSE: Duration = Duration::from_millis(100);

/// How far the time of day may come apart from the time that has passed. Beyond
/// that one of them is wrong, or was until now, and nobody knows what is old.
const TOLERANCE: Duration = Duration::from_secs(60 * 60);

/// Prunes until it is dropped.
#[derive(Debug)]
pub(crate) struct Pruning(JoinHandle<()>);

impl Pruning {
    /// The clock is the time of day by which the inbox reckons.
    pub(crate) fn start(
        inbox: Arc<dyn Inbox>,
        retention: Retention,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut looks = Looks::begin(clock.now(), Instant::now());
        Self(tokio::spawn(async move {
            sleep(FIRST).await;
            loop {
                if looks.is_steady(clock.now(), Instant::now()) {
                    prune(&*inbox, &retention).await;
                } else {
                    tracing::warn!("the clock was set: nothing is pruned for an hour");
                }
                sleep(EVERY).await;
            }
        }))
    }
}

/// When the clocks were looked at last.
struct Looks {
    wall: SystemTime,
    instant: Instant,
}

impl Looks {
    fn begin(wall: SystemTime, instant: Instant) -> Self {
        Self { wall, instant }
    }

    /// Whether the time of day has gone on since the last look as time has.
    fn is_steady(&mut self, wall: SystemTime, instant: Instant) -> bool {
        let before = std::mem::replace(self, Self { wall, instant });
        let passed = instant.saturating_duration_since(before.instant);
        match wall.duration_since(before.wall) {
            Ok(by_wall) => by_wall.abs_diff(passed) <= TOLERANCE,
            Err(back) => back.duration().saturating_add(passed) <= TOLERANCE,
        }
    }
}

impl Drop for Pruning {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn prune(inbox: &dyn Inbox, retention: &Retention) {
    let (mut bodies, mut keys) = (0, 0);
    loop {
        match inbox.prune(retention, STEP).await {
            Ok(pruned) => {
                bodies += pruned.bodies;
                keys += pruned.keys;
                if !pruned.more {
                    break;
                }
            }
            // It comes by again in an hour.
            Err(error) => {
                tracing::warn!(%error, "old events could not be pruned");
                break;
            }
        }
        sleep(PAUSE).await;
    }
    if bodies > 0 || keys > 0 {
        tracing::info!(bodies, keys, "old events were pruned");
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tower_webhooks_core::ManualClock;
    use tower_webhooks_inbox::{Batch, EventSeq, Inserted, MemoryInbox, NewEvent};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_go_first_and_keys_later_and_only_when_they_are_old() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + DAY);
        let inbox = Arc::new(MemoryInbox::new().with_clock(clock.clone()));
        let mut event = NewEvent::new("shop", "{}", SystemTime::UNIX_EPOCH);
        event.id = Some("1".into());
        event.event_type = Some("a".into());
        let inserts = vec![event];
        inbox
            .apply(Batch {
                inserts,
                ..Batch::default()
            })
            .await
            .unwrap();
        let day = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let _pruning = Pruning::start(inbox.clone(), Retention::default(), day);
        let stored = async || inbox.get(EventSeq(1)).await.unwrap();

        sleep(EVERY * 2).await;
        assert!(stored().await.unwrap().event.body.is_some());
        clock.advance(DAY * 30 + DAY);
        sleep(EVERY).await;
        assert!(stored().await.unwrap().event.body.is_none());
        clock.advance(DAY * 60);
        sleep(EVERY).await;
        assert!(stored().await.is_none());
    }
    /// Ahead for a while, as before a machine has asked what time it is.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_ahead_for_a_while_forgets_no_key() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + DAY);
        let inbox = Arc::new(MemoryInbox::new().with_clock(clock.clone()));
        let mut event = NewEvent::new("shop", "{}", SystemTime::UNIX_EPOCH);
        event.id = Some("1".into());
        let batch = || Batch {
            inserts: vec![event.clone()],
            ..Batch::default()
        };
        inbox.apply(batch()).await.unwrap();
        let day = Arc::new(clock.clone());
        let _pruning = Pruning::start(inbox.clone(), Retention::default(), day);
        sleep(EVERY).await;
        clock.advance(DAY * 91);
        sleep(EVERY).await;
        clock.set(SystemTime::UNIX_EPOCH + DAY * 2);
        sleep(EVERY * 3).await;
        let again = inbox.apply(batch()).await.unwrap().inserts.remove(0);
        assert_eq!(again, Inserted::Duplicate { seq: EventSeq(1) });

        // It stays so: years have passed, and the inbox was away.
        clock.advance(DAY * 91);
        sleep(EVERY * 2).await;
        assert!(inbox.get(EventSeq(1)).await.unwrap().is_none());
    }

    #[test]
    fn only_a_clock_that_was_set_is_not_steady() {
        let (wall, instant) = (SystemTime::UNIX_EPOCH + EVERY * 1_000, Instant::now());
        let steady = |wall_after, passed| {
            Looks::begin(wall, instant).is_steady(wall_after, instant + passed)
        };
        assert!(steady(wall + EVERY, EVERY));
        assert!(steady(wall + EVERY + TOLERANCE, EVERY));
        assert!(!steady(wall + EVERY + TOLERANCE + FIRST, EVERY));
        assert!(steady(wall, TOLERANCE));
        assert!(!steady(wall - FIRST, TOLERANCE));
    }
}
