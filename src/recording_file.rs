//! Finds the file of a recording, never outside its folder: where the PBX put it, or where and under which ending nightly
//! jobs leave it. And removes it. What a recording is and what its state means is left to `call` and `recordings`.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use jiff::tz::TimeZone;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What nightly jobs make of a recording.
const ENDINGS: [&str; 6] = ["wav", "WAV", "mp3", "ogg", "opus", "gsm"];
/// Folders of an absolute name that may be ours, too.
const DEPTH_MAX: usize = 4;
/// Where Asterisk puts recordings, if its path is absolute and the folder is mounted elsewhere here.
const USUAL_FOLDER: &str = "/var/spool/asterisk/monitor";

/// Where else recordings may lie than where the PBX put them.
#[derive(Clone, Debug)]
pub struct Search {
    /// Folders below the recordings folder, as `{year}/{month}/{day}`.
    pub patterns: Vec<String>,
    pub zone: TimeZone,
}

/// Why there is no sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// The folder is not there, or empty: not mounted.
    Folder,
    /// The folder is there, the file is not.
    File,
}

/// An open recording.
#[derive(Debug)]
pub struct Found {
    pub file: File,
    /// Below the recordings folder.
    pub path: PathBuf,
    pub bytes: u64,
    pub modified_ns: i128,
}

/// Opens the file of a recording that began at `started_ms` (UTC) and that the PBX named `file`: where it was put, else in
/// the folders of `search`, in each under its own name or with another ending.
///
/// # Errors
/// [`Missing`]; a path that leads out of the folder, by `..` or a symbolic link, is a file that is not there.
pub fn find(folder: &Path, file: &str, started_ms: i64, search: &Search) -> Result<Found, Missing> {
    let root = open_folder(folder).map_err(|_| Missing::Folder)?;
    let path = inside(folder, file).ok_or(Missing::File)?;
    if let Some(found) = open_file(&root, &path) {
        return Ok(found);
    }
    let (name, stem) = (path.file_name().ok_or(Missing::File)?, path.file_stem().ok_or(Missing::File)?);
    // The PBX may have another name for the folder than we: `/srv/monitor/2026/a.wav` is `2026/a.wav` or `a.wav` here.
    let own: Vec<PathBuf> = if Path::new(file).is_absolute() {
        let above = path.parent().unwrap_or(Path::new(""));
        let parts: Vec<_> = above.components().collect();
        let from = parts.len().saturating_sub(DEPTH_MAX);
        (from..=parts.len()).map(|from| parts[from..].iter().collect()).collect()
    } else {
        vec![path.parent().unwrap_or(Path::new("")).to_owned()]
    };
    let dated = jiff::Timestamp::from_millisecond(started_ms).ok().map(|at| at.to_zoned(search.zone.clone()));
    let moved = search.patterns.iter().filter_map(|pattern| {
        let at = dated.as_ref()?;
        let filled = pattern
            .replace("{year}", &format!("{:04}", at.year()))
            .replace("{month}", &format!("{:02}", at.month()))
            .replace("{day}", &format!("{:02}", at.day()));
        inside(folder, &filled)
    });
    for folder in own.into_iter().chain(moved) {
        if let Some(found) = open_file(&root, &folder.join(name)) {
            return Ok(found);
        }
        for ending in ENDINGS {
            let mut name = stem.to_owned();
            name.push(".");
            name.push(ending);
            if let Some(found) = open_file(&root, &folder.join(name)) {
                return Ok(found);
            }
        }
    }
    Err(if is_empty(&root) { Missing::Folder } else { Missing::File })
}

/// Whether the folder is there and holds anything.
pub fn is_there(folder: &Path) -> bool {
    open_folder(folder).is_ok_and(|root| !is_empty(&root))
}

