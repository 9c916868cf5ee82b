//! The store's time: microseconds since 1970, which never run backwards while
//! the store is open.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tower_webhooks_core::Clock;

/// Tells the store's time. Clones tell the same.
#[derive(Debug, Clone)]
pub(crate) enum StoreClock {
    /// A clock that was handed in, as it is.
    Given(Arc<dyn Clock>),
    /// The operating system's.
    System(Arc<Mutex<Steady>>),
}

/// Follows the time of day forward. When that is set back, time goes on from
/// where it was, so that no lease is prolonged and no retry put off.
#[derive(Debug)]
pub(crate) struct Steady {
    last: i64,
    read_at: Instant,
}

impl StoreClock {
    pub(crate) fn system() -> Self {
        Self::System(Arc::new(Mutex::new(Steady {
            last: micros(SystemTime::now()),
            read_at: Instant::now(),
        })))
    }

    pub(crate) fn now(&self) -> i64 {
        match self {
            Self::Given(clock) => micros(clock.now()),
            Self::System(steady) => steady
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .at(micros(SystemTime::now()), Instant::now()),
        }
    }
}

impl Steady {
    fn at(&mut self, wall: i64, instant: Instant) -> i64 {
        let elapsed = instant.saturating_duration_since(self.read_at);
        self.last = wall.max(after(self.last, elapsed));
        self.read_at = instant;
        self.last
    }
}

/// A time as it is stored: microseconds since 1970, rounded down.
pub(crate) fn micros(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => duration_micros(since),
        Err(before) => {
            let before = before.duration();
            let whole = duration_micros(before).saturating_neg();
            let rest = before.subsec_nanos() % 1_000;
            if rest == 0 {
                whole
            } else {
                whole.saturating_sub(1)
            }
        }
    }
}

/// The time that was stored; 1970 where the platform's time cannot hold it.
pub(crate) fn system_time(micros: i64) -> SystemTime {
    let span = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

pub(crate) fn duration_micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// This long after that.
pub(crate) fn after(micros: i64, span: Duration) -> i64 {
    micros.saturating_add(duration_micros(span))
}

/// How long it is from one time to a later one; nothing if it is earlier.
pub(crate) fn until(from: i64, to: i64) -> Duration {
    Duration::from_micros(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were_stored() {
        for stored in [
            0,
            1,
            -1,
            1_700_000_000_123_456,
            -5_000_001,
            i64::from(u32::MAX),
        ] {
            assert_eq!(micros(system_time(stored)), stored);
        }
    }

    #[test]
    fn what_is_finer_than_a_microsecond_is_rounded_down() {
        let nanos = Duration::from_nanos(1_500);
        assert_eq!(micros(SystemTime::UNIX_EPOCH + nanos), 1);
        assert_eq!(micros(SystemTime::UNIX_EPOCH - nanos), -2);
    }

    #[test]
    fn time_follows_the_day_forward_and_never_back() {
        let start = Instant::now();
        let mut steady = Steady {
            last: 1_000,
            read_at: start,
        };
        let later = |micros| start + Duration::from_micros(micros);
        assert_eq!(steady.at(5_000, later(10)), 5_000, "set forward");
        assert_eq!(steady.at(100, later(30)), 5_020, "set back, goes on");
        assert_eq!(steady.at(5_500, later(40)), 5_500);
    }

    #[test]
    fn what_is_past_is_no_time_away() {
        assert_eq!(until(10, 3), Duration::ZERO);
        assert_eq!(until(3, 10), Duration::from_micros(7));
        assert_eq!(after(i64::MAX - 1, Duration::MAX), i64::MAX);
    }
}
