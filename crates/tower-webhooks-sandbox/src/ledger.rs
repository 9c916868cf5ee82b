//! What is remembered of what was sent: the newest, as much as fits.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle, time::Instant};

use crate::{Attempt, Dispatch, Outcome, deliver::Shipment};

/// How many dispatches are remembered; the oldest are forgotten first, and what is
/// forgotten is not tried again.
pub(crate) const MAX_REMEMBERED: usize = 10_000;

/// How many bytes they may take together, with their bodies and the answers.
pub(crate) const MAX_REMEMBERED_BYTES: usize = 64 << 20;

/// How many attempts are remembered of one dispatch: more than any schedule has. Only who
/// redelivers by hand comes to so many.
pub(crate) const MAX_ATTEMPTS: usize = 1_000;

/// What an entry takes besides its texts, with its places in the collections.
const ENTRY_BYTES: usize = 1024;

/// What an attempt takes besides its texts.
const ATTEMPT_BYTES: usize = 128;

/// Every dispatch that is remembered.
#[derive(Debug)]
pub(crate) struct Ledger {
    kept: Mutex<Kept>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    /// How many came before each one, since there was the first of all.
    numbers: HashMap<String, usize>,
    forgotten: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    dispatch: Dispatch,
    shipment: Arc<Shipment>,
    task: Option<AbortHandle>,
    begun: Instant,
    bytes: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Ledger {
    pub(crate) fn add(&self, dispatch: Dispatch, shipment: Arc<Shipment>) {
        let mut kept = self.lock();
        let number = kept.forgotten.saturating_add(kept.entries.len());
        kept.numbers.insert(dispatch.id.clone(), number);
        let mut entry = Entry {
            dispatch,
            shipment,
            task: None,
            begun: Instant::now(),
            bytes: 0,
        };
        entry.bytes = entry.weigh();
        kept.bytes = kept.bytes.saturating_add(entry.bytes);
        kept.entries.push_back(entry);
        kept.forget_oldest();
        drop(kept);
        self.changed.send_replace(());
    }

    /// Ends this task when the dispatch is forgotten.
    pub(crate) fn set_task(&self, id: &str, task: AbortHandle) {
        match self.lock().find_mut(id) {
            Some(entry) => entry.task = Some(task),
            None => task.abort(),
        }
    }

    pub(crate) fn list(&self) -> Vec<Dispatch> {
        let kept = self.lock();
        let entries = kept.entries.iter();
        entries.map(|entry| entry.dispatch.clone()).collect()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Dispatch> {
        Some(self.lock().find(id)?.dispatch.clone())
    }

    pub(crate) fn shipment(&self, id: &str) -> Option<Arc<Shipment>> {
        Some(Arc::clone(&self.lock().find(id)?.shipment))
    }

    /// The time since the dispatch's beginning.
    pub(crate) fn age(&self, id: &str) -> Duration {
        let kept = self.lock();
        let entry = kept.find(id);
        entry.map_or(Duration::ZERO, |entry| entry.begun.elapsed())
    }

    /// Changes a dispatch that is still remembered.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Dispatch)) {
        let mut kept = self.lock();
        if let Some(entry) = kept.find_mut(id) {
            change(&mut entry.dispatch);
            let attempts = &mut entry.dispatch.attempts;
            let too_many = attempts.len().saturating_sub(MAX_ATTEMPTS);
            attempts.drain(..too_many);
            let after = entry.weigh();
            let before = std::mem::replace(&mut entry.bytes, after);
            kept.bytes = kept.bytes.saturating_sub(before).saturating_add(after);
            kept.forget_oldest();
        }
        drop(kept);
        self.changed.send_replace(());
    }

    /// The dispatch as soon as it is as wanted; nothing if it is not known.
    pub(crate) async fn until(
        &self,
        id: &str,
        is_wanted: impl Fn(&Dispatch) -> bool,
    ) -> Option<Dispatch> {
        let mut changed = self.changed.subscribe();
        loop {
            let dispatch = self.find(id)?;
            if is_wanted(&dispatch) {
                return Some(dispatch);
            }
            changed.changed().await.ok()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&self, id: &str) -> Option<&Entry> {
        let number = self.numbers.get(id)?;
        self.entries.get(number.checked_sub(self.forgotten)?)
    }

    fn find_mut(&mut self, id: &str) -> Option<&mut Entry> {
        let number = self.numbers.get(id)?;
        self.entries.get_mut(number.checked_sub(self.forgotten)?)
    }

    /// The newest stays, however large it is.
    fn forget_oldest(&mut self) {
        while self.entries.len() > 1
            && (self.entries.len() > MAX_REMEMBERED || self.bytes > MAX_REMEMBERED_BYTES)
            && let Some(oldest) = self.entries.pop_front()
        {
            self.forgotten = self.forgotten.saturating_add(1);
            self.numbers.remove(&oldest.dispatch.id);
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            if let Some(task) = oldest.task {
                task.abort();
            }
        }
    }
}

impl Entry {
    fn weigh(&self) -> usize {
        let Dispatch { url, attempts, .. } = &self.dispatch;
        let attempts = attempts.iter().map(weigh_attempt);
        let fixed = [ENTRY_BYTES, url.len(), self.shipment.bytes()];
        attempts.chain(fixed).fold(0, usize::saturating_add)
    }
}

fn weigh_attempt(attempt: &Attempt) -> usize {
    let text = match &attempt.outcome {
        Outcome::Answered { body: text, .. } | Outcome::Broken(text) | Outcome::NotSent(text) => {
            text.len()
        }
        Outcome::TimedOut => 0,
    };
    ATTEMPT_BYTES.saturating_add(text)
}
