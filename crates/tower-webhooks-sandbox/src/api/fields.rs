//! The members of a request's body, each with its name in what is refused.

use axum::body::Bytes;
use reqwest::Url;
use serde_json::{Map, Value};
use tower_webhooks_core::Provider;

use super::Refusal;

/// A body's members.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Whatever its media type says: the providers' own samples leave it out.
    pub(super) fn read(body: &Bytes) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            _ => Err(Refusal::invalid("the body must be a JSON object")),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::invalid(format!("{name} must be a string"))),
        }
    }

    pub(super) fn required_text(&self, name: &str) -> Result<&str, Refusal> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Refusal::invalid(format!("{name} is required"))),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(Refusal::invalid(format!("{name} must be a boolean"))),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<serde_json::Number>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number.clone())),
            Some(_) => Err(Refusal::invalid(format!("{name} must be a number"))),
        }
    }

    /// An absolute `http` or `https` URL.
    pub(super) fn url(&self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Some(text.to_owned()))
            }
            _ => Err(Refusal::invalid(format!("{name} must be a valid URL"))),
        }
    }

    pub(super) fn required_url(&self, name: &str) -> Result<String, Refusal> {
        let missing = || Refusal::invalid(format!("{name} is required"));
        self.url(name)?.ok_or_else(missing)
    }

    /// A list of the provider's event types.
    pub(super) fn events(&self, name: &str, provider: &Provider) -> Result<Vec<String>, Refusal> {
        let wrong = || Refusal::invalid(format!("{name} must be a list of event types"));
        let Some(Value::Array(items)) = self.0.get(name) else {
            return Err(wrong());
        };
        if items.is_empty() {
            return Err(wrong());
        }
        items
            .iter()
            .map(|item| {
                let event = item.as_str().ok_or_else(wrong)?;
                if provider.events().find(event).is_none() {
                    let unknown = format!("{name}: there is no event type {event}");
                    return Err(Refusal::invalid(unknown));
                }
                Ok(event.to_owned())
            })
            .collect()
    }
}
