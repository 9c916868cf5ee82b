//! Under which names the sandbox may be called, and from which pages.
//!
//! A page of any site can have the browser on this machine call `127.0.0.1`, and under a
//! name of its own that leads here (DNS rebinding) it could read the answers, in which
//! secrets stand. So the name has to be one that no page of a stranger can have, and a
//! page's own address, which browsers send with whatever changes something, has to be the
//! sandbox's.
//! Source: `Host` in RFC 9110, section 7.2 (<https://www.rfc-editor.org/rfc/rfc9110#section-7.2>)
//! and `Origin` in the Fetch standard (<https://fetch.spec.whatwg.org/#origin-header>), both
//! read 2026-11-22.

use std::net::IpAddr;

use axum::{
    Json,
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    middleware::Next,
    response::{IntoResponse as _, Response},
    serve::IncomingStream,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};
use serde_json::json;
use tokio::net::TcpListener;

use crate::Sandbox;

/// The names that were allowed besides, in lower case.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Nothing where there is no such name: a port or a path is not part of one.
    pub(crate) fn new(names: &[String]) -> Result<Self, String> {
        let fits = |name: &String| match name.parse::<Authority>() {
            Ok(parsed) => parsed.host() == name && !name.is_empty(),
            Err(_) => false,
        };
        match names.iter().find(|name| !fits(name)) {
            Some(name) => Err(name.clone()),
            None => Ok(Self(
                names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            )),
        }
    }

    /// Whether a request may name the sandbox so: this machine, the address that the
    /// connection came in at, or a name that was allowed.
    fn allow(&self, name: &Authority, here: Option<IpAddr>) -> bool {
        let host = name.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_ours = |ip: IpAddr| {
            let ip = ip.to_canonical();
            ip.is_loopback() || here.is_some_and(|here| here.to_canonical() == ip)
        };
        // Nobody's port is looked at: one that is forwarded is another outside.
        !name.as_str().contains('@')
            && (host == "localhost"
                || bare.parse().is_ok_and(is_ours)
                || self
                    .0
                    .iter()
                    .any(|known| known.trim_matches(['[', ']']) == bare))
    }
}

/// The address at which a connection came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here(Option<IpAddr>);

impl Connected<IncomingStream<'_, TcpListener>> for Here {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(stream.io().local_addr().ok().map(|address| address.ip()))
    }
}

/// Lets a request in that names the sandbox as it may be named, and comes from no page of
/// another.
pub(crate) async fn guard(
    State(sandbox): State<Sandbox>,
    request: Request,
    next: Next,
) -> Response {
    let here = request.extensions().get::<ConnectInfo<Here>>();
    let here = here.and_then(|ConnectInfo(Here(address))| *address);
    match check(&sandbox.inner.hosts, here, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, Json(json!({ "error": why }))).into_response(),
    }
}

fn check(
    hosts: &Hosts,
    here: Option<IpAddr>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), &'static str> {
    let named: Option<Vec<Authority>> = headers
        .get_all(header::HOST)
        .iter()
        .map(authority)
        .chain(uri.authority().map(|one| Some(one.clone())))
        .collect();
    let named = named.unwrap_or_default();
    if named.is_empty() || !named.iter().all(|one| hosts.allow(one, here)) {
        return Err(
            "the sandbox is not called so: use 127.0.0.1, localhost or the address it listens on, or allow the host's name where it is started",
        );
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if origins.all(|origin| named.iter().all(|one| is_origin(origin, one))) {
        return Ok(());
    }
    Err("a page of another site may not call the sandbox")
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    Authority::try_from(value.as_bytes()).ok()
}

/// Whether a page of that origin is one of the host itself.
fn is_origin(origin: &HeaderValue, host: &Authority) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(headers: &[(&'static str, &str)], uri: &'static str) -> Result<(), &'static str> {
        let hosts = Hosts::new(&["Sandbox".to_owned(), "provider.test".to_owned()]).unwrap();
        let headers = headers.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        });
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, value);
        }
        let here = "::ffff:10.0.0.7".parse().ok();
        check(&hosts, here, &Uri::from_static(uri), &all)
    }

    #[test]
    fn only_names_that_no_stranger_can_have_are_taken() {
        for (host, fits) in [
            ("127.0.0.1:4000", true),
            ("127.9.9.9", true),
            ("[::1]:4000", true),
            ("LocalHost:4000", true),
            ("10.0.0.7:4000", true),
            ("[::ffff:10.0.0.7]", true),
            ("sandbox:4000", true),
            ("SANDBOX", true),
            ("provider.test", true),
            ("10.0.0.8:4000", false),
            ("0.0.0.0:4000", false),
            ("[::]", false),
            ("evil.example:4000", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("evil.example@127.0.0.1", false),
            ("sandbox.evil.example", false),
            ("2130706433", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(judged(&[("host", host)], "/").is_ok(), fits, "{host}");
        }
    }

    #[test]
    fn every_name_of_a_request_has_to_fit_and_there_has_to_be_one() {
        let ours = ("host", "127.0.0.1:4000");
        judged(&[ours], "/").unwrap();
        judged(&[], "/").unwrap_err();
        judged(&[ours, ours], "/").unwrap();
        judged(&[ours, ("host", "evil.example")], "/").unwrap_err();
        judged(&[ours], "http://127.0.0.1:4000/").unwrap();
        judged(&[ours], "http://evil.example/").unwrap_err();
        judged(&[("host", "evil.example")], "http://127.0.0.1:4000/").unwrap_err();
    }

    #[test]
    fn a_page_has_to_be_one_of_the_sandbox_itself() {
        for (origin, fits) in [
            ("http://127.0.0.1:4000", true),
            ("http://127.0.0.1:3000", false),
            ("http://localhost:4000", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            let headers = [("host", "127.0.0.1:4000"), ("origin", origin)];
            assert_eq!(judged(&headers, "/").is_ok(), fits, "{origin}");
        }
    }

    #[test]
    fn what_is_no_name_is_not_allowed() {
        for name in ["", "a:4000", "http://a", "a/b", "a@b", "a b"] {
            assert_eq!(Hosts::new(&[name.to_owned()]).unwrap_err(), name);
        }
        for name in ["sandbox", "host.docker.internal", "10.0.0.8", "[fd00::1]"] {
            Hosts::new(&[name.to_owned()]).unwrap();
        }
    }
}
