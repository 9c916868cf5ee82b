//! The attempts that are running, and the leases that they run under.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, Id},
    time::Instant,
};
use tower_webhooks_inbox::{Extend, Leased};

use super::lanes::Lane;
use crate::transaction::Transaction;

/// A running attempt.
pub(super) struct Running {
    pub(super) place: usize,
    pub(super) lane: Arc<Lane>,
    pub(super) leased: Leased,
    pub(super) started: Instant,
    /// It was stopped because the lease is, or may be, another worker's: what
    /// it returns does not count.
    pub(super) lost: bool,
    abort: AbortHandle,
    transaction: Transaction,
    extend_at: Instant,
    stop_at: Instant,
    extending: bool,
}

impl Running {
    /// An attempt that begins now, under a lease that was asked for at `asked`.
    pub(super) fn new(
        place: usize,
        lane: Arc<Lane>,
        leased: Leased,
        abort: AbortHandle,
        transaction: Transaction,
        asked: Instant,
    ) -> Self {
        let mut running = Self {
            place,
            lane,
            leased,
            started: Instant::now(),
            lost: false,
            abort,
            transaction,
            extend_at: asked,
            stop_at: asked,
            extending: false,
        };
        running.prolong(asked);
        running
    }

    /// Counts from when the lease was asked for: it began later, so it also
    /// ends later than is reckoned here.
    fn prolong(&mut self, asked: Instant) {
        let lease = self.leased.lease;
        self.extending = false;
        self.extend_at = asked + lease / 3;
        // a tenth is left for the handler to reach its next await
        self.stop_at = asked + lease - lease / 10;
    }

    fn watch_at(&self) -> Instant {
        if self.extending {
            self.stop_at
        } else {
            self.extend_at.min(self.stop_at)
        }
    }

    fn stop(&mut self, reason: &'static str) {
        if self.transaction.is_committing() {
            // Its handler has ended, and its own commit may be why the lease is gone.
            return;
        }
        self.lost = true;
        self.abort.abort();
        tracing::warn!(
            endpoint = %self.lane.endpoint,
            handler = %self.lane.handler(),
            seq = %self.leased.event.seq,
            reason,
            "a handler was stopped",
        );
    }
}

/// The running attempts, by task.
#[derive(Default)]
pub(super) struct Leases {
    running: HashMap<Id, Running>,
    due: Vec<Id>,
    /// Nothing happens to any lease before this.
    watch_at: Option<Instant>,
}

impl Leases {
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn insert(&mut self, id: Id, running: Running) {
        self.watch(running.watch_at());
        self.running.insert(id, running);
    }

    /// Puts the run of this job that is under way, if there is one, under its new lease.
    pub(super) fn take_over(&mut self, leased: &Leased, asked: Instant) -> bool {
        let key = leased.key();
        let mut running = self.running.values_mut();
        let Some(running) = running.find(|one| !one.lost && one.leased.key() == key) else {
            return false;
        };
        running.leased = leased.clone();
        running.prolong(asked);
        let at = running.watch_at();
        self.watch(at);
        true
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Running> {
        self.running.remove(&id)
    }

    /// When to [`sweep`](Self::sweep) next.
    pub(super) fn watch_at(&self) -> Option<Instant> {
        self.watch_at
    }

    /// Whether leases wait to be extended.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Stops what may outlive its lease and notes what is to be extended.
    pub(super) fn sweep(&mut self, now: Instant) {
        if self.watch_at.is_none_or(|at| at > now) {
            return;
        }
        self.watch_at = None;
        for (id, running) in &mut self.running {
            if running.lost {
                continue;
            }
            if now >= running.stop_at {
                running.stop("its lease could not be extended");
                continue;
            }
            if !running.extending && now >= running.extend_at {
                running.extending = true;
                self.due.push(*id);
            }
            let at = running.watch_at();
            self.watch_at = Some(self.watch_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// The extensions to ask for now.
    pub(super) fn take_due(&mut self) -> Vec<(Id, Extend)> {
        let due = std::mem::take(&mut self.due);
        let still_running = due.into_iter().filter_map(|id| {
            let running = self.running.get(&id).filter(|running| !running.lost)?;
            let extend = Extend {
                key: running.leased.key(),
                token: running.leased.token,
                by: running.leased.lease,
            };
            Some((id, extend))
        });
        still_running.collect()
    }

    /// What an extension that was asked for at `asked` did.
    pub(super) fn extended(&mut self, id: Id, held: bool, asked: Instant) {
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        if held {
            running.prolong(asked);
            let at = running.watch_at();
            self.watch(at);
        } else {
            running.stop("its lease is another worker's");
        }
    }

    /// The extension could not be asked for; the next try is after `delay`.
    pub(super) fn not_extended(&mut self, id: Id, now: Instant, delay: Duration) {
        if let Some(running) = self.running.get_mut(&id) {
            running.extending = false;
            running.extend_at = now + delay;
            let at = running.watch_at();
            self.watch(at);
        }
    }

    fn watch(&mut self, at: Instant) {
        self.watch_at = Some(self.watch_at.map_or(at, |earlier| earlier.min(at)));
    }
}
