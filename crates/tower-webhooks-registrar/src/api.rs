//! What the providers' management APIs have in common.

use crate::{Confidential, Error, Wish};

/// A registration, as far as its provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registration {
    /// Its id; nothing where the provider has one registration a company.
    pub id: Option<String>,
    /// Where deliveries go, if it is shown.
    pub url: Option<String>,
    /// The event types that it gets, if they are shown.
    pub events: Option<Vec<String>>,
    /// What deliveries are signed with, if it is shown.
    pub secret: Option<Confidential>,
    /// What bodies are encrypted with, if they are and it is shown.
    pub payload_secret: Option<Confidential>,
    /// What it is called, if it is shown.
    pub name: Option<String>,
    /// Whether it gets anything at present, if it is shown.
    pub active: Option<bool>,
    /// Whether bodies are encrypted, if it is shown.
    pub encrypted: Option<bool>,
}

impl Registration {
    pub(crate) const fn unknown() -> Self {
        Self {
            id: None,
            url: None,
            events: None,
            secret: None,
            payload_secret: None,
            name: None,
            active: None,
            encrypted: None,
        }
    }
}

/// The calls that a provider documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calls {
    /// [`ManagementApi::create`].
    pub create: bool,
    /// [`ManagementApi::list`].
    pub list: bool,
    /// [`ManagementApi::get`].
    pub get: bool,
    /// [`ManagementApi::update`].
    pub update: bool,
    /// [`ManagementApi::delete`].
    pub delete: bool,
    /// [`ManagementApi::rotate`].
    pub rotate: bool,
}

impl Calls {
    pub(crate) const NONE: Self = Self {
        create: false,
        list: false,
        get: false,
        update: false,
        delete: false,
        rotate: false,
    };
}

/// A provider's management API. A call that the provider does not document is
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
///
/// No call is repeated by itself: one that timed out may have been done.
pub trait ManagementApi: Sync {
    /// Which calls are documented.
    fn calls(&self) -> Calls;

    /// The event types that a wish stands for; nothing where the provider has
    /// no choice of them. Checks the whole wish.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with the field.
    fn check(&self, wish: &Wish) -> Result<Option<Vec<String>>, Error>;

    /// Registers an endpoint, after [`check`](Self::check). The secret is
    /// shown if the provider made it up.
    ///
    /// # Errors
    ///
    /// [`Error`] as the provider answers, or unsupported.
    fn create(&self, wish: &Wish) -> impl Future<Output = Result<Registration, Error>> + Send {
        let _ = wish;
        async {
            Err(Error::unsupported(
                "the provider documents no call to create",
            ))
        }
    }

    /// Every registration of this key.
    ///
    /// # Errors
    ///
    /// [`Error`] as the provider answers, or unsupported.
    fn list(&self) -> impl Future<Output = Result<Vec<Registration>, Error>> + Send {
        async { Err(Error::unsupported("the provider documents no call to list")) }
    }

    /// One registration.
    ///
    /// # Errors
    ///
    /// [`Error`] as the provider answers, or unsupported.
    fn get(&self, id: &str) -> impl Future<Output = Result<Registration, Error>> + Send {
        let _ = id;
        async {
            Err(Error::unsupported(
                "the provider documents no call to get one",
            ))
        }
    }

    /// Changes a registration into the wish, after [`check`](Self::check). What
    /// the wish does not say stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error`] as the provider answers, or unsupported.
    fn update(
        &self,
        id: &str,
        wish: &Wish,
    ) -> impl Future<Output = Result<Registration, Error>> + Send {
        let _ = (id, wish);
        async {
            Err(Error::unsupported(
                "the provider documents no call to change",
            ))
        }
    }

    /// Deletes a registration.
    ///
    /// # Errors
    ///
    /// [`Error`] as the provider answers, or unsupported.
    fn delete(&self, id: &str) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = id;
        async {
            Err(Error::unsupported(
                "the provider documents no call to delete",
            ))
        }
    }

    /// Replaces the secret of a registration: it signs from then on, so that a
    /// receiver must know it before, beside the old one. CryptoMate has one
    /// registration a company and ignores the id.
    ///
    /// # Errors
    ///
    /// [`Error`] as the provider answers, or unsupported.
    fn rotate(
        &self,
        id: &str,
        secret: &Confidential,
    ) -> impl Future<Output = Result<Registration, Error>> + Send {
        let _ = (id, secret);
        async {
            Err(Error::unsupported(
                "the provider documents no call to rotate",
            ))
        }
    }
}
