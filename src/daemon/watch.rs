//! What the main thread does while the service runs: signals, signs of life for the supervisor, alerts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};

use super::alert::{Alerts, Teller};
use super::heartbeat::{Standing, Stored};
use super::process::{Signal, Supervisor};
use super::queues::{Notice, TellCalls, Told};
use super::window::{Exchange, Watched, crm_status, pbx_status, request_line};
use super::{Fault, Memory, Service, heartbeat, pusher, reload, window};
use crate::clock::Now;
use crate::config::{BadConfig, Config};
use crate::crm::RequestLine;
use crate::crm::courier::{Report, Word};
use crate::http::office::{CrmTook, PbxStatus, Refresh};
use crate::http::{Happened, Office};
use crate::lease::{Role, Turn};
use crate::store::rows::DestinationState;
use crate::store::settings::HISTORY;
use crate::store::{Alarm, Reader};
use crate::threads::Thread;

/// How often the outbox and the disk are looked at.
const ROUND: Duration = Duration::from_secs(60);
/// How often CRMs with our module hear how we are; after two minutes of silence they call us dead.
const BEAT: Duration = Duration::from_secs(45);
/// Clocks that differ by more are worth a word, long before signatures are refused for it.
const CLOCKS_APART_S: f64 = 60.0;

pub struct Watch<'a> {
    service: Service,
    supervisor: &'a Supervisor,
    alerts: Alerts,
    teller: Teller,
    _alert_thread: Thread,
    memory: Memory,
    /// The number of the last probe sent through call-state and keeper.
    probe: u64,
    next_beat: Instant,
    /// What each CRM's heartbeat answers said last of its users and its directory.
    revisions: BTreeMap<String, (Option<String>, Option<String>)>,
}

impl<'a> Watch<'a> {
    pub fn new(service: Service, supervisor: &'a Supervisor) -> Result<Self, Fault> {
        let (teller, thread) = Teller::start().map_err(|error| Fault::system("no thread for alerts", &error))?;
        let memory = Memory::default();
        let alerts = Alerts::default();
        let (next_beat, revisions) = (Instant::now(), BTreeMap::new());
        let watch =
            Self { service, supervisor, alerts, teller, _alert_thread: thread, memory, probe: 0, next_beat, revisions };
        watch.forget_what_was_left();
        Ok(watch)
    }

    /// Watches until a signal says stop.
    pub fn until_stopped(
        mut self,
        signals: &Receiver<Signal>,
        load: &dyn Fn() -> Result<Config, BadConfig>,
    ) -> Service {
        self.supervisor.ready(&self.status());
        let mut next_probe = self.supervisor.watchdog.map(|every| Instant::now() + every);
        let mut next_round = Instant::now() + ROUND;
        let quiet = never();
        loop {
            let alert_due = self
                .alerts
                .next_due_ms()
                .map(|due_ms| Instant::now() + Duration::from_millis(due_ms.saturating_sub(Now::read().mono_ms)));
            let beat_due = (!self.service.couriers.is_idle()).then_some(self.next_beat);
            let wake = [next_probe, alert_due, beat_due].into_iter().flatten().fold(next_round, Instant::min);
            select! {
                recv(signals) -> signal => match signal {
                    Ok(Signal::Reload) => self.reload(load),
                    Ok(Signal::SwitchOver) => match &self.service.pair {
                        Some(pair) => pair.switch_over(),
                        None => log::warn!("SIGUSR1: there is no other connector to switch over to ([pair] lease is empty)"),
                    },
                    Ok(Signal::Stop) | Err(_) => {
                        log::info!("stopping: links are closed, what is under way is delivered");
                        return self.service;
                    }
                },
                recv(self.service.alarms) -> alarm => if let Ok(alarm) = alarm { self.alarm(&alarm) },
                recv(self.service.notices) -> notice => if let Ok(notice) = notice { self.notice(notice) },
                recv(self.service.requests) -> line => match line {
                    Ok(line) => self.request(line),
                    Err(_) => self.service.requests = quiet.clone(),
                },
                // Both ends of these two are ours as well, so neither is ever disconnected.
                recv(self.service.news) -> news => if let Ok((crm, report)) = news { self.news(&crm, report) },
                recv(self.service.words) -> word => if let Ok((crm, word)) = word { self.word(&crm, word) },
                recv(self.service.questions) -> question => match question {
                    // Whoever asked may have gone.
                    Ok(answer) => drop(answer.try_send(self.watched())),
                    Err(_) => self.service.questions = never(),
                },
                default(wake.saturating_duration_since(Instant::now())) => {}
            }
            let now = Instant::now();
            if next_probe.is_some_and(|at| at <= now) {
                self.send_probe();
                next_probe = self.supervisor.watchdog.map(|every| now + every);
            }
            if next_round <= now {
                self.round();
                next_round = now + ROUND;
            }
            if self.next_beat <= now {
                self.beat();
                self.next_beat = now + BEAT;
            }
            for alert in self.alerts.due(Now::read().mono_ms) {
                self.teller.tell(&self.service.config.alert, alert);
            }
        }
    }

