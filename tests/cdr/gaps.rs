//! Gaps of every kind: the connector stops listening somewhere in a story, and what it missed is made good from the rows.

use std::collections::{BTreeMap, BTreeSet};

use pinconnector::ami::Heard;
use pinconnector::asterisk::event::Response;
use pinconnector::asterisk::{Action, Event};
use pinconnector::call::cdr::compare::{Verdict, judge};
use pinconnector::call::record::Reason;
use pinconnector::call::rules::RecordKind;
use pinconnector::call::{Calls, Effect, Input, Record};
use pinconnector::clock::Now;

use crate::play::{self, PBX};
use crate::recorded::{conversations, rows};
use crate::traces;

/// What the store has: the newest revision of each record, and which conversations were joined into which.
#[derive(Default)]
struct Receiver(BTreeMap<String, Record>, BTreeMap<String, String>);

impl Receiver {
    fn take(&mut self, record: Record) {
        let known = self.0.get(&record.id);
        assert!(
            known.is_none_or(|known| known.revision < record.revision),
            "{}: the revision does not grow",
            record.id
        );
        self.0.insert(record.id.clone(), record);
    }

    fn conversations(&self, ids: &[String]) -> Vec<Record> {
        let ids: BTreeSet<&String> = ids.iter().map(|id| self.1.get(id).unwrap_or(id)).collect();
        self.0.values().filter(|record| ids.contains(&record.conversation)).cloned().collect()
    }
}

/// Hears the first `heard` events, then nothing until every call of Asterisk is over, then links up again.
fn cut(events: &[(Now, Heard)], heard: usize) -> Receiver {
    let mut calls = Calls::new(play::rules(RecordKind::PerPhone));
    let mut receiver = Receiver::default();
    let mut asked = None;
    let mut now = events.last().expect("a story").0;
    let mut inputs: Vec<(Now, Input)> = events[..heard]
        .iter()
        .map(|(now, heard)| {
            let input = match heard {
                Heard::Up { .. } => Input::LinkUp { pbx: PBX },
                Heard::Down { .. } => Input::LinkDown { pbx: PBX },
                Heard::Event(event) => Input::Heard { pbx: PBX, event: event.clone() },
            };
            (*now, input)
        })
        .collect();
    let broke = inputs.last().map_or(now, |(now, _)| *now);
    inputs.push((broke, Input::LinkDown { pbx: PBX }));
    now = now.plus_ms(30_000);
    inputs.push((now, Input::LinkUp { pbx: PBX }));
    let mut take = |effects: Vec<Effect>, asked: &mut Option<String>| {
        for effect in effects {
            match effect {
                Effect::Save(change) => {
                    let change = *change;
                    receiver.1.extend(change.joined_into.map(|into| (change.conversation, into)));
                    change.records.into_iter().for_each(|record| receiver.take(Record::clone(&record)));
                }
                Effect::Ask { action_id, action: Action::CoreShowChannels, .. } => {
                    *asked = Some(action_id.0.to_string())
                }
                _ => {}
            }
        }
    };
    for (now, input) in inputs {
        take(calls.handle(now, input), &mut asked);
    }
    // Asterisk holds no channel any more.
    let action_id = asked.take().expect("it asks for the channels").into_boxed_str();
    let message = "Channels will follow".into();
    let follows =
        Response { action_id: action_id.clone(), success: true, message, list_follows: true, ..Response::default() };
    let mut resynced = false;
    for event in [Event::Response(Box::new(follows)), Event::ListComplete { action_id, items: 0 }] {
        let effects = calls.handle(now, Input::Heard { pbx: PBX, event });
        resynced |= effects.iter().any(|effect| matches!(effect, Effect::Resynced { .. }));
        take(effects, &mut asked);
    }
    assert!(resynced, "the gap is to be looked at");
    // An Originate without an answer is given up in time.
    for _ in 0..1_000 {
        let Some(at) = calls.next_deadline().filter(|_| calls.open().count() > 0) else { break };
        now = now.plus_ms(at.saturating_sub(now.mono_ms));
        take(calls.handle(now, Input::Tick), &mut asked);
    }
    assert_eq!(calls.open().count(), 0);
    receiver
}

/// What counts most: who was reached, how, and whether a client was lost.
fn outline<'r>(records: impl IntoIterator<Item = &'r Record>) -> BTreeSet<String> {
    records
        .into_iter()
        .filter(|record| record.superseded_by.is_none())
        .map(|r| format!("{:?} {:?} {:?} {:?} {:?}", r.direction, r.status, r.extension, r.phone, r.client_number))
        .collect()
}

