//! Conversations as the other one of two connectors for the same exchange had them.
//!
//! Both hear the same events, so what we have heard whole is as good as his word, and later: it stands, and learns what only he
//! was told (the click behind it, what the dialplan asked). What we have heard only in part gives way to his word: we
//! were started in the middle of it, or the link broke. From then on we hear the rest of it, and it counts as heard whole.

use std::sync::Arc;

use super::model::Ms;
use super::{Calls, Conversation, Key};
use crate::asterisk::{PbxId, Uniqueid};

/// How long nothing may have happened to a conversation for the other one's word to be as young as ours: he writes it down
/// within this time. Milliseconds.
const QUIET_MS: u64 = 1_000;

/// What we heard of a channel that he believed alive.
struct Heard {
    at: Ms,
    uniqueid: Uniqueid,
    what: What,
}

enum What {
    Up,
    Gone { cause: Option<u16> },
}

impl Calls {
    /// A conversation of a connector that is active no more. One we do not know began before we listened: it is restored, and the
    /// audit finds out whether it is still there.
    pub(super) fn adopt(&mut self, theirs: Conversation) {
        let Some(pbx) = self.exchange_of(&theirs) else { return };
        let known = self.known_as(pbx, &theirs);
        match known.iter().find(|key| !self.gives_way(**key, &theirs)) {
            Some(key) => self.learn(pbx, *key, theirs),
            None => self.give_way(pbx, &known, theirs),
        }
    }

    /// A conversation of the connector that is active, while we follow. What happened to it a moment ago may not be in it yet: then it
    /// is left for the next time.
    pub(super) fn follow(&mut self, theirs: Conversation) {
        let Some(pbx) = self.exchange_of(&theirs) else { return };
        let known = self.known_as(pbx, &theirs);
        let is_quiet = |key: &Key| {
            self.held.get(key).is_some_and(|held| held.touched_ms.saturating_add(QUIET_MS) <= self.now.mono_ms)
        };
        if !known.is_empty() && known.iter().all(|key| self.gives_way(*key, &theirs) && is_quiet(key)) {
            self.give_way(pbx, &known, theirs);
        }
    }

    fn exchange_of(&self, theirs: &Conversation) -> Option<PbxId> {
        let at = self.rules.pbxs.iter().position(|name| *name == theirs.pbx)?;
        Some(PbxId(u16::try_from(at).unwrap_or(u16::MAX)))
    }

    /// As what we know it; as several, if we did not hear that they belong together.
    fn known_as(&self, pbx: PbxId, theirs: &Conversation) -> Vec<Key> {
        let found = theirs.channels.iter().filter_map(|channel| self.find(pbx, &channel.uniqueid));
        let mut known: Vec<Key> = found.filter(|key| self.held.contains_key(key)).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    fn gives_way(&self, key: Key, theirs: &Conversation) -> bool {
        // Both came in the middle: ours at least has the names it was given at its beginning.
        let knows_its_beginning = !self.conversation(key).began_in_mid_call() && theirs.began_in_mid_call();
        self.held.get(&key).is_some_and(|held| held.gap) && !knows_its_beginning
    }

    /// Adds what only the other one was told.
    fn learn(&mut self, pbx: PbxId, key: Key, theirs: Conversation) {
        let ours = self.conversation_mut(key);
        if theirs.began_in_mid_call() && !ours.began_in_mid_call() {
            // The records he began in the middle were never the call's.
            withdraw(ours, theirs.published);
        }
        if let Some(mut click) = theirs.click {
            // Of an Originate that we did not ask for we know neither the user nor the record of the CRM.
            if let Some(seen) = ours.click.take() {
                click.agent_up |= seen.agent_up;
                click.failed |= seen.failed;
                click.timed_out |= seen.timed_out;
            }
            ours.click = Some(click);
            ours.caller_extension = theirs.caller_extension.or(ours.caller_extension.take());
        }
        ours.crm = theirs.crm.or(ours.crm.take());
        ours.client_id = theirs.client_id.or(ours.client_id.take());
        ours.client_name = theirs.client_name.or(ours.client_name.take());
        self.await_its_originate(pbx, key);
        self.touch(key);
    }

    /// His word takes the place of ours. What we heard since his last word of channels he names is added; the rest is
    /// found out by the next comparison with Asterisk.
    fn give_way(&mut self, pbx: PbxId, ours: &[Key], mut theirs: Conversation) {
        let mut heard = Vec::new();
        let mut absorbed = Vec::new();
        for key in ours {
            let Some(held) = self.held.remove(key) else { continue };
            let conversation = *held.conversation;
            absorbed.extend(held.absorbed);
            if conversation.id != theirs.id && !conversation.published.is_empty() {
                absorbed.push(conversation.id.clone());
            }
            for channel in &conversation.channels {
                let Some(same) = theirs.channel_mut(&channel.uniqueid).filter(|same| same.is_live()) else { continue };
                same.asked_hangup = same.asked_hangup.or(channel.asked_hangup);
                let mut add = |at, what| heard.push(Heard { at, uniqueid: channel.uniqueid.clone(), what });
                if let (Some(at), None) = (channel.up_at, same.up_at) {
                    add(at, What::Up);
                }
                if let Some(at) = channel.hung_up {
                    add(at, What::Gone { cause: channel.cause });
                }
            }
            withdraw(&mut theirs, conversation.published);
            for uniqueid in held.uniqueids {
                if theirs.channel(&uniqueid).is_none() && self.index.get(&(pbx, uniqueid.clone())) == Some(key) {
                    self.index.remove(&(pbx, uniqueid));
                }
            }
            self.exchange(pbx).consultations.retain(|_, at| at != key);
        }
        let key = self.hold_restored(theirs, pbx);
        if let Some(held) = self.held.get_mut(&key) {
            held.absorbed = absorbed;
            held.anew = true;
        }
        heard.sort_by_key(|heard| heard.at);
        let now = self.now;
        for Heard { at, uniqueid, what } in heard {
            self.now.wall_ms = at;
            match what {
                What::Up => self.is_up(key, &uniqueid),
                What::Gone { cause } => self.gone(pbx, key, &uniqueid, cause),
            }
        }
        self.now = now;
        self.touch(key);
    }
}

/// Of records that were published under other ids receivers are told that nobody continues them.
fn withdraw(conversation: &mut Conversation, published: Vec<Arc<super::Record>>) {
    for mut record in published {
        if let Some(same) = conversation.published.iter_mut().find(|same| same.id == record.id) {
            if same.revision < record.revision {
                Arc::make_mut(same).revision = record.revision;
            }
            continue;
        }
        if record.superseded_by.is_none() {
            Arc::make_mut(&mut record).superseded_by = Some(String::new());
        }
        conversation.published.push(record);
    }
}
