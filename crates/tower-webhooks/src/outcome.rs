//! How a handler's run ended.

use std::{error::Error, fmt, time::Duration};

use tower_webhooks_inbox::Work;

use crate::retry::MAX_DELAY;

/// Most bytes of an error's text that are kept: enough for a long chain, little
/// enough that a million dead jobs stay small.
const MAX_CHAIN_BYTES: usize = 4096;

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a handler failed, and what is to happen then.
///
/// Made by `?` from any error, which means *try again* as the handler's
/// [`Retry`](crate::Retry) says. The constructors say otherwise:
///
/// ```
/// use std::time::Duration;
/// use tower_webhooks::HandlerError;
///
/// fn settle(amount: &str) -> Result<u64, HandlerError> {
///     // trying again would not help: dead now
///     let cents = amount.parse().map_err(HandlerError::permanent)?;
///     if cents > 1_000_000 {
///         return Err(HandlerError::retry_after(Duration::from_secs(60), "the ledger is closed"));
///     }
///     Ok(cents)
/// }
///
/// assert!(settle("twelve").unwrap_err().is_permanent());
/// assert_eq!(settle("1000001").unwrap_err().to_string(), "the ledger is closed");
/// ```
///
/// # Why this is not an `Error` itself
///
/// It is made from *every* error by `?`, and Rust allows that blanket `From`
/// only on a type that does not implement [`std::error::Error`] itself. The
/// same holds for `anyhow::Error` and `Box<dyn Error>`, so that `?` does not
/// turn those into a `HandlerError`: write `.map_err(HandlerError::new)?`.
pub struct HandlerError {
    cause: BoxError,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Retry,
    RetryAfter(Duration),
    Die,
}

impl HandlerError {
    /// A failure that is tried again as the handler's retry says. Takes any
    /// error, `anyhow::Error`, a boxed error, or text.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self {
            cause: cause.into(),
            then: Then::Retry,
        }
    }

    /// A failure told in words; tried again as the handler's retry says.
    pub fn msg(text: impl fmt::Display) -> Self {
        Self::new(text.to_string())
    }

    /// A failure that trying again would not mend: the job is dead now.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Self {
            cause: cause.into(),
            then: Then::Die,
        }
    }

    /// A failure that is tried again after `delay`, exactly: no jitter, and
    /// the handler's [`Retry`](crate::Retry) decides only whether an attempt
    /// is left.
    pub fn retry_after(delay: Duration, cause: impl Into<BoxError>) -> Self {
        Self::new(cause).with_retry_after(delay)
    }

    /// The same failure, tried again after `delay`, which above 366 days is
    /// cut to that. Replaces *permanent*.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        Self {
            then: Then::RetryAfter(delay.min(MAX_DELAY)),
            ..self
        }
    }

    /// The same failure, made permanent.
    #[must_use]
    pub fn into_permanent(self) -> Self {
        Self {
            then: Then::Die,
            ..self
        }
    }

    /// Whether the job is to die at once.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.then == Then::Die
    }

    /// The delay that was asked for, if one was.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        match self.then {
            Then::RetryAfter(delay) => Some(delay),
            Then::Retry | Then::Die => None,
        }
    }

    /// The underlying error.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.cause
    }

    /// The error and its sources as one line: joined by `": "`, control
    /// characters escaped, at most 4,096 bytes. What the inbox keeps.
    ///
    /// A source whose text the error before it already ends with is not said
    /// twice.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = String::new();
        let mut before = String::new();
        let mut next: Option<&(dyn Error + 'static)> = Some(&*self.cause);
        while let Some(error) = next {
            let text = error.to_string();
            if before.is_empty() || !before.ends_with(&text) {
                if !line.is_empty() {
                    line.push_str(": ");
                }
                if !push_escaped(&mut line, &text) {
                    break;
                }
            }
            before = text;
            next = error.source();
        }
        line
    }
}

/// Appends `text` as far as the bound allows; false when it was cut.
fn push_escaped(line: &mut String, text: &str) -> bool {
    const CUT: char = '…';

    for letter in text.chars() {
        let room = MAX_CHAIN_BYTES
            .saturating_sub(line.len())
            .saturating_sub(CUT.len_utf8());
        let escaped = letter.is_control().then(|| letter.escape_default());
        let needed = escaped
            .as_ref()
            .map_or_else(|| letter.len_utf8(), ExactSizeIterator::len);
        if needed > room {
            line.push(CUT);
            return false;
        }
        match escaped {
            Some(escape) => line.extend(escape),
            None => line.push(letter),
        }
    }
    true
}

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(cause: E) -> Self {
        Self::new(cause)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError")
            .field("cause", &self.cause)
            .field("then", &self.then)
            .finish()
    }
}

/// A success, with the work that is to be committed together with it.
///
/// The inbox commits the work and the job's completion in one transaction, so
/// that the effect happens exactly once. Which kinds of work there are is the
/// store's matter: each store that offers this has a constructor of its own. A
/// store that does not know the work refuses it, and the job is tried again.
#[derive(Debug, Default)]
#[must_use = "a completion does nothing unless the handler returns it"]
pub struct Completion {
    work: Option<Work>,
    by_statement: bool,
}

