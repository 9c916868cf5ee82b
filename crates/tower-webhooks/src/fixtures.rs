//! What the tests in this crate's rooms share.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderName;
use tower_webhooks_core::{
    Delivery, Provider, Restored, Text,
    provider::{Envelope, HmacScheme, Scheme},
};

use crate::testing::TestJob;

/// A provider that sends `{"event": …, "id": …, "data": …}`.
pub(crate) fn provider() -> Arc<Provider> {
    let header = HeaderName::from_static("x-signature");
    let scheme = Scheme::Hmac(HmacScheme::new(header));
    let envelope = Envelope::new("/event").with_id("/id").with_data("/data");
    Arc::new(Provider::new("fixture", scheme, envelope))
}

pub(crate) fn body(event_type: &str, id: &str, data: &str) -> String {
    format!(r#"{{"event":"{event_type}","id":"{id}","data":{data}}}"#)
}

pub(crate) fn delivery(body: &str) -> Delivery {
    let received_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut restored = Restored::new(body.to_owned().into(), received_at);
    restored.tenant = Some(Text::from("acme"));
    Delivery::insecure_restore(provider(), restored)
}

pub(crate) fn job(body: &str) -> TestJob {
    TestJob::new(provider(), body.to_owned())
        .with_endpoint("shop")
        .with_handler("ship")
        .with_tenant("acme")
        .with_attempt(2, 3)
}
