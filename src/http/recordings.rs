//! The sound of a call, straight from the disk: finding the file, never outside its folder, and answering the part that was
//! asked for. Whose sound it is and who may hear it is decided by the desk.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use jiff::tz::TimeZone;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::answer::{Answer, Body};
use super::links::escape;
use super::office::RecordingPlace;
use super::request::{Method, Request};
use super::sound::{self, Coding};

/// What nightly jobs make of a recording.
const ENDINGS: [&str; 6] = ["wav", "WAV", "mp3", "ogg", "opus", "gsm"];
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
    /// No folder is configured, or it is not there now (not mounted).
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

/// Opens the file of a recording: where the PBX put it, else under its name with another ending, there and in the folders
/// of `search`.
///
/// # Errors
/// [`Missing`]; a path that leads out of the folder, by `..` or a symbolic link, is a file that is not there.
pub fn find(place: &RecordingPlace, search: &Search) -> Result<Found, Missing> {
    let folder = place.folder.as_ref().ok_or(Missing::Folder)?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let root = rustix::fs::open(folder, flags, Mode::empty()).map_err(|_| Missing::Folder)?;
    let path = inside(folder, &place.file).ok_or(Missing::File)?;
    if let Some(found) = open_file(&root, &path) {
        return Ok(found);
    }
    let stem = path.file_stem().ok_or(Missing::File)?;
    let own = path.parent().unwrap_or(Path::new("")).to_owned();
    let dated = jiff::Timestamp::from_millisecond(place.started_at.0).ok().map(|at| at.to_zoned(search.zone.clone()));
    let moved = search.patterns.iter().filter_map(|pattern| {
        let at = dated.as_ref()?;
        let filled = pattern
            .replace("{year}", &format!("{:04}", at.year()))
            .replace("{month}", &format!("{:02}", at.month()))
            .replace("{day}", &format!("{:02}", at.day()));
        inside(folder, &filled)
    });
    for folder in std::iter::once(own).chain(moved) {
        for ending in ENDINGS {
            let mut name = stem.to_owned();
            name.push(".");
            name.push(ending);
            if let Some(found) = open_file(&root, &folder.join(name)) {
                return Ok(found);
            }
        }
    }
    Err(Missing::File)
}

/// The path below the folder; `None` if it leads anywhere else.
fn inside(folder: &Path, file: &str) -> Option<PathBuf> {
    if file.contains('\0') {
        return None;
    }
    let path = Path::new(file);
    let path = path.strip_prefix(folder).or_else(|_| path.strip_prefix(USUAL_FOLDER)).unwrap_or(path);
    let path = path.strip_prefix("/").unwrap_or(path);
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)).then(|| path.to_owned())
}

fn open_file(root: &OwnedFd, path: &Path) -> Option<Found> {
    let file = open_beneath(root, path).ok()?;
    let facts = file.metadata().ok()?;
    let modified_ns = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
    facts.is_file().then(|| Found { file, path: path.to_owned(), bytes: facts.len(), modified_ns })
}

/// Opens `path` below `root` and nowhere else, whatever links lie on the way and however they change meanwhile.
fn open_beneath(root: &OwnedFd, path: &Path) -> io::Result<File> {
    // Without NONBLOCK a named pipe in the folder would hold us up for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
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

/// What of the sound a request wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    Whole,
    /// From this byte, so many.
    Part {
        from: u64,
        length: u64,
    },
    /// Nothing of what there is.
    Nothing,
}

