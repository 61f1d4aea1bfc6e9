//! The keeper with a real database: stored before sent, one batch per record, and what every outcome does.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use crossbeam_channel::bounded;
use pinconnector::call::Record;
use pinconnector::call::record::{Direction, EndedBy, FollowUp, Moment, Span, Status};
use pinconnector::outbox::{Outcome, Verdict};
use pinconnector::store::reader::CallFilter;
use pinconnector::store::rows::{Inheritance, LastWord, Rows};
use pinconnector::store::{Alarm, DestinationKind, Input, Order, Reader};
use store_support::*;

#[test]
fn a_record_is_stored_then_sent_and_acknowledged_away() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let at = now_ms();
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])], 7);
    let reader = Reader::open(&desk.path).unwrap();
    assert_eq!(reader.record("pbx-1.1-1").unwrap().unwrap(), record("pbx-1.1", 1, at), "committed when released");

    let batch = desk.batch();
    assert_eq!(batch.crm, "crm");
    assert_eq!(contents(&batch), [("pbx-1.1-1", at as u64)]);
    assert_eq!(
        serde_json::from_str::<pinconnector::call::Record>(&batch.deliveries[0].body).unwrap(),
        record("pbx-1.1", 1, at)
    );
    assert_eq!(reader.destinations().unwrap()[0].waiting, 1, "it waits until it is acknowledged");
    desk.saved(batch);
    until("the row is gone", || reader.destinations().unwrap()[0].waiting == 0);
    desk.stop();
}

#[test]
fn an_acknowledgement_deletes_only_what_it_was_for() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let at = now_ms();
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])]);
    let first = desk.batch();
    let mut newer = record("pbx-1.1", 1, at);
    newer.revision += 1;
    newer.status = Status::InProgress;
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![newer.clone()])], 1);
    assert!(desk.batches.try_recv().is_err(), "a record is in at most one batch");
    desk.saved(first);
    let second = desk.batch();
    assert_eq!(contents(&second), [("pbx-1.1-1", at as u64 + 1)]);
    desk.saved(second);
    let reader = Reader::open(&desk.path).unwrap();
    until("the row is gone", || reader.destinations().unwrap()[0].waiting == 0);
    desk.stop();
}

#[test]
fn a_record_that_turns_out_to_be_another_crms_is_taken_back_without_telling_more() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let (crm, batches) = destination("crm", 2, 50);
    let (second, second_batches) = destination("second", 2, 50);
    desk.keeper.inputs.send(Input::Destinations(vec![crm, second])).unwrap();
    let at = now_ms();
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])]);
    let first = batches.recv_timeout(PATIENCE).unwrap();
    desk.saved(first);
    // The phone that rings says whose call it is.
    let mut moved = record("pbx-1.1", 1, at);
    (moved.revision, moved.crm) = (moved.revision + 1, Some("second".to_owned()));
    desk.save(vec![change("pbx-1.1", true, vec![moved.clone()])]);
    let (theirs, ours) = (second_batches.recv_timeout(PATIENCE).unwrap(), batches.recv_timeout(PATIENCE).unwrap());
    assert_eq!(
        serde_json::from_str::<pinconnector::call::Record>(&theirs.deliveries[0].body).unwrap(),
        moved,
        "whose it is gets all of it"
    );
    let told: pinconnector::call::Record = serde_json::from_str(&ours.deliveries[0].body).unwrap();
    assert_eq!((told.superseded_by.as_deref(), told.revision), (Some("pbx-1.1-1"), moved.revision));
    assert!(told.status.is_final() && told.client_number.is_none() && told.extension.is_none() && told.crm.is_none());
    desk.saved(theirs);
    desk.saved(ours);
    let reader = Reader::open(&desk.path).unwrap();
    until("nothing waits", || reader.destinations().unwrap().iter().all(|state| state.waiting == 0));
    // From now on it is nobody else's.
    moved.revision += 1;
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![moved])], 1);
    desk.saved(second_batches.recv_timeout(PATIENCE).unwrap());
    until("nothing waits", || reader.destinations().unwrap().iter().all(|state| state.waiting == 0));
    assert!(batches.try_recv().is_err());
    desk.stop();
}

