use std::io::Write;

use tower_webhooks_registrar::{
    Confidential, CryptoMate, Devdraft, Error, M2m, ManagementApi, Monterrey, MppCash,
};

use super::{Command, calls, create, ensure, failure, rotate};
use crate::failure::Failure;

/// Which API.
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// Whose
    #[arg(short, long, value_enum, global = true)]
    provider: Option<Whose>,

    /// Where the API is, in place of the provider's own: a sandbox, such as
    /// http://127.0.0.1:4000/monterrey
    #[arg(long, value_name = "URL", global = true)]
    base_url: Option<String>,
}

/// The providers whose management API is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Whose {
    #[value(name = "cryptomate")]
    CryptoMate,
    Devdraft,
    M2m,
    Monterrey,
    #[value(name = "mppcash")]
    MppCash,
}

impl ApiArgs {
    pub(super) async fn run(
        self,
        command: Command,
        json: bool,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let whose = self.provider.ok_or_else(|| {
            Failure::usage(
                "whose API? give --provider cryptomate, devdraft, m2m, monterrey or mppcash",
            )
        })?;
        let base = self.base_url.as_deref();
        /// Makes a client and runs the command with it.
        macro_rules! with {
            ($client:expr) => {{
                let client = $client.map_err(|error: Error| failure(&error))?;
                let client = match base {
                    Some(base) => client
                        .with_base_url(base)
                        .map_err(|error| failure(&error))?,
                    None => client,
                };
                command.run(&client, whose, json, out).await
            }};
        }
        match whose {
            Whose::CryptoMate => with!(CryptoMate::new(key("CRYPTOMATE_API_KEY")?)),
            Whose::Devdraft => with!(Devdraft::new(
                key("DEVDRAFT_CLIENT_KEY")?,
                key("DEVDRAFT_CLIENT_SECRET")?
            )),
            Whose::M2m => with!(M2m::new(key("M2M_API_KEY")?)),
            Whose::Monterrey => with!(Monterrey::new(key("MONTERREY_API_KEY")?)),
            Whose::MppCash => with!(MppCash::new(key("MPPCASH_API_KEY")?)),
        }
    }
}

impl Command {
    async fn run(
        self,
        api: &impl ManagementApi,
        whose: Whose,
        json: bool,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        match self {
            Self::Ensure(args) => ensure::run(args, api, whose, json, out).await,
            Self::Create(args) => create::run(args, api, whose, json, out).await,
            Self::List(_) => calls::list(api, json, out).await,
            Self::Get(args) => calls::get(&args, api, json, out).await,
            Self::Update(args) => calls::update(args, api, json, out).await,
            Self::Delete(args) => calls::delete(&args, api, json, out).await,
            Self::Rotate(args) => rotate::run(args, api, json, out).await,
        }
    }
}

fn key(name: &str) -> Result<Confidential, Failure> {
    Confidential::from_env(name).map_err(Failure::usage)
}
