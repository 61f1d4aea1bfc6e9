//! Whose word on a call stands when one of two connectors takes over from the other. Pure.
//!
//! Both heard the same exchange, but one may have been started, or frozen, in the middle of a call; and what was delivered was the
//! word of the one that was active. So:
//!
//! 1. While a conversation goes on by the other one's last word, our own word is the later one.
//! 2. A record that was final by his last word stays as it is, whatever we saw,
//! 3. except where he had not seen how it ended (`lost`, or nobody knows who hung up; or it was made of call detail records
//!    only) and we have;
//! 4. and except that we know what came after: the call was joined into another conversation, or replaced.
//! 5. What we began to record in the middle of a conversation of which his word is final is taken back: he has that
//!    call under its own id.
//!
//! What stands is sent once more in our term, although it had mostly arrived: whether the last of it did, the one that
//! died could not say, and receivers keep one of it.

use crate::call::Record;
use crate::call::record::{Reason, Source, Status};

/// Whether the other one's last word on a call stands against ours.
pub fn stands(theirs: &Record, ours: &Record) -> bool {
    let later = was_joined(ours) && !was_joined(theirs) || ours.superseded_by.is_some();
    let better = (theirs.source == Source::Cdr && ours.source == Source::Ami || !saw_the_end(theirs))
        && ours.status.is_final()
        && saw_the_end(ours);
    theirs.superseded_by.is_some() || is_final(theirs) && !later && !better
}

/// Whether all of a conversation's calls are over by these records of it.
pub fn is_over(calls: &[Record]) -> bool {
    !calls.is_empty() && calls.iter().all(is_final)
}

/// Whether a conversation that went on by the other one's last word has ended since, as we heard: of all its calls, `published` by
/// him, we know the end. What he had taken back is no call.
pub fn has_ended_since<'a>(mut published: impl Iterator<Item = &'a Record>, ours: &[Record]) -> bool {
    let is_known = |theirs: &Record| theirs.superseded_by.is_some() || ours.iter().any(|ours| ours.id == theirs.id);
    !ours.is_empty()
        && published.all(is_known)
        && ours.iter().all(|ours| ours.superseded_by.is_some() || ours.ended_at.is_some())
}

/// Whether a record of ours that the other one does not have, of a conversation of which his word is final, is about a call
/// that he has under another id.
pub fn is_his_under_another_id(ours: &Record) -> bool {
    ours.began_in_mid_call() || ours.source == Source::Cdr
}

fn is_final(record: &Record) -> bool {
    record.superseded_by.is_some() || record.status.is_final()
}

fn saw_the_end(record: &Record) -> bool {
    record.reason != Some(Reason::Lost) && (record.status != Status::Completed || record.ended_by.is_some())
}

/// Its conversation became part of an older one. A record's id begins with the conversation it was born in.
fn was_joined(record: &Record) -> bool {
    let born_in = record.id.rsplit_once('-').map_or("", |(conversation, _)| conversation);
    born_in != record.conversation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: &str, more: serde_json::Value) -> Record {
        let mut record = serde_json::json!({
            "id": "pbx-1.1-1", "conversation": "pbx-1.1", "pbx": "pbx", "revision": 7, "source": "ami",
            "direction": "incoming", "status": status, "lead": true, "started_at": "2026-11-22T10:00:00.000Z",
        });
        let serde_json::Value::Object(more) = more else { unreachable!("an object") };
        record.as_object_mut().expect("an object").extend(more);
        serde_json::from_value(record).expect("a record")
    }

    #[test]
    fn what_was_final_stays_and_what_was_not_is_ours() {
        let completed =
            |talked: f64| record("completed", serde_json::json!({"ended_by": "client", "talk_seconds": talked}));
        let missed = || record("missed", serde_json::json!({"reason": "abandoned"}));
        let running = || record("in_progress", serde_json::json!({}));
        for (theirs, ours, stays) in [
            (completed(5.0), completed(2.0), true),
            (completed(5.0), running(), true),
            (missed(), completed(2.0), true),
            (running(), completed(2.0), false),
            (running(), running(), false),
        ] {
            assert_eq!(stands(&theirs, &ours), stays, "{theirs:?} against {ours:?}");
        }
    }

    #[test]
    fn an_end_that_only_we_saw_is_ours() {
        let lost = || record("missed", serde_json::json!({"reason": "lost"}));
        let unseen = || record("completed", serde_json::json!({}));
        let of_cdrs = || record("completed", serde_json::json!({"ended_by": "client", "source": "cdr"}));
        let seen = || record("completed", serde_json::json!({"ended_by": "us"}));
        for theirs in [lost(), unseen(), of_cdrs()] {
            assert!(!stands(&theirs, &seen()), "{theirs:?}");
            assert!(stands(&theirs, &lost()) && stands(&theirs, &unseen()), "neither saw it: {theirs:?}");
            assert!(stands(&theirs, &record("in_progress", serde_json::json!({}))));
        }
        assert!(stands(&seen(), &of_cdrs()));
    }

    #[test]
    fn what_came_after_is_ours() {
        let seen = || record("completed", serde_json::json!({"ended_by": "us"}));
        let joined = || record("completed", serde_json::json!({"ended_by": "us", "conversation": "pbx-0.9"}));
        let replaced = || record("cancelled", serde_json::json!({"superseded_by": "pbx-1.1-2"}));
        assert!(!stands(&seen(), &joined()) && stands(&joined(), &seen()) && stands(&joined(), &joined()));
        assert!(!stands(&seen(), &replaced()) && stands(&replaced(), &seen()));
    }

    #[test]
    fn a_conversation_is_over_with_its_last_call() {
        let over = record("no_answer", serde_json::json!({}));
        assert!(is_over(&[over.clone(), record("ringing", serde_json::json!({"superseded_by": "pbx-1.1-1"}))]));
        assert!(!is_over(&[over, record("in_progress", serde_json::json!({}))]) && !is_over(&[]));
    }

    #[test]
    fn what_we_heard_end_is_not_taken_up_again() {
        let of = |id: &str, more: serde_json::Value| Record { id: id.to_owned(), ..record("completed", more) };
        let ended = |id: &str| of(id, serde_json::json!({"ended_at": "2026-11-22T10:00:09.000Z"}));
        let taken_back = of("pbx-1.1-1001", serde_json::json!({"superseded_by": "pbx-1.1-1"}));
        let runs = |id: &str| Record { id: id.to_owned(), ..record("in_progress", serde_json::json!({})) };
        let published = [runs("pbx-1.1-1"), taken_back.clone()];
        assert!(has_ended_since(published.iter(), &[ended("pbx-1.1-1")]));
        assert!(has_ended_since(published.iter(), &[ended("pbx-1.1-1"), taken_back]));
        assert!(!has_ended_since(published.iter(), &[runs("pbx-1.1-1")]));
        assert!(!has_ended_since(published.iter(), &[ended("pbx-1.1-2")]), "it has a call that we do not know");
        assert!(!has_ended_since(published.iter(), &[]));
    }

    #[test]
    fn what_began_in_the_middle_is_his_under_another_id() {
        let of = |id: &str, source: &str| record("completed", serde_json::json!({"id": id, "source": source}));
        assert!(
            is_his_under_another_id(&of("pbx-1.1-1001", "ami")) && is_his_under_another_id(&of("pbx-1.1-2", "cdr"))
        );
        assert!(!is_his_under_another_id(&of("pbx-1.1-2", "ami")), "a phone that was tried after his last word");
    }
}
