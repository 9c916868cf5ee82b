//! `receiver NAME PLACE AT_ONCE`: receives, and answers questions about itself; see
//! [`serve`](mod@tower_webhooks_benches::durable::serve).

use std::{ffi::OsString, num::NonZeroUsize};

use clap::Parser;
use tower_webhooks_benches::durable::{receiver::Receiver, serve::serve};

#[derive(Parser)]
struct Arguments {
    /// What receives.
    receiver: Receiver,
    /// Where it stores: a folder, or the URL of a server.
    place: OsString,
    /// How many handlers run at once.
    at_once: NonZeroUsize,
}

fn main() -> anyhow::Result<()> {
    let Arguments {
        receiver,
        place,
        at_once,
    } = Arguments::parse();
    serve(
        receiver,
        &place,
        at_once,
        std::io::stdin().lock(),
        std::io::stdout().lock(),
    )
}
