//! What a finished call does for the missed calls of its client: one rule, pure. Finding those calls is `sqlite/history`.

use crate::call::Record;
use crate::call::record::{Direction, FollowUp, Reason, Status};

/// What a call has done for earlier missed calls of the same client. Grows only: an answer outweighs a try.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    Nothing,
    /// We rang and nobody answered.
    Tried,
    /// We spoke.
    Reached,
}

/// Weighs a record. Only a finished one of a known client counts.
pub fn weigh(record: &Record) -> Weight {
    if record.client_number_normalized.is_none() || !record.status.is_final() {
        return Weight::Nothing;
    }
    match (record.direction, record.status) {
        (Direction::Incoming | Direction::Outgoing, Status::Completed) => Weight::Reached,
        // The client's phone was never rung: the agent's own did not answer.
        (Direction::Outgoing, _)
            if matches!(record.reason, Some(Reason::AgentNoAnswer | Reason::AgentBusy | Reason::AgentUnreachable)) =>
        {
            Weight::Nothing
        }
        // One try a conversation, however many numbers it dialled.
        (Direction::Outgoing, Status::NoAnswer | Status::Busy | Status::Failed | Status::Cancelled) if record.lead => {
            Weight::Tried
        }
        _ => Weight::Nothing,
    }
}

/// What `record`, weighed so, makes of a missed call.
pub fn settles(record: &Record, weight: Weight) -> Option<FollowUp> {
    match (weight, record.direction) {
        (Weight::Nothing, _) => None,
        (Weight::Tried, _) => Some(FollowUp::Tried),
        (Weight::Reached, Direction::Incoming) => Some(FollowUp::ClientGotThrough),
        (Weight::Reached, _) => Some(FollowUp::CalledBack),
    }
}

/// Whether a missed call still waits for somebody.
pub fn is_to_settle(record: &Record) -> bool {
    matches!(record.follow_up, Some(FollowUp::Open | FollowUp::Tried))
}

/// The core writes a finished record again (a join) without knowing what was added to the stored one since: that stays.
pub fn carry_over(stored: &Record, new: &mut Record) {
    if matches!(new.follow_up, Some(FollowUp::Open)) && stored.follow_up.is_some() {
        new.follow_up = stored.follow_up;
        new.follow_up_tries = stored.follow_up_tries;
        new.follow_up_call.clone_from(&stored.follow_up_call);
        new.followed_up_at = stored.followed_up_at;
    }
    for recording in new.recordings.iter_mut().filter(|r| r.state.is_none()) {
        if let Some(known) = stored.recordings.iter().find(|r| r.id == recording.id) {
            recording.clone_from(known);
        }
    }
}
