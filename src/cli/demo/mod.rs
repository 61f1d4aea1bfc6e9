//! `demo`: the unchanged service between a recorded exchange and a CRM that fits on one screen.
//!
//! Both ends are real sockets on the loopback address: the exchange speaks AMI over TCP ([`crate::ami::stage`]), the CRM
//! takes HTTP ([`sink`]). The database lies in a folder that is gone afterwards.

mod sink;
mod stories;

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never, select};
use jiff::tz::TimeZone;

use super::{Failure, show};
use crate::ami::stage::{Pace, Programme, Stage};
use crate::call::Record;
use crate::config::Config;
use crate::daemon;
use crate::daemon::process::{self, Signal, Supervisor, exit};
use crate::secret::Secret;
use crate::threads::Thread;
use stories::STORIES;

/// A new story begins so long after the one before: their calls overlap, as in any office.
const EVERY: Duration = Duration::from_secs(5);
/// How much faster `--fast` is.
const FAST: f64 = 20.0;
/// After the last byte of the last story, its records must all be final within this time.
const LAST_RECORDS: Duration = Duration::from_secs(15);
/// How long the service may take to stop.
const STOPPING: Duration = Duration::from_secs(25);
const USER: &str = "demo";
const SECRET: &str = "only-on-this-machine";

/// Plays every story once, or until Ctrl-C.
pub fn demo(fast: bool, json: bool) -> Result<(), Failure> {
    let fault = |what: &str, error: std::io::Error| Failure::new(exit::SYSTEM, format!("{what}: {error}"));
    let signals = process::signals().map_err(|error| fault("no signals", error))?;
    let folder = Folder::new().map_err(|error| fault("no folder for the demo's database", error))?;
    let (taken_sender, taken) = bounded(1024);
    let crm = sink::start(taken_sender).map_err(|error| fault("no port for the demo's CRM", error))?;
    let (programme, titles) = programme(fast).map_err(|error| fault("the stories are damaged", error))?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let stage = Stage::open(any_port, programme).map_err(|error| fault("no port for the demo's exchange", error))?;
    let page = free_port().map_err(|error| fault("no port for the status page", error))?;
    let config = configuration(stage.address().port(), crm.port(), page, &folder.path);
    let config = Config::parse(&config).expect("the demo's configuration is as good as its test");

    let (stop, stopped) = bounded(1);
    let (ended_sender, ended) = bounded(1);
    let service = Thread::start("service", move || {
        let again = config.clone();
        let result = daemon::run(config, &stopped, &Supervisor::none(), &move || Ok(again.clone()));
        let _ = ended_sender.send(result);
    })
    .map_err(|error| fault("no thread", error))?;

    let mut telling = Telling {
        signals,
        taken,
        ended,
        json,
        page,
        titles,
        newest: HashMap::new(),
        told: Vec::new(),
        began: Instant::now(),
    };
    let told = telling.all(stage.played());
    let _ = stop.send(Signal::Stop);
    service.join_until(Instant::now() + STOPPING);
    told?;
    telling.close();
    Ok(())
}

/// A port that nobody has at this moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// What the exchange plays, and the title of each conversation in it, by its id.
fn programme(fast: bool) -> std::io::Result<(Programme, HashMap<String, Title>)> {
    let mut recordings = Vec::new();
    let mut titles = HashMap::new();
    for (nth, story) in STORIES.iter().enumerate() {
        let recording = story.recording()?;
        let conversation = format!("office-{}", stories::first_uniqueid(&recording));
        titles.insert(conversation, Title { number: nth + 1, text: story.title, told: false });
        recordings.push(recording);
    }
    let programme = Programme {
        recordings,
        plays: u32::try_from(STORIES.len()).expect("a handful"),
        start_every: EVERY,
        pace: Pace::Times(if fast { FAST } else { 1.0 }),
        distinct: false,
        user: USER.to_owned(),
        secret: Secret::new(SECRET),
    };
    Ok((programme, titles))
}

struct Title {
    /// From 1.
    number: usize,
    text: &'static str,
    told: bool,
}

/// The configuration, as an administrator would write it.
fn configuration(ami_port: u16, crm_port: u16, page_port: u16, folder: &Path) -> String {
    format!(
        "[[asterisk]]\nname = \"office\"\nhost = \"127.0.0.1\"\nport = {ami_port}\nusername = \"{USER}\"\n\
         secret = \"{SECRET}\"\n\n[numbers]\nregion = \"RU\"\n\n[store]\npath = {:?}\n\n\
         [[crm]]\nname = \"demo\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{crm_port}/\"\n\
         secret = \"{SECRET}\"\n\n[agi]\nlisten = []\n\n[http]\nlisten = \"127.0.0.1:{page_port}\"\nlocal_without_login = true\n",
        folder.join("demo.db")
    )
}

