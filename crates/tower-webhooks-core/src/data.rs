//! How the fields of a provider are written in TOML and JSON.

/// A header's name.
pub(crate) mod header_name {
    use http::HeaderName;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(name: &HeaderName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<HeaderName, D::Error> {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|_| D::Error::custom(format!("{text:?} is not a header name")))
    }
}

/// A header's name that may be absent.
pub(crate) mod optional_header_name {
    use http::HeaderName;
    use serde::{Deserializer, Serialize, Serializer};

    use super::header_name;

    pub(crate) fn serialize<S: Serializer>(
        name: &Option<HeaderName>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        name.as_ref().map(HeaderName::as_str).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<HeaderName>, D::Error> {
        header_name::deserialize(from).map(Some)
    }
}

/// A duration that may be switched off, in whole seconds or `"insecure-any-age"`.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    const OFF: &str = "insecure-any-age";

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Word(String),
    }

    pub(crate) fn serialize<S: Serializer>(
        tolerance: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match tolerance {
            Some(tolerance) => Written::Seconds(tolerance.as_secs()),
            None => Written::Word(OFF.to_owned()),
        }
        .serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        match Written::deserialize(from)? {
            Written::Seconds(seconds) => Ok(Some(Duration::from_secs(seconds))),
            Written::Word(word) if word == OFF => Ok(None),
            Written::Word(word) => Err(D::Error::custom(format!(
                "{word:?} is neither a number of seconds nor {OFF:?}"
            ))),
        }
    }
}

/// Durations in whole seconds.
pub(crate) mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        list.iter()
            .map(Duration::as_secs)
            .collect::<Vec<_>>()
            .serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Duration>, D::Error> {
        let list = Vec::<u64>::deserialize(from)?;
        Ok(list.into_iter().map(Duration::from_secs).collect())
    }
}

/// A duration that may be absent, in whole seconds.
pub(crate) mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(|duration| duration.as_secs()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<u64>::deserialize(from)?;
        Ok(seconds.map(Duration::from_secs))
    }
}

/// A duration in whole milliseconds.
pub(crate) mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
