//! `[alert]`: tells somebody that something is down, and that it is over.
//!
//! [`Alerts`] decides what is worth telling (pure; the main thread owns it), the `alert` thread tells it: a program that
//! hangs or an address that is silent holds up nobody.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use serde::Serialize;

use crate::config::AlertSettings;
use crate::threads::Thread;

/// How long the program or the address may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many alerts may wait; beyond it they are dropped, and the log says so.
const WAITING: usize = 32;

/// What is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Alert {
    /// What it is about: `asterisk office`, `crm vtiger`, `outbox vtiger`, `store`, `disk`.
    pub alert: String,
    pub state: State,
    /// A sentence.
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    On,
    Off,
}

/// What is wrong now, since when, and whether it was told.
#[derive(Debug, Default)]
pub struct Alerts {
    wrong: BTreeMap<String, Wrong>,
}

#[derive(Debug)]
struct Wrong {
    due_ms: u64,
    text: String,
    told: bool,
}

impl Alerts {
    /// Something is wrong from `now_ms` on; told if it still is `after_ms` later. What is known already only changes its
    /// text.
    pub fn wrong(&mut self, what: &str, text: &str, now_ms: u64, after_ms: u64) {
        let entry = self.wrong.entry(what.to_owned()).or_insert_with(|| Wrong {
            due_ms: now_ms.saturating_add(after_ms),
            text: String::new(),
            told: false,
        });
        text.clone_into(&mut entry.text);
    }

    /// It is over; an alert only if its beginning was told.
    pub fn right(&mut self, what: &str, text: &str) -> Option<Alert> {
        let wrong = self.wrong.remove(what)?;
        wrong.told.then(|| Alert { alert: what.to_owned(), state: State::Off, text: text.to_owned() })
    }

    /// What has become due.
    pub fn due(&mut self, now_ms: u64) -> Vec<Alert> {
        let due = self.wrong.iter_mut().filter(|(_, wrong)| !wrong.told && wrong.due_ms <= now_ms);
        due.map(|(what, wrong)| {
            wrong.told = true;
            Alert { alert: what.clone(), state: State::On, text: wrong.text.clone() }
        })
        .collect()
    }

    /// What is wrong and was told.
    pub fn told(&self) -> impl Iterator<Item = (&str, &str)> {
        self.wrong.iter().filter(|(_, wrong)| wrong.told).map(|(what, wrong)| (what.as_str(), wrong.text.as_str()))
    }

    /// When [`Alerts::due`] has something next.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.wrong.values().filter(|wrong| !wrong.told).map(|wrong| wrong.due_ms).min()
    }
}

/// The way to the `alert` thread.
#[derive(Debug)]
pub struct Teller(Sender<(AlertSettings, Alert)>);

impl Teller {
    /// # Errors
    /// If the system gives no thread.
    pub fn start() -> std::io::Result<(Self, Thread)> {
        let (sender, receiver) = bounded(WAITING);
        let thread = Thread::start("alert", move || tell_all(&receiver))?;
        Ok((Self(sender), thread))
    }

    /// Logs the alert and has it told, if anybody wants to be told.
    pub fn tell(&self, settings: &AlertSettings, alert: Alert) {
        match alert.state {
            State::On => log::error!("alert: {}: {}", alert.alert, alert.text),
            State::Off => log::info!("alert over: {}: {}", alert.alert, alert.text),
        }
        if settings.command.is_none() && settings.url.is_none() {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.0.try_send((settings.clone(), alert)) {
            log::warn!("alert: the program or address for alerts is too slow, one was not told");
        }
    }
}

fn tell_all(alerts: &Receiver<(AlertSettings, Alert)>) {
    for (settings, alert) in alerts {
        if let Some(command) = &settings.command
            && let Err(why) = run(command, &alert)
        {
            log::warn!("alert: {command:?}: {why}");
        }
        if let Some(url) = &settings.url
            && let Err(why) = post(url, &alert)
        {
            log::warn!("alert: the address for alerts did not take it: {why}");
        }
    }
}

fn run(command: &str, alert: &Alert) -> Result<(), String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("PINCONNECTOR_ALERT", &alert.alert)
        .env("PINCONNECTOR_STATE", if alert.state == State::On { "on" } else { "off" })
        .env("PINCONNECTOR_TEXT", &alert.text)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    // There is no waiting for a child with a limit but by looking; alerts are rare.
    let mut pause = Duration::from_millis(5);
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if Instant::now() >= until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("still running after {} s, ended", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

fn post(url: &str, alert: &Alert) -> Result<(), String> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).build().new_agent();
    agent.post(url).send_json(alert).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_in_time_is_never_told() {
        let mut alerts = Alerts::default();
        alerts.wrong("asterisk office", "refused", 0, 60_000);
        assert_eq!(alerts.due(59_999), []);
        assert_eq!(alerts.right("asterisk office", "back"), None);
        assert_eq!(alerts.due(100_000), []);
    }

    #[test]
    fn what_lasts_is_told_once_and_so_is_its_end() {
        let mut alerts = Alerts::default();
        alerts.wrong("crm vtiger", "401", 1000, 60_000);
        alerts.wrong("crm vtiger", "500", 50_000, 60_000);
        assert_eq!(alerts.next_due_ms(), Some(61_000));
        let told = alerts.due(61_000);
        assert_eq!((told.len(), told[0].text.as_str()), (1, "500"));
        assert_eq!(alerts.due(70_000), []);
        assert_eq!(alerts.next_due_ms(), None);
        let over = alerts.right("crm vtiger", "takes records again").expect("told");
        assert_eq!((over.state, over.text.as_str()), (State::Off, "takes records again"));
        assert_eq!(alerts.right("crm vtiger", "again"), None);
    }

    #[test]
    fn a_program_hears_what_it_is_about() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("told");
        let command = format!(
            "printf '%s|%s|%s' \"$PINCONNECTOR_ALERT\" $PINCONNECTOR_STATE \"$PINCONNECTOR_TEXT\" > {}",
            file.display()
        );
        let alert = Alert { alert: "disk".to_owned(), state: State::On, text: "3 MB; $(reboot)".to_owned() };
        run(&command, &alert).expect("it runs");
        assert_eq!(std::fs::read_to_string(file).expect("written"), "disk|on|3 MB; $(reboot)");
        assert_eq!(run("exit 3", &alert), Err("exit status: 3".to_owned()));
    }
}
