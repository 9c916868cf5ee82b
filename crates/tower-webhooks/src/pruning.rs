//! Drops what is old enough, so that an inbox does not grow for ever.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::sleep};
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

/// Prunes until it is dropped.
#[derive(Debug)]
pub(crate) struct Pruning(JoinHandle<()>);

impl Pruning {
    pub(crate) fn start(inbox: Arc<dyn Inbox>, retention: Retention) -> Self {
        Self(tokio::spawn(async move {
            sleep(FIRST).await;
            loop {
                prune(&*inbox, &retention).await;
                sleep(EVERY).await;
            }
        }))
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
    use tower_webhooks_inbox::{Batch, EventSeq, MemoryInbox, NewEvent};

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
        let _pruning = Pruning::start(inbox.clone(), Retention::default());
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
}
