//! vTiger's own PBXManager: stories of a record, and what that module is told of each state, byte for byte.
//!
//! The module is played by [`Module`], a table of what a real one was seen to do.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use pinconnector::call::record::{Direction, Record, Recording, RecordingState, Span, Status, TransferKind};
use pinconnector::crm::sender::{self, RecordingLink};
use pinconnector::outbox::{Batch, Delivery, Outcome, Verdict};

use crate::records::{at, bare, stored};
use crate::scripted::{Asked, Reply, Server};
use crate::{SECRET, batch, client, crm, down};

const CALLBACK: &str = "/modules/PBXManager/callbacks/PBXManager.php";
const ID: &str = "msk-1763805600.17-1";

/// Extensions on the cards of vTiger's users.
const USERS: [&str; 2] = ["101", "102"];

fn xml(inside: &str) -> String {
    format!(r#"<?xml version="1.0" encoding="utf-8"?><Response>{inside}</Response>"#)
}

fn failure() -> Reply {
    Reply::new(200, xml("<Authentication>Failure</Authentication>")).with("Content-type", "text/xml; charset=utf-8")
}

fn start_incoming() -> Reply {
    let numbers: String = USERS.map(|user| format!("<Number>SIP/{user}</Number>")).concat();
    Reply::new(200, xml(&format!("<Dial><Authentication>Success</Authentication>{numbers}</Dial>")))
}

fn start_outgoing(to: &str) -> Reply {
    let numbers = format!("<Number>SIP/{to}@trunk1</Number>");
    Reply::new(200, xml(&format!("<Dial><Authentication>Success</Authentication>{numbers}</Dial>")))
}

/// Every other event is answered by nothing, and nothing.
fn taken() -> Reply {
    Reply::new(200, "")
}

fn links() -> RecordingLink {
    Arc::new(|id: &str| Some(format!("https://pbx.example.com/r/{id}")))
}

fn incoming() -> Record {
    Record {
        client_number: Some("89161234567".to_owned()),
        client_number_normalized: Some("+79161234567".to_owned()),
        from: Some("89161234567".to_owned()),
        to: Some("74951234531".to_owned()),
        did: Some("74951234531".to_owned()),
        extension: Some("101".to_owned()),
        trunk: Some("74951234531".to_owned()),
        ..bare(ID, "msk-1763805600.17", 1, Direction::Incoming, Status::Ringing, at("2026-11-22T10:00:00.120Z"))
    }
}

fn outgoing() -> Record {
    Record {
        client_number: Some("84957654321".to_owned()),
        client_number_normalized: Some("+74957654321".to_owned()),
        from: Some("102".to_owned()),
        to: Some("84957654321".to_owned()),
        did: None,
        extension: Some("102".to_owned()),
        direction: Direction::Outgoing,
        ..incoming()
    }
}

fn internal() -> Record {
    Record {
        client_number: None,
        client_number_normalized: None,
        from: Some("101".to_owned()),
        to: Some("102".to_owned()),
        extension: Some("102".to_owned()),
        direction: Direction::Internal,
        ..outgoing()
    }
}

fn answered(record: Record) -> Record {
    Record { status: Status::InProgress, answered_at: Some(at("2026-11-22T10:00:08.000Z")), ..record }
}

fn ended(record: Record, status: Status) -> Record {
    let talk = record.answered_at.map(|_| Span(52_600));
    Record {
        status,
        ended_at: Some(at("2026-11-22T10:01:00.600Z")),
        talk_seconds: talk,
        total_seconds: Some(Span(60_480)),
        ..record
    }
}

fn recorded(record: Record, state: Option<RecordingState>) -> Record {
    let recording = Recording {
        id: "5f1c2ab09d3e4c77".to_owned(),
        file: "2026/11/22/in-101.wav".to_owned(),
        started_at: at("2026-11-22T10:00:08.100Z"),
        state,
        size: None,
    };
    Record { recordings: vec![recording], ..record }
}

/// Tells a fresh module the states one after another, as the outbox would. Gives back what it was told, an event a line,
/// secret left out, an empty line between states; and the outcomes.
fn story(start: Reply, states: &[Record]) -> (String, Vec<Outcome>) {
    let server = Server::start([start]);
    let crm = crm("pbxmanager", &server.url("/crm/"), "");
    let mut client = client(&crm);
    let (mut told, mut text, mut outcomes) = (None, String::new(), Vec::new());
    for (index, state) in states.iter().enumerate() {
        // Enough for every further event of this state.
        (0..8).for_each(|_| server.then(taken()));
        let mut one =
            batch(vec![Delivery { told, ..stored(&Record { revision: index as u64 + 1, ..state.clone() }, 0) }]);
        outcomes.push(sender::send(&mut client, &mut one, &links(), 0));
        told = one.deliveries.remove(0).told;
        for asked in server.asked.try_iter() {
            writeln!(text, "{}", form(&asked)).expect("a string takes everything");
        }
        text.push('\n');
    }
    (text.trim_end().to_owned() + "\n", outcomes)
}

fn form(asked: &Asked) -> String {
    assert_eq!(asked.line(), format!("POST /crm{CALLBACK} HTTP/1.1"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        asked.header("x-pin-signature"),
        None,
        "the secret is in the body: a signature beside it would only help guessing"
    );
    let body = String::from_utf8(asked.body.clone()).expect("ASCII");
    body.strip_prefix(&format!("vtigersignature={SECRET}&")).unwrap_or_else(|| panic!("no secret in {body}")).to_owned()
}

/// The story must be the golden one, and every state of it taken.
fn golden(name: &str, start: Reply, states: &[Record]) {
    let (text, outcomes) = story(start, states);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/pbxmanager").join(format!("{name}.txt"));
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()));
    assert_eq!(text, expected, "{name}");
    let taken = |outcome: &Outcome| matches!(outcome, Outcome::Answered(verdicts) if verdicts[0] == Verdict::Saved);
    assert!(outcomes.iter().all(taken), "{outcomes:?}");
}

