use std::{io::Write, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration, time::SystemTime};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use tokio::net::TcpListener;
use tower_webhooks::{Endpoint, InboxPlace, Webhooks};
use tower_webhooks_core::{
    Delivery, Head, Provider, Rejection, SecretErrorKind, Secrets, Text, Verifier,
};

use super::report::{Forwarded, Report};
use crate::{
    args::{PayloadSecretArgs, SecretArgs, load_provider},
    failure::Failure,
    post::Poster,
    stop::told_to_stop,
};

/// The largest body where the provider does not say: the library's own default.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How long an app that a request is passed on to may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long events on their way into the inbox are waited for at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What the environment's variable is called.
const HANDSHAKE_VARIABLE: &str = "WEBHOOK_HANDSHAKE_SECRET";

/// How the receiver runs.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Who sends: a preset's name, or a description of your own in TOML or JSON
    #[arg(short, long, value_name = "NAME|FILE", value_parser = load_provider)]
    provider: Option<Arc<Provider>>,

    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    payload_secret: PayloadSecretArgs,

    /// Where to listen, on every path; the environment's WEBHOOK_HANDSHAKE_SECRET proves handshakes
    #[arg(long, default_value = "127.0.0.1:3001", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The URL that the provider calls, without its query, where it signs that
    /// [default: http://ADDRESS/]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Where events are kept: a file, a postgres:// URL, or memory
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "INBOX",
        hide_env_values = true,
        default_value = "webhooks.db"
    )]
    inbox: PathBuf,

    /// Pass each verified request on to this URL, as it came
    #[arg(long, value_name = "URL")]
    forward: Option<String>,

    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// What looks at each request on its way to the endpoint.
struct Tap {
    provider: Arc<Provider>,
    verifier: Verifier,
    forward: Option<Poster>,
    json: bool,
}

pub(super) async fn run(args: ServeArgs, out: &mut impl Write) -> Result<(), Failure> {
    let Some(provider) = args.provider else {
        return Err(Failure::usage("who sends? give --provider"));
    };
    let secrets = args.secret.all()?;
    let payload_secrets = args.payload_secret.all(&provider)?;
    let forward = args.forward.as_deref();
    let forward = forward
        .map(|url| Poster::new(url, FORWARD_TIMEOUT))
        .transpose()?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::failed(format!("{} cannot be listened on: {error}", args.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    if forward
        .as_ref()
        .is_some_and(|forward| forward.reaches(address))
    {
        return Err(Failure::usage(format!(
            "--forward is this receiver itself, at {address}: give --listen another port"
        )));
    }
    let public_url = args
        .public_url
        .unwrap_or_else(|| format!("http://{address}/"));

    let mut verifier = Verifier::new(Arc::clone(&provider), &secrets)
        .map_err(Failure::usage)?
        .with_public_url(Some(Text::from(public_url.as_str())));
    if let Some(secrets) = &payload_secrets {
        verifier = verifier
            .with_payload_secrets(secrets)
            .map_err(Failure::usage)?;
    }
    // The endpoint keeps events under the name that `replay` finds them by.
    let name = provider.name().clone();
    let mut endpoint =
        Endpoint::new(name.clone(), Arc::clone(&provider), secrets).with_public_url(public_url);
    if let Some(secrets) = payload_secrets {
        endpoint = endpoint.with_payload_secrets(secrets);
    }
    match Secrets::from_env(HANDSHAKE_VARIABLE) {
        Ok(secrets) => endpoint = endpoint.with_handshake_secrets(secrets),
        Err(error) if error.kind() == SecretErrorKind::NotSet => {}
        Err(error) => return Err(Failure::usage(error)),
    }
    let place = InboxPlace::new(&args.inbox).map_err(Failure::usage)?;
    let inbox = place.open().await.map_err(|error| Failure::chain(&error))?;
    let webhooks = Webhooks::start(inbox, [endpoint])
        .await
        .map_err(|error| Failure::chain(&error))?;
    let endpoint = webhooks.endpoint(&name).map_err(Failure::failed)?;

    let json = args.json;
    let tap = Arc::new(Tap {
        provider,
        verifier,
        forward,
        json,
    });
    let app = Router::new()
        .fallback_service(endpoint)
        .layer(from_fn_with_state(tap, look));
    let stopped = told_to_stop();
    if !json {
        writeln!(out, "listening on http://{address}/")?;
        out.flush()?;
    }
    let ended = tokio::select! {
        ended = async { axum::serve(listener, app).await } => ended.map_err(Failure::failed),
        () = stopped => Ok(()),
    };
    webhooks.drain(DRAIN).await;
    ended
}

/// Passes a request to the endpoint, and says afterwards what came of it.
async fn look(State(tap): State<Arc<Tap>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let max_body_bytes = tap.provider.max_body_bytes().unwrap_or(MAX_BODY_BYTES);
    let Ok(body) = to_bytes(body, max_body_bytes).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let verdict = tap.verify(&parts, body.clone());
    let passed_on = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let response = next.run(passed_on).await;
    let answered = response.status();
    // The provider does not wait for an app that is tried out.
    tokio::spawn(async move {
        let forwarded = match &verdict {
            Ok(_) => tap.forward(parts.headers, body).await,
            Err(_) => None,
        };
        let report = Report {
            answered,
            verdict,
            forwarded,
        };
        report.print(tap.json);
    });
    response
}

impl Tap {
    fn verify(&self, parts: &Parts, body: Bytes) -> Result<Delivery, Rejection> {
        let now = SystemTime::now();
        let screened = self.provider.screen(&parts.headers, now)?;
        self.verifier.admit(&screened, now)?;
        self.verifier
            .verify(Head::from(parts), &screened, body, now)
    }

    async fn forward(&self, mut headers: HeaderMap, body: Bytes) -> Option<Forwarded> {
        let poster = self.forward.as_ref()?;
        for name in [
            header::HOST,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ] {
            headers.remove(name);
        }
        Some(match poster.post(headers, body, None).await {
            Ok(answer) => Forwarded::Answered(answer.status),
            Err(failure) => Forwarded::Failed(failure.line().unwrap_or_default()),
        })
    }
}
