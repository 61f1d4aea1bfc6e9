//! What the store does beside calls: forgetting in slices, copies while it runs, changes from outside, amendments.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use std::sync::atomic::{AtomicI64, Ordering};

use crossbeam_channel::{bounded, unbounded};
use pinconnector::call::record::{Amendment, Moment, Recording, RecordingState, Status};
use pinconnector::clock::Now;
use pinconnector::outbox::{Outcome, Verdict};
use pinconnector::store::reader::CallFilter;
use pinconnector::store::rows::{AuditRow, Rows};
use pinconnector::store::{Alarm, Desk as Beside, DestinationKind, Input, Item, Opened, Plan, Reader, Save, StoreKind};
use store_support::*;

const DAY_MS: i64 = 86_400_000;

/// How far the clock of the retention test has been put forward.
static FORWARD_MS: AtomicI64 = AtomicI64::new(0);

fn clock_put_forward() -> Now {
    let by = FORWARD_MS.load(Ordering::SeqCst);
    Now::read().plus_ms(u64::try_from(by).unwrap())
}

fn over(id: &str, at: i64) -> Item {
    let mut call = record(id, 1, at);
    (call.status, call.ended_at) = (Status::Completed, Some(Moment(at + 1_000)));
    change(id, false, vec![call])
}

#[test]
fn old_calls_are_removed_but_none_that_somebody_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.keep_days = 30;
    let opened = Opened::open(&settings, Now::read()).unwrap();
    let (release, released) = unbounded();
    let (alarms, _alarms) = bounded(100);
    let (crm, batches) = destination("crm", 2, 50);
    let keeper = opened
        .keep(Plan {
            destinations: vec![crm],
            follow_up_days: 7,
            release: Box::new(move |n: u32| release.send(n).unwrap()),
            alarms,
            clock: clock_put_forward,
            seed: 1,
            queue_max: 100,
            stop_grace_ms: 1_000,
        })
        .unwrap();
    let now = now_ms();
    let save = |items: Vec<Item>, mark: u32| {
        keeper.inputs.send(Input::Save(Save { items, release: vec![mark] })).unwrap();
        assert_eq!(released.recv_timeout(PATIENCE), Ok(mark));
    };
    // More than one slice of old ones; the CRM takes all but one; and one that never ended, though old.
    let old = now - 40 * DAY_MS;
    save((1..=120).map(|n| over(&format!("pbx-{n}.1"), old + n)).collect(), 1);
    save(vec![change("pbx-500.1", true, vec![record("pbx-500.1", 1, old)]), over("pbx-600.1", now)], 2);
    let mut left = 122;
    while left > 0 {
        let batch = batches.recv_timeout(PATIENCE).unwrap();
        left -= batch.deliveries.len();
        let refuse = |d: &pinconnector::outbox::Delivery| d.record_id == "pbx-7.1-1";
        let verdict = |d| if refuse(d) { Verdict::Rejected { reason: "no".into() } } else { Verdict::Saved };
        let outcome = Outcome::Answered(batch.deliveries.iter().map(verdict).collect());
        keeper.outcomes.send(pinconnector::outbox::Delivered { batch, outcome }).unwrap();
    }
    let audit = AuditRow { at_ms: old, crm: "crm".into(), outcome: "placed".into(), ..AuditRow::default() };
    save(vec![Item::Audit(audit.clone()), Item::Audit(AuditRow { at_ms: now, ..audit })], 3);
    let reader = Reader::open(&settings.path).unwrap();
    let ids = || {
        let all = reader.calls(&CallFilter { limit: 1_000, ..CallFilter::default() }).unwrap();
        all.into_iter().map(|r| r.id).collect::<Vec<_>>()
    };
    until("the CRM has the rest", || reader.destinations().unwrap()[0].waiting == 0);
    assert_eq!(ids().len(), 122);

    // Ten minutes later: the first retention is due, and is done in idle moments.
    FORWARD_MS.store(600_000, Ordering::SeqCst);
    save(vec![], 4);
    until("the old ones are gone", || ids() == ["pbx-600.1-1", "pbx-7.1-1", "pbx-500.1-1"]);
    until("the old audit line is gone", || reader.audit(10).unwrap().len() == 1);
    drop(reader);
    drop((keeper.inputs, keeper.outcomes));
    keeper.thread.join().unwrap();
}

