//! Registers webhook endpoints with their providers, through the management
//! APIs that these document.
//!
//! * [`MppCash`], [`CryptoMate`], [`Monterrey`], [`M2m`] and [`Devdraft`] are the
//!   clients; [`ManagementApi`] is what they have in common. A call that a
//!   provider does not document is [`ErrorKind::Unsupported`], never a guess.
//! * [`ensure`] makes a registration match the handlers that exist, and does
//!   nothing where it matches already.
//! * [`Wish`] is checked before anything is sent; what is wrong is named by its
//!   field.
//! * [`SecretFile`] takes a secret that a provider shows once.
//!
//! Keys and secrets are [`Confidential`]: they are wiped on drop and never
//! printed.
//!
//! ```no_run
//! use tower_webhooks_registrar::{Confidential, Ensure, Monterrey, Plan, Wish, ensure};
//!
//! # async fn register(handled: Vec<&str>) -> Result<(), Box<dyn std::error::Error>> {
//! let monterrey = Monterrey::new(Confidential::from_env("MONTERREY_API_KEY")?)?;
//! // `handled` is `EventRouter::event_types()`.
//! let wish = Wish::new("https://shop.example/webhooks/monterrey")
//!     .with_events(handled)
//!     .with_secret(Confidential::from_env("WEBHOOK_SECRET")?);
//! let ensured = ensure(&monterrey, &wish, Ensure::Apply).await?;
//! assert_ne!(ensured.plan, Plan::Unsupported);
//! # Ok(())
//! # }
//! ```

mod api;
mod client;
mod confidential;
mod ensure;
mod error;
mod providers;
mod secret_file;
mod wish;

pub use api::{Calls, ManagementApi, Registration};
pub use confidential::{Confidential, ConfidentialError};
pub use ensure::{Ensure, Ensured, Plan, ensure};
pub use error::{Error, ErrorKind};
pub use providers::{CryptoMate, Devdraft, Link, M2m, Monterrey, MppCash, NewLink};
pub use secret_file::SecretFile;
pub use wish::Wish;
