//! What an endpoint counts. Handles are looked up once, at start.

use std::time::{Instant, SystemTime};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tower_webhooks_core::{Delivery, RejectionKind, Text};
use tower_webhooks_inbox::{Inserted, Reserved};

pub(crate) struct Meter {
    accepted: Counter,
    conflict: Counter,
    duplicate: Counter,
    handshakes: Counter,
    unhandled: Counter,
    unusable: Counter,
    rejected: Vec<(RejectionKind, Counter)>,
    accept_seconds: Histogram,
    last_match: LastMatches,
    last_opened: LastMatches,
}

/// When each secret was last good for something, by its label.
struct LastMatches(Vec<(Text, Gauge)>);

impl Meter {
    /// The labels are those of the configured secrets, which sign and which open
    /// payloads: a bounded set.
    pub(crate) fn new<'l>(
        endpoint: &Text,
        labels: impl IntoIterator<Item = &'l Text>,
        payload_labels: impl IntoIterator<Item = &'l Text>,
    ) -> Self {
        let last = |name: &'static str, label: &Text| {
            let gauge = gauge!(
                name,
                "endpoint" => endpoint.to_string(),
                "secret" => label.to_string(),
            );
            (label.clone(), gauge)
        };
        let of = |name| counter!(name, "endpoint" => endpoint.to_string());
        Self {
            accepted: of("webhooks_accepted_total"),
            conflict: of("webhooks_conflict_total"),
            duplicate: of("webhooks_duplicate_total"),
            handshakes: of("webhooks_handshakes_total"),
            unhandled: of("webhooks_unhandled_total"),
            unusable: of("webhooks_unusable_total"),
            rejected: RejectionKind::ALL
                .iter()
                .map(|&kind| {
                    let counter = counter!(
                        "webhooks_rejected_total",
                        "endpoint" => endpoint.to_string(),
                        "kind" => kind.as_str(),
                    );
                    (kind, counter)
                })
                .collect(),
            accept_seconds: histogram!(
                "webhooks_accept_seconds",
                "endpoint" => endpoint.to_string(),
            ),
            last_match: LastMatches(
                labels
                    .into_iter()
                    .map(|label| last("webhooks_secret_last_match_timestamp_seconds", label))
                    .collect(),
            ),
            last_opened: LastMatches(
                payload_labels
                    .into_iter()
                    .map(|label| {
                        last(
                            "webhooks_payload_secret_last_match_timestamp_seconds",
                            label,
                        )
                    })
                    .collect(),
            ),
        }
    }

    pub(crate) fn rejected(&self, kind: RejectionKind) {
        if let Some((_, counter)) = self.rejected.iter().find(|(known, _)| *known == kind) {
            counter.increment(1);
        }
    }

    pub(crate) fn handshake(&self) {
        self.handshakes.increment(1);
    }

    /// Which secret signed a delivery, and which one opened it.
    pub(crate) fn matched(&self, delivery: &Delivery, at: SystemTime) {
        self.last_match.set(delivery.secret_label(), at);
        self.last_opened.set(delivery.payload_label(), at);
    }

    pub(crate) fn stored(&self, inserted: Inserted) {
        match inserted {
            Inserted::Duplicate { .. } => self.duplicate.increment(1),
            Inserted::Conflict { .. } => {
                self.accepted.increment(1);
                self.conflict.increment(1);
            }
            Inserted::New { .. } => self.accepted.increment(1),
            Inserted::Unhandled { .. } => {
                self.accepted.increment(1);
                self.unhandled.increment(1);
            }
            Inserted::Unusable { .. } => {
                self.accepted.increment(1);
                self.unusable.increment(1);
            }
        }
    }

    /// The same for a delivery that wants a decision. Whoever finds one begun
    /// or made is a duplicate, also where the first decider is gone.
    pub(crate) fn reserved(&self, reserved: &Reserved, unusable: bool) {
        match reserved {
            Reserved::Abandoned { .. }
            | Reserved::InProgress { .. }
            | Reserved::Recorded { .. } => self.duplicate.increment(1),
            Reserved::Conflict { .. } => {
                self.accepted.increment(1);
                self.conflict.increment(1);
            }
            Reserved::New { .. } => {
                self.accepted.increment(1);
                self.unusable.increment(u64::from(unusable));
            }
        }
    }

    pub(crate) fn answered(&self, since: Option<Instant>) {
        if let Some(since) = since {
            self.accept_seconds.record(since.elapsed().as_secs_f64());
        }
    }
}

impl LastMatches {
    fn set(&self, label: Option<&Text>, at: SystemTime) {
        let gauge = label.and_then(|label| self.0.iter().find(|(known, _)| known == label));
        if let Some((_, gauge)) = gauge {
            let since_1970 = at
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            gauge.set(since_1970.as_secs_f64());
        }
    }
}
