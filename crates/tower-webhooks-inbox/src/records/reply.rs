//! Answers that a reply handler decides, one for each event.

use std::{fmt, time::Duration};

use bytes::Bytes;
use tower_webhooks_core::Text;

use super::{EventSeq, NewEvent};

/// An answer to a delivery.
///
/// `Debug` prints the body's length in place of the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The content type, if any.
    pub content_type: Option<Text>,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Who decided a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecidedBy {
    /// Nobody in time: it is the configured default, for this reason.
    Default(Text),
    /// The reply handler.
    Handler,
}

/// A reply as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedReply {
    /// The answer.
    pub reply: Reply,
    /// Who decided it.
    pub by: DecidedBy,
}

/// Stores an event, if it is new, and reserves the decision of its reply.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The event. Its jobs are made as by an insert.
    pub event: NewEvent,
    /// How long the reservation keeps others away; the reply handler's budget
    /// and a margin.
    pub hold: Duration,
}

/// What a reservation found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Reserved {
    /// Known and undecided, and nobody is deciding: the reservation is now the
    /// caller's. An earlier holder may have acted before it vanished, so the
    /// caller answers with the default.
    Abandoned {
        /// The event.
        seq: EventSeq,
        /// Fences the reservation.
        token: u64,
    },
    /// The id is signed, and known with another body. Stored apart, nothing
    /// reserved.
    Conflict {
        /// The event that was stored apart.
        seq: EventSeq,
    },
    /// Another delivery of it is being decided.
    InProgress {
        /// The event.
        seq: EventSeq,
        /// How long its reservation still lasts.
        remaining: Duration,
    },
    /// Stored and reserved: decide.
    New {
        /// The event.
        seq: EventSeq,
        /// Fences the reservation.
        token: u64,
    },
    /// Decided before: answer this.
    Recorded {
        /// The event.
        seq: EventSeq,
        /// The answer.
        reply: Reply,
    },
}

/// Records a decided reply.
#[derive(Debug, Clone)]
pub struct RecordReply {
    /// The event.
    pub seq: EventSeq,
    /// The token it was reserved with.
    pub token: u64,
    /// The answer.
    pub reply: Reply,
    /// Who decided it.
    pub by: DecidedBy,
}

/// What recording a reply did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Recorded {
    /// The token is stale and nothing is recorded yet: someone else is deciding,
    /// or the event is gone. Do not answer with the reply.
    Lost,
    /// Recorded: the reply may leave.
    Stored,
    /// Another reply was recorded before: answer that.
    Superseded(Reply),
}
