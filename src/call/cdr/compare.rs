//! What was found in the rows against what is known: a call that is missing, one whose end nobody saw, or one that is present.
//!
//! What was listened to is right, and is never changed by a row; but for a conversation whose end came while the link was down
//! (its last step is a hang-up by `unknown`, see `ending`), the rows are all there is.

use super::Found;
use crate::call::record::{Moment, Reason, Record, Source, Span, Status, StepKind, step};

/// Numbers of records that were added to a known conversation; those of its own never come so far.
const FIRST_N_FOUND: u32 = 2_001;
/// Records that were open when the link broke end within this time of each other.
const TOGETHER_MS: i64 = 1_000;
/// Without ids, a call began within this time of its rows.
const NEAR_MS: i64 = 3_000;

/// What becomes of a found conversation.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// Nothing that makes a record: a feature, or an extension that is ignored.
    NoCall,
    /// Known, and there is nothing to add.
    Present,
    /// Nobody knows it: these are its records.
    Missing(Vec<Record>),
    /// Its end was not seen: these records change, or are new.
    Unfinished(Vec<Record>),
}

/// Judges a found conversation by what is known of it: the records of every conversation in `known_as`.
pub fn judge(found: &Found, known: &[Record], wall_ms: i64) -> Verdict {
    if known.is_empty() {
        return if found.records.is_empty() { Verdict::NoCall } else { Verdict::Missing(found.records.clone()) };
    }
    // What another record took over is no call any more.
    let known: Vec<Record> = known.iter().filter(|record| record.superseded_by.is_none()).cloned().collect();
    let goes_on = known.iter().any(|record| !record.status.is_final() || record.ended_at.is_none());
    let unseen_end = known.iter().filter_map(unseen_end).min();
    let Some(unseen_end) = unseen_end.filter(|_| !goes_on && !found.records.is_empty()) else {
        return Verdict::Present;
    };
    let mended = mend(found, &known, unseen_end, wall_ms);
    if mended.is_empty() { Verdict::Present } else { Verdict::Unfinished(mended) }
}

/// Whether a known record is of the same call as `found`, whose rows have no ids: the same parties at the same time.
pub fn is_same_call(found: &Found, record: &Record) -> bool {
    let near = (found.began.0 - NEAR_MS..=found.ended.0 + NEAR_MS).contains(&record.started_at.0);
    near && found.records.iter().any(|own| {
        let phones = [&own.extension, &own.phone] == [&record.extension, &record.phone];
        let parties = own.from == record.from && own.direction == record.direction;
        parties && (phones || [&record.extension, &record.phone] == [&None, &None] || own.to == record.to)
    })
}

/// When the conversation was given up, if nobody saw how it ended. What leads shows it.
fn unseen_end(record: &Record) -> Option<Moment> {
    let last = record.timeline.last()?;
    let unseen = last.step == StepKind::Hangup && last.how.as_deref() == Some("unknown");
    (unseen && record.source == Source::Ami).then_some(last.at)
}

/// The known records as the rows end them, and those of phones that were tried while nobody listened.
fn mend(found: &Found, known: &[Record], unseen_end: Moment, wall_ms: i64) -> Vec<Record> {
    let mut taken = vec![false; known.len()];
    let mut result: Vec<Record> = Vec::new();
    // The conversation they are in, whatever the rows call it: the client's, where a consultation had one of its own.
    let conversation = known.iter().find(|record| record.conversation == found.conversation);
    let conversation = conversation.or(known.iter().find(|record| record.client_number.is_some())).unwrap_or(&known[0]);
    let (conversation, crm) = (conversation.conversation.clone(), conversation.crm.clone());
    let mut new: Vec<&Record> = Vec::new();
    for own in &found.records {
        let phones = |record: &Record| (record.extension.clone(), record.phone.clone());
        let same = (0..known.len()).find(|at| !taken[*at] && phones(&known[*at]) == phones(own));
        match same.or_else(|| (0..known.len()).find(|at| !taken[*at] && phones(&known[*at]) == (None, None))) {
            Some(at) => {
                taken[at] = true;
                let mut record = ended_as(&known[at], own, unseen_end);
                if record.conversation != conversation && own.transferred_from.is_some() {
                    join(&mut record, own, &conversation);
                }
                result.push(record);
            }
            None => new.push(own),
        }
    }
    let answered = found.records.iter().any(|own| own.status == Status::Completed);
    let reason = found.records.iter().find_map(|own| own.reason);
    for (record, _) in known.iter().zip(&taken).filter(|(_, taken)| !**taken) {
        let mut record = record.clone();
        if record.status == Status::Missed && answered {
            record.status = Status::NoAnswer;
            record.reason = None;
            record.follow_up = None;
        } else if record.reason == Some(Reason::Lost) {
            record.reason = reason.or(record.reason);
        }
        record.ended_at = record.ended_at.map(|ended| ended.min(found.ended.max(record.started_at)));
        record.total_seconds = record.ended_at.map(|ended| Span(ended.0 - record.started_at.0));
        result.push(record);
    }
    for own in new {
        let nth: u32 = own.id.rsplit_once('-').and_then(|(_, n)| n.parse().ok()).unwrap_or(1);
        let id = format!("{conversation}-{}", FIRST_N_FOUND - 1 + nth);
        if known.iter().all(|record| record.id != id) {
            result.push(Record { id, conversation: conversation.clone(), crm: crm.clone(), ..own.clone() });
        }
    }
    lead_with_one(&mut result);
    result
        .into_iter()
        .filter_map(|mut record| match known.iter().find(|known| known.id == record.id) {
            Some(before) if *before == record => None,
            Some(before) => {
                record.revision = Record::next_revision(before.revision, wall_ms);
                Some(record)
            }
            None => Some(record),
        })
        .collect()
}

