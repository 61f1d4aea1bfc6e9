//! FastAGI: the dialplan asks who a caller is, who looks after him and which number to show him, and is answered within its
//! budget whatever happens to the CRM.
//!
//! ```text
//! Asterisk ─TCP─▶ listener ─bytes─▶ session (pure) ─Question─▶ clerks (crm-lookup-N) ─▶ CRM, history
//!                    ▲                 │  ▲                         │
//!                    └────commands─────┘  └──────────Reply──────────┘
//! ```
//!
//! One thread, `agi-listener`, owns every connection and never waits for anything but events: what can take time (a live
//! question to the CRM, a look into the history) is asked by clerks and abandoned when the answer is late. So a session costs no
//! thread, silence costs nothing, and no deadline depends on anybody's goodwill. [`protocol`] and [`script`] are pure: bytes,
//! and what follows from what is known; [`session`] is one conversation as a state machine; [`listener`] is the loop.
//!
//! What is left to others: the directory and the CRM (handed in as [`Office`]), and what an identified caller means for a call.

mod clerks;
mod counters;
mod listener;
pub mod protocol;
pub mod script;
pub mod session;
mod settings;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

pub use counters::{Counters, Counts, LATENCY_BOUNDS_S};
pub use settings::{AgiSettings, CallerIds, Limits, Peers, Problem};

use crate::asterisk::{PbxId, Text, Uniqueid};
use crate::client::{Found, Inquiry, LookUp};
use crate::phone::PbxNumbers;
use crate::threads::Thread;

/// Says the CRM of a place in the dialplan.
pub type Router = Box<dyn Fn(&Place<'_>) -> Option<String> + Send>;

/// What a session needs of the rest of the house. The functions are called on the listener's thread and must not wait.
pub struct Office {
    pub numbers: PbxNumbers,
    /// Names of the `[[crm]]` sections that can be asked.
    pub crms: Vec<String>,
    pub pbxs: Vec<Pbx>,
    /// Which CRM a call belongs to where several are configured and the dialplan names none.
    pub route: Router,
    /// The directory.
    pub look_up: Box<dyn Fn(&Inquiry) -> LookUp + Send>,
    /// Makes a clerk, one for each thread of the pool.
    pub clerk: Box<dyn Fn() -> Box<dyn Clerk> + Send>,
    /// Told of every caller who was recognised.
    pub identified: Box<dyn Fn(Identified) + Send>,
}

/// An exchange that may ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pbx {
    pub id: PbxId,
    /// Of its `[[asterisk]]` section.
    pub name: String,
    /// Where it asks from, to tell several apart.
    pub hosts: Vec<IpAddr>,
}

/// Where in the dialplan a question comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    pub pbx: &'a str,
    pub did: Option<&'a str>,
    pub context: &'a str,
}

/// Asks where asking takes time. One thread, one clerk.
pub trait Clerk: Send {
    /// Who has this number, says the CRM itself; `None`: nobody.
    ///
    /// # Errors
    /// In the operator's words, at the latest about `within` from now; a later answer is not waited for.
    fn ask_crm(&mut self, inquiry: &Inquiry, within: Duration) -> Result<Option<Found>, String>;

    /// The numbers of ours that this client called or saw in earlier calls, the latest first.
    fn presented(&mut self, inquiry: &Inquiry) -> Vec<String>;
}

/// Who calls, or is called: becomes part of the call's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identified {
    pub pbx: PbxId,
    pub uniqueid: Uniqueid,
    pub client_id: Option<Text>,
    pub client_name: Option<Text>,
}

/// The running FastAGI server.
pub struct Agi {
    /// Where it listens; the ports that the system chose where the configuration says 0.
    pub addresses: Vec<SocketAddr>,
    counters: Arc<Counters>,
    reload: Sender<listener::Reload>,
    /// Dropped to stop.
    line: UnixStream,
    threads: Vec<Thread>,
}

/// Starts listening. With `limits.listen` empty nothing is started.
///
/// # Errors
/// If an address cannot be bound, or the system gives no threads.
pub fn spawn(limits: Limits, office: Office) -> io::Result<Agi> {
    let (line, other_end) = UnixStream::pair()?;
    let counters = Arc::new(Counters::default());
    let (reload, reloads) = bounded(1);
    let sockets = limits.listen.iter().map(|address| listener::bind(*address)).collect::<io::Result<Vec<_>>>()?;
    let addresses = sockets.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let mut threads = Vec::new();
    if !sockets.is_empty() {
        let (clerks, clerk_threads) = clerks::Clerks::start(limits.lookups, &office.clerk)?;
        threads = clerk_threads;
        let listener =
            listener::Listener::new(sockets, other_end, reloads, limits, office, clerks, Arc::clone(&counters))?;
        threads.insert(0, Thread::start("agi-listener", move || listener.run())?);
    }
    Ok(Agi { addresses, counters, reload, line, threads })
}

impl Agi {
    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// The counters themselves, for whoever shows them.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// New peers, caller ids, budget, number of sessions and rules about numbers; addresses and the pool need a restart. Sessions
    /// that have begun keep their budget. False if the listener still has the last change before it.
    pub fn reload(&self, limits: Limits, numbers: PbxNumbers) -> bool {
        let is_taken = self.reload.try_send(listener::Reload { limits, numbers }).is_ok();
        // Full: it will wake anyway.
        let _ = io::Write::write(&mut &self.line, &[1]);
        is_taken
    }

    /// Answers whoever is being answered and ends, but waits no longer than `until`; names what did not end.
    pub fn stop(self, until: Instant) -> Vec<String> {
        drop(self.line);
        let mut left = Vec::new();
        for thread in self.threads {
            let name = thread.name().to_owned();
            if !thread.join_until(until) {
                left.push(name);
            }
        }
        left
    }
}
