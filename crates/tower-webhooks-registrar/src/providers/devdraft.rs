use http::Method;
use serde::{Deserialize, Serialize};

use super::settings;
use crate::{
    Calls, Confidential, Error, ErrorKind, ManagementApi, Registration, Wish, client::ApiClient,
    wish::Takes,
};

/// Devdraft's API, as far as it concerns webhooks.
///
/// # Calls
///
/// All.
///
/// # What is documented
///
/// Create, list, get, change and delete at
/// `https://api.devdraft.ai/api/v0/webhooks` with `x-client-key` and
/// `x-client-secret`; names of 3 to 100 characters, which are wanted, and
/// secrets of `^[a-zA-Z0-9_\-]{32,}$`, which are made up where none is given; no
/// choice of event types; the form of errors. Source:
/// docs.devdraft.ai/developers/webhooks and /guide/webhooks, read 2026-11-22
/// from stored copies.
///
/// # What is not documented
///
/// How a secret that was made up is learned: getting the webhook shows it, so
/// that this is done after creating. Neither is what encrypts bodies: it is read
/// from `encryption_secret` beside the other one, a name of ours, and is nothing
/// where there is no such member. The pages show two forms of a list, and both are
/// read; what deleting answers is one of three, and none is looked at.
#[derive(Debug, Clone)]
pub struct Devdraft {
    client: ApiClient,
}

const BASE: &str = "https://api.devdraft.ai";

const LOST: &str =
    "it may have been created all the same: list shows whether it was, and getting it its secret";
const PATH: [&str; 3] = ["api", "v0", "webhooks"];

/// How many webhooks are asked for at a time.
const PAGE: usize = 50;

/// Where listing ends, should a provider never say so.
const MAX_PAGES: usize = 100;

settings!(Devdraft);

impl Devdraft {
    /// Calls with both halves of an API key.
    ///
    /// # Errors
    ///
    /// [`Error`] when a half cannot stand in a header, or there is no TLS.
    pub fn new(client_key: Confidential, client_secret: Confidential) -> Result<Self, Error> {
        let headers = [
            ("x-client-key", "", &client_key),
            ("x-client-secret", "", &client_secret),
        ];
        Ok(Self {
            client: ApiClient::new(BASE, &headers)?,
        })
    }

    async fn change(
        &self,
        id: &str,
        secret: Option<&Confidential>,
        body: &impl Serialize,
    ) -> Result<Registration, Error> {
        let changed: Webhook = self
            .client
            .hiding(secret)
            .call(Method::PATCH, &one(id), &[], Some(body))
            .await?;
        Ok(changed.into())
    }

    /// Looks up what was made up, and is shown by getting alone.
    async fn learn(&self, id: &str, done: &str) -> Result<Registration, Error> {
        self.get(id).await.map_err(|error| {
            let message = format!(
                "{id} was {done}, but its secret could not be learned ({error}): get it, or rotate it"
            );
            Error::new(error.kind(), message)
        })
    }
}

#[derive(Serialize)]
struct Members<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    url: &'a str,
    #[serde(rename = "isActive", skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<&'a Confidential>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted: Option<bool>,
}

#[derive(Serialize)]
struct NewSecret<'a> {
    signing_secret: &'a Confidential,
}

#[derive(Deserialize)]
struct Webhook {
    id: String,
    name: Option<String>,
    url: Option<String>,
    #[serde(rename = "isActive")]
    is_active: Option<bool>,
    encrypted: Option<bool>,
    signing_secret: Option<Confidential>,
    encryption_secret: Option<Confidential>,
}

impl From<Webhook> for Registration {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: Some(webhook.id),
            url: webhook.url,
            secret: webhook.signing_secret,
            payload_secret: webhook.encryption_secret,
            name: webhook.name,
            active: webhook.is_active,
            encrypted: webhook.encrypted,
            ..Self::unknown()
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Webhooks {
    Bare(Vec<Webhook>),
    Data { data: Vec<Webhook> },
}

impl ManagementApi for Devdraft {
    fn calls(&self) -> Calls {
        Calls {
            create: true,
            list: true,
            get: true,
            update: true,
            delete: true,
            rotate: true,
        }
    }

