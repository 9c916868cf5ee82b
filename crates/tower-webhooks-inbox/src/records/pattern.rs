//! Which event types a handler is for.

use std::{fmt, str::FromStr};

use tower_webhooks_core::Text;

/// A choice of event types: one (`transfer.settled`), all below a prefix
/// (`balance.*`), or every one (`*`). Upper and lower case differ.
///
/// ```
/// use tower_webhooks_inbox::Pattern;
///
/// let balance: Pattern = "balance.*".parse()?;
/// assert!(balance.matches("balance.low"));
/// assert!(balance.matches("balance.low.again"));
/// assert!(!balance.matches("balance"));
/// assert!(!balance.matches("balances.low"));
/// assert_eq!(balance.to_string(), "balance.*");
/// assert!("balance.*.low".parse::<Pattern>().is_err());
/// # Ok::<(), tower_webhooks_inbox::PatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    All,
    Exact(Text),
    /// Ends in a dot.
    Prefix(Text),
}

impl Pattern {
    /// The pattern `*`.
    #[must_use]
    pub const fn all() -> Self {
        Self(Kind::All)
    }

    /// Reads a pattern from text.
    ///
    /// # Errors
    ///
    /// Empty text; a `*` that is neither the whole text nor its end after a dot;
    /// nothing before `.*`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let kind = match text {
            "" => return Err(PatternError::Empty),
            "*" => Kind::All,
            _ => match text.strip_suffix('*') {
                None => Kind::Exact(Text::from(text)),
                Some(prefix) if prefix.ends_with('.') && prefix.len() > 1 => {
                    Kind::Prefix(Text::from(prefix))
                }
                Some(_) => return Err(PatternError::Star(Text::from(text))),
            },
        };
        match &kind {
            Kind::Exact(rest) | Kind::Prefix(rest) if rest.contains('*') => {
                Err(PatternError::Star(Text::from(text)))
            }
            Kind::All | Kind::Exact(_) | Kind::Prefix(_) => Ok(Self(kind)),
        }
    }

    /// Whether this type is chosen.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        match &self.0 {
            Kind::All => true,
            Kind::Exact(exact) => exact == event_type,
            Kind::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }

    /// The one type that is chosen, if it is only one.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        match &self.0 {
            Kind::Exact(exact) => Some(exact),
            Kind::All | Kind::Prefix(_) => None,
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::All => f.write_str("*"),
            Kind::Exact(exact) => f.write_str(exact),
            Kind::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// There is no text.
    #[error("an event pattern is empty; `*` matches every type")]
    Empty,
    /// A `*` in a place where it means nothing.
    #[error("event pattern `{0}`: `*` stands alone, or at the end after a dot, as in `balance.*`")]
    Star(Text),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_whole_star_or_a_dotted_end_is_a_pattern() {
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        for wrong in ["a*", "*.a", "a.*.b", "a.**", "**", ".*", "a*.*", "*.*"] {
            assert_eq!(
                Pattern::parse(wrong),
                Err(PatternError::Star(Text::from(wrong))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn exact_is_exact() {
        let pattern = Pattern::parse("a.b").unwrap();
        assert!(pattern.matches("a.b"));
        for other in ["a.b.c", "a", "A.b", "", "a.b "] {
            assert!(!pattern.matches(other), "{other}");
        }
        assert_eq!(pattern.exact(), Some("a.b"));
    }

    proptest! {
        #[test]
        fn a_pattern_prints_as_it_was_read(text in "[a-c.*]{0,6}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }

        #[test]
        fn a_prefix_matches_exactly_what_begins_with_it(prefix in "[a-b]{1,2}", kind in "[a-b.]{0,5}") {
            let pattern = Pattern::parse(&format!("{prefix}.*")).unwrap();
            let begins = kind.split_once('.').is_some_and(|(first, _)| first == prefix);
            prop_assert_eq!(pattern.matches(&kind), begins);
        }

        #[test]
        fn no_text_makes_a_panic(text in any::<String>(), kind in any::<String>()) {
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = pattern.matches(&kind);
            }
        }
    }
}