    fn status(&self) -> String {
        let config = &self.service.config;
        let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!(
            "exchanges: {}; CRMs: {}",
            names(config.asterisk.iter().map(|section| section.name.as_str()).collect()),
            names(config.crm.iter().map(|section| section.name.as_str()).collect())
        )
    }

    /// Sends a question round the whole way (call-state, keeper, commit); its answer is the sign of life. So a thread
    /// that hangs is noticed, not only a main thread that does.
    fn send_probe(&mut self) {
        self.probe += 1;
        // Full: call-state is behind; it will have answered an earlier probe, or is dead, which is for the supervisor.
        let _ = self.service.told.try_send(Told {
            input: TellCalls::Probe(self.probe),
            items: Vec::new(),
            release: Vec::new(),
        });
    }

    fn reload(&mut self, load: &dyn Fn() -> Result<Config, BadConfig>) {
        self.supervisor.reloading();
        match load() {
            Ok(config) => reload::reload(&mut self.service, config),
            Err(bad) => {
                for problem in &bad.problems {
                    log::error!("reload: {}: {problem}", bad.file);
                }
                log::error!("reload: the configuration is not good; everything stays as it was");
            }
        }
        self.supervisor.ready(&self.status());
    }

    fn notice(&mut self, notice: Notice) {
        let now_ms = Now::read().mono_ms;
        match notice {
            Notice::Alive(_) => self.supervisor.alive(),
            Notice::LinkUp { pbx } => {
                let link = self.memory.links.entry(pbx.clone()).or_default();
                (link.fault, link.down_since) = (None, None);
                self.show_link(&pbx);
                let over = self.alerts.right(&format!("asterisk {pbx}"), "the link to Asterisk is up again");
                self.tell(over);
                self.next_beat = Instant::now();
            }
            Notice::LinkDown { pbx, why } => {
                let link = self.memory.links.entry(pbx.clone()).or_default();
                // Every try in vain is told; it is down since the first, and news only then.
                if link.fault.replace(why.clone()).is_none() {
                    link.down_since = Some(window::now());
                    self.next_beat = Instant::now();
                }
                self.show_link(&pbx);
                self.alerts.wrong(&format!("asterisk {pbx}"), &why, now_ms, self.after_ms());
            }
            Notice::Version { pbx, asterisk } => {
                self.memory.links.entry(pbx.clone()).or_default().asterisk = Some(asterisk);
                self.show_link(&pbx);
                self.next_beat = Instant::now();
            }
            Notice::Lease { role, turn } => self.lease(role, turn.as_ref()),
            Notice::Placed { crm } => *self.memory.placed.entry(crm).or_default() += 1,
        }
    }

    /// Which of two connectors we are has changed, or who the other one is.
    fn lease(&mut self, role: Role, turn: Option<&Turn>) {
        let crms = match role {
            Role::Active { .. } => &self.service.config.crm[..],
            Role::Standby { .. } => &[],
        };
        if turn.is_some()
            && let Err(error) = self.service.couriers.reload(crms)
        {
            log::error!("commands of the CRMs are fetched as before: {error}");
        }
        match turn {
            Some(Turn::Lost { why }) => {
                self.alerts.wrong(
                    "lease",
                    &format!("this connector is not active any more: {why}"),
                    Now::read().mono_ms,
                    self.after_ms(),
                );
            }
            // Somebody has it, we or the other one.
            _ => {
                let over = self.alerts.right("lease", "one of the two connectors is active");
                self.tell(over);
            }
        }
        if let Some(feed) = self.service.feed.get() {
            let _ = feed.tell(Happened::Pair(window::pair_status(&self.service.config, &role)));
        }
        self.memory.role = Some(role);
        self.next_beat = Instant::now();
    }

    /// What a CRM is to be told at once.
    fn news(&self, crm: &str, report: Report) {
        if let Report::Forget(number) = &report {
            // Known until the CRM says that it is done. Whose calls they were is the CRM's to find.
            for crm in self.service.couriers.crms() {
                self.service.remember_to_forget(crm, number);
                self.service.couriers.tell(crm, report.clone());
            }
            return;
        }
        self.service.couriers.tell(crm, report);
    }

