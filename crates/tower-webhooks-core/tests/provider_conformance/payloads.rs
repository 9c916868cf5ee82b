//! Every event has a payload type of its own, which fits its sample.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tower_webhooks_core::{
    EventType,
    providers::{self, cryptomate, devdraft, m2m, monterrey, mppcash},
};

use crate::case::{Case, event};

/// What reads a payload and writes it again.
pub(super) type Again = fn(&[u8]) -> Result<Value, serde_json::Error>;

fn payload<T: EventType + Serialize + DeserializeOwned>() -> (&'static str, Again) {
    (T::EVENT_TYPE, |data| {
        serde_json::to_value(serde_json::from_slice::<T>(data)?)
    })
}

pub(super) fn payloads(provider: &str) -> BTreeMap<&'static str, Again> {
    let list = match provider {
        "cryptomate" => vec![
            payload::<cryptomate::TreasuryDeposit>(),
            payload::<cryptomate::CardsDeposit>(),
            payload::<cryptomate::VirtualWalletsDeposit>(),
            payload::<cryptomate::VirtualWalletsWithdraw>(),
            payload::<cryptomate::VirtualWalletsWithdrawFailed>(),
            payload::<cryptomate::CardAuthorization>(),
            payload::<cryptomate::CardDeclined>(),
            payload::<cryptomate::CardClearingPending>(),
            payload::<cryptomate::CardClearingFailed>(),
            payload::<cryptomate::CardCleared>(),
            payload::<cryptomate::CardRefund>(),
            payload::<cryptomate::CardReversal>(),
            payload::<cryptomate::Card3dsChallenge>(),
        ],
        "devdraft" => vec![
            payload::<devdraft::PaymentCreated>(),
            payload::<devdraft::PaymentPending>(),
            payload::<devdraft::PaymentCompleted>(),
            payload::<devdraft::PaymentFailed>(),
            payload::<devdraft::PaymentRefunded>(),
            payload::<devdraft::PaymentDisputed>(),
            payload::<devdraft::PaymentLinkCreated>(),
            payload::<devdraft::PaymentLinkPaid>(),
            payload::<devdraft::PaymentLinkExpired>(),
            payload::<devdraft::PaymentLinkCancelled>(),
            payload::<devdraft::TransferInitiated>(),
            payload::<devdraft::TransactionSuccessful>(),
            payload::<devdraft::TransactionFailed>(),
            payload::<devdraft::TransactionPending>(),
            payload::<devdraft::TransactionCanceled>(),
            payload::<devdraft::TransactionDisputed>(),
        ],
        "m2m" => vec![
            payload::<m2m::LinkCreated>(),
            payload::<m2m::LinkOpened>(),
            payload::<m2m::DataRequest>(),
            payload::<m2m::OperationCreated>(),
            payload::<m2m::OperationCancelled>(),
        ],
        "monterrey" => vec![
            payload::<monterrey::PaymentCreated>(),
            payload::<monterrey::PaymentDetecting>(),
            payload::<monterrey::PaymentConfirmed>(),
            payload::<monterrey::PaymentExpired>(),
            payload::<monterrey::PaymentFailed>(),
        ],
        "mppcash" => vec![
            payload::<mppcash::TransferSettled>(),
            payload::<mppcash::TransferRejected>(),
            payload::<mppcash::SessionSettled>(),
            payload::<mppcash::SessionCapWarning>(),
            payload::<mppcash::BalanceLowThreshold>(),
        ],
        // Described without payload types of their own: their libraries have
        // them.
        other if providers::find(other).is_some() => Vec::new(),
        other => panic!("list the payload types of {other} here"),
    };
    let types = list.len();
    let map: BTreeMap<_, _> = list.into_iter().collect();
    assert_eq!(
        map.len(),
        types,
        "two payload types of {provider} name one event"
    );
    map
}

#[test]
fn every_sample_decodes_into_its_payload_type_and_back() {
    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
            other => other,
        }
    }
    for provider in providers::all() {
        let payloads = payloads(provider.name());
        let typed = ["cryptomate", "devdraft", "m2m", "monterrey", "mppcash"];
        if typed.contains(&provider.name().as_str()) {
            assert_eq!(payloads.len(), provider.events().list.len());
        }
    }
    for case in Case::all() {
        let delivery = case.check(&case.sign()).unwrap();
        let data = event(&delivery).unwrap().data().clone();
        let payloads = payloads(case.provider.name());
        let Some(decode) = payloads.get(case.event_type.as_str()) else {
            continue;
        };
        let again =
            decode(data.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let data = serde_json::from_str(&data).unwrap();
        assert_eq!(without_nulls(again), without_nulls(data), "{}", case.name());
    }
}
