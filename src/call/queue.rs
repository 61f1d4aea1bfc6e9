//! The client's stay in a queue, and the members it calls for him.
//!
//! Rests on QueueCallerJoin, QueueCallerLeave, AgentCalled (class `agent`). QueueCallerAbandon also comes when the time
//! is over, AgentConnect comes for Local channels, and AgentComplete credits the first agent with all the talk: they
//! decide nothing.

use super::model::{Party, QueueVisit, Role, Stage};
use super::record::{StepKind, step};
use super::{Calls, Key};
use crate::asterisk::event::QueueAgent;
use crate::asterisk::{Leg, PbxId};

/// Queues of one conversation that are remembered.
const MAX_QUEUES: usize = 8;

impl Calls {
    pub(super) fn queue_join(&mut self, pbx: PbxId, leg: &Leg, queue: &str) {
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        let wall = self.wall();
        self.stands_in_queue(key, queue, wall);
        let conversation = self.conversation_mut(key);
        conversation.step(step(StepKind::Queue, wall).place(queue.to_owned()));
    }

    fn stands_in_queue(&mut self, key: Key, queue: &str, joined: i64) {
        let conversation = self.conversation_mut(key);
        conversation.stage = Stage::Queue;
        conversation.agi_runs = false;
        conversation.enter_queue(queue, joined);
        self.touch(key);
    }

    /// Comes before AgentConnect, too.
    pub(super) fn queue_leave(&mut self, pbx: PbxId, leg: &Leg) {
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        let wall = self.wall();
        if let Some(queue) = &mut self.conversation_mut(key).queue {
            queue.left.get_or_insert(wall);
            self.touch(key);
        }
    }

    /// A member is called: named here first, sometimes before its channel's DialBegin.
    pub(super) fn agent_called(&mut self, pbx: PbxId, agent: &QueueAgent) {
        let Some(key) = self.known(pbx, &agent.caller.uniqueid) else { return };
        if self.conversation(key).is_over() || self.admit(pbx, &agent.dest) != Some(key) {
            return;
        }
        let conversation = self.conversation_mut(key);
        if let Some(queue) = &mut conversation.queue
            && queue.name == *agent.queue
        {
            queue.left = None;
        }
        let Some(channel) = conversation.channel_mut(&agent.dest.uniqueid) else { return };
        if channel.dialled_by.is_some() || !channel.is_live() {
            return;
        }
        channel.role = Role::Dialled;
        channel.dialled_by = Some(agent.caller.uniqueid.clone());
        if channel.is_local() {
            self.named_through_local(key, &agent.dest.uniqueid);
        } else if matches!(channel.party, Party::Trunk(_)) && channel.dialled_number.is_none() {
            let number = super::target::dialled_number(&agent.interface, agent.dest.name.endpoint());
            let number = number.map(String::into_boxed_str);
            channel.dialled_number =
                number.or_else(|| Some(agent.dest.caller_number.clone()).filter(|n| !n.is_empty()));
        }
        self.place_waiting(key);
    }

    /// After a reconnect: who waits in a queue now (`QueueStatus`).
    pub(super) fn queue_entry(&mut self, pbx: PbxId, leg: &Leg, queue: &str, wait_s: u32) {
        let Some(key) = self.find(pbx, &leg.uniqueid) else { return };
        let stands = self.conversation(key).queue.as_ref().is_some_and(|q| q.name == queue && q.left.is_none());
        if !stands {
            let joined = self.wall() - i64::from(wait_s) * 1_000;
            self.stands_in_queue(key, queue, joined);
        }
    }
}

impl super::Conversation {
    /// The client stands in this queue now. How long he waited in another one stays on its records; where he was in this one
    /// before (a dialplan that goes round), he waits on.
    pub(super) fn enter_queue(&mut self, name: &str, joined: i64) {
        if let Some(left) = self.queue.take() {
            if self.past_queues.len() == MAX_QUEUES {
                self.past_queues.remove(0);
            }
            self.past_queues.push(*left);
        }
        let known = self.past_queues.iter().position(|q| q.name == name).map(|at| self.past_queues.remove(at));
        let (waited_before, rang) =
            known.map_or((0, false), |q| (q.waited_before + q.left.map_or(0, |left| (left - q.joined).max(0)), q.rang));
        let name = name.to_owned();
        let visit = QueueVisit { name, joined, left: None, answered: None, status: None, rang, waited_before };
        self.queue = Some(Box::new(visit));
    }
}
