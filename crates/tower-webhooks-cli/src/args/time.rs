use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// The time at which something is signed or checked.
#[derive(Debug, clap::Args)]
pub(crate) struct TimeArg {
    /// The time to take for now: seconds or milliseconds since 1970, or RFC 3339
    ///
    /// A number of 12 digits or more is milliseconds.
    #[arg(long, value_name = "TIME", value_parser = parse)]
    now: Option<SystemTime>,
}

impl TimeArg {
    /// The time that was given, or the clock's.
    pub(crate) fn now(&self) -> SystemTime {
        self.now.unwrap_or_else(SystemTime::now)
    }
}

/// A moment: as `--now` takes it, or how long ago, `2h` and `2h ago` alike.
pub(crate) fn parse_moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(moment) = parse(text) {
        return Ok(moment);
    }
    duration(text)
        .and_then(|before| SystemTime::now().checked_sub(before.unsigned_abs()))
        .ok_or_else(|| "write it like 2h, 7d or 2026-03-02T10:15:30Z".to_owned())
}

/// A length of time, with its unit; a day has 24 hours.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|age| Duration::try_from(age).ok())
        .ok_or_else(|| "write it like 90d or 12h".to_owned())
}

/// Seconds, perhaps with a fraction; not none.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| "give seconds, such as 10 or 0.5".to_owned())
}

/// Months and years are of no certain length, and so none.
fn duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

fn parse(text: &str) -> Result<SystemTime, String> {
    let wrong = || "write it like 1772446530, 1772446530000 or 2026-03-02T10:15:30Z".to_owned();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: u64 = text.parse().map_err(|_| wrong())?;
        let since = if text.len() < 12 {
            Duration::from_secs(number)
        } else {
            Duration::from_millis(number)
        };
        SystemTime::UNIX_EPOCH.checked_add(since).ok_or_else(wrong)
    } else {
        text.parse::<Timestamp>()
            .map(SystemTime::from)
            .map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_write_one_time() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_446_530);
        for text in [
            "1772446530",
            "1772446530000",
            "2026-03-02T10:15:30Z",
            "2026-03-02T11:15:30+01:00",
        ] {
            assert_eq!(parse(text), Ok(time), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(
            parse_moment("2026-03-02T10:15:30Z"),
            parse("1772446530"),
            "as --now takes it"
        );
        for text in ["2h", "2h ago", "PT2H", "120 minutes"] {
            let ago = parse_moment(text).unwrap().elapsed().unwrap();
            let hours = Duration::from_secs(2 * 60 * 60);
            assert!(
                ago >= hours && ago < hours + Duration::from_secs(60),
                "{text}"
            );
        }
        for text in ["", "soon", "2", "1 month", "2x"] {
            let read = parse_moment(text);
            assert_eq!(read.is_ok(), text == "2", "{text}");
        }
    }

    #[test]
    fn an_age_has_a_unit_and_is_not_negative() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        assert_eq!(parse_age("30d"), Ok(DAY * 30));
        assert_eq!(parse_age("1w 12h"), Ok(DAY * 7 + DAY / 2));
        assert_eq!(parse_age("0s"), Ok(Duration::ZERO));
        for text in [
            "",
            "30",
            "30d ago",
            "-1d",
            "1 month",
            "2026-03-02T10:15:30Z",
        ] {
            assert!(
                parse_age(text).unwrap_err().starts_with("write it like"),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_says_how_to_write_it() {
        for text in ["", "now", "-5", "1e9", "2026-03-02", "99999999999999999999"] {
            assert!(
                parse(text).unwrap_err().starts_with("write it like"),
                "{text}"
            );
        }
    }
}
