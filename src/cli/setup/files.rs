//! Writes files so that nobody ever sees half of one: a new file beside the old, then renamed over it. What is replaced is kept.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file that is to have this text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub path: PathBuf,
    pub text: String,
    pub owner: Owner,
    /// What it is for, in a few words.
    pub what: &'static str,
}

/// Whose a new file is. A file that is replaced keeps owner, group and mode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// root, readable by the group `pinconnector` where there is one: 0640.
    Ours,
    /// As this file is, at most 0640.
    Like(PathBuf),
}

/// What there is to do for a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Same,
    New,
    Differs,
}

const MODE: u32 = 0o640;
/// The group of the service's user, as the package makes it.
const OUR_GROUP: &str = "pinconnector";
/// Of folders we make.
const FOLDER_MODE: u32 = 0o750;

impl Change {
    pub fn state(&self) -> State {
        match fs::read(&self.path) {
            Ok(old) if old == self.text.as_bytes() => State::Same,
            Ok(_) => State::Differs,
            Err(_) => State::New,
        }
    }

    /// Makes it so. Gives the copy of what was replaced.
    ///
    /// # Errors
    /// If a file cannot be written; the old one is then as it was.
    pub fn apply(&self, stamp: &str) -> io::Result<Option<PathBuf>> {
        // Through a link, so that it stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let old = fs::metadata(&path).ok();
        let folder = path.parent().unwrap_or(Path::new("."));
        if !folder.exists() {
            fs::create_dir_all(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE))?;
            chown(folder, None, group(OUR_GROUP));
        }
        let kept = match &old {
            Some(old) => Some(keep(&path, old, stamp)?),
            None => None,
        };
        let (mode, uid, gid) = match (&old, &self.owner) {
            (Some(old), _) => (old.mode() & 0o777, Some(old.uid()), Some(old.gid())),
            (None, Owner::Ours) => (MODE, None, group(OUR_GROUP)),
            (None, Owner::Like(other)) => match fs::metadata(other) {
                // A file of root's alone is read by an Asterisk that is root, or by everybody; ours must not be.
                Ok(other) if other.gid() == 0 => (MODE, Some(other.uid()), group("asterisk").or(Some(0))),
                Ok(other) => (MODE, Some(other.uid()), Some(other.gid())),
                Err(_) => (MODE, None, None),
            },
        };
        let partial = folder.join(format!(".{}.{stamp}.partial", name(&path)));
        let written = write_whole(&partial, self.text.as_bytes(), mode, uid, gid);
        let renamed = written.and_then(|()| fs::rename(&partial, &path));
        if renamed.is_err() {
            let _ = fs::remove_file(&partial);
        }
        renamed?;
        // So that the new name survives a power failure, too.
        fs::File::open(folder)?.sync_all()?;
        Ok(kept)
    }
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    // Nobody else's before it is complete: it may hold a secret.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    chown(path, uid, gid);
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// A copy beside the file, under a name that no `*.conf` includes.
fn keep(path: &Path, old: &fs::Metadata, stamp: &str) -> io::Result<PathBuf> {
    let kept = path.with_file_name(format!("{}.{stamp}.bak", name(path)));
    write_whole(&kept, &fs::read(path)?, old.mode() & 0o777, Some(old.uid()), Some(old.gid()))?;
    Ok(kept)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Who is not root cannot give files away, and need not.
fn chown(path: &Path, uid: Option<u32>, gid: Option<u32>) {
    if let Err(error) = std::os::unix::fs::chown(path, uid, gid) {
        log::debug!("{}: the owner stays: {error}", path.display());
    }
}

fn group(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_the_old_one_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/x.conf");
        let change = |text: &str| Change { path: path.clone(), text: text.to_owned(), owner: Owner::Ours, what: "x" };
        assert_eq!(change("1").state(), State::New);
        assert_eq!(change("1").apply("a").expect("written"), None);
        assert_eq!(change("1").state(), State::Same);
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        assert_eq!(fs::metadata(path.parent().expect("a folder")).expect("there").mode() & 0o777, 0o750);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        assert_eq!(change("2").state(), State::Differs);
        let kept = change("2").apply("b").expect("written").expect("kept");
        assert_eq!(kept, folder.path().join("new/x.conf.b.bak"));
        assert_eq!((fs::read(&path).expect("read"), fs::read(&kept).expect("read")), (b"2".to_vec(), b"1".to_vec()));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600, "the mode stays");
        assert_eq!(fs::metadata(&kept).expect("there").mode() & 0o777, 0o600);
        // A file that cannot be written stays, and nothing is left beside it.
        fs::write(folder.path().join("new/.x.conf.c.partial"), "in the way").expect("written");
        assert!(change("3").apply("c").is_err());
        assert_eq!(fs::read(&path).expect("read"), b"2");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "1").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let change = Change { path: link.clone(), text: "2".to_owned(), owner: Owner::Ours, what: "x" };
        change.apply("a").expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("read"), b"2");
    }
}
