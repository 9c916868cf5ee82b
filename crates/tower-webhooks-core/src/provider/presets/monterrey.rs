//! Monterrey.
use crate::*;
use http::HeaderName;
/// Monterrey.
#[must_use]
pub fn monterrey() -> Provider {
    Provider::new(
        "monterrey",
        Scheme::Hmac(HmacScheme::new(HeaderName::from_static(
            "x-monterrey-signature",
        ))),
        Envelope::new("/event").with_id("/id").with_data("/data"),
    )
}
