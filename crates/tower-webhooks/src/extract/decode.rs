//! Decodes a payload; an error says where and what, but never the value.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Deserializer;

/// Most characters of a path or an expectation that an error names.
const MAX_CHARS: usize = 200;

/// How serde begins the errors whose expectation is known to come from the
/// type and not from the payload.
const EXPECTING: [&str; 5] = [
    "invalid type: ",
    "invalid value: ",
    "invalid length ",
    "unknown variant `",
    "unknown field `",
];

/// How serde begins the errors that name only a field of the type.
const NAMING: [&str; 2] = ["missing field `", "duplicate field `"];

/// Why a payload does not fit its type: the path into it and what was expected
/// there. Never the value, which may be personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    path: String,
    expected: Option<String>,
}

/// Decodes `json`; the way to an error is only retraced when there is one.
pub(super) fn decode<T: DeserializeOwned>(json: &str) -> Result<T, Misfit> {
    serde_json::from_str(json).map_err(|error| {
        let mut deserializer = Deserializer::from_str(json);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Ok(_) => Misfit::new(".".to_owned(), &error),
            Err(error) => Misfit::new(error.path().to_string(), error.inner()),
        }
    })
}

impl Misfit {
    fn new(path: String, error: &serde_json::Error) -> Self {
        Self {
            path: printable(&path),
            expected: expectation(&error.to_string()).map(printable),
        }
    }
}

/// The part of serde's message that is known to hold no value.
fn expectation(message: &str) -> Option<&str> {
    let message = match message.rsplit_once(" at line ") {
        Some((message, _)) => message,
        None => message,
    };
    if NAMING.iter().any(|start| message.starts_with(start)) {
        return Some(message);
    }
    if !EXPECTING.iter().any(|start| message.starts_with(start)) {
        return None;
    }
    let at = message.rfind(", expected ")?;
    message.get(at..)?.strip_prefix(", ")
}

fn printable(text: impl AsRef<str>) -> String {
    let mut printable = String::new();
    for letter in text.as_ref().chars().take(MAX_CHARS) {
        if letter.is_control() {
            printable.extend(letter.escape_default());
        } else {
            printable.push(letter);
        }
    }
    printable
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "." => f.write_str("the payload does not fit its type")?,
            path => write!(f, "the payload does not fit its type at `{path}`")?,
        }
        match &self.expected {
            Some(expected) => write!(f, ": {expected}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Misfit {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only its decoding is looked at")]
    struct Settled {
        transfer: Transfer,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only its decoding is looked at")]
    struct Transfer {
        amounts: Vec<u32>,
        state: State,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum State {
        Open,
        Closed,
    }

    fn misfit(json: &str) -> String {
        decode::<Settled>(json).unwrap_err().to_string()
    }

    #[test]
    fn the_path_and_the_expectation_are_told_but_not_the_value() {
        assert_eq!(
            misfit(
                r#"{"transfer":{"amounts":[1,"4711-secret, expected treasure"],"state":"open"}}"#
            ),
            "the payload does not fit its type at `transfer.amounts[1]`: expected u32"
        );
        assert_eq!(
            misfit(r#"{"transfer":{"amounts":[],"state":"secret"}}"#),
            "the payload does not fit its type at `transfer.state`: expected `open` or `closed`"
        );
        assert_eq!(
            misfit(r#"{"transfer":{"amounts":[]}}"#),
            "the payload does not fit its type at `transfer`: missing field `state`"
        );
        assert_eq!(
            misfit("[]"),
            "the payload does not fit its type: expected struct Settled with 1 element"
        );
    }

    #[test]
    fn an_error_of_the_users_own_is_not_quoted() {
        #[derive(Debug)]
        struct Iban;
        impl<'de> Deserialize<'de> for Iban {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Err(serde::de::Error::custom(format!("`{text}` is no IBAN")))
            }
        }
        assert_eq!(
            decode::<Iban>(r#""DE00 secret""#).unwrap_err().to_string(),
            "the payload does not fit its type"
        );
    }

    #[test]
    fn what_follows_the_value_is_an_error() {
        assert_eq!(
            decode::<u32>("1 2").unwrap_err().to_string(),
            "the payload does not fit its type"
        );
    }

    #[test]
    fn a_path_made_of_hostile_keys_stays_short_and_printable() {
        type Accounts = std::collections::BTreeMap<String, u32>;
        let json = format!(r#"{{"\n{}":"x"}}"#, "k".repeat(5000));
        let text = decode::<Accounts>(&json).unwrap_err().to_string();
        assert!(text.len() < 300, "{}", text.len());
        assert!(text.contains(r"\nkkk"));
        assert!(!text.contains('\n'));
    }

    proptest! {
        #[test]
        fn no_value_shows(value in "[a-z]{6,12}") {
            let secret = format!("zz{value}zz");
            for json in [
                format!(r#"{{"transfer":"{secret}"}}"#),
                format!(r#"{{"transfer":{{"amounts":["{secret}"]}}}}"#),
                format!(r#"{{"transfer":{{"amounts":[],"state":"{secret}"}}}}"#),
                format!(r#"{{"transfer":{{"amounts":[],"state":{{"{secret}":1}}}}}}"#),
            ] {
                let told = misfit(&json);
                prop_assert!(!told.contains(&secret), "{}", told);
            }
        }
    }
}
