//! A condition on the counts, for monitors: `dead>0`.

use std::fmt;

use super::stats::Counts;
use crate::words::nearest;

/// A count's name, a comparison and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    name: &'static str,
    comparison: Comparison,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    NotEqual,
}

/// The longer ones first, since the others begin them.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("==", Comparison::Equal),
    (">=", Comparison::GreaterOrEqual),
    ("<=", Comparison::LessOrEqual),
    ("!=", Comparison::NotEqual),
    ("=", Comparison::Equal),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
];

impl Condition {
    /// Reads one, as an option's value.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write it like 'dead>0'".to_owned();
        let place = text.find(['=', '>', '<', '!']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(place);
        let (comparison, number) = COMPARISONS
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, rest.strip_prefix(sign)?)))
            .ok_or_else(wrong)?;
        Ok(Self {
            name: known(name.trim())?,
            comparison,
            number: number.trim().parse().map_err(|_| wrong())?,
        })
    }

    /// What is to be said if it holds.
    pub(super) fn complaint(self, counts: &Counts) -> Option<String> {
        let found = counts.named(self.name)?;
        let holds = match self.comparison {
            Comparison::Equal => found == self.number,
            Comparison::Greater => found > self.number,
            Comparison::GreaterOrEqual => found >= self.number,
            Comparison::Less => found < self.number,
            Comparison::LessOrEqual => found <= self.number,
            Comparison::NotEqual => found != self.number,
        };
        holds.then(|| format!("{self}: {} is {found}", self.name))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = COMPARISONS
            .iter()
            .find(|(_, comparison)| *comparison == self.comparison)
            .map_or("", |(sign, _)| sign);
        write!(f, "{}{sign}{}", self.name, self.number)
    }
}

fn known(name: &str) -> Result<&'static str, String> {
    let names = Counts::NAMES;
    if let Some(known) = names.iter().find(|known| **known == name) {
        return Ok(known);
    }
    Err(match nearest(name, names.iter().copied()) {
        Some(near) => format!("there is no such count; did you mean {near}?"),
        None => format!("there is no such count: use one of {}", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use tower_webhooks_inbox::{EventState, Stats};

    use super::*;

    /// With three conflicts, and nothing else.
    fn counts() -> Counts {
        let mut stats = Stats::default();
        stats.events.insert(EventState::Conflict, 3);
        Counts::new(&stats)
    }

    #[test]
    fn every_comparison_compares() {
        for (text, expected) in [
            ("conflict=3", true),
            ("conflict==3", true),
            ("conflict==2", false),
            ("conflict != 3", false),
            ("conflict!=2", true),
            ("conflict>2", true),
            ("conflict>3", false),
            ("conflict >= 3", true),
            ("conflict>=4", false),
            ("conflict<4", true),
            ("conflict<3", false),
            ("conflict<=3", true),
            ("conflict<=2", false),
            ("dead>0", false),
            ("dead=0", true),
        ] {
            let holds = Condition::parse(text).unwrap().complaint(&counts());
            assert_eq!(holds.is_some(), expected, "{text}");
        }
    }

    #[test]
    fn a_complaint_says_what_was_found() {
        let condition = Condition::parse(" conflict > 0 ").unwrap();
        let complaint = condition.complaint(&counts());
        assert_eq!(complaint.unwrap(), "conflict>0: conflict is 3");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "", "dead", "dead>", "dead>x", "dead>-1", "dead=>1", "dead!1", ">0",
        ] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
        let error = Condition::parse("conflicts>0").unwrap_err();
        assert_eq!(error, "there is no such count; did you mean conflict?");
        let error = Condition::parse("xyz>0").unwrap_err();
        assert!(error.contains("use one of conflict, "), "{error}");
    }
}
