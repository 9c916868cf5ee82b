//! One thing asked of the committer, and how it is answered.

use std::slice;

use tokio::sync::oneshot;

use super::Worked;
use crate::{
    Applied, Batch, Claim, Extend, InboxError, InboxErrorKind, Inserted, NewEvent, RecordReply,
    Recorded, Registration, Reserve, Reserved, Settle, SettleResult, Settlement,
};

/// Who waits may be gone; so sending an answer never fails.
pub(super) type Answer<T> = oneshot::Sender<Result<T, InboxError>>;

/// Called with what the events of one delivery found.
pub(super) type Told = Box<dyn FnOnce(&[Inserted]) + Send>;

pub(super) enum Request {
    Insert {
        event: NewEvent,
        stored: Box<dyn FnOnce(Inserted) + Send>,
        answer: Answer<Inserted>,
    },
    InsertAll {
        events: Vec<NewEvent>,
        stored: Told,
        answer: Answer<Vec<Inserted>>,
    },
    Record {
        record: RecordReply,
        answer: Answer<Recorded>,
    },
    Register {
        registers: Vec<Registration>,
        answer: Answer<()>,
    },
    Reserve {
        reserve: Reserve,
        guard: Box<dyn Send>,
        answer: Answer<Reserved>,
    },
    Work {
        settles: Vec<Settle>,
        extends: Vec<Extend>,
        claim: Option<Claim>,
        answer: Answer<Worked>,
    },
}

impl Request {
    /// The events it brings, if it is intake.
    pub(super) fn events(&self) -> &[NewEvent] {
        match self {
            Self::Insert { event, .. } => slice::from_ref(event),
            Self::InsertAll { events, .. } => events,
            Self::Reserve { reserve, .. } => slice::from_ref(&reserve.event),
            Self::Record { .. } | Self::Register { .. } | Self::Work { .. } => &[],
        }
    }

    pub(super) fn events_mut(&mut self) -> &mut [NewEvent] {
        match self {
            Self::Insert { event, .. } => slice::from_mut(event),
            Self::InsertAll { events, .. } => events,
            Self::Reserve { reserve, .. } => slice::from_mut(&mut reserve.event),
            Self::Record { .. } | Self::Register { .. } | Self::Work { .. } => &mut [],
        }
    }

    /// A batch holds one claim.
    pub(super) fn claims(&self) -> bool {
        matches!(self, Self::Work { claim: Some(_), .. })
    }

    /// Where it stands in a batch, for the halves of one that failed.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Register { .. } => 0,
            Self::Insert { .. } | Self::InsertAll { .. } | Self::Reserve { .. } => 1,
            Self::Record { .. } => 2,
            Self::Work { .. } => 3,
        }
    }

    /// Adds a copy of it to a batch: kept here, it can be applied again without
    /// the others. The copy shares bytes and text and allocates nothing for an event.
    pub(super) fn add_to(&self, batch: &mut Batch) {
        match self {
            Self::Insert { event, .. } => batch.inserts.push(event.clone()),
            Self::InsertAll { events, .. } => batch.inserts.extend_from_slice(events),
            Self::Record { record, .. } => batch.replies.push(record.clone()),
            Self::Register { registers, .. } => batch.registers.extend_from_slice(registers),
            Self::Reserve { reserve, .. } => batch.reserves.push(reserve.clone()),
            Self::Work {
                settles,
                extends,
                claim,
                ..
            } => {
                batch.settles.extend_from_slice(settles);
                batch.extends.extend_from_slice(extends);
                if claim.is_some() {
                    batch.claim.clone_from(claim);
                }
            }
        }
    }

    pub(super) fn refuse(self, error: InboxError) {
        match self {
            Self::Insert { answer, stored, .. } => {
                drop(stored);
                let _ = answer.send(Err(error));
            }
            Self::InsertAll { answer, stored, .. } => {
                drop(stored);
                let _ = answer.send(Err(error));
            }
            Self::Record { answer, .. } => {
                let _ = answer.send(Err(error));
            }
            Self::Register { answer, .. } => {
                let _ = answer.send(Err(error));
            }
            Self::Reserve { answer, guard, .. } => {
                drop(guard);
                let _ = answer.send(Err(error));
            }
            Self::Work { answer, .. } => {
                let _ = answer.send(Err(error));
            }
        }
    }
}

