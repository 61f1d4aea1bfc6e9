//! The `call-state` thread: the one owner of all call state. Takes in what happens, lets the core decide, hands out what
//! follows. What it means is decided in [`crate::call`]; how long a commit takes is the keeper's concern.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};

use super::links::Links;
use super::queues::{Notice, Released, TellCalls, Told};
use crate::ami::{FromPbx, Heard};
use crate::asterisk::{Action, ActionId, Event, PbxId};
use crate::call::{Calls, Conversation, Effect, Input, Record};
use crate::clock::Now;
use crate::crm::directory::Directory;
use crate::http::{Feed, Happened};
use crate::recordings;
use crate::store::{self, Item, Save};

/// Longer than any deadline is far away; waking once in a while costs nothing.
const NO_DEADLINE: Duration = Duration::from_secs(3600);

/// Everything the thread owns.
pub struct CallState {
    pub calls: Calls,
    pub heard: Receiver<FromPbx>,
    pub told: Receiver<Told>,
    pub keeper: Sender<store::Input<Released>>,
    /// The only owner of the ways to Asterisk: when it lets go of them, the links end.
    pub links: Option<Arc<Links>>,
    pub notices: Sender<Notice>,
    /// Whose phones are there, for the dialplan's questions.
    pub directory: Option<Arc<Directory>>,
    /// Who watches calls go by, once there is a window.
    pub feed: Arc<OnceLock<Feed>>,
    /// Who looks for the files of recordings, where a folder is configured.
    pub recorded: Option<Sender<recordings::Told>>,
    /// Names of the exchanges, by [`PbxId`].
    pub names: Vec<String>,
    /// The last moment the core was told of.
    pub last_ms: u64,
    /// How far the clocks of the exchanges are ahead of ours, in milliseconds, where they stamp what they say. Calls are written down
    /// by the clock of their exchange, all of them.
    pub ahead_ms: Vec<i64>,
}

impl CallState {
    /// Runs until nobody is left who could say anything. The end of `told` is the wish to stop: the links are let go, which
    /// ends them, which ends `heard`; what they still said is taken in.
    pub fn run(mut self) {
        let (mut heard_open, mut told_open) = (true, true);
        while heard_open || told_open {
            let timeout = self.until_deadline();
            let (nothing_heard, nothing_told) = (never(), never());
            select! {
                recv(if heard_open { &self.heard } else { &nothing_heard }) -> item => match item {
                    Ok(item) => self.heard(item),
                    Err(_) => heard_open = false,
                },
                recv(if told_open { &self.told } else { &nothing_told }) -> told => match told {
                    Ok(told) => self.told(told),
                    Err(_) => {
                        told_open = false;
                        self.links = None;
                    }
                },
                default(timeout) => self.step(Input::Tick, Vec::new(), Vec::new()),
            }
        }
        // Dropping the keeper's queue here is what makes the keeper finish.
    }

    /// An open conversation as it was stored before a restart of ours; before [`CallState::run`].
    pub fn restore(&mut self, conversation: Box<Conversation>) {
        log::debug!("{}: restored", conversation.id);
        self.step(Input::Restored(conversation), Vec::new(), Vec::new());
    }

    fn until_deadline(&self) -> Duration {
        match self.calls.next_deadline() {
            Some(deadline_ms) => {
                Duration::from_millis(deadline_ms.saturating_sub(Now::read().mono_ms)).min(NO_DEADLINE)
            }
            None => NO_DEADLINE,
        }
    }

    /// Everything one read of a link brought becomes one transaction.
    fn heard(&mut self, item: FromPbx) {
        let pbx = item.pbx;
        let wall_ms = match item.ahead_ms {
            Some(ahead_ms) => {
                if let Some(known) = self.ahead_ms.get_mut(usize::from(pbx.0)) {
                    *known = ahead_ms;
                }
                item.at.wall_ms
            }
            // The first words after a login, or the end of the link: they have no stamp.
            None => item.at.wall_ms.saturating_add(self.ahead(pbx)),
        };
        // When it was read is when it happened, however long it waited here; but time never goes back.
        let now = Now { wall_ms, mono_ms: item.at.mono_ms.max(self.last_ms) };
        let mut save = Save { items: Vec::new(), release: Vec::new() };
        for heard in item.heard {
            let input = match heard {
                Heard::Event(event) => {
                    if let Event::Response(response) = &event
                        && !response.version.is_empty()
                    {
                        let asterisk = response.version.to_string();
                        // Full: told again with the next login.
                        let _ = self.notices.try_send(Notice::Version { pbx: self.name(pbx), asterisk });
                    }
                    if let (Event::DeviceStateChange { device, state }, Some(directory)) = (&event, &self.directory) {
                        directory.device(&self.name(pbx), device, state);
                    }
                    Input::Heard { pbx, event }
                }
                Heard::Up { .. } => {
                    // Full: the main thread has a backlog of such news, and the log has this one.
                    let _ = self.notices.try_send(Notice::LinkUp { pbx: self.name(pbx) });
                    self.ask_who_is_there(pbx);
                    Input::LinkUp { pbx }
                }
                Heard::Down { why } => {
                    if let Some(directory) = &self.directory {
                        directory.link_down(&self.name(pbx));
                    }
                    let _ = self.notices.try_send(Notice::LinkDown { pbx: self.name(pbx), why });
                    Input::LinkDown { pbx }
                }
            };
            self.decide(now, input, &mut save);
        }
        self.save(save);
    }

