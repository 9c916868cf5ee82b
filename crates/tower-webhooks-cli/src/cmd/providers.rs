use std::{io::Write, sync::Arc};

use tower_webhooks_core::{Provider, providers};

use crate::{args::load_provider, failure::Failure, provider_text};

/// Show the providers that are known
///
/// A line each, or one in full: how it signs, what its signature does not cover, which values its
/// documents leave open and are ours, and its events with samples.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks providers
  webhooks providers mppcash
  webhooks providers mppcash --toml > my-provider.toml")]
pub(crate) struct Args {
    /// Show this one in full: a preset's name, or a description of your own in TOML or JSON
    #[arg(value_name = "NAME|FILE", value_parser = load_provider)]
    provider: Option<Arc<Provider>>,

    /// Print the whole descriptions as JSON: of one an object, of all an array
    #[arg(long, group = "form")]
    json: bool,

    /// Print the table in Markdown
    #[arg(long, group = "form", conflicts_with = "provider")]
    markdown: bool,

    /// Print one description as TOML, to begin one of your own with
    #[arg(long, group = "form", requires = "provider")]
    toml: bool,
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    match args.provider {
        Some(provider) if args.json => serde_json::to_writer_pretty(&mut *out, &*provider)?,
        Some(provider) if args.toml => {
            let text = toml::to_string(&*provider).map_err(Failure::failed)?;
            write!(out, "{}", text.trim_end())?;
        }
        Some(provider) => write!(out, "{}", provider_text::full(&provider).trim_end())?,
        None if args.json => serde_json::to_writer_pretty(&mut *out, &providers::all())?,
        None if args.markdown => write!(out, "{}", provider_text::markdown(&providers::all()))?,
        None => write!(out, "{}", provider_text::table(&providers::all()))?,
    }
    writeln!(out)?;
    Ok(())
}
