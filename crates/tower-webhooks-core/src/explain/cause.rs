//! What can be wrong: a closed set.

use std::fmt;

/// What makes a signature fail: a closed set, each with a name for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// The body came in base64, and the signature covers what that holds.
    BodyBase64,
    /// The body is not the one that was signed, in a way that cannot be found out.
    BodyChanged,
    /// The body is empty where it should not be: somebody has read it already. Or
    /// an empty one was signed.
    BodyEmpty,
    /// The body is not as long as `Content-Length` says.
    BodyIncomplete,
    /// The body was parsed and written again: other white space, other order of
    /// keys or other escapes.
    BodyReserialised,
    /// A byte order mark was put before the body or taken off.
    ByteOrderMark,
    /// The body was taken from one character set into another.
    Charset,
    /// The body was compressed or inflated after it was signed.
    Compression,
    /// The content type decides how the body is signed, and is not the one that was
    /// signed for.
    ContentType,
    /// The signature is written in another encoding: hexadecimal, base64, base64url,
    /// or base64 without its padding.
    DigestEncoding,
    /// The form was parsed and written again.
    FormReencoded,
    /// A header or a field that is needed is not there.
    HeaderMissing,
    /// The signature stands in a header of another name.
    HeaderName,
    /// A header or a field that must stand there once is there twice.
    HeaderRepeated,
    /// The secret's text becomes a key in another way: as it is, from base64 or from
    /// hexadecimal.
    KeyEncoding,
    /// The secret's label is not the name that the request gives its key.
    KeyId,
    /// The body's line ends were changed.
    LineEndings,
    /// Another method was signed.
    Method,
    /// Another provider's preset fits the request.
    OtherPreset,
    /// The secret of another endpoint signed it.
    OtherSecret,
    /// The signature lacks its prefix, such as `sha256=`.
    PrefixMissing,
    /// The signature has a prefix that this provider does not write.
    PrefixUnexpected,
    /// The secret before the current one signed it.
    PreviousSecret,
    /// The secret holds escapes, such as `%2B` or `\n`, that were never undone.
    SecretEscaped,
    /// The secret that signed it has expired.
    SecretExpired,
    /// The secret has not the form that this provider's secrets have.
    SecretMalformed,
    /// The secret's prefix, such as `whsec_`, is used as a part of the key, is not,
    /// or what stands behind it is not decoded as it should be.
    SecretPrefix,
    /// Quotes stand around the secret.
    SecretQuoted,
    /// White space, often a line end, stands at an end of the secret, of ours or of
    /// the sender's.
    SecretWhitespace,
    /// Another secret signed it, or a forger did.
    SecretWrong,
    /// What stands in the place of the signature cannot be one.
    SignatureMalformed,
    /// Quotes or white space stand around the signature.
    SignatureQuoted,
    /// A part of the signature is cut off.
    SignatureTruncated,
    /// The same parts are signed in another order or with other text between them,
    /// or some of them are not signed.
    SignedContent,
    /// The time of signing is not in this provider's form.
    TimestampMalformed,
    /// The time is sent but not signed.
    TimestampNotSigned,
    /// The time of signing is too far from the time of checking: a clock is off, or
    /// the request is an old one.
    TimestampOutsideTolerance,
    /// The time is in another unit.
    TimestampUnit,
    /// A line end at the end of the body was added or taken off.
    TrailingNewline,
    /// Another host or path was signed than that of the public URL.
    UrlHost,
    /// The provider signs its URL, and none is configured.
    UrlMissing,
    /// The URL was signed with its port, or without.
    UrlPort,
    /// The URL was signed with its query, or without, or with another spelling of it.
    UrlQuery,
    /// The URL was signed as `http` and configured as `https`, or the reverse.
    UrlScheme,
    /// The URL was signed with a slash at its end, or without.
    UrlTrailingSlash,
    /// Another algorithm signed it.
    WrongAlgorithm,
}

