//! What the payload types of all presets are made of.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value exactly as it was written. It stands where a provider does
/// not document what lies inside.
///
/// ```
/// use tower_webhooks_core::providers::RawJson;
///
/// let reason: RawJson = serde_json::from_str(r#""wrong amount""#)?;
/// assert_eq!(reason.as_str(), r#""wrong amount""#);
/// assert_eq!(reason.to_text(), "wrong amount");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The JSON text, to be decoded further.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value as it is shown: text without its quotes and escapes, anything
    /// else as JSON.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        serde_json::from_str::<String>(self.as_str())
            .map_or(Cow::Borrowed(self.as_str()), Cow::Owned)
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The fields of an object that its type does not name, each exactly as it was
/// written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OtherFields(BTreeMap<String, RawJson>);

impl OtherFields {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawJson> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, name: String, value: RawJson) {
        self.0.insert(name, value);
    }
}

/// Makes an object's type: its documented fields, and the others as they are.
///
/// Not serde's derive with `flatten`: that reads the other fields through
/// floating point, and an amount among them would lose digits. A field that
/// is optional may be absent or null.
macro_rules! payload {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident $(= $event_type:literal)? {
            $(required { $($(#[$required_doc:meta])* $required:ident: $required_type:ty = $required_key:literal,)* })?
            $(optional { $($(#[$optional_doc:meta])* $optional:ident: $optional_type:ty = $optional_key:literal,)* })?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        $vis struct $name {
            $($($(#[$required_doc])* pub $required: $required_type,)*)?
            $($($(#[$optional_doc])* pub $optional: Option<$optional_type>,)*)?
            /// The fields that are not documented.
            pub other: $crate::providers::OtherFields,
        }

        $(impl $crate::EventType for $name {
            const EVENT_TYPE: &'static str = $event_type;
        })?

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("an object with the fields of ", stringify!($name)))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        $($(let mut $required: Option<$required_type> = None;)*)?
                        $($(let mut $optional: Option<Option<$optional_type>> = None;)*)?
                        let mut other = $crate::providers::OtherFields::default();
                        while let Some(key) = map.next_key::<String>()? {
                            match key.as_str() {
                                $($($required_key => {
                                    if $required.replace(map.next_value()?).is_some() {
                                        return Err(serde::de::Error::duplicate_field($required_key));
                                    }
                                })*)?
                                $($($optional_key => {
                                    if $optional.replace(map.next_value()?).is_some() {
                                        return Err(serde::de::Error::duplicate_field($optional_key));
                                    }
                                })*)?
                                _ => other.insert(key, map.next_value()?),
                            }
                        }
                        Ok($name {
                            $($($required: $required
                                .ok_or_else(|| <A::Error as serde::de::Error>::missing_field($required_key))?,)*)?
                            $($($optional: $optional.flatten(),)*)?
                            other,
                        })
                    }
                }

                from.deserialize_map(Fields)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;

                let mut map = to.serialize_map(None)?;
                $($(map.serialize_entry($required_key, &self.$required)?;)*)?
                $($(if let Some(value) = &self.$optional {
                    map.serialize_entry($optional_key, value)?;
                })*)?
                for (name, value) in self.other.iter() {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    };
}

/// Makes the type of an event whose payload has the form of another type, so
/// that every event has a type of its own.
macro_rules! event {
    ($(#[$doc:meta])* $vis:vis struct $name:ident = $event_type:literal: $payload:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        #[non_exhaustive]
        $vis struct $name(pub $payload);

        impl $crate::EventType for $name {
            const EVENT_TYPE: &'static str = $event_type;
        }

        impl std::ops::Deref for $name {
            type Target = $payload;

            fn deref(&self) -> &$payload {
                &self.0
            }
        }
    };
}

pub(super) use {event, payload};

#[cfg(test)]
mod tests {
    use serde_json::{from_slice, from_str, json, to_string};

    use super::*;
    use crate::Amount;

    payload! {
        /// A payload for these tests.
        struct Invoice = "invoice.paid" {
            required {
                /// What was paid.
                total_due: Amount = "totalDue",
            }
            optional {
                /// A remark.
                note: String = "note",
            }
        }
    }

    event! {
        /// Another event of the same form.
        struct InvoiceRefunded = "invoice.refunded": Invoice
    }

    #[test]
    fn unknown_fields_are_kept_to_the_last_digit() {
        let text = r#"{"totalDue":0.10,"fee":12345678901234567890.123456789,"tags":[1.0,null]}"#;
        for invoice in [
            from_str::<Invoice>(text).unwrap(),
            from_slice(text.as_bytes()).unwrap(),
        ] {
            let fee = invoice.other.get("fee").unwrap();
            assert_eq!(fee.as_str(), "12345678901234567890.123456789");
            assert_eq!(invoice.total_due.as_str(), "0.10");
            assert_eq!(invoice.note, None);
            assert_eq!(invoice.other.iter().count(), 2);
            assert_eq!(to_string(&invoice).unwrap(), text);
        }
    }

    #[test]
    fn an_event_of_another_types_form_reads_and_writes_like_it() {
        let text = r#"{"totalDue":"1.5","note":"thanks"}"#;
        let refund: InvoiceRefunded = from_str(text).unwrap();
        assert_eq!(refund.note.as_deref(), Some("thanks"));
        assert!(refund.other.is_empty());
        assert_eq!(to_string(&refund).unwrap(), text);
    }

    #[test]
    fn an_optional_field_may_be_null_and_a_required_one_may_not() {
        let invoice: Invoice = from_str(r#"{"totalDue":1,"note":null}"#).unwrap();
        assert_eq!(invoice.note, None);
        assert!(from_str::<Invoice>(r#"{"totalDue":null}"#).is_err());
    }

    #[test]
    fn errors_name_the_field_as_the_provider_writes_it() {
        let error = |text| from_str::<Invoice>(text).unwrap_err().to_string();
        assert!(error("{}").contains("missing field `totalDue`"));
        assert!(error(r#"{"totalDue":1,"totalDue":2}"#).contains("duplicate field `totalDue`"));
        assert!(
            error(r#"{"totalDue":1,"note":null,"note":"x"}"#).contains("duplicate field `note`")
        );
        assert!(error("[]").contains("an object with the fields of Invoice"));
    }

    #[test]
    fn a_tree_of_values_is_read_too() {
        let tree = json!({"totalDue": "0.10", "fee": [true]});
        let invoice: Invoice = serde_json::from_value(tree).unwrap();
        assert_eq!(invoice.total_due.as_str(), "0.10");
        assert_eq!(invoice.other.get("fee").unwrap().as_str(), "[true]");
    }

    #[test]
    fn raw_json_is_shown_as_text_where_it_is_text() {
        let shown = |json| from_str::<RawJson>(json).unwrap().to_text().into_owned();
        assert_eq!(shown(r#""a\u0062\n""#), "ab\n");
        assert_eq!(shown(r#"{"a": 1.0}"#), r#"{"a": 1.0}"#);
        assert_eq!(shown("1772447400"), "1772447400");
    }
}