impl Completion {
    /// A success without work.
    pub fn new() -> Self {
        Self::default()
    }

    /// A success that commits `work` with it.
    pub fn with_work(work: Work) -> Self {
        Self {
            work: Some(work),
            by_statement: false,
        }
    }

    /// A success that the handler has committed itself, with the statement that the
    /// store documents, such as PostgreSQL's `webhooks.complete`; see the page
    /// `more_than_one_machine` of [the guide](crate::guide), which feature `postgres`
    /// brings. The worker settles nothing then. A job that was not completed runs again
    /// when its lease ends.
    pub fn by_statement() -> Self {
        Self {
            work: None,
            by_statement: true,
        }
    }

    pub(crate) fn is_by_statement(&self) -> bool {
        self.by_statement
    }

    pub(crate) fn into_work(self) -> Option<Work> {
        self.work
    }
}

/// How a handler's run ended: done, or failed. What every return type of a
/// handler becomes.
#[derive(Debug)]
#[must_use = "an outcome does nothing unless the handler returns it"]
pub struct Outcome(pub(crate) Result<Completion, HandlerError>);

impl Outcome {
    /// Done.
    pub fn done() -> Self {
        Self(Ok(Completion::new()))
    }

    /// Failed; the error says what follows.
    pub fn failed(error: impl Into<HandlerError>) -> Self {
        Self(Err(error.into()))
    }
}

impl From<Completion> for Outcome {
    fn from(completion: Completion) -> Self {
        Self(Ok(completion))
    }
}

/// What a handler may return: `()`, [`Completion`], [`Outcome`], or a `Result`
/// of `()` or [`Completion`] whose error becomes a [`HandlerError`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not an outcome",
    note = "a handler returns `()`, `Completion`, `Outcome`, or `Result<(), E>` with `E: Into<HandlerError>`",
    note = "`anyhow::Error` and boxed errors are not: end with `.map_err(HandlerError::new)`"
)]
pub trait IntoOutcome {
    /// The outcome that this value means.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::done()
    }
}

impl IntoOutcome for Completion {
    fn into_outcome(self) -> Outcome {
        Outcome(Ok(self))
    }
}

impl<E: Into<HandlerError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        Outcome(self.map(|()| Completion::new()).map_err(Into::into))
    }
}

impl<E: Into<HandlerError>> IntoOutcome for Result<Completion, E> {
    fn into_outcome(self) -> Outcome {
        Outcome(self.map_err(Into::into))
    }
}

#[cfg(feature = "sqlite")]
impl IntoOutcome for tower_webhooks_sqlite::SqliteWork {
    fn into_outcome(self) -> Outcome {
        Completion::with_work(self.into()).into()
    }
}

#[cfg(feature = "sqlite")]
impl<E: Into<HandlerError>> IntoOutcome for Result<tower_webhooks_sqlite::SqliteWork, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(work) => work.into_outcome(),
            Err(error) => Outcome::failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Repeating(#[source] std::io::Error);

    #[test]
    fn the_chain_joins_sources_and_escapes_control_characters() {
        let error =
            HandlerError::from(Outer(std::io::Error::other("line one\nline two\u{1b}[31m")));
        assert_eq!(error.chain(), r"outer: line one\nline two\u{1b}[31m");
    }

    #[test]
    fn a_source_that_was_said_is_not_said_again() {
        let error = HandlerError::from(Repeating(std::io::Error::other("disk")));
        assert_eq!(error.chain(), "outer: disk");
    }

    #[test]
    fn the_chain_is_bounded_and_says_that_it_was_cut() {
        for text in [
            "é".repeat(5000),
            "\u{7}".repeat(5000),
            "x".repeat(4094) + "yz\n",
        ] {
            let chain = HandlerError::msg(text).chain();
            assert!(chain.len() <= MAX_CHAIN_BYTES, "{}", chain.len());
            assert!(chain.len() > MAX_CHAIN_BYTES - 10, "{}", chain.len());
            assert!(chain.ends_with('…'));
        }
        let whole = "x".repeat(MAX_CHAIN_BYTES - '…'.len_utf8());
        assert_eq!(HandlerError::msg(&whole).chain(), whole);
    }

    #[test]
    fn question_mark_means_retry() {
        fn fails() -> Result<(), HandlerError> {
            Err(std::io::Error::other("away"))?;
            Ok(())
        }
        let error = fails().unwrap_err();
        assert!(!error.is_permanent());
        assert_eq!(error.delay(), None);
        assert_eq!(error.to_string(), "away");
    }

    #[test]
    fn the_last_word_on_what_follows_wins() {
        let delay = Duration::from_secs(5);
        let error = HandlerError::permanent("no").with_retry_after(delay);
        assert_eq!((error.is_permanent(), error.delay()), (false, Some(delay)));
        let never = HandlerError::retry_after(Duration::MAX, "no");
        assert_eq!(never.delay(), Some(MAX_DELAY));
        let error = error.into_permanent();
        assert_eq!((error.is_permanent(), error.delay()), (true, None));
    }
}
