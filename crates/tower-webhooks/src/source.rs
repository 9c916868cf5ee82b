//! Secrets that are looked up for each request: one endpoint, many tenants.

use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use http::request::Parts;
use moka::future::Cache;
use tokio::sync::Semaphore;
use tower_webhooks_core::{RejectionKind, Secrets, Text};
use tower_webhooks_inbox::BoxFuture;

use crate::layer::keys::{KeyMaker, Keys};

/// How long a lookup may take: a sender's patience is short, and a request
/// that waits holds a connection.
const LOOKUP_LIMIT: Duration = Duration::from_secs(1);

/// How many tenants are remembered, known and unknown together, so that
/// requests for made-up tenants cannot fill the memory.
const REMEMBERED_TENANTS: u64 = 10_000;

/// The longest key: with the number of tenants, what bounds the memory that
/// made-up ones take.
const MAX_KEY_BYTES: usize = 256;

/// How many lookups run at once: anybody can cause one, and a pool of database
/// connections is small.
const LOOKUPS_AT_ONCE: usize = 32;

/// How long a lookup's answer is used again: so long a removed secret still
/// counts, and a new one does not yet.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// A tenant and the secrets that prove its requests: always found together,
/// so that one tenant's secret never speaks for another.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tenant {
    /// The tenant's name: part of the identity of its events.
    pub name: Text,
    /// Its secrets.
    pub secrets: Secrets,
}

impl Tenant {
    /// A tenant with its secrets.
    pub fn new(name: impl Into<Text>, secrets: Secrets) -> Self {
        Self {
            name: name.into(),
            secrets,
        }
    }
}

/// Finds a request's tenant and its secrets, before the body is read.
///
/// ```
/// use http::request::Parts;
/// use tower_webhooks::{Secrets, SecretSource, Tenant, Text};
///
/// /// Tenants call `/webhooks/acme/<tenant>`.
/// struct Shops;
///
/// impl SecretSource for Shops {
///     fn key(&self, parts: &Parts) -> Option<Text> {
///         parts.uri.path().rsplit('/').next().map(Text::from)
///     }
///
///     async fn look_up(&self, key: Text) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
///         // … a query by `key` …
///         Ok(match key.as_str() {
///             "shop-1" => Some(Tenant::new(key, Secrets::new("the-secret-of-shop-1")?)),
///             _ => None,
///         })
///     }
/// }
/// ```
pub trait SecretSource: Send + Sync + 'static {
    /// What a lookup goes by: a segment of the path or a header that names a
    /// key. Everything that the lookup depends on belongs into it, because
    /// answers are remembered by it for 30 s. `None`, or more than 256 bytes,
    /// is an unknown tenant.
    fn key(&self, parts: &Parts) -> Option<Text>;

    /// Looks the tenant up. `Ok(None)` is an unknown tenant, answered 401; it
    /// is remembered too. An error, or no answer within 1 s, is answered 503
    /// and not remembered.
    ///
    /// # Errors
    ///
    /// When it cannot be known whether there is such a tenant.
    fn look_up(
        &self,
        key: Text,
    ) -> impl Future<Output = Result<Option<Tenant>, Box<dyn Error + Send + Sync>>> + Send;
}

type Found = Result<Option<Tenant>, Box<dyn Error + Send + Sync>>;

trait ErasedSource: Send + Sync + 'static {
    fn key(&self, parts: &Parts) -> Option<Text>;
    fn look_up(&self, key: Text) -> BoxFuture<'_, Found>;
}

impl<S: SecretSource> ErasedSource for S {
    fn key(&self, parts: &Parts) -> Option<Text> {
        SecretSource::key(self, parts)
    }

    fn look_up(&self, key: Text) -> BoxFuture<'_, Found> {
        Box::pin(SecretSource::look_up(self, key))
    }
}

/// A source with its memory.
#[derive(Clone)]
pub(crate) struct Lookup {
    source: Arc<dyn ErasedSource>,
    remembered: Cache<Text, Option<Arc<Keys>>>,
    places: Arc<Semaphore>,
    maker: KeyMaker,
}

impl Lookup {
    pub(crate) fn new(source: impl SecretSource) -> impl FnOnce(KeyMaker) -> Self + Send + 'static {
        let source: Arc<dyn ErasedSource> = Arc::new(source);
        move |maker| Self {
            source,
            remembered: Cache::builder()
                .max_capacity(REMEMBERED_TENANTS)
                .time_to_live(REMEMBERED_FOR)
                .build(),
            places: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            maker,
        }
    }

    /// Starts the lookup for a request.
    pub(crate) fn start(
        &self,
        parts: &Parts,
    ) -> Result<BoxFuture<'static, Result<Arc<Keys>, RejectionKind>>, RejectionKind> {
        let key = self
            .source
            .key(parts)
            .filter(|key| key.len() <= MAX_KEY_BYTES)
            .ok_or(RejectionKind::TenantUnknown)?;
        let lookup = self.clone();
        Ok(Box::pin(async move {
            match tokio::time::timeout(LOOKUP_LIMIT, lookup.find(key)).await {
                Ok(Ok(Some(keys))) => Ok(keys),
                Ok(Ok(None)) => Err(RejectionKind::TenantUnknown),
                Ok(Err(error)) => {
                    tracing::error!(error = %error, "the lookup of a tenant's secrets failed");
                    Err(RejectionKind::SecretLookupFailed)
                }
                Err(_) => {
                    tracing::error!("the lookup of a tenant's secrets took too long");
                    Err(RejectionKind::SecretLookupFailed)
                }
            }
        }))
    }

    /// Lookups of one key at one time are one lookup.
    async fn find(
        &self,
        key: Text,
    ) -> Result<Option<Arc<Keys>>, Arc<Box<dyn Error + Send + Sync>>> {
        self.remembered
            .try_get_with(key.clone(), async {
                // What is remembered waits for nobody; made-up tenants wait for
                // each other.
                let _place = self.places.acquire().await?;
                let Some(tenant) = self.source.look_up(key).await? else {
                    return Ok(None);
                };
                let keys = self.maker.keys(&tenant.secrets, Some(tenant.name))?;
                Ok(Some(Arc::new(keys)))
            })
            .await
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("provider", &self.maker.provider.name())
            .finish_non_exhaustive()
    }
}