    /// Clients whom a CRM could not be told to forget before the last stop.
    fn forget_what_was_left(&self) {
        for (crm, number) in self.service.to_forget() {
            self.service.couriers.tell(&crm, Report::Forget(number));
        }
    }

    /// What a CRM says to a report.
    fn word(&mut self, crm: &str, word: Word) {
        let answer = match word {
            Word::Forgotten(number) => return self.service.forgotten(crm, &number),
            Word::Heartbeat(answer) => answer,
        };
        if let Some(skew) = answer.clock_skew_seconds {
            let what = format!("clock {crm}");
            if skew.abs() > CLOCKS_APART_S {
                let text = format!("its clock and ours are {skew:.0} s apart; beyond 300 s it refuses everything");
                self.alerts.wrong(&what, &text, Now::read().mono_ms, 0);
            } else {
                let over = self.alerts.right(&what, "the clocks agree again");
                self.tell(over);
            }
        }
        if let (Some(pushing), Some(fetches)) = (&self.service.pushing, answer.fetches_recordings) {
            // Full: said again with the next heartbeat.
            let _ = pushing.told.try_send(pusher::Told::Fetches { crm: crm.to_owned(), fetches });
        }
        let said = (answer.users_revision, answer.directory_head);
        let before = self.revisions.insert(crm.to_owned(), said.clone());
        // With the first answer there is nothing to compare: users and directory were asked for at the start.
        let Some(before) = before else { return };
        if before.0 != said.0 {
            self.service.window.refresh(crm, Refresh::Users);
        } else if before.1 != said.1 {
            self.service.window.refresh(crm, Refresh::Directory);
        }
    }

    /// Tells every CRM with our module how we are.
    fn beat(&self) {
        let service = &self.service;
        if service.couriers.is_idle() {
            return;
        }
        let stored = Stored::read(&service.config.store.path).unwrap_or_else(|error| {
            log::warn!("heartbeats go without figures of the database: {error}");
            Stored::default()
        });
        for crm in service.couriers.crms() {
            let standing = Standing {
                config: &service.config,
                exchanges: &service.exchanges,
                links: &self.memory.links,
                saved: &service.saved,
                failed: &self.memory.failed,
                placed: &self.memory.placed,
                started_at: service.started_at,
            };
            let heartbeat = heartbeat::compose(crm, standing, &stored, window::now());
            service.couriers.tell(crm, Report::Heartbeat(Box::new(heartbeat)));
        }
    }

    fn alarm(&mut self, alarm: &Alarm) {
        let now_ms = Now::read().mono_ms;
        let over = match alarm {
            Alarm::StoreFailing { why, .. } => {
                self.alerts.wrong("store", &format!("the database cannot be written: {why}"), now_ms, 0);
                None
            }
            Alarm::StoreLosing { lost } => {
                let text = format!("the database cannot be written and memory is full: {lost} records are lost");
                self.alerts.wrong("store lost records", &text, now_ms, 0);
                None
            }
            Alarm::StoreWorks { failed_for_ms, lost } => {
                let text =
                    format!("the database works again after {} s, {lost} records were lost", failed_for_ms / 1000);
                let lost_over = self.alerts.right("store lost records", &text);
                self.tell(lost_over);
                self.alerts.right("store", &text)
            }
            Alarm::DestinationDown { name, why } => {
                self.show_backlog(name, Some(why));
                self.alerts.wrong(&of_destination(name), why, now_ms, self.after_ms());
                None
            }
            Alarm::DestinationUp { name, down_for_ms } => {
                self.show_backlog(name, None);
                let text = format!("takes records again after {} s", down_for_ms / 1000);
                self.alerts.right(&of_destination(name), &text)
            }
            Alarm::StoreReplaced { path } => {
                let text = format!("the database {} was deleted or replaced while in use: restart me", path.display());
                self.alerts.wrong("store replaced", &text, now_ms, 0);
                None
            }
            // One refused record is for the log and `outbox list`; nobody is called at night for it.
            Alarm::Parked { .. } => None,
        };
        self.tell(over);
    }

    /// Shows at once that a CRM is down, and why, or takes records again; the database says so with its next commit only.
    fn show_backlog(&self, name: &str, fault: Option<&str>) {
        let Some(feed) = self.service.feed.get() else { return };
        let states = Reader::open(&self.service.config.store.path).and_then(|reader| reader.destinations());
        let state = states.unwrap_or_default().into_iter().find(|state| state.name == name);
        let mut state = state.unwrap_or_else(|| DestinationState::unknown(name));
        match fault {
            Some(why) => {
                state.down_since_ms.get_or_insert(Now::read().wall_ms);
                state.last_error = Some(why.to_owned());
            }
            None => (state.down_since_ms, state.next_try_ms) = (None, None),
        }
        let _ = feed.tell(Happened::Backlog(crm_status(&state, Vec::new())));
    }

