//! The URL and the method, where they are signed.

use http::{HeaderName, Method, Uri, header::HOST};

use super::Change;
use crate::{
    explain::{Cause, case::Case},
    provider::Part,
};

/// The headers in which a proxy says what it was asked for.
const FORWARDED_HOST: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-original-host"),
    HOST,
];

pub(super) fn changes<'c>(case: &Case) -> Vec<Change<'c>> {
    let mut changes = Vec::new();
    let Some(signed) = case.signed() else {
        return changes;
    };
    if signed.has(&Part::Method) {
        changes.extend(methods(case));
    }
    if !signed.parts.iter().any(Part::is_url) {
        return changes;
    }
    if case.public_url.is_none() {
        changes.extend(guessed());
        return changes;
    }
    changes.extend(spelt());
    changes.extend(queries());
    changes.extend(hosts());
    changes
}

fn methods<'c>(case: &Case) -> Vec<Change<'c>> {
    [
        Method::POST,
        Method::GET,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ]
    .into_iter()
    .filter(|method| *method != case.method)
    .map(|method| {
        let advice = format!("the method that is signed is {method}: check it as that");
        Change::new(Cause::Method, advice, move |case| {
            Some(Case {
                method: method.clone(),
                ..case.clone()
            })
        })
    })
    .collect()
}

/// Scheme, port and the slash at the end.
fn spelt<'c>() -> Vec<Change<'c>> {
    let scheme = "the URL was signed with the other scheme: configure the public URL as the \
         provider calls it, https where a proxy ends TLS";
    let port = "the URL was signed with its port, or without: configure the public URL exactly \
         as it is registered with the provider";
    let slash = "the URL was signed with a slash at its end, or without: configure the public \
         URL exactly as it is registered with the provider";
    let mut changes = vec![
        Change::new(Cause::UrlScheme, scheme, |case| {
            with_base(case, |url| {
                let scheme = if url.scheme == "https" {
                    "http"
                } else {
                    "https"
                };
                Some(url.with_scheme(scheme))
            })
        })
        .common(),
        Change::new(Cause::UrlPort, port, |case| {
            with_base(case, |url| {
                let (host, _) = url.host.rsplit_once(':')?;
                Some(url.with_host(host))
            })
        })
        .common(),
        Change::new(Cause::UrlTrailingSlash, slash, |case| {
            with_base(case, |url| match url.path.strip_suffix('/') {
                Some(cut) => Some(url.with_path(cut)),
                None => Some(url.with_path(&format!("{}/", url.path))),
            })
        })
        .common(),
    ];
    for number in ["443", "80", "8080", "3000", "8443"] {
        changes.push(Change::new(Cause::UrlPort, port, move |case| {
            with_base(case, |url| {
                let host = url.host.rsplit_once(':').map_or(url.host, |(host, _)| host);
                Some(url.with_host(&format!("{host}:{number}")))
            })
        }));
    }
    changes
}

fn queries<'c>() -> Vec<Change<'c>> {
    let without = "the URL was signed without its query, which the request has: register the URL \
         with its query, or look for who adds one";
    let configured = "the configured public URL has a query, and the query is taken from the \
         request: configure it without one";
    let respelt = "the URL was signed with another spelling of its query: hand on the query as it \
         was sent, and look for a proxy that sorts it or writes its escapes anew";
    let mut changes = vec![
        Change::new(Cause::UrlQuery, configured, |case| {
            let (base, _) = case.public_url.as_deref()?.split_once('?')?;
            Some(Case {
                public_url: Some(base.to_owned()),
                ..case.clone()
            })
        }),
        Change::new(Cause::UrlQuery, without, |case| {
            case.uri.query()?;
            with_query(case, None)
        })
        .common(),
    ];
    for respell in [spaced, plussed, unescaped, sorted] {
        changes.push(Change::new(Cause::UrlQuery, respelt, move |case| {
            let query = case.uri.query()?;
            let new = respell(query).filter(|new| new != query)?;
            with_query(case, Some(&new))
        }));
    }
    changes
}

fn spaced(query: &str) -> Option<String> {
    Some(query.replace('+', "%20"))
}

fn plussed(query: &str) -> Option<String> {
    Some(query.replace("%20", "+"))
}

fn unescaped(query: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(query).decode_utf8();
    decoded.ok().map(std::borrow::Cow::into_owned)
}

fn sorted(query: &str) -> Option<String> {
    let mut fields: Vec<_> = query.split('&').collect();
    fields.sort_unstable();
    Some(fields.join("&"))
}

fn hosts<'c>() -> Vec<Change<'c>> {
    let host = "the URL was signed with the host that the request was sent to, and another is \
         configured: configure the public URL as it is registered with the provider";
    let path = "the URL was signed with the path that the request was sent to, and another is \
         configured: configure the public URL as it is registered with the provider";
    let mut changes = vec![
        Change::new(Cause::UrlHost, path, |case| {
            let path = case.uri.path().to_owned();
            with_base(case, |url| Some(url.with_path(&path)))
        })
        .common(),
        Change::new(Cause::UrlHost, host, |case| {
            with_base(case, |url| match url.host.strip_prefix("www.") {
                Some(cut) => Some(url.with_host(cut)),
                None => Some(url.with_host(&format!("www.{}", url.host))),
            })
        }),
        Change::new(Cause::UrlHost, host, |case| {
            with_base(case, |url| {
                Some(url.with_host(&url.host.to_ascii_lowercase()))
            })
        }),
    ];
    for name in FORWARDED_HOST {
        changes.push(
            Change::new(Cause::UrlHost, host, move |case| {
                let sent_to = case.header(&name)?.to_owned();
                with_base(case, |url| Some(url.with_host(&sent_to)))
            })
            .common(),
        );
    }
    changes
}

/// The URL as the request names it, where none is configured.
fn guessed<'c>() -> Vec<Change<'c>> {
    let advice = "the provider signs its URL, and none is configured: configure the public URL \
         that it calls, which here is the one that the request was sent to";
    let mut changes = Vec::new();
    for name in FORWARDED_HOST {
        for scheme in ["https", "http"] {
            let name = name.clone();
            changes.push(Change::new(Cause::UrlMissing, advice, move |case| {
                let host = case.header(&name)?;
                let mut called = case.clone();
                called.public_url = Some(format!("{scheme}://{host}{}", case.uri.path()));
                Some(called)
            }));
        }
    }
    changes
}

#[derive(Clone, Copy)]
struct Url<'u> {
    scheme: &'u str,
    /// With its port.
    host: &'u str,
    path: &'u str,
}

impl Url<'_> {
    fn with_scheme(self, scheme: &str) -> String {
        format!("{scheme}://{}{}", self.host, self.path)
    }

    fn with_host(self, host: &str) -> String {
        format!("{}://{host}{}", self.scheme, self.path)
    }

    fn with_path(self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.host)
    }
}

fn with_base(case: &Case, change: impl Fn(Url<'_>) -> Option<String>) -> Option<Case> {
    let base = case.public_url.as_deref()?;
    let (scheme, rest) = base.split_once("://")?;
    let (host, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    let new = change(Url { scheme, host, path }).filter(|new| new != base)?;
    Some(Case {
        public_url: Some(new),
        ..case.clone()
    })
}

fn with_query(case: &Case, query: Option<&str>) -> Option<Case> {
    let path = case.uri.path();
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Some(Case {
        uri: target.parse::<Uri>().ok()?,
        ..case.clone()
    })
}
