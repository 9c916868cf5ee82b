//! Text from elsewhere, made fit for one line of a terminal, and the nearest
//! of known names.

/// How much of a text from elsewhere is shown.
const MAX_CHARS: usize = 400;

/// The text in one line: control characters escaped, so that it cannot steer a
/// terminal, and cut where it grows long.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (index, char) in text.chars().enumerate() {
        if index == MAX_CHARS {
            line.push('…');
            break;
        }
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    line
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
    fn only_a_name_that_is_alike_is_suggested() {
        let known = ["cryptomate", "m2m", "mppcash"];
        assert_eq!(nearest("mpcash", known.into_iter()), Some("mppcash"));
        assert_eq!(nearest("stripe", known.into_iter()), None);
    }
}
