//! A file for a secret that is shown once.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::Confidential;

/// A new file for a secret, readable for its owner alone (0600).
///
/// It is prepared before the provider is asked, so that a secret which is shown
/// once is not lost to a folder that cannot be written. It never replaces a
/// file that is there, and leaves none behind that holds nothing.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl SecretFile {
    /// Prepares it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when there is a file of that name, and
    /// those of the folder.
    pub fn prepare(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = NamedTempFile::new_in(folder)?;
        Ok(Self { path, file })
    }

    /// Where it is to be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the secret and a line end, and makes them durable.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when a file of that name was made
    /// meanwhile, and those of writing.
    pub fn keep(mut self, secret: &Confidential) -> io::Result<()> {
        writeln!(self.file, "{}", secret.expose())?;
        self.file.as_file().sync_all()?;
        self.file
            .persist_noclobber(&self.path)
            .map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.txt");
        let secret = Confidential::new("swordfish");
        SecretFile::prepare(&path).unwrap().keep(&secret).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "swordfish\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.txt");
        let prepared = SecretFile::prepare(&path).unwrap();
        fs::write(&path, "the old one").unwrap();
        let error = SecretFile::prepare(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let error = prepared.keep(&Confidential::new("new")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the old one");
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        drop(SecretFile::prepare(folder.path().join("secret.txt")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