#[test]
fn beside_mongodb_only_what_it_was_fed_is_removed_after_local_days() {
    static LATER_MS: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Now {
        Now::read().plus_ms(u64::try_from(LATER_MS.load(Ordering::SeqCst)).unwrap())
    }
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    let now = now_ms();
    // From before there was a MongoDB: it is here alone until somebody copies it.
    let desk = open(&settings, 1, 50);
    let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
    desk.save_and_wait(vec![over("pbx-1.1", now - 40 * DAY_MS)], 1);
    desk.stop();
    crm.join().unwrap();

    settings.kind = StoreKind::Mongodb;
    settings.keep_days = 365;
    let (release, released) = unbounded();
    let (crm, crm_batches) = destination("crm", 1, 50);
    let (mut history, conversations) = destination("mongodb", 1, 1);
    history.kind = DestinationKind::History;
    let opened = Opened::open(&settings, Now::read()).unwrap();
    let keeper = opened
        .keep(Plan {
            destinations: vec![crm, history],
            follow_up_days: 7,
            release: Box::new(move |n: u32| release.send(n).unwrap()),
            alarms: bounded(100).0,
            clock,
            seed: 1,
            queue_max: 100,
            stop_grace_ms: 1_000,
        })
        .unwrap();
    let crm = obliging_crm(crm_batches, keeper.outcomes.clone());
    let outcomes = keeper.outcomes.clone();
    let mongodb = std::thread::spawn(move || {
        for batch in conversations {
            let refuse = batch.deliveries[0].record_id == "pbx-3.1";
            let verdict = if refuse { Verdict::Rejected { reason: "no".into() } } else { Verdict::Saved };
            let outcome = Outcome::Answered(vec![verdict]);
            outcomes.send(pinconnector::outbox::Delivered { batch, outcome }).unwrap();
        }
    });
    let save = |items: Vec<Item>, mark: u32| {
        keeper.inputs.send(Input::Save(Save { items, release: vec![mark] })).unwrap();
        assert_eq!(released.recv_timeout(PATIENCE), Ok(mark));
    };
    let fed = now + 60_000;
    save((2..=4).map(|n| over(&format!("pbx-{n}.1"), fed + n)).collect(), 1);
    // One that goes on when the others are old enough: a conversation is removed whole or not at all.
    let mut later = record("pbx-4.1", 2, fed + 20 * DAY_MS);
    (later.status, later.ended_at) = (Status::Completed, Some(Moment(fed + 20 * DAY_MS)));
    save(vec![change("pbx-4.1", false, vec![later])], 2);
    let reader = Reader::open(&settings.path).unwrap();
    until("both have what they get", || reader.destinations().unwrap().iter().all(|to| to.waiting == 0));
    let ids = || reader.calls(&CallFilter::default()).unwrap().into_iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(ids().len(), 5);

    LATER_MS.store(31 * DAY_MS, Ordering::SeqCst);
    save(vec![], 3);
    until("what MongoDB has is gone", || ids() == ["pbx-4.1-2", "pbx-4.1-1", "pbx-3.1-1", "pbx-1.1-1"]);
    LATER_MS.store(60 * DAY_MS, Ordering::SeqCst);
    save(vec![], 4);
    until("then the other, too", || ids() == ["pbx-3.1-1", "pbx-1.1-1"]);
    drop(reader);
    drop((keeper.inputs, keeper.outcomes));
    keeper.thread.join().unwrap();
    crm.join().unwrap();
    mongodb.join().unwrap();
}