/// Removes a file that [`find`] found at `path` below `folder`; false if it is not there any more. Links are not followed
/// and not removed, so nothing outside the folder can be meant.
///
/// # Errors
/// If the system does not allow it, or `path` is no plain file below the folder.
pub fn remove(folder: &Path, path: &Path) -> io::Result<bool> {
    let root = open_folder(folder)?;
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let above = match path.parent().filter(|above| !above.as_os_str().is_empty()) {
        Some(above) => {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
            match open_beneath(&root, above, flags) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                opened => OwnedFd::from(opened?),
            }
        }
        None => root,
    };
    let facts = match rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        facts => facts?,
    };
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file but a link or a folder"));
    }
    match rustix::fs::unlinkat(&above, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}

fn open_folder(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

/// A mount point on which nothing is mounted is a folder without anything in it.
fn is_empty(root: &OwnedFd) -> bool {
    let Ok(entries) = rustix::fs::Dir::read_from(root) else { return true };
    entries.flatten().all(|entry| matches!(entry.file_name().to_bytes(), b"." | b".."))
}

/// The path of a recording's file below the folder; `None` if it leads anywhere else.
pub fn inside(folder: &Path, file: &str) -> Option<PathBuf> {
    if file.contains('\0') {
        return None;
    }
    let path = Path::new(file);
    let path = path.strip_prefix(folder).or_else(|_| path.strip_prefix(USUAL_FOLDER)).unwrap_or(path);
    let path = path.strip_prefix("/").unwrap_or(path);
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)).then(|| path.to_owned())
}

fn open_file(root: &OwnedFd, path: &Path) -> Option<Found> {
    // Without NONBLOCK a named pipe in the folder would hold us up for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open_beneath(root, path, flags).ok()?;
    let facts = file.metadata().ok()?;
    let modified_ns = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
    facts.is_file().then(|| Found { file, path: path.to_owned(), bytes: facts.len(), modified_ns })
}