#[test]
fn a_rejected_record_is_parked_and_a_newer_revision_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])]);
    let batch = desk.batch();
    desk.report(batch, Outcome::Answered(vec![Verdict::Rejected { reason: "no such user".into() }]));
    assert_eq!(
        desk.alarm(),
        Alarm::Parked { name: "crm".into(), item: "pbx-1.1-1".into(), reason: "no such user".into() }
    );
    let reader = Reader::open(&desk.path).unwrap();
    until("it is parked", || reader.destinations().unwrap()[0].parked == 1);
    assert_eq!(reader.outbox(None, 10).unwrap()[0].parked.as_deref(), Some("no such user"));
    // Others pass it by.
    desk.save(vec![change("pbx-2.1", true, vec![record("pbx-2.1", 1, at)])]);
    let other = desk.batch();
    assert_eq!(contents(&other), [("pbx-2.1-1", at as u64)]);
    desk.saved(other);
    let mut newer = record("pbx-1.1", 1, at);
    newer.revision += 1;
    desk.save(vec![change("pbx-1.1", true, vec![newer])]);
    let again = desk.batch();
    assert_eq!(contents(&again), [("pbx-1.1-1", at as u64 + 1)]);
    desk.report(again, Outcome::Answered(vec![Verdict::Rejected { reason: "still".into() }]));
    until("it is parked again", || reader.destinations().unwrap()[0].parked == 1);
    // By hand.
    let (answer, answered) = bounded(1);
    desk.keeper.inputs.send(Input::Order(Order::Retry { rows: Rows::All, answer })).unwrap();
    assert_eq!(answered.recv_timeout(PATIENCE).unwrap().unwrap(), 1);
    let batch = desk.batch();
    desk.saved(batch);
    until("nothing waits", || {
        let state = reader.destinations().unwrap().remove(0);
        (state.waiting, state.parked) == (0, 0)
    });
    desk.stop();
}

#[test]
fn a_refused_batch_is_sent_singly_and_only_the_culprit_is_parked() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    // The first occupies the only sender, so that the others come together.
    desk.save(vec![change("pbx-0.1", true, vec![record("pbx-0.1", 1, at)])]);
    let first = desk.batch();
    let items = (1..=5).map(|n| change(&format!("pbx-{n}.1"), true, vec![record(&format!("pbx-{n}.1"), 1, at)]));
    desk.save_and_wait(items.collect(), 1);
    desk.saved(first);
    let five = desk.batch();
    assert_eq!(five.deliveries.len(), 5);
    desk.report(five, Outcome::BatchRefused { why: "422".into() });
    for _ in 0..5 {
        let single = desk.batch();
        assert_eq!(single.deliveries.len(), 1);
        if single.deliveries[0].record_id == "pbx-3.1-1" {
            desk.report(single, Outcome::BatchRefused { why: "422 no".into() });
        } else {
            desk.saved(single);
        }
    }
    let reader = Reader::open(&desk.path).unwrap();
    until("four arrived", || reader.destinations().unwrap()[0].waiting == 0);
    let rows = reader.outbox(None, 10).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].item.as_str(), rows[0].parked.as_deref()), ("pbx-3.1-1", Some("422 no")));
    desk.stop();
}

#[test]
fn a_fault_of_the_crm_parks_nothing_and_it_is_probed_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let at = now_ms();
    for n in 1..=3 {
        desk.save(vec![change(&format!("pbx-{n}.1"), true, vec![record(&format!("pbx-{n}.1"), 1, at)])]);
    }
    let down = || Outcome::CrmDown { why: "401".into(), retry_after_s: None };
    let batch = desk.batch();
    desk.report(batch, down());
    assert_eq!(desk.alarm(), Alarm::DestinationDown { name: "crm".into(), why: "401".into() });
    // Whatever was already under way comes back; then one probe at a time.
    let reader = Reader::open(&desk.path).unwrap();
    until("the fault is noted", || {
        while let Ok(batch) = desk.batches.try_recv() {
            desk.report(batch, down());
        }
        reader.destinations().unwrap()[0].last_error.as_deref() == Some("401")
    });
    assert_eq!(reader.destinations().unwrap()[0].parked, 0);
    assert!(reader.destinations().unwrap()[0].down_since_ms.is_some());
    let probe = desk.batch();
    assert_eq!(probe.deliveries.len(), 1, "one record to see");
    desk.saved(probe);
    while !matches!(desk.alarm(), Alarm::DestinationUp { .. }) {}
    until("all arrived", || {
        while let Ok(batch) = desk.batches.try_recv() {
            desk.saved(batch);
        }
        reader.destinations().unwrap()[0].waiting == 0
    });
    assert_eq!(reader.destinations().unwrap()[0].down_since_ms, None);
    desk.stop();
}

