//! HTTP towards the CRM, browsers and monitoring: click-to-call, recordings, live view, status page, metrics.
//!
//! ```text
//! sockets ──▶ gate (reads, admits, writes) ──Request──▶ desk (decides; owns sessions, nonces, guard, listeners)
//!    ▲              ▲  ▲                                  │        │
//!    └──bytes───────┘  └──Answer, Event──────────────────┘        └─▶ errands (disk, database, passwords) ─▶ gate, desk
//! ```
//!
//! Four threads: `http-gate` never waits for a client, `http-desk` never waits for a disk, two `http-errand-N` wait for
//! disks. What HTTP needs of the rest of the service is handed in as an [`Office`]; what happens is told through
//! the [`Feed`]. Leaves to others: what a call is, where it is stored, how Asterisk is asked.

pub mod answer;
pub mod click_to_call;
mod desk;
mod gate;
pub mod guard;
mod hub;
pub mod links;
mod loopback;
pub mod metrics;
pub mod office;
pub mod passwords;
pub mod recordings;
pub mod request;
pub mod settings;
mod sign_in;
mod signed;
pub mod sound;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::tz::TimeZone;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use click_to_call::Reply;
pub use links::LinkKey;
pub use office::{Feed, Happened, Office};
pub use settings::{ClickToCallSettings, HttpSettings, Problem, Role};

use crate::phone::PbxNumbers;
use crate::threads::Thread;
use desk::{Desk, ToDesk};
use gate::{Door, Figures, Fill, Gate, Limits, Mailbox, Post};

/// Threads that wait for disks.
const ERRAND_THREADS: usize = 2;

/// What HTTP starts with, or goes on with after a reload.
pub struct Setup {
    pub http: HttpSettings,
    pub click_to_call: ClickToCallSettings,
    pub crms: Vec<office::Crm>,
    pub pbxs: Vec<office::Pbx>,
    pub numbers: PbxNumbers,
    /// The office's, for hours and dated folders.
    pub zone: TimeZone,
    /// `[recordings] search`
    pub search: Vec<String>,
    /// Of `/r/TOKEN`; must be the same after a restart.
    pub link_key: LinkKey,
}

/// The running window of the service.
pub struct Http {
    addresses: Vec<SocketAddr>,
    desk: Sender<ToDesk>,
    gate: Mailbox,
    threads: Vec<Thread>,
}

impl Http {
    /// Listens and starts the threads.
    ///
    /// # Errors
    /// If an address is taken, a certificate cannot be read, or the system gives no threads; in the operator's words.
    pub fn start(setup: Setup, office: Arc<dyn Office>) -> io::Result<Self> {
        let doors = doors(&setup.http)?;
        let addresses = doors.iter().map(|door| door.listener.local_addr()).collect::<io::Result<_>>()?;
        let limits = Limits { connections: setup.http.connections, per_address: setup.http.connections_per_address };
        let figures = Arc::new(Figures::default());
        let (desk_sender, to_desk) = bounded(1024);
        let (errand_sender, errands) = bounded(256);
        let (gate, mailbox) =
            Gate::new(doors, limits, desk_sender.clone(), errand_sender.clone(), Arc::clone(&figures))?;
        let desk = Desk::new(setup, office, mailbox.clone(), errand_sender, desk_sender.clone(), figures);
        let mut threads = vec![
            Thread::start("http-gate", move || gate.run())?,
            Thread::start("http-desk", move || desk.run(&to_desk))?,
        ];
        for nth in 1..=ERRAND_THREADS {
            let (errands, mailbox) = (errands.clone(), mailbox.clone());
            threads.push(Thread::start(&format!("http-errand-{nth}"), move || run_errands(&errands, &mailbox))?);
        }
        Ok(Self { addresses, desk: desk_sender, gate: mailbox, threads })
    }

    /// Where it listens; the ports as the system gave them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where to tell what happens.
    pub fn feed(&self) -> Feed {
        Feed::new(self.desk.clone())
    }

    /// Where clicks go that a CRM queued for us to fetch.
    pub fn clicks(&self) -> Clicks {
        Clicks { desk: self.desk.clone() }
    }

    /// Takes over new settings, all but addresses, certificates and the number of connections.
    pub fn reload(&self, setup: Setup) {
        // Waits only if a thousand requests are before us.
        let _ = self.desk.send(ToDesk::Reload(Box::new(setup)));
    }

    /// Answers what is under way, for two seconds at most, and ends; names of threads that did not by `until`.
    pub fn stop(self, until: Instant) -> Vec<String> {
        self.gate.send(Post::Stop);
        let _ = self.desk.send(ToDesk::Stop);
        drop((self.gate, self.desk));
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

/// The way of fetched clicks to the same guard, book and audit log as those that are posted.
#[derive(Clone)]
pub struct Clicks {
    desk: Sender<ToDesk>,
}

impl Clicks {
    /// Asks for a call as `POST /api/v1/calls` of `crm` does, with the same `body`. Never waits: where the desk is too busy, `reply`
    /// is told so.
    pub fn ask(&self, crm: &str, body: Vec<u8>, reply: Reply) {
        drop(self.desk.try_send(ToDesk::Fetched { crm: crm.to_owned(), body, reply }));
    }
}

/// The path of a recording's short link below `public_url`, for CRMs that can only keep an address.
pub fn recording_path(key: &LinkKey, generation: u32, recording: &str) -> String {
    format!("/r/{}", links::token(key, generation, recording))
}

/// Something that waits for a disk.
enum Errand {
    Fill(Fill),
    Run(Box<dyn FnOnce() + Send>),
}

fn run_errands(errands: &Receiver<Errand>, mailbox: &Mailbox) {
    for errand in errands {
        match errand {
            Errand::Fill(fill) => fill.run(mailbox),
            Errand::Run(run) => run(),
        }
    }
}

fn doors(settings: &HttpSettings) -> io::Result<Vec<Door>> {
    let tls = match (&settings.tls_certificate, &settings.tls_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(tls_config(certificate, key)?)),
        _ => None,
    };
    let mut doors = Vec::new();
    for text in settings.listen.as_slice() {
        let said = |e: io::Error| io::Error::new(e.kind(), format!("[http] listen {text}: {e}"));
        for address in text.to_socket_addrs().map_err(said)? {
            let listener = TcpListener::bind(address).map_err(said)?;
            doors.push(Door { listener, tls: tls.clone() });
        }
    }
    Ok(doors)
}

fn tls_config(certificate: &Path, key: &Path) -> io::Result<rustls::ServerConfig> {
    let said = |path: &Path, e: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {e}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| said(certificate, &e))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| said(key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| said(certificate, &e))?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|e| said(certificate, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Resumption would keep a few kilobytes for each of thousands of strangers.
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(64);
    Ok(config)
}
