//! What every history must do, whatever keeps it: a suite written against [`History`], of which each kind of history runs all.

use pinconnector::call::Record;
use pinconnector::call::record::{FollowUp, Moment, Recording, Status, Step, StepKind};
use pinconnector::store::reader::CallFilter;

use super::*;

/// A history as the suite sees it.
pub trait History {
    /// Takes in what one step of the core changed in a conversation, and returns when that can be read.
    fn take(&self, conversation: &str, open: bool, joined_into: Option<&str>, records: Vec<Record>);
    fn calls(&self, filter: &CallFilter) -> Vec<Record>;
    fn conversation(&self, id: &str) -> Vec<Record>;
    fn record(&self, id: &str) -> Option<Record>;
    fn records_of_recording(&self, id: &str) -> Vec<Record>;
    /// Answers how many records it removed.
    fn forget(&self, number: &str) -> u64;
}

pub type Check = fn(&dyn History);

pub const SUITE: &[(&str, Check)] = &[
    ("a record comes back as it was given", comes_back),
    ("the newest revision stands", newest_revision),
    ("filters", filters),
    ("newest first, up to the limit", order_and_limit),
    ("a joined conversation is found by both names", joined),
    ("recordings are found", recordings),
    ("a client is forgotten", forgets),
];

pub fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|r| r.id.as_str()).collect()
}

fn comes_back(history: &dyn History) {
    let mut call = record("pbx-1.1", 1, 1_795_000_000_123);
    call.client_name = Some("ООО «Ромашка» \"x\" \\ \u{1F600}".to_owned());
    call.variables.insert("CAMPAIGN".to_owned(), "a=b; c".to_owned());
    let enter = Step {
        at: Moment(1_795_000_000_124),
        step: StepKind::Enter,
        who: None,
        place: Some("from-trunk".into()),
        to: None,
        how: None,
        seconds: None,
    };
    call.timeline.push(enter.into());
    history.take("pbx-1.1", true, None, vec![call.clone()]);
    assert_eq!(history.record("pbx-1.1-1"), Some(call));
    assert_eq!(history.record("pbx-1.1-2"), None);
    assert!(history.conversation("nobody").is_empty());
}

fn newest_revision(history: &dyn History) {
    let mut call = record("pbx-1.1", 1, 1_000);
    history.take("pbx-1.1", true, None, vec![call.clone()]);
    call.revision += 10;
    call.status = Status::Completed;
    call.answered_at = Some(Moment(2_000));
    call.ended_at = Some(Moment(3_000));
    call.extension = Some("102".to_owned());
    history.take("pbx-1.1", false, None, vec![call.clone()]);
    assert_eq!(history.record("pbx-1.1-1"), Some(call.clone()));
    let all = history.calls(&CallFilter::default());
    assert_eq!(all, vec![call]);
    let by = |extension: &str| {
        history.calls(&CallFilter { extension: Some(extension.to_owned()), ..CallFilter::default() }).len()
    };
    assert_eq!((by("101"), by("102")), (0, 1), "it is no longer found by what it was");
}

fn filters(history: &dyn History) {
    let mut ringing = record("pbx-1.1", 1, 10_000);
    ringing.extension = Some("102".to_owned());
    let mut missed = record("pbx-2.1", 1, 20_000);
    (missed.status, missed.ended_at, missed.follow_up) = (Status::Missed, Some(Moment(25_000)), Some(FollowUp::Open));
    let mut beside = record("pbx-2.1", 2, 20_500);
    (beside.status, beside.ended_at) = (Status::Missed, Some(Moment(25_000)));
    let mut other = record("pbx-3.1", 1, 30_000);
    (other.status, other.ended_at) = (Status::Completed, Some(Moment(35_000)));
    other.client_number_normalized = Some("+79990000000".to_owned());
    other.crm = Some("second".to_owned());
    history.take("pbx-1.1", true, None, vec![ringing]);
    history.take("pbx-2.1", false, None, vec![missed, beside]);
    history.take("pbx-3.1", false, None, vec![other]);

    let text = |s: &str| Some(s.to_owned());
    let all = CallFilter::default;
    let table = [
        ("all", all(), vec!["pbx-3.1-1", "pbx-2.1-2", "pbx-2.1-1", "pbx-1.1-1"]),
        ("missed", CallFilter { missed: true, ..all() }, vec!["pbx-2.1-1"]),
        ("open", CallFilter { open: true, ..all() }, vec!["pbx-1.1-1"]),
        ("to call back", CallFilter { to_call_back: true, ..all() }, vec!["pbx-2.1-1"]),
        ("since", CallFilter { since: Some(Moment(20_500)), ..all() }, vec!["pbx-3.1-1", "pbx-2.1-2"]),
        ("until", CallFilter { until: Some(Moment(20_000)), ..all() }, vec!["pbx-2.1-1", "pbx-1.1-1"]),
        ("extension", CallFilter { extension: text("102"), ..all() }, vec!["pbx-1.1-1"]),
        ("client", CallFilter { client: text("+79990000000"), ..all() }, vec!["pbx-3.1-1"]),
        ("conversation", CallFilter { conversation: text("pbx-2.1"), ..all() }, vec!["pbx-2.1-2", "pbx-2.1-1"]),
        ("crm", CallFilter { crm: text("second"), ..all() }, vec!["pbx-3.1-1"]),
        ("several", CallFilter { missed: true, since: Some(Moment(20_001)), ..all() }, vec![]),
        ("nobody", CallFilter { client: text("' OR 1=1 --"), ..all() }, vec![]),
    ];
    for (what, filter, expected) in table {
        assert_eq!(ids(&history.calls(&filter)), expected, "{what}");
    }
}