    /// Which Asterisk it is, and whose phones are there: who was away before we logged in says nothing by himself.
    fn ask_who_is_there(&self, pbx: PbxId) {
        let Some(links) = &self.links else { return };
        links.ask(pbx, ActionId("pinconnector-version".into()), Action::CoreSettings);
        if self.directory.is_some() {
            links.ask(pbx, ActionId("pinconnector-devices".into()), Action::DeviceStateList);
        }
    }

    fn ahead(&self, pbx: PbxId) -> i64 {
        self.ahead_ms.get(usize::from(pbx.0)).copied().unwrap_or(0)
    }

    fn name(&self, pbx: PbxId) -> String {
        self.names.get(usize::from(pbx.0)).cloned().unwrap_or_default()
    }

    fn told(&mut self, told: Told) {
        match told.input {
            TellCalls::Input(input) => self.step(*input, told.items, told.release),
            TellCalls::Probe(number) => self.save(Save { items: told.items, release: vec![Released::Alive(number)] }),
        }
    }

    /// One input through the core, and everything that follows from it as one transaction.
    fn step(&mut self, input: Input, items: Vec<Item>, release: Vec<Released>) {
        let pbx = match &input {
            Input::Heard { pbx, .. }
            | Input::LinkUp { pbx }
            | Input::LinkDown { pbx }
            | Input::Over { pbx }
            | Input::CallerIdentified { pbx, .. } => *pbx,
            Input::PlaceCall(call) => call.pbx,
            // Of no exchange, or it has its times in it: only revisions are made of it.
            Input::Tick
            | Input::CancelCall { .. }
            | Input::Restored(_)
            | Input::Adopted(_)
            | Input::Followed(_)
            | Input::Reloaded(_) => PbxId(0),
        };
        let mut now = Now::read();
        now.wall_ms = now.wall_ms.saturating_add(self.ahead(pbx));
        let mut save = Save { items, release };
        self.decide(now, input, &mut save);
        self.save(save);
    }

    fn decide(&mut self, now: Now, input: Input, save: &mut Save<Released>) {
        self.last_ms = now.mono_ms;
        for effect in self.calls.handle(now, input) {
            match effect {
                Effect::Save(change) => {
                    for record in &change.records {
                        tell_operator(record);
                    }
                    if let Some(feed) = self.feed.get().filter(|_| !change.records.is_empty()) {
                        // Too busy: whoever watches fetches the state anew.
                        let _ = feed.tell(Happened::Records(change.records.clone()));
                    }
                    save.items.push(Item::Change(change));
                }
                Effect::Amend { record_id, amendment } => save.items.push(Item::Amend { record_id, amendment }),
                Effect::Ask { pbx, action_id, action } => {
                    if let Some(links) = &self.links {
                        links.ask(pbx, action_id, action);
                    }
                }
                Effect::AskAfterCommit { pbx, action_id, action } => {
                    save.release.push(Released::Ask { pbx, action_id, action });
                }
                Effect::Resynced { pbx } => save.release.push(Released::Resynced(pbx)),
                // The answer says what is stored, so it waits for the same commit.
                Effect::Progress(progress) => save.release.push(Released::Progress(progress)),
            }
        }
    }

    fn save(&self, save: Save<Released>) {
        if save.items.is_empty() && save.release.is_empty() {
            return;
        }
        let over = self.recorded.as_ref().map(|_| recordings_over(&save.items)).unwrap_or_default();
        // The keeper ends after us: it goes on until this very sender is dropped.
        self.keeper.send(store::Input::Save(save)).expect("the keeper outlives the call-state thread");
        // After the records: what is found out of them amends what is stored.
        for told in over {
            if let Some(recorded) = &self.recorded {
                // Full: the next round through the history finds it.
                let _ = recorded.try_send(told);
            }
        }
    }
}

/// The recordings among `items` whose files may be complete.
fn recordings_over(items: &[Item]) -> Vec<recordings::Told> {
    let mut over = Vec::new();
    for item in items {
        let Item::Change(change) = item else { continue };
        for record in &change.records {
            for recording in record.recordings.iter().filter(|recording| recording.state.is_none()) {
                over.push(recordings::Told::Over {
                    pbx: record.pbx.clone(),
                    record: record.id.clone(),
                    recording: recording.clone(),
                });
            }
        }
    }
    over
}

/// What an operator wants to know tomorrow: a call that ended, and how. Everything before that is for `debug`.
fn tell_operator(record: &Record) {
    let level = if record.ended_at.is_some() { log::Level::Info } else { log::Level::Debug };
    if !log::log_enabled!(level) {
        return;
    }
    let say = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let phone = record.extension.as_deref().or(record.phone.as_deref()).unwrap_or("no phone");
    let reason = record.reason.map(|reason| format!(" ({reason:?})")).unwrap_or_default();
    let talked = record.talk_seconds.filter(|span| span.0 > 0);
    let talked = talked.map(|span| format!(", talked {} s", span.0 / 1000)).unwrap_or_default();
    log::log!(
        level,
        "{}: {:?} {} -> {}, {phone}: {:?}{reason}{talked}",
        record.id,
        record.direction,
        say(&record.from, "(withheld)"),
        say(&record.to, "?"),
        record.status,
    );
}
