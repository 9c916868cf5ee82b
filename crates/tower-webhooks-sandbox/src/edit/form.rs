//! Edits of `application/x-www-form-urlencoded`.

use form_urlencoded::{Serializer, parse};

/// The form with another value of its first field of that name; nothing where
/// it has none.
pub(crate) fn replaced(
    form: &str,
    name: &str,
    new: impl FnOnce(&str) -> Option<String>,
) -> Option<String> {
    let mut fields: Vec<String> = form.split('&').map(str::to_owned).collect();
    let (field, old) = fields.iter_mut().find_map(|field| {
        let (_, old) = parse(field.as_bytes()).find(|(known, _)| known == name)?;
        let old = old.into_owned();
        Some((field, old))
    })?;
    *field = one(name, &new(&old)?);
    Some(fields.join("&"))
}

/// The form with one more field at its end.
pub(crate) fn with_field(form: &str, name: &str, value: &str) -> String {
    let and = if form.is_empty() { "" } else { "&" };
    format!("{form}{and}{}", one(name, value))
}

fn one(name: &str, value: &str) -> String {
    Serializer::new(String::new())
        .append_pair(name, value)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_fields_keep_their_spelling() {
        let form = "To=%2b1 5&&Sid=SM1&Sid=SM2";
        let edited = replaced(form, "Sid", |old| Some(format!("{old}&+"))).unwrap();
        assert_eq!(edited, "To=%2b1 5&&Sid=SM1%26%2B&Sid=SM2");
        assert_eq!(replaced(form, "From", |_| Some(String::new())), None);
        assert_eq!(replaced(form, "Sid", |_| None), None);
    }

    #[test]
    fn a_field_is_added_at_the_end() {
        assert_eq!(with_field("", "a", "1"), "a=1");
        assert_eq!(with_field("b=", "a", " é"), "b=&a=+%C3%A9");
    }
}
