//! Where the file lies: on a file system that keeps it, and in one receiver's hands.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::error::{OpenError, OpenErrorKind};

/// What a file system is worth to an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filesystem {
    /// Gone with the power.
    InMemory(&'static str),
    /// A container's own layer: kept, until the container is replaced.
    Layered(&'static str),
    /// A program's or another machine's: its kind says nothing about what keeps it.
    Elsewhere(&'static str),
    /// Nothing is known against it.
    Local,
    /// Its locks and shared memory cannot be trusted between machines.
    Network(&'static str),
}

impl Filesystem {
    /// The file system that this file lies on, or will lie on.
    pub(crate) fn of(path: &Path) -> Result<Self, OpenError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        kind_of(folder).map_err(|error| OpenError::unavailable("look at the folder", folder, error))
    }

    /// Refuses what would lose events.
    pub(crate) fn check(self, path: &Path) -> Result<(), OpenError> {
        let refused = match self {
            Self::InMemory(name) => format!(
                "{} is on {name}, which the next restart empties",
                path.display()
            ),
            Self::Network(name) => format!(
                "{} is on {name}: SQLite's locks do not hold over a network",
                path.display()
            ),
            Self::Layered(name) => {
                tracing::warn!(
                    path = %path.display(),
                    filesystem = name,
                    "the inbox is in a container's own layer and goes with it; mount a volume"
                );
                return Ok(());
            }
            Self::Elsewhere(name) => {
                tracing::warn!(
                    path = %path.display(),
                    filesystem = name,
                    "the inbox lies behind a file system that may be a network's, such as sshfs or \
                     s3fs, where locks and syncs do not hold; put it on a local disk"
                );
                return Ok(());
            }
            Self::Local => return Ok(()),
        };
        Err(OpenError::new(
            OpenErrorKind::Filesystem,
            format!("{refused}; put it on a local disk"),
        ))
    }

    /// Whether what is written there is there after a restart.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Self::Elsewhere(_) | Self::Layered(_) | Self::Local)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Elsewhere(name)
            | Self::InMemory(name)
            | Self::Layered(name)
            | Self::Network(name) => name,
            Self::Local => "a local file system",
        }
    }
}

#[cfg(target_os = "linux")]
fn kind_of(folder: &Path) -> io::Result<Filesystem> {
    let magic = rustix::fs::statfs(folder)?.f_type;
    // Some platforms keep the number signed; every known one has 32 bits.
    let magic = u32::try_from(i128::from(magic) & 0xffff_ffff).unwrap_or_default();
    Ok(FILESYSTEMS
        .iter()
        .find(|(known, _)| *known == magic)
        .map_or(Filesystem::Local, |(_, kind)| *kind))
}

/// Elsewhere nothing tells, and the folder is taken as it is.
#[cfg(not(target_os = "linux"))]
fn kind_of(folder: &Path) -> io::Result<Filesystem> {
    std::fs::metadata(folder).map(|_| Filesystem::Local)
}

/// The file's own name, where there is one: the log and the lock lie beside the
/// file, not beside a link to it, and the link may be on another file system.
/// As it is given elsewhere than on Unix, whose names SQLite understands.
pub(crate) fn resolve(path: PathBuf) -> PathBuf {
    if cfg!(unix) {
        path.canonicalize().unwrap_or(path)
    } else {
        path
    }
}

/// Creates the file, empty and for its owner alone: it will hold what senders
/// sent. An existing one stays as it is.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::unavailable("create", path, error)),
    }
}

/// The receiver's lock. The kernel gives it back when the process ends, however
/// it ends.
#[derive(Debug)]
pub(crate) struct ReceiverLock(#[expect(dead_code, reason = "held, not used")] File);

impl ReceiverLock {
    /// Takes the lock, waiting this long for another receiver to end.
    pub(crate) fn take(database: &Path, wait: Duration) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let failed = |error: io::Error| OpenError::unavailable("lock", &path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(failed)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let left = wait.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(locked(&file, database, wait));
            }
            thread::sleep(left.min(RETRY));
        }
        // For whoever waits next; the lock is what counts, so a failure is none.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

fn locked(mut file: &File, database: &Path, wait: Duration) -> OpenError {
    let mut holder = String::new();
    // Best effort: the number only helps to find the other one.
    let _ = file
        .rewind()
        .and_then(|()| file.read_to_string(&mut holder));
    let holder = match holder.trim() {
        "" => String::new(),
        process => format!(" (process {process})"),
    };
    OpenError::new(
        OpenErrorKind::Locked,
        format!(
            "another receiver{holder} has had {} open for the last {wait:?}; run one receiver on \
             an SQLite inbox, and end it before the next one starts",
            database.display()
        ),
    )
}

/// Which file it is, whatever its name. Where the platform does not tell, every
/// file is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::metadata(path)?;
        Ok(Self {
            device: file.dev(),
            number: file.ino(),
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|_| Self {
            device: 0,
            number: 0,
        })
    }
}