#[test]
fn a_receiver_that_knows_a_later_revision_is_overtaken() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])]);
    let far = at as u64 + 1_000_000;
    let batch = desk.batch();
    desk.report(batch, Outcome::Answered(vec![Verdict::Stale { has: far }]));
    let raised = desk.batch();
    assert_eq!(contents(&raised), [("pbx-1.1-1", far + 1)]);
    assert!(raised.deliveries[0].body.contains(&format!("\"revision\":{}", far + 1)), "in the body, too");
    // The core does not know of it; its next revision is lifted above.
    let mut newer = record("pbx-1.1", 1, at);
    newer.revision += 5;
    newer.status = Status::InProgress;
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![newer])], 1);
    desk.saved(raised);
    let last = desk.batch();
    assert_eq!(contents(&last), [("pbx-1.1-1", far + 2)]);
    desk.saved(last);
    desk.stop();
}

/// A finished call with the client of [`record`].
fn finished(id: &str, at: i64, direction: Direction, status: Status) -> pinconnector::call::Record {
    let mut call = record(id, 1, at);
    call.direction = direction;
    call.status = status;
    call.ended_at = Some(Moment(at + 10_000));
    if status == Status::Completed {
        call.answered_at = Some(Moment(at + 5_000));
    }
    if status == Status::Missed {
        call.follow_up = Some(FollowUp::Open);
    }
    call
}

#[test]
fn missed_calls_are_followed_up() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let start = now_ms() - 3_600_000;
    let stored = |id: &str| Reader::open(&desk.path).unwrap().record(id).unwrap().unwrap();
    let over = |id: &str, at: i64, direction, status| change(id, false, vec![finished(id, at, direction, status)]);

    desk.save_and_wait(vec![over("pbx-1.1", start, Direction::Incoming, Status::Missed)], 1);
    assert_eq!(stored("pbx-1.1-1").follow_up, Some(FollowUp::Open));
    // We ring back in vain, twice; the same record written again does not count twice.
    let first_try = over("pbx-2.1", start + 60_000, Direction::Outgoing, Status::NoAnswer);
    desk.save_and_wait(vec![first_try], 2);
    desk.save_and_wait(vec![over("pbx-2.1", start + 60_000, Direction::Outgoing, Status::NoAnswer)], 3);
    desk.save_and_wait(vec![over("pbx-3.1", start + 90_000, Direction::Outgoing, Status::Busy)], 4);
    let tried = stored("pbx-1.1-1");
    assert_eq!((tried.follow_up, tried.follow_up_tries), (Some(FollowUp::Tried), Some(2)));
    // Another client's call changes nothing.
    let mut other = finished("pbx-4.1", start + 95_000, Direction::Outgoing, Status::Completed);
    other.client_number_normalized = Some("+79160000000".into());
    desk.save_and_wait(vec![change("pbx-4.1", false, vec![other])], 5);
    assert_eq!(stored("pbx-1.1-1").follow_up, Some(FollowUp::Tried));
    // Then we speak.
    desk.save_and_wait(vec![over("pbx-5.1", start + 120_000, Direction::Outgoing, Status::Completed)], 6);
    let settled = stored("pbx-1.1-1");
    assert_eq!(settled.follow_up, Some(FollowUp::CalledBack));
    assert_eq!(settled.follow_up_call.as_deref(), Some("pbx-5.1-1"));
    assert_eq!(settled.followed_up_at, Some(Moment(start + 125_000)));
    assert!(settled.revision > tried.revision);

    // The next one gets through by himself; one from eight days before is too old for that.
    let old = start - 8 * 86_400_000;
    desk.save_and_wait(vec![over("pbx-0.1", old, Direction::Incoming, Status::Missed)], 7);
    desk.save_and_wait(vec![over("pbx-6.1", start + 200_000, Direction::Incoming, Status::Missed)], 8);
    desk.save_and_wait(vec![over("pbx-7.1", start + 300_000, Direction::Incoming, Status::Completed)], 9);
    assert_eq!(stored("pbx-6.1-1").follow_up, Some(FollowUp::ClientGotThrough));
    assert_eq!(stored("pbx-0.1-1").follow_up, Some(FollowUp::Open));
    let reader = Reader::open(&desk.path).unwrap();
    let waiting = reader.calls(&CallFilter { to_call_back: true, ..CallFilter::default() }).unwrap();
    assert_eq!(waiting.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["pbx-0.1-1"]);
    // By hand, once.
    for changed in [true, false] {
        let (answer, answered) = bounded(1);
        let order = Order::FollowUp { record_id: "pbx-0.1-1".into(), follow_up: FollowUp::Closed, answer };
        desk.keeper.inputs.send(Input::Order(order)).unwrap();
        assert_eq!(answered.recv_timeout(PATIENCE).unwrap().unwrap(), changed);
    }
    assert_eq!(stored("pbx-0.1-1").follow_up, Some(FollowUp::Closed));
    desk.stop();
}

