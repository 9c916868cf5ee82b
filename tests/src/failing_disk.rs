//! A disk that fails when a test tells it to, before the files of one process.

use std::{
    ffi::OsString,
    fmt,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::disk_folder;

/// What fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    name: &'static str,
    kind: u64,
    error: u64,
    /// How many calls fail.
    calls: u64,
}

/// `EIO` and `ENOSPC`, on every Linux.
const BROKEN: u64 = 5;
const FULL: u64 = 28;

impl Fault {
    /// One write or truncation fails with an I/O error.
    pub const BROKEN_WRITE: Self = Self::new("one write is broken", 1, BROKEN, 1);
    /// Every write fails so, until the disk is healed.
    pub const BROKEN_WRITES: Self = Self::new("writes are broken", 1, BROKEN, u64::MAX);
    /// One write fails, for want of room.
    pub const FULL_ONCE: Self = Self::new("full for one write", 1, FULL, 1);
    /// One write does half of what it should; from then on there is no room,
    /// until the disk is healed.
    pub const FULL: Self = Self::new("full", 2, FULL, u64::MAX);
    /// One sync fails. What it should have saved can still be read, and is gone
    /// after a power cut.
    pub const BROKEN_SYNC: Self = Self::new("one sync is broken", 3, BROKEN, 1);
    /// Every sync fails so, until the disk is healed.
    pub const BROKEN_SYNCS: Self = Self::new("syncs are broken", 3, BROKEN, u64::MAX);
    /// One sync fails, and what it should have saved is gone at once.
    pub const EVICTING_SYNC: Self = Self::new("one sync is broken and evicts", 4, BROKEN, 1);

    const fn new(name: &'static str, kind: u64, error: u64, calls: u64) -> Self {
        Self {
            name,
            kind,
            error,
            calls,
        }
    }

    fn counter(self) -> Number {
        match self.kind {
            1 | 2 => Number::SeenWrites,
            _ => Number::SeenSyncs,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// As in the shim.
#[derive(Debug, Clone, Copy)]
enum Number {
    SeenWrites,
    SeenSyncs,
    Fault,
    From,
    Until,
    Error,
    Failed,
    Reused,
}

const NO_FAULT: u64 = 0;
const POWER_CUT: u64 = 5;

/// A folder on such a disk. It fails for the process that is started with its
/// [`environment`](Self::environment), and for nobody else.
#[derive(Debug)]
pub struct FailingDisk {
    numbers: File,
    home: TempDir,
}

impl FailingDisk {
    /// A new folder.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let home = disk_folder();
        std::fs::create_dir(home.path().join("disk")).unwrap();
        let path = home.path().join("numbers");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let numbers = options.open(path).unwrap();
        numbers.set_len(8 * (Number::Reused as u64 + 1)).unwrap();
        Self { numbers, home }
    }

    /// The folder.
    ///
    /// # Panics
    ///
    /// When it is gone.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.home.path().canonicalize().unwrap().join("disk")
    }

    /// What makes a process use this disk.
    ///
    /// # Panics
    ///
    /// When there is no C compiler.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, OsString); 3] {
        [
            ("LD_PRELOAD", shim().into()),
            ("FAILING_DISK_FOLDER", self.folder().into()),
            (
                "FAILING_DISK_NUMBERS",
                self.home.path().join("numbers").into(),
            ),
        ]
    }

    /// The disk of this process: the one that it was started with.
    ///
    /// # Panics
    ///
    /// When it was started without.
    #[must_use]
    pub fn of_this_process() -> FaultSwitch {
        let path = std::env::var_os("FAILING_DISK_NUMBERS").unwrap();
        let mut options = OpenOptions::new();
        FaultSwitch(options.read(true).write(true).open(path).unwrap())
    }

    /// What makes it fail.
    ///
    /// # Panics
    ///
    /// When the process may open no more files.
    #[must_use]
    pub fn switch(&self) -> FaultSwitch {
        FaultSwitch(self.numbers.try_clone().unwrap())
    }
}

impl Default for FailingDisk {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a [`FailingDisk`] fail.
#[derive(Debug)]
pub struct FaultSwitch(File);

impl FaultSwitch {
    /// From the `nth` call from now on that the fault is about, counted from 1.
    pub fn arm(&self, fault: Fault, nth: u64) {
        self.heal();
        let from = self.read(fault.counter()) + nth;
        self.write(Number::From, from);
        self.write(Number::Until, from.saturating_add(fault.calls));
        self.write(Number::Error, fault.error);
        self.write(Number::Failed, 0);
        self.write(Number::Fault, fault.kind);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.write(Number::Fault, NO_FAULT);
    }

    /// The next call kills the process, and everything is gone that is not
    /// certain to be on the disk.
    pub fn cut_power(&self) {
        self.write(Number::Fault, POWER_CUT);
    }

    /// How many calls have failed since the disk was armed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.read(Number::Failed)
    }

    /// How many writes went to an open log of SQLite's after a sync that should
    /// have saved what was written to it before had failed.
    #[must_use]
    pub fn reused(&self) -> u64 {
        self.read(Number::Reused)
    }

    fn read(&self, number: Number) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 8 * number as u64).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn write(&self, number: Number, value: u64) {
        let at = 8 * number as u64;
        self.0.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
}

/// The library to preload, built once.
fn shim() -> &'static Path {
    static SHIM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = SHIM.get_or_init(|| {
        let folder = disk_folder();
        let library = folder.path().join("failing_disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/failing_disk.c");
        let mut cc = Command::new("cc");
        cc.args([
            "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror",
        ]);
        let built = cc.arg("-o").arg(&library).arg(source).arg("-ldl").output();
        let built = built.unwrap_or_else(|error| panic!("{cc:?}: {error}"));
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{cc:?}: {said}");
        (folder, library)
    });
    library
}
