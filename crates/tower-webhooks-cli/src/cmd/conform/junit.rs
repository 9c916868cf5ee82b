//! The report in the XML that JUnit has made common.
//!
//! Written by hand: it is a list of one element, and the crates for it bring
//! several others.

use std::fmt::Write as _;

use tower_webhooks_sandbox::faults::Fault;

use super::{
    crash,
    judge::{Judged, Row},
};

/// The rows, and where judging broke off one error with the reason, and what was never
/// reached as skipped.
pub(super) fn report(rows: &[Row], broken: Option<&str>) -> String {
    let count = |judged: &[Judged]| {
        let counted = rows.iter().filter(|row| judged.contains(&row.judged));
        counted.count()
    };
    let unreached = broken.map_or_else(Vec::new, |_| unreached(rows));
    let errors = usize::from(broken.is_some());
    let all = rows.len() + unreached.len() + errors;
    let wrong = count(&[Judged::Wrong]);
    let skipped = count(&[Judged::NotApplicable, Judged::NotObservable]) + unreached.len();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuite name=\"webhooks conform\" tests=\"{all}\" failures=\"{wrong}\" errors=\"{errors}\" skipped=\"{skipped}\">"
    );
    for row in rows {
        let why = escaped(row.why.as_deref().unwrap_or_else(|| row.judged.words()));
        let inside = match row.judged {
            Judged::Right => String::new(),
            Judged::Wrong => format!("<failure message=\"{why}\"/>"),
            Judged::NotApplicable | Judged::NotObservable => {
                format!("<skipped message=\"{why}\"/>")
            }
        };
        add_case(&mut xml, &row.name, &inside);
    }
    if let Some(why) = broken {
        let why = escaped(why);
        add_case(&mut xml, "conform", &format!("<error message=\"{why}\"/>"));
        for name in unreached {
            let skipped = format!("<skipped message=\"never reached: {why}\"/>");
            add_case(&mut xml, name, &skipped);
        }
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn add_case(xml: &mut String, name: &str, inside: &str) {
    let name = escaped(name);
    let _ = writeln!(
        xml,
        "  <testcase classname=\"webhooks\" name=\"{name}\">{inside}</testcase>"
    );
}

/// The names that have no row. Whether a fault would have had a row for its effects shows
/// only when it is played.
fn unreached(rows: &[Row]) -> Vec<&'static str> {
    let faults = Fault::ALL.into_iter().map(Fault::name);
    let names = faults.chain(crash::ROWS);
    let is_unreached = |name: &&str| rows.iter().all(|row| row.name != *name);
    names.filter(is_unreached).collect()
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
        let rows = [
            row(Judged::Right, None),
            row(Judged::Wrong, Some("\"x\" & \u{1b}")),
            row(Judged::NotObservable, None),
        ];
        let xml = report(&rows, None);
        let lines: Vec<_> = xml.lines().collect();
        assert_eq!(
            lines[1],
            r#"<testsuite name="webhooks conform" tests="3" failures="1" errors="0" skipped="1">"#
        );
        assert_eq!(
            lines[2],
            r#"  <testcase classname="webhooks" name="a&lt;b"></testcase>"#
        );
        assert!(lines[3].contains("<failure message=\"&quot;x&quot; &amp; \u{fffd}\"/>"));
        assert!(lines[4].contains(r#"<skipped message="not observable"/>"#));
    }

    #[test]
    fn where_judging_broke_off_is_an_error_and_what_was_never_reached_skipped() {
        let row = |name: &str| Row::of_effects(name, Judged::Right, None);
        let xml = report(&[row("wrong-secret")], Some("<away>"));
        // All faults, two crashes, and the whole.
        let all = Fault::ALL.len() + 3;
        let skipped = all - 2;
        let suite = format!(r#"tests="{all}" failures="0" errors="1" skipped="{skipped}""#);
        assert!(xml.contains(&suite), "{xml}");
        assert_eq!(xml.matches("<testcase ").count(), all);
        let error = r#"name="conform"><error message="&lt;away&gt;"/></testcase>"#;
        assert!(xml.contains(error), "{xml}");
        assert_eq!(xml.matches("<error ").count(), 1);
        for name in ["duplicate", crash::ROWS[0]] {
            let never = r#"<skipped message="never reached: &lt;away&gt;"/></testcase>"#;
            assert!(xml.contains(&format!(r#"name="{name}">{never}"#)), "{xml}");
        }
        assert_eq!(xml.matches("never reached").count(), skipped);

        let names = Fault::ALL.into_iter().map(Fault::name).chain(crash::ROWS);
        let whole: Vec<_> = names.map(row).collect();
        let xml = report(&whole, Some("the output was closed"));
        assert!(xml.contains(r#"name="conform"><error message="the output was closed"/>"#));
        assert!(!xml.contains("never reached"));
        assert!(!report(&whole, None).contains("<error "));
    }
}