#[test]
fn a_client_reached_while_his_other_call_was_still_waiting_is_not_to_be_called_back() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let start = now_ms() - 3_600_000;
    let reached = finished("pbx-2.1", start + 60_000, Direction::Incoming, Status::Completed);
    desk.save_and_wait(vec![change("pbx-2.1", false, vec![reached])], 1);
    let missed = finished("pbx-1.1", start, Direction::Incoming, Status::Missed);
    desk.save_and_wait(vec![change("pbx-1.1", false, vec![missed])], 2);
    let stored = Reader::open(&desk.path).unwrap().record("pbx-1.1-1").unwrap().unwrap();
    assert_eq!(stored.follow_up, Some(FollowUp::ClientGotThrough));
    assert_eq!(stored.follow_up_call.as_deref(), Some("pbx-2.1-1"));
    desk.stop();
}

#[test]
fn calls_of_now_pass_the_backlog_and_one_batch_in_four_is_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    // Twelve records of yesterday wait, as after an outage.
    let desk = open(&settings, 1, 3);
    let now = now_ms();
    let old = |n: i64| record(&format!("pbx-{n}.1"), 1, now - 86_400_000 + n);
    let down = Outcome::CrmDown { why: "503".into(), retry_after_s: Some(3_600) };
    desk.save_and_wait((1..=12).map(|n| change(&format!("pbx-{n}.1"), false, vec![old(n)])).collect(), 1);
    let first = desk.batch();
    desk.report(first, down);
    while !matches!(desk.alarm(), Alarm::DestinationDown { .. }) {}
    desk.stop();
    let connection = rusqlite::Connection::open(&settings.path).unwrap();
    // They were put there just now; make them as old as their calls.
    connection.execute("UPDATE outbox SET state = 0, changed_at = revision, since = revision", []).unwrap();
    drop(connection);

    let desk = open(&settings, 1, 3);
    let mut order = Vec::new();
    for round in 0..5 {
        let batch = desk.batch();
        order.push(contents(&batch).iter().map(|(id, _)| (*id).to_owned()).collect::<Vec<_>>().join(" "));
        if round == 1 {
            desk.save_and_wait(vec![change("pbx-99.1", true, vec![record("pbx-99.1", 1, now)])], 2);
        }
        desk.saved(batch);
    }
    assert_eq!(
        order,
        [
            "pbx-10.1-1 pbx-11.1-1 pbx-12.1-1",
            "pbx-7.1-1 pbx-8.1-1 pbx-9.1-1",
            "pbx-99.1-1",
            "pbx-1.1-1 pbx-2.1-1 pbx-3.1-1",
            "pbx-4.1-1 pbx-5.1-1 pbx-6.1-1",
        ]
    );
    desk.stop();
}