/// What stays as it was heard: consultations that were heard as calls of their own before they became transfers unheard, two clients
/// joined by one, and a click or a pickup whose answer was not heard.
const NOT_MADE_GOOD: [&str; 18] = [
    "16/l_atxfer_blond_recalled ",
    "16/u_timestamps_chanvars ",
    "22/j_pickup ",
    "22/k_c2c_sync ",
    "22/l_att_called ",
    "22/l_att_group_ringing ",
    "22/l_att_outside ",
    "22/l_att_to_group ",
    "22/l_att_two_clients ",
    "22/l_atxfer_blond_recalled ",
    "22/l_atxfer_outside ",
    "22/l_atxfer_to_group ",
    "22/l_internal_att_outside ",
    "22/l_out_att_outside ",
    "22/q_att_to_local_group ",
    "22/q_queue_att ",
    "22/q_queue_att_ringing ",
    "22/q_queue_atxfer ",
];

#[test]
fn whatever_was_missed_is_made_good() {
    let only = std::env::var("STORY").ok();
    let (mut cuts, mut same) = (0, 0);
    let mut wrong = String::new();
    for name in traces::names() {
        let trace = traces::load(&name);
        let Some(csv) = &trace.cdr_csv else { continue };
        // Those that were recorded with breaks of their own are cut already.
        if trace.parts.len() > 1 || only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            continue;
        }
        let rows = rows(csv);
        let found = conversations(&rows, &play::rules(RecordKind::PerPhone));
        let events = play::heard(&trace.parts);
        let whole = play::play(events.clone(), play::rules(RecordKind::PerPhone));
        assert_eq!(whole.open, 0, "{name}");
        let whole = whole.records();
        for part in 1..=12 {
            let heard = events.len() * part / 12;
            let mut receiver = cut(&events, heard.max(1));
            for call in &found {
                match judge(call, &receiver.conversations(&call.known_as), 1_900_000_000_000) {
                    Verdict::NoCall | Verdict::Present => {}
                    Verdict::Missing(records) | Verdict::Unfinished(records) => {
                        records.into_iter().for_each(|record| receiver.take(record));
                    }
                }
            }
            // A second look finds nothing more.
            for call in &found {
                let again = judge(call, &receiver.conversations(&call.known_as), 1_900_000_000_001);
                assert!(matches!(again, Verdict::NoCall | Verdict::Present), "{name} at {part}: {again:#?}");
            }
            let ids: BTreeSet<&str> = found
                .iter()
                .filter(|call| !call.records.is_empty())
                .flat_map(|call| call.known_as.iter().map(String::as_str))
                .collect();
            let mut leads: BTreeMap<&str, u32> = BTreeMap::new();
            for record in receiver.0.values().filter(|record| record.superseded_by.is_none()) {
                *leads.entry(&record.conversation).or_default() += u32::from(record.lead);
                let lost = record.reason == Some(Reason::Lost) && ids.contains(record.conversation.as_str());
                assert!(!lost, "{name} at {part}: {} is still lost", record.id);
                assert!(
                    record.ended_at.is_some_and(|ended| ended >= record.started_at),
                    "{name} at {part}: {record:#?}"
                );
            }
            assert!(leads.values().all(|count| *count == 1), "{name} at {part}: {leads:?}");
            cuts += 1;
            let (got, wanted) = (outline(receiver.0.values()), outline(&whole));
            if got == wanted {
                same += 1;
            } else {
                let by_rows = outline(found.iter().flat_map(|call| &call.records));
                // Where the rows alone tell it otherwise, they cannot make it good.
                let excused = by_rows != wanted;
                wrong.push_str(&format!(
                    "{name} at {part}{}:\n  got {got:?}\n  not {wanted:?}\n",
                    if excused { " (rows tell it otherwise)" } else { "" }
                ));
            }
        }
    }
    if only.is_some() {
        return println!("{wrong}");
    }
    println!("{wrong}\n{same} of {cuts} cuts are made good entirely");
    let unexcused: Vec<&str> = wrong
        .lines()
        .filter(|line| line.contains(" at ") && !line.contains("otherwise"))
        .filter(|line| !NOT_MADE_GOOD.iter().any(|name| line.starts_with(name)))
        .collect();
    assert!(cuts > 3_000, "only {cuts} cuts");
    assert!(same * 10 > cuts * 9, "only {same} of {cuts} cuts are made good entirely");
    assert!(unexcused.is_empty(), "not made good: {unexcused:#?}");
}
