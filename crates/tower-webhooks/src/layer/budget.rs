//! The bytes of all bodies that are being received or wait to be stored.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A bound shared by all endpoints. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct ByteBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    used: AtomicUsize,
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
        }))
    }

    pub(crate) fn permit(&self) -> BytePermit {
        BytePermit {
            budget: self.clone(),
            bytes: 0,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
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
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
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
}
