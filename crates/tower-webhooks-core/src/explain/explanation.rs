//! What was found out.

use std::fmt;

use super::{Cause, Confidence, Subject};
use crate::RejectionKind;

/// What is wrong with a request, and how that is known.
///
/// `Display` writes it in lines: the verdict, each finding with what to change,
/// and what was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub(super) verdict: Verdict,
    pub(super) findings: Vec<Finding>,
    pub(super) tried: Vec<Tried>,
    pub(super) is_complete: bool,
}

/// What a receiver with this set-up does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does not start.
    NotSetUp {
        why: String,
        /// Whether a secret is the reason.
        is_secret: bool,
    },
    Rejected(RejectionKind),
    Verified,
}

impl Explanation {
    /// Whether nothing is wrong: the request verifies as it is.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verdict == Verdict::Verified
    }

    /// Why the request is refused. Nothing where it verifies, and where the
    /// set-up does not start: see [`setup_error`](Self::setup_error).
    #[must_use]
    pub const fn rejection(&self) -> Option<RejectionKind> {
        match self.verdict {
            Verdict::Rejected(kind) => Some(kind),
            Verdict::NotSetUp { .. } | Verdict::Verified => None,
        }
    }

    /// Why the provider and the secrets do not go together, so that no request
    /// could be checked.
    #[must_use]
    pub fn setup_error(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::NotSetUp { why, .. } => Some(why),
            Verdict::Rejected(_) | Verdict::Verified => None,
        }
    }

    /// What may be the cause, the surest first. Empty where the request verifies,
    /// and where the [set-up error](Self::setup_error) is not about a secret.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The surest finding.
    #[must_use]
    pub fn first(&self) -> Option<&Finding> {
        self.findings.first()
    }

    /// How many changes of what were tried.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// Whether everything was tried. It is not where the body is so large that
    /// the bound on the work was reached.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::NotSetUp { why, .. } => writeln!(f, "cannot be checked: {why}")?,
            Verdict::Rejected(kind) => writeln!(f, "rejected: {kind}")?,
            Verdict::Verified => return writeln!(f, "verified"),
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let tried: Vec<_> = self.tried.iter().map(Tried::to_string).collect();
        if !tried.is_empty() {
            writeln!(f, "tried: {}", tried.join(", "))?;
        }
        if !self.is_complete {
            writeln!(
                f,
                "not everything was tried: the body is too large for that"
            )?;
        }
        Ok(())
    }
}

/// One cause, proven or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub(super) cause: Cause,
    pub(super) confidence: Confidence,
    pub(super) advice: String,
    pub(super) together_with: Option<Cause>,
}

impl Finding {
    pub(super) fn new(cause: Cause, confidence: Confidence, advice: impl Into<String>) -> Self {
        Self {
            cause,
            confidence,
            advice: advice.into(),
            together_with: None,
        }
    }

    /// What is wrong.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// How sure that is.
    #[must_use]
    pub const fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// What is wrong and what to change, in words. Holds no secret, no digest and
    /// no part of the body.
    #[must_use]
    pub fn advice(&self) -> &str {
        &self.advice
    }

    /// The other cause, where the signature matches only with both changes: a
    /// finding of its own too.
    #[must_use]
    pub const fn together_with(&self) -> Option<Cause> {
        self.together_with
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.confidence, self.cause)?;
        if let Some(other) = self.together_with {
            write!(f, " (together with {other})")?;
        }
        write!(f, "\n  {}", self.advice)
    }
}

/// How many changes were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tried {
    /// What was changed; nothing where two things were changed together.
    pub subject: Option<Subject>,
    /// In how many ways.
    pub changes: usize,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Some(subject) => write!(f, "{subject} {}", self.changes),
            None => write!(f, "two together {}", self.changes),
        }
    }
}
