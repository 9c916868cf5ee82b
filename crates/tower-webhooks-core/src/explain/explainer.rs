//! Tries one change after another.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::Request;

use super::{
    Cause, Confidence, Explanation, Finding, Subject, Tried,
    case::{Case, MAX_HASHED_BYTES, MAX_TRIALS},
    changes::{self, Change, Others},
    explanation::Verdict,
    hints,
};
use crate::{Head, Provider, Secret, Secrets, Text};

/// Finds out why requests of one provider do not verify.
///
/// Set up like a [`Verifier`](crate::Verifier); see the [module](super) for what
/// it is not for.
#[derive(Debug, Clone)]
#[must_use = "it explains nothing until it is given a request"]
pub struct Explainer {
    provider: Arc<Provider>,
    secrets: Secrets,
    public_url: Option<Text>,
    others: Others,
}

impl Explainer {
    /// Explains for a provider with the secrets that the receiver uses.
    pub fn new(provider: impl Into<Arc<Provider>>, secrets: &Secrets) -> Self {
        Self {
            provider: provider.into(),
            secrets: secrets.clone(),
            public_url: None,
            others: Others::default(),
        }
    }

    /// Sets the public URL as the receiver has it configured, for schemes that sign
    /// it: without its query, which is taken from the request. The default is none.
    pub fn with_public_url(mut self, url: Option<Text>) -> Self {
        self.public_url = url;
        self
    }

    /// Adds a secret from before the receiver's, to be found out if the sender
    /// still uses it.
    pub fn add_previous(mut self, secret: Secret) -> Self {
        self.others.previous.push(secret);
        self
    }

    /// Adds the secret of another endpoint, by a name that may be shown, to be
    /// found out if the two are mixed up.
    pub fn add_other(mut self, name: impl Into<Text>, secret: Secret) -> Self {
        self.others.named.push((name.into(), secret));
        self
    }

    /// What is wrong with a whole request that was received at `now`. Where its
    /// target is a whole URL and no public URL is set, that is the one.
    #[must_use]
    pub fn explain_request<B: AsRef<[u8]>>(
        &self,
        request: &Request<B>,
        now: SystemTime,
    ) -> Explanation {
        let uri = request.uri();
        let target = uri.scheme().and_then(|_| {
            let whole = uri.to_string();
            whole.split('?').next().map(Text::from)
        });
        let public_url = self.public_url.clone().or(target);
        let head = Head::new(request.method(), uri, request.headers());
        let body = Bytes::copy_from_slice(request.body().as_ref());
        let explainer = self.clone().with_public_url(public_url);
        explainer.explain(head, &body, now)
    }

    /// What is wrong with a request that was received at `now`.
    #[must_use]
    pub fn explain(&self, head: Head<'_>, body: &Bytes, now: SystemTime) -> Explanation {
        let case = Case {
            provider: Arc::clone(&self.provider),
            secrets: self.secrets.iter().cloned().collect(),
            method: head.method.clone(),
            public_url: self.public_url.as_ref().map(Text::to_string),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
            body: body.clone(),
            now,
        };
        let verdict = case.verdict();
        let has_no_cause = match verdict {
            Verdict::NotSetUp { is_secret, .. } => !is_secret,
            Verdict::Rejected(_) => false,
            Verdict::Verified => true,
        };
        if has_no_cause {
            return Explanation {
                verdict,
                findings: Vec::new(),
                tried: Vec::new(),
                is_complete: true,
            };
        }
        let mut search = Search::default();
        let findings = match hints::of_matching(&case, &verdict) {
            Some(finding) => vec![finding],
            None => search.findings(&case, &verdict, &self.others),
        };
        Explanation {
            verdict,
            findings,
            tried: search.tried(),
            is_complete: !search.is_exhausted,
        }
    }
}

/// What was tried, and what may still be.
#[derive(Default)]
struct Search {
    singles: BTreeMap<Subject, usize>,
    pairs: usize,
    trials: usize,
    hashed_bytes: usize,
    is_exhausted: bool,
}

