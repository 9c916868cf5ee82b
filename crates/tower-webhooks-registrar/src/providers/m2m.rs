use http::Method;
use serde::{Deserialize, Serialize};

use super::settings;
use crate::{Calls, Confidential, Error, ManagementApi, Wish, client::ApiClient, wish::check_url};

/// M2M's API, as far as it concerns webhooks.
///
/// # Calls
///
/// None of [`ManagementApi`]: URL and secret are set in the Partner Portal. A
/// link can have a URL of its own: [`create_link`](Self::create_link).
///
/// # What is documented
///
/// `POST https://api.m2m.leapfinancial.com/partner/links` with `X-API-Key`:
/// `referenceId`, `callbackUrl`, and `expiresInMinutes` of 5 to 10,080; the forms
/// of success and of errors. Source:
/// docs.leapfinancial.com/m2m/webhooks/overview and
/// /api-reference/partner--magic-links/create-a-magic-link, read 2026-11-22 from
/// stored copies.
///
/// # What is not documented
///
/// Which secret signs what goes to a `callbackUrl`. A link's other fields are
/// left out here: `userData`, `metadata`, `flow`, `theme` and `language`.
#[derive(Debug, Clone)]
pub struct M2m {
    client: ApiClient,
}

const BASE: &str = "https://api.m2m.leapfinancial.com";

settings!(M2m);

impl M2m {
    /// Calls with that API key, `m2m_live_…` or `m2m_test_…`.
    ///
    /// # Errors
    ///
    /// [`Error`] when the key cannot stand in a header, or there is no TLS.
    pub fn new(key: Confidential) -> Result<Self, Error> {
        Ok(Self {
            client: ApiClient::new(BASE, &[("x-api-key", "", &key)])?,
        })
    }

    /// Creates a link whose deliveries go to a URL of its own.
    ///
    /// # Errors
    ///
    /// [`Error`] when a field is not as it must be, or as the provider answers.
    pub async fn create_link(&self, link: &NewLink) -> Result<Link, Error> {
        if link.reference_id.is_empty() {
            return Err(Error::invalid("reference_id", "is empty"));
        }
        if let Some(url) = &link.callback_url {
            check_url("callback_url", url, true)?;
        }
        let minutes = link.expires_in_minutes;
        if minutes.is_some_and(|minutes| !(5..=10_080).contains(&minutes)) {
            return Err(Error::invalid("expires_in_minutes", "must be 5 to 10080"));
        }
        let path = ["partner", "links"];
        let made: Success = self
            .client
            .call(Method::POST, &path, &[], Some(link))
            .await?;
        Ok(made.data)
    }
}

/// A link that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct NewLink {
    reference_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_minutes: Option<u32>,
}

impl NewLink {
    /// For the user whom you know by that reference.
    pub fn new(reference_id: impl Into<String>) -> Self {
        Self {
            reference_id: reference_id.into(),
            callback_url: None,
            expires_in_minutes: None,
        }
    }

    /// Sends the link's deliveries to that URL, which is `https`.
    pub fn with_callback_url(mut self, url: impl Into<String>) -> Self {
        self.callback_url = Some(url.into());
        self
    }

    /// Sets how long the link works, 5 to 10,080 minutes. The provider's default
    /// is 60.
    pub const fn with_expires_in_minutes(mut self, minutes: u32) -> Self {
        self.expires_in_minutes = Some(minutes);
        self
    }
}

/// A link that was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Link {
    /// Its id, `link_…`.
    pub link_id: String,
    /// Where the user goes.
    pub url: Option<String>,
    /// Until when it works, in RFC 3339.
    pub expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Success {
    data: Link,
}

impl ManagementApi for M2m {
    fn calls(&self) -> Calls {
        Calls::NONE
    }

    /// Nothing can be registered, so that every wish fits.
    fn check(&self, _wish: &Wish) -> Result<Option<Vec<String>>, Error> {
        Ok(None)
    }
}
