//! What Asterisk holds against what we believe: after every login, and now and then while the link is up.
//!
//! Rests on the answer to `CoreShowChannels`. A Hangup that came while the link was down, that was filtered or that a
//! crash never sent shows itself only here.

use std::collections::{HashMap, VecDeque};

use super::bridging::BridgeKind;
use super::model::{Party, Role};
use super::{Calls, Conversation, Deadline, Effect, Key};
use crate::asterisk::event::{ListedChannel, Response};
use crate::asterisk::{Action, ChannelState, PbxId, Text, Uniqueid};

/// Record numbers of a conversation whose beginning we did not see, so that they do not meet those given before.
pub(super) const FIRST_N_MID_WAY: u32 = 1_001;

/// At most so many channels of one list are looked at.
const MAX_LISTED: usize = 50_000;

/// What is kept of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(super) originates: Vec<super::originate::Pending>,
    /// Whose channel consults in which conversation, for feature-code transfers.
    pub(super) consultations: HashMap<Uniqueid, Key>,
    /// Whom FastAGI knew before AMI spoke of his channel; dropped oldest first.
    pub(super) identified_early: VecDeque<Identified>,
    /// A list of channels that is being received: its ActionID, when it began, what came so far.
    listing: Option<Listing>,
    /// The next complete list is the first one since the login.
    resync: bool,
    up: bool,
    /// Since when; monotonic milliseconds.
    up_since_ms: u64,
    /// When Asterisk began, as it said after the last login (`CoreStatus`).
    began: Text,
    /// When the link went down, and that Asterisk began after that: a restart.
    down_since: Option<i64>,
    restarted: bool,
    /// An AMI action that ends or moves calls was answered: when.
    pub(super) acted_at: Option<i64>,
}

/// Who a caller is, by FastAGI.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) uniqueid: Uniqueid,
    pub(super) client_id: Option<Text>,
    pub(super) client_name: Option<Text>,
}

#[derive(Debug)]
struct Listing {
    action_id: String,
    began: i64,
    channels: Vec<ListedChannel>,
}

impl Exchange {
    pub(super) fn is_up(&self) -> bool {
        self.up
    }
}

impl Calls {
    pub(super) fn exchange(&mut self, pbx: PbxId) -> &mut Exchange {
        self.exchanges.entry(pbx).or_default()
    }

    pub(super) fn link_up(&mut self, pbx: PbxId) {
        let (audit_ms, now_ms) = (self.rules.audit_ms, self.now.mono_ms);
        // Of the link before, or of this one: a take-over asks anew while it is up.
        self.deadlines.retain(|(_, deadline)| *deadline != Deadline::Audit(pbx));
        let exchange = self.exchange(pbx);
        if !std::mem::replace(&mut exchange.up, true) {
            exchange.up_since_ms = now_ms;
        }
        exchange.resync = true;
        exchange.listing = None;
        // First, so that a restart is known when the channels come: FullyBooted needs a right we may lack, and while Asterisk
        // boots it comes after them.
        let action_id = self.next_action_id("status");
        self.effect(Effect::Ask { pbx, action_id, action: Action::CoreStatus });
        self.ask_for_channels(pbx);
        let action_id = self.next_action_id("queues");
        self.effect(Effect::Ask { pbx, action_id, action: Action::QueueStatus });
        if audit_ms > 0 {
            self.remind(audit_ms, Deadline::Audit(pbx));
        }
    }

    pub(super) fn link_down(&mut self, pbx: PbxId) {
        let wall = self.wall();
        let exchange = self.exchange(pbx);
        exchange.up = false;
        exchange.listing = None;
        exchange.restarted = false;
        exchange.down_since = Some(wall);
        for held in self.held.values_mut() {
            held.gap |= held.conversation.pbx_id == pbx && !held.conversation.is_over();
        }
    }

    /// `FullyBooted` (class `system`): an Asterisk younger than the broken link has been restarted.
    pub(super) fn booted(&mut self, pbx: PbxId, uptime_s: Option<u64>) {
        let wall = self.wall();
        let exchange = self.exchange(pbx);
        if let (Some(down), Some(uptime_s)) = (exchange.down_since, uptime_s) {
            let began = wall - i64::try_from(uptime_s).unwrap_or(i64::MAX / 2_000).saturating_mul(1_000);
            // Uptime is in whole seconds, cut.
            exchange.restarted = began >= down - 1_000;
        }
    }

