//! Text from elsewhere, made fit for one line of a terminal, and the nearest
//! of known names.

/// How much of a text from elsewhere is shown in a line.
const MAX_CHARS: usize = 400;

/// How much of one is shown in a table's cell; an id fits.
const MAX_CELL_CHARS: usize = 100;

/// The text in one line: control characters escaped, so that it cannot steer a
/// terminal, and cut where it grows long.
pub(crate) fn one_line(text: &str) -> String {
    fit(text, MAX_CHARS)
}

/// The same for a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    fit(text, MAX_CELL_CHARS)
}

/// All of the text, in its own lines, its other control characters escaped.
pub(crate) fn many_lines(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for char in text.chars() {
        push(&mut lines, char, matches!(char, '\n' | '\t'));
    }
    lines
}

fn fit(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    for (index, char) in text.chars().enumerate() {
        if index == max_chars {
            line.push('…');
            break;
        }
        push(&mut line, char, false);
    }
    line
}

fn push(text: &mut String, char: char, as_it_is: bool) {
    if char.is_control() && !as_it_is {
        text.extend(char.escape_default());
    } else {
        text.push(char);
    }
}

/// The known name that is most like a word, if one is.
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(one_line("a\r\n\u{1b}[31mb"), r"a\r\n\u{1b}[31mb");
        assert_eq!(one_line(&"é".repeat(400)), "é".repeat(400));
        assert_eq!(one_line(&"é".repeat(401)), format!("{}…", "é".repeat(400)));
    }

    #[test]
    fn a_cell_is_shorter_and_many_lines_are_whole() {
        assert_eq!(cell(&"é".repeat(101)), format!("{}…", "é".repeat(100)));
        assert_eq!(cell("a\nb"), r"a\nb");
        let long = "é\n".repeat(1000);
        assert_eq!(many_lines(&long), long);
        assert_eq!(many_lines("a\r\n\tb\u{1b}[2J"), "a\\r\n\tb\\u{1b}[2J");
    }

    #[test]
    fn only_a_name_that_is_alike_is_suggested() {
        let known = ["cryptomate", "m2m", "mppcash"];
        assert_eq!(nearest("mpcash", known.into_iter()), Some("mppcash"));
        assert_eq!(nearest("stripe", known.into_iter()), None);
    }
}
