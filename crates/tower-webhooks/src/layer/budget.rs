//! The bytes of all bodies that are being received or wait to be stored.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// A bound shared by all endpoints, and the door that a drain closes. Clones
/// count together.
#[derive(Debug, Clone)]
pub(crate) struct ByteBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    used: AtomicUsize,
    /// Deliveries that are verified and not yet stored.
    inside: AtomicUsize,
    /// New requests are refused.
    refusing: AtomicBool,
    /// What is being received is refused too.
    closed: AtomicBool,
    idle: Notify,
    /// Told when there was no room for a body.
    pressed: Notify,
}

/// The bytes of one body; given back on drop.
#[derive(Debug)]
pub(crate) struct BytePermit {
    budget: ByteBudget,
    bytes: usize,
    inside: bool,
}

impl ByteBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Shared {
            max,
            used: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            idle: Notify::new(),
            pressed: Notify::new(),
        }))
    }

    pub(crate) fn permit(&self) -> BytePermit {
        BytePermit {
            budget: self.clone(),
            bytes: 0,
            inside: false,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    pub(crate) fn is_refusing(&self) -> bool {
        self.0.refusing.load(Ordering::Relaxed)
    }

    /// Refuses new requests; those being received may still come in.
    pub(crate) fn refuse(&self) {
        self.0.refusing.store(true, Ordering::Relaxed);
    }

    /// Lets nothing in from now on.
    pub(crate) fn close(&self) {
        self.refuse();
        self.0.closed.store(true, Ordering::SeqCst);
    }

    /// Waits until another body finds no room.
    pub(crate) async fn pressed(&self) {
        self.0.pressed.notified().await;
    }

    /// Waits until everything that was let in is stored. What is still being
    /// received does not count: it will find the door closed.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.0.idle.notified();
            if self.0.inside.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl BytePermit {
    /// Takes more bytes, or none if that would be beyond the bound.
    pub(crate) fn grow(&mut self, by: usize) -> bool {
        let shared = &self.budget.0;
        let grown = shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(by).filter(|sum| *sum <= shared.max)
            })
            .is_ok();
        if grown {
            self.bytes += by;
        } else {
            shared.pressed.notify_waiters();
        }
        grown
    }

    /// Lets a verified delivery in, unless the door is closed. Counted before
    /// the door is looked at, so that a drain either waits for it or turns it
    /// away.
    pub(crate) fn enter(&mut self) -> bool {
        let shared = &self.budget.0;
        if !self.inside {
            self.inside = true;
            shared.inside.fetch_add(1, Ordering::SeqCst);
        }
        !shared.closed.load(Ordering::SeqCst)
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        let shared = &self.budget.0;
        shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.inside && shared.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            shared.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_over_all_permits_and_is_given_back() {
        let budget = ByteBudget::new(10);
        let mut first = budget.permit();
        let mut second = budget.permit();
        assert!(first.grow(6));
        assert!(!second.grow(5));
        assert!(second.grow(4));
        assert!(!first.grow(1));
        drop(first);
        assert_eq!(budget.used(), 4);
        assert!(second.grow(6));
        assert!(!second.grow(usize::MAX));
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn idle_waits_for_what_was_let_in_and_for_nothing_else() {
        let budget = ByteBudget::new(10);
        let _receiving = budget.permit();
        budget.idle().await;
        let mut stored = budget.permit();
        assert!(stored.enter());
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.idle().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(stored);
        waiting.await.unwrap();
    }

    #[test]
    fn a_closed_door_lets_nothing_in() {
        let budget = ByteBudget::new(10);
        let mut permit = budget.permit();
        budget.close();
        assert!(!permit.enter());
    }
}
