//! The form of a conversation in MongoDB: a tree of calls and their steps, with dates as dates. Pure; the fields are
//! described for others in `packaging/doc/history.md`.

use std::sync::Arc;

use mongodb::bson::{Bson, DateTime, Document, doc, from_document, to_document};
use serde::Deserialize;

use crate::call::Record;
use crate::call::record::{Moment, Status, Step};
use crate::clock;
use crate::outbox::Delivery;
use crate::store::follow_up::is_to_settle;

/// The form that is written. A reader knows it and all before it.
pub const VERSION: i32 = 1;
/// A document may be no larger; MongoDB itself takes twice as much.
pub const DOCUMENT_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Steps of one timeline. Beyond, the middle is left out and `timeline_cut` says how many steps that were.
pub const STEPS_MAX: usize = 2_000;

/// Dates at the levels of the tree.
const CALL_DATES: [&str; 4] = ["started_at", "answered_at", "ended_at", "followed_up_at"];
const RECORDING_DATES: [&str; 1] = ["started_at"];
const STEP_DATES: [&str; 1] = ["at"];

/// What one row of the outbox asks of MongoDB.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// The conversation as it is.
    Whole(Document),
    /// It is part of another one, or was forgotten: a document without calls that says so. To be written after the others.
    Tombstone(Document),
    /// Every call of this normalised number is to be removed, wherever it is.
    Forget { number: String },
}

/// The body of a row, as the local database makes it.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    joined_into: Option<String>,
    #[serde(default)]
    calls: Vec<Record>,
    #[serde(default)]
    forget: Option<String>,
}

/// Reads a row of the outbox.
///
/// # Errors
/// Why it can never be written.
pub fn shape(delivery: &Delivery) -> Result<Shape, String> {
    let body: Body = serde_json::from_str(&delivery.body).map_err(|error| format!("its form is not known: {error}"))?;
    if let Some(number) = body.forget {
        return Ok(Shape::Forget { number });
    }
    let id = delivery.record_id.as_str();
    let revision = i64::try_from(delivery.revision).map_err(|_| "its revision is too large".to_owned())?;
    if body.joined_into.is_some() || body.calls.is_empty() {
        return Ok(Shape::Tombstone(tombstone(id, revision, body.joined_into.as_deref(), delivery.changed_at_ms)));
    }
    whole(id, revision, body.calls, delivery.body.len()).map(Shape::Whole)
}

/// Stands for a conversation that was joined into another one, or that was forgotten.
pub fn tombstone(id: &str, revision: i64, joined_into: Option<&str>, at_ms: i64) -> Document {
    let mut tree = doc! { "_id": id, "conversation": id, "v": VERSION, "revision": revision };
    match joined_into {
        // As long as the calls that are found through it.
        Some(into) => tree.extend(doc! { "joined_into": into, "started_at": DateTime::from_millis(at_ms) }),
        // Only until no late writer can bring it back.
        None => tree.extend(doc! { "gone_at": DateTime::from_millis(at_ms) }),
    }
    tree
}

/// A conversation with its calls. `size`: about how large it is as JSON; below a quarter of the limit nothing is measured.
///
/// # Errors
/// If it is too large even without its steps, or cannot be written at all.
pub fn whole(id: &str, revision: i64, mut calls: Vec<Record>, size: usize) -> Result<Document, String> {
    let first = calls.iter().map(|call| call.started_at).min().unwrap_or_default();
    let last = calls.iter().map(|call| call.started_at).max().unwrap_or_default();
    let open = calls.iter().any(is_open);
    let mut tree = doc! { "_id": id, "conversation": id, "v": VERSION, "revision": revision };
    if let Some(call) = calls.first() {
        tree.insert("pbx", &call.pbx);
    }
    tree.insert("started_at", DateTime::from_millis(first.0));
    tree.insert("last_call_at", DateTime::from_millis(last.0));
    if let Some(ended) = calls.iter().filter_map(|call| call.ended_at).max().filter(|_| !open) {
        tree.insert("ended_at", DateTime::from_millis(ended.0));
    }
    // Marks of few: only where they are true, so that their indexes stay small.
    for (mark, set) in [
        ("open", open),
        ("missed", calls.iter().any(|call| call.lead && call.status == Status::Missed)),
        ("to_call_back", calls.iter().any(is_to_settle)),
    ] {
        if set {
            tree.insert(mark, true);
        }
    }
    let mut cut = vec![0; calls.len()];
    let mut steps = STEPS_MAX;
    loop {
        for (call, cut) in calls.iter_mut().zip(&mut cut) {
            *cut += shorten(&mut call.timeline, steps);
        }
        let branches = calls.iter().zip(&cut).map(|(call, cut)| branch(call, *cut)).collect::<Result<Vec<_>, _>>()?;
        tree.insert("calls", branches);
        // BSON is less than twice as large as its JSON, and half of that here.
        if size < DOCUMENT_MAX_BYTES / 4 || bytes(&tree)? <= DOCUMENT_MAX_BYTES {
            return Ok(tree);
        }
        if steps == 0 {
            return Err(format!("{} calls in one conversation are more than {DOCUMENT_MAX_BYTES} bytes", calls.len()));
        }
        steps /= 4;
    }
}

