//! The real binary on a configuration and a database of its own, and what `/proc` says of it.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::exchange::Exchange;

pub const SECRET: &str = "secret-of-the-benchmarks";

/// What differs between measurements.
#[derive(Clone, Default)]
pub struct Setting {
    /// Where the CRM is; https and unreachable if empty.
    pub crm: String,
    /// Neither status page nor FastAGI.
    pub is_closed: bool,
    /// More lines of the `[[crm]]` section.
    pub of_crm: String,
    /// Lines and sections at the end.
    pub more: String,
}

/// The service while it runs.
pub struct Program {
    child: Child,
    pub folder: TempDir,
    /// From the call of `exec` to the login's arrival.
    pub start: Duration,
}

/// Memory in MB of 1,048,576 bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    pub resident: f64,
    pub anonymous: f64,
}

impl Program {
    pub fn start(binary: &Path, exchange: &Exchange, setting: &Setting) -> Self {
        let folder =
            tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let config = folder.path().join("pinconnector.toml");
        std::fs::write(&config, text(folder.path(), exchange.port, setting)).expect("written");
        std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
        let logins = exchange.logins();
        let begun = Instant::now();
        let child = Command::new(binary)
            .arg("--config")
            .arg(&config)
            .arg("run")
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a file"))
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut program = Self { child, folder, start: Duration::ZERO };
        program.start = match exchange.login(logins) {
            Some(at) => at - begun,
            None => panic!("it did not log in: {}", program.log()),
        };
        program
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a file")
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    /// Where it listens, by what the log's line begins with.
    pub fn listens(&self, what: &str) -> SocketAddr {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.log();
            let found = log.lines().find_map(|line| line.split_once(&format!("{what}: listening on ")));
            if let Some((_, address)) = found {
                return address.trim().parse().expect("an address");
            }
            assert!(Instant::now() < until, "{what} is not open: {log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }

    /// Processor time of all its threads, those that ended included.
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    pub fn memory(&self) -> Memory {
        let status = self.proc("status");
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a line of it");
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
        };
        Memory { resident: of("VmRSS:"), anonymous: of("RssAnon:") }
    }

    /// Memory once it has nothing more to do: its processor time stands still for two seconds.
    pub fn settled(&self) -> Memory {
        let until = Instant::now() + Duration::from_secs(120);
        let mut last = Duration::MAX;
        while self.cpu() != last && Instant::now() < until {
            last = self.cpu();
            std::thread::sleep(Duration::from_secs(2));
        }
        self.memory()
    }

    /// Runs another command of the program beside it.
    pub fn command(&self, binary: &Path, words: &[&str]) -> String {
        let config = self.folder.path().join("pinconnector.toml");
        let mut child = Command::new(binary)
            .arg("--config")
            .arg(config)
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut said = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
        assert!(child.wait().expect("it ends").success(), "{words:?}: {said}");
        said
    }

    /// Ends it in order; bytes of its database afterwards.
    pub fn stop(mut self) -> u64 {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.log());
        std::fs::metadata(self.database()).expect("a database").len()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only where a measurement has failed; a program that has ended takes no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(folder: &Path, port: u16, setting: &Setting) -> String {
    let folder = folder.display();
    let url = if setting.crm.is_empty() { "https://127.0.0.1:9/" } else { &setting.crm };
    let doors = match setting.is_closed {
        true => "[http]\nlisten = []\n[agi]\nlisten = []\n",
        false => "[http]\nlisten = \"127.0.0.1:0\"\nlocal_without_login = true\n[agi]\nlisten = [\"127.0.0.1:0\"]\n",
    };
    // The audit would ask our exchange, which holds no channels, and end the calls.
    let (of_crm, more) = (&setting.of_crm, &setting.more);
    format!(
        r#"
[numbers]
region = "RU"
[[asterisk]]
name = "bench"
host = "127.0.0.1"
port = {port}
username = "pinconnector"
secret = "{SECRET}"
audit_s = 0
[store]
path = "{folder}/db"
[[crm]]
name = "crm"
kind = "webhook"
url = "{url}"
secret = "{SECRET}"
{of_crm}
{doors}
{more}
"#
    )
}
