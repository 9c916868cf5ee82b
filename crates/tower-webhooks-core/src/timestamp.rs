//! When a request was signed, and whether that is recent enough.

use std::time::{Duration, SystemTime};

use http::HeaderName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    RejectionKind,
    data::{header_name, seconds},
};

/// The form of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TimeUnit {
    /// Milliseconds since 1970, canonical decimal digits.
    Milliseconds,
    /// RFC 3339 text with an offset.
    Rfc3339,
    /// Seconds since 1970, canonical decimal digits. The default, since most
    /// providers use it.
    #[default]
    Seconds,
}

/// Where a signed timestamp stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TimestampPlace {
    /// A field of the signature header, such as `t` in `t=1,v1=…`.
    Field(String),
    /// A header of its own.
    Header(#[serde(with = "header_name")] HeaderName),
    /// A JSON pointer into the body, where the body or this field of it is
    /// signed.
    Pointer(String),
}

impl TimestampPlace {
    /// The JSON pointer, where it stands in the body.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match self {
            Self::Pointer(pointer) => Some(pointer),
            Self::Field(_) | Self::Header(_) => None,
        }
    }
}

/// How a provider dates what it signs.
///
/// The timestamp must be part of what is signed; one that is not proves
/// nothing and is never looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTimestamp {
    pub(crate) place: TimestampPlace,
    #[serde(default)]
    pub(crate) unit: TimeUnit,
    #[serde(
        default = "default_tolerance",
        rename = "tolerance_seconds",
        with = "seconds"
    )]
    pub(crate) tolerance: Option<Duration>,
}

/// The tolerance that the Standard Webhooks libraries and Stripe use.
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
const fn default_tolerance() -> Option<Duration> {
    Some(DEFAULT_TOLERANCE)
}

impl SignedTimestamp {
    /// A timestamp in a header of its own, in seconds, with a tolerance of
    /// 300 s in both directions.
    #[must_use]
    pub const fn in_header(header: HeaderName) -> Self {
        Self::at(TimestampPlace::Header(header))
    }

    /// A timestamp in a field of the signature header, in seconds, with a
    /// tolerance of 300 s in both directions.
    #[must_use]
    pub fn in_field(field: impl Into<String>) -> Self {
        Self::at(TimestampPlace::Field(field.into()))
    }

    /// A timestamp in the body at a JSON pointer (RFC 6901), in seconds, with a
    /// tolerance of 300 s in both directions. It is looked at when the body is
    /// there, after everything else about the headers.
    #[must_use]
    pub fn in_body(pointer: impl Into<String>) -> Self {
        Self::at(TimestampPlace::Pointer(pointer.into()))
    }

    const fn at(place: TimestampPlace) -> Self {
        Self {
            place,
            unit: TimeUnit::Seconds,
            tolerance: Some(DEFAULT_TOLERANCE),
        }
    }

    /// Replaces the unit. The default is seconds.
    #[must_use]
    pub const fn with_unit(mut self, unit: TimeUnit) -> Self {
        self.unit = unit;
        self
    }

    /// Replaces the tolerance, in both directions, the edge included. The
    /// default is 300 s.
    ///
    /// Widening it is safe as long as the inbox remembers an event's key for
    /// longer: a replay within the tolerance is then a duplicate.
    #[must_use]
    pub const fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Accepts any age: a captured request can then be replayed for ever, and
    /// only the inbox's memory of its key stands against it.
    #[must_use]
    pub const fn insecure_any_age(mut self) -> Self {
        self.tolerance = None;
        self
    }

    /// The tolerance, or none if any age is accepted.
    #[must_use]
    pub const fn tolerance(&self) -> Option<Duration> {
        self.tolerance
    }

    /// The form of the timestamp.
    #[must_use]
    pub const fn unit(&self) -> TimeUnit {
        self.unit
    }

    /// Where the timestamp stands.
    #[must_use]
    pub const fn place(&self) -> &TimestampPlace {
        &self.place
    }

    /// Reads the signed text and compares it with the clock.
    pub(crate) fn check(&self, text: &[u8], now: SystemTime) -> Result<SystemTime, RejectionKind> {
        let signed_ms = self
            .unit
            .parse_ms(text)
            .ok_or(RejectionKind::TimestampMalformed)?;
        if let Some(tolerance) = self.tolerance {
            let now_ms = self.unit.truncate(unix_ms(now));
            let tolerance = i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX);
            if now_ms.saturating_sub(signed_ms) > tolerance {
                return Err(RejectionKind::TimestampStale);
            }
            if signed_ms.saturating_sub(now_ms) > tolerance {
                return Err(RejectionKind::TimestampFuture);
            }
        }
        from_unix_ms(signed_ms).ok_or(RejectionKind::TimestampMalformed)
    }
}

