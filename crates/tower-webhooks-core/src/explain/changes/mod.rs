//! What is tried, one file a subject, the likeliest first.

mod body;
mod charset;
mod compression;
mod content;
mod form;
mod preset;
mod secret;
mod signature;
mod time;
mod url;

use super::{Cause, case::Case};
pub(super) use secret::Others;
pub(super) use time::{signed_text, units};

/// One thing that may have gone wrong, and how to undo it.
pub(super) struct Change<'c> {
    pub(super) cause: Cause,
    /// What is wrong and what to change, in words.
    pub(super) advice: String,
    /// Whether it is common enough to come together with another one.
    pub(super) is_common: bool,
    undo: Undo<'c>,
}

type Undo<'c> = Box<dyn Fn(&Case) -> Option<Case> + 'c>;

impl<'c> Change<'c> {
    fn new(
        cause: Cause,
        advice: impl Into<String>,
        undo: impl Fn(&Case) -> Option<Case> + 'c,
    ) -> Self {
        Self {
            cause,
            advice: advice.into(),
            is_common: false,
            undo: Box::new(undo),
        }
    }

    const fn common(mut self) -> Self {
        self.is_common = true;
        self
    }

    /// The request with the change; nothing where there is nothing to change.
    pub(super) fn apply(&self, case: &Case) -> Option<Case> {
        (self.undo)(case)
    }
}

/// Everything that is tried, in the order in which it is believed.
pub(super) fn all<'c>(case: &Case, others: &'c Others) -> Vec<Change<'c>> {
    let mut changes = secret::changes(case, others);
    changes.extend(signature::changes(case));
    changes.extend(time::changes(case));
    changes.extend(content::changes(case));
    changes.extend(url::changes(case));
    changes.extend(preset::changes(case));
    changes.extend(body::changes(case));
    changes
}