    /// Nothing more will be heard: what has not ended is lost.
    pub(super) fn over(&mut self, pbx: PbxId) {
        let mut open: Vec<Key> =
            self.held.iter().filter(|(_, h)| h.conversation.pbx_id == pbx).map(|(k, _)| *k).collect();
        open.sort_unstable();
        for key in open {
            let Some(held) = self.held.get_mut(&key) else { continue };
            if held.conversation.is_over() {
                continue;
            }
            held.conversation.lost = true;
            if let Some(click) = &mut held.conversation.click {
                click.failed |= !click.agent_up;
            }
            let live: Vec<Uniqueid> =
                held.conversation.channels.iter().filter(|c| c.is_live()).map(|c| c.uniqueid.clone()).collect();
            for uniqueid in live {
                self.gone(pbx, key, &uniqueid, None);
            }
            self.end_if_empty(key);
        }
    }

    pub(super) fn audit(&mut self, pbx: PbxId) {
        if !self.exchanges.get(&pbx).is_some_and(|e| e.up) {
            return;
        }
        self.ask_for_channels(pbx);
        if self.rules.audit_ms > 0 {
            self.remind(self.rules.audit_ms, Deadline::Audit(pbx));
        }
    }

    fn ask_for_channels(&mut self, pbx: PbxId) {
        let action_id = self.next_action_id("channels");
        self.effect(Effect::Ask { pbx, action_id, action: Action::CoreShowChannels });
    }

    /// The answer to an action, ours or (in a replay) the recording client's.
    pub(super) fn response(&mut self, pbx: PbxId, response: &Response) {
        let wall = self.wall();
        if !response.success {
            let action_id = response.action_id.to_string();
            let exchange = self.exchange(pbx);
            let refused = exchange.originates.iter().position(|p| p.action_id == action_id);
            if let Some(at) = refused {
                let pending = exchange.originates.remove(at);
                if let Some(key) = pending.key.filter(|k| self.held.contains_key(k)) {
                    if let Some(click) = &mut self.conversation_mut(key).click {
                        click.failed = true;
                    }
                    self.end_if_empty(key);
                    self.touch(key);
                }
            }
            return;
        }
        if !response.began.is_empty() {
            let exchange = self.exchange(pbx);
            exchange.restarted |= !exchange.began.is_empty() && exchange.began != response.began;
            exchange.began = response.began.clone();
        }
        match &*response.message {
            "Channels will follow" => {
                self.exchange(pbx).listing =
                    Some(Listing { action_id: response.action_id.to_string(), began: wall, channels: Vec::new() });
            }
            "Originate successfully queued" if self.rules.every_originate_is_ours => {
                self.await_originate(pbx, response.action_id.to_string(), None);
            }
            // Another program, or we, moved or ended a call: nobody's phone asked for it.
            "Redirect successful" | "Channel Hungup" | "Channel Hung Up" | "Dual Redirect successful" => {
                self.exchange(pbx).acted_at = Some(wall);
            }
            _ => {}
        }
    }

    pub(super) fn listed(&mut self, pbx: PbxId, action_id: &str, channel: ListedChannel) {
        if let Some(listing) = &mut self.exchange(pbx).listing
            && listing.action_id == action_id
            && listing.channels.len() < MAX_LISTED
        {
            listing.channels.push(channel);
        }
    }

    pub(super) fn list_complete(&mut self, pbx: PbxId, action_id: &str) {
        let exchange = self.exchange(pbx);
        if exchange.listing.as_ref().is_none_or(|l| l.action_id != action_id) {
            return;
        }
        let Some(listing) = exchange.listing.take() else { return };
        let first = std::mem::take(&mut exchange.resync);
        self.reconcile(pbx, listing, first);
        if first {
            self.resynced.push(pbx);
        }
    }

