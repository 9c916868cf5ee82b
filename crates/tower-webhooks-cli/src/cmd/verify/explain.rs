//! `--explain`: why a signature fails.

use std::{io::Write, path::PathBuf};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::Serialize;
use tower_webhooks_core::{
    Head, Provider, Secret, Secrets, Text,
    explain::{Confidence, Explainer, Explanation, Finding, Tried},
};

use crate::{args::read_secret, failure::Failure};

/// What is asked besides the verdict.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Find out why it fails, by trying what usually goes wrong; for requests of your own
    #[arg(long)]
    pub(super) explain: bool,

    /// A secret from before, to be found out if the sender still uses it; may be repeated
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        requires = "explain"
    )]
    previous_secret: Vec<String>,

    /// A file that holds one
    #[arg(long, value_name = "FILE", requires = "explain")]
    previous_secret_file: Vec<PathBuf>,

    /// A file with the secret of another endpoint, to be found out if they are mixed up
    #[arg(long, value_name = "FILE", requires = "explain")]
    other_secret_file: Vec<PathBuf>,
}

/// A request as it was given.
pub(super) struct Given<'g> {
    pub(super) method: &'g Method,
    pub(super) uri: &'g Uri,
    pub(super) public_url: Option<Text>,
    pub(super) headers: &'g HeaderMap,
    pub(super) body: &'g Bytes,
    pub(super) now: std::time::SystemTime,
}

impl ExplainArgs {
    /// Why the request fails, if it does.
    pub(super) fn explain(
        &self,
        provider: &Provider,
        secrets: &Secrets,
        given: &Given<'_>,
    ) -> Result<Explanation, Failure> {
        let mut explainer =
            Explainer::new(provider.clone(), secrets).with_public_url(given.public_url.clone());
        for text in &self.previous_secret {
            explainer = explainer.add_previous(secret(text.clone())?);
        }
        for path in &self.previous_secret_file {
            explainer = explainer.add_previous(secret(read_secret(path)?)?);
        }
        for path in &self.other_secret_file {
            let name = path.display().to_string();
            explainer = explainer.add_other(name, secret(read_secret(path)?)?);
        }
        let head = Head::new(given.method, given.uri, given.headers);
        Ok(explainer.explain(head, given.body, given.now))
    }
}

fn secret(text: String) -> Result<Secret, Failure> {
    Secret::new(text).map_err(Failure::usage)
}

/// Writes what was found out, and is the failure that the command ends with.
pub(super) fn report(
    provider: &Provider,
    explanation: &Explanation,
    as_json: bool,
    out: &mut impl Write,
) -> Result<Failure, Failure> {
    if as_json {
        serde_json::to_writer(&mut *out, &Report::new(provider, explanation))?;
        writeln!(out)?;
    } else {
        write(explanation, out)?;
    }
    Ok(Failure::failed(match explanation.first() {
        Some(first) if first.confidence() == Confidence::Certain => {
            format!("it does not verify because of this: {}", first.cause())
        }
        Some(first) => format!(
            "it does not verify; {}: {}",
            first.confidence(),
            first.cause()
        ),
        None => "it does not verify".to_owned(),
    }))
}

fn write(explanation: &Explanation, out: &mut impl Write) -> Result<(), Failure> {
    match (explanation.rejection(), explanation.setup_error()) {
        (Some(kind), _) => writeln!(out, "rejected: {kind}")?,
        (None, Some(why)) => writeln!(out, "cannot be checked: {why}")?,
        (None, None) => {}
    }
    for finding in explanation.findings() {
        writeln!(out, "\ncause: {}", finding.cause())?;
        if let Some(other) = finding.together_with() {
            writeln!(out, "together with: {other}")?;
        }
        writeln!(out, "confidence: {}", finding.confidence())?;
        writeln!(
            out,
            "change: {}",
            crate::words::many_lines(finding.advice())
        )?;
    }
    let tried: Vec<_> = explanation.tried().iter().map(Tried::to_string).collect();
    if !tried.is_empty() {
        writeln!(out, "\ntried: {}", tried.join(", "))?;
    }
    if !explanation.is_complete() {
        writeln!(
            out,
            "not everything was tried: the body is too large for that"
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'r> {
    verified: bool,
    provider: &'r str,
    rejection: Option<&'static str>,
    /// Why no request can be checked with these secrets.
    setup_error: Option<&'r str>,
    findings: Vec<Found<'r>>,
    tried: Vec<Count>,
    /// Whether all of it was tried.
    complete: bool,
}

#[derive(Serialize)]
struct Found<'r> {
    cause: &'static str,
    confidence: &'static str,
    /// The other cause, where both are needed.
    together_with: Option<&'static str>,
    change: &'r str,
}

#[derive(Serialize)]
struct Count {
    /// Nothing where two things were changed together.
    subject: Option<&'static str>,
    changes: usize,
}

impl<'r> Report<'r> {
    fn new(provider: &'r Provider, explanation: &'r Explanation) -> Self {
        Self {
            verified: explanation.is_verified(),
            provider: provider.name(),
            rejection: explanation.rejection().map(|kind| kind.as_str()),
            setup_error: explanation.setup_error(),
            findings: explanation.findings().iter().map(Found::new).collect(),
            tried: explanation.tried().iter().map(Count::new).collect(),
            complete: explanation.is_complete(),
        }
    }
}

impl<'r> Found<'r> {
    fn new(finding: &'r Finding) -> Self {
        Self {
            cause: finding.cause().as_str(),
            confidence: finding.confidence().as_str(),
            together_with: finding.together_with().map(|cause| cause.as_str()),
            change: finding.advice(),
        }
    }
}

impl Count {
    fn new(tried: &Tried) -> Self {
        Self {
            subject: tried.subject.map(|subject| subject.as_str()),
            changes: tried.changes,
        }
    }
}