#[test]
fn incoming_answered_and_recorded() {
    let talking = recorded(answered(incoming()), None);
    let over = ended(talking.clone(), Status::Completed);
    golden("incoming-answered", start_incoming(), &[incoming(), talking, over]);
}

#[test]
fn incoming_missed_by_a_phone() {
    golden("incoming-missed", start_incoming(), &[incoming(), ended(incoming(), Status::Missed)]);
}

#[test]
fn incoming_missed_in_the_menu_is_nobodys() {
    let menu = Record { extension: None, menu: Some("ivr-main 1".to_owned()), ..incoming() };
    golden("incoming-menu", start_incoming(), &[menu.clone(), ended(menu, Status::Missed)]);
}

#[test]
fn incoming_busy_while_another_phone_answered() {
    golden("incoming-busy", start_incoming(), &[incoming(), ended(incoming(), Status::Busy)]);
}

#[test]
fn incoming_anonymous_is_never_an_empty_number() {
    let anonymous = Record { client_number: None, client_number_normalized: None, from: None, ..incoming() };
    golden("incoming-anonymous", start_incoming(), &[ended(anonymous, Status::Missed)]);
}

#[test]
fn incoming_answered_by_an_extension_that_no_user_has_keeps_its_owner() {
    let states = [incoming(), answered(incoming()), ended(answered(incoming()), Status::Completed)]
        .map(|record| Record { extension: Some("199".to_owned()), ..record });
    let (text, outcomes) = story(start_incoming(), &states);
    assert!(!text.contains("DialAnswer"), "owner 0 is seen by administrators only: {text}");
    assert!(text.contains("StartApp") && text.contains("Normal%20Clearing"), "{text}");
    assert_eq!(outcomes[1], Outcome::Answered(vec![Verdict::Unchanged]));
}

/// The client still hears a greeting when he is told of: whose phone will answer is known later, and whether that is a user's then, too.
#[test]
fn incoming_told_before_a_phone_rang_belongs_to_who_answered() {
    let with = |extension: &str| Record { extension: Some(extension.to_owned()), ..incoming() };
    let states = [
        Record { extension: None, ..incoming() },
        answered(with("102")),
        ended(answered(with("102")), Status::Completed),
    ];
    golden("incoming-greeting", start_incoming(), &states);
    let (text, _) = story(start_incoming(), &[Record { extension: None, ..incoming() }, answered(with("199"))]);
    assert!(!text.contains("DialAnswer"), "nobody's: {text}");
    // One phone after another, the second of which nobody has.
    let (text, _) = story(start_incoming(), &[answered(with("101")), answered(with("199"))]);
    assert_eq!(text.matches("DialAnswer").count(), 1, "{text}");
}

#[test]
fn incoming_seen_only_when_it_was_over() {
    let over = ended(recorded(answered(incoming()), Some(RecordingState::Ready)), Status::Completed);
    golden("incoming-late", start_incoming(), &[over]);
}