/// What was seen of a call, with the end that the rows tell.
fn ended_as(seen: &Record, rows: &Record, unseen_end: Moment) -> Record {
    let mut record = seen.clone();
    if record.extension.is_none() && record.phone.is_none() {
        record.extension.clone_from(&rows.extension);
        record.phone.clone_from(&rows.phone);
    }
    if rows.recordings.len() > record.recordings.len() && record.recordings.is_empty() {
        record.recordings.clone_from(&rows.recordings);
    }
    let was_open = seen.ended_at.is_none_or(|ended| ended.0 >= unseen_end.0 - TOGETHER_MS);
    if !was_open && seen.status != Status::Missed {
        // This phone's part was over before the link broke.
        return record;
    }
    // An answer that was seen is none that a row could take back.
    if seen.answered_at.is_none() {
        record.status = rows.status;
        record.reason = rows.reason;
        record.answered_at = rows.answered_at;
    }
    record.lead = rows.lead;
    record.follow_up = if record.status == Status::Missed { seen.follow_up.or(rows.follow_up) } else { None };
    let earliest = record.answered_at.unwrap_or(record.started_at).max(record.started_at);
    record.ended_at = rows.ended_at.or(seen.ended_at).map(|ended| ended.max(earliest));
    record.talk_seconds = match (record.answered_at, record.ended_at) {
        (Some(answered), Some(ended)) => Some(Span(ended.0 - answered.0)),
        _ => rows.talk_seconds,
    };
    record.total_seconds = record.ended_at.map(|ended| Span(ended.0 - record.started_at.0));
    record.ended_by = seen.ended_by.or(rows.ended_by);
    record.transferred_to = seen.transferred_to.clone().or_else(|| rows.transferred_to.clone());
    record.transferred_from = seen.transferred_from.clone().or_else(|| rows.transferred_from.clone());
    record.transfer = seen.transfer.or(rows.transfer);
    record.voicemail = seen.voicemail.clone().or_else(|| rows.voicemail.clone());
    record.queue = seen.queue.clone().or_else(|| rows.queue.clone());
    if record.timeline.last().is_some_and(|last| last.step == StepKind::Hangup) {
        record.timeline.pop();
        let known: Vec<_> = record.timeline.iter().map(|step| (step.step, step.who.clone())).collect();
        let more = rows.timeline.iter().filter(|step| {
            !matches!(step.step, StepKind::Hangup | StepKind::Enter) && !known.contains(&(step.step, step.who.clone()))
        });
        record.timeline.extend(more.cloned());
        let end = Moment(rows.timeline.last().map_or(0, |step| step.at.0)).max(earliest);
        record.timeline.push(step(StepKind::Hangup, end.0).into());
    }
    record
}

/// A consultation became a transfer while nobody listened: its record is one of the client's conversation.
fn join(record: &mut Record, rows: &Record, conversation: &str) {
    conversation.clone_into(&mut record.conversation);
    record.direction = rows.direction;
    for (own, rows) in [
        (&mut record.client_number, &rows.client_number),
        (&mut record.client_number_normalized, &rows.client_number_normalized),
        (&mut record.client_name, &rows.client_name),
        (&mut record.from, &rows.from),
        (&mut record.to, &rows.to),
        (&mut record.did, &rows.did),
        (&mut record.trunk, &rows.trunk),
        (&mut record.crm, &rows.crm),
    ] {
        own.clone_from(rows);
    }
}

/// In each conversation the one answered first leads, else the one that did.
fn lead_with_one(records: &mut [Record]) {
    let mut conversations: Vec<String> = records.iter().map(|record| record.conversation.clone()).collect();
    conversations.sort_unstable();
    conversations.dedup();
    for conversation in conversations {
        let own = || records.iter().enumerate().filter(|(_, record)| record.conversation == conversation);
        let answered = own().filter_map(|(at, record)| Some((record.answered_at?, at))).min().map(|(_, at)| at);
        let led = own().find(|(_, record)| record.lead).map(|(at, _)| at);
        let lead = answered.or(led).or_else(|| own().next().map(|(at, _)| at));
        for (at, record) in records.iter_mut().enumerate().filter(|(_, record)| record.conversation == conversation) {
            record.lead = Some(at) == lead;
        }
    }
}
