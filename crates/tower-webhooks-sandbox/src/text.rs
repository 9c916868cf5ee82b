//! Ids, secrets and times as text.

use std::time::SystemTime;

use http::HeaderValue;
use jiff::{Timestamp, Unit};
use uuid::Uuid;

/// A new id with that prefix, such as `wh_…`.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::new_v4().simple())
}

/// 244 random bits as 64 hexadecimal digits: text, hexadecimal and base64
/// alike, so that it is a key in whatever form a scheme reads it.
pub(crate) fn new_key() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// 32 bytes, of which nobody can guess 244 bits.
pub(crate) fn new_random() -> [u8; 32] {
    let mut random = [0; 32];
    let (first, second) = random.split_at_mut(16);
    first.copy_from_slice(Uuid::new_v4().as_bytes());
    second.copy_from_slice(Uuid::new_v4().as_bytes());
    random
}

/// A value that is sent once.
pub(crate) fn new_nonce() -> HeaderValue {
    let nonce = Uuid::new_v4().simple().to_string();
    HeaderValue::try_from(nonce).unwrap_or(HeaderValue::from_static("0"))
}

/// The time in RFC 3339, to the millisecond.
pub(crate) fn rfc_3339(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = at.round(Unit::Millisecond).unwrap_or(at);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_has_its_milliseconds() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_446_530_007);
        assert_eq!(rfc_3339(at), "2026-03-02T10:15:30.007Z");
        assert_eq!(rfc_3339(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn ids_and_keys_are_never_the_same() {
        assert_ne!(new_id("wh"), new_id("wh"));
        assert_ne!(new_key(), new_key());
        assert_eq!(new_key().len(), 64);
    }
}