impl TimeUnit {
    /// Milliseconds since 1970; nothing if the text is not canonical.
    pub(crate) fn parse_ms(self, text: &[u8]) -> Option<i64> {
        match self {
            Self::Seconds => canonical_digits(text, 12)?.checked_mul(1_000),
            Self::Milliseconds => canonical_digits(text, 15),
            Self::Rfc3339 => {
                let text = std::str::from_utf8(text).ok()?;
                text.parse().ok().map(Timestamp::as_millisecond)
            }
        }
    }

    /// The clock at the timestamp's own resolution, so that a request signed
    /// exactly `tolerance` seconds ago is within it for that whole second.
    const fn truncate(self, ms: i64) -> i64 {
        match self {
            Self::Seconds => ms.saturating_sub(ms.rem_euclid(1_000)),
            Self::Milliseconds | Self::Rfc3339 => ms,
        }
    }

    /// Writes a time as the provider does.
    pub(crate) fn write(self, at: SystemTime) -> String {
        let ms = unix_ms(at);
        match self {
            Self::Seconds => ms.div_euclid(1_000).to_string(),
            Self::Milliseconds => ms.to_string(),
            Self::Rfc3339 => {
                Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |at| at.to_string())
            }
        }
    }
}

/// A number without sign, leading zero, space or more than `max` digits: the
/// signed text must have one reading.
fn canonical_digits(text: &[u8], max: usize) -> Option<i64> {
    let canonical = (1..=max).contains(&text.len())
        && text.first() != Some(&b'0')
        && text.iter().all(u8::is_ascii_digit);
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Milliseconds since 1970, negative before it, saturated at the ends.
fn unix_ms(at: SystemTime) -> i64 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::saturating_neg)
        }
    }
}

pub(crate) fn from_unix_ms(ms: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(ms.unsigned_abs());
    if ms < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times made up for a test")]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn rule() -> SignedTimestamp {
        SignedTimestamp::in_header(HeaderName::from_static("x-time"))
    }

    #[test]
    fn the_edge_is_included_in_both_directions() {
        let rule = rule();
        assert!(rule.check(b"1000", at(1_300)).is_ok());
        assert!(
            rule.check(b"1000", at(1_300) + Duration::from_millis(999))
                .is_ok()
        );
        assert_eq!(
            rule.check(b"1000", at(1_301)),
            Err(RejectionKind::TimestampStale)
        );
        assert!(rule.check(b"1300", at(1_000)).is_ok());
        assert_eq!(
            rule.check(b"1301", at(1_000)),
            Err(RejectionKind::TimestampFuture)
        );
    }

    #[test]
    fn only_canonical_digits_are_a_timestamp() {
        let rule = rule();
        for text in [
            "",
            "0",
            "01000",
            "+1000",
            "-1000",
            " 1000",
            "1000 ",
            "1e3",
            "1000.0",
            "0x3e8",
            "1000abc",
            "1234567890123",
            "-9223372036854775808",
            "９",
        ] {
            assert_eq!(
                rule.check(text.as_bytes(), at(1_000)),
                Err(RejectionKind::TimestampMalformed),
                "{text}"
            );
        }
    }

    #[test]
    fn milliseconds_are_compared_exactly() {
        let rule = rule().with_unit(TimeUnit::Milliseconds);
        assert!(rule.check(b"1000000", at(1_300)).is_ok());
        assert_eq!(
            rule.check(b"1000000", at(1_300) + Duration::from_millis(1)),
            Err(RejectionKind::TimestampStale)
        );
    }

    #[test]
    fn rfc_3339_takes_any_offset() {
        let rule = rule().with_unit(TimeUnit::Rfc3339);
        let signed = rule.check(b"1970-01-01T01:16:40+01:00", at(1_000)).unwrap();
        assert_eq!(signed, at(1_000));
        for text in ["1970-01-01", "1970-01-01T00:16:40", "yesterday"] {
            assert_eq!(
                rule.check(text.as_bytes(), at(1_000)),
                Err(RejectionKind::TimestampMalformed),
                "{text}"
            );
        }
    }

    #[test]
    fn a_clock_before_1970_fails_closed_without_panic() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1_000);
        assert_eq!(
            rule().check(b"1000", early),
            Err(RejectionKind::TimestampFuture)
        );
    }

    #[test]
    fn any_age_is_accepted_only_when_asked_for() {
        assert!(
            rule()
                .insecure_any_age()
                .check(b"1", at(2_000_000_000))
                .is_ok()
        );
        assert!(rule().check(b"1", at(2_000_000_000)).is_err());
    }
}
