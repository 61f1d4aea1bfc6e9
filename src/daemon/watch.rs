//! What the main thread does while the service runs: signals, signs of life for the supervisor, alerts.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};

use super::alert::{Alerts, Teller};
use super::process::{Signal, Supervisor};
use super::queues::{Notice, TellCalls, Told};
use super::window::{Watched, crm_status, pbx_status, request_line};
use super::{Fault, Memory, Service, reload};
use crate::clock::Now;
use crate::config::{BadConfig, Config};
use crate::crm::RequestLine;
use crate::http::Happened;
use crate::http::office::CrmTook;
use crate::store::settings::HISTORY;
use crate::store::{Alarm, Reader};
use crate::threads::Thread;

/// How often the outbox and the disk are looked at.
const ROUND: Duration = Duration::from_secs(60);

pub struct Watch<'a> {
    service: Service,
    supervisor: &'a Supervisor,
    alerts: Alerts,
    teller: Teller,
    _alert_thread: Thread,
    memory: Memory,
    /// The number of the last probe sent through call-state and keeper.
    probe: u64,
}

impl<'a> Watch<'a> {
    pub fn new(service: Service, supervisor: &'a Supervisor) -> Result<Self, Fault> {
        let (teller, thread) = Teller::start().map_err(|error| Fault::system("no thread for alerts", &error))?;
        let memory = Memory::default();
        let alerts = Alerts::default();
        Ok(Self { service, supervisor, alerts, teller, _alert_thread: thread, memory, probe: 0 })
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
            let wake = [next_probe, alert_due].into_iter().flatten().fold(next_round, Instant::min);
            select! {
                recv(signals) -> signal => match signal {
                    Ok(Signal::Reload) => self.reload(load),
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
                self.memory.link_faults.retain(|(name, _)| *name != pbx);
                self.show_link(&pbx, None);
                let over = self.alerts.right(&format!("asterisk {pbx}"), "the link to Asterisk is up again");
                self.tell(over);
            }
            Notice::LinkDown { pbx, why } => {
                self.memory.link_faults.retain(|(name, _)| *name != pbx);
                self.memory.link_faults.push((pbx.clone(), why.clone()));
                self.show_link(&pbx, Some(&why));
                self.alerts.wrong(&format!("asterisk {pbx}"), &why, now_ms, self.after_ms());
            }
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
                self.alerts.wrong(&of_destination(name), why, now_ms, self.after_ms());
                None
            }
            Alarm::DestinationUp { name, down_for_ms } => {
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
        if let Some(feed) = self.service.feed.get() {
            let succeeded = line.status.is_some_and(|status| (200..300).contains(&status));
            let took = CrmTook { crm: line.crm.clone(), op: line.op, took_ms: line.took_ms, succeeded };
            // Too busy to count: the figures have a hole.
            let _ = feed.tell(Happened::CrmTook(took));
        }
        self.memory.requests.push(line);
    }

    fn show_link(&self, pbx: &str, fault: Option<&str>) {
        let exchange = self.service.exchanges.iter().find(|exchange| exchange.name == pbx);
        if let (Some(feed), Some(exchange)) = (self.service.feed.get(), exchange) {
            let _ = feed.tell(Happened::Link(pbx_status(exchange, fault)));
        }
    }

    /// What only we know.
    fn watched(&self) -> Watched {
        let config = &self.service.config;
        let requests = config
            .crm
            .iter()
            .map(|section| (section.name.clone(), self.memory.requests.of(&section.name).map(request_line).collect()));
        Watched {
            link_faults: self.memory.link_faults.clone(),
            requests: requests.collect(),
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
