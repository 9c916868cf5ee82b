//! Makes a registration match a wish.

use std::collections::BTreeSet;

use reqwest::Url;

use crate::{Error, ErrorKind, ManagementApi, Registration, Wish};

/// What [`ensure`] may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensure {
    /// Say what would be done, and only read.
    DryRun,
    /// Do it.
    Apply,
    /// Do it, and create where nobody can see what is there already: where the
    /// provider documents no call to list, a second run registers again.
    ForceCreate,
}

/// What [`ensure`] did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// There was none for this URL and any of these event types: one is created.
    Create,
    /// There was one with some of these event types and others, or not all of
    /// them, and the provider documents no call to change it: one is created,
    /// and then the old one is deleted, so that nothing is missed in between.
    /// What comes in between comes twice, and is one event to an inbox.
    Replace,
    /// There is one as wished. What it supersedes and an earlier run could not
    /// delete is deleted now.
    Unchanged,
    /// The provider documents no call that shows what is there.
    Unsupported,
    /// There is one, and it is changed.
    Update,
}

/// The result of [`ensure`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ensured {
    /// What was done, or would be.
    pub plan: Plan,
    /// The registration afterwards; nothing for a dry run that would create.
    pub registration: Option<Registration>,
    /// The ids of those that were superseded and deleted, or would be: they
    /// sent some of the wished event types to the same URL.
    pub deleted: Vec<String>,
    /// The ids of other registrations of the same URL, which were left alone:
    /// each sends what it has besides.
    pub others: Vec<String>,
}

/// Makes the registration for the wish's URL match the wish: its event types,
/// and what else the provider shows. Run again it changes nothing. Two spellings
/// of one URL are the same, such as `https://SHOP.example:443` and
/// `https://shop.example/`.
///
/// A secret is not compared, since most providers do not show it: it is sent
/// when one is created, and [`ManagementApi::rotate`] replaces it.
///
/// # Errors
///
/// [`Error`] when the wish does not fit the provider, or a call fails. What was
/// done before that stays: run it again. [`ErrorKind::NotDeleted`] when there is
/// one as wished, and one that it supersedes could not be deleted.
pub async fn ensure<A: ManagementApi>(api: &A, wish: &Wish, how: Ensure) -> Result<Ensured, Error> {
    let events = api.check(wish)?;
    let calls = api.calls();
    if !calls.list {
        let can = calls.create && how == Ensure::ForceCreate;
        return Ok(Ensured {
            plan: if can { Plan::Create } else { Plan::Unsupported },
            registration: if can {
                Some(api.create(wish).await?)
            } else {
                None
            },
            deleted: Vec::new(),
            others: Vec::new(),
        });
    }
    let is_there = |known: &Registration| {
        let url = known.url.as_deref();
        url.is_some_and(|url| is_same_url(url, &wish.url))
    };
    let known: Vec<_> = api.list().await?.into_iter().filter(is_there).collect();
    let is_dry = how == Ensure::DryRun;
    let as_wished = |known: &Registration| matches(known, wish, events.as_deref());
    let is_superseded = |known: &Registration| {
        !calls.update && !as_wished(known) && sends_some(known, events.as_deref())
    };
    let (plan, kept) = match known.iter().position(as_wished) {
        Some(index) => (Plan::Unchanged, Some(index)),
        None if calls.update && !known.is_empty() => (Plan::Update, Some(0)),
        None if known.iter().any(is_superseded) => (Plan::Replace, None),
        None => (Plan::Create, None),
    };
    let kept_one = kept.and_then(|index| known.get(index));
    let registration = match (plan, kept_one) {
        (Plan::Create | Plan::Replace, _) if !is_dry => Some(api.create(wish).await?),
        (Plan::Update, Some(known)) if !is_dry => Some(
            api.update(known.id.as_deref().unwrap_or_default(), &wish.whole())
                .await?,
        ),
        (_, known) => known.cloned(),
    };
    let (mut deleted, mut others) = (Vec::new(), Vec::new());
    for (index, known) in known.iter().enumerate() {
        match &known.id {
            Some(id) if kept != Some(index) && is_superseded(known) => deleted.push(id.clone()),
            Some(id) if kept != Some(index) => others.push(id.clone()),
            _ => {}
        }
    }
    if !is_dry {
        for id in &deleted {
            api.delete(id)
                .await
                .map_err(|error| not_deleted(id, &error))?;
        }
    }
    Ok(Ensured {
        plan,
        registration,
        deleted,
        others,
    })
}

/// Whether two texts are one URL: the host's case, a default port, and no path in place of
/// `/` make no other one, as the URL standard has it (<https://url.spec.whatwg.org/>, read
/// 2026-11-22). A slash more at a path's end does.
fn is_same_url(known: &str, wished: &str) -> bool {
    match (Url::parse(known), Url::parse(wished)) {
        (Ok(known), Ok(wished)) => known == wished,
        _ => known == wished,
    }
}

fn not_deleted(id: &str, error: &Error) -> Error {
    let message = format!(
        "there is a registration as wished, but {id}, which sends to the same URL, could not be deleted ({error}): run it again"
    );
    Error::new(ErrorKind::NotDeleted, message)
}

/// Whether a registration sends some of the wished event types: all do where
/// the provider has no choice of them.
fn sends_some(known: &Registration, wished: Option<&[String]>) -> bool {
    match (&known.events, wished) {
        (Some(known), Some(wished)) => known.iter().any(|one| wished.contains(one)),
        (None, Some(_)) => false,
        (_, None) => true,
    }
}

/// Whether a registration is as wished, as far as its provider shows it.
fn matches(known: &Registration, wish: &Wish, events: Option<&[String]>) -> bool {
    let same_events = match (&known.events, events) {
        (Some(known), Some(wanted)) => {
            known.iter().collect::<BTreeSet<_>>() == wanted.iter().collect()
        }
        _ => true,
    };
    let same_name = match (&known.name, &wish.name) {
        (Some(known), Some(wanted)) => known == wanted,
        _ => true,
    };
    same_events
        && same_name
        && known.active.is_none_or(|active| active == wish.is_active())
        && known.encrypted.is_none_or(|one| one == wish.is_encrypted())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_url_are_the_same_and_other_urls_are_not() {
        let url = "https://shop.example/hooks";
        for (other, expected) in [
            (url, true),
            ("https://SHOP.example/hooks", true),
            ("HTTPS://shop.example:443/hooks", true),
            ("https://shop.example/a/../hooks", true),
            ("https://shop.example/hooks/", false),
            ("https://shop.example/Hooks", false),
            ("https://shop.example/hooks?a=1", false),
            ("https://shop.example:8443/hooks", false),
            ("http://shop.example/hooks", false),
            ("https://shop.example.evil/hooks", false),
            ("https://user@shop.example/hooks", false),
        ] {
            assert_eq!(is_same_url(other, url), expected, "{other}");
        }
        assert!(is_same_url(
            "http://shop.example:80",
            "http://shop.example/"
        ));
        assert!(is_same_url("no URL", "no URL"));
        assert!(!is_same_url("no URL", "No URL"));
    }
}
