use std::time::{Duration, SystemTime};

use jiff::Timestamp;

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
    fn anything_else_says_how_to_write_it() {
        for text in ["", "now", "-5", "1e9", "2026-03-02", "99999999999999999999"] {
            assert!(
                parse(text).unwrap_err().starts_with("write it like"),
                "{text}"
            );
        }
    }
}
