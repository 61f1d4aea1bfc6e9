//! The same stories told badly: events twice, events lost, events of different channels in another order.
//!
//! What must hold is less than the exact records: nothing panics, every conversation ends, exactly one record of it
//! leads, nobody talks longer than the call lasted, and answered means that somebody answered.

use std::collections::BTreeMap;

use pinconnector::ami::Heard;
use pinconnector::asterisk::Event;
use pinconnector::call::record::{Direction, Status};
use pinconnector::call::rules::RecordKind;
use pinconnector::call::{Calls, Input, Record};
use pinconnector::clock::Now;
use serde_json::Value;

use crate::play::{self, Outcome, PBX};
use crate::{compare, traces};

/// A small generator of its own, so that a failing seed can be played again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What holds for every stream, however broken.
pub fn lawful(name: &str, outcome: &Outcome) {
    assert_eq!(outcome.open, 0, "{name}: a conversation stayed open");
    let mut revisions: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &outcome.revisions {
        let last = revisions.insert(&record.id, record.revision);
        assert!(last.is_none_or(|last| last < record.revision), "{name}: the revision of {} went back", record.id);
    }
    let records = outcome.records();
    let mut leads: BTreeMap<&str, u32> = BTreeMap::new();
    for record in &records {
        *leads.entry(&record.conversation).or_default() += u32::from(record.lead);
        law_of(name, record);
    }
    for (conversation, count) in leads {
        assert_eq!(count, 1, "{name}: {conversation} has {count} leads");
    }
}

fn law_of(name: &str, record: &Record) {
    let what = || format!("{name}: {}", serde_json::to_string_pretty(record).expect("JSON"));
    assert!(record.status.is_final(), "not over: {}", what());
    assert!(record.ended_at.is_some(), "no end: {}", what());
    let total = record.total_seconds.expect("what ended has a length").0;
    assert!(record.talk_seconds.is_none_or(|talk| talk.0 <= total), "talk longer than the call: {}", what());
    assert_eq!(record.status == Status::Completed, record.answered_at.is_some(), "answered by whom? {}", what());
    assert_eq!(
        record.reason.is_some() && record.status == Status::Missed,
        record.status == Status::Missed,
        "{}",
        what()
    );
    assert!(record.status != Status::Missed || record.direction == Direction::Incoming, "{}", what());
    assert!(!(record.extension.is_some() && record.phone.is_some()), "two phones: {}", what());
}

fn each_story(mut check: impl FnMut(&str, Vec<(Now, Heard)>)) {
    for name in traces::names() {
        check(&name, play::heard(&traces::load(&name).parts));
    }
}

/// Doubled events change nothing at all.
#[test]
fn every_event_twice_gives_the_same_records() {
    let mut failed = Vec::new();
    each_story(|name, heard| {
        let twice = heard.into_iter().flat_map(|(now, heard)| {
            let again = matches!(heard, Heard::Event(_)).then(|| (now, heard.clone()));
            std::iter::once((now, heard)).chain(again)
        });
        let outcome = play::play(twice, play::rules(RecordKind::PerPhone));
        lawful(name, &outcome);
        let Some(expected) = traces::load(name).expected else { return };
        let records: Vec<Value> =
            outcome.records().iter().map(|r| serde_json::to_value(r).expect("a record is JSON")).collect();
        let differences = compare::differences(&expected, &records);
        if !differences.is_empty() {
            failed.push(format!("{name}: {}", differences.join("; ")));
        }
    });
    assert!(failed.is_empty(), "{} stories differ:\n{}", failed.len(), failed.join("\n"));
}

/// A tenth of everything is lost, Newchannel and Hangup included.
#[test]
fn lost_events_break_nothing() {
    for seed in 1..=8 {
        each_story(|name, heard| {
            let mut dice = Dice::new(seed);
            let rest: Vec<_> =
                heard.into_iter().filter(|(_, h)| !matches!(h, Heard::Event(_)) || dice.roll(10) > 0).collect();
            for kind in [RecordKind::PerPhone, RecordKind::PerCall] {
                lawful(&format!("{name}, seed {seed}"), &play::play(rest.clone(), play::rules(kind)));
            }
        });
    }
}

/// The order of events of different channels within 50 ms is an accident.
#[test]
fn the_order_between_channels_breaks_nothing() {
    for seed in 1..=8 {
        each_story(|name, heard| {
            let mut dice = Dice::new(seed);
            let mut shuffled = heard;
            for at in 1..shuffled.len() {
                let back = usize::try_from(dice.roll(6)).expect("small").min(at);
                let other = at - back;
                let near = shuffled[at].0.wall_ms - shuffled[other].0.wall_ms <= 50;
                let (Heard::Event(one), Heard::Event(two)) = (&shuffled[at].1, &shuffled[other].1) else { continue };
                if near && subject(one) != subject(two) {
                    let (first, second) = (shuffled[other].0, shuffled[at].0);
                    shuffled.swap(at, other);
                    shuffled[other].0 = first;
                    shuffled[at].0 = second;
                }
            }
            for kind in [RecordKind::PerPhone, RecordKind::PerCall] {
                lawful(&format!("{name}, seed {seed}"), &play::play(shuffled.clone(), play::rules(kind)));
            }
        });
    }
}

/// The whole state can be stored after any event and taken up again.
#[test]
fn a_restart_after_any_event_ends_with_the_same_calls() {
    for name in traces::names() {
        let trace = traces::load(&name);
        let heard = play::heard(&trace.parts);
        let mut calls = Calls::new(play::rules(RecordKind::PerPhone));
        let mut dice = Dice::new(7);
        let mut revisions = Vec::new();
        for (now, heard) in heard {
            let input = match heard {
                Heard::Up { .. } => Input::LinkUp { pbx: PBX },
                Heard::Down { .. } => Input::LinkDown { pbx: PBX },
                Heard::Event(event) => Input::Heard { pbx: PBX, event },
            };
            play::collect(&mut revisions, calls.handle(now, input));
            if dice.roll(12) == 0 {
                let mut fresh = Calls::new(play::rules(RecordKind::PerPhone));
                for open in calls.open().filter(|c| !c.published.is_empty()) {
                    let stored = serde_json::to_vec(open).expect("state is JSON");
                    let restored = serde_json::from_slice(&stored).expect("what was written is read");
                    play::collect(&mut revisions, fresh.handle(now, Input::Restored(Box::new(restored))));
                }
                calls = fresh;
            }
        }
        let end = Now { wall_ms: i64::MAX / 4, mono_ms: u64::MAX / 4 };
        play::collect(&mut revisions, calls.handle(end, Input::Over { pbx: PBX }));
        let outcome = Outcome { revisions, open: calls.open().count() };
        assert_eq!(outcome.open, 0, "{name}");
        for record in outcome.records() {
            assert!(record.status.is_final(), "{name}: {record:?}");
        }
    }
}

/// The channel an event is about, as far as order matters.
fn subject(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split("uniqueid: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}
