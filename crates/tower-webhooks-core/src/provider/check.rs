//! What makes a provider's description contradict itself.

use http::HeaderValue;

use crate::{
    Provider,
    scheme::{Layout, Part, Scheme},
    timestamp::TimestampPlace,
};

/// Why a provider's description cannot be used. Says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ProviderError(#[from] Mistake);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("the answer has status {0}: an acknowledgement must be 2xx")]
    AnswerStatus(u16),
    #[error("{0:?} cannot be the content type of an answer")]
    ContentType(String),
    #[error("{0:?} does not name a header")]
    HeaderName(String),
    #[error("the provider's name {0:?} is not lower-case letters, digits and hyphens")]
    Name(String),
    #[error("nothing of the request is signed: name its parts, of which one is the body")]
    NothingSigned,
    #[error(
        "{0:?} is no place: a pointer into the body begins with a slash, a header is written header:NAME"
    )]
    Place(String),
    #[error("the signature header holds no fields, so the timestamp cannot be one of them")]
    TimestampField,
    #[error("the timestamp is not part of what is signed: it would prove nothing")]
    TimestampNotSigned,
    #[error("what is signed has a timestamp, but it is not said where it stands")]
    TimestampPlace,
    #[error("the envelope names more than 12 places in the body")]
    TooManyPlaces,
}

impl Provider {
    /// Checks that the description does not contradict itself.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], which says what to change.
    pub fn check(&self) -> Result<(), ProviderError> {
        let named = !self.name().is_empty()
            && self
                .name()
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !named {
            return Err(Mistake::Name(self.name().to_string()).into());
        }
        let status = self.answers().acknowledge.status;
        if !(200..300).contains(&status) {
            return Err(Mistake::AnswerStatus(status).into());
        }
        for answer in [&self.answers().acknowledge, &self.answers().refuse] {
            if let Some(content_type) = &answer.content_type
                && HeaderValue::from_str(content_type).is_err()
            {
                return Err(Mistake::ContentType(content_type.to_string()).into());
            }
        }
        if let Some(mistake) = self.envelope().mistake() {
            return Err(mistake.clone().into());
        }
        let Scheme::Hmac(scheme) = self.scheme() else {
            return Ok(());
        };
        if !scheme.signed.contains(&Part::Body) {
            return Err(Mistake::NothingSigned.into());
        }
        let signs_time = scheme.signed.contains(&Part::Timestamp);
        match &scheme.timestamp {
            None if signs_time => Err(Mistake::TimestampPlace.into()),
            Some(_) if !signs_time => Err(Mistake::TimestampNotSigned.into()),
            Some(timestamp)
                if matches!(timestamp.place, TimestampPlace::Field(_))
                    && !matches!(scheme.layout, Layout::Fields { .. }) =>
            {
                Err(Mistake::TimestampField.into())
            }
            _ => Ok(()),
        }
    }
}
