//! The report in the XML that JUnit has made common.
//!
//! Written by hand: it is a list of one element, and the crates for it bring
//! several others.

use std::fmt::Write as _;

use super::judge::{Judged, Row};

pub(super) fn report(rows: &[Row]) -> String {
    let count = |judged: &[Judged]| {
        let counted = rows.iter().filter(|row| judged.contains(&row.judged));
        counted.count()
    };
    let (all, wrong) = (rows.len(), count(&[Judged::Wrong]));
    let skipped = count(&[Judged::NotApplicable, Judged::NotObservable]);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuite name=\"webhooks conform\" tests=\"{all}\" failures=\"{wrong}\" skipped=\"{skipped}\">"
    );
    for row in rows {
        let name = escaped(&row.name);
        let why = escaped(row.why.as_deref().unwrap_or_else(|| row.judged.words()));
        let inside = match row.judged {
            Judged::Right => String::new(),
            Judged::Wrong => format!("<failure message=\"{why}\"/>"),
            Judged::NotApplicable | Judged::NotObservable => {
                format!("<skipped message=\"{why}\"/>")
            }
        };
        let _ = writeln!(
            xml,
            "  <testcase classname=\"webhooks\" name=\"{name}\">{inside}</testcase>"
        );
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Most of these no XML may hold, not even escaped.
            char if char.is_control() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_a_case_and_its_text_stays_text() {
        let row = |judged, why: Option<&str>| Row {
            name: "a<b".to_owned(),
            judged,
            why: why.map(str::to_owned),
            replies: Vec::new(),
        };
        let xml = report(&[
            row(Judged::Right, None),
            row(Judged::Wrong, Some("\"x\" & \u{1b}")),
            row(Judged::NotObservable, None),
        ]);
        let lines: Vec<_> = xml.lines().collect();
        assert_eq!(
            lines[1],
            r#"<testsuite name="webhooks conform" tests="3" failures="1" skipped="1">"#
        );
        assert_eq!(
            lines[2],
            r#"  <testcase classname="webhooks" name="a&lt;b"></testcase>"#
        );
        assert!(lines[3].contains("<failure message=\"&quot;x&quot; &amp; \u{fffd}\"/>"));
        assert!(lines[4].contains(r#"<skipped message="not observable"/>"#));
    }
}