    /// Compares. `first`: this is the first list since the login, so nothing can have been missed by chance.
    fn reconcile(&mut self, pbx: PbxId, listing: Listing, first: bool) {
        let there: HashMap<&Uniqueid, &ListedChannel> = listing.channels.iter().map(|c| (&c.leg.uniqueid, c)).collect();
        let mut missing = Vec::new();
        let mut live = 0_usize;
        for (key, held) in &mut self.held {
            let conversation = &mut held.conversation;
            if conversation.pbx_id != pbx || conversation.is_over() {
                continue;
            }
            for channel in conversation.channels.iter_mut().filter(|c| c.is_live()) {
                live += 1;
                if there.contains_key(&channel.uniqueid) {
                    channel.missing_once = false;
                } else if channel.born < listing.began || first {
                    if first || channel.missing_once {
                        missing.push((*key, channel.uniqueid.clone()));
                    }
                    channel.missing_once = true;
                }
            }
        }
        let restarted = first && missing.len() == live && self.exchange(pbx).restarted;
        let touched: Vec<Key> = missing.iter().map(|(key, _)| *key).collect();
        for (key, uniqueid) in missing {
            if !first {
                self.counts.audit_ended += 1;
            }
            if let Some(held) = self.held.get_mut(&key) {
                held.conversation.lost = true;
                held.conversation.restarted = restarted;
                self.gone(pbx, key, &uniqueid, None);
            }
        }
        // A conversation that goes on will be seen to end.
        for key in touched {
            if let Some(held) = self.held.get_mut(&key).filter(|h| !h.conversation.is_over()) {
                held.conversation.lost = false;
            }
        }
        // Who called before who was called. Asterisk lists them in any order, and both are as many whole seconds old; but the
        // first channel of a conversation gave it its Linkedid.
        let mut channels: Vec<&ListedChannel> = listing.channels.iter().collect();
        channels.sort_by_key(|c| (c.leg.linkedid != c.leg.uniqueid, std::cmp::Reverse(c.duration_s)));
        for listed in channels {
            self.take_in(pbx, listed);
        }
    }

    /// A channel that Asterisk holds: known ones learn what was missed, unknown ones join in mid-way.
    fn take_in(&mut self, pbx: PbxId, listed: &ListedChannel) {
        let leg = &listed.leg;
        if self.channel(pbx, &leg.uniqueid).is_none() {
            if self.find(pbx, &leg.uniqueid).is_some_and(|key| self.conversation(key).is_over()) {
                return;
            }
            self.take_in_unknown(pbx, listed);
        }
        let Some((key, channel)) = self.channel(pbx, &leg.uniqueid) else { return };
        if !channel.is_live() {
            return;
        }
        match leg.state {
            ChannelState::Ringing => self.rings(key, &leg.uniqueid),
            ChannelState::Up => self.is_up(key, &leg.uniqueid),
            _ => {}
        }
        let Some((key, channel)) = self.channel(pbx, &leg.uniqueid) else { return };
        let at = channel.bridge.as_ref();
        match &listed.bridge {
            Some(bridge) if at != Some(bridge) => {
                self.leaves_every_bridge(pbx, key, &leg.uniqueid);
                let kind = self.bridges.get(&(pbx, bridge.clone())).map_or_else(|| kind_by(listed), |b| b.kind);
                self.enter(pbx, key, bridge.clone(), kind, &leg.uniqueid);
            }
            None if at.is_some() => self.leaves_every_bridge(pbx, key, &leg.uniqueid),
            _ => {}
        }
    }

    /// A list can overtake events: of a channel that began a moment ago, while we were listening, the Newchannel is still to come.
    /// Should it never come, the next list is there.
    fn is_about_to_be_told(&mut self, pbx: PbxId, listed: &ListedChannel) -> bool {
        let now_ms = self.now.mono_ms;
        // Its age is in whole seconds, cut.
        let heard_ms = now_ms.saturating_sub(self.exchange(pbx).up_since_ms);
        listed.duration_s <= 1 && heard_ms > listed.duration_s.saturating_add(2).saturating_mul(1_000)
    }

