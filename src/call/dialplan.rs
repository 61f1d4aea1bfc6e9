//! Where the caller is in the dialplan: greeting, menu, voicemail, an AGI script, the end of the road.
//!
//! Rests on Newexten and VarSet (class `dialplan`); without them the same calls come out with less detail.

use super::model::{Channel, Conversation, Fate, Menu, Role, Stage, UnplacedDial};
use super::record::{Direction, StepKind, step};
use super::{Calls, Key};
use crate::asterisk::channel::Half;
use crate::asterisk::{Leg, PbxId, Text, Uniqueid};

/// At most so many channel variables of one conversation are kept, each at most so long.
const MAX_VARIABLES: usize = 32;
const MAX_VARIABLE_LEN: usize = 1_024;
/// Keys of a menu that are kept; a child with a phone presses more.
const MAX_KEYS: usize = 32;
/// The shortest key and pause (ITU-T Q.24): the same key sooner is the same event again.
const KEY_MS: i64 = 80;

impl Calls {
    /// `Newexten`: a channel starts an application.
    pub(super) fn newexten(&mut self, pbx: PbxId, leg: &Leg, application: &Text, data: &Text) {
        let wall = self.wall();
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        let conversation = self.conversation_mut(key);
        // `h` runs after the end; what it does is nobody's call.
        if &*leg.exten == "h" {
            if conversation.channel(&leg.uniqueid).is_some_and(leads) {
                conversation.h_began.get_or_insert(wall);
            }
            return;
        }
        let Some(channel) = conversation.channel(&leg.uniqueid) else { return };
        if !channel.is_live() {
            return;
        }
        let leads = leads(channel);
        let far_end = channel.name.local_half() == Some(Half::Two);
        if !leads && !far_end {
            return;
        }
        let application = application.to_ascii_lowercase();
        // A transfer moves the channel to a new place while it still runs its Dial or Queue, and Asterisk announces the
        // old application there once more.
        let runs = matches!(&*application, "dial" | "queue").then(|| Box::new((application.clone(), data.to_string())));
        if runs.is_some() && conversation.was_answered() && channel.runs == runs {
            return;
        }
        if let Some(channel) = conversation.channel_mut(&leg.uniqueid) {
            channel.runs = runs;
        }
        if leads {
            conversation.notice_going_on(leg);
            conversation.dialplan_seen = true;
            conversation.agi_runs = false;
            if application != "queue"
                && let Some(queue) = &mut conversation.queue
            {
                queue.left.get_or_insert(wall);
            }
            self.dial_is_over(key, &leg.uniqueid);
            if self.conversation(key).menu.as_ref().is_some_and(|m| m.reads) {
                self.take_heard_keys(key);
            }
            self.place_entered(key, leg);
            let conversation = self.conversation_mut(key);
            conversation.last_place = Some((leg.context.to_string(), leg.exten.to_string()));
            conversation.last_application = Some(application.clone());
        }
        self.application(key, leg, leads, &application, data);
    }

