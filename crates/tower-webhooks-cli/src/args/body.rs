use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::PathBuf,
};

use bytes::Bytes;

use crate::failure::Failure;

/// The body of a request, byte for byte.
#[derive(Debug, clap::Args)]
pub(crate) struct BodyArgs {
    /// The body itself, exactly these bytes
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    data: Option<String>,

    /// A file that holds the body, exactly its bytes; - reads stdin
    #[arg(long, value_name = "FILE", visible_alias = "data-file")]
    body_file: Option<PathBuf>,
}

impl BodyArgs {
    /// Whether a body was named.
    pub(crate) const fn is_given(&self) -> bool {
        self.data.is_some() || self.body_file.is_some()
    }

    /// The body that was named, or else stdin.
    pub(crate) fn read(self) -> Result<Bytes, Failure> {
        match (self.data, self.body_file) {
            (Some(data), _) => Ok(data.into()),
            (None, Some(path)) if path.as_os_str() == "-" => read_stdin(),
            (None, Some(path)) => fs::read(&path).map(Bytes::from).map_err(|error| {
                Failure::usage(format!("{} cannot be read: {error}", path.display()))
            }),
            (None, None) if io::stdin().is_terminal() => Err(Failure::usage(
                "no body: give --data or --body-file, or pipe it in",
            )),
            (None, None) => read_stdin(),
        }
    }
}

fn read_stdin() -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut body)
        .map_err(|error| Failure::usage(format!("stdin cannot be read: {error}")))?;
    Ok(body.into())
}
