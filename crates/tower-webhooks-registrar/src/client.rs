//! HTTP, as all the clients speak it.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, Response, Url, redirect};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Confidential, Error, ErrorKind};

/// How much of an answer is read. Lists of registrations are short.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What stands in a provider's message where it repeats a key or a secret.
const HIDDEN: &str = "[redacted]";

/// How much of a provider's message is passed on.
const MAX_MESSAGE_CHARS: usize = 300;

/// How long a call may take, with its answer. Providers document none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls one API with one key. Follows no redirect: that would carry the key
/// to another place.
#[derive(Clone)]
pub(crate) struct ApiClient {
    client: Client,
    base: Url,
    credentials: HeaderMap,
    /// What no message may repeat.
    hidden: Vec<Confidential>,
    timeout: Duration,
}

impl std::fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiClient")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl ApiClient {
    /// `headers` are the credentials: a header's name, what stands before the
    /// key, and the key.
    pub(crate) fn new(
        base: &str,
        headers: &[(&'static str, &str, &Confidential)],
    ) -> Result<Self, Error> {
        let mut credentials = HeaderMap::new();
        for (name, before, key) in headers {
            let value = format!("{before}{}", key.expose());
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| Error::invalid("key", "cannot stand in a header"))?;
            value.set_sensitive(true);
            credentials.insert(HeaderName::from_static(name), value);
        }
        let base = parse_base(base)?;
        Ok(Self {
            client: client(&base)?,
            base,
            credentials,
            hidden: headers.iter().map(|(_, _, key)| (*key).clone()).collect(),
            timeout: DEFAULT_TIMEOUT,
        })
    }

    pub(crate) fn with_base(mut self, base: &str) -> Result<Self, Error> {
        self.base = parse_base(base)?;
        self.client = client(&self.base)?;
        Ok(self)
    }

    pub(crate) const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same client for a call with a secret, which no message repeats
    /// either.
    pub(crate) fn hiding(&self, secret: Option<&Confidential>) -> Self {
        let mut client = self.clone();
        client.hidden.extend(secret.cloned());
        client
    }

    /// Calls and reads the answer.
    pub(crate) async fn call<R: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<R, Error> {
        let answer = self.send(method, path, query, body).await?;
        serde_json::from_slice(&answer).map_err(|_| {
            let message = "the answer is not what the provider documents";
            Error::new(ErrorKind::Answer, message)
        })
    }

    /// Calls, and whatever a success says is one.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, Error> {
        // Such an id would be the path of another call.
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Error::invalid("id", "is none"));
        }
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Each is escaped: an id cannot lead to another path.
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .client
            .request(method, url)
            .headers(self.credentials.clone())
            .timeout(self.timeout);
        if let Some(body) = body {
            let body = serde_json::to_vec(body)
                .map_err(|_| Error::unsent("the request cannot be written as JSON"))?;
            let kind = HeaderValue::from_static("application/json");
            request = request.header(header::CONTENT_TYPE, kind).body(body);
        }
        let response = request.send().await.map_err(|error| explain(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = read(response).await;
        if status.is_success() {
            return answer;
        }
        // The status says what happened, even if the rest does not come.
        let answer = answer.unwrap_or_default();
        Err(refusal(status, &headers, &answer, &self.hidden))
    }
}

fn parse_base(base: &str) -> Result<Url, Error> {
    let wrong = || Error::invalid("base_url", "is not an absolute http or https URL");
    let url = Url::parse(base).map_err(|_| wrong())?;
    match url.scheme() {
        "https" => Ok(url),
        // A key in clear text on a wire is everybody's.
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(Error::invalid(
            "base_url",
            "must be https, but on this machine",
        )),
        _ => Err(wrong()),
    }
}

