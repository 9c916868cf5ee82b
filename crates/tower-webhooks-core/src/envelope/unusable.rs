//! Why an authentic body cannot be used.

/// Why an authentic body cannot be used. Holds no part of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The body holds several events: ask for its
    /// [items](crate::Delivery::items).
    #[error("the body holds several events")]
    Batch,
    /// A field of the envelope stands in the body twice: two readers could
    /// see two events.
    #[error("a field of the envelope stands in the body twice")]
    DuplicateField,
    /// The event id is not text of 1 to 255 printable ASCII characters.
    #[error("the event id is not 1 to 255 printable ASCII characters")]
    IdMalformed,
    /// The envelope has no id although this provider sends one.
    #[error("the envelope has no event id")]
    IdMissing,
    /// The body is not a form in UTF-8 of at most 1,000 fields.
    #[error("the body is not a form")]
    NotAForm,
    /// The body has no list where its events should lie.
    #[error("the body has no list of events")]
    NotAList,
    /// The body could not be inflated: its coding is not declared, it is not one
    /// whole stream, or it becomes too large.
    #[error("the body cannot be inflated")]
    NotInflated,
    /// The body is JSON, but no object that could hold an envelope.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The body is not one JSON document in UTF-8, nor a form that has one where it
    /// may have one.
    #[error("the body is not one JSON document")]
    NotJson,
    /// The body holds more than 10,000 events, or so many that what surrounds them,
    /// kept with each, would be more than 8 MiB.
    #[error("the body holds more events than can be kept one by one")]
    TooManyItems,
    /// The event type is not text of 1 to 255 printable ASCII characters.
    #[error("the event type is not 1 to 255 printable ASCII characters")]
    TypeMalformed,
    /// The envelope names no event type.
    #[error("the envelope names no event type")]
    TypeMissing,
    /// The body could not be decrypted. Why not is not said.
    #[error("the body cannot be decrypted")]
    Undecryptable,
}

impl Unusable {
    /// The reason's name in the inbox and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::DuplicateField => "duplicate-field",
            Self::IdMalformed => "id-malformed",
            Self::IdMissing => "id-missing",
            Self::NotAForm => "not-a-form",
            Self::NotAList => "not-a-list",
            Self::NotAnObject => "not-an-object",
            Self::NotInflated => "not-inflated",
            Self::NotJson => "not-json",
            Self::TooManyItems => "too-many-items",
            Self::TypeMalformed => "type-malformed",
            Self::TypeMissing => "type-missing",
            Self::Undecryptable => "undecryptable",
        }
    }
}
