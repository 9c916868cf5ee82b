use std::convert::Infallible;

use http::{Method, Uri};
use tower_webhooks_core::provider::Scheme;

use crate::failure::Failure;

/// Where a request goes, for providers that sign it.
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// The URL that the provider calls, with its query; needed where it is signed
    #[arg(long)]
    url: Option<String>,

    /// The method of the request, where it is signed
    #[arg(long, default_value = "POST", value_parser = upper_case)]
    method: String,
}

/// Senders write it in upper case; people need not.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn upper_case(text: &str) -> Result<String, Infallible> {
    Ok(text.to_ascii_uppercase())
}

impl TargetArgs {
    /// The request's method.
    pub(crate) fn method(&self) -> Result<Method, Failure> {
        self.method
            .parse()
            .map_err(|_| Failure::usage("--method is not a method: write it like POST"))
    }

    /// The request's URL: none where none is given and none is signed.
    ///
    /// As text, since the provider signed its exact spelling.
    pub(crate) fn url(&self, scheme: &Scheme) -> Result<Option<&str>, Failure> {
        match self.given()? {
            None if scheme.needs_public_url() => {
                Err(Failure::usage("this provider signs its URL: give --url"))
            }
            given => Ok(given),
        }
    }

    /// The request's URL, if one is given.
    pub(crate) fn given(&self) -> Result<Option<&str>, Failure> {
        match &self.url {
            None => Ok(None),
            Some(url) => match url.parse::<Uri>() {
                Ok(uri) if uri.host().is_some() && uri.scheme().is_some() => Ok(Some(url)),
                _ => Err(Failure::usage(
                    "--url is not a URL: write it like https://shop.example/webhooks",
                )),
            },
        }
    }
}
