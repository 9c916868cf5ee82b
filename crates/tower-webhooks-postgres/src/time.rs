//! Times and spans as PostgreSQL takes them.

use std::time::{Duration, SystemTime};

/// A time that both sides can hold, cut to the microseconds that the server
/// keeps. Senders choose some of them.
pub(crate) fn storable(time: SystemTime) -> SystemTime {
    let earliest = SystemTime::UNIX_EPOCH - EARLIEST;
    let latest = SystemTime::UNIX_EPOCH + LATEST;
    let time = time.clamp(earliest, latest);
    let since = time.duration_since(earliest).unwrap_or_default();
    earliest + Duration::from_micros(span_micros(since).unsigned_abs())
}

/// A span in microseconds.
pub(crate) fn micros(span: Duration) -> i64 {
    span_micros(span.min(LONGEST))
}

/// A span that the server told in microseconds; nothing if it is past.
pub(crate) fn from_micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn span_micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

const YEAR: u64 = 365 * 24 * 60 * 60;
const EARLIEST: Duration = Duration::from_secs(300 * YEAR);
const LATEST: Duration = Duration::from_secs(7_000 * YEAR);
/// Beyond every plan, and far from what the server's arithmetic cannot hold.
const LONGEST: Duration = Duration::from_secs(100 * YEAR);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_finer_than_a_microsecond_is_cut() {
        let time = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        assert_eq!(storable(time(1_500)), time(1_000));
        assert_eq!(storable(time(1_000)), time(1_000));
        let before = SystemTime::UNIX_EPOCH - Duration::from_nanos(1_500);
        assert_eq!(
            storable(before),
            SystemTime::UNIX_EPOCH - Duration::from_nanos(2_000)
        );
    }

    #[test]
    fn what_the_server_cannot_hold_is_cut_to_what_it_can() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(storable(far), SystemTime::UNIX_EPOCH + LATEST);
        assert_eq!(micros(Duration::MAX), micros(LONGEST));
        assert_eq!(from_micros(-1), Duration::ZERO);
    }
}
