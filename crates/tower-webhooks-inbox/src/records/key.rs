//! What makes two events the same.
//!
//! Within one endpoint and tenant an event is unique by its key, a text that a
//! store keeps under a UNIQUE constraint. Five kinds, which cannot be mistaken
//! for one another:
//!
//! | key | for |
//! |---|---|
//! | the id itself | an event with an id (`id:` goes before an id that looks like one of the others) |
//! | `sha256:<hex>` | an event without an id, or unusable: its body stands in |
//! | `sha256:<hex>#<seq>` | the same body again after the span; `seq` is the one before it |
//! | `conflict:<hex>:<id>` | a known signed id with this other body |
//! | `unsigned:<hex>:<id>` | a known unsigned id with this other body |

use std::fmt::Write;

use tower_webhooks_core::Text;

use super::{EventSeq, NewEvent};

impl NewEvent {
    /// The key that its id gives, or `None` where the body's SHA-256 stands in:
    /// there is no id, or the event is unusable and so its id cannot be trusted.
    #[must_use]
    pub fn id_key(&self) -> Option<Text> {
        match (&self.id, &self.unusable) {
            (Some(id), None) => Some(id_key(id)),
            _ => None,
        }
    }
}

/// The key of an event that its body identifies.
#[must_use]
pub fn body_key(sha256: &[u8; 32]) -> Text {
    Text::from(format!("{BODY}{}", hex(sha256)))
}

/// The key of an equal body that came after the span: named after the event
/// before it, so that two receivers racing to store it make the same key.
#[must_use]
pub fn repeat_key(sha256: &[u8; 32], previous: EventSeq) -> Text {
    Text::from(format!("{BODY}{}#{previous}", hex(sha256)))
}

/// The key of an event whose id is signed, and known with another body.
#[must_use]
pub fn conflict_key(id: &str, sha256: &[u8; 32]) -> Text {
    Text::from(format!("{CONFLICT}{}:{id}", hex(sha256)))
}

/// The key of an event whose id is known with another body and not signed: what
/// came first under the id may be the false one, so this is an event of its own.
#[must_use]
pub fn unsigned_key(id: &str, sha256: &[u8; 32]) -> Text {
    Text::from(format!("{UNSIGNED}{}:{id}", hex(sha256)))
}

pub(crate) fn id_key(id: &Text) -> Text {
    if PREFIXES.iter().any(|own| id.starts_with(own)) {
        Text::from(format!("{ID}{id}"))
    } else {
        id.clone()
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

const BODY: &str = "sha256:";
const CONFLICT: &str = "conflict:";
const ID: &str = "id:";
const UNSIGNED: &str = "unsigned:";
const PREFIXES: [&str; 4] = [BODY, CONFLICT, ID, UNSIGNED];

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn an_id_is_its_own_key_unless_it_looks_like_another_kind() {
        let plain = Text::from("evt_1");
        assert_eq!(id_key(&plain), "evt_1");
        assert_eq!(
            id_key(&body_key(&[0xab; 32])),
            format!("id:sha256:{}", "ab".repeat(32)).as_str()
        );
        assert_eq!(id_key(&Text::from("id:evt_1")), "id:id:evt_1");
        assert_eq!(id_key(&Text::from("conflict:x")), "id:conflict:x");
        assert_eq!(id_key(&Text::from("unsigned:x")), "id:unsigned:x");
    }

    #[test]
    fn keys_of_one_body_differ_by_kind() {
        let sha256 = [7; 32];
        let hex = "07".repeat(32);
        assert_eq!(body_key(&sha256), format!("sha256:{hex}").as_str());
        assert_eq!(
            repeat_key(&sha256, EventSeq(9)),
            format!("sha256:{hex}#9").as_str()
        );
        assert_eq!(
            conflict_key("evt_1", &sha256),
            format!("conflict:{hex}:evt_1").as_str()
        );
        assert_eq!(
            unsigned_key("evt_1", &sha256),
            format!("unsigned:{hex}:evt_1").as_str()
        );
    }

    #[test]
    fn the_id_of_an_unusable_event_is_no_key() {
        let mut event = NewEvent::new("shop", "{", SystemTime::UNIX_EPOCH);
        event.id = Some(Text::from("evt_1"));
        assert_eq!(event.id_key(), Some(Text::from("evt_1")));
        event.unusable = Some(Text::from("not JSON"));
        assert_eq!(event.id_key(), None);
    }
}
