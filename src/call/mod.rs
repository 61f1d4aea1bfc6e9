//! The core: what is going on and what follows. Pure: `Calls::handle(now, Input) -> Vec<Effect>`.
//!
//! `handle` is one match. What an event means is decided in one file per part of the field: [`channels`] (they come,
//! ring, are gone), [`dialing`] (who is dialled for whom), [`phones`] (in which order, and what became of them),
//! [`dialplan`] (where the caller is: greeting, menu, voicemail), [`queue`], [`bridging`] (who talks to whom),
//! [`transfer`] (transfers, pickup, parking: conversations that turn out to be one), [`pool`] (agents who wait on the line),
//! [`originate`] (click-to-call),
//! [`resync`] (what Asterisk holds against what we believe), [`takeover`] (what another connector knew), [`ending`] (who hung up and why). [`render`] makes records
//! of it.
//!
//! Nothing here can fail: an event about an unknown channel is normal, since we connect in mid-call, and is counted.

pub mod bridging;
pub mod cdr;
pub mod channels;
pub mod dialing;
pub mod dialplan;
pub mod discretion;
pub mod effect;
pub mod ending;
pub mod hours;
pub mod input;
pub mod model;
pub mod originate;
pub mod phones;
pub mod pool;
pub mod queue;
pub mod record;
pub mod render;
pub mod resync;
pub mod rules;
pub mod takeover;
pub mod target;
pub mod transfer;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use effect::{Change, Effect, Progress, RequestState};
pub use input::{Input, PlaceCall};
pub use model::Conversation;
pub use record::Record;
pub use rules::Rules;

use crate::asterisk::{BridgeId, Event, PbxId, Uniqueid};
use crate::clock::Now;
use bridging::Bridge;
use model::Ms;

/// A finished conversation lingers for late events as long as less than one ends in so many milliseconds: 200 a second.
const LINGERING_EACH_MS: usize = 5;

/// A conversation's place in this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key(u64);

/// A conversation and what is known of it only in this process.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) conversation: Box<Conversation>,
    /// Every uniqueid that leads to it, so that they can be forgotten with it.
    pub(crate) uniqueids: Vec<Uniqueid>,
    /// Something changed that a record may show.
    dirty: bool,
    /// Ids of conversations that were joined into this one and must be closed in the store.
    pub(crate) absorbed: Vec<String>,
    /// The store was told that it is over.
    closed: bool,
    /// What whoever clicked was told last.
    pub(crate) told: Option<Box<Progress>>,
    /// Something of it may have happened unheard: we began to listen in the middle of it, or the link broke in it.
    pub(crate) gap: bool,
    /// Each of its records is to be stored once more: what the store has is not what it was published as.
    pub(crate) anew: bool,
    /// When something last happened to it; monotonic milliseconds.
    pub(crate) touched_ms: u64,
}

/// What has been counted; never reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Events that were looked at.
    pub events: u64,
    /// Events about channels nobody told us of.
    pub unknown_channel: u64,
    /// Conversations that ended.
    pub conversations: u64,
    /// Calls the audit found gone without a Hangup.
    pub audit_ended: u64,
    /// Calls the audit or a resync found that we did not know.
    pub taken_in: u64,
}

/// Every call of every exchange.
#[derive(Debug, Default)]
pub struct Calls {
    pub(crate) rules: Rules,
    pub(crate) held: HashMap<Key, Box<Held>>,
    pub(crate) index: HashMap<(PbxId, Uniqueid), Key>,
    pub(crate) bridges: HashMap<(PbxId, BridgeId), Bridge>,
    pub(crate) exchanges: BTreeMap<PbxId, resync::Exchange>,
    /// When to forget a finished conversation, give up an Originate, audit an exchange: monotonic milliseconds.
    deadlines: BTreeSet<(u64, Deadline)>,
    /// How many of them are to forget something.
    lingering: usize,
    dirty: Vec<Key>,
    effects: Vec<Effect>,
    pub(crate) now: Now,
    next_key: u64,
    /// Orders the requests to hang up.
    pub(crate) hangup_requests: u64,
    next_action: u64,
    /// Exchanges that were compared since the last input; said after what followed from it.
    resynced: Vec<PbxId>,
    pub counts: Counts,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Deadline {
    Forget(Key),
    /// No word of an Originate.
    Originate(Key),
    /// Whose call it is may be known by now.
    Route(Key),
    Audit(PbxId),
}

impl Calls {
    pub fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes in what happened and says what follows.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.now = now;
        match input {
            Input::Heard { pbx, event } => self.heard(pbx, event),
            Input::LinkUp { pbx } => self.link_up(pbx),
            Input::LinkDown { pbx } => self.link_down(pbx),
            Input::Over { pbx } => self.over(pbx),
            Input::Tick => {}
            Input::PlaceCall(call) => self.place_call(*call),
            Input::CancelCall { crm, request } => self.cancel_call(&crm, &request),
            Input::CallerIdentified { pbx, uniqueid, client_id, client_name } => {
                self.caller_identified(pbx, &uniqueid, client_id, client_name);
            }
            Input::Restored(conversation) => self.restore(*conversation),
            Input::Adopted(conversation) => self.adopt(*conversation),
            Input::Followed(conversation) => self.follow(*conversation),
            Input::Reloaded(rules) => self.rules = *rules,
        }
        self.due();
        self.publish();
        self.forget_surplus();
        for pbx in std::mem::take(&mut self.resynced) {
            self.effect(Effect::Resynced { pbx });
        }
        std::mem::take(&mut self.effects)
    }

