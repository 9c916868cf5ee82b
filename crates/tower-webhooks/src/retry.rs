//! How often a failed handler is tried again, and after what delays.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use retry_policies::{Jitter, RetryDecision, RetryPolicy, policies::ExponentialBackoff};

/// Longer delays than this are cut to it: a year is already *never*.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How often a failed handler is tried again, and after what delays.
///
/// The default is [`exponential`](Self::exponential): 25 attempts; the delay
/// after attempt *n* is random between zero and the smaller of 10 s × 2^(n-1)
/// and 12 h. On average that is a little over three days in all: a handler
/// that broke on a Friday evening is still being tried on Monday. The full
/// jitter spreads the retries of jobs that failed together.
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
/// use tower_webhooks::Retry;
///
/// let five = NonZeroU32::new(5).unwrap();
/// let hasty = Retry::exponential()
///     .base(Duration::from_millis(200))
///     .cap(Duration::from_secs(30))
///     .max_attempts(five);
/// assert_ne!(hasty, Retry::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Retry {
    base: Duration,
    cap: Duration,
    max_attempts: u32,
    jitter: bool,
}

impl Retry {
    /// Doubling delays with full jitter: from 10 s to 12 h, 25 attempts.
    pub fn exponential() -> Self {
        Self {
            base: Duration::from_secs(10),
            cap: Duration::from_secs(12 * 60 * 60),
            max_attempts: 25,
            jitter: true,
        }
    }

    /// The same delay after each failure, exactly; 25 attempts. Delays above
    /// 366 days are cut to that.
    pub fn fixed(delay: Duration) -> Self {
        let delay = delay.min(MAX_DELAY);
        Self {
            base: delay,
            cap: delay,
            jitter: false,
            ..Self::exponential()
        }
    }

    /// One attempt: the first failure is the end.
    pub fn none() -> Self {
        Self::fixed(Duration::ZERO).max_attempts(NonZeroU32::MIN)
    }

    /// How often the handler is run at most, the first time included.
    pub fn max_attempts(self, max_attempts: NonZeroU32) -> Self {
        Self {
            max_attempts: max_attempts.get(),
            ..self
        }
    }

    /// The greatest delay after the first failure; it doubles from there.
    /// Above 366 days it is cut to that.
    pub fn base(self, base: Duration) -> Self {
        Self {
            base: base.min(MAX_DELAY),
            ..self
        }
    }

    /// The greatest delay after any failure. Above 366 days it is cut to that;
    /// a cap below the base lowers every delay to itself.
    pub fn cap(self, cap: Duration) -> Self {
        Self {
            cap: cap.min(MAX_DELAY),
            ..self
        }
    }

    /// How often the handler is run at most.
    pub(crate) fn limit(&self) -> u32 {
        self.max_attempts
    }

    /// The delay after attempt `attempt` (from 1) failed; none when it was the
    /// last.
    pub(crate) fn delay_after(&self, attempt: u32) -> Option<Duration> {
        let past_retries = attempt.saturating_sub(1);
        let policy = ExponentialBackoff::builder()
            .retry_bounds(self.base.min(self.cap), self.cap)
            .jitter(if self.jitter {
                Jitter::Full
            } else {
                Jitter::None
            })
            .base(2)
            .build_with_max_retries(self.max_attempts.saturating_sub(1));
        let now = SystemTime::now();
        match policy.should_retry(now, past_retries) {
            // the policy reads the clock itself, a moment later: the bound still holds
            RetryDecision::Retry { execute_after } => Some(
                execute_after
                    .duration_since(now)
                    .unwrap_or_default()
                    .min(self.bound(past_retries)),
            ),
            RetryDecision::DoNotRetry => None,
        }
    }

    /// The greatest delay after that many retries.
    fn bound(&self, past_retries: u32) -> Duration {
        let factor = 2_u32.checked_pow(past_retries).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::exponential()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn twenty_five_attempts_take_about_three_days() {
        let retry = Retry::default();
        let most: Duration = (0..24).map(|n| retry.bound(n)).sum();
        let mean = most / 2;
        assert!(
            mean > Duration::from_secs(3 * 86_400) && mean < Duration::from_secs(7 * 43_200),
            "{mean:?}"
        );
        assert!(retry.delay_after(24).is_some());
        assert_eq!(retry.delay_after(25), None);
    }

    #[test]
    fn the_jitter_is_full() {
        let delays: Vec<_> = (0..200)
            .filter_map(|_| Retry::default().delay_after(1))
            .collect();
        assert_eq!(delays.len(), 200);
        assert!(delays.iter().any(|delay| *delay < Duration::from_secs(2)));
        assert!(delays.iter().any(|delay| *delay > Duration::from_secs(8)));
    }

    #[test]
    fn a_fixed_delay_neither_grows_nor_varies() {
        let retry = Retry::fixed(Duration::from_millis(1500));
        for attempt in [1, 2, 24] {
            assert_eq!(
                retry.delay_after(attempt),
                Some(Duration::from_millis(1500))
            );
        }
    }

    #[test]
    fn none_is_one_attempt() {
        assert_eq!(Retry::none().delay_after(1), None);
        assert_eq!(Retry::none().limit(), 1);
    }

    proptest! {
        #[test]
        fn delays_stay_within_the_documented_bounds(
            base in any::<Duration>(),
            cap in any::<Duration>(),
            max in 1_u32..,
            attempt in any::<u32>(),
        ) {
            let max = NonZeroU32::new(max).unwrap();
            let retry = Retry::exponential().base(base).cap(cap).max_attempts(max);
            let delay = retry.delay_after(attempt);
            prop_assert_eq!(delay.is_none(), attempt.max(1) >= max.get());
            if let Some(delay) = delay {
                prop_assert!(delay <= cap.min(MAX_DELAY));
                let doublings = attempt.saturating_sub(1).min(31);
                let grown = base.min(MAX_DELAY).saturating_mul(1 << doublings);
                // beyond 31 doublings the factor is the library's greatest, 2^32 - 1
                prop_assert!(doublings == 31 || delay <= grown);
            }
        }
    }
}