/// A file next to the database, as SQLite names them.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

const RETRY: Duration = Duration::from_millis(20);

/// By the numbers in Linux's `include/uapi/linux/magic.h`, and those that file
/// systems outside it use.
#[cfg(target_os = "linux")]
const FILESYSTEMS: &[(u32, Filesystem)] = &[
    (0x0102_1994, Filesystem::InMemory("tmpfs")),
    (0x8584_58f6, Filesystem::InMemory("ramfs")),
    (0x794c_7630, Filesystem::Layered("overlayfs")),
    // virtiofs too: it gives the same number.
    (0x6573_5546, Filesystem::Elsewhere("FUSE")),
    (0x786f_4256, Filesystem::Elsewhere("vboxsf")),
    (0x5346_414f, Filesystem::Network("AFS")),
    (0x6b41_4653, Filesystem::Network("AFS")),
    (0x1983_0326, Filesystem::Network("BeeGFS")),
    (0x00c3_6400, Filesystem::Network("Ceph")),
    (0xff53_4d42, Filesystem::Network("CIFS")),
    (0x7375_7245, Filesystem::Network("Coda")),
    (0x0116_1970, Filesystem::Network("GFS2")),
    (0x4750_4653, Filesystem::Network("GPFS")),
    (0x0bd0_0bd0, Filesystem::Network("Lustre")),
    (0x0000_564c, Filesystem::Network("NCP")),
    (0x0000_6969, Filesystem::Network("NFS")),
    (0x7461_636f, Filesystem::Network("OCFS2")),
    (0x2003_0528, Filesystem::Network("OrangeFS")),
    (0x0000_517b, Filesystem::Network("SMB")),
    (0xfe53_4d42, Filesystem::Network("SMB")),
    (0x0102_1997, Filesystem::Network("9p")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_refused_and_named() {
        let path = Path::new("/dev/shm/webhooks.db");
        let found = Filesystem::of(path).unwrap();
        assert_eq!(found, Filesystem::InMemory("tmpfs"));
        assert!(!found.keeps());
        let refused = found.check(path).unwrap_err();
        assert_eq!(refused.kind(), OpenErrorKind::Filesystem);
        assert_eq!(
            refused.to_string(),
            "/dev/shm/webhooks.db is on tmpfs, which the next restart empties; \
             put it on a local disk"
        );
    }

    #[test]
    fn a_network_is_refused_and_a_container_layer_is_not() {
        let path = Path::new("webhooks.db");
        let refused = Filesystem::Network("NFS").check(path).unwrap_err();
        assert_eq!(refused.kind(), OpenErrorKind::Filesystem);
        assert!(Filesystem::Layered("overlayfs").check(path).is_ok());
        assert!(Filesystem::Layered("overlayfs").keeps());
        assert!(Filesystem::Elsewhere("FUSE").check(path).is_ok());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn each_number_is_listed_once_and_says_what_it_is_worth() {
        let known = |magic: u32| {
            let mut found = FILESYSTEMS.iter().filter(|(known, _)| *known == magic);
            let kind = found.next().map(|(_, kind)| *kind);
            assert_eq!(found.next(), None, "{magic:x}");
            kind
        };
        assert!(FILESYSTEMS.iter().all(|(magic, _)| known(*magic).is_some()));
        assert_eq!(known(0x6573_5546), Some(Filesystem::Elsewhere("FUSE")));
        for (magic, name) in [(0x0116_1970, "GFS2"), (0x7461_636f, "OCFS2")] {
            assert_eq!(known(magic), Some(Filesystem::Network(name)));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let failed = Filesystem::of(Path::new("/nowhere/webhooks.db")).unwrap_err();
        assert_eq!(failed.kind(), OpenErrorKind::Unavailable);
        assert_eq!(failed.to_string(), "cannot look at the folder /nowhere");
    }
}
