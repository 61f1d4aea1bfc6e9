//! Agents who wait on the line (`AgentLogin`): one channel all day, lent to one client after another.
//!
//! Rests on the bridge AgentPool keeps them in. Whoever else comes into a conversation by his own call (a conference, a
//! pickup, a parking slot) stays in it: that is `bridging`'s and `transfer`'s.

use super::model::{Channel, Role};
use super::{Calls, Key};
use crate::asterisk::{PbxId, Uniqueid};

impl Calls {
    /// An agent out of the pool hears the client: his channel is the client's conversation's until he goes back. His login is
    /// no call, and was nothing but this channel. False if he is none.
    pub(super) fn lend(&mut self, pbx: PbxId, to: Key, agents: Key, uniqueid: &Uniqueid, extension: &str) -> bool {
        let login = self.conversation_mut(agents);
        if login.channels.len() != 1 || !login.channels[0].pooled || !login.published.is_empty() {
            return false;
        }
        let channel = login.channels.remove(0);
        let bridge = channel.bridge.clone();
        self.held.remove(&agents);
        self.lead_to(to, pbx, uniqueid.clone());
        let conversation = self.conversation_mut(to);
        conversation.channels.push(channel);
        // The queue called him through a Local channel, whose far end is with him.
        let far_end = conversation.channels.iter().find(|c| c.is_live() && c.is_local() && c.bridge == bridge);
        let far_end = far_end.map(|c| c.uniqueid.clone());
        self.takes_part(to, uniqueid, extension, far_end.as_ref());
        true
    }

    /// The agent waits again: the client's conversation goes on without him, or is over. Returns that of his login.
    pub(super) fn back_to_pool(&mut self, pbx: PbxId, key: Key, uniqueid: &Uniqueid) -> Key {
        let conversation = self.conversation(key);
        let Some(channel) = conversation.channel(uniqueid) else { return key };
        if conversation.channels.len() == 1 || !matches!(channel.role, Role::Caller | Role::Originated) {
            return key;
        }
        let waits = Channel { phone: None, asked_hangup: None, bridge: None, ..channel.clone() };
        let extension = channel.extension().map(str::to_owned);
        self.gone(pbx, key, uniqueid, None);
        let login = self.begin(pbx, uniqueid, 1);
        let conversation = self.conversation_mut(login);
        conversation.channels.push(waits);
        conversation.from.clone_from(&extension);
        conversation.caller_extension = extension;
        login
    }
}