/// Opens `path` below `root` and nowhere else, whatever links lie on the way and however they change meanwhile.
fn open_beneath(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<File> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(file) => return Ok(file.into()),
        // Linux before 5.6, or a sandbox that does not know the call: step by step and without any links.
        Err(Errno::NOSYS | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    open_stepwise(root, path, flags)
}

fn open_stepwise(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<File> {
    let mut parts = path.components().peekable();
    let mut folder: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(Errno::XDEV.into()) };
        let above = folder.as_ref().unwrap_or(root);
        let is_last = parts.peek().is_none();
        let kind = if is_last { flags } else { OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY };
        let opened = rustix::fs::openat(above, name, kind | OFlags::NOFOLLOW, Mode::empty())?;
        if is_last {
            return Ok(opened.into());
        }
        folder = Some(opened);
    }
    Err(Errno::NOENT.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(patterns: &[&str]) -> Search {
        Search { patterns: patterns.iter().map(|p| (*p).to_owned()).collect(), zone: TimeZone::UTC }
    }

    /// At 2026-11-22T06:33:28Z.
    fn look(folder: &Path, file: &str, search: &Search) -> Result<Found, Missing> {
        find(folder, file, 1_795_329_208_170, search)
    }

    #[test]
    fn nothing_outside_the_folder_is_opened() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("secret.wav"), "secret").expect("written");
        let within = tempfile::tempdir().expect("a folder");
        let folder = within.path();
        std::fs::create_dir(folder.join("day")).expect("made");
        std::fs::write(folder.join("day/звонок 1.wav"), "sound").expect("written");
        std::os::unix::fs::symlink(outside.path().join("secret.wav"), folder.join("link.wav")).expect("linked");
        std::os::unix::fs::symlink(outside.path(), folder.join("out")).expect("linked");
        std::os::unix::fs::symlink("day/звонок 1.wav", folder.join("in.wav")).expect("linked");
        let secret = outside.path().join("secret.wav").display().to_string();
        for file in [
            "../secret.wav",
            "day/../../secret.wav",
            "link.wav",
            "out/secret.wav",
            &secret,
            "/etc/passwd",
            "day",
            "",
            ".",
        ] {
            assert!(look(folder, file, &search(&[])).is_err(), "{file}");
        }
        let absolute = folder.join("day/звонок 1.wav").display().to_string();
        for file in [
            "day/звонок 1.wav",
            "./day/звонок 1.wav",
            &absolute,
            "/var/spool/asterisk/monitor/day/звонок 1.wav",
            "in.wav",
        ] {
            assert_eq!(look(folder, file, &search(&[])).map(|f| f.bytes), Ok(5), "{file}");
        }
        let root: OwnedFd = File::open(folder).expect("opens").into();
        for (file, opens) in
            [("day/звонок 1.wav", true), ("link.wav", false), ("out/secret.wav", false), ("../x", false)]
        {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            assert_eq!(open_stepwise(&root, Path::new(file), flags).is_ok(), opens, "{file}, without openat2");
        }
        let gone = look(&folder.join("no"), "a.wav", &search(&[]));
        assert_eq!(gone.map(|f| f.bytes), Err(Missing::Folder));
        let empty = tempfile::tempdir().expect("a folder");
        let unmounted = look(empty.path(), "a.wav", &search(&[]));
        assert_eq!(unmounted.map(|f| f.bytes), Err(Missing::Folder), "a mount point on which nothing is mounted");
        assert!(!is_there(empty.path()) && is_there(folder) && !is_there(&folder.join("no")));
    }

    #[test]
    fn a_file_that_was_moved_and_converted_is_found() {
        let within = tempfile::tempdir().expect("a folder");
        let folder = within.path();
        std::fs::create_dir_all(folder.join("2026/11/22")).expect("made");
        std::fs::write(folder.join("2026/11/22/out-101.mp3"), "mp3").expect("written");
        let found = look(folder, "out-101.wav", &search(&["{year}/{month}/{day}"])).expect("found");
        assert_eq!(found.path, Path::new("2026/11/22/out-101.mp3"));
        assert_eq!(look(folder, "out-101.wav", &search(&["../{year}"])).map(|f| f.bytes), Err(Missing::File));
        assert_eq!(look(folder, "/srv/voice/2026/11/22/out-101.wav", &search(&[])).map(|f| f.bytes), Ok(3));
        std::fs::write(folder.join("out-102.alaw"), "al").expect("written");
        assert_eq!(look(folder, "/srv/voice/office/out-102.alaw", &search(&[])).map(|f| f.bytes), Ok(2));
        assert_eq!(look(folder, "/srv/voice/../out-102.alaw", &search(&[])).map(|f| f.bytes), Err(Missing::File));
        std::fs::write(folder.join("out-101.ogg"), "ogg!").expect("written");
        assert_eq!(look(folder, "out-101.wav", &search(&[])).map(|f| f.bytes), Ok(4));
    }
    #[test]
    fn only_a_plain_file_in_the_folder_is_removed() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("a.wav"), "outside").expect("written");
        let within = tempfile::tempdir().expect("a folder");
        let folder = within.path();
        std::fs::create_dir(folder.join("day")).expect("made");
        std::fs::write(folder.join("day/a.wav"), "sound").expect("written");
        std::fs::write(folder.join("b.wav"), "sound").expect("written");
        std::os::unix::fs::symlink(outside.path(), folder.join("out")).expect("linked");
        std::os::unix::fs::symlink(outside.path().join("a.wav"), folder.join("link.wav")).expect("linked");
        std::os::unix::fs::symlink("b.wav", folder.join("in.wav")).expect("linked");
        for file in ["out/a.wav", "link.wav", "in.wav", "../a.wav", "day", "day/..", ""] {
            assert!(remove(folder, Path::new(file)).is_err(), "{file}");
        }
        assert!(outside.path().join("a.wav").exists() && folder.join("b.wav").exists());
        for file in ["day/a.wav", "b.wav"] {
            assert_eq!(remove(folder, Path::new(file)).ok(), Some(true), "{file}");
            assert_eq!(remove(folder, Path::new(file)).ok(), Some(false), "{file}, again");
        }
        assert_eq!(remove(folder, Path::new("no/such.wav")).ok(), Some(false));
        assert!(remove(&folder.join("no"), Path::new("a.wav")).is_err(), "no folder");
    }
}