#[test]
fn a_copy_is_whole_while_the_service_writes_on() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    desk.save_and_wait((1..=200).map(|n| over(&format!("pbx-{n}.1"), at + n)).collect(), 1);
    let reader = Reader::open(&desk.path).unwrap();
    let copy = folder.path().join("copy.db");
    std::thread::scope(|threads| {
        let writing = threads.spawn(|| {
            for n in 201..=400 {
                desk.save_and_wait(vec![over(&format!("pbx-{n}.1"), at + n)], n as u32);
            }
        });
        reader.backup(&copy).unwrap();
        writing.join().unwrap();
    });
    assert!(reader.backup(&copy).is_err(), "a copy is never overwritten");
    assert!(!folder.path().join("copy.db.partial").exists());
    let copied = Reader::open(&copy).unwrap().calls(&CallFilter { limit: 1_000, ..CallFilter::default() }).unwrap();
    assert!((200..=400).contains(&copied.len()), "{}", copied.len());
    // A moment of it: the newest it has, and everything before.
    let newest = copied[0].started_at.0 - at;
    assert_eq!(copied.len() as i64, newest);
    desk.stop();
    // It starts a service, and what was undelivered then is delivered.
    let mut settings = settings(folder.path());
    settings.path = copy;
    let desk = open(&settings, 1, 50);
    assert!(!desk.batch().deliveries.is_empty());
    desk.stop();
}

#[test]
fn an_administrator_changes_the_outbox_beside_the_running_service() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    let reject = |batch: pinconnector::outbox::Batch| {
        let verdicts = vec![Verdict::Rejected { reason: "no such module".into() }; batch.deliveries.len()];
        desk.report(batch, Outcome::Answered(verdicts));
    };
    for n in 1..=3 {
        desk.save(vec![over(&format!("pbx-{n}.1"), at + n)]);
        reject(desk.batch());
    }
    let reader = Reader::open(&desk.path).unwrap();
    until("all are parked", || reader.destinations().unwrap()[0].parked == 3);
    let beside = Beside::open(&desk.path).unwrap();
    let rows = reader.outbox(Some("crm"), 10).unwrap();
    assert!(reader.outbox(Some("other"), 10).unwrap().is_empty());
    assert_eq!(beside.drop_rows(&Rows::One(rows[0].id)).unwrap(), 1);
    assert_eq!(beside.drop_rows(&Rows::One(rows[0].id)).unwrap(), 0);
    assert_eq!(beside.retry(&Rows::Of("other".into())).unwrap(), 0);
    assert_eq!(beside.retry(&Rows::Of("crm".into())).unwrap(), 2);
    // The keeper sees it when it is told to reload.
    desk.keeper.inputs.send(Input::Reloaded { settings: settings(folder.path()), follow_up_days: 7 }).unwrap();
    let batch = desk.batch();
    assert_eq!(batch.deliveries.len(), 2);
    desk.saved(batch);
    until("nothing waits", || reader.outbox(None, 10).unwrap().is_empty());
    let forgotten = beside.forget("+79161234567", Now::read()).unwrap();
    assert_eq!((forgotten.records, forgotten.outbox_rows, forgotten.told.len()), (3, 0, 3));
    assert!(reader.calls(&CallFilter::default()).unwrap().is_empty());
    desk.stop();
}

