use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tower_webhooks_core::{Amount, Provider, providers};

use super::settings;
use crate::{
    Calls, Confidential, Error, ManagementApi, Registration, Wish, client::ApiClient, wish::Takes,
};

/// MPPCash's API, as far as it concerns webhooks.
///
/// # Calls
///
/// Create.
///
/// # What is documented
///
/// `POST https://api.mppcash.xyz/v1/webhooks` with `Authorization: Bearer KEY`,
/// `url`, `events` and `low_balance_threshold_usdc`; the answer's `secret`.
/// Source: docs.mppcash.xyz/guides/webhooks.html, read 2026-11-22 from a stored
/// copy.
///
/// # What is not documented
///
/// Every other call, the rest of the answer, and the errors. The answer's `id`
/// is passed on if there is one. Where the answer is lost, so is the secret: the
/// error says what to do.
#[derive(Debug, Clone)]
pub struct MppCash {
    client: ApiClient,
    provider: Provider,
}

const BASE: &str = "https://api.mppcash.xyz";

/// No call is documented that shows or deletes what may have been created.
const LOST: &str = "it may have been created all the same, and its secret stood in that answer alone: have the provider delete it, and create it anew";

settings!(MppCash);

impl MppCash {
    /// Calls with that API key.
    ///
    /// # Errors
    ///
    /// [`Error`] when the key cannot stand in a header, or there is no TLS.
    pub fn new(key: Confidential) -> Result<Self, Error> {
        Ok(Self {
            client: ApiClient::new(BASE, &[("authorization", "Bearer ", &key)])?,
            provider: providers::mppcash(),
        })
    }
}

#[derive(Serialize)]
struct NewWebhook<'a> {
    url: &'a str,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low_balance_threshold_usdc: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Created {
    id: Option<String>,
    secret: Confidential,
}

impl ManagementApi for MppCash {
    fn calls(&self) -> Calls {
        Calls {
            create: true,
            ..Calls::NONE
        }
    }

    fn check(&self, wish: &Wish) -> Result<Option<Vec<String>>, Error> {
        wish.check_url(false)?;
        wish.check_takes(Takes {
            low_balance_threshold_usdc: true,
            ..Takes::default()
        })?;
        if let Some(threshold) = &wish.low_balance_threshold_usdc {
            number(threshold)?;
        }
        wish.event_types(&self.provider).map(Some)
    }

    async fn create(&self, wish: &Wish) -> Result<Registration, Error> {
        let events = self.check(wish)?.unwrap_or_default();
        let threshold = wish.low_balance_threshold_usdc.as_ref();
        let threshold = threshold.map(number).transpose()?;
        let body = NewWebhook {
            url: &wish.url,
            events: events.clone(),
            low_balance_threshold_usdc: threshold.as_deref(),
        };
        let path = ["v1", "webhooks"];
        let made: Created = self
            .client
            .call(Method::POST, &path, &[], Some(&body))
            .await
            .map_err(|error: Error| error.advising(LOST))?;
        Ok(Registration {
            id: made.id,
            url: Some(wish.url.clone()),
            events: Some(events),
            secret: Some(made.secret),
            ..Registration::unknown()
        })
    }
}

/// An amount as the JSON number that is documented, with its exact digits.
fn number(amount: &Amount) -> Result<Box<RawValue>, Error> {
    let field = "low_balance_threshold_usdc";
    if amount.as_str().starts_with('-') {
        return Err(Error::invalid(field, "must not be negative"));
    }
    RawValue::from_string(amount.as_str().to_owned())
        .map_err(|_| Error::invalid(field, "cannot be written as a JSON number"))
}
