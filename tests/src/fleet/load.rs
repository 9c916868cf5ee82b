//! Many senders at once.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::task::JoinSet;

use super::{Act, Provided, Repeat};

/// Each with one event under way.
const SENDERS: usize = 64;

/// What the senders know. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    next: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// Sends this many events to both receivers, until each is acknowledged.
    ///
    /// # Panics
    ///
    /// When one is not.
    pub async fn send(&self, receivers: [SocketAddr; 2], events: u64) {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let mut receivers = receivers;
            if sender % 2 == 1 {
                receivers.reverse();
            }
            senders.spawn(send(Arc::clone(&self.0), receivers, events));
        }
        while let Some(ended) = senders.join_next().await {
            ended.unwrap();
        }
        self.0.over.store(true, Relaxed);
    }

    /// Whether all are acknowledged.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.over.load(Relaxed)
    }

    /// How many are acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.0.acknowledged.load(Relaxed)
    }

    /// How many answers were 503.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }
}

/// Delivers one event after another to the first receiver, and some to the other
/// one, too.
async fn send(counts: Arc<Counts>, [first, second]: [SocketAddr; 2], events: u64) {
    let (mut first, mut second) = (Provided::to(first), Provided::to(second));
    loop {
        let act = Act(counts.next.fetch_add(1, Relaxed));
        if act.0 >= events {
            break;
        }
        match act.repeats() {
            None => first.deliver(act).await,
            Some(Repeat::AtOnce) => {
                tokio::join!(first.deliver(act), second.deliver(act));
            }
            Some(Repeat::Later) => {
                first.deliver(act).await;
                second.deliver(act).await;
            }
        }
        counts.acknowledged.fetch_add(1, Relaxed);
    }
    let refused = first.refused + second.refused;
    counts.refused.fetch_add(refused, Relaxed);
}