#[test]
fn what_is_learned_of_a_recording_is_stored_delivered_and_survives_the_core() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    let mut call = record("pbx-1.1", 1, at);
    call.recordings.push(Recording {
        id: "rec-1".into(),
        file: "a.wav".into(),
        started_at: Moment(at),
        state: None,
        size: None,
    });
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![call.clone()])], 1);
    desk.saved(desk.batch());
    let amendment = Amendment::Recording {
        id: "rec-1".into(),
        state: RecordingState::Ready,
        size: Some(44_100),
        file: Some("2026/11/a.mp3".into()),
    };
    let amend = || Item::Amend { record_id: "pbx-1.1-1".into(), amendment: amendment.clone() };
    desk.save_and_wait(vec![amend()], 2);
    let amended = desk.batch();
    assert!(amended.deliveries[0].body.contains("\"ready\""), "{}", amended.deliveries[0].body);
    let revision = amended.deliveries[0].revision;
    assert!(revision > at as u64);
    desk.saved(amended);
    // Again: nothing changed, nothing is sent. Of an unknown record: nothing either.
    let unknown = Item::Amend { record_id: "pbx-9.9-1".into(), amendment: amendment.clone() };
    desk.save_and_wait(vec![amend(), unknown], 3);
    let reader = Reader::open(&desk.path).unwrap();
    assert_eq!(reader.record("pbx-1.1-1").unwrap().unwrap().revision, revision);
    // The core writes the record again (a join) and knows nothing of the file.
    call.revision = 5;
    call.conversation = "pbx-0.1".into();
    desk.save_and_wait(vec![change("pbx-0.1", true, vec![call])], 4);
    let stored = reader.record("pbx-1.1-1").unwrap().unwrap();
    assert_eq!(stored.conversation, "pbx-0.1");
    assert_eq!(stored.revision, revision + 1, "above what was delivered");
    assert_eq!(stored.recordings[0].state, Some(RecordingState::Ready));
    assert_eq!(stored.recordings[0].file, "2026/11/a.mp3");
    assert_eq!(reader.records_of_recording("rec-1").unwrap().len(), 1);
    desk.stop();
}

#[test]
fn figures_for_the_status_page() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 50);
    let at = now_ms();
    let mut missed = record("pbx-2.1", 1, at);
    missed.status = Status::Missed;
    missed.ended_at = Some(Moment(at));
    missed.follow_up = Some(pinconnector::call::record::FollowUp::Open);
    desk.save_and_wait(
        vec![
            change("pbx-1.1", true, vec![record("pbx-1.1", 1, at), record("pbx-1.1", 2, at)]),
            change("pbx-2.1", false, vec![missed]),
            over("pbx-3.1", at - 2 * DAY_MS),
            Item::Setting { key: "cursor".into(), value: "17".into() },
        ],
        1,
    );
    let reader = Reader::open(&desk.path).unwrap();
    let counts = reader.counts(Moment(at - DAY_MS)).unwrap();
    assert_eq!((counts.open, counts.since, counts.missed_since, counts.to_call_back), (2, 2, 1, 1));
    assert_eq!(reader.setting("cursor").unwrap().as_deref(), Some("17"));
    assert_eq!(reader.setting("other").unwrap(), None);
    let state = reader.destinations().unwrap().remove(0);
    assert_eq!((state.name.as_str(), state.waiting, state.parked), ("crm", 4, 0));
    assert!(state.oldest_ms.is_some_and(|oldest| (at..at + 60_000).contains(&oldest)));
    desk.stop();
}

