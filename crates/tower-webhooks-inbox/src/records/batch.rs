//! Everything that one transaction does.

use super::{
    Claim, EventSeq, Extend, Leased, NewEvent, RecordReply, Recorded, Registration, Reserve,
    Reserved, Settle, SettleResult,
};

/// One transaction. Its parts take effect in the order of the fields, and see
/// what earlier parts and earlier elements did.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Handlers that get jobs from this batch on.
    pub registers: Vec<Registration>,
    /// Events to store.
    pub inserts: Vec<NewEvent>,
    /// Events to store and replies to reserve.
    pub reserves: Vec<Reserve>,
    /// Replies to record.
    pub replies: Vec<RecordReply>,
    /// Leases to end.
    pub settles: Vec<Settle>,
    /// Leases to prolong.
    pub extends: Vec<Extend>,
    /// Jobs to lease.
    pub claim: Option<Claim>,
}

/// What a [`Batch`] did: each list as long as, and in the order of, its own in
/// the batch.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Applied {
    /// For each insert, what it found.
    pub inserts: Vec<Inserted>,
    /// For each reservation, what it found.
    pub reserves: Vec<Reserved>,
    /// For each reply, whether it counts.
    pub replies: Vec<Recorded>,
    /// For each settle, whether it counts.
    pub settles: Vec<SettleResult>,
    /// For each extension, whether the lease was still the caller's.
    pub extends: Vec<bool>,
    /// The jobs leased. Not more for a handler than it has free slots.
    pub claimed: Vec<Leased>,
}

/// What an insert found. All of them mean that the event is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The id is signed, and known with another body: stored apart, no job.
    Conflict {
        /// The event that was stored apart.
        seq: EventSeq,
    },
    /// Known: nothing was stored.
    Duplicate {
        /// The event it repeats.
        seq: EventSeq,
    },
    /// Stored, with jobs.
    New {
        /// The event.
        seq: EventSeq,
        /// How many handlers it is for.
        jobs: u32,
    },
    /// Stored; no handler and no fallback matched.
    Unhandled {
        /// The event.
        seq: EventSeq,
    },
    /// Stored; it could not be read.
    Unusable {
        /// The event.
        seq: EventSeq,
    },
}

impl Inserted {
    /// The event: the one stored, or the one it repeats.
    #[must_use]
    pub fn seq(&self) -> EventSeq {
        match *self {
            Self::Conflict { seq }
            | Self::Duplicate { seq }
            | Self::New { seq, .. }
            | Self::Unhandled { seq }
            | Self::Unusable { seq } => seq,
        }
    }
}
