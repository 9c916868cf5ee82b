//! How to do a thing, one page each.

#[cfg(feature = "sqlite")]
#[doc = include_str!("inbox.md")]
pub mod choosing_an_inbox {}

#[cfg(feature = "postgres")]
#[doc = include_str!("postgres.md")]
pub mod more_than_one_machine {}

#[doc = include_str!("ordering.md")]
pub mod ordering {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("tunnels.md")]
pub mod tunnels {}

#[doc = include_str!("proxies.md")]
pub mod proxies {}

#[doc = include_str!("tenants.md")]
pub mod tenants {}

#[doc = include_str!("signatures.md")]
pub mod invalid_signature {}

#[doc = include_str!("handshakes.md")]
pub mod handshakes {}

#[doc = include_str!("payloads.md")]
pub mod payloads {}

#[doc = include_str!("providers.md")]
pub mod own_provider {}

#[doc = include_str!("rotation.md")]
pub mod rotation {}
