//! How often a key may call.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// So many requests in a window, which begins with the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// The number of requests.
    pub requests: u32,
    /// The window.
    pub per: Duration,
}

impl Limit {
    /// So many requests in a minute.
    #[must_use]
    pub const fn a_minute(requests: u32) -> Self {
        Self {
            requests,
            per: Duration::from_secs(60),
        }
    }

    /// So many requests in an hour.
    #[must_use]
    pub const fn an_hour(requests: u32) -> Self {
        Self {
            requests,
            per: Duration::from_secs(60 * 60),
        }
    }
}

/// Where a key stands in the window that has the least left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) resets_at: SystemTime,
    /// Until then, if it was too often.
    pub(crate) retry_after: Option<Duration>,
}

/// Counts the requests of every key.
#[derive(Debug, Default)]
pub(crate) struct Limiter(Mutex<HashMap<String, Vec<Window>>>);

#[derive(Debug, Clone, Copy)]
struct Window {
    began: SystemTime,
    used: u32,
}

impl Limiter {
    /// Counts one request, unless a window is full. Nothing where there is no
    /// limit.
    pub(crate) fn take(&self, key: &str, limits: &[Limit], now: SystemTime) -> Option<Standing> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Window {
            began: now,
            used: 0,
        };
        let windows = keys.entry(key.to_owned()).or_default();
        windows.resize(limits.len(), fresh);
        for (window, limit) in windows.iter_mut().zip(limits) {
            let age = now.duration_since(window.began).unwrap_or_default();
            if age >= limit.per {
                *window = fresh;
            }
        }
        let is_full = windows
            .iter()
            .zip(limits)
            .any(|(window, limit)| window.used >= limit.requests);
        if !is_full {
            for window in windows.iter_mut() {
                window.used = window.used.saturating_add(1);
            }
        }
        windows
            .iter()
            .zip(limits)
            .map(|(window, limit)| {
                let resets_at = window.began.checked_add(limit.per).unwrap_or(now);
                Standing {
                    limit: limit.requests,
                    remaining: limit.requests.saturating_sub(window.used),
                    resets_at,
                    retry_after: (is_full && window.used >= limit.requests)
                        .then(|| resets_at.duration_since(now).unwrap_or_default()),
                }
            })
            .min_by_key(|standing| standing.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_beyond_the_limit_waits_for_the_next_window() {
        let limiter = Limiter::default();
        let limits = [Limit::a_minute(2), Limit::an_hour(3)];
        let start = SystemTime::UNIX_EPOCH;
        let take = |seconds| {
            let now = start + Duration::from_secs(seconds);
            limiter.take("key", &limits, now).unwrap()
        };
        assert_eq!((take(0).remaining, take(1).remaining), (1, 0));
        let full = take(2);
        assert_eq!(full.retry_after, Some(Duration::from_secs(58)));
        assert_eq!((full.limit, full.remaining), (2, 0));
        assert_eq!(take(60).retry_after, None, "the next minute");
        let full = take(61).retry_after.unwrap();
        assert_eq!(full, Duration::from_secs(60 * 60 - 61), "the hour is full");
        assert_eq!(take(60 * 60).retry_after, None);
    }

    #[test]
    fn each_key_has_windows_of_its_own_and_no_limit_is_none() {
        let limiter = Limiter::default();
        let limits = [Limit::an_hour(1)];
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(limiter.take("a", &limits, now).unwrap().retry_after, None);
        assert_eq!(limiter.take("b", &limits, now).unwrap().retry_after, None);
        assert!(
            limiter
                .take("a", &limits, now)
                .unwrap()
                .retry_after
                .is_some()
        );
        assert_eq!(limiter.take("a", &[], now), None);
    }
}
