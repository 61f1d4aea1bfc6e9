//! What is found of an Asterisk on this machine (or in a folder that is a machine's root): where its files are, which make it
//! is, what its dialplan leads to. Nothing is changed here; what is made of it is up to `setup` and `doctor`.

pub mod conf;
pub mod dialplan;
pub mod endpoints;

use std::path::{Path, PathBuf};

pub use conf::{Conf, Etc};
pub use dialplan::Dialplan;

/// Where Asterisk's configuration is if nobody says otherwise.
pub const USUAL_FOLDER: &str = "/etc/asterisk";

/// An Asterisk whose files are here.
#[derive(Clone, Debug)]
pub struct Host {
    pub etc: Etc,
    /// FreePBX generates most files and lets administrators keep to those that end in `_custom.conf`.
    pub is_freepbx: bool,
    /// `manager.conf` with what it includes; empty where it cannot be read.
    pub manager: Conf,
    /// Why it cannot.
    pub unreadable: Option<String>,
}

impl Host {
    /// Looks for an Asterisk under `root` (`/` usually), its configuration in `folder` there.
    pub fn find(root: Option<&Path>, folder: Option<&Path>) -> Option<Self> {
        let etc = Etc {
            root: root.unwrap_or(Path::new("/")).to_owned(),
            folder: folder.unwrap_or(Path::new(USUAL_FOLDER)).to_owned(),
        };
        if !["asterisk.conf", "manager.conf"].iter().any(|name| etc.path(name).exists()) {
            return None;
        }
        let is_freepbx = ["/etc/freepbx.conf", "/etc/amportal.conf"].iter().any(|f| etc.outside(Path::new(f)).exists())
            || etc.path("manager_custom.conf").exists() && etc.path("extensions_additional.conf").exists();
        let (manager, unreadable) = match etc.read("manager.conf") {
            Ok(manager) => (manager, None),
            Err(error) => (Conf::default(), Some(format!("{}: {error}", etc.path("manager.conf").display()))),
        };
        Some(Self { etc, is_freepbx, manager, unreadable })
    }

    /// Where this machine reaches the manager port, by `manager.conf`.
    pub fn manager_address(&self) -> (String, u16) {
        let bound = self.manager.get("general", "bindaddr").unwrap_or_default();
        let host = if matches!(bound, "" | "0.0.0.0" | "::" | "[::]") { "127.0.0.1" } else { bound };
        let port = self.manager.get("general", "port").and_then(|port| port.parse().ok()).unwrap_or(5038);
        (host.to_owned(), port)
    }

    /// The folder of recordings, as this machine names it, whether it is there or not.
    pub fn recordings(&self) -> PathBuf {
        let conf = self.etc.read("asterisk.conf").unwrap_or_default();
        let spool = conf.get("directories", "astspooldir").unwrap_or("/var/spool/asterisk").to_owned();
        self.etc.outside(&Path::new(&spool).join("monitor"))
    }

    /// The dialplan as its files have it; `None` where they cannot be read.
    pub fn dialplan(&self) -> Option<Dialplan> {
        self.etc.read("extensions.conf").ok().map(|conf| Dialplan::from_conf(&conf))
    }
}