/// What a store answered, given out in the order of the batch.
pub(super) struct Answers {
    inserts: std::vec::IntoIter<Inserted>,
    reserves: std::vec::IntoIter<Reserved>,
    replies: std::vec::IntoIter<Recorded>,
    settles: std::vec::IntoIter<SettleResult>,
    extends: std::vec::IntoIter<bool>,
    claimed: Vec<crate::Leased>,
    /// Whether a worker may find something new to do.
    pub(super) freed_work: bool,
}

impl Answers {
    pub(super) fn new(applied: Applied) -> Self {
        Self {
            inserts: applied.inserts.into_iter(),
            reserves: applied.reserves.into_iter(),
            replies: applied.replies.into_iter(),
            settles: applied.settles.into_iter(),
            extends: applied.extends.into_iter(),
            claimed: applied.claimed,
            freed_work: false,
        }
    }

    pub(super) fn give(&mut self, request: Request) {
        match request {
            Request::Insert { answer, stored, .. } => {
                let inserted = self.inserts.next();
                if let Some(inserted) = inserted {
                    stored(inserted);
                }
                self.freed_work |= inserted.as_ref().is_some_and(makes_work);
                let _ = answer.send(inserted.ok_or_else(too_short));
            }
            Request::InsertAll {
                events,
                answer,
                stored,
            } => {
                let inserted: Vec<_> = self.inserts.by_ref().take(events.len()).collect();
                self.freed_work |= inserted.iter().any(makes_work);
                let short = inserted.len() < events.len();
                stored(&inserted);
                let _ = answer.send(if short {
                    Err(too_short())
                } else {
                    Ok(inserted)
                });
            }
            Request::Record { answer, .. } => {
                let _ = answer.send(self.replies.next().ok_or_else(too_short));
            }
            Request::Register { answer, .. } => {
                let _ = answer.send(Ok(()));
            }
            Request::Reserve { answer, guard, .. } => {
                drop(guard);
                let reserved = self.reserves.next();
                self.freed_work |= matches!(reserved, Some(Reserved::New { .. }));
                let _ = answer.send(reserved.ok_or_else(too_short));
            }
            Request::Work {
                settles,
                extends,
                claim,
                answer,
            } => {
                self.freed_work |= frees_work(&settles);
                let worked = Worked {
                    settles: self.settles.by_ref().take(settles.len()).collect(),
                    extends: self.extends.by_ref().take(extends.len()).collect(),
                    claimed: match claim {
                        Some(_) => std::mem::take(&mut self.claimed),
                        None => Vec::new(),
                    },
                };
                let short =
                    worked.settles.len() < settles.len() || worked.extends.len() < extends.len();
                let _ = answer.send(if short { Err(too_short()) } else { Ok(worked) });
            }
        }
    }
}

/// Whether a worker may find something new to do now that this is stored.
pub(super) fn makes_work(inserted: &Inserted) -> bool {
    matches!(inserted, Inserted::New { jobs: 1.., .. })
}

/// Whether a worker may find something new to do when these have been applied.
pub(super) fn frees_work(settles: &[Settle]) -> bool {
    settles.iter().any(|settle| {
        matches!(
            settle.outcome,
            Settlement::Release | Settlement::Retry { .. }
        )
    })
}

pub(super) fn too_short() -> InboxError {
    InboxError::new(
        InboxErrorKind::Unavailable,
        "the store answered less than it was asked",
    )
}
