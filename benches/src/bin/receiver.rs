//! `receiver NAME FOLDER AT_ONCE`: receives, and answers questions about itself; see
//! [`serve`](mod@tower_webhooks_benches::durable::serve).

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Parser;
use tower_webhooks_benches::durable::{receiver::Receiver, serve::serve};

#[derive(Parser)]
struct Arguments {
    /// What receives.
    receiver: Receiver,
    /// Where it stores.
    folder: PathBuf,
    /// How many handlers run at once.
    at_once: NonZeroUsize,
}

fn main() -> anyhow::Result<()> {
    let Arguments {
        receiver,
        folder,
        at_once,
    } = Arguments::parse();
    serve(
        receiver,
        &folder,
        at_once,
        std::io::stdin().lock(),
        std::io::stdout().lock(),
    )
}