fn order_and_limit(history: &dyn History) {
    // A conversation's uniqueids do not sort as numbers; times do.
    for n in [3, 1, 12, 7] {
        let id = format!("pbx-{n}.1");
        history.take(&id, false, None, vec![record(&id, 1, 1_000 * n)]);
    }
    let found = history.calls(&CallFilter { limit: 3, ..CallFilter::default() });
    assert_eq!(ids(&found), ["pbx-12.1-1", "pbx-7.1-1", "pbx-3.1-1"]);
}

fn joined(history: &dyn History) {
    // A consultation that became a transfer: its record keeps its id and changes its conversation.
    let client = record("pbx-1.1", 1, 1_000);
    let mut consultation = record("pbx-2.1", 1, 2_000);
    history.take("pbx-1.1", true, None, vec![client]);
    history.take("pbx-2.1", true, None, vec![consultation.clone()]);
    consultation.conversation = "pbx-1.1".to_owned();
    consultation.lead = false;
    consultation.revision += 1;
    history.take("pbx-2.1", false, Some("pbx-1.1"), vec![]);
    history.take("pbx-1.1", true, None, vec![consultation]);
    let whole = ["pbx-1.1-1", "pbx-2.1-1"];
    assert_eq!(ids(&history.conversation("pbx-1.1")), whole);
    assert_eq!(ids(&history.conversation("pbx-2.1")), whole, "by the name it had");
    // And that one into a third.
    history.take("pbx-1.1", false, Some("pbx-0.1"), vec![]);
    let mut moved = record("pbx-2.1", 1, 2_000);
    (moved.conversation, moved.revision) = ("pbx-0.1".to_owned(), 9_000);
    history.take("pbx-0.1", true, None, vec![moved]);
    assert_eq!(ids(&history.conversation("pbx-2.1")), ["pbx-2.1-1"]);
}

fn recordings(history: &dyn History) {
    let recording = |id: &str| Recording {
        id: id.to_owned(),
        file: format!("2026/11/22/{id}.wav"),
        started_at: Moment(1_500),
        state: None,
        size: None,
    };
    let mut first = record("pbx-1.1", 1, 1_000);
    first.recordings.push(recording("rec-1"));
    let mut second = record("pbx-1.1", 2, 1_100);
    second.recordings = vec![recording("rec-1"), recording("rec-2")];
    history.take("pbx-1.1", true, None, vec![first, second.clone()]);
    let mut both = ids(&history.records_of_recording("rec-1")).into_iter().map(str::to_owned).collect::<Vec<_>>();
    both.sort();
    assert_eq!(both, ["pbx-1.1-1", "pbx-1.1-2"]);
    assert_eq!(ids(&history.records_of_recording("rec-2")), ["pbx-1.1-2"]);
    // One that nobody talked on is dropped.
    second.recordings.remove(1);
    second.revision += 1;
    history.take("pbx-1.1", false, None, vec![second]);
    assert!(history.records_of_recording("rec-2").is_empty());
    assert_eq!(history.records_of_recording("rec-1").len(), 2);
}

fn forgets(history: &dyn History) {
    let mut other = record("pbx-2.1", 1, 2_000);
    other.client_number_normalized = Some("+79990000000".to_owned());
    history.take("pbx-1.1", false, None, vec![record("pbx-1.1", 1, 1_000), record("pbx-1.1", 2, 1_001)]);
    history.take("pbx-2.1", false, None, vec![other]);
    assert_eq!(history.forget("+79161234567"), 2);
    assert_eq!(ids(&history.calls(&CallFilter::default())), ["pbx-2.1-1"]);
    assert_eq!(history.record("pbx-1.1-1"), None);
    assert!(history.conversation("pbx-1.1").is_empty());
    assert_eq!(history.forget("+79161234567"), 0);
}