/// Reads a `Range` header against what there is. Several ranges at once, or another unit, are answered with the whole, as
/// RFC 9110 (14.2) allows.
pub fn wanted(range: &str, length: u64) -> Wanted {
    let Some(spec) = range.trim().strip_prefix("bytes=") else { return Wanted::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| {
        let text = text.trim();
        // Beyond 64 bits is beyond every file, and not another number.
        (text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(from), None) if last.trim().is_empty() && from < length => Wanted::Part { from, length: length - from },
        (Some(from), Some(to)) if from <= to && from < length => {
            Wanted::Part { from, length: to.min(length - 1) - from + 1 }
        }
        (Some(_), None) if last.trim().is_empty() => Wanted::Nothing,
        (Some(from), Some(to)) if from <= to => Wanted::Nothing,
        (None, Some(0)) if first.trim().is_empty() => Wanted::Nothing,
        (None, Some(tail)) if first.trim().is_empty() && length > 0 => {
            let tail = tail.min(length);
            Wanted::Part { from: length - tail, length: tail }
        }
        _ => Wanted::Whole,
    }
}

/// The answer to a request for this recording.
pub fn answer(request: &Request, place: &RecordingPlace, search: &Search, download: bool) -> Answer {
    let found = match find(place, search) {
        Ok(found) => found,
        Err(Missing::File) => {
            let text = "the file is gone: it was deleted, or moved where the connector does not look";
            return Answer::error(404, "deleted", text);
        }
        Err(Missing::Folder) => {
            return Answer::error(503, "unavailable", "the recordings folder is not there now; is it mounted?");
        }
    };
    let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (content_type, coding) = sound::kind_of(&name);
    let length = sound::length(coding, found.bytes);
    let etag = format!("\"{:x}-{:x}\"", found.bytes, found.modified_ns);
    let shown = if coding == Coding::AsItIs { name } else { format!("{name}.wav") };
    let manner = if download { "attachment" } else { "inline" };
    let plain: String =
        shown.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' }).collect();
    let dressed = |answer: Answer| {
        answer
            .with("Accept-Ranges", "bytes")
            .with("ETag", etag.clone())
            .with("Cache-Control", "private, no-cache")
            .with("Content-Disposition", format!("{manner}; filename=\"{plain}\"; filename*=UTF-8''{}", escape(&shown)))
            // Whatever lies in that file, a browser must take it for sound or nothing.
            .with("Content-Security-Policy", "default-src 'none'; media-src 'self'; sandbox")
    };
    let names_it =
        |list: &str| list.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*");
    if request.header("if-none-match").is_some_and(names_it) {
        return dressed(Answer::empty(304));
    }
    let is_current = request.header("if-range").is_none_or(|tag| tag == etag);
    let range =
        request.header("range").filter(|_| is_current && matches!(request.method(), Method::Get | Method::Head));
    let (status, from, part) = match range.map_or(Wanted::Whole, |range| wanted(range, length)) {
        Wanted::Whole => (200, 0, length),
        Wanted::Part { from, length } => (206, from, length),
        Wanted::Nothing => {
            let text = "the file is not that long";
            return Answer::error(416, "range", text).with("Content-Range", format!("bytes */{length}"));
        }
    };
    let source = match sound::open(found.file, coding, found.bytes, from) {
        Ok(source) => source,
        Err(error) => {
            log::warn!("recording {}: {error}", found.path.display());
            return Answer::error(503, "unavailable", "the file cannot be read now");
        }
    };
    let mut answer = dressed(Answer::empty(status)).with("Content-Type", content_type);
    if status == 206 {
        answer = answer.with("Content-Range", format!("bytes {from}-{}/{length}", from + part - 1));
    }
    answer.body = Body::Source { source, length: part };
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Moment;

    fn search(patterns: &[&str]) -> Search {
        Search { patterns: patterns.iter().map(|p| (*p).to_owned()).collect(), zone: TimeZone::UTC }
    }

    fn place(folder: &Path, file: &str) -> RecordingPlace {
        // 2026-11-22T06:33:28Z
        let started_at = Moment(1_795_329_208_170);
        RecordingPlace { folder: Some(folder.to_owned()), file: file.to_owned(), started_at, crms: vec![] }
    }

    #[test]
    fn ranges() {
        use Wanted::{Nothing, Part, Whole};
        for (range, found) in [
            ("bytes=0-", Part { from: 0, length: 100 }),
            ("bytes=0-0", Part { from: 0, length: 1 }),
            ("bytes=10-19", Part { from: 10, length: 10 }),
            ("bytes=90-200", Part { from: 90, length: 10 }),
            ("bytes=90-99999999999999999999999", Part { from: 90, length: 10 }),
            ("bytes=-10", Part { from: 90, length: 10 }),
            ("bytes=-1000", Part { from: 0, length: 100 }),
            ("bytes=100-", Nothing),
            ("bytes=100-200", Nothing),
            ("bytes=99999999999999999999999-", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=20-10", Whole),
            ("bytes=0-1,5-6", Whole),
            ("bytes=a-b", Whole),
            ("bytes=-", Whole),
            ("bytes=1", Whole),
            ("items=1-2", Whole),
            ("", Whole),
        ] {
            assert_eq!(wanted(range, 100), found, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Nothing);
        assert_eq!(wanted("bytes=-5", 0), Whole);
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
            assert!(find(&place(folder, file), &search(&[])).is_err(), "{file}");
        }
        let absolute = folder.join("day/звонок 1.wav").display().to_string();
        for file in [
            "day/звонок 1.wav",
            "./day/звонок 1.wav",
            &absolute,
            "/var/spool/asterisk/monitor/day/звонок 1.wav",
            "in.wav",
        ] {
            assert_eq!(find(&place(folder, file), &search(&[])).map(|f| f.bytes), Ok(5), "{file}");
        }
        let root: OwnedFd = File::open(folder).expect("opens").into();
        for (file, opens) in
            [("day/звонок 1.wav", true), ("link.wav", false), ("out/secret.wav", false), ("../x", false)]
        {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            assert_eq!(open_stepwise(&root, Path::new(file), flags).is_ok(), opens, "{file}, without openat2");
        }
        let gone = RecordingPlace { folder: Some(folder.join("no")), ..place(folder, "a.wav") };
        assert_eq!(find(&gone, &search(&[])).map(|f| f.bytes), Err(Missing::Folder));
    }

    #[test]
    fn a_file_that_was_moved_and_converted_is_found() {
        let within = tempfile::tempdir().expect("a folder");
        let folder = within.path();
        std::fs::create_dir_all(folder.join("2026/11/22")).expect("made");
        std::fs::write(folder.join("2026/11/22/out-101.mp3"), "mp3").expect("written");
        let found = find(&place(folder, "out-101.wav"), &search(&["{year}/{month}/{day}"])).expect("found");
        assert_eq!(found.path, Path::new("2026/11/22/out-101.mp3"));
        assert_eq!(find(&place(folder, "out-101.wav"), &search(&["../{year}"])).map(|f| f.bytes), Err(Missing::File));
        std::fs::write(folder.join("out-101.ogg"), "ogg!").expect("written");
        assert_eq!(find(&place(folder, "out-101.wav"), &search(&[])).map(|f| f.bytes), Ok(4));
    }
}
