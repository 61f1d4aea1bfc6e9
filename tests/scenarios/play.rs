//! Plays recorded stories through codec, parser and core, as the live path does.

use std::collections::BTreeMap;

use pinconnector::ami::Heard;
use pinconnector::ami::parse::Parser;
use pinconnector::ami::replay::{Recording, Replay};
use pinconnector::asterisk::PbxId;
use pinconnector::call::rules::RecordKind;
use pinconnector::call::{Calls, Effect, Input, Record, Rules};
use pinconnector::clock::Now;

pub const PBX: PbxId = PbxId(0);

/// What came out of the core, in order, and what was left inside at the end.
pub struct Outcome {
    /// Every revision of every record.
    pub revisions: Vec<Record>,
    /// Conversations still open after everything was over.
    pub open: usize,
}

impl Outcome {
    /// The newest revision of each record, as a receiver ends up with; what was superseded is gone.
    pub fn records(&self) -> Vec<Record> {
        let mut newest: BTreeMap<&str, &Record> = BTreeMap::new();
        for record in &self.revisions {
            newest.insert(&record.id, record);
        }
        newest.into_values().filter(|r| r.superseded_by.is_none()).cloned().collect()
    }
}

pub fn rules(records: RecordKind) -> Rules {
    Rules { records, every_originate_is_ours: true, ..Rules::default() }
}

pub fn heard(parts: &[Recording]) -> Vec<(Now, Heard)> {
    let parser = Parser::new(None, Vec::new());
    Replay::new(parts, &parser).collect()
}

/// Keeps the records that are to be sent.
pub fn collect(revisions: &mut Vec<Record>, effects: Vec<Effect>) {
    for effect in effects {
        if let Effect::Save(change) = effect {
            revisions.extend(change.records.into_iter().map(std::sync::Arc::unwrap_or_clone));
        }
    }
}

/// Plays what was heard and lets everything end.
pub fn play(heard: impl IntoIterator<Item = (Now, Heard)>, rules: Rules) -> Outcome {
    let mut calls = Calls::new(rules);
    let mut revisions = Vec::new();
    let mut last = Now::default();
    let mut take = |effects: Vec<Effect>| collect(&mut revisions, effects);
    for (now, heard) in heard {
        while let Some(at) = calls.next_deadline()
            && at <= now.mono_ms
        {
            let then = Now { wall_ms: now.wall_ms - (now.mono_ms - at).cast_signed(), mono_ms: at };
            take(calls.handle(then, Input::Tick));
        }
        let input = match heard {
            Heard::Up { .. } => Input::LinkUp { pbx: PBX },
            Heard::Down { .. } => Input::LinkDown { pbx: PBX },
            Heard::Event(event) => Input::Heard { pbx: PBX, event },
        };
        take(calls.handle(now, input));
        last = now;
    }
    take(calls.handle(last, Input::Over { pbx: PBX }));
    // An hour later nothing has a deadline left.
    for _ in 0..1_000 {
        let Some(at) = calls.next_deadline() else { break };
        let ahead = at.saturating_sub(last.mono_ms);
        last = last.plus_ms(ahead);
        take(calls.handle(last, Input::Tick));
    }
    let open = calls.open().count();
    Outcome { revisions, open }
}
