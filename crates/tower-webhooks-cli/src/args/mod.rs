//! What several commands take.

mod body;
mod headers;
mod payload_secret;
mod provider;
mod secret;
mod target;
mod time;

pub(crate) use body::BodyArgs;
pub(crate) use headers::HeaderArgs;
pub(crate) use payload_secret::PayloadSecretArgs;
pub(crate) use provider::{ProviderArg, load as load_provider};
pub(crate) use secret::{SecretArgs, read_secret};
pub(crate) use target::TargetArgs;
pub(crate) use time::{TimeArg, parse_age, parse_moment, parse_seconds};