#[test]
fn outgoing_answered() {
    let talking = answered(outgoing());
    golden(
        "outgoing-answered",
        start_outgoing("4957654321"),
        &[outgoing(), talking.clone(), ended(talking, Status::Completed)],
    );
}

#[test]
fn outgoing_unanswered_belongs_to_who_called() {
    for (name, status) in [
        ("outgoing-no-answer", Status::NoAnswer),
        ("outgoing-busy", Status::Busy),
        ("outgoing-failed", Status::Failed),
        ("outgoing-cancelled", Status::Cancelled),
    ] {
        golden(name, start_outgoing("4957654321"), &[outgoing(), ended(outgoing(), status)]);
    }
}

#[test]
fn outgoing_from_an_extension_that_no_user_has_is_taken_for_incoming_and_left_its_owner() {
    // The answer lists users instead of the number to dial: the module took the caller for a client.
    let (text, _) = story(start_incoming(), &[outgoing(), ended(answered(outgoing()), Status::Completed)]);
    assert!(!text.contains("DialAnswer"), "{text}");
    assert!(text.contains("Normal%20Clearing"), "{text}");
}

#[test]
fn internal_is_kept_as_well_as_it_can_be() {
    let over = ended(answered(internal()), Status::Completed);
    golden("internal", start_outgoing("ext.102"), &[internal(), over]);
}

#[test]
fn several_exchanges_share_the_cards_extensions() {
    let record = Record { extension: Some("msk/101".to_owned()), ..ended(answered(incoming()), Status::Completed) };
    let (text, _) = story(start_incoming(), &[record]);
    assert!(text.contains("callerid2=101&") || text.contains("callerid2=101\n"), "{text}");
    let record = Record { extension: Some("spb/102".to_owned()), ..ended(answered(outgoing()), Status::Completed) };
    let (text, _) = story(start_outgoing("4957654321"), &[record]);
    assert!(text.contains("channel=PJSIP%2F102-") && text.contains("callerid1=102&"), "{text}");
}

#[test]
fn a_blind_transfer_is_a_record_each() {
    let first = Record {
        transferred_to: Some("102".to_owned()),
        transfer: Some(TransferKind::Blind),
        ..ended(answered(incoming()), Status::Completed)
    };
    let second = Record {
        id: "msk-1763805600.17-2".to_owned(),
        extension: Some("102".to_owned()),
        lead: false,
        transferred_from: Some("101".to_owned()),
        ..first.clone()
    };
    for (record, extension) in [(first, "101"), (second, "102")] {
        let (text, _) = story(start_incoming(), std::slice::from_ref(&record));
        assert!(
            text.lines().all(|line| line.contains(&format!("callUUID={}", record.id)) || line.is_empty()),
            "{text}"
        );
        assert!(text.contains(&format!("callerid2={extension}")), "{text}");
    }
}

#[test]
fn a_phone_tried_again_and_answered_ends_as_answered() {
    let missed = ended(incoming(), Status::NoAnswer);
    let talking = answered(incoming());
    let over = ended(talking.clone(), Status::Completed);
    golden("incoming-again", start_incoming(), &[incoming(), missed, talking, over]);
}

#[test]
fn what_the_module_cannot_hold_costs_no_request() {
    let over = ended(incoming(), Status::Missed);
    let followed_up = Record { follow_up: Some(pinconnector::call::record::FollowUp::CalledBack), ..over.clone() };
    let (text, outcomes) = story(start_incoming(), &[over, followed_up]);
    assert_eq!(text.lines().filter(|line| line.starts_with("callstatus=")).count(), 4, "{text}");
    assert_eq!(outcomes[1], Outcome::Answered(vec![Verdict::Unchanged]));
}

#[test]
fn figures_that_come_later_are_told_without_ending_the_call_again() {
    let over = ended(answered(incoming()), Status::Completed);
    let corrected = Record { talk_seconds: Some(Span(51_000)), ..over.clone() };
    let (text, _) = story(start_incoming(), &[over, corrected]);
    let last: Vec<&str> = text.rsplit("\n\n").next().expect("the last state").lines().collect();
    assert_eq!(last.len(), 1, "{text}");
    assert!(last[0].starts_with("callstatus=EndCall&") && last[0].ends_with("billableseconds=51"), "{text}");
}

