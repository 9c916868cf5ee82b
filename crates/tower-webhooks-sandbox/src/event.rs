//! What is asked to be sent, made into the body and headers of an event.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tower_webhooks_core::{Delivery, Provider, Restored, Text, provider::Place};

use crate::{Renewed, renew};

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
    pub(crate) body: Bytes,
    /// What goes with it besides the signature.
    pub(crate) headers: HeaderMap,
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
            body = with_data(&body, provider.envelope().data(), data).ok_or_else(unfit)?;
        }
        if let Some(link) = &trigger.link {
            let pointer = format!("{}/linkId", provider.envelope().data());
            body = with_data(&body, &pointer, &Value::from(link.as_str())).ok_or_else(unfit)?;
        }
        let mut headers: HeaderMap = type_header(provider, event_type).into_iter().collect();
        if !trigger.same {
            let renewed: Renewed = renew(provider, &body).ok_or_else(unfit)?;
            body = renewed.body;
            headers.extend(renewed.id_header);
        }
        let mut whole = Restored::new(body.into(), std::time::UNIX_EPOCH);
        whole.headers = headers.clone();
        let delivery = Delivery::insecure_restore(Arc::clone(provider), whole);
        let event = delivery.event().map_err(|_| unfit())?;
        if event.event_type() != event_type {
            return Err(unfit());
        }
        Ok(Self {
            event_type: event.event_type().clone(),
            event_id: event.id().cloned(),
            body: delivery.body().clone(),
            headers,
        })
    }
}

/// The header that names an event's type, for a provider that names it there
/// alone.
#[must_use]
pub fn type_header(provider: &Provider, event_type: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut places = provider.envelope().event_type().places();
    let (Some(Place::Header(name)), None) = (places.next(), places.next()) else {
        return None;
    };
    Some((name.clone(), HeaderValue::try_from(event_type).ok()?))
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

    /// Those whose APIs the sandbox plays. Other presets are sent as far as their
    /// type stands in a JSON body.
    fn played() -> impl Iterator<Item = Arc<Provider>> {
        let all = [
            providers::cryptomate(),
            providers::devdraft(),
            providers::m2m(),
            providers::monterrey(),
            providers::mppcash(),
        ];
        all.into_iter().map(Arc::new)
    }

    #[test]
    fn every_sample_of_every_provider_played_can_be_triggered() {
        for provider in played() {
            for event in &provider.events().list {
                let trigger = Trigger::new(provider.name().clone(), event.name.clone());
                let first = Outgoing::new(&provider, &trigger).unwrap();
                let second = Outgoing::new(&provider, &trigger).unwrap();
                assert_eq!(first.event_type, event.name);
                assert_ne!(
                    (&first.body, &first.headers),
                    (&second.body, &second.headers)
                );
                let same = Outgoing::new(&provider, &trigger.same()).unwrap();
                assert_eq!(same.body, event.sample.as_deref().unwrap());
            }
        }
    }

    #[test]
    fn data_of_ones_own_stands_where_the_provider_has_it() {
        let provider = Arc::new(providers::monterrey());
        let trigger = Trigger::new("monterrey", "payment.expired")
            .with_data(json!({ "merchantRef": "order_7" }));
        let sent = Outgoing::new(&provider, &trigger).unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["data"], json!({ "merchantRef": "order_7" }));
        assert_eq!(body["event"], "payment.expired");
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