impl Cause {
    /// Every cause, in the order of their names.
    pub const ALL: &'static [Self] = &[
        Self::BodyBase64,
        Self::BodyChanged,
        Self::BodyEmpty,
        Self::BodyIncomplete,
        Self::BodyReserialised,
        Self::ByteOrderMark,
        Self::Charset,
        Self::Compression,
        Self::ContentType,
        Self::DigestEncoding,
        Self::FormReencoded,
        Self::HeaderMissing,
        Self::HeaderName,
        Self::HeaderRepeated,
        Self::KeyEncoding,
        Self::KeyId,
        Self::LineEndings,
        Self::Method,
        Self::OtherPreset,
        Self::OtherSecret,
        Self::PrefixMissing,
        Self::PrefixUnexpected,
        Self::PreviousSecret,
        Self::SecretEscaped,
        Self::SecretExpired,
        Self::SecretMalformed,
        Self::SecretPrefix,
        Self::SecretQuoted,
        Self::SecretWhitespace,
        Self::SecretWrong,
        Self::SignatureMalformed,
        Self::SignatureQuoted,
        Self::SignatureTruncated,
        Self::SignedContent,
        Self::TimestampMalformed,
        Self::TimestampNotSigned,
        Self::TimestampOutsideTolerance,
        Self::TimestampUnit,
        Self::TrailingNewline,
        Self::UrlHost,
        Self::UrlMissing,
        Self::UrlPort,
        Self::UrlQuery,
        Self::UrlScheme,
        Self::UrlTrailingSlash,
        Self::WrongAlgorithm,
    ];

    /// The cause's name in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BodyBase64 => "body-base64",
            Self::BodyChanged => "body-changed",
            Self::BodyEmpty => "body-empty",
            Self::BodyIncomplete => "body-incomplete",
            Self::BodyReserialised => "body-reserialised",
            Self::ByteOrderMark => "byte-order-mark",
            Self::Charset => "charset",
            Self::Compression => "compression",
            Self::ContentType => "content-type",
            Self::DigestEncoding => "digest-encoding",
            Self::FormReencoded => "form-reencoded",
            Self::HeaderMissing => "header-missing",
            Self::HeaderName => "header-name",
            Self::HeaderRepeated => "header-repeated",
            Self::KeyEncoding => "key-encoding",
            Self::KeyId => "key-id",
            Self::LineEndings => "line-endings",
            Self::Method => "method",
            Self::OtherPreset => "other-preset",
            Self::OtherSecret => "other-secret",
            Self::PrefixMissing => "prefix-missing",
            Self::PrefixUnexpected => "prefix-unexpected",
            Self::PreviousSecret => "previous-secret",
            Self::SecretEscaped => "secret-escaped",
            Self::SecretExpired => "secret-expired",
            Self::SecretMalformed => "secret-malformed",
            Self::SecretPrefix => "secret-prefix",
            Self::SecretQuoted => "secret-quoted",
            Self::SecretWhitespace => "secret-whitespace",
            Self::SecretWrong => "secret-wrong",
            Self::SignatureMalformed => "signature-malformed",
            Self::SignatureQuoted => "signature-quoted",
            Self::SignatureTruncated => "signature-truncated",
            Self::SignedContent => "signed-content",
            Self::TimestampMalformed => "timestamp-malformed",
            Self::TimestampNotSigned => "timestamp-not-signed",
            Self::TimestampOutsideTolerance => "timestamp-outside-tolerance",
            Self::TimestampUnit => "timestamp-unit",
            Self::TrailingNewline => "trailing-newline",
            Self::UrlHost => "url-host",
            Self::UrlMissing => "url-missing",
            Self::UrlPort => "url-port",
            Self::UrlQuery => "url-query",
            Self::UrlScheme => "url-scheme",
            Self::UrlTrailingSlash => "url-trailing-slash",
            Self::WrongAlgorithm => "wrong-algorithm",
        }
    }

    /// What is at fault.
    #[must_use]
    pub const fn subject(self) -> Subject {
        match self {
            Self::BodyBase64
            | Self::BodyChanged
            | Self::BodyEmpty
            | Self::BodyIncomplete
            | Self::BodyReserialised
            | Self::ByteOrderMark
            | Self::Charset
            | Self::Compression
            | Self::ContentType
            | Self::FormReencoded
            | Self::LineEndings
            | Self::TrailingNewline => Subject::Body,
            Self::OtherPreset => Subject::Preset,
            Self::KeyEncoding
            | Self::KeyId
            | Self::OtherSecret
            | Self::PreviousSecret
            | Self::SecretEscaped
            | Self::SecretExpired
            | Self::SecretMalformed
            | Self::SecretPrefix
            | Self::SecretQuoted
            | Self::SecretWhitespace
            | Self::SecretWrong => Subject::Secret,
            Self::DigestEncoding
            | Self::HeaderMissing
            | Self::HeaderName
            | Self::HeaderRepeated
            | Self::PrefixMissing
            | Self::PrefixUnexpected
            | Self::SignatureMalformed
            | Self::SignatureQuoted
            | Self::SignatureTruncated
            | Self::SignedContent
            | Self::WrongAlgorithm => Subject::Signature,
            Self::TimestampOutsideTolerance
            | Self::TimestampMalformed
            | Self::TimestampNotSigned
            | Self::TimestampUnit => Subject::Time,
            Self::Method
            | Self::UrlHost
            | Self::UrlMissing
            | Self::UrlPort
            | Self::UrlQuery
            | Self::UrlScheme
            | Self::UrlTrailingSlash => Subject::Url,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a cause is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// The body.
    Body,
    /// The choice of the provider.
    Preset,
    /// The secret, and how it becomes a key.
    Secret,
    /// The signature: where it stands, how it is written, what it covers.
    Signature,
    /// The time of signing.
    Time,
    /// The method and the URL that are signed.
    Url,
}

impl Subject {
    /// Every subject, in the order in which they are looked at.
    pub const ALL: &'static [Self] = &[
        Self::Secret,
        Self::Signature,
        Self::Time,
        Self::Url,
        Self::Preset,
        Self::Body,
    ];

    /// The subject's name in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Preset => "preset",
            Self::Secret => "secret",
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Url => "url",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How sure a finding is, from the surest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Confidence {
    /// Proven: with this change, and no other, the signature matches; or it can be
    /// seen in the request, such as a header that is not there.
    Certain,
    /// Something in the request says so.
    Likely,
    /// Nothing speaks against it.
    Possible,
}

impl Confidence {
    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_cause_has_a_name_of_its_own_in_order() {
        let names: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| {
            name.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        }));
        assert!(names.is_sorted());
        assert!(Cause::ALL.is_sorted());
    }
}
