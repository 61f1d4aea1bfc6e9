//! The standing conversation with a CRM of `kind = "calls"`, beside its records: [`fetch`] brings what the CRM wants
//! done, [`tell`] takes back what became of it, how click-to-calls go, and how the connector is.
//!
//! Each is what one thread runs. What a command does, and what goes into a heartbeat, is decided by whoever holds the other
//! ends of the queues.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::answer::Fault;
use super::calls_module::{
    Command, CommandDone, Commands, Heartbeat, HeartbeatAnswer, MAX_WAIT_S, RequestProgress, ask,
};
use super::client::Client;

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
}

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
                for command in new {
                    known.truncate(REMEMBERED - 1);
                    known.push_front(command.id.clone());
                    if orders.send(Fetched { crm: crm.clone(), command }).is_err() {
                        return;
                    }
                }
                if nothing_new { LEAST_POLL.saturating_sub(asked.elapsed()) } else { Duration::ZERO }
            }
            Err(fault) => trouble.wait(&fault),
        };
        if matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

/// Tells the CRM what comes through `reports`, until that is disconnected; then once more what is left. Answers to heartbeats go to
/// `heard`; where that is full, an answer is dropped: a newer one comes within a minute.
#[expect(clippy::needless_pass_by_value, reason = "the thread owns its queue ends")]
pub fn tell(mut client: Client, reports: Receiver<Report>, heard: Sender<(String, HeartbeatAnswer)>) {
    let crm = client.crm().name.clone();
    let mut waiting = Waiting::default();
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
            while !waiting.is_empty() && waiting.send(&mut client).is_ok() {}
            return;
        }
        // While the CRM is away, reports gather until the wait is over.
        if !trouble.is_due() {
            pause = trouble.left();
            continue;
        }
        match waiting.send(&mut client) {
            Ok(answer) => {
                trouble.over();
                pause = Duration::ZERO;
                if let Some(answer) = answer
                    && matches!(heard.try_send((crm.clone(), answer)), Err(TrySendError::Disconnected(_)))
                {
                    return;
                }
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
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.progress.is_empty() && self.heartbeat.is_none()
    }

    fn add(&mut self, report: Report) {
        match report {
            Report::Heartbeat(heartbeat) => self.heartbeat = Some(heartbeat),
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

    /// One request, or two with a heartbeat; what was taken, or can never be, is gone from here.
    fn send(&mut self, client: &mut Client) -> Result<Option<HeartbeatAnswer>, Fault> {
        let mut answer = None;
        if !self.done.is_empty() || !self.progress.is_empty() {
            let commands = Commands {
                wait_s: 0,
                done: self.done.iter().take(AT_ONCE).cloned().collect(),
                requests: self.progress.iter().take(AT_ONCE).cloned().collect(),
            };
            // Commands in the answer are left to the long poll, which gets them, too.
            taken_or_hopeless(&client.crm().name.clone(), ask(client, &commands))?;
            self.done.drain(..commands.done.len());
            self.progress.drain(..commands.requests.len());
        }
        if let Some(heartbeat) = &self.heartbeat {
            answer = taken_or_hopeless(&client.crm().name.clone(), ask(client, &**heartbeat))?;
            self.heartbeat = None;
        }
        Ok(answer)
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
