use std::fs;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::failure::Failure;

/// The headers of a request.
///
/// Taken as text and parsed here: an error of the parser of arguments would
/// show the value, which may be a token.
#[derive(Debug, clap::Args)]
pub(crate) struct HeaderArgs {
    /// A header, or a file with one in each line, as `sign` prints them; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE|@FILE")]
    headers: Vec<String>,
}

impl HeaderArgs {
    /// The headers in their order; a repeated one stays repeated.
    pub(crate) fn parse(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for (index, text) in self.headers.iter().enumerate() {
            if let Some(path) = text.strip_prefix('@') {
                let lines = fs::read_to_string(path)
                    .map_err(|error| Failure::usage(format!("{path} cannot be read: {error}")))?;
                for (index, line) in lines.lines().enumerate() {
                    if !line.trim().is_empty() {
                        let (name, value) = parse(line, &format!("line {} of {path}", index + 1))?;
                        headers.append(name, value);
                    }
                }
            } else {
                let (name, value) = parse(text, &format!("--header number {}", index + 1))?;
                headers.append(name, value);
            }
        }
        Ok(headers)
    }

    /// The headers, none of them twice.
    pub(crate) fn parse_single(&self) -> Result<HeaderMap, Failure> {
        let headers = self.parse()?;
        match headers
            .keys()
            .find(|name| headers.get_all(*name).iter().count() > 1)
        {
            Some(name) => Err(Failure::usage(format!("the header {name} is given twice"))),
            None => Ok(headers),
        }
    }
}

/// One header. `place` says which one it is, since its value stays untold.
fn parse(text: &str, place: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = |what| Failure::usage(format!("{place} {what}: write it as 'name: value'"));
    let (name, value) = text.split_once(':').ok_or_else(|| wrong("has no colon"))?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| wrong("does not begin with the name of a header"))?;
    let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes())
        .map_err(|_| wrong("has a value that cannot stand in a header"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn given<const N: usize>(headers: [&str; N]) -> HeaderArgs {
        HeaderArgs {
            headers: headers.map(str::to_owned).into(),
        }
    }

    #[test]
    fn a_value_keeps_its_colons_and_loses_its_outer_spaces() {
        let headers = given(["X-Time:  10:30 ", "x-empty:"]).parse().unwrap();
        assert_eq!(headers["x-time"], "10:30");
        assert_eq!(headers["x-empty"], "");
    }

    #[test]
    fn a_file_gives_one_header_a_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"a: 1\r\n\nb: 2\n").unwrap();
        let path = format!("@{}", file.path().display());
        let headers = given([path.as_str(), "a: 3"]).parse().unwrap();
        let twice: Vec<_> = headers.get_all("a").iter().collect();
        assert_eq!(twice, ["1", "3"]);
        assert_eq!(headers["b"], "2");
    }

    #[test]
    fn a_mistake_is_located_without_its_value() {
        for text in [
            "x-key token-4711",
            "x key: token-4711",
            "x-key: token-4711\u{0}",
        ] {
            let error = given(["a: 1", text]).parse().unwrap_err();
            let line = error.line().unwrap();
            assert!(line.starts_with("--header number 2 "), "{line}");
            assert!(!line.contains("4711"), "{line}");
        }
    }

    #[test]
    fn signing_takes_no_header_twice() {
        assert!(given(["a: 1", "b: 1"]).parse_single().is_ok());
        let error = given(["a: 1", "A: 2"]).parse_single().unwrap_err();
        assert_eq!(error.line().unwrap(), "the header a is given twice");
    }
}
