//! The standing conversation with a CRM of `kind = "calls"`, beside its records: [`fetch`] brings what the CRM wants
//! done, [`tell`] takes back what became of it, how click-to-calls go, and how the connector is.
//!
//! Each is what one thread runs. What a command does, and what goes into a heartbeat, is decided by whoever holds the other
//! ends of the queues.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::answer::Fault;
use super::calls_module::{
    Command, CommandDone, Commands, Forget, Heartbeat, HeartbeatAnswer, MAX_WAIT_S, RequestProgress, ask,
};
use super::client::Client;
use crate::call::record::Moment;
use crate::clock::Now;

/// Waits between tries while the CRM is away: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// An answer without anything new that comes sooner is answered by a pause: the CRM did not wait as it was asked to.
const LEAST_POLL: Duration = Duration::from_secs(1);
/// Ids of commands remembered, so that one which the CRM repeats is done once.
const REMEMBERED: usize = 1000;
/// Reports that wait for the CRM; beyond it the oldest are dropped, and the CRM lets those commands expire.
const MAX_WAITING: usize = 1000;
/// Reports in one request.
const AT_ONCE: usize = 100;
/// After this long without a report the connection is let go.
const REST_AFTER: Duration = Duration::from_secs(10);

/// A command of a CRM.
#[derive(Clone, PartialEq, Debug)]
pub struct Fetched {
    /// Name of the `[[crm]]` section.
    pub crm: String,
    pub command: Command,
    /// The CRM's clock when it answered; ours, where it does not say.
    pub answered_at: Moment,
    /// When that was.
    pub at: Instant,
}

impl Fetched {
    /// Whether a moment of the CRM's clock has passed by now; how far that is off ours plays no part.
    pub fn is_past(&self, moment: Moment) -> bool {
        let since_ms = i64::try_from(self.at.elapsed().as_millis()).unwrap_or(i64::MAX);
        moment.0 <= self.answered_at.0.saturating_add(since_ms)
    }
}

/// What a CRM is to be told at once.
#[derive(Clone, PartialEq, Debug)]
pub enum Report {
    /// What became of a command.
    Done(CommandDone),
    /// How a click-to-call goes; only the newest of each counts.
    Progress(RequestProgress),
    /// How the connector is; only the newest counts.
    Heartbeat(Box<Heartbeat>),
    /// A client wants to be forgotten; his number, normalised.
    Forget(String),
}

/// What a CRM says to a report.
#[derive(Clone, PartialEq, Debug)]
pub enum Word {
    Heartbeat(HeartbeatAnswer),
    /// This client is forgotten, or can never be.
    Forgotten(String),
}

/// Where the answers to reports go: the name of the CRM, and its word.
pub type Heard = Sender<(String, Word)>;

