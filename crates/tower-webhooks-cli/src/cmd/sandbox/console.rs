//! Asks a sandbox that runs.

use std::time::Duration;

use http::Method;
use reqwest::{Client, Url, redirect};
use serde_json::Value;

use crate::{failure::Failure, words::one_line};

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
    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let wrong = || Failure::usage("--at is not a URL: write it like http://127.0.0.1:4000");
        let mut url: Url = self.at.parse().map_err(|_| wrong())?;
        url.path_segments_mut()
            .map_err(|()| wrong())?
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
}