/// How large a document is.
///
/// # Errors
/// If it is none that MongoDB knows: a key with a zero byte in it.
pub fn bytes(tree: &Document) -> Result<usize, String> {
    mongodb::bson::to_vec(tree).map(|bytes| bytes.len()).map_err(|error| error.to_string())
}

/// Leaves the beginning and the end of a timeline; answers how many steps went.
fn shorten(timeline: &mut Vec<Arc<Step>>, most: usize) -> usize {
    let cut = timeline.len().saturating_sub(most);
    if cut > 0 {
        let kept = most / 2;
        timeline.drain(kept..kept + cut);
    }
    cut
}

fn branch(call: &Record, cut: usize) -> Result<Bson, String> {
    let mut branch = to_document(call).map_err(|error| format!("{}: {error}", call.id))?;
    convert(&mut branch, to_date);
    if cut > 0 {
        branch.insert("timeline_cut", i64::try_from(cut).unwrap_or(i64::MAX));
    }
    Ok(Bson::Document(branch))
}

/// The calls of a document, in their order. What a younger version added is passed over.
///
/// # Errors
/// If it is no conversation.
pub fn calls(tree: &Document) -> Result<Vec<Record>, String> {
    let Ok(branches) = tree.get_array("calls") else { return Ok(Vec::new()) };
    let mut calls = Vec::with_capacity(branches.len());
    for branch in branches {
        let Bson::Document(branch) = branch else { return Err("a call that is no document".to_owned()) };
        let mut branch = branch.clone();
        convert(&mut branch, to_text);
        calls.push(from_document(branch).map_err(|error| error.to_string())?);
    }
    Ok(calls)
}

/// As the local database has it in its column `open`.
pub fn is_open(call: &Record) -> bool {
    call.ended_at.is_none() && !call.status.is_final()
}

/// When the last call of the conversation began: what lists are ordered by.
pub fn last_call_at(tree: &Document) -> Moment {
    tree.get_datetime("last_call_at").map_or(Moment(i64::MIN), |at| Moment(at.timestamp_millis()))
}

fn convert(call: &mut Document, change: fn(&Bson) -> Option<Bson>) {
    each(call, &CALL_DATES, change);
    for (list, dates) in [("recordings", &RECORDING_DATES[..]), ("timeline", &STEP_DATES[..])] {
        let Ok(list) = call.get_array_mut(list) else { continue };
        for element in list.iter_mut().filter_map(Bson::as_document_mut) {
            each(element, dates, change);
        }
    }
}

fn each(document: &mut Document, keys: &[&str], change: fn(&Bson) -> Option<Bson>) {
    for key in keys {
        if let Some(value) = document.get_mut(*key)
            && let Some(changed) = change(value)
        {
            *value = changed;
        }
    }
}

fn to_date(value: &Bson) -> Option<Bson> {
    let ms = clock::parse_rfc3339(value.as_str()?).ok()?;
    Some(Bson::DateTime(DateTime::from_millis(ms)))
}

