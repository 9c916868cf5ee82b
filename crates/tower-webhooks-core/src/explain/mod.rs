//! Why a signature fails: what to change, and how sure that is.
//!
//! An [`Explainer`] is set up like a [`Verifier`](crate::Verifier) and given the
//! request that was refused. It tries changed inputs on the real verifier, one
//! change at a time, then two of the commonest together. Where one makes the
//! signature match, that is the cause, and certain: nobody makes a MAC match by
//! accident. What cannot be proven is said with less confidence, and a wrong
//! secret is never said to be certain.
//!
//! For a developer's desk and for tests. **Never run it in a server on what a
//! stranger sent**: it tries many keys and accepts any age, and what it says is
//! of use to a forger. It does no I/O, and its work is bounded: at most
//! [`MAX_TRIALS`] changed requests and [`MAX_HASHED_BYTES`] of their bodies.
//! Nothing that it says holds a secret, a digest or a part of the body.
//!
//! ```
//! use std::time::SystemTime;
//! use http::{Method, Uri};
//! use tower_webhooks_core::{
//!     Head, Secret, Secrets, Signer, providers,
//!     explain::{Cause, Confidence, Explainer},
//! };
//!
//! let body = br#"{"type":"transfer.settled","data":{}}"#;
//! let now = SystemTime::now();
//! let headers = Signer::new(providers::mppcash(), Secret::new("a-shared-secret")?).sign(body, now)?;
//!
//! // The receiver's secret was copied with its line end.
//! let secrets = Secrets::new("a-shared-secret\n")?;
//! let (method, uri) = (Method::POST, Uri::from_static("/"));
//! let explanation = Explainer::new(providers::mppcash(), &secrets).explain(
//!     Head::new(&method, &uri, &headers),
//!     &body.as_slice().into(),
//!     now,
//! );
//! let finding = explanation.first().unwrap();
//! assert_eq!(finding.cause(), Cause::SecretWhitespace);
//! assert_eq!(finding.confidence(), Confidence::Certain);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod case;
mod cause;
mod changes;
mod explainer;
mod explanation;
mod hints;
mod json;

pub use case::{MAX_HASHED_BYTES, MAX_TRIALS};
pub use cause::{Cause, Confidence, Subject};
pub use explainer::Explainer;
pub use explanation::{Explanation, Finding, Tried};