/// How the demo's telling ended before its end.
enum Ended {
    ByUser,
    Failed(Failure),
}

/// What is shown, and to whom it listens meanwhile.
struct Telling {
    signals: Receiver<Signal>,
    taken: Receiver<Record>,
    ended: Receiver<Result<(), daemon::Fault>>,
    json: bool,
    /// Port of the status page.
    page: u16,
    titles: HashMap<String, Title>,
    newest: HashMap<String, Record>,
    /// Ids in the order of their first arrival.
    told: Vec<String>,
    began: Instant,
}

impl Telling {
    fn all(&mut self, played: &Receiver<()>) -> Result<(), Failure> {
        self.say(&format!(
            "An office with the phones 101, 102 and 103. The exchange is a recording of a real Asterisk 22, the CRM is a\n\
             line printer; PINconnector between them is the real thing. Each line is a call record as the CRM gets it, the\n\
             moment something changes. Status page: http://localhost:{}/   Ctrl-C ends it.\n",
            self.page
        ));
        let over = self.listen(Some(played), None, |_| false);
        let over = over.and_then(|()| self.listen(None, Some(Instant::now() + LAST_RECORDS), Self::all_final));
        match over {
            Ok(()) if self.all_final() => Ok(()),
            Ok(()) => Err(Failure::new(exit::SOFTWARE, "some records did not arrive; the log above says why")),
            Err(Ended::ByUser) => Ok(()),
            Err(Ended::Failed(failure)) => Err(failure),
        }
    }

    /// Shows what arrives until `over` says so, `until` comes or there is `enough`.
    fn listen(
        &mut self,
        over: Option<&Receiver<()>>,
        until: Option<Instant>,
        enough: impl Fn(&Self) -> bool,
    ) -> Result<(), Ended> {
        let never = never();
        while !enough(self) {
            let timeout =
                until.map_or(Duration::from_secs(3600), |until| until.saturating_duration_since(Instant::now()));
            select! {
                recv(self.taken) -> record => if let Ok(record) = record { self.take(record) },
                recv(self.signals) -> signal => if let Ok(Signal::Stop) | Err(_) = signal { return Err(Ended::ByUser) },
                recv(over.unwrap_or(&never)) -> _ => return Ok(()),
                recv(self.ended) -> result => return Err(Ended::Failed(match result {
                    Ok(Err(fault)) => fault.into(),
                    Ok(Ok(())) | Err(_) => Failure::new(exit::SOFTWARE, "the service ended by itself"),
                })),
                default(timeout) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Every call has arrived and is over.
    fn all_final(&self) -> bool {
        let calls: usize = STORIES.iter().map(|story| story.calls).sum();
        self.told.len() >= calls && self.newest.values().all(|record| record.ended_at.is_some())
    }

    fn take(&mut self, record: Record) {
        let title = self.titles.get_mut(&record.conversation);
        let number = title.as_ref().map_or(0, |title| title.number);
        if let Some(title) = title.filter(|title| !title.told) {
            title.told = true;
            let line = format!("\n{number}  {}", title.text);
            self.say(&line);
        }
        let known = self.newest.get(&record.id);
        if known.is_none() {
            self.told.push(record.id.clone());
        }
        let shown =
            |record: &Record| (record.status, record.reason, record.talk_seconds, record.transferred_to.clone());
        let is_news = known.is_none_or(|known| shown(known) != shown(&record));
        if self.json {
            out(&serde_json::to_string(&record).expect("a record has only text keys"));
        } else if is_news {
            let at = self.began.elapsed();
            out(&format!("{number}  {:>3}.{} s  {}", at.as_secs(), at.subsec_millis() / 100, show::line(&record)));
        }
        self.newest.insert(record.id.clone(), record);
    }

    fn close(&self) {
        if self.json || self.told.is_empty() {
            return;
        }
        let mut records: Vec<Record> = self.told.iter().map(|id| self.newest[id].clone()).collect();
        show::sort(&mut records);
        self.say("\nWhat the CRM has now:\n");
        out(show::table(&records, &TimeZone::system()).trim_end());
        self.say("\nWith your own exchange: conf/pinconnector.toml, then `pinconnector check` and `pinconnector run`.");
    }

    /// For people; with `--json` to standard error.
    fn say(&self, text: &str) {
        if self.json { eprintln!("{text}") } else { out(text) }
    }
}

fn out(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed our output has seen enough; the end comes with the next signal.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A folder of our own, gone with its value.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("pinconnector-demo-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_demo_is_good() {
        let config = Config::parse(&configuration(5038, 8080, 8383, Path::new("/tmp/demo"))).expect("good");
        assert_eq!((config.asterisk.len(), config.crm.len()), (1, 1));
    }
}