impl Search {
    fn findings(&mut self, case: &Case, verdict: &Verdict, others: &Others) -> Vec<Finding> {
        let changes = changes::all(case, others);
        let mut matched: Vec<(&Change<'_>, Case)> = Vec::new();
        for change in &changes {
            if self.is_exhausted {
                break;
            }
            let Some(changed) = change.apply(case) else {
                continue;
            };
            let tried = self.singles.entry(change.cause.subject()).or_default();
            *tried = tried.saturating_add(1);
            if let Some(signed) = self.signed(changed)
                && !matched.iter().any(|known| is_known(known, change, &signed))
            {
                matched.push((change, signed));
            }
        }
        let mut findings = match matched.first() {
            Some(_) => of_singles(&matched),
            None => match self.pair(case, &changes) {
                Some((first, second, signed)) => {
                    let findings = of_pair(first, second);
                    matched.push((first, signed));
                    findings
                }
                None => return hints::unproven(case, verdict),
            },
        };
        if let Some((_, signed)) = matched.first()
            && let Verdict::Rejected(kind) = signed.verdict()
        {
            findings.extend(hints::of_time(signed, kind, Confidence::Certain));
        }
        findings
    }

    /// The first two of the common changes with which the signature matches.
    fn pair<'c>(
        &mut self,
        case: &Case,
        changes: &'c [Change<'c>],
    ) -> Option<(&'c Change<'c>, &'c Change<'c>, Case)> {
        let mut common = changes.iter().filter(|change| change.is_common);
        while let Some(first) = common.next() {
            let Some(once) = first.apply(case) else {
                continue;
            };
            for second in common.clone().filter(|second| second.cause != first.cause) {
                let Some(twice) = second.apply(&once) else {
                    continue;
                };
                if self.is_exhausted {
                    return None;
                }
                self.pairs = self.pairs.saturating_add(1);
                if let Some(signed) = self.signed(twice) {
                    return Some((first, second, signed));
                }
            }
        }
        None
    }

    /// The case with the one secret that explains its signature, within the bounds.
    fn signed(&mut self, case: Case) -> Option<Case> {
        self.trials = self.trials.saturating_add(1);
        self.hashed_bytes = self.hashed_bytes.saturating_add(case.hashed_bytes());
        if self.trials > MAX_TRIALS || self.hashed_bytes > MAX_HASHED_BYTES {
            self.is_exhausted = true;
            return None;
        }
        let secret = case.secrets.get(case.signed_by()?)?.clone();
        Some(Case {
            secrets: vec![secret],
            ..case
        })
    }

    fn tried(&self) -> Vec<Tried> {
        let of = |subject: &Subject| Tried {
            subject: Some(*subject),
            changes: self.singles.get(subject).copied().unwrap_or_default(),
        };
        let pairs = Tried {
            subject: None,
            changes: self.pairs,
        };
        let all = Subject::ALL.iter().map(of).chain([pairs]);
        all.filter(|tried| tried.changes > 0).collect()
    }
}

/// Whether a change comes to the same as one that matched before. Presets are
/// told apart by their names all the same.
fn is_known(known: &(&Change<'_>, Case), change: &Change<'_>, signed: &Case) -> bool {
    let both_presets = [known.0.cause, change.cause] == [Cause::OtherPreset; 2];
    !both_presets && known.1.amounts_to(signed)
}

/// One cause is certain. Several, which do not amount to the same, are not: any
/// of them would do.
fn of_singles(matched: &[(&Change<'_>, Case)]) -> Vec<Finding> {
    let is_preset = |cause| cause == Cause::OtherPreset;
    let by_preset = matched.iter().any(|(change, _)| is_preset(change.cause));
    let mut findings: Vec<Finding> = Vec::new();
    for (change, _) in matched {
        // A preset says of each part of a description what it is.
        if by_preset && !is_preset(change.cause) && is_of_description(change.cause) {
            continue;
        }
        match findings
            .iter_mut()
            .find(|known| known.cause == change.cause)
        {
            None => findings.push(Finding::new(
                change.cause,
                Confidence::Certain,
                change.advice.clone(),
            )),
            Some(known) if is_preset(known.cause) => {
                known.advice = format!("{}; or else: {}", known.advice, change.advice);
            }
            Some(_) => {}
        }
    }
    if findings.len() > 1 {
        for finding in &mut findings {
            finding.confidence = Confidence::Likely;
        }
    }
    findings
}

/// Whether a cause is about how the provider is described.
fn is_of_description(cause: Cause) -> bool {
    matches!(cause.subject(), Subject::Signature | Subject::Time)
        || matches!(cause, Cause::KeyEncoding | Cause::SecretPrefix)
}

fn of_pair(first: &Change<'_>, second: &Change<'_>) -> Vec<Finding> {
    let finding = |one: &Change<'_>, other: &Change<'_>| Finding {
        together_with: Some(other.cause),
        ..Finding::new(one.cause, Confidence::Certain, one.advice.clone())
    };
    vec![finding(first, second), finding(second, first)]
}
