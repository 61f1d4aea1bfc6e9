//! The real binary, started on a configuration in a folder of its own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A configuration and the state that belongs to it.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("pinconnector.toml")
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("calls.db")
    }

    pub fn write(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.config(), text).expect("written");
        std::fs::set_permissions(self.config(), std::fs::Permissions::from_mode(0o640)).expect("mode set");
    }

    /// The usual configuration: one exchange, one webhook.
    pub fn write_usual(&self, ami_port: u16, crm_url: &str, more: &str) {
        self.write(&format!(
            "[[asterisk]]\nname = \"office\"\nhost = \"127.0.0.1\"\nport = {ami_port}\nusername = \"pinconnector\"\n\
             secret = \"a-secret-of-twenty-bytes\"\n\n[numbers]\nregion = \"RU\"\n\n[store]\npath = {:?}\n\n\
             [[crm]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{crm_url}\"\nsecret = \"another-secret-of-bytes\"\n\
             timeout_s = 2\nconnect_timeout_s = 1\n\n[agi]\nlisten = []\n\n[http]\nlisten = []\n{more}",
            self.database()
        ));
    }

    /// Runs a command to its end.
    pub fn command(&self, words: &[&str]) -> Output {
        Command::new(program())
            .args(["--config", self.config().to_str().expect("UTF-8")])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    }

    /// Starts the service.
    pub fn start(&self) -> Service {
        self.start_with(&[])
    }

    /// Starts the service with something more in its environment.
    pub fn start_with(&self, environment: &[(&str, &str)]) -> Service {
        let log = self.folder.path().join("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let child = Command::new(program())
            .args(["--config", self.config().to_str().expect("UTF-8"), "run"])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Service { child, log }
    }
}

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_pinconnector"))
}

/// A running service; killed when dropped.
pub struct Service {
    pub child: Child,
    pub log: PathBuf,
}

impl Service {
    pub fn signal(&self, name: &str) {
        let done = Command::new("/bin/kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// SIGKILL, in whatever it is doing.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(Instant::now() < until, "still running; its log:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    pub fn log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(&self.log).expect("a log").read_to_string(&mut text).expect("UTF-8");
        text
    }

    /// Waits until the log holds `text`.
    pub fn wait_for_log(&self, text: &str, limit: Duration) {
        let until = Instant::now() + limit;
        while !self.log().contains(text) {
            assert!(Instant::now() < until, "no {text:?} in the log:\n{}", self.log());
            std::thread::yield_now();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
