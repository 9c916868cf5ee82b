//! What a fleet's events are, and what its handlers do with each: by its number,
//! so that the processes and who watches them agree.

use std::time::Duration;

/// How long the fleet's workers hold a job, unless a test tells them otherwise.
pub const LEASE: Duration = Duration::from_secs(1);

/// An event of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act(pub u64);

/// What comes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its first attempt does it.
    Done,
    /// Its first attempt fails.
    FailsOnce,
    /// It fails for ever.
    Dead,
}

impl Act {
    /// The event with this id.
    #[must_use]
    pub fn of(id: &str) -> Option<Self> {
        id.strip_prefix("evt_")?.parse().ok().map(Self)
    }

    /// Its id.
    #[must_use]
    pub fn id(self) -> String {
        format!("evt_{}", self.0)
    }

    /// The endpoint that it is sent to.
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        if self.0.is_multiple_of(2) {
            "orders"
        } else {
            "payouts"
        }
    }

    /// Its type.
    #[must_use]
    pub fn event_type(self) -> &'static str {
        if self.0.is_multiple_of(2) {
            "order.paid"
        } else {
            "payout.sent"
        }
    }

    /// Its handlers, with what comes of the job of each. Of 100 events the job
    /// of one fails, and of 1,000 that of one for ever.
    #[must_use]
    pub fn jobs(self) -> Vec<(&'static str, Fate)> {
        if self.endpoint() == "payouts" {
            return vec![("pay", Fate::Done)];
        }
        let book = if self.0 % 200 == 64 {
            Fate::FailsOnce
        } else {
            Fate::Done
        };
        let notify = match self.0 % 1_000 {
            500 => Fate::Dead,
            number if number % 200 == 42 => Fate::FailsOnce,
            _ => Fate::Done,
        };
        vec![("book", book), ("notify", notify)]
    }

    /// How long its handler of this name takes: mostly no time, sometimes longer
    /// than the third of a lease after which it is extended, and rarely longer
    /// than the lease.
    #[must_use]
    pub fn pause(self, handler: &str) -> Duration {
        match (handler, self.0 % 200) {
            ("book", 90) | ("pay", 7 | 107) => LEASE / 2,
            ("pay", 11) => LEASE * 6 / 5,
            _ => Duration::ZERO,
        }
    }

    /// Whether its provider sends it twice: one after the other, or both at the
    /// same time. Of 100 events, 5 are.
    #[must_use]
    pub fn repeats(self) -> Option<Repeat> {
        match self.0 % 40 {
            3 => Some(Repeat::AtOnce),
            22 => Some(Repeat::Later),
            _ => None,
        }
    }
}

/// When the same event comes again, to the other receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// With the first.
    AtOnce,
    /// After the first was acknowledged.
    Later,
}