#[test]
fn a_recording_is_linked_once_it_can_be_heard() {
    let growing = recorded(answered(incoming()), Some(RecordingState::Recording));
    let ready = recorded(ended(growing.clone(), Status::Completed), Some(RecordingState::Ready));
    let gone = recorded(ready.clone(), Some(RecordingState::Deleted));
    let (text, _) = story(start_incoming(), &[growing, ready, gone]);
    assert_eq!(text.matches("callstatus=Record&").count(), 1, "{text}");
    let (_, told) = text.split_once("\n\n").expect("two states");
    assert!(told.starts_with("callstatus=Record&"), "{text}");
}

#[test]
fn a_link_that_the_column_would_cut_is_not_sent() {
    let server = Server::start([start_incoming()]);
    let crm = crm("pbxmanager", &server.url(""), "");
    let mut client = client(&crm);
    (0..8).for_each(|_| server.then(taken()));
    let record = ended(recorded(answered(incoming()), Some(RecordingState::Ready)), Status::Completed);
    let link: RecordingLink = Arc::new(|_| Some(format!("https://pbx.example.com/r/{}", "x".repeat(200))));
    sender::send(&mut client, &mut batch(vec![stored(&record, 0)]), &link, 0);
    let names: Vec<String> = server.asked.try_iter().map(|a| event_name(&a)).collect();
    assert_eq!(names, ["StartApp", "DialAnswer", "EndCall", "Hangup"]);
}

#[test]
fn numbers_are_sent_so_that_no_wrong_client_is_found() {
    let number = |given: &str, normalized: Option<&str>, more: &str| {
        let server = Server::start([start_incoming()]);
        let crm = crm("pbxmanager", &server.url(""), more);
        let record = Record {
            client_number: Some(given.to_owned()),
            client_number_normalized: normalized.map(str::to_owned),
            ..incoming()
        };
        sender::send(&mut client(&crm), &mut batch(vec![stored(&record, 0)]), &links(), 0);
        let body = String::from_utf8(server.next().body).expect("ASCII");
        body.split('&').find_map(|p| p.strip_prefix("callerIdNumber=")).expect("a number").to_owned()
    };
    // A space before it, as no card has it: else the mobile of an employee who calls in makes it an outgoing call.
    // The last ten digits find a card written +7… and one written 8….
    assert_eq!(number("89161234567", Some("+79161234567"), ""), "%209161234567");
    assert_eq!(number("12025550143", Some("+12025550143"), ""), "%202025550143");
    // Elsewhere the number of national digits differs: as Asterisk gave it, or as the operator knows it.
    assert_eq!(number("0301234567", Some("+49301234567"), ""), "%200301234567");
    assert_eq!(number("0301234567", Some("+49301234567"), "lookup_digits = 9"), "%20301234567");
    assert_eq!(number("+49301234567", Some("+49301234567"), ""), "%20%2B49301234567");
    // Too short for LIKE '…%'.
    assert_eq!(number("67", None, ""), "tel.67");
    assert_eq!(number("112", None, ""), "tel.112");
    assert_eq!(number("123456", None, ""), "tel.123456");
    assert_eq!(number("1234567", None, ""), "%201234567");
    // Asterisk's caller may write anything; the module puts it into SQL as it is.
    assert_eq!(number("\" OR 1=1 -- ", None, ""), "tel.OR11");
    assert_eq!(number("%", None, ""), "anonymous");
    assert_eq!(number("", None, ""), "anonymous");
    assert_eq!(number("Иван", None, ""), "anonymous");
    assert_eq!(number("%_\\'\"89161234567", None, ""), "%2089161234567");
}

#[test]
fn a_wrong_secret_is_a_fault_of_the_crm_although_its_status_is_200() {
    let server = Server::start([failure(), start_incoming(), failure()]);
    let crm = crm("pbxmanager", &server.url(""), "");
    let mut client = client(&crm);
    let mut one = batch(vec![stored(&ended(incoming(), Status::Missed), 0)]);
    let why = down(sender::send(&mut client, &mut one, &links(), 0));
    assert!(why.contains("secret") && why.contains("PBXManager"), "{why}");
    assert_eq!(one.deliveries[0].told, None, "nothing was taken");
    let why = down(sender::send(&mut client, &mut one, &links(), 0));
    assert!(why.contains("secret"), "{why}");
    assert!(one.deliveries[0].told.is_some(), "the record is there: it must not be made twice");
}

