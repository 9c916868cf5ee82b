//! The commands, one file each, or a folder: what it takes, then what it does.

mod conform;
mod inbox;
mod listen;
mod providers;
mod register;
mod sandbox;
mod secret;
mod send;
mod sign;
mod verify;

use std::io::Write;

use crate::failure::Failure;

/// One command with its arguments.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Providers(providers::Args),
    Sign(sign::Args),
    Verify(verify::Args),
    Send(send::Args),
    Listen(listen::Args),
    Conform(conform::Args),
    Sandbox(sandbox::Args),
    Register(register::Args),
    Inbox(inbox::Args),
    Secret(secret::Args),
}

impl Command {
    pub(crate) fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Self::Providers(args) => providers::run(args, out),
            Self::Sign(args) => sign::run(args, out),
            Self::Verify(args) => verify::run(args, out),
            Self::Send(args) => send::run(args, out),
            Self::Listen(args) => listen::run(args, out),
            Self::Conform(args) => conform::run(args, out),
            Self::Sandbox(args) => sandbox::run(args, out),
            Self::Register(args) => register::run(args, out),
            Self::Inbox(args) => inbox::run(args, out),
            Self::Secret(args) => secret::run(&args, out),
        }
    }
}
