//! The character sets that text is usually mistaken for.

/// What to change.
pub(super) const ADVICE: &str = "the body was taken from one character set into another after it \
     was signed, between UTF-8, Latin-1 and UTF-16: verify the bytes as they came, before anything \
     decodes them";

/// The body in the set that it may have been signed in, if it can be.
type Recode = fn(&[u8]) -> Option<Vec<u8>>;

pub(super) const ALL: [Recode; 5] = [
    to_latin_1,
    from_latin_1,
    twice_from_latin_1,
    from_utf_16,
    to_utf_16,
];

fn text(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body)
        .ok()
        .filter(|text| !text.is_ascii())
}

/// Characters up to U+00FF are Latin-1's bytes. What was UTF-8 and was read as
/// Latin-1 becomes UTF-8 again.
fn to_latin_1(body: &[u8]) -> Option<Vec<u8>> {
    let chars = text(body)?.chars();
    chars
        .map(|char| u8::try_from(u32::from(char)).ok())
        .collect()
}

/// Latin-1, or UTF-8 read as it, as UTF-8.
fn from_latin_1(body: &[u8]) -> Option<Vec<u8>> {
    let text: String = body.iter().copied().map(char::from).collect();
    (!body.is_ascii()).then(|| text.into_bytes())
}

fn twice_from_latin_1(body: &[u8]) -> Option<Vec<u8>> {
    to_latin_1(&to_latin_1(body)?)
}

fn from_utf_16(body: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = body.as_chunks::<2>() else {
        return None;
    };
    let units: Vec<u16> = match body {
        [0xff, 0xfe, ..] => pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect(),
        [0xfe, 0xff, ..] => pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect(),
        [0, _, ..] => pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect(),
        _ => pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect(),
    };
    let text = String::from_utf16(&units).ok()?;
    Some(text.trim_start_matches('\u{feff}').as_bytes().to_vec())
}

fn to_utf_16(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_comes_back() {
        let (utf_8, latin_1) = ("é".as_bytes(), &b"\xe9"[..]);
        assert_eq!(to_latin_1(utf_8).as_deref(), Some(latin_1));
        assert_eq!(from_latin_1(latin_1).as_deref(), Some(utf_8));
        assert_eq!(to_latin_1("Ã©".as_bytes()).as_deref(), Some(utf_8));
        assert_eq!(
            twice_from_latin_1("Ã©".as_bytes()).as_deref(),
            Some(latin_1)
        );
        assert_eq!(
            from_utf_16(&to_utf_16(utf_8).unwrap()).as_deref(),
            Some(utf_8)
        );
        assert_eq!(from_utf_16(b"\xfe\xff\0a").as_deref(), Some(&b"a"[..]));
    }

    #[test]
    fn plain_ascii_and_what_does_not_fit_has_no_other_set() {
        assert_eq!(to_latin_1(b"plain"), None);
        assert_eq!(from_latin_1(b"plain"), None);
        assert_eq!(to_latin_1("€".as_bytes()), None);
        assert_eq!(from_utf_16(b"odd"), None);
    }
}
