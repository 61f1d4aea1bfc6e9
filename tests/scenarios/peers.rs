//! Two exchanges of ours with a trunk between them: a call over it is one conversation, told by the exchange it began at.

use pinconnector::ami::Heard;
use pinconnector::ami::parse::Parser;
use pinconnector::ami::replay::{Recording, Replay};
use pinconnector::asterisk::PbxId;
use pinconnector::call::record::{Direction, Status};
use pinconnector::call::rules::RecordKind;
use pinconnector::call::{Calls, Input, Record, Rules};
use pinconnector::clock::Now;

use crate::{play, traces};

const HERE: PbxId = PbxId(0);
const THERE: PbxId = PbxId(1);

fn rules() -> Rules {
    let mut rules = play::rules(RecordKind::PerPhone);
    rules.pbxs = vec!["here".to_owned(), "there".to_owned()];
    for (pbx, other) in [(HERE, THERE), (THERE, HERE)] {
        rules.peers.insert((pbx, "trunk-msk".to_owned()), other);
    }
    rules
}

/// A recorded story with a number changed; without its times, which no longer fit.
fn heard(story: &str, from: &str, to: &str) -> Vec<(Now, Heard)> {
    let trace = traces::load(story);
    let text: String = trace.parts[0].ami().iter().map(|byte| char::from(*byte)).collect();
    let bytes: Vec<u8> = text.replace(from, to).chars().map(|letter| letter as u8).collect();
    let recording = Recording::new(bytes, None).expect("a recording");
    let parser = Parser::new(None, Vec::new());
    Replay::new(&[recording], &parser).collect()
}

/// Plays stories at the exchanges at once and answers the newest of every record.
fn played(rules: Rules, stories: &[(PbxId, &[(Now, Heard)])]) -> Vec<Record> {
    let mut calls = Calls::new(rules);
    let mut revisions = Vec::new();
    let mut all: Vec<(Now, PbxId, &Heard)> =
        stories.iter().flat_map(|(pbx, heard)| heard.iter().map(|(now, heard)| (*now, *pbx, heard))).collect();
    all.sort_by_key(|(now, ..)| now.mono_ms);
    for (now, pbx, heard) in all {
        let input = match heard {
            Heard::Up { .. } => Input::LinkUp { pbx },
            Heard::Down { .. } => Input::LinkDown { pbx },
            Heard::Event(event) => Input::Heard { pbx, event: event.clone() },
        };
        play::collect(&mut revisions, calls.handle(now, input));
    }
    play::Outcome { revisions, open: 0 }.records()
}

#[test]
fn a_call_over_the_trunk_is_one_record_of_whoever_is_called() {
    // 101 calls 201 of the other exchange; there it comes in over the trunk, to 101 in the recording.
    let out = heard("22/i_out_answered", "89161234567", "201");
    let into = heard("22/a_in_answered_caller_hangs", "+79161234567", "101");
    let records = played(rules(), &[(HERE, &out), (THERE, &into)]);
    assert_eq!(records.len(), 1, "{records:#?}");
    let record = &records[0];
    assert_eq!((record.direction, record.status), (Direction::Internal, Status::Completed));
    assert_eq!(
        (record.extension.as_deref(), record.from.as_deref(), &*record.pbx),
        (Some("there/201"), Some("101"), "here")
    );
    assert!(record.lead && record.client_number.is_none());

    // Without `peers` it is a call out of one and into the other.
    let strangers = Rules { peers: std::collections::BTreeMap::new(), ..rules() };
    let records = played(strangers, &[(HERE, &out), (THERE, &into)]);
    let mut directions: Vec<Direction> = records.iter().map(|record| record.direction).collect();
    directions.sort_by_key(|direction| format!("{direction:?}"));
    assert_eq!(directions, [Direction::Incoming, Direction::Outgoing]);
}

#[test]
fn who_is_called_from_an_exchange_that_is_not_heard_has_a_record_all_the_same() {
    let into = heard("22/a_in_answered_caller_hangs", "+79161234567", "101");
    let records = played(rules(), &[(THERE, &into)]);
    assert_eq!(records.len(), 1, "nobody else would tell");
    assert_eq!(records[0].extension.as_deref(), Some("there/101"));
}

#[test]
fn a_number_outside_that_is_called_through_the_others_trunk_is_outside() {
    let out = heard("22/i_out_answered", "89161234567", "89161234567");
    let into = heard("22/a_in_answered_caller_hangs", "+79161234567", "101");
    let records = played(rules(), &[(HERE, &out), (THERE, &into)]);
    assert_eq!(records.len(), 1, "{records:#?}");
    assert_eq!((records[0].direction, records[0].client_number.as_deref()), (Direction::Outgoing, Some("89161234567")));
}
