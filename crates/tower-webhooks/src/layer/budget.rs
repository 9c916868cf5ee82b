//! The bytes of all bodies that are being received or wait to be stored.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// A bound shared by all endpoints. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct ByteBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    used: AtomicUsize,
    permits: AtomicUsize,
    idle: Notify,
}

/// The bytes of one body; given back on drop.
#[derive(Debug)]
pub(crate) struct BytePermit {
    budget: ByteBudget,
    bytes: usize,
}

impl ByteBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Shared {
            max,
            used: AtomicUsize::new(0),
            permits: AtomicUsize::new(0),
            idle: Notify::new(),
        }))
    }

    pub(crate) fn permit(&self) -> BytePermit {
        self.0.permits.fetch_add(1, Ordering::AcqRel);
        BytePermit {
            budget: self.clone(),
            bytes: 0,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Waits until no request is being received or waits to be stored.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.0.idle.notified();
            if self.0.permits.load(Ordering::Acquire) == 0 {
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
        }
        grown
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        let shared = &self.budget.0;
        shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
        if shared.permits.fetch_sub(1, Ordering::AcqRel) == 1 {
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
    async fn idle_waits_for_the_last_permit_even_of_an_empty_body() {
        let budget = ByteBudget::new(10);
        budget.idle().await;
        let permit = budget.permit();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.idle().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }
}
