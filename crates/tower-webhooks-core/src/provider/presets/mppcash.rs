//! MPPCash.
use crate::*;
use http::HeaderName;
/// MPPCash.
#[must_use]
pub fn mppcash() -> Provider {
    Provider::new(
        "mppcash",
        Scheme::Hmac(HmacScheme::new(HeaderName::from_static(
            "x-mppcash-signature",
        ))),
        Envelope::new("/type").with_data("/data"),
    )
}