#[test]
fn a_second_history_is_fed_whole_conversations_through_the_same_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let (mut history, conversations) = destination("mongodb", 1, 10);
    history.kind = DestinationKind::History;
    let (crm, batches) = destination("crm", 1, 50);
    desk.keeper.inputs.send(Input::Destinations(vec![crm, history])).unwrap();
    let at = now_ms();
    let body = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let next = || conversations.recv_timeout(PATIENCE).expect("a batch for the history");

    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at), record("pbx-1.1", 2, at + 1)])]);
    let batch = next();
    assert_eq!(batch.crm, "mongodb");
    assert_eq!(batch.deliveries[0].record_id, "pbx-1.1");
    let whole = body(&batch.deliveries[0].body);
    assert_eq!(whole["calls"].as_array().unwrap().len(), 2);
    assert_eq!(whole.get("joined_into"), None);
    let first_revision = batch.deliveries[0].revision;
    desk.saved(batch);
    // The CRM gets its records as ever.
    let both = batches.recv_timeout(PATIENCE).unwrap();
    assert_eq!(both.deliveries.len(), 2);
    desk.saved(both);

    // A receiver that knows more than we remember is overtaken; later revisions are above that, too.
    let mut newer = record("pbx-1.1", 1, at);
    newer.revision += 9;
    desk.save(vec![change("pbx-1.1", true, vec![newer])]);
    let batch = next();
    assert!(batch.deliveries[0].revision > first_revision);
    let far = batch.deliveries[0].revision + 1_000_000;
    desk.report(batch, Outcome::Answered(vec![Verdict::Stale { has: far }]));
    let batch = next();
    assert_eq!(batch.deliveries[0].revision, far + 1);
    desk.saved(batch);

    // Joined: the tombstone names the other, and waits until that one was taken.
    let mut joined = change("pbx-1.1", false, vec![]);
    if let pinconnector::store::Item::Change(change) = &mut joined {
        change.joined_into = Some("pbx-0.1".into());
    }
    let mut moved = record("pbx-1.1", 1, at);
    (moved.conversation, moved.revision) = ("pbx-0.1".into(), at as u64 + 20);
    let mut second = record("pbx-1.1", 2, at);
    (second.conversation, second.revision) = ("pbx-0.1".into(), at as u64 + 20);
    desk.save(vec![joined, change("pbx-0.1", true, vec![moved, second])]);
    let batch = next();
    assert!(batch.deliveries.iter().all(|d| d.revision > far), "{batch:?}");
    assert_eq!(batch.deliveries.len(), 1);
    assert_eq!(body(&batch.deliveries[0].body)["calls"].as_array().unwrap().len(), 2);
    desk.saved(batch);
    let batch = next();
    assert_eq!(batch.deliveries.len(), 1);
    assert_eq!(
        body(&batch.deliveries[0].body),
        serde_json::json!({"conversation": "pbx-1.1", "joined_into": "pbx-0.1", "calls": []})
    );
    desk.saved(batch);

    // Forgotten: nothing is left of it.
    let (answer, answers) = bounded(1);
    desk.keeper.inputs.send(Input::Order(Order::Forget { number: "+79161234567".into(), answer })).unwrap();
    let forgotten = answers.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(forgotten.records, 2);
    let batch = next();
    let of = |id: &str| body(&batch.deliveries.iter().find(|d| d.record_id == id).unwrap().body);
    assert_eq!(of("pbx-0.1"), serde_json::json!({"conversation": "pbx-0.1", "calls": []}));
    // And what that history has of the client beyond what is here.
    assert_eq!(of("forget +79161234567"), serde_json::json!({"forget": "+79161234567"}));
    desk.saved(batch);
    desk.stop();
}

