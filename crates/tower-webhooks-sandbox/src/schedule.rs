//! When a provider tries again, and for how long it waits for an answer.

use std::time::Duration;

use serde::Serialize;
use tower_webhooks_core::Provider;

/// The waits that are taken where a provider documents none: as most providers
/// do whose schedules are public, and short enough to be watched.
const OUR_DELAYS: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
];

/// The deadline that is taken where a provider documents none: that of M2M and
/// Monterrey, the longest that is documented.
const OUR_DEADLINE: Duration = Duration::from_secs(30);

/// CryptoMate's newer pages wait 1,200 ms for a decision. The preset promises
/// its handlers the 1,000 of the older ones.
/// Source: docs.cryptomate.me/products/cards-configuration, read 2026-11-22
/// from a stored copy.
const CRYPTOMATE_DECISION: Duration = Duration::from_millis(1_200);

/// When a provider tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// The waits from the end of one attempt to the next.
    pub delays: Vec<Duration>,
    /// Whose waits these are.
    pub delays_from: Source,
    /// How long an answer is waited for.
    pub deadline: Duration,
    /// Whose deadline that is.
    pub deadline_from: Source,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The provider's documents.
    Documented,
    /// The sandbox, since the documents leave it open.
    Ours,
}

impl Schedule {
    /// What a provider's description says, completed by ours.
    #[must_use]
    pub fn of(provider: &Provider) -> Self {
        let retries = provider.retries();
        let (delays, delays_from) = match (retries.delays.as_slice(), retries.lasts) {
            ([], None) => (OUR_DELAYS.to_vec(), Source::Ours),
            ([], Some(Duration::ZERO)) => (Vec::new(), Source::Documented),
            ([], Some(lasts)) => (ours_within(lasts), Source::Ours),
            (delays, _) => (delays.to_vec(), Source::Documented),
        };
        let (deadline, deadline_from) = match retries.deadline {
            Some(deadline) => (deadline, Source::Documented),
            None => (OUR_DEADLINE, Source::Ours),
        };
        Self {
            delays,
            delays_from,
            deadline,
            deadline_from,
        }
    }

    /// The same for one event. One that wants its answer decided on the spot
    /// has the decision's deadline and is not sent again: what no schedule
    /// documents, and a purchase does not wait for.
    #[must_use]
    pub fn for_event(provider: &Provider, event_type: &str) -> Self {
        let rule = provider
            .replies()
            .iter()
            .find(|rule| rule.event_type == event_type);
        let Some(rule) = rule else {
            return Self::of(provider);
        };
        let deadline = match provider.name().as_str() {
            "cryptomate" => CRYPTOMATE_DECISION,
            _ => rule.budget,
        };
        Self {
            delays: Vec::new(),
            delays_from: Source::Ours,
            deadline,
            deadline_from: Source::Documented,
        }
    }
}

/// As many of our waits as fit into the time over which a provider is documented to
/// go on.
fn ours_within(lasts: Duration) -> Vec<Duration> {
    let mut left = lasts;
    let fits = move |delay: &Duration| match left.checked_sub(*delay) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    OUR_DELAYS.into_iter().take_while(fits).collect()
}

/// Whether an answer counts as delivered: any 2xx, but for Devdraft 200 alone.
/// Source: docs.devdraft.ai/developers/webhooks/overview, read 2026-11-22 from
/// a stored copy.
pub(crate) fn is_accepted(provider: &Provider, status: u16) -> bool {
    match provider.name().as_str() {
        "devdraft" => status == 200,
        _ => (200..300).contains(&status),
    }
}

#[cfg(test)]
mod tests {
    use tower_webhooks_core::providers;

    use super::*;

    #[test]
    fn what_is_documented_is_taken_and_the_rest_is_called_ours() {
        let monterrey = Schedule::of(&providers::monterrey());
        assert_eq!(monterrey.delays.len(), 5);
        assert_eq!(monterrey.delays_from, Source::Documented);
        assert_eq!(monterrey.deadline_from, Source::Documented);
        let mppcash = Schedule::of(&providers::mppcash());
        assert_eq!(mppcash.delays_from, Source::Ours);
        assert_eq!(mppcash.deadline_from, Source::Ours);
    }

    #[test]
    fn our_waits_end_when_the_provider_does() {
        let github = Schedule::of(&providers::github());
        assert_eq!(github.delays, []);
        assert_eq!(github.delays_from, Source::Documented);
        let discord = Schedule::of(&providers::discord());
        assert_eq!(discord.delays, OUR_DELAYS[..2], "within ten minutes");
        assert_eq!(discord.delays_from, Source::Ours);
        assert_eq!(Schedule::of(&providers::stripe()).delays, OUR_DELAYS);
    }

    #[test]
    fn a_decision_is_asked_for_once_and_waits_as_long_as_the_newer_pages_say() {
        let cryptomate = providers::cryptomate();
        let decision = Schedule::for_event(&cryptomate, "cards.authorization.pending");
        assert_eq!(decision.delays, []);
        assert_eq!(decision.deadline, Duration::from_millis(1_200));
        let other = Schedule::for_event(&cryptomate, "cards.clearing.pending");
        assert_eq!(other, Schedule::of(&cryptomate));
    }

    #[test]
    fn devdraft_counts_200_alone_and_others_any_2xx() {
        for (status, devdraft, monterrey) in [
            (199, false, false),
            (200, true, true),
            (201, false, true),
            (299, false, true),
            (300, false, false),
        ] {
            assert_eq!(is_accepted(&providers::devdraft(), status), devdraft);
            assert_eq!(is_accepted(&providers::monterrey(), status), monterrey);
        }
    }
}
