//! One kind of event, in any size, and the work that it asks for.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

/// The event's type.
pub const TYPE: &str = "transfer.settled";

/// The payload of [`TYPE`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Settled {
    transfer: Transfer,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Transfer {
    id: String,
    state: State,
    amount: Amount,
    fee: Option<Amount>,
    debtor: Party,
    creditor: Party,
    reference: String,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Pending,
    Settled,
}

#[derive(Debug, Serialize, Deserialize)]
struct Amount {
    value: String,
    currency: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Party {
    name: String,
    account: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    account: String,
    cents: i64,
    note: String,
}

#[derive(Serialize)]
struct Envelope<'e> {
    id: &'e str,
    #[serde(rename = "type")]
    event_type: &'e str,
    created_at: &'e str,
    data: &'e Settled,
}

/// An event in JSON, `bytes` long: as many entries as fit, the last one filled up.
///
/// # Errors
///
/// None is known: the types of this module can be written.
pub fn body(id: &str, bytes: usize) -> serde_json::Result<Vec<u8>> {
    let mut settled = Settled::with_one_entry();
    let one = write(id, &settled)?.len();
    settled.entries.push(Entry::new(1));
    let each = write(id, &settled)?.len().saturating_sub(one).max(1);
    let fit = bytes.saturating_sub(one) / each;
    settled.entries = (0..=fit).map(Entry::new).collect();
    let missing = bytes.saturating_sub(write(id, &settled)?.len());
    if let Some(last) = settled.entries.last_mut() {
        last.note.push_str(&"x".repeat(missing));
    }
    write(id, &settled)
}

fn write(id: &str, data: &Settled) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Envelope {
        id,
        event_type: TYPE,
        created_at: "2026-11-22T08:15:30.250Z",
        data,
    })
}

impl Settled {
    fn with_one_entry() -> Self {
        let eur = |value: &str| Amount {
            value: value.to_owned(),
            currency: "EUR".to_owned(),
        };
        let party = |name: &str, account: &str| Party {
            name: name.to_owned(),
            account: account.to_owned(),
        };
        Self {
            transfer: Transfer {
                id: "tr_01KAJ3Q9T2".to_owned(),
                state: State::Settled,
                amount: eur("1250.00"),
                fee: Some(eur("0.35")),
                debtor: party("Erika Mustermann", "DE02120300000000202051"),
                creditor: party("Jürgen Müller GmbH", "DE02500105170137075030"),
                reference: "Invoice 1142".to_owned(),
                metadata: [("order", "A-1009"), ("region", "eu-west")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            },
            entries: vec![Entry::new(0)],
        }
    }
}

impl Entry {
    fn new(number: usize) -> Self {
        Self {
            account: format!("{:04}-settlement", number % 10_000),
            cents: 12_500,
            note: "partial \"settlement\"".to_owned(),
        }
    }
}

/// Where the work ends up: how many events were settled, and how much money.
#[derive(Debug, Default)]
pub struct Till {
    events: AtomicU64,
    cents: AtomicU64,
}

impl Till {
    /// The work in every mode but the last: the payload decoded, then settled.
    ///
    /// # Panics
    ///
    /// When the payload does not fit: a mode that skips its work must not look fast.
    #[expect(clippy::expect_used, reason = "documented; the figures would be wrong")]
    pub fn decode_and_settle(&self, id: &str, data: &[u8]) {
        self.settle(
            id,
            &serde_json::from_slice(data).expect("our own payload fits its type"),
        );
    }

    /// The work behind an event router, which decodes by itself.
    pub fn settle(&self, id: &str, settled: &Settled) {
        let cents: i64 = settled.entries.iter().map(|entry| entry.cents).sum();
        let cents = u64::try_from(cents).unwrap_or_default();
        self.cents.fetch_add(cents, Ordering::Relaxed);
        self.events
            .fetch_add(u64::from(!id.is_empty()), Ordering::Relaxed);
    }

    /// How many events were settled.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_asked_for_and_can_be_settled() {
        for bytes in [600, 16 * 1024] {
            let body = body("evt_00000001", bytes).unwrap();
            assert_eq!(body.len(), bytes);
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let till = Till::default();
            till.settle(
                "evt_00000001",
                &Settled::deserialize(&json["data"]).unwrap(),
            );
            assert_eq!(till.events(), 1);
        }
    }
}