#[test]
fn what_a_crm_was_told_is_remembered_beyond_the_row_and_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let desk = open(&settings, 1, 50);
    let at = now_ms();
    let revision = |n: u64| {
        let mut call = record("pbx-1.1", 1, at);
        call.revision += n;
        change("pbx-1.1", true, vec![call])
    };
    desk.save(vec![revision(0)]);
    let mut batch = desk.batch();
    assert_eq!(batch.deliveries[0].told, None);
    batch.deliveries[0].told = Some("StartApp".into());
    desk.saved(batch);
    let reader = Reader::open(&desk.path).unwrap();
    until("the row is gone", || reader.outbox(None, 1).unwrap().is_empty());
    desk.save(vec![revision(1)]);
    let mut batch = desk.batch();
    assert_eq!(batch.deliveries[0].told.as_deref(), Some("StartApp"));
    // Told one thing more, and then silence: what was said stays said.
    batch.deliveries[0].told = Some("StartApp DialAnswer".into());
    desk.report(batch, Outcome::CrmDown { why: "silence".into(), retry_after_s: Some(3_600) });
    assert!(matches!(desk.alarm(), Alarm::DestinationDown { .. }));
    desk.save_and_wait(vec![revision(2)], 1);
    drop(reader);
    desk.stop();
    let desk = open(&settings, 1, 50);
    let batch = desk.batch();
    assert_eq!(contents(&batch), [("pbx-1.1-1", at as u64 + 2)]);
    assert_eq!(batch.deliveries[0].told.as_deref(), Some("StartApp DialAnswer"));
    desk.saved(batch);
    desk.stop();
}

#[test]
fn a_record_not_judged_waits_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])]);
    let batch = desk.batch();
    desk.report(batch, Outcome::Answered(vec![Verdict::Retry { why: "locked".into() }]));
    desk.save(vec![change("pbx-2.1", true, vec![record("pbx-2.1", 1, at)])]);
    let other = desk.batch();
    assert_eq!(contents(&other), [("pbx-2.1-1", at as u64)], "the others go on");
    desk.saved(other);
    let again = desk.batch();
    assert_eq!(contents(&again), [("pbx-1.1-1", at as u64)], "after a second");
    desk.saved(again);
    desk.stop();
}

#[test]
fn who_follows_sends_nothing_and_takes_over_what_the_other_had_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    desk.keeper.inputs.send(Input::Deliver(false)).unwrap();
    let at = now_ms();
    // Heard by both: one the other has delivered, one it has not, one that ended after its last word.
    for n in ["1.1", "2.1"] {
        desk.save_and_wait(vec![change(&format!("pbx-{n}"), false, vec![record(&format!("pbx-{n}"), 1, at)])], 1);
    }
    let stored_ms = now_ms();
    until("the clock has gone on", || now_ms() > stored_ms);
    let last_word_ms = now_ms();
    desk.save_and_wait(vec![change("pbx-3.1", false, vec![record("pbx-3.1", 1, at)])], 2);
    assert!(desk.batches.try_recv().is_err(), "the other one delivers");

    // The fourth was over before this one was started.
    let undelivered = ["pbx-2.1", "pbx-4.1"].map(|n| ("crm".to_owned(), record(n, 1, at - 5)));
    let inheritance = Inheritance {
        undelivered: undelivered.to_vec(),
        delivered_before_ms: Some(last_word_ms),
        // What was going on is our own word.
        open: ["pbx-2.1".to_owned()].into(),
        over: Vec::new(),
    };
    assert_eq!(inherit(&desk, inheritance), 3);
    assert!(desk.batches.try_recv().is_err(), "not before it is told to");

    desk.keeper.inputs.send(Input::Deliver(true)).unwrap();
    let mut sent = Vec::new();
    while sent.len() < 3 {
        let batch = desk.batch();
        sent.extend(batch.deliveries.iter().map(|d| (d.record_id.clone(), d.revision)));
        desk.saved(batch);
    }
    sent.sort();
    let of = |id: &str, revision: i64| (format!("{id}-1"), revision as u64);
    assert_eq!(sent, [of("pbx-2.1", at), of("pbx-3.1", at), of("pbx-4.1", at - 5)], "what both knew is our own word");
    let reader = Reader::open(&desk.path).unwrap();
    until("nothing waits", || reader.destinations().unwrap()[0].waiting == 0);
    assert!(reader.record("pbx-4.1-1").unwrap().is_some(), "and is in the history here, too");
    desk.stop();
}