/// Fetches commands by long poll and hands each on once, until nobody takes them or `stop` is dropped.
///
/// `stop` ends the waits between requests; the request under way is ended by the client's
/// [`Interrupter`](super::Interrupter).
#[expect(clippy::needless_pass_by_value, reason = "the thread owns its queue ends")]
pub fn fetch(mut client: Client, orders: Sender<Fetched>, stop: Receiver<()>) {
    let crm = client.crm().name.clone();
    let mut known: VecDeque<String> = VecDeque::new();
    let mut trouble = Trouble::new(&crm, "commands are not fetched");
    let poll = Commands { wait_s: MAX_WAIT_S, ..Commands::default() };
    loop {
        let asked = Instant::now();
        let pause = match ask(&mut client, &poll) {
            Ok(answer) => {
                trouble.over();
                let new: Vec<Command> = answer.commands.into_iter().filter(|c| !known.contains(&c.id)).collect();
                let nothing_new = new.is_empty();
                let at = Instant::now();
                let answered_at = answer.time.unwrap_or_else(|| Moment(Now::read().wall_ms));
                for command in new {
                    known.truncate(REMEMBERED - 1);
                    known.push_front(command.id.clone());
                    if orders.send(Fetched { crm: crm.clone(), command, answered_at, at }).is_err() {
                        return;
                    }
                }
                if nothing_new { LEAST_POLL.saturating_sub(asked.elapsed()) } else { Duration::ZERO }
            }
            // Broken off by whoever stops us.
            Err(_) if matches!(stop.try_recv(), Err(TryRecvError::Disconnected)) => return,
            Err(fault) => trouble.wait(&fault),
        };
        if matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

/// Tells the CRM what comes through `reports`, until that is disconnected; then once more what is left. Its answers go to `heard`; where
/// that is full, an answer is dropped: the next heartbeat brings a newer one, and a client is forgotten again at the next start.
#[expect(clippy::needless_pass_by_value, reason = "the thread owns its queue ends")]
pub fn tell(mut client: Client, reports: Receiver<Report>, heard: Heard) {
    let mut waiting = Waiting::default();
    let crm = client.crm().name.clone();
    let mut trouble = Trouble::new(&crm, "reports wait");
    let mut pause = Duration::ZERO;
    loop {
        let report = if waiting.is_empty() { reports.recv_timeout(REST_AFTER) } else { reports.recv_timeout(pause) };
        let last = matches!(report, Err(RecvTimeoutError::Disconnected));
        match report {
            Ok(report) => waiting.add(report),
            Err(RecvTimeoutError::Timeout) if waiting.is_empty() => client.rest(),
            Err(_) => {}
        }
        reports.try_iter().for_each(|report| waiting.add(report));
        if waiting.is_empty() {
            if last {
                return;
            }
            continue;
        }
        if last {
            // In vain, if the CRM is still away; nobody waits for a second try now.
            while !waiting.is_empty() && waiting.send(&mut client, &heard).is_ok() {}
            return;
        }
        // While the CRM is away, reports gather until the wait is over.
        if !trouble.is_due() {
            pause = trouble.left();
            continue;
        }
        match waiting.send(&mut client, &heard) {
            Ok(()) => {
                trouble.over();
                pause = Duration::ZERO;
            }
            Err(fault) => pause = trouble.wait(&fault),
        }
    }
}

/// Reports the CRM does not have yet.
#[derive(Default)]
struct Waiting {
    done: VecDeque<CommandDone>,
    progress: VecDeque<RequestProgress>,
    heartbeat: Option<Box<Heartbeat>>,
    forget: VecDeque<String>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.progress.is_empty() && self.heartbeat.is_none() && self.forget.is_empty()
    }

    fn add(&mut self, report: Report) {
        match report {
            Report::Heartbeat(heartbeat) => self.heartbeat = Some(heartbeat),
            Report::Forget(number) => {
                self.forget.retain(|waiting| *waiting != number);
                // What finds no room is told after the next start.
                self.forget.truncate(MAX_WAITING - 1);
                self.forget.push_back(number);
            }
            Report::Done(done) => {
                if self.done.len() == MAX_WAITING {
                    self.done.pop_front();
                }
                self.done.push_back(done);
            }
            Report::Progress(progress) => {
                self.progress.retain(|waiting| waiting.request != progress.request);
                if self.progress.len() == MAX_WAITING {
                    self.progress.pop_front();
                }
                self.progress.push_back(progress);
            }
        }
    }

    /// One request for each kind of report that waits; what was taken, or can never be, is gone from here.
    fn send(&mut self, client: &mut Client, heard: &Heard) -> Result<(), Fault> {
        let crm = client.crm().name.clone();
        if !self.done.is_empty() || !self.progress.is_empty() {
            let commands = Commands {
                wait_s: 0,
                done: self.done.iter().take(AT_ONCE).cloned().collect(),
                requests: self.progress.iter().take(AT_ONCE).cloned().collect(),
            };
            // Commands in the answer are left to the long poll, which gets them, too.
            taken_or_hopeless(&crm, ask(client, &commands))?;
            self.done.drain(..commands.done.len());
            self.progress.drain(..commands.requests.len());
        }
        if let Some(heartbeat) = &self.heartbeat {
            let answer = taken_or_hopeless(&crm, ask(client, &**heartbeat))?;
            self.heartbeat = None;
            if let Some(answer) = answer {
                // Full or gone: see `tell`.
                let _ = heard.try_send((crm.clone(), Word::Heartbeat(answer)));
            }
        }
        if let Some(number) = self.forget.front().cloned() {
            if let Some(answer) = taken_or_hopeless(&crm, ask(client, &Forget { number: number.clone() }))? {
                log::info!("{crm}: a client is forgotten there, with {} calls", answer.calls);
            }
            self.forget.pop_front();
            let _ = heard.try_send((crm, Word::Forgotten(number)));
        }
        Ok(())
    }
}

/// A report that the CRM will never take is not told again: it must not hold up those behind it.
fn taken_or_hopeless<T>(crm: &str, answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::Request { why }) => {
            log::error!("{crm}: a report is refused and dropped: {why}");
            Ok(None)
        }
        Err(fault @ Fault::Crm { .. }) => Err(fault),
    }
}

/// How long the CRM has been away, and what was said of it.
struct Trouble<'a> {
    crm: &'a str,
    /// What does not work meanwhile.
    suffers: &'static str,
    wait: Option<Duration>,
    due: Instant,
}

impl<'a> Trouble<'a> {
    fn new(crm: &'a str, suffers: &'static str) -> Self {
        Self { crm, suffers, wait: None, due: Instant::now() }
    }

    /// Notes a fault; how long to wait before the next try.
    fn wait(&mut self, fault: &Fault) -> Duration {
        if self.wait.is_none() {
            log::warn!("{}: {}: {fault}", self.crm, self.suffers);
        }
        let asked = match fault {
            Fault::Crm { retry_after_s: Some(seconds), .. } => Duration::from_secs(u64::from(*seconds)),
            _ => Duration::ZERO,
        };
        let backoff = self.wait.map_or(FIRST_WAIT, |wait| (wait * 2).min(LONGEST_WAIT));
        self.wait = Some(backoff);
        let wait = backoff.max(asked);
        self.due = Instant::now() + wait;
        wait
    }

    fn is_due(&self) -> bool {
        self.wait.is_none() || Instant::now() >= self.due
    }

    fn left(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    fn over(&mut self) {
        if self.wait.take().is_some() {
            log::info!("{}: answers again", self.crm);
        }
    }
}