fn to_text(value: &Bson) -> Option<Bson> {
    Some(Bson::String(clock::rfc3339(value.as_datetime()?.timestamp_millis())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u32) -> Record {
        serde_json::from_value(serde_json::json!({
            "id": format!("pbx-1.1-{n}"), "conversation": "pbx-1.1", "pbx": "pbx", "revision": 7, "source": "ami",
            "direction": "incoming", "status": "missed", "lead": n == 1, "follow_up": "open",
            "started_at": "2026-11-22T10:00:00.123Z", "ended_at": "2026-11-22T10:00:10.000Z", "ring_seconds": 10.0,
            "hangup_cause": 16, "variables": {"at": "2026-11-22T10:00:00.123Z"},
            "recordings": [{"id": "r", "file": "r.wav", "started_at": "2026-11-22T10:00:01.000Z"}],
            "timeline": [{"at": "2026-11-22T10:00:00.123Z", "step": "enter", "where": "from-trunk"}],
        }))
        .expect("a record")
    }

    fn delivery(body: &serde_json::Value) -> Delivery {
        let body = body.to_string().into();
        Delivery { record_id: "pbx-1.1".to_owned(), revision: 9, body, changed_at_ms: 5, told: None }
    }

    #[test]
    fn dates_are_dates_and_come_back_as_they_were() {
        let calls_in = vec![record(1), record(2)];
        let body = serde_json::json!({"conversation": "pbx-1.1", "calls": calls_in});
        let Ok(Shape::Whole(tree)) = shape(&delivery(&body)) else { panic!("a conversation") };
        assert_eq!(tree.get_i64("revision"), Ok(9));
        assert_eq!(tree.get_bool("missed"), Ok(true));
        assert_eq!(tree.get_bool("to_call_back"), Ok(true));
        assert!(tree.get("open").is_none());
        assert!(tree.get_datetime("ended_at").is_ok());
        let call = tree.get_array("calls").expect("calls")[0].as_document().expect("a call");
        assert!(call.get_datetime("started_at").is_ok() && call.get_datetime("ended_at").is_ok());
        let step = call.get_array("timeline").expect("steps")[0].as_document().expect("a step");
        assert!(step.get_datetime("at").is_ok());
        let recording = call.get_array("recordings").expect("recordings")[0].as_document().expect("a recording");
        assert!(recording.get_datetime("started_at").is_ok());
        // A variable that looks like a date is none of ours.
        assert!(call.get_document("variables").expect("variables").get_str("at").is_ok());
        assert_eq!(calls(&tree), Ok(calls_in));
    }

    #[test]
    fn long_timelines_are_cut_in_the_middle_and_marked() {
        let mut call = record(1);
        let step = call.timeline[0].clone();
        call.timeline = (0..2_500).map(|n| Step { at: Moment(n), ..(*step).clone() }.into()).collect();
        let tree = whole("pbx-1.1", 1, vec![call], 1_000).expect("it fits");
        let branch = tree.get_array("calls").expect("calls")[0].as_document().expect("a call");
        assert_eq!(branch.get_i64("timeline_cut"), Ok(500));
        let back = calls(&tree).expect("calls");
        assert_eq!(back[0].timeline.len(), STEPS_MAX);
        assert_eq!((back[0].timeline[999].at, back[0].timeline[1_000].at), (Moment(999), Moment(1_500)));
        assert_eq!(back[0].timeline[1_999].at, Moment(2_499));
    }

    #[test]
    fn what_is_too_large_is_cut_further_and_refused_only_without_steps() {
        let mut call = record(1);
        let long = Step { place: Some("x".repeat(9_000).into()), ..(*call.timeline[0]).clone() };
        call.timeline = vec![long.into(); 2_000];
        let tree = whole("pbx-1.1", 1, vec![call.clone()], usize::MAX).expect("it fits");
        assert!(bytes(&tree).expect("a size") <= DOCUMENT_MAX_BYTES);
        assert_eq!(calls(&tree).expect("calls")[0].timeline.len(), 500);
        call.client_name = Some("x".repeat(DOCUMENT_MAX_BYTES));
        let error = whole("pbx-1.1", 1, vec![call], usize::MAX).expect_err("too large");
        assert!(error.contains("8388608 bytes"), "{error}");
    }

    #[test]
    fn what_is_gone_leaves_a_mark() {
        let joined = serde_json::json!({"conversation": "pbx-1.1", "joined_into": "pbx-0.1", "calls": []});
        let Ok(Shape::Tombstone(tree)) = shape(&delivery(&joined)) else { panic!("a tombstone") };
        assert_eq!(tree.get_str("joined_into"), Ok("pbx-0.1"));
        assert_eq!(calls(&tree), Ok(Vec::new()));
        let gone = serde_json::json!({"conversation": "pbx-1.1", "calls": []});
        let Ok(Shape::Tombstone(tree)) = shape(&delivery(&gone)) else { panic!("a tombstone") };
        assert!(tree.get_datetime("gone_at").is_ok() && tree.get("started_at").is_none());
        let forget = serde_json::json!({"forget": "+79161234567"});
        assert_eq!(shape(&delivery(&forget)), Ok(Shape::Forget { number: "+79161234567".to_owned() }));
        assert!(shape(&delivery(&serde_json::json!({"calls": [{}]}))).is_err());
    }

    #[test]
    fn documents_of_other_versions_are_read() {
        // Only what every version wrote; and something no version knows.
        let tree = doc! { "_id": "pbx-1.1", "v": 0, "calls": [{
            "id": "pbx-1.1-1", "conversation": "pbx-1.1", "pbx": "pbx", "revision": 3_i32, "source": "ami",
            "direction": "internal", "status": "completed", "lead": true, "started_at": DateTime::from_millis(1_000),
            "talk_seconds": 3_i32, "mood": { "of": "the caller" },
        }] };
        let calls = calls(&tree).expect("readable");
        assert_eq!(calls[0].started_at, Moment(1_000));
        assert_eq!(calls[0].talk_seconds, Some(crate::call::record::Span(3_000)));
        assert_eq!(calls[0].revision, 3);
        assert_eq!(last_call_at(&tree), Moment(i64::MIN));
    }
}
