//! The clients, one file each, with the same headings in the same order: the
//! calls, what is documented, and what is not.

mod cryptomate;
mod devdraft;
mod m2m;
mod monterrey;
mod mppcash;

pub use cryptomate::CryptoMate;
pub use devdraft::Devdraft;
pub use m2m::{Link, M2m, NewLink};
pub use monterrey::Monterrey;
pub use mppcash::MppCash;

/// What all clients can be set to.
macro_rules! settings {
    ($client:ident) => {
        impl $client {
            /// Replaces where the API is: a sandbox, usually. `http` is taken for
            /// this machine alone, since the key goes along.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it is no such
            /// URL.
            pub fn with_base_url(mut self, base: &str) -> Result<Self, crate::Error> {
                self.client = self.client.with_base(base)?;
                Ok(self)
            }

            /// Replaces how long a call may take with its answer. The default is
            /// 30 s: no provider documents one.
            #[must_use]
            pub fn with_timeout(mut self, timeout: std::time::Duration) -> Self {
                self.client = self.client.with_timeout(timeout);
                self
            }
        }
    };
}
use settings;
