//! What each row of the report says.

use serde::Serialize;
use tower_webhooks_sandbox::faults::{Played, Reply, Verdict};

/// One judged row.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) judged: Judged,
    /// What was wrong, or why it was not judged.
    pub(super) why: Option<String>,
    /// What came back, in order.
    pub(super) replies: Vec<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Judged {
    NotApplicable,
    NotObservable,
    Right,
    Wrong,
}

impl Judged {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NotApplicable => "does not apply",
            Self::NotObservable => "not observable",
            Self::Right => "right",
            Self::Wrong => "WRONG",
        }
    }
}

impl Row {
    /// A row that no answer alone decides.
    pub(super) fn of_effects(name: impl Into<String>, judged: Judged, why: Option<String>) -> Self {
        Self {
            name: name.into(),
            judged,
            why,
            replies: Vec::new(),
        }
    }
}

/// A row for the answers, and one for the effects where there are to be so
/// many.
pub(super) fn rows(played: &Played, effects: Option<u64>) -> Vec<Row> {
    let replies: Vec<Reply> = played.exchanges.iter().map(|one| one.reply).collect();
    let (judged, why) = match &played.verdict {
        Verdict::Right => (Judged::Right, None),
        Verdict::Wrong(expected) => {
            let got: Vec<String> = replies.iter().map(in_words).collect();
            let why = format!(
                "a right receiver {expected}; it answered {}",
                got.join(", ")
            );
            (Judged::Wrong, Some(why))
        }
        Verdict::NotApplicable(why) => (Judged::NotApplicable, Some((*why).to_owned())),
        _ => (Judged::NotObservable, None),
    };
    let mut rows = vec![Row {
        name: played.fault.name().to_owned(),
        judged,
        why,
        replies,
    }];
    if judged == Judged::NotApplicable {
        return rows;
    }
    if let Some(expected) = played.effects {
        let (judged, why) = match effects {
            None => (
                Judged::NotObservable,
                Some("effects need --observe".to_owned()),
            ),
            Some(effects) if effects == u64::from(expected) => (Judged::Right, None),
            Some(effects) => {
                let why = format!("{expected} effects are right; there were {effects}");
                (Judged::Wrong, Some(why))
            }
        };
        let name = format!("{}, effects", played.fault);
        rows.push(Row::of_effects(name, judged, why));
    }
    rows
}

fn in_words(reply: &Reply) -> String {
    match reply {
        Reply::Closed => "nothing".to_owned(),
        Reply::NotAwaited => "(not waited for)".to_owned(),
        Reply::Status(status) => status.to_string(),
        _ => "nothing in time".to_owned(),
    }
}
