use http::Method;
use serde::{Deserialize, Serialize};

use super::settings;
use crate::{
    Calls, Confidential, Error, ManagementApi, Registration, Wish, client::ApiClient, wish::Takes,
};

/// CryptoMate's API, as far as it concerns webhooks.
///
/// # Calls
///
/// Create, which replaces the company's one URL and key, and rotate.
///
/// # What is documented
///
/// `POST /management/companies/webhook/subscribe` with `url` and `webhook_key`,
/// and `/key` with `key`, at `https://api.cryptomate.me` with `X-API-KEY` of
/// level 3; one URL and one key a company, for all events; the answer's
/// `webhook_url` and `webhook_key`. Source:
/// docs.cryptomate.me/api-reference/management/company, read 2026-11-22 from
/// stored copies.
///
/// # What is not documented
///
/// A call that shows, lists or deletes. `Idempotency-Key` is documented and not
/// used: subscribing again is the same.
#[derive(Debug, Clone)]
pub struct CryptoMate {
    client: ApiClient,
}

const BASE: &str = "https://api.cryptomate.me";

settings!(CryptoMate);

impl CryptoMate {
    /// Calls with that API key.
    ///
    /// # Errors
    ///
    /// [`Error`] when the key cannot stand in a header, or there is no TLS.
    pub fn new(key: Confidential) -> Result<Self, Error> {
        Ok(Self {
            client: ApiClient::new(BASE, &[("x-api-key", "", &key)])?,
        })
    }

    async fn set(
        &self,
        what: &str,
        secret: Option<&Confidential>,
        body: &impl Serialize,
    ) -> Result<Registration, Error> {
        let path = ["management", "companies", "webhook", what];
        let company: Company = self
            .client
            .hiding(secret)
            .call(Method::POST, &path, &[], Some(body))
            .await?;
        Ok(Registration {
            url: company.webhook_url,
            name: company.name,
            ..Registration::unknown()
        })
    }
}

#[derive(Serialize)]
struct Subscription<'a> {
    url: &'a str,
    webhook_key: Option<&'a Confidential>,
}

#[derive(Serialize)]
struct Key<'a> {
    key: &'a Confidential,
}

#[derive(Deserialize)]
struct Company {
    name: Option<String>,
    webhook_url: Option<String>,
}

impl ManagementApi for CryptoMate {
    fn calls(&self) -> Calls {
        Calls {
            create: true,
            rotate: true,
            ..Calls::NONE
        }
    }

    fn check(&self, wish: &Wish) -> Result<Option<Vec<String>>, Error> {
        wish.check_url(false)?;
        wish.check_takes(Takes {
            secret: true,
            ..Takes::default()
        })?;
        match &wish.secret {
            Some(secret) => check_key(secret)?,
            None => return Err(Error::invalid("secret", "is missing: you choose it")),
        }
        Ok(None)
    }

    async fn create(&self, wish: &Wish) -> Result<Registration, Error> {
        self.check(wish)?;
        let body = Subscription {
            url: &wish.url,
            webhook_key: wish.secret.as_ref(),
        };
        self.set("subscribe", wish.secret.as_ref(), &body).await
    }

    async fn rotate(&self, _id: &str, secret: &Confidential) -> Result<Registration, Error> {
        check_key(secret)?;
        self.set("key", Some(secret), &Key { key: secret }).await
    }
}

/// It is sent back in a header with every delivery.
fn check_key(secret: &Confidential) -> Result<(), Error> {
    let text = secret.expose();
    if text.trim().is_empty() {
        return Err(Error::invalid("secret", "is empty"));
    }
    if text.bytes().any(|byte| !(b'!'..=b'~').contains(&byte)) {
        return Err(Error::invalid(
            "secret",
            "cannot stand in a header: use letters and digits",
        ));
    }
    Ok(())
}