/// Has the keeper take over what another one left, and answers how many records wait then.
fn inherit(desk: &Desk, inheritance: Inheritance) -> u64 {
    let (answer, answers) = bounded(1);
    let order = Order::Inherit { inheritance: Box::new(inheritance), answer };
    desk.keeper.inputs.send(Input::Order(order)).unwrap();
    answers.recv_timeout(PATIENCE).unwrap().unwrap()
}

#[test]
fn what_was_over_by_the_other_ones_word_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    desk.keeper.inputs.send(Input::Deliver(false)).unwrap();
    let at = now_ms();
    // Started in the middle of the first: a record of its own numbering, and one with its own idea of the end.
    let mut middle = record("pbx-1.1", 1, at);
    middle.id = "pbx-1.1-1001".into();
    desk.save_and_wait(vec![change("pbx-1.1", false, vec![record("pbx-1.1", 1, at + 9), middle])], 2);
    let theirs = |conversation: &str| Record {
        status: Status::Completed,
        ended_by: Some(EndedBy::Client),
        talk_seconds: Some(Span(5_000)),
        ..record(conversation, 1, at)
    };
    let of_another_phone = Record { id: "pbx-1.1-2".into(), lead: false, ..theirs("pbx-1.1") };
    let word = LastWord {
        conversation: "pbx-1.1".into(),
        joined: vec!["pbx-1.5".into()],
        calls: vec![theirs("pbx-1.1"), of_another_phone],
    };
    assert_eq!(inherit(&desk, Inheritance { over: vec![word], ..Inheritance::default() }), 2);

    // The core goes on to believe what it has seen.
    let mut late = record("pbx-1.1", 1, at + 20);
    late.status = Status::NoAnswer;
    desk.save(vec![change("pbx-1.1", false, vec![late])]);
    desk.keeper.inputs.send(Input::Deliver(true)).unwrap();
    let mut sent = Vec::new();
    while sent.len() < 2 {
        let batch = desk.batch();
        sent.extend(batch.deliveries.iter().map(|d| serde_json::from_str::<Record>(&d.body).unwrap()));
        desk.saved(batch);
    }
    sent.sort_by(|one, two| one.id.cmp(&two.id));
    assert_eq!(
        sent[0],
        Record { revision: (at + 9) as u64, ..theirs("pbx-1.1") },
        "his word, above what we may have said"
    );
    assert_eq!((&*sent[1].id, sent[1].superseded_by.as_deref()), ("pbx-1.1-1001", Some("pbx-1.1-1")), "taken back");
    let reader = Reader::open(&desk.path).unwrap();
    until("nothing waits", || reader.destinations().unwrap()[0].waiting == 0);
    let kept = reader.conversation("pbx-1.1").unwrap();
    assert_eq!(kept.iter().filter(|record| record.superseded_by.is_none()).count(), 2, "the conversation is whole");
    assert!(kept.iter().any(|record| record.id == "pbx-1.1-1" && record.status == Status::Completed));
    assert_eq!(reader.conversation("pbx-1.5").unwrap(), kept, "and by the name of what was joined into it");
    desk.stop();
}

#[test]
fn what_had_not_arrived_is_sent_as_it_ended_for_the_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    desk.keeper.inputs.send(Input::Deliver(false)).unwrap();
    let at = now_ms();
    for n in ["pbx-1.1", "pbx-2.1"] {
        desk.save_and_wait(vec![change(n, false, vec![record(n, 1, at)])], 1);
    }
    let theirs = |n: &str| Record { status: Status::Busy, ..record(n, 1, at - 5) };
    let inheritance = Inheritance {
        undelivered: ["pbx-1.1", "pbx-2.1"].map(|n| ("crm".to_owned(), theirs(n))).to_vec(),
        // The second one goes on by his last word, so ours is the later one.
        open: ["pbx-2.1".to_owned()].into(),
        ..Inheritance::default()
    };
    assert_eq!(inherit(&desk, inheritance), 2);
    let reader = Reader::open(&desk.path).unwrap();
    let status = |id: &str| reader.record(id).unwrap().unwrap().status;
    assert_eq!((status("pbx-1.1-1"), status("pbx-2.1-1")), (Status::Busy, record("pbx-2.1", 1, at).status));
    desk.stop();
}
