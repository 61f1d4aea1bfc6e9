//! One process at a time: a lock file beside the database, and the mark of an abort.
//!
//! SQLite would let two connectors write to one file; both would then deliver. The lock is the kernel's, so it is gone
//! with its process however that ended; the number in the file only tells the operator whom to look for.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::StartError;
use super::sqlite::schema::of_io;

/// Held as long as the database is open for writing.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of this database or says who has it.
    ///
    /// # Errors
    /// [`StartError::Locked`], or what the disk said.
    pub fn take(database: &Path) -> Result<Self, StartError> {
        let path = beside(database, ".lock");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path);
        let mut file = open.map_err(|e| of_io(database, &e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(StartError::Locked { path: database.to_owned(), pid: pid_in(&mut file) });
            }
            Err(error) => return Err(of_io(database, &error.into())),
        }
        let number = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(number.as_bytes()))
            .map_err(|e| of_io(database, &e))?;
        Ok(Self { _file: file })
    }
}

/// The process that holds this database, if one does.
pub fn holder(database: &Path) -> Option<u32> {
    let mut file = File::open(beside(database, ".lock")).ok()?;
    // A shared lock that succeeds means that nobody holds it; it goes with the file at the end of this function.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => pid_in(&mut file),
        _ => None,
    }
}

/// Notes that this process is about to abort, so that the next start can tell a conversation that brings it down.
/// For the panic hook: makes one empty file, and cannot fail loudly.
pub fn mark_abort(database: &Path) {
    let _ = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(beside(database, ".aborted"));
}

/// Whether the last process ended so; forgets it.
pub fn take_abort(database: &Path) -> bool {
    std::fs::remove_file(beside(database, ".aborted")).is_ok()
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database.as_os_str());
    name.push(ending);
    PathBuf::from(name)
}
