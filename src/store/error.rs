//! What can go wrong with the database, in the operator's words.

use std::fmt;
use std::path::PathBuf;

/// The database cannot be used at start: the service must not begin.
#[derive(Debug)]
pub enum StartError {
    /// Neither the file nor its folder can be made or written.
    NotWritable { path: PathBuf, why: String },
    /// No space left where the database lies.
    DiskFull { path: PathBuf },
    /// Another process holds it.
    Locked { path: PathBuf, pid: Option<u32> },
    /// It is no database of ours, or a damaged one.
    Corrupt { path: PathBuf, why: String },
    /// A newer version of this program wrote it.
    Newer { path: PathBuf, has: i64, knows: i64 },
    /// Anything else the disk or SQLite said.
    Io { path: PathBuf, why: String },
}

impl StartError {
    /// As in sysexits: 78 where the administrator has to change something, 74 where the disk failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotWritable { .. } | Self::Locked { .. } | Self::Newer { .. } => 78,
            Self::DiskFull { .. } | Self::Corrupt { .. } | Self::Io { .. } => 74,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritable { path, why } => write!(
                f,
                "the database {} cannot be written: {why}. Check the owner and mode of the file and its folder, and \
                 `[store] path`",
                path.display()
            ),
            Self::DiskFull { path } => write!(
                f,
                "no space left for the database {}. Free some space, or move it by `[store] path`",
                path.display()
            ),
            Self::Locked { path, pid: Some(pid) } => write!(
                f,
                "the database {} is in use by process {pid}. Stop that one first, or give this one its own `[store] path`",
                path.display()
            ),
            Self::Locked { path, pid: None } => write!(
                f,
                "the database {} is in use by another process. Stop that one first, or give this one its own `[store] \
                 path`",
                path.display()
            ),
            Self::Corrupt { path, why } => write!(
                f,
                "the database {} is damaged or no database of this program: {why}. Move it away and restore the last \
                 backup, or start without one: open calls are then found again in Asterisk, the history is not",
                path.display()
            ),
            Self::Newer { path, has, knows } => write!(
                f,
                "the database {} was written by a newer version of this program (its schema is {has}, this program knows \
                 {knows}). Install that version again, or restore a backup from before the upgrade",
                path.display()
            ),
            Self::Io { path, why } => write!(f, "the database {} cannot be opened: {why}", path.display()),
        }
    }
}

impl std::error::Error for StartError {}

/// A statement or a commit failed while running.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// The surroundings failed (disk full, input/output, locked, read-only): worth trying again.
    Failing { why: String, disk_full: bool },
    /// This one thing cannot be stored, ever: a fault of ours.
    Unstorable { why: String },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing { why, .. } | Self::Unstorable { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}