    fn check(&self, wish: &Wish) -> Result<Option<Vec<String>>, Error> {
        wish.check_url(false)?;
        wish.check_takes(Takes {
            secret: true,
            name: true,
            active: true,
            encrypted: true,
            ..Takes::default()
        })?;
        match &wish.name {
            None => return Err(Error::invalid("name", "is missing")),
            Some(name) if !(3..=100).contains(&name.chars().count()) => {
                return Err(Error::invalid("name", "must have 3 to 100 characters"));
            }
            Some(_) => {}
        }
        if let Some(secret) = &wish.secret {
            check_secret(secret)?;
        }
        Ok(None)
    }

    async fn create(&self, wish: &Wish) -> Result<Registration, Error> {
        self.check(wish)?;
        let body = Members {
            name: wish.name.as_deref(),
            url: &wish.url,
            is_active: Some(wish.is_active()),
            signing_secret: wish.secret.as_ref(),
            encrypted: Some(wish.is_encrypted()),
        };
        let made: Webhook = self
            .client
            .hiding(wish.secret.as_ref())
            .call(Method::POST, &PATH, &[], Some(&body))
            .await
            .map_err(|error: Error| error.advising(LOST))?;
        let knows_secret = wish.secret.is_some() || made.signing_secret.is_some();
        if knows_secret && (!wish.is_encrypted() || made.encryption_secret.is_some()) {
            return Ok(made.into());
        }
        self.learn(&made.id, "created").await
    }

    async fn list(&self) -> Result<Vec<Registration>, Error> {
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let query = [("skip", all.len().to_string()), ("take", PAGE.to_string())];
            let listed = self
                .client
                .call(Method::GET, &PATH, &query, None::<&()>)
                .await?;
            let (Webhooks::Bare(page) | Webhooks::Data { data: page }) = listed;
            let is_last = page.len() < PAGE;
            all.extend(page.into_iter().map(Registration::from));
            if is_last {
                return Ok(all);
            }
        }
        let message = "the list does not end";
        Err(Error::new(ErrorKind::Answer, message))
    }

    async fn get(&self, id: &str) -> Result<Registration, Error> {
        let got: Webhook = self
            .client
            .call(Method::GET, &one(id), &[], None::<&()>)
            .await?;
        Ok(got.into())
    }

    async fn update(&self, id: &str, wish: &Wish) -> Result<Registration, Error> {
        self.check(wish)?;
        let body = Members {
            name: wish.name.as_deref(),
            url: &wish.url,
            is_active: wish.active,
            // Rotating is a step of its own: it is not to happen in passing.
            signing_secret: None,
            encrypted: wish.encrypted,
        };
        let changed = self.change(id, wish.secret.as_ref(), &body).await?;
        if wish.is_encrypted() && changed.payload_secret.is_none() {
            return self.learn(id, "changed").await;
        }
        Ok(changed)
    }

    async fn delete(&self, id: &str) -> Result<(), Error> {
        self.client
            .send(Method::DELETE, &one(id), &[], None::<&()>)
            .await?;
        Ok(())
    }

    async fn rotate(&self, id: &str, secret: &Confidential) -> Result<Registration, Error> {
        check_secret(secret)?;
        let body = NewSecret {
            signing_secret: secret,
        };
        self.change(id, Some(secret), &body).await
    }
}

/// The path of one webhook.
const fn one(id: &str) -> [&str; 4] {
    let [api, version, webhooks] = PATH;
    [api, version, webhooks, id]
}

/// `^[a-zA-Z0-9_\-]{32,}$`.
fn check_secret(secret: &Confidential) -> Result<(), Error> {
    let text = secret.expose();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.len() >= 32 && text.bytes().all(is_allowed) {
        return Ok(());
    }
    let why = "must have 32 or more letters, digits, _ and -";
    Err(Error::invalid("secret", why))
}
