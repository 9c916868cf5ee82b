//! Asks a sandbox that runs.

use std::time::Duration;

use http::Method;
use reqwest::{Client, Url, redirect};
use serde_json::Value;

use crate::{failure::Failure, post::is_loopback, words::one_line};

/// A sandbox answers from memory; a redelivery waits for the receiver.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Which sandbox.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// Where the sandbox listens
    #[arg(long, default_value = "http://127.0.0.1:4000", value_name = "URL")]
    at: String,
}

impl At {
    /// Whether what is said to it stays on this machine.
    pub(super) fn is_here(&self) -> Result<bool, Failure> {
        Ok(is_loopback(&self.url()?))
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut url = self.url()?;
        url.path_segments_mut()
            .map_err(|()| no_url())?
            .pop_if_empty()
            .push("_sandbox")
            .extend(path);
        // It fails only where one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .tls_certs_only([])
            .no_proxy()
            .build()
            .map_err(|_| Failure::failed("no HTTP client can be made"))?;
        let mut request = client.request(method, url);
        if let Some(body) = body {
            request = request
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let away = |_| Failure::failed("no sandbox answers: check --at, and whether one runs");
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let answer = response.bytes().await.map_err(away)?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let why = match answer.get("error").and_then(Value::as_str) {
            Some(why) => one_line(why),
            None => format!("the sandbox answered {}", status.as_u16()),
        };
        Err(Failure::failed(why))
    }

    fn url(&self) -> Result<Url, Failure> {
        self.at.parse().map_err(|_| no_url())
    }
}

fn no_url() -> Failure {
    Failure::usage("--at is not a URL: write it like http://127.0.0.1:4000")
}