    /// When `Input::Tick` is wanted next, monotonic milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Conversations that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &Conversation> {
        self.held.values().map(|h| &*h.conversation).filter(|c| !c.is_over())
    }

    /// One arm per event; the work is in the files named after its field.
    fn heard(&mut self, pbx: PbxId, event: Event) {
        self.counts.events += 1;
        match event {
            Event::Newchannel(leg) => self.newchannel(pbx, &leg),
            Event::Newstate(leg) => self.newstate(pbx, &leg),
            Event::NewCallerid(leg) => self.new_callerid(pbx, &leg),
            Event::Newexten { leg, application, application_data } => {
                self.newexten(pbx, &leg, &application, &application_data);
            }
            Event::VarSet { leg, variable, value } => self.varset(pbx, &leg, &variable, &value),
            Event::DialBegin { caller, dest, dial_string } => {
                self.dial_begin(pbx, caller.as_deref(), &dest, &dial_string);
            }
            Event::DialState { dest, status } => self.dial_state(pbx, &dest, status),
            Event::DialEnd { caller, dest, status, forward } => {
                self.dial_end(pbx, caller.as_deref(), &dest, status, &forward);
            }
            Event::BridgeCreate { .. } => {}
            Event::BridgeEnter { bridge, technology, creator, leg } => {
                self.bridge_enter(pbx, bridge, &technology, &creator, &leg);
            }
            Event::BridgeLeave { bridge, leg } => self.bridge_leave(pbx, &bridge, &leg.uniqueid),
            Event::BridgeMerge { to, from } => self.bridge_merge(pbx, to, &from),
            Event::BridgeDestroy { bridge } => self.bridge_destroy(pbx, bridge),
            Event::LocalBridge { one, two, .. } => self.local_bridge(pbx, &one, &two),
            Event::DtmfEnd { leg, digit } => self.key_pressed(pbx, &leg, &digit),
            Event::Hold(leg) => self.hold(pbx, &leg.uniqueid, true),
            Event::Unhold(leg) => self.hold(pbx, &leg.uniqueid, false),
            Event::BlindTransfer { success, transferer, transferee, extension, .. } => {
                if success {
                    self.blind_transfer(pbx, &transferer, transferee.as_deref(), &extension);
                }
            }
            Event::AttendedTransfer(transfer) => self.attended_transfer(pbx, &transfer),
            Event::Pickup { leg, target } => self.pickup(pbx, &leg, &target),
            Event::ParkedCall { parkee, parker, space } => self.parked(pbx, &parkee, &parker, &space),
            Event::UnParkedCall { parkee, retriever, space } => self.retrieved(pbx, &parkee, &retriever, &space),
            Event::ParkedCallTimeOut { .. } | Event::ParkedCallGiveUp { .. } => {}
            // Whom a conference joins is seen by the bridge; a spy is no party.
            Event::ConfbridgeJoin { .. } | Event::ConfbridgeLeave { .. } | Event::ChanSpyStart { .. } => {}
            Event::MixMonitorStart(leg) => self.mixmonitor(pbx, &leg, true),
            Event::MixMonitorStop(leg) => self.mixmonitor(pbx, &leg, false),
            Event::QueueCallerJoin { leg, queue, .. } => self.queue_join(pbx, &leg, &queue),
            Event::QueueCallerLeave { leg, .. } => self.queue_leave(pbx, &leg),
            // Comes on a time-out, too; the end of the conversation says which it was.
            Event::QueueCallerAbandon { .. } => {}
            Event::AgentCalled(agent) => self.agent_called(pbx, &agent),
            // Hints only: bridges say who talks, hang-ups say who does not.
            Event::AgentConnect(_) | Event::AgentComplete(_) | Event::AgentRingNoAnswer(_) => {}
            Event::HangupRequest { leg, .. } => self.hangup_request(pbx, &leg),
            Event::SoftHangupRequest { .. } => {}
            Event::Hangup { leg, cause } => self.hangup(pbx, &leg, cause),
            Event::OriginateResponse { action_id, success, channel, exten, reason, uniqueid, .. } => {
                self.originate_response(pbx, &action_id, success, &channel, &exten, reason, &uniqueid);
            }
            Event::Cdr(cdr) => self.cdr(pbx, &cdr),
            Event::CoreShowChannel { action_id, channel } => self.listed(pbx, &action_id, *channel),
            Event::Status { .. } | Event::BridgeListItem { .. } | Event::DeviceStateChange { .. } => {}
            Event::QueueEntry { queue, leg, wait_s, .. } => self.queue_entry(pbx, &leg, &queue, wait_s),
            Event::ListComplete { action_id, .. } => self.list_complete(pbx, &action_id),
            Event::FullyBooted { uptime_s } => self.booted(pbx, uptime_s),
            Event::Shutdown => {}
            Event::Response(response) => self.response(pbx, &response),
        }
    }

    pub(crate) fn find(&self, pbx: PbxId, uniqueid: &Uniqueid) -> Option<Key> {
        // A tuple of a reference cannot be looked up; the clone of an `Arc` is cheap.
        self.index.get(&(pbx, uniqueid.clone())).copied()
    }

    /// `uniqueid` as the channel itself has it: what is kept of it elsewhere then shares its text.
    pub(crate) fn shared(&self, pbx: PbxId, uniqueid: &Uniqueid) -> Uniqueid {
        let key = (pbx, uniqueid.clone());
        self.index.get_key_value(&key).map_or(key.1, |((_, known), _)| known.clone())
    }

    /// The conversation of a channel; an unknown one is counted.
    pub(crate) fn known(&mut self, pbx: PbxId, uniqueid: &Uniqueid) -> Option<Key> {
        let key = self.find(pbx, uniqueid);
        if key.is_none() {
            self.counts.unknown_channel += 1;
        }
        key
    }

    pub(crate) fn conversation(&self, key: Key) -> &Conversation {
        &self.held.get(&key).expect("a key is dropped with its conversation, from every index").conversation
    }

    pub(crate) fn conversation_mut(&mut self, key: Key) -> &mut Conversation {
        &mut self.held.get_mut(&key).expect("a key is dropped with its conversation, from every index").conversation
    }

    /// The channel with this uniqueid, wherever it is.
    pub(crate) fn channel(&self, pbx: PbxId, uniqueid: &Uniqueid) -> Option<(Key, &model::Channel)> {
        let key = self.find(pbx, uniqueid)?;
        Some((key, self.held.get(&key)?.conversation.channel(uniqueid)?))
    }

    /// Something happened to this conversation that its records may show.
    pub(crate) fn touch(&mut self, key: Key) {
        if let Some(held) = self.held.get_mut(&key) {
            held.touched_ms = self.now.mono_ms;
            if !std::mem::replace(&mut held.dirty, true) {
                self.dirty.push(key);
            }
        }
    }

    pub(crate) fn wall(&self) -> Ms {
        self.now.wall_ms
    }

    /// A new conversation, named by `first`.
    pub(crate) fn begin(&mut self, pbx: PbxId, first: &Uniqueid, first_n: u32) -> Key {
        self.next_key += 1;
        let key = Key(self.next_key);
        let pbx_name = self.rules.pbx_name(pbx).to_owned();
        let mut id = format!("{pbx_name}-{first}");
        // A uniqueid that has led to a conversation before (a stream out of order) must not give its names again.
        let namesake = self.find(pbx, first).and_then(|known| self.held.get(&known)).is_some_and(|known| {
            let conversation = &known.conversation;
            conversation.birth_id == id
                || conversation.id == id
                || conversation.phones.iter().any(|p| p.id.strip_prefix(&*id).is_some_and(|n| n.starts_with('-')))
                || conversation.published.iter().any(|r| r.id.strip_prefix(&*id).is_some_and(|n| n.starts_with('-')))
        });
        if namesake {
            id = format!("{id}~{}", key.0);
        }
        let conversation = Conversation::new(id, pbx_name, pbx, self.now.wall_ms, first_n);
        let held = Held {
            conversation: Box::new(conversation),
            uniqueids: Vec::with_capacity(2),
            dirty: false,
            absorbed: Vec::new(),
            closed: false,
            told: None,
            gap: false,
            anew: false,
            touched_ms: self.now.mono_ms,
        };
        self.held.insert(key, Box::new(held));
        self.lead_to(key, pbx, first.clone());
        key
    }

    /// From now on `uniqueid` means the conversation `key`.
    pub(crate) fn lead_to(&mut self, key: Key, pbx: PbxId, uniqueid: Uniqueid) {
        if self.index.insert((pbx, uniqueid.clone()), key) != Some(key)
            && let Some(held) = self.held.get_mut(&key)
        {
            held.uniqueids.push(uniqueid);
        }
    }

    pub(crate) fn remind(&mut self, in_ms: u64, deadline: Deadline) {
        let is_new = self.deadlines.insert((self.now.mono_ms.saturating_add(in_ms), deadline));
        if is_new && matches!(deadline, Deadline::Forget(_)) {
            self.lingering += 1;
        }
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn next_action_id(&mut self, what: &str) -> crate::asterisk::ActionId {
        self.next_action += 1;
        crate::asterisk::ActionId(format!("pinconnector-{what}-{}", self.next_action).into())
    }

    /// Deals with every deadline that has come.
    fn due(&mut self) {
        while let Some((at, deadline)) = self.deadlines.first().copied()
            && at <= self.now.mono_ms
        {
            self.deadlines.pop_first();
            match deadline {
                Deadline::Forget(key) => {
                    self.lingering -= 1;
                    self.forget(key);
                }
                Deadline::Originate(key) => self.originate_overdue(key),
                Deadline::Route(key) => self.touch(key),
                Deadline::Audit(pbx) => self.audit(pbx),
            }
        }
    }

    /// Where calls end faster than in any office, the first ones are forgotten before their time: memory is not to grow with the
    /// rate. Only after everything was published.
    fn forget_surplus(&mut self) {
        let most = usize::try_from(self.rules.linger_ms).unwrap_or(usize::MAX) / LINGERING_EACH_MS;
        while self.lingering > most {
            let first = self.deadlines.iter().find_map(|(at, deadline)| match deadline {
                Deadline::Forget(key) => Some((*at, *key)),
                Deadline::Originate(_) | Deadline::Route(_) | Deadline::Audit(_) => None,
            });
            let Some((at, key)) = first else { return };
            self.deadlines.remove(&(at, Deadline::Forget(key)));
            self.lingering -= 1;
            self.forget(key);
        }
    }

    fn forget(&mut self, key: Key) {
        // Reopened meanwhile (a channel came late): it will ask again when it ends.
        if self.held.get(&key).is_some_and(|h| h.conversation.is_over())
            && let Some(held) = self.held.remove(&key)
        {
            let pbx = held.conversation.pbx_id;
            for uniqueid in held.uniqueids {
                if self.index.get(&(pbx, uniqueid.clone())) == Some(&key) {
                    self.index.remove(&(pbx, uniqueid));
                }
            }
        }
    }

    /// Makes records of everything that was touched and hands out those that changed.
    fn publish(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            let wall = self.now.wall_ms;
            let Some(held) = self.held.get_mut(&key) else { continue };
            held.dirty = false;
            let absorbed = std::mem::take(&mut held.absorbed);
            let anew = std::mem::take(&mut held.anew);
            let records = render::changed(&mut held.conversation, &self.rules, wall, anew);
            let conversation = &held.conversation;
            let progress = originate::progress(conversation);
            if progress.is_some() && progress.as_ref() != held.told.as_deref() {
                held.told = progress.clone().map(Box::new);
                self.effects.extend(progress.map(|progress| Effect::Progress(Box::new(progress))));
            }
            for id in &absorbed {
                self.effects.push(Effect::Save(Box::new(Change {
                    conversation: id.clone(),
                    pbx: conversation.pbx.clone(),
                    open: None,
                    joined_into: Some(conversation.id.clone()),
                    records: Vec::new(),
                })));
            }
            let closes = conversation.is_over() && !std::mem::replace(&mut held.closed, conversation.is_over());
            // A conversation that never had a record (a feature) is nobody's business.
            if conversation.published.is_empty() || (records.is_empty() && absorbed.is_empty() && !closes) {
                continue;
            }
            self.effects.push(Effect::Save(Box::new(Change {
                conversation: conversation.id.clone(),
                pbx: conversation.pbx.clone(),
                open: (!conversation.is_over()).then(|| conversation.clone()),
                joined_into: None,
                records,
            })));
            let wait_ms = self.rules.route_wait_ms(conversation, wall);
            if let Some(wait_ms) = wait_ms {
                self.remind(wait_ms, Deadline::Route(key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rules::{ROUTE_WAIT_MS, Route};
    use super::*;
    use crate::asterisk::event::Leg;
    use crate::asterisk::{ChannelName, HangupCause};
    use crate::phone::EndpointPattern;

    const BEGAN: Now = Now { wall_ms: 1_795_329_208_000, mono_ms: 1_000 };

    fn later(ms: u64) -> Now {
        Now { wall_ms: BEGAN.wall_ms + i64::try_from(ms).expect("soon"), mono_ms: BEGAN.mono_ms + ms }
    }

    /// The `n`-th call, from outside.
    fn leg(n: usize) -> Leg {
        let uniqueid = Uniqueid::new(&format!("1795329208.{n}"));
        let name = ChannelName::new(&format!("PJSIP/trunk-msk-{n:08x}"));
        let (number, exten) = ("+79161234567".into(), "+74951234567".into());
        Leg { name, linkedid: uniqueid.clone(), uniqueid, caller_number: number, exten, ..Leg::default() }
    }

    fn heard(event: Event) -> Input {
        Input::Heard { pbx: PbxId::default(), event }
    }

    /// The CRMs that records go to.
    fn told(effects: &[Effect]) -> Vec<&str> {
        let saved = effects.iter().filter_map(|effect| match effect {
            Effect::Save(change) => Some(&change.records),
            _ => None,
        });
        saved.flatten().filter_map(|record| record.crm.as_deref()).collect()
    }

    #[test]
    fn calls_that_end_faster_than_anywhere_are_published_and_forgotten_before_their_time() {
        let mut calls = Calls::new(Rules { linger_ms: 500, ..Rules::default() });
        let most = 500 / LINGERING_EACH_MS;
        for n in 0..3 * most {
            calls.handle(BEGAN, heard(Event::Newchannel(leg(n))));
            let ended = calls.handle(BEGAN, heard(Event::Hangup { leg: leg(n), cause: HangupCause(16) }));
            let is_closed = |effect: &Effect| matches!(effect, Effect::Save(change) if change.open.is_none());
            assert!(ended.iter().any(is_closed), "{ended:?}");
            assert_eq!(calls.held.len(), (n + 1).min(most));
        }
        // And the others when their time has come.
        calls.handle(later(501), Input::Tick);
        assert_eq!((calls.held.len(), calls.index.len(), calls.lingering), (0, 0, 0));
    }

    /// Two CRMs, of which the first takes what nobody claims.
    fn two_crms() -> Calls {
        let route = |crm: &str, is_default| Route { crm: crm.to_owned(), is_default, ..Route::default() };
        let did = vec![EndpointPattern::parse("_+7812.").expect("a pattern")];
        let second = Route { did, ..route("second", false) };
        Calls::new(Rules { routes: vec![route("first", true), second], ..Rules::default() })
    }

    #[test]
    fn a_call_that_the_dialplan_gives_to_a_crm_is_told_to_no_other() {
        let mut calls = two_crms();
        let began = calls.handle(BEGAN, heard(Event::Newchannel(leg(1))));
        let is_stored = |effect: &Effect| matches!(effect, Effect::Save(change) if change.records.len() == 1);
        assert!(began.iter().any(is_stored) && told(&began).is_empty(), "stored, and nobody's yet: {began:?}");
        let (variable, value) = ("PINCONNECTOR_CRM".into(), "second".into());
        let named = calls.handle(later(3), heard(Event::VarSet { leg: leg(1), variable, value }));
        assert_eq!(told(&named), ["second"]);
        assert!(calls.handle(later(ROUTE_WAIT_MS), Input::Tick).is_empty());
    }

    #[test]
    fn a_call_of_which_the_dialplan_says_nothing_is_told_a_moment_later() {
        let mut calls = two_crms();
        assert!(told(&calls.handle(BEGAN, heard(Event::Newchannel(leg(1))))).is_empty());
        assert_eq!(calls.next_deadline(), Some(BEGAN.mono_ms + ROUTE_WAIT_MS));
        assert!(calls.handle(later(ROUTE_WAIT_MS - 1), Input::Tick).is_empty());
        assert_eq!(told(&calls.handle(later(ROUTE_WAIT_MS), Input::Tick)), ["first"]);
    }

    #[test]
    fn a_call_that_ends_at_once_is_told_at_once() {
        let mut calls = two_crms();
        calls.handle(BEGAN, heard(Event::Newchannel(leg(1))));
        let ended = calls.handle(later(90), heard(Event::Hangup { leg: leg(1), cause: HangupCause(16) }));
        assert_eq!(told(&ended), ["first"]);
    }
}
