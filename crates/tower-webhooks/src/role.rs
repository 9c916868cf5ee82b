//! Which half of the work a process does.

use std::{env, str::FromStr};

/// What a process does with its endpoints. All processes of one app are set up
/// alike, over one shared inbox, and differ in this alone.
///
/// ```
/// use tower_webhooks::Role;
///
/// assert_eq!("worker".parse(), Ok(Role::Worker));
/// assert_eq!(Role::default(), Role::Both);
/// let error = "cook".parse::<Role>().unwrap_err();
/// assert_eq!(error.to_string(), "no role is named `cook`: it is `both`, `receiver` or `worker`");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Receives and handles. The default: one process is enough for most.
    #[default]
    Both,
    /// Takes deliveries in and decides replies; runs no handlers of events. It
    /// registers them all the same, so that none misses an event for which no
    /// worker was up yet.
    Receiver,
    /// Runs handlers. Its layers and services answer 503, and it is never
    /// ready to receive: probe it by `/healthz`.
    Worker,
}

impl Role {
    /// The role that the environment names; not set or empty, it is `both`.
    ///
    /// # Errors
    ///
    /// When it names no role.
    pub fn from_env(variable: &str) -> Result<Self, UnknownRole> {
        let name = env::var_os(variable).unwrap_or_default();
        match name.to_string_lossy() {
            name if name.is_empty() => Ok(Self::Both),
            name => name.parse(),
        }
    }

    pub(crate) fn receives(self) -> bool {
        self != Self::Worker
    }

    pub(crate) fn works(self) -> bool {
        self != Self::Receiver
    }
}

/// No role has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no role is named `{0}`: it is `both`, `receiver` or `worker`")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        match name {
            "both" => Ok(Self::Both),
            "receiver" => Ok(Self::Receiver),
            "worker" => Ok(Self::Worker),
            other => Err(UnknownRole(other.to_owned())),
        }
    }
}