#[test]
fn whoever_watches_hears_that_the_file_is_gone() {
    static FORWARD: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Now {
        Now::read().plus_ms(u64::try_from(FORWARD.load(Ordering::SeqCst)).unwrap())
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let opened = Opened::open(&settings, Now::read()).unwrap();
    let (alarms_to, alarms) = bounded(100);
    let (release, released) = unbounded();
    let keeper = opened
        .keep(Plan {
            destinations: vec![],
            follow_up_days: 7,
            release: Box::new(move |n: u32| release.send(n).unwrap()),
            alarms: alarms_to,
            clock,
            seed: 1,
            queue_max: 100,
            stop_grace_ms: 1_000,
        })
        .unwrap();
    let nudge = |n| {
        keeper.inputs.send(Input::Save(Save { items: vec![], release: vec![n] })).unwrap();
        assert_eq!(released.recv_timeout(PATIENCE), Ok(n));
    };
    // Looked at when first idle, and again when a minute has passed; twice, so that the first time is over.
    nudge(1);
    for n in 2..5 {
        FORWARD.fetch_add(61_000, Ordering::SeqCst);
        nudge(n);
    }
    let copy = settings.path.with_extension("copy");
    Reader::open(&settings.path).unwrap().backup(&copy).unwrap();
    assert!(alarms.is_empty());
    // Another file in its place.
    std::fs::rename(&copy, &settings.path).unwrap();
    FORWARD.fetch_add(61_000, Ordering::SeqCst);
    nudge(5);
    assert_eq!(alarms.recv_timeout(PATIENCE), Ok(Alarm::StoreReplaced { path: settings.path.clone() }));
    drop((keeper.inputs, keeper.outcomes));
    keeper.thread.join().unwrap();
}

/// A CRM that keeps the newest revision of each record, as all of them do.
struct Receiver(std::collections::HashMap<String, (u64, String)>);

impl Receiver {
    fn take(&mut self, batch: &pinconnector::outbox::Batch) -> Outcome {
        let verdict = |d: &pinconnector::outbox::Delivery| {
            let has = self.0.get(&d.record_id).map_or(0, |(has, _)| *has);
            if d.revision < has {
                return Verdict::Stale { has };
            }
            let call: pinconnector::call::Record = serde_json::from_str(&d.body).unwrap();
            assert_eq!(call.revision, d.revision);
            self.0.insert(d.record_id.clone(), (d.revision, format!("{:?}", call.status)));
            if d.revision == has { Verdict::Unchanged } else { Verdict::Saved }
        };
        Outcome::Answered(batch.deliveries.iter().map(verdict).collect())
    }

    fn status(&self, id: &str) -> &str {
        &self.0[id].1
    }
}

#[test]
fn after_a_copy_of_yesterday_the_crm_ends_with_the_true_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    let desk = open(&settings, 1, 50);
    let mut crm = Receiver(std::collections::HashMap::new());
    let at = now_ms();
    // Two calls ring; the CRM knows of the first, the second still waits. That is what the copy has.
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])]);
    let first = desk.batch();
    let reader = Reader::open(&settings.path).unwrap();
    desk.save_and_wait(vec![change("pbx-2.1", true, vec![record("pbx-2.1", 1, at)])], 1);
    let copy = folder.path().join("copy.db");
    reader.backup(&copy).unwrap();
    let outcome = crm.take(&first);
    desk.report(first, outcome);
    // Both are answered and end, and the CRM hears of it.
    for n in 1..=2 {
        let id = format!("pbx-{n}.1");
        let mut call = record(&id, 1, at);
        call.revision += 1_000;
        (call.status, call.ended_at) = (Status::Completed, Some(Moment(at + 900)));
        desk.save_and_wait(vec![change(&id, false, vec![call])], 1 + n);
    }
    let mut deliver_all = |desk: &store_support::Desk| {
        let reader = Reader::open(&desk.path).unwrap();
        until("all is delivered", || {
            while let Ok(batch) = desk.batches.try_recv() {
                let outcome = crm.take(&batch);
                desk.report(batch, outcome);
            }
            reader.outbox(None, 1).unwrap().is_empty()
        });
        (crm.status("pbx-1.1-1").to_owned(), crm.status("pbx-2.1-1").to_owned())
    };
    assert_eq!(deliver_all(&desk), ("Completed".to_owned(), "Completed".to_owned()));
    drop(reader);
    desk.stop();

    settings.path = copy;
    let desk = open(&settings, 1, 50);
    assert!(desk.restored.is_empty(), "what was open then is no more");
    assert_eq!(deliver_all(&desk), ("Completed".to_owned(), "Completed".to_owned()), "the old states overtake nothing");
    let reader = Reader::open(&settings.path).unwrap();
    assert!(reader.calls(&CallFilter { open: true, ..CallFilter::default() }).unwrap().is_empty());
    // What is learned of it now goes on above.
    let mut joined = record("pbx-2.1", 1, at);
    joined.revision += 5;
    joined.status = Status::NoAnswer;
    desk.save(vec![change("pbx-2.1", false, vec![joined])]);
    until("the CRM has it", || deliver_all(&desk).1 == "NoAnswer");
    drop(reader);
    desk.stop();
}
