//! Lines: the jobs of one handler, tenant and ordering key, run one after another.

use std::collections::BTreeSet;

use tower_webhooks_core::Text;

use crate::{EventSeq, JobState, Ordering, StoredEvent};

/// Tenant and ordering key.
pub(super) type LineName = (Option<Text>, Text);

/// One line. At most one of its jobs has the turn; that one is due or running.
#[derive(Debug, Default)]
pub(super) struct Line {
    turn: Option<EventSeq>,
    waiting: BTreeSet<EventSeq>,
    dead: BTreeSet<EventSeq>,
}

/// The line of an event's jobs. Copied out of the event, whose memory the text
/// may share and which it may outlive.
pub(super) fn line_of(event: &StoredEvent) -> Option<LineName> {
    let own = |text: &Text| Text::from(text.as_str());
    let key = event.ordering_key.as_ref()?;
    Some((event.tenant.as_ref().map(own), own(key)))
}

impl Line {
    /// A job of the line is in this state from now on; whether it has the turn.
    /// One that has it keeps it until it ends.
    pub(super) fn enter(&mut self, seq: EventSeq, state: JobState, ordering: Ordering) -> bool {
        let had_turn = self.turn == Some(seq);
        self.leave(seq);
        match state {
            JobState::Dead => {
                self.dead.insert(seq);
                true
            }
            JobState::Done => true,
            JobState::Pending => {
                let waits = self.turn.is_some()
                    || self.waiting.first().is_some_and(|first| *first < seq)
                    || self.is_blocked(seq, ordering);
                if waits && !had_turn {
                    self.waiting.insert(seq);
                    return false;
                }
                self.turn = Some(seq);
                true
            }
            JobState::Running => {
                self.turn = Some(seq);
                true
            }
        }
    }

    pub(super) fn leave(&mut self, seq: EventSeq) {
        self.turn.take_if(|turn| *turn == seq);
        self.waiting.remove(&seq);
        self.dead.remove(&seq);
    }

    /// Gives the turn to the first that waits, unless another has it or a dead
    /// one blocks.
    pub(super) fn next(&mut self, ordering: Ordering) -> Option<EventSeq> {
        let first = *self.waiting.first()?;
        if self.turn.is_some() || self.is_blocked(first, ordering) {
            return None;
        }
        self.waiting.remove(&first);
        self.turn = Some(first);
        Some(first)
    }

    /// Ends the line; who waited need wait no more.
    pub(super) fn disband(self) -> BTreeSet<EventSeq> {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turn.is_none() && self.waiting.is_empty() && self.dead.is_empty()
    }

    fn is_blocked(&self, seq: EventSeq, ordering: Ordering) -> bool {
        ordering == Ordering::Block && self.dead.first().is_some_and(|dead| *dead < seq)
    }
}
