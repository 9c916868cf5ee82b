//! What is asked to be sent, made into an event.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tower_webhooks_core::{
    Provider, Text,
    provider::{BodyFormat, Opens},
};

use crate::{Draft, edit::form};

/// An event that is to be sent to whoever registered for it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Trigger {
    /// The provider's name.
    pub provider: Text,
    /// The event's type.
    pub event_type: Text,
    /// The event's data, in place of the sample's.
    #[serde(default)]
    pub data: Option<Value>,
    /// The whole body, in place of the sample.
    #[serde(default)]
    pub body: Option<String>,
    /// To this application's registrations alone.
    #[serde(default)]
    pub application: Option<String>,
    /// M2M: the link that it is about, whose `callbackUrl` then gets it.
    #[serde(default)]
    pub link: Option<String>,
    /// Sends the body as it is, rather than as a new event.
    #[serde(default)]
    pub same: bool,
}

impl Trigger {
    /// The provider's sample of that type, as a new event.
    #[must_use]
    pub fn new(provider: impl Into<Text>, event_type: impl Into<Text>) -> Self {
        Self {
            provider: provider.into(),
            event_type: event_type.into(),
            data: None,
            body: None,
            application: None,
            link: None,
            same: false,
        }
    }

    /// Replaces the sample's data.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Replaces the sample.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends it to this application's registrations alone.
    #[must_use]
    pub fn with_application(mut self, name: impl Into<String>) -> Self {
        self.application = Some(name.into());
        self
    }

    /// Names the M2M link that it is about.
    #[must_use]
    pub fn with_link(mut self, id: impl Into<String>) -> Self {
        self.link = Some(id.into());
        self
    }

    /// Sends the body as it is: the same event again.
    #[must_use]
    pub const fn same(mut self) -> Self {
        self.same = true;
        self
    }
}

/// Why an event was not triggered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// The body or the sample with its data cannot be made an event of that
    /// type.
    #[error("the body cannot be made a new event of type {0}")]
    Body(Text),
    /// There is no such link.
    #[error("there is no link {0}")]
    Link(String),
    /// There is no sample of that type, and no body was given.
    #[error("no sample of {0} is known: give a body")]
    NoSample(Text),
    /// There is no such provider.
    #[error("there is no provider {0}")]
    Provider(Text),
}

/// An event, ready to be signed.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) event_type: Text,
    pub(crate) event_id: Option<Text>,
    pub(crate) draft: Draft,
}

impl Outgoing {
    pub(crate) fn new(provider: &Arc<Provider>, trigger: &Trigger) -> Result<Self, TriggerError> {
        let event_type = &trigger.event_type;
        let unfit = || TriggerError::Body(event_type.clone());
        let sample = || {
            provider
                .events()
                .find(event_type)
                .and_then(|event| event.sample.as_deref())
                .ok_or_else(|| TriggerError::NoSample(event_type.clone()))
        };
        let mut body = match &trigger.body {
            Some(body) => body.clone(),
            None => sample()?.to_owned(),
        };
        if let Some(data) = &trigger.data {
            body = with_payload(provider, &body, data).ok_or_else(unfit)?;
        }
        if let Some(link) = &trigger.link {
            let pointer = format!("{}/linkId", provider.envelope().data());
            body = with_data(&body, &pointer, &Value::from(link.as_str())).ok_or_else(unfit)?;
        }
        let mut draft = Draft::new(provider, Some(event_type), body);
        if !trigger.same {
            draft = draft.renewed(provider).ok_or_else(unfit)?;
        }
        let event = draft.head(provider).map_err(|_| unfit())?;
        if event.event_type() != event_type {
            return Err(unfit());
        }
        Ok(Self {
            event_type: event.event_type().clone(),
            event_id: event.id().cloned(),
            draft,
        })
    }
}

/// The body with another payload: of several events the first one's, and of a
/// form each field that the payload names.
fn with_payload(provider: &Provider, body: &str, data: &Value) -> Option<String> {
    let envelope = provider.envelope();
    if envelope.format() == BodyFormat::Form {
        let fields = data.as_object()?.iter();
        return fields
            .into_iter()
            .try_fold(body.to_owned(), |form, (name, value)| {
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let replaced = form::replaced(&form, name, |_| Some(text.clone()));
                Some(replaced.unwrap_or_else(|| form::with_field(&form, name, &text)))
            });
    }
    match provider.encryption() {
        // Plain text stands in the ciphertext's place until it is sealed.
        Some(sealed) if sealed.opens() == Opens::Data => {
            with_data(body, sealed.ciphertext(), &data.to_string().into())
        }
        _ => with_data(body, &envelope.data().replace('*', "0"), data),
    }
}

