//! What a finished call does for the missed calls of its client: one rule, pure. Finding those calls is `sqlite/history`.

use crate::call::Record;
use crate::call::record::{Direction, FollowUp, Reason, RecordingState, Status};

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
        let known = stored.recordings.iter().find(|r| r.id == recording.id);
        // That it runs is the core's word, and the core has just said that it does not.
        if let Some(known) = known.filter(|r| r.state != Some(RecordingState::Recording)) {
            recording.clone_from(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(state: Option<&str>) -> Record {
        let at = "2026-11-22T06:33:28.170Z";
        let mut recording = serde_json::json!({ "id": "r1", "file": "a.wav", "started_at": at });
        if let Some(state) = state {
            recording["state"] = state.into();
            recording["size"] = 5_000.into();
        }
        serde_json::from_value(serde_json::json!({
            "id": "1-1", "conversation": "1", "pbx": "office", "revision": 1, "source": "ami", "direction": "incoming",
            "status": "completed", "lead": true, "started_at": at, "recordings": [recording],
        }))
        .expect("a record")
    }

    #[test]
    fn what_was_found_out_of_a_file_stays_but_not_that_it_runs() {
        for (stored, core, kept) in [
            (Some("ready"), None, Some(RecordingState::Ready)),
            (Some("deleted"), None, Some(RecordingState::Deleted)),
            (Some("recording"), None, None),
            (Some("ready"), Some("recording"), Some(RecordingState::Recording)),
        ] {
            let mut new = recorded(core);
            carry_over(&recorded(stored), &mut new);
            assert_eq!(new.recordings[0].state, kept, "{stored:?}, then {core:?}");
        }
    }
}
