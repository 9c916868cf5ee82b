use http::Method;
use serde::{Deserialize, Serialize};
use tower_webhooks_core::{Provider, providers};

use super::settings;
use crate::{
    Calls, Confidential, Error, ManagementApi, Registration, Wish, client::ApiClient, wish::Takes,
};

/// Monterrey's API, as far as it concerns webhooks.
///
/// # Calls
///
/// Create, list, delete.
///
/// # What is documented
///
/// `POST`, `GET` and `DELETE` at `https://api.monterrey.app/v1/webhooks` with
/// `X-API-Key`; `url` (HTTPS alone), `events` and a `secret` that you choose; the
/// form of errors. Source: monterrey.app/en/docs/api/webhooks and
/// /api/authentication, read 2026-11-22 from stored copies.
///
/// # What is not documented
///
/// The answers' bodies: an endpoint is read as `id`, `url` and `events`, and a
/// list as a bare array or as `data`. Changing an endpoint or its secret: it is
/// created anew. Whether a secret may be left out: it may not.
#[derive(Debug, Clone)]
pub struct Monterrey {
    client: ApiClient,
    provider: Provider,
}

const BASE: &str = "https://api.monterrey.app";
const PATH: [&str; 2] = ["v1", "webhooks"];

settings!(Monterrey);

impl Monterrey {
    /// Calls with that API key, `mk_live_…` or `mk_test_…`.
    ///
    /// # Errors
    ///
    /// [`Error`] when the key cannot stand in a header, or there is no TLS.
    pub fn new(key: Confidential) -> Result<Self, Error> {
        Ok(Self {
            client: ApiClient::new(BASE, &[("x-api-key", "", &key)])?,
            provider: providers::monterrey(),
        })
    }
}

#[derive(Serialize)]
struct NewWebhook<'a> {
    url: &'a str,
    events: Vec<String>,
    secret: Option<&'a Confidential>,
}

#[derive(Deserialize)]
struct Webhook {
    id: String,
    url: Option<String>,
    events: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Webhooks {
    Bare(Vec<Webhook>),
    Data { data: Vec<Webhook> },
}

impl ManagementApi for Monterrey {
    fn calls(&self) -> Calls {
        Calls {
            create: true,
            list: true,
            delete: true,
            ..Calls::NONE
        }
    }

    fn check(&self, wish: &Wish) -> Result<Option<Vec<String>>, Error> {
        wish.check_url(true)?;
        wish.check_takes(Takes {
            secret: true,
            ..Takes::default()
        })?;
        match &wish.secret {
            Some(secret) if !secret.expose().trim().is_empty() => {}
            _ => return Err(Error::invalid("secret", "is missing: you choose it")),
        }
        wish.event_types(&self.provider).map(Some)
    }

    async fn create(&self, wish: &Wish) -> Result<Registration, Error> {
        let events = self.check(wish)?.unwrap_or_default();
        let body = NewWebhook {
            url: &wish.url,
            events: events.clone(),
            secret: wish.secret.as_ref(),
        };
        let made: Webhook = self
            .client
            .hiding(wish.secret.as_ref())
            .call(Method::POST, &PATH, &[], Some(&body))
            .await?;
        Ok(Registration {
            url: made.url.or_else(|| Some(wish.url.clone())),
            events: made.events.or(Some(events)),
            id: Some(made.id),
            ..Registration::unknown()
        })
    }

    async fn list(&self) -> Result<Vec<Registration>, Error> {
        let listed = self
            .client
            .call(Method::GET, &PATH, &[], None::<&()>)
            .await?;
        let (Webhooks::Bare(list) | Webhooks::Data { data: list }) = listed;
        let show = |webhook: Webhook| Registration {
            id: Some(webhook.id),
            url: webhook.url,
            events: webhook.events,
            ..Registration::unknown()
        };
        Ok(list.into_iter().map(show).collect())
    }

    async fn delete(&self, id: &str) -> Result<(), Error> {
        let [version, webhooks] = PATH;
        let path = [version, webhooks, id];
        self.client
            .send(Method::DELETE, &path, &[], None::<&()>)
            .await?;
        Ok(())
    }
}