/// The body with another value at that pointer, which must have one already
/// unless it names a new member of an object.
fn with_data(body: &str, pointer: &str, data: &Value) -> Option<String> {
    let mut whole: Value = serde_json::from_str(body).ok()?;
    if let Some(place) = whole.pointer_mut(pointer) {
        *place = data.clone();
    } else {
        let (parent, member) = pointer.rsplit_once('/')?;
        let members = whole.pointer_mut(parent)?.as_object_mut()?;
        members.insert(member.to_owned(), data.clone());
    }
    serde_json::to_string(&whole).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tower_webhooks_core::providers;

    use super::*;

    #[test]
    fn every_sample_of_every_provider_can_be_triggered() {
        for provider in providers::all().into_iter().map(Arc::new) {
            let events = &provider.events().list;
            assert!(!events.is_empty(), "{}", provider.name());
            for event in events {
                let trigger = Trigger::new(provider.name().clone(), event.name.clone());
                let first = Outgoing::new(&provider, &trigger).unwrap();
                let second = Outgoing::new(&provider, &trigger).unwrap();
                assert_eq!(first.event_type, event.name);
                let is_call = event.sample.as_deref().unwrap().contains("CallSid");
                let has_id = provider.envelope().id().is_some() && !is_call;
                assert_eq!(first.event_id.is_some(), has_id, "{}", event.name);
                assert_ne!(first.draft, second.draft);
                let same = trigger.same();
                let same = [(); 2].map(|()| Outgoing::new(&provider, &same).unwrap().draft);
                assert_eq!(same[0].body, event.sample.as_deref().unwrap());
                assert_eq!(same[0], same[1], "{}", event.name);
            }
        }
    }

    #[test]
    fn data_of_ones_own_stands_where_the_provider_has_it() {
        for (provider, event_type, pointer) in [
            ("monterrey", "payment.expired", "/data"),
            ("slack", "app_mention", "/event"),
            ("hubspot", "contact.creation", "/0"),
            ("shopify", "orders/create", ""),
        ] {
            let provider = Arc::new(providers::find(provider).unwrap());
            // What names the event has to be part of its own element.
            let data = json!({
                "merchantRef": "order_7", "type": "app_mention",
                "subscriptionType": "contact.creation", "eventId": 7, "subscriptionId": 1,
                "occurredAt": 1_772_447_400_000_u64,
            });
            let trigger = Trigger::new(provider.name().clone(), event_type).with_data(data);
            let sent = Outgoing::new(&provider, &trigger).unwrap();
            let body: Value = serde_json::from_slice(&sent.draft.body).unwrap();
            let data = body.pointer(pointer).unwrap();
            assert_eq!(data["merchantRef"], "order_7", "{}", provider.name());
            assert_eq!(sent.event_type, event_type);
        }
    }

    #[test]
    fn a_forms_data_are_its_fields_and_sealed_data_its_plain_text() {
        let twilio = Arc::new(providers::twilio());
        let data = json!({ "To": "+1 5", "Body": "a&b" });
        let trigger = Trigger::new("twilio", "delivered").with_data(data);
        let sent = Outgoing::new(&twilio, &trigger).unwrap();
        let form = String::from_utf8(sent.draft.body.to_vec()).unwrap();
        assert!(form.ends_with("&To=%2B1+5&Body=a%26b"), "{form}");
        assert!(form.starts_with("AccountSid=AC1&"), "{form}");

        let wechat = Arc::new(providers::wechat_pay());
        let data = json!({ "out_trade_no": "order-7" });
        let trigger = Trigger::new("wechat-pay", "TRANSACTION.SUCCESS").with_data(data);
        let sent = Outgoing::new(&wechat, &trigger).unwrap();
        let body: Value = serde_json::from_slice(&sent.draft.body).unwrap();
        let plain = r#"{"out_trade_no":"order-7"}"#;
        assert_eq!(body["resource"]["ciphertext"], plain);
    }

    #[test]
    fn a_body_of_another_type_is_not_sent_as_this_one() {
        let provider = Arc::new(providers::monterrey());
        let expired = r#"{"id":"evt_1","event":"payment.expired","data":{}}"#;
        let fits = Trigger::new("monterrey", "payment.expired").with_body(expired);
        Outgoing::new(&provider, &fits).unwrap();
        let failed = Trigger::new("monterrey", "payment.failed").with_body(expired);
        assert_eq!(
            Outgoing::new(&provider, &failed).unwrap_err(),
            TriggerError::Body("payment.failed".into())
        );
        let unknown = Trigger::new("monterrey", "payment.lost");
        assert_eq!(
            Outgoing::new(&provider, &unknown).unwrap_err(),
            TriggerError::NoSample("payment.lost".into())
        );
    }
}
