//! The process among others: signals, the supervisor's notify socket, exit codes, memory arenas.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::threads::Thread;

/// Exit codes, as `sysexits.h` has them.
pub mod exit {
    /// The command line was wrong.
    pub const USAGE: u8 = 64;
    /// What was read is not what it should be.
    pub const DATA: u8 = 65;
    /// A file to read is not there.
    pub const NO_INPUT: u8 = 66;
    /// Something needed is not available: the running service, a port.
    pub const UNAVAILABLE: u8 = 69;
    /// A broken invariant of ours.
    pub const SOFTWARE: u8 = 70;
    /// The system refused a thread, a socket.
    pub const SYSTEM: u8 = 71;
    /// Reading or writing failed.
    pub const IO: u8 = 74;
    /// May work later.
    pub const TEMPORARY: u8 = 75;
    /// The configuration is bad.
    pub const CONFIG: u8 = 78;
}

/// What the outside tells the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM, SIGINT: come to an end, in order.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: of two connectors for one exchange, let the other one be active.
    SwitchOver,
}

/// Listens for signals from now on. The queue holds two: a third of a kind adds nothing to what is already asked for.
///
/// # Errors
/// If the system gives no thread or no pipe.
pub fn signals() -> io::Result<Receiver<Signal>> {
    let mut pending = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    let (sender, receiver) = bounded(2);
    // Never joined: it waits for signals as long as there is a process.
    Thread::start("signals", move || {
        for signal in pending.forever() {
            let signal = match signal {
                SIGHUP => Signal::Reload,
                SIGUSR1 => Signal::SwitchOver,
                _ => Signal::Stop,
            };
            // Full: that much is asked for already. Disconnected: the service is past listening.
            let _ = sender.try_send(signal);
        }
    })?;
    Ok(receiver)
}

/// The socket of a supervisor that wants to know how we are (`sd_notify(3)`); silent where there is none.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often the supervisor wants to hear of us.
    pub watchdog: Option<Duration>,
}

impl Supervisor {
    /// Finds the supervisor by `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|path| match connect(&path) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warn!("cannot reach the supervisor at NOTIFY_SOCKET {}: {error}", path.display());
                None
            }
        });
        // Meant for another process if it names one; a shell in between would have passed it on.
        let ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let interval = std::env::var("WATCHDOG_USEC").ok().and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        // Half of what is allowed, as sd_watchdog_enabled(3) advises.
        let watchdog = interval.filter(|_| ours && socket.is_some()).map(|usec: u64| Duration::from_micros(usec / 2));
        Self { socket, watchdog }
    }

    /// Nobody wants to know.
    pub fn none() -> Self {
        Self { socket: None, watchdog: None }
    }

    /// Everything is wired and runs; `status` is what `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// A reload begins; [`Supervisor::ready`] ends it.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Delivering what can be delivered");
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            log::debug!("the supervisor did not take our word: {error}");
        }
    }
}

fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(path)?,
    }
    // A supervisor that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// glibc gives each thread an arena of its own, which with our dozen threads costs megabytes of memory and gains nothing
/// (the busy thread is one). Only `mallopt`, which is foreign code, or the environment at start can say so: the process
/// replaces itself once, with `MALLOC_ARENA_MAX` set. A unit file that sets it, too, saves that millisecond.
///
/// With it the size from which memory goes back to the system at once is fixed: left to itself glibc raises it after the
/// first large piece, and would keep the 7 MiB that verifying a password takes.
///
/// Returns if there was nothing to do, or if it could not be done (which costs memory and nothing else).
pub fn limit_memory_arenas() {
    const NAME: &str = "MALLOC_ARENA_MAX";
    if std::env::var_os(NAME).is_some() {
        return;
    }
    let mut words = std::env::args_os();
    let mut again = std::process::Command::new("/proc/self/exe");
    if let Some(name) = words.next() {
        again.arg0(name);
    }
    let error = again.args(words).env(NAME, "1").env("MALLOC_MMAP_THRESHOLD_", "1048576").exec();
    log::debug!("cannot limit the memory arenas: {error}");
}

/// How many files and sockets this process may have open, after asking for as many as it may get; `None`: no limit.
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_what_it_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let supervisor_end = UnixDatagram::bind(&path).expect("bound");
        let supervisor = Supervisor { socket: Some(connect(path.as_os_str()).expect("connected")), watchdog: None };
        supervisor.ready("1 exchange");
        let mut text = [0; 100];
        let length = supervisor_end.recv(&mut text).expect("heard");
        assert_eq!(&text[..length], b"READY=1\nSTATUS=1 exchange");
    }
}