#[test]
fn what_is_no_answer_of_that_module_is_a_fault_of_the_crm() {
    for (reply, word) in [
        (Reply::new(200, "<html><title>vtiger</title><input type=\"password\"></html>"), "login page"),
        (Reply::new(200, ""), "no answer of vTiger's own PBXManager"),
        (Reply::new(500, ""), "PHP died"),
        (Reply::new(404, "no"), "url"),
        (Reply::new(302, "").with("Location", "/index.php"), "redirects to /index.php"),
        (Reply::Raw(Vec::new()), "closed"),
    ] {
        let server = Server::start([reply]);
        let mut one = batch(vec![stored(&incoming(), 0)]);
        let why = down(sender::send(&mut client(&crm("pbxmanager", &server.url(""), "")), &mut one, &links(), 0));
        assert!(why.contains(word), "{why}");
        assert_eq!(one.deliveries[0].told, None);
    }
}

/// The CRM fails at every event in turn, in every way: at the end each was taken exactly once, in order.
#[test]
fn a_crm_that_fails_in_the_middle_is_told_the_rest_when_it_is_back() {
    let over = ended(recorded(answered(incoming()), Some(RecordingState::Ready)), Status::Completed);
    for fails_at in 0..5 {
        let mut script: Vec<Reply> = (0..fails_at).map(|n| if n == 0 { start_incoming() } else { taken() }).collect();
        script.extend([Reply::new(500, ""), failure(), Reply::new(200, "<html>proxy</html>")]);
        script.extend((fails_at..5).map(|n| if n == 0 { start_incoming() } else { taken() }));
        let server = Server::start(script);
        let crm = crm("pbxmanager", &server.url(""), "");
        let mut client = client(&crm);
        let mut one = batch(vec![stored(&over, 0)]);
        for _ in 0..3 {
            down(sender::send(&mut client, &mut one, &links(), 0));
        }
        let outcome = sender::send(&mut client, &mut one, &links(), 0);
        assert_eq!(outcome, Outcome::Answered(vec![Verdict::Saved]), "failed at {fails_at}");
        let mut names: Vec<String> = server.asked.try_iter().map(|a| event_name(&a)).collect();
        // Three of the same in a row were not taken.
        names.drain(fails_at..fails_at + 3);
        assert_eq!(names, ["StartApp", "DialAnswer", "Record", "EndCall", "Hangup"]);
        assert_eq!(sender::send(&mut client, &mut one, &links(), 0), Outcome::Answered(vec![Verdict::Unchanged]));
    }
}

#[test]
fn of_several_records_each_has_its_own_memory() {
    let second = Record { id: "msk-1763805600.18-1".to_owned(), ..ended(outgoing(), Status::Busy) };
    let server = Server::start([start_incoming(), taken(), taken(), taken(), Reply::new(500, "")]);
    let crm = crm("pbxmanager", &server.url(""), "batch = 10");
    let mut client = client(&crm);
    let mut both: Batch = batch(vec![stored(&ended(incoming(), Status::Missed), 0), stored(&second, 0)]);
    down(sender::send(&mut client, &mut both, &links(), 0));
    assert!(both.deliveries[0].told.is_some() && both.deliveries[1].told.is_none());
    server.then(start_outgoing("4957654321"));
    (0..3).for_each(|_| server.then(taken()));
    let outcome = sender::send(&mut client, &mut both, &links(), 0);
    assert_eq!(outcome, Outcome::Answered(vec![Verdict::Unchanged, Verdict::Saved]));
}

#[test]
fn a_record_that_cannot_be_read_holds_up_nobody() {
    let server = Server::start([start_incoming()]);
    let crm = crm("pbxmanager", &server.url(""), "");
    let broken = Delivery { body: "{}".into(), ..stored(&incoming(), 0) };
    let forgotten = Delivery { told: Some("nonsense".into()), ..stored(&incoming(), 0) };
    let mut all = batch(vec![broken, forgotten, stored(&incoming(), 0)]);
    let Outcome::Answered(verdicts) = sender::send(&mut client(&crm), &mut all, &links(), 0) else { panic!("down") };
    assert!(matches!(&verdicts[0], Verdict::Rejected { reason } if reason.contains("the stored record is unreadable")));
    assert!(
        matches!(&verdicts[1], Verdict::Rejected { reason } if reason.contains("memory")),
        "told twice would be made twice"
    );
    assert_eq!(verdicts[2], Verdict::Saved);
}

fn event_name(asked: &Asked) -> String {
    let body = String::from_utf8(asked.body.clone()).expect("ASCII");
    body.split('&').find_map(|p| p.strip_prefix("callstatus=")).expect("a callstatus").to_owned()
}
