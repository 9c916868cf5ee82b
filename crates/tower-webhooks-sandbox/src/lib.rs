//! The provider's side of webhooks, for a developer's desk and for tests:
//! endpoints are registered, events triggered, and every delivery is signed,
//! timed out and retried as the provider does.
//!
//! * [`Sandbox`] is the whole of it; [`Sandbox::router`] is what its HTTP
//!   server answers.
//! * MPPCash, CryptoMate, Monterrey, M2M and Devdraft have their management
//!   APIs, each under its own path: what was `https://api.monterrey.app/v1/webhooks`
//!   is `http://127.0.0.1:4000/monterrey/v1/webhooks` here. [`api`] lists the
//!   calls, and says of each provider what is documented and what is ours.
//! * Every other preset, and a description of your own, is registered and
//!   triggered through the sandbox's own calls under `/_sandbox`, which are
//!   listed at [`console`]. A provider that signs with a private key gets a new
//!   one for each registration, whose public half is what the receiver is given;
//!   one that encrypts with a secret of its own gets that too.
//! * [`faults`] plays what goes wrong on the way to a receiver.
//!
//! [`Draft`] and [`EventSigner`] are the same without a sandbox: an event as the
//! provider has it, and the request that it would send. Public keys and
//! encryption need the features of the core that bear their names: `ecdsa`,
//! `ed25519`, `rsa`, `encryption`.
//!
//! Nothing leaves this machine: a URL that is not a loopback address gets
//! nothing unless [`SandboxBuilder::insecure_reach_anywhere`] says so. Neither does
//! a page in this machine's browser get in: a request has to name this machine, the
//! address that the sandbox listens on, or a host that [`SandboxBuilder::add_host`]
//! allows, and may come from no page of another site. Else it is answered 403.
//!
//! ```
//! use tower_webhooks_sandbox::{NewRegistration, Sandbox, State, Trigger};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A day of retries in ten seconds.
//! let sandbox = Sandbox::builder().with_time_scale(8_640.0).start()?;
//! // Nothing listens there, so that the first attempt fails and others follow.
//! let url = "http://127.0.0.1:1/webhooks/monterrey";
//! let registered = sandbox.register(NewRegistration::new("monterrey", url))?;
//! assert!(registered.secret().starts_with("whsec_"));
//!
//! let ids = sandbox.trigger(&Trigger::new("monterrey", "payment.confirmed"))?;
//! let dispatch = sandbox.attempted(&ids[0], 2).await.expect("it was just triggered");
//! assert_eq!(dispatch.state, State::Pending);
//! sandbox.stop();
//! # Ok(())
//! # }
//! ```

pub mod api;
mod application;
mod carrier;
pub mod console;
mod deliver;
mod dispatch;
mod draft;
mod edit;
mod event;
pub mod faults;
mod host;
mod ledger;
mod limit;
mod newest;
mod registration;
mod renew;
mod sandbox;
mod schedule;
mod signer;
mod text;

pub use application::Application;
pub use dispatch::{Attempt, Dispatch, Outcome, State};
pub use draft::Draft;
pub use event::{Trigger, TriggerError};
pub use limit::Limit;
pub use registration::{NewRegistration, Registration};
pub use sandbox::{Sandbox, SandboxBuilder, SandboxError};
pub use schedule::{Schedule, Source};
pub use signer::EventSigner;