fn client(base: &Url) -> Result<Client, Error> {
    // It fails only where one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("tower-webhooks/", env!("CARGO_PKG_VERSION")));
    if base.scheme() == "http" {
        // A machine without certificates can still talk to itself.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder
        .build()
        .map_err(|_| Error::new(ErrorKind::Transport, "no TLS: are there root certificates?"))
}

async fn read(mut response: Response) -> Result<Bytes, Error> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        if answer.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
            let message = "the answer is larger than 1 MiB";
            return Err(Error::new(ErrorKind::Answer, message));
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer.into())
}

/// Never shows the URL, which may hold a password.
fn explain(error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::new(ErrorKind::TimedOut, "no whole answer in time");
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_connect() {
        return Error::unsent(format!("cannot connect: {innermost}"));
    }
    Error::new(
        ErrorKind::Transport,
        format!("no whole answer: {innermost}"),
    )
}

fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    answer: &[u8],
    hidden: &[Confidential],
) -> Error {
    let said = message(answer, hidden);
    let number = status.as_u16();
    let kind = match number {
        401 => ErrorKind::Unauthorized,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited {
            retry_after: headers
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                .map(Duration::from_secs),
        },
        500.. => ErrorKind::Server { status: number },
        _ => ErrorKind::Refused { status: number },
    };
    let message = match said {
        Some(said) => format!("the provider answered {number}: {said}"),
        None => format!("the provider answered {number}"),
    };
    Error::new(kind, message)
}

/// What an error says, in one of the documented forms, without what is hidden.
/// Nothing else of the answer is passed on.
fn message(answer: &[u8], hidden: &[Confidential]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let said = ["/details", "/error/message", "/message", "/error"]
        .into_iter()
        .find_map(|pointer| answer.pointer(pointer)?.as_str())?;
    // Before anything is cut off or escaped, which would leave a part.
    let said = without(said, hidden);
    let mut line = String::new();
    for char in said.chars().take(MAX_MESSAGE_CHARS) {
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    Some(line)
}

fn without(text: &str, hidden: &[Confidential]) -> String {
    // A header comes without what surrounds it.
    let hidden = hidden.iter().map(|one| one.expose().trim());
    let mut hidden: Vec<&str> = hidden.filter(|one| !one.is_empty()).collect();
    // One may begin with another.
    hidden.sort_unstable_by_key(|one| std::cmp::Reverse(one.len()));
    let mut text = text.to_owned();
    for one in hidden {
        text = text.replace(one, HIDDEN);
    }
    text
}

/// Whether a URL stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_go_over_a_wire_in_clear_text() {
        for (base, fits) in [
            ("https://api.monterrey.app", true),
            ("http://api.monterrey.app", false),
            ("http://127.0.0.1:4000/monterrey", true),
            ("ftp://127.0.0.1", false),
            ("api.monterrey.app", false),
        ] {
            assert_eq!(parse_base(base).is_ok(), fits, "{base}");
        }
    }

    #[test]
    fn an_errors_message_is_found_in_each_documented_form() {
        for (answer, expected) in [
            (r#"{"error":{"code":"X","message":"why"}}"#, Some("why")),
            (
                r#"{"statusCode":400,"message":"m","error":"e","details":"why"}"#,
                Some("why"),
            ),
            (r#"{"code":"VAL","message":"why"}"#, Some("why")),
            (r#"{"error":"why"}"#, Some("why")),
            ("{\"error\":\"a\\u001b[2J\"}", Some(r"a\u{1b}[2J")),
            ("<html>", None),
            ("[]", None),
        ] {
            let said = message(answer.as_bytes(), &[]);
            assert_eq!(said.as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn what_is_hidden_is_hidden_before_a_message_is_cut() {
        let hidden = ["sword", "swordfish\n", " "].map(Confidential::new);
        let far = "x".repeat(MAX_MESSAGE_CHARS - 3);
        for (said, expected) in [
            (
                "swordfish, sword!".to_owned(),
                "[redacted], [redacted]!".to_owned(),
            ),
            (format!("{far}swordfish"), format!("{far}[re")),
        ] {
            let answer = serde_json::json!({ "message": said }).to_string();
            let said = message(answer.as_bytes(), &hidden);
            assert_eq!(said, Some(expected));
        }
    }
}
