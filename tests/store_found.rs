//! What is stored afterwards: calls found in Asterisk's records, each once; and what a CRM keeps of a call that became another's.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use crossbeam_channel::bounded;
use pinconnector::call::Record;
use pinconnector::call::record::{FollowUp, Moment, Source, Status};
use pinconnector::clock::Now;
use pinconnector::outbox::{Outcome, Verdict};
use pinconnector::store::reader::CallFilter;
use pinconnector::store::rows::FoundCall;
use pinconnector::store::{Input, Order, Reader};
use store_support::*;

/// A missed call of yesterday, as rows tell it.
fn found(conversation: &str, at: i64) -> FoundCall {
    let mut missed = record(conversation, 1, at);
    missed.source = Source::Cdr;
    missed.status = Status::Missed;
    missed.follow_up = Some(FollowUp::Open);
    missed.ended_at = Some(Moment(at + 10_000));
    FoundCall {
        known_as: vec![conversation.to_owned(), format!("{conversation}-other")],
        is_known: false,
        records: vec![missed],
    }
}

fn import(desk: &Desk, calls: Vec<FoundCall>) -> u64 {
    let (answer, done) = bounded(1);
    desk.keeper.inputs.send(Input::Order(Order::Found { calls, answer })).unwrap();
    done.recv_timeout(PATIENCE).unwrap().unwrap()
}

#[test]
fn a_call_is_found_once_and_not_where_somebody_listened() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let at = now_ms() - 86_400_000;
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])], 1);
    desk.saved(desk.batch());
    let calls = || vec![found("pbx-1.1", at), found("pbx-2.1", at), found("pbx-3.1", at)];
    assert_eq!(import(&desk, calls()), 2, "the first is known");
    let batch = desk.batch();
    let ids: Vec<&str> = contents(&batch).into_iter().map(|(id, _)| id).collect();
    assert!(ids.iter().all(|id| ["pbx-2.1-1", "pbx-3.1-1"].contains(id)), "{ids:?}");
    desk.saved(batch);
    assert_eq!(import(&desk, calls()), 0, "all are known now");
    let reader = Reader::open(&desk.path).unwrap();
    assert_eq!(reader.record("pbx-1.1-1").unwrap().unwrap().status, Status::Ringing, "what was heard stays");
    let open_calls = CallFilter { to_call_back: true, ..CallFilter::default() };
    assert_eq!(
        reader.calls(&open_calls).unwrap().len(),
        2,
        "lost clients are to be called back, however late they are found"
    );
    desk.stop();
}

#[test]
fn what_was_forgotten_is_not_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let at = now_ms() - 86_400_000;
    assert_eq!(import(&desk, vec![found("pbx-2.1", at)]), 1);
    let (answer, done) = bounded(1);
    desk.keeper.inputs.send(Input::Order(Order::Forget { number: "+79161234567".to_owned(), answer })).unwrap();
    assert_eq!(done.recv_timeout(PATIENCE).unwrap().unwrap().records, 1);
    assert_eq!(import(&desk, vec![found("pbx-2.1", at)]), 0);
    let reader = Reader::open(&desk.path).unwrap();
    assert!(reader.knows("pbx-2.1").unwrap() && reader.conversation("pbx-2.1").unwrap().is_empty());
    desk.stop();
}

#[test]
fn the_end_of_a_known_call_is_written_unless_it_changed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let at = now_ms() - 86_400_000;
    desk.save_and_wait(vec![change("pbx-1.1", false, vec![record("pbx-1.1", 1, at)])], 1);
    let reader = Reader::open(&desk.path).unwrap();
    let known = reader.record("pbx-1.1-1").unwrap().unwrap();
    let ended = |revision: u64| {
        let records = vec![Record { status: Status::Completed, revision, ..known.clone() }];
        vec![FoundCall { known_as: vec!["pbx-1.1".to_owned()], is_known: true, records }]
    };
    assert_eq!(import(&desk, ended(known.revision)), 0, "something newer is stored");
    assert_eq!(import(&desk, ended(known.revision + 1)), 1);
    assert_eq!(reader.record("pbx-1.1-1").unwrap().unwrap().status, Status::Completed);
    desk.stop();
}

#[test]
fn a_crm_is_told_nothing_of_a_call_that_became_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let (second, batches) = destination("second", 1, 50);
    let (first, of_first) = destination("crm", 2, 50);
    desk.keeper.inputs.send(Input::Destinations(vec![first, second])).unwrap();
    let at = now_ms();
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])], 1);
    let batch = of_first.recv_timeout(PATIENCE).unwrap();
    desk.saved(batch);

    let mut moved = record("pbx-1.1", 1, at);
    moved.crm = Some("second".to_owned());
    moved.revision += 1;
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![moved.clone()])], 2);
    let told = batches.recv_timeout(PATIENCE).unwrap();
    let whole: Record = serde_json::from_str(&told.deliveries[0].body).unwrap();
    assert_eq!(whole.client_number, moved.client_number, "whose it is has all of it");
    desk.saved(told);

    let batch = of_first.recv_timeout(PATIENCE).unwrap();
    let body = &batch.deliveries[0].body;
    for secret in ["89161234567", "+79161234567", "74951234567", "\"101\"", "second"] {
        assert!(!body.contains(secret), "{secret} in {body}");
    }
    let withdrawn: Record = serde_json::from_str(body).unwrap();
    assert_eq!(
        (withdrawn.id.as_str(), withdrawn.superseded_by.as_deref(), withdrawn.lead),
        ("pbx-1.1-1", Some("pbx-1.1-1"), false)
    );
    assert!(withdrawn.revision > at as u64 && withdrawn.status.is_final() && withdrawn.ended_at.is_some());
    desk.report(batch, Outcome::Answered(vec![Verdict::Saved]));

    // And nothing more, whatever happens to it.
    let mut over = moved;
    over.status = Status::Missed;
    over.revision += 1;
    over.ended_at = Some(Moment(Now::read().wall_ms));
    desk.save_and_wait(vec![change("pbx-1.1", false, vec![over])], 3);
    desk.saved(batches.recv_timeout(PATIENCE).unwrap());
    let reader = Reader::open(&desk.path).unwrap();
    until("nothing waits", || {
        // Told again if the acknowledgement met a newer state on its way; but never of more.
        for batch in of_first.try_iter() {
            assert!(!batch.deliveries[0].body.contains("89161234567"), "{batch:?}");
            desk.saved(batch);
        }
        reader.destinations().unwrap().iter().all(|destination| destination.waiting == 0)
    });
    desk.stop();
}