    fn application(&mut self, key: Key, leg: &Leg, leads: bool, application: &str, data: &Text) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        match application {
            "dial" | "retrydial" => {
                let arguments =
                    if application == "dial" { &**data } else { data.splitn(4, ',').nth(3).unwrap_or_default() };
                if leads {
                    conversation.stage = Stage::Dial;
                    if conversation.to.is_none() && is_dialled(&leg.exten) {
                        conversation.to = Some(leg.exten.to_string());
                    }
                }
                if self.has_known_root(key, &leg.uniqueid) {
                    self.named_in_dial(key, &leg.uniqueid, arguments);
                } else {
                    let dial = UnplacedDial { channel: leg.uniqueid.clone(), arguments: arguments.to_owned() };
                    let waiting = &mut self.conversation_mut(key).unplaced_dials;
                    if waiting.len() < super::model::MAX_PHONES {
                        waiting.push(dial);
                    }
                }
            }
            "followme" | "page" if leads => conversation.stage = Stage::Dial,
            "background" | "waitexten" | "read" => {
                let context = leg.context.to_string();
                let known = conversation.menu.take();
                let new = known.as_ref().is_none_or(|m| m.context != context);
                let (keys, heard, heard_at) = known.map(|m| (m.keys, m.heard, m.heard_at)).unwrap_or_default();
                conversation.menu = Some(Box::new(Menu {
                    context: context.clone(),
                    exten: leg.exten.to_string(),
                    keys,
                    open: true,
                    heard,
                    heard_at,
                    reads: application == "read",
                }));
                conversation.stage = Stage::Menu;
                if new {
                    conversation.step(step(StepKind::Menu, wall).place(context));
                }
                self.touch(key);
            }
            "queue" => {
                let name = data.split(',').next().unwrap_or_default().to_owned();
                conversation.stage = Stage::Queue;
                let standing = conversation.queue.as_ref().is_some_and(|q| q.name == name && q.left.is_none());
                if !standing {
                    // QueueCallerJoin says when he got in; a refusal (JOINEMPTY, FULL) sends none, and class `agent` may
                    // not be ours.
                    conversation.enter_queue(&name, wall);
                }
                self.touch(key);
            }
            "voicemail" => {
                conversation.stage = Stage::Voicemail;
                let mailbox = data.split(',').next().unwrap_or_default().to_owned();
                conversation.step(step(StepKind::Voicemail, wall).place(mailbox.clone()));
                conversation.voicemail = Some(mailbox);
                self.touch(key);
            }
            "agi" | "eagi" | "deadagi" | "fastagi" if leads => {
                conversation.agi_runs = true;
                if conversation.direction == Some(Direction::Incoming) {
                    conversation.step(step(StepKind::Lookup, wall));
                }
            }
            "hangup" | "busy" | "congestion" if leads => conversation.dialplan_refused = true,
            "answer" | "playback" | "ringing" | "progress" | "wait" | "waitforsilence" | "waitmusiconhold"
            | "musiconhold" | "controlplayback" | "saydigits" | "saynumber" | "sayalpha" | "sayphonetic"
            | "sayunixtime" | "playtones" | "echo" | "milliwatt" | "morsecode" | "festival" | "flite"
            | "confbridge" | "meetme" | "park" | "bridgewait" | "zapateller" | "waituntil" | "startmusiconhold"
            | "externalivr"
                if leads && conversation.stage == Stage::None =>
            {
                conversation.stage = Stage::Greeting;
                if conversation.direction == Some(Direction::Incoming) {
                    conversation.step(step(StepKind::Greeting, wall).place(leg.context.to_string()));
                    self.touch(key);
                }
            }
            _ => {}
        }
    }

    /// `DTMFEnd` (class `dtmf`): the client pressed a key. Where it leads says the dialplan; this is for a menu that does not
    /// tell (Read), and for a key it does not have.
    pub(super) fn key_pressed(&mut self, pbx: PbxId, leg: &Leg, digit: &str) {
        let wall = self.wall();
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        let conversation = self.conversation_mut(key);
        if let Some(channel) = conversation.channel_mut(&leg.uniqueid) {
            channel.pressed_key = Some(wall);
        }
        if conversation.channel(&leg.uniqueid).is_some_and(leads)
            && let Some(menu) = conversation.menu.as_mut().filter(|m| m.open)
            && menu.heard.len() < MAX_KEYS
            && is_keys(digit)
            && !(menu.heard.ends_with(digit) && wall - menu.heard_at < KEY_MS)
        {
            menu.heard.push_str(digit);
            menu.heard_at = wall;
        }
    }

    /// The menu is over, and no extension was entered that would say which key it was.
    fn take_heard_keys(&mut self, key: Key) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let rang = conversation.phones.iter().any(|p| p.rang);
        let Some(menu) = conversation.menu.as_mut().filter(|m| m.open) else { return };
        menu.open = false;
        let heard = std::mem::take(&mut menu.heard);
        let pressed = if menu.reads { heard.trim_end_matches('#') } else { &heard };
        if !pressed.is_empty() && !rang && menu.keys.len() < MAX_KEYS {
            menu.keys.push(pressed.to_owned());
            conversation.step(step(StepKind::Digits, wall).place(pressed.to_owned()));
            self.touch(key);
        }
    }

    /// The leading channel is at a place of the dialplan: a key of the menu may have brought it there, or an error.
    fn place_entered(&mut self, key: Key, leg: &Leg) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let was_here = conversation.last_place.as_ref().is_some_and(|(c, e)| **c == *leg.context && **e == *leg.exten);
        if was_here {
            return;
        }
        let rang = conversation.phones.iter().any(|p| p.rang);
        let wrong = &*leg.exten == "i";
        if let Some(menu) = conversation.menu.as_mut().filter(|m| m.open) {
            menu.heard.clear();
            if *menu.context == *leg.context && *menu.exten != *leg.exten {
                menu.open = false;
                let key_pressed = if wrong { conversation.invalid_exten.clone() } else { Some(leg.exten.to_string()) };
                let pressed = key_pressed.filter(|k| is_keys(k));
                if let Some(pressed) = pressed
                    && !rang
                    && menu.keys.len() < MAX_KEYS
                {
                    menu.keys.push(pressed.clone());
                    conversation.step(step(StepKind::Digits, wall).place(pressed));
                }
                self.touch(key);
                return;
            }
            // Left by another way (a Goto): what follows is no key of this menu.
            menu.open = false;
        }
        if wrong {
            conversation.invalid = true;
            if matches!(conversation.stage, Stage::None | Stage::Greeting) {
                conversation.stage = Stage::DialplanError;
            }
        }
    }

    /// `VarSet` of a variable we keep.
    pub(super) fn varset(&mut self, pbx: PbxId, leg: &Leg, variable: &Text, value: &Text) {
        // Globals have neither channel nor uniqueid (`none`).
        let Some(key) = self.find(pbx, &leg.uniqueid) else { return };
        let wall = self.wall();
        match &**variable {
            "MIXMONITOR_FILENAME" => self.recording_started(key, &leg.uniqueid, value),
            "DIALSTATUS" => {
                if value.is_empty() {
                    return;
                }
                self.dial_is_over(key, &leg.uniqueid);
                if matches!(&**value, "CHANUNAVAIL" | "CONGESTION") {
                    self.target_unreachable(key, &leg.uniqueid);
                }
                let conversation = self.conversation_mut(key);
                let is_leading = conversation.channel(&leg.uniqueid).is_some_and(leads);
                if &**value == "INVALIDARGS" && is_leading && !conversation.has_phones() {
                    conversation.stage = Stage::DialplanError;
                }
            }
            "QUEUESTATUS" => {
                let conversation = self.conversation_mut(key);
                if let Some(queue) = &mut conversation.queue
                    && !value.is_empty()
                {
                    queue.status = Some(value.to_string());
                    queue.left.get_or_insert(wall);
                    self.touch(key);
                }
            }
            "INVALID_EXTEN" => self.conversation_mut(key).invalid_exten = Some(value.chars().take(MAX_KEYS).collect()),
            name => {
                let name = name.trim_start_matches('_');
                let kept = name == "PINCONNECTOR_CRM" || self.rules.keep_variables.iter().any(|k| k == name);
                let conversation = self.conversation_mut(key);
                if kept && (conversation.variables.len() < MAX_VARIABLES || conversation.variables.contains_key(name)) {
                    let value: String = value.chars().take(MAX_VARIABLE_LEN).collect();
                    if conversation.variables.get(name) != Some(&value) {
                        conversation.variables.insert(name.to_owned(), value);
                        self.touch(key);
                    }
                }
            }
        }
    }

    /// The Dial this channel ran is over, or its phones have answered: those that got no channel could not be reached.
    pub(super) fn dial_is_over(&mut self, key: Key, dialler: &Uniqueid) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        if conversation.channel(dialler).is_none() {
            return;
        }
        let mut changed = false;
        for index in 0..conversation.phones.len() {
            let has_channel = conversation.channels.iter().any(|c| {
                c.is_live()
                    && (c.decides == Some(index)
                        || c.phone == Some(index) && c.decides.is_none() && c.role != Role::Caller)
            });
            let phone = &mut conversation.phones[index];
            if phone.key.is_some() && phone.fate == Fate::Trying && !has_channel && phone.talk_from.is_none() {
                phone.fate = if phone.rang { Fate::RangOut } else { Fate::Unreachable };
                phone.ended.get_or_insert(wall);
                changed = true;
            }
        }
        if changed {
            self.touch(key);
        }
    }

    /// At its Hangup the leading channel stands where its last Goto sent it: if that is nowhere, the dialplan is wrong.
    pub(super) fn notice_wrong_place(&mut self, key: Key, leg: &Leg) {
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel(&leg.uniqueid) else { return };
        if !leads(channel) {
            return;
        }
        let wanted = channel.asked_hangup.is_some() || conversation.dialplan_refused;
        // Asterisk went where the key led, and nothing could run there (no such application).
        let led =
            conversation.menu.as_ref().is_some_and(|m| m.open && *m.context == *leg.context && *m.exten != *leg.exten);
        if led && !wanted && is_keys(&leg.exten) {
            self.place_entered(key, leg);
        }
        self.take_heard_keys(key);
        if wanted {
            return;
        }
        let conversation = self.conversation_mut(key);
        let Some((context, exten)) = &conversation.last_place else { return };
        let jumped =
            conversation.last_application.as_deref().is_some_and(|a| a.starts_with("go") || a.starts_with("exec"));
        let elsewhere = **context != *leg.context || (**exten != *leg.exten && &*leg.exten != "h");
        // A key of a menu may lead to nowhere, too; a key the menu does not have leads nowhere at all.
        if (jumped || led) && elsewhere && matches!(conversation.stage, Stage::None | Stage::Greeting | Stage::Menu) {
            conversation.stage = Stage::DialplanError;
            conversation.invalid = true;
        }
    }
}

impl Conversation {
    /// After a talk the client's channel does the next step where it dialled: nobody has pulled it away.
    fn notice_going_on(&mut self, leg: &Leg) {
        let clients = self
            .channel(&leg.uniqueid)
            .is_some_and(|c| c.is_client || (c.role == Role::Caller && self.direction == Some(Direction::Internal)));
        let place = self.talk_place.as_ref();
        let there = place.is_some_and(|(context, exten)| **context == *leg.context && **exten == *leg.exten);
        self.went_on |= clients && there && !self.phones.iter().any(|p| p.talk_from.is_some());
    }
}

/// The channel whose way through the dialplan is the call's: who called, or was called first by an Originate.
fn leads(channel: &Channel) -> bool {
    channel.is_client || channel.role == Role::Caller || (channel.role == Role::Originated && !channel.is_local())
}

fn is_keys(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'A'..=b'D'))
}

fn is_dialled(exten: &str) -> bool {
    exten.bytes().any(|b| b.is_ascii_digit())
}