    /// Looks at what nobody reports: how old the outbox is, how full the disk.
    fn round(&mut self) {
        let now = Now::read();
        let database = self.service.config.store.path.clone();
        let limit_ms = i64::from(self.service.config.alert.outbox_minutes) * 60_000;
        match Reader::open(&database).and_then(|reader| reader.destinations()) {
            Ok(destinations) => {
                for destination in destinations {
                    if let Some(feed) = self.service.feed.get() {
                        let _ = feed.tell(Happened::Backlog(crm_status(&destination, Vec::new())));
                    }
                    let what = format!("outbox {}", destination.name);
                    let age_ms = destination.oldest_ms.map_or(0, |oldest_ms| now.wall_ms.saturating_sub(oldest_ms));
                    if age_ms > limit_ms {
                        let minutes = age_ms / 60_000;
                        let text = format!("{} records wait, the oldest for {minutes} minutes", destination.waiting);
                        self.alerts.wrong(&what, &text, now.mono_ms, 0);
                    } else {
                        let over = self.alerts.right(&what, "nothing waits that long any more");
                        self.tell(over);
                    }
                }
            }
            Err(error) => log::warn!("the outbox could not be looked at: {error}"),
        }
        let folder = database.parent().unwrap_or(std::path::Path::new("/"));
        if let Ok(space) = rustix::fs::statvfs(folder) {
            let free_mb = space.f_bavail.saturating_mul(space.f_frsize) / 1_000_000;
            if free_mb < self.service.config.alert.disk_free_mb {
                let text = format!("only {free_mb} MB are free at {}", folder.display());
                self.alerts.wrong("disk", &text, now.mono_ms, 0);
            } else {
                let over = self.alerts.right("disk", "there is enough space again");
                self.tell(over);
            }
        }
    }

    /// One request to a CRM is over.
    fn request(&mut self, line: RequestLine) {
        let succeeded = line.status.is_some_and(|status| (200..300).contains(&status));
        // A long poll takes as long as it was asked to.
        if let Some(feed) = self.service.feed.get().filter(|_| line.op != "commands") {
            let took = CrmTook { crm: line.crm.clone(), op: line.op, took_ms: line.took_ms, succeeded };
            // Too busy to count: the figures have a hole.
            let _ = feed.tell(Happened::CrmTook(took));
        }
        if !succeeded {
            *self.memory.failed.entry(line.crm.clone()).or_default() += 1;
        }
        // What comes every minute and goes well would leave no room for anything else.
        if !(succeeded && ["commands", "heartbeat"].contains(&line.op)) {
            self.memory.requests.push(line);
        }
    }

    fn show_link(&self, pbx: &str) {
        let exchange = self.service.exchanges.iter().find(|exchange| exchange.name == pbx);
        if let (Some(feed), Some(exchange)) = (self.service.feed.get(), exchange) {
            let _ = feed.tell(Happened::Link(self.link(exchange)));
        }
    }

    fn link(&self, exchange: &Exchange) -> PbxStatus {
        let link = self.memory.links.get(&exchange.name).cloned().unwrap_or_default();
        pbx_status(exchange, link.fault.as_deref(), link.asterisk)
    }

    /// What only we know.
    fn watched(&self) -> Watched {
        let config = &self.service.config;
        let requests = config
            .crm
            .iter()
            .map(|section| (section.name.clone(), self.memory.requests.of(&section.name).map(request_line).collect()));
        Watched {
            pbxs: self.service.exchanges.iter().map(|exchange| self.link(exchange)).collect(),
            requests: requests.collect(),
            pair: self.memory.role.as_ref().map(|role| window::pair_status(config, role)),
            warnings: self.alerts.told().map(|(what, text)| format!("{what}: {text}")).collect(),
        }
    }

    fn after_ms(&self) -> u64 {
        u64::from(self.service.config.alert.after_s) * 1000
    }

    fn tell(&self, alert: Option<super::alert::Alert>) {
        if let Some(alert) = alert {
            self.teller.tell(&self.service.config.alert, alert);
        }
    }
}

/// What an alert about a destination of the outbox is called.
fn of_destination(name: &str) -> String {
    if name == HISTORY { format!("history {name}") } else { format!("crm {name}") }
}