    fn take_in_unknown(&mut self, pbx: PbxId, listed: &ListedChannel) {
        let leg = &listed.leg;
        if self.rules.party(pbx, &leg.name).is_none() || self.is_about_to_be_told(pbx, listed) {
            return;
        }
        self.counts.taken_in += 1;
        let linked = if leg.linkedid.is_empty() { &leg.uniqueid } else { &leg.linkedid };
        if self.find(pbx, linked).is_none() {
            let key = self.begin(pbx, linked, FIRST_N_MID_WAY);
            // It exists since then, whatever we missed of it.
            let since = i64::try_from(listed.duration_s).unwrap_or(0).saturating_mul(1_000);
            self.conversation_mut(key).born = self.wall().saturating_sub(since);
            if let Some(held) = self.held.get_mut(&key) {
                held.gap = true;
            }
        }
        let Some(key) = self.admit(pbx, leg) else { return };
        let application = listed.application.to_ascii_lowercase();
        let dialled = matches!(application.as_str(), "appdial" | "appqueue" | "appdial2" | "")
            || leg.state == ChannelState::Ringing;
        let caller =
            self.conversation(key).channels.iter().find(|c| c.role == Role::Caller).map(|c| c.uniqueid.clone());
        if !dialled && caller.is_none() && leg.linkedid == leg.uniqueid {
            self.start_caller(key, &leg.uniqueid);
            if application == "queue" {
                let queue = listed.application_data.split(',').next().unwrap_or_default().to_owned();
                self.queue_join(pbx, leg, &queue);
            }
            return;
        }
        let Some(caller) = caller else { return };
        let conversation = self.conversation_mut(key);
        let Some(channel) = conversation.channel_mut(&leg.uniqueid) else { return };
        if let Party::Extension(extension) = channel.party.clone()
            && !dialled
            && listed.bridge.is_some()
        {
            // It came into the conversation by its own call: picked it up, or took it out of the parking lot.
            channel.role = Role::Caller;
            self.takes_part(key, &leg.uniqueid, &extension, None);
            return;
        }
        if channel.party == Party::Local || !dialled {
            return;
        }
        channel.role = Role::Dialled;
        channel.dialled_by = Some(caller);
        channel.dialled_number = Some(leg.caller_number.clone()).filter(|n| !n.is_empty());
        self.place_waiting(key);
    }

    /// An open conversation as it was stored before a restart of ours.
    pub(super) fn restore(&mut self, mut conversation: Conversation) {
        let Some(at) = self.rules.pbxs.iter().position(|name| *name == conversation.pbx) else {
            // Its exchange is no longer configured: nobody will ever say how it ended.
            conversation.lost = true;
            let pbx = PbxId(u16::MAX);
            let key = self.hold_restored(conversation, pbx);
            self.finish(key);
            return;
        };
        let pbx = PbxId(u16::try_from(at).unwrap_or(u16::MAX));
        let key = self.hold_restored(conversation, pbx);
        if let Some(held) = self.held.get_mut(&key) {
            held.gap = true;
        }
        self.touch(key);
    }

    pub(super) fn hold_restored(&mut self, mut conversation: Conversation, pbx: PbxId) -> Key {
        conversation.pbx_id = pbx;
        let first =
            conversation.channels.first().map_or_else(|| Uniqueid::new(&conversation.birth_id), |c| c.uniqueid.clone());
        let key = self.begin(pbx, &first, 1);
        for channel in &conversation.channels {
            self.lead_to(key, pbx, channel.uniqueid.clone());
            if let Some(bridge) = channel.bridge.as_ref().filter(|_| channel.is_live()) {
                let entry = self
                    .bridges
                    .entry((pbx, bridge.clone()))
                    .or_insert_with(|| super::bridging::Bridge { members: Vec::new(), kind: BridgeKind::Talk });
                if !entry.members.contains(&channel.uniqueid) {
                    entry.members.push(channel.uniqueid.clone());
                }
            }
        }
        if let Some(guest) = conversation.consulting.clone() {
            self.exchange(pbx).consultations.insert(guest, key);
        }
        if let Some(held) = self.held.get_mut(&key) {
            *held.conversation = conversation;
        }
        self.await_its_originate(pbx, key);
        key
    }

    /// The answer to the Originate of a click-to-call may still come, to whoever asked; or its agent takes the call.
    pub(super) fn await_its_originate(&mut self, pbx: PbxId, key: Key) {
        let click = self.conversation(key).click.as_ref().filter(|c| !c.failed && !c.agent_up);
        if let Some(action_id) = click.map(|click| click.action_id.clone()) {
            self.await_originate(pbx, action_id, Some(key));
            self.remind(60_000, Deadline::Originate(key));
        }
    }
}

/// The kind of a bridge nobody announced to us, by what its member runs.
fn kind_by(listed: &ListedChannel) -> BridgeKind {
    match listed.application.to_ascii_lowercase().as_str() {
        "park" | "parkedcall" | "bridgewait" => BridgeKind::Holding,
        "confbridge" => BridgeKind::Conference,
        _ => BridgeKind::Talk,
    }
}
