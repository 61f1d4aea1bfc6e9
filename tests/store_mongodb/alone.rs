//! One mongod: what it is asked for, what it refuses, and what happens while it is not there.

use mongodb::bson::{DateTime, Document, doc};
use pinconnector::call::record::Status;
use pinconnector::store::Alarm;
use pinconnector::store::mongodb::Connection;
use pinconnector::store::reader::CallFilter;
use pinconnector::store::settings::HISTORY;

use crate::desk::{ELECTION, Office, patiently, target};
use crate::lab::{self, Lab};
use crate::store_support::*;

fn shared() -> String {
    lab::shared().uri.clone()
}

#[test]
fn a_younger_document_is_gone_above_not_overwritten() {
    let office = Office::open(target(&shared()));
    let at = now_ms();
    let far = at + 1_000_000_000;
    let other = doc! { "_id": "pbx-1.1", "conversation": "pbx-1.1", "v": 1, "revision": far, "calls": [] };
    office.collection().insert_one(other).run().unwrap();
    office.take(change("pbx-1.1", false, vec![record("pbx-1.1", 1, at)]));
    office.until_fed();
    let tree = office.tree("pbx-1.1").unwrap();
    assert_eq!(tree.get_i64("revision"), Ok(far + 1), "made by this process, so it goes on above");
    assert_eq!(patiently(|| office.past.conversation("pbx-1.1")).len(), 1);
    office.stop();
}

#[test]
fn a_document_that_is_refused_is_parked_and_holds_up_nobody() {
    let office = Office::open(target(&shared()));
    let database = Connection::open(&office.target.settings).unwrap().database;
    let validator = doc! { "$nor": [{ "calls.extension": "666" }] };
    database.run_command(doc! { "create": "conversations", "validator": validator }).run().unwrap();
    let at = now_ms();
    let mut bad = record("pbx-2.1", 1, at);
    bad.extension = Some("666".to_owned());
    office.desk.save(vec![
        change("pbx-1.1", false, vec![record("pbx-1.1", 1, at)]),
        change("pbx-2.1", false, vec![bad]),
        change("pbx-3.1", false, vec![record("pbx-3.1", 1, at)]),
    ]);
    let Alarm::Parked { name, item, reason } = office.desk.alarm() else { panic!("parked") };
    assert_eq!((name.as_str(), item.as_str()), (HISTORY, "pbx-2.1"));
    assert!(reason.contains("121"), "{reason}");
    office.until_fed();
    let mut ids: Vec<_> =
        patiently(|| office.past.calls(&CallFilter::default())).into_iter().map(|call| call.id).collect();
    ids.sort();
    assert_eq!(ids, ["pbx-1.1-1", "pbx-3.1-1"]);
    let rows = office.reader().outbox(Some(HISTORY), 10).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].parked.is_some());
    office.stop();
}

#[test]
fn a_client_is_forgotten_beyond_what_is_here_but_only_of_our_exchanges() {
    let office = Office::open(target(&shared()));
    let call = |id: &str, number: &str| {
        doc! {
            "id": id, "conversation": "x", "pbx": "pbx", "revision": 1, "source": "ami", "direction": "incoming",
            "status": "completed", "lead": true, "started_at": DateTime::from_millis(1_000),
            "client_number_normalized": number,
        }
    };
    let tree = |id: &str, pbx: &str, calls: Vec<Document>| {
        let at = DateTime::from_millis(1_000);
        doc! {
            "_id": id, "conversation": id, "v": 1, "revision": 1_i64, "pbx": pbx, "started_at": at, "last_call_at": at,
            "calls": calls,
        }
    };
    let (client, another) = ("+79161234567", "+79990000000");
    office
        .collection()
        .insert_many([
            tree("pbx-old.1", "pbx", vec![call("pbx-old.1-1", client)]),
            tree("pbx-old.2", "pbx", vec![call("pbx-old.2-1", client), call("pbx-old.2-2", another)]),
            tree("elsewhere-old.1", "elsewhere", vec![call("elsewhere-old.1-1", client)]),
        ])
        .run()
        .unwrap();
    office.take(change("pbx-1.1", false, vec![record("pbx-1.1", 1, now_ms())]));
    office.until_fed();
    assert_eq!(office.forget(client), 1, "here");
    office.until_fed();
    let left: Vec<_> =
        patiently(|| office.past.calls(&CallFilter::default())).into_iter().map(|call| call.id).collect();
    assert_eq!(left, ["pbx-old.2-2"]);
    for gone in ["pbx-1.1", "pbx-old.1"] {
        let tree = office.tree(gone).expect("a mark, until the index removes it");
        assert!(tree.get_datetime("gone_at").is_ok(), "{tree}");
        assert!(!tree.to_string().contains(client), "{tree}");
    }
    assert!(office.tree("elsewhere-old.1").unwrap().get("gone_at").is_none());
    office.stop();
}

#[test]
fn indexes_are_made_and_retention_follows_the_configuration() {
    let mut target = target(&shared());
    target.keep_days = 400;
    let office = Office::open(target.clone());
    office.take(change("pbx-1.1", false, vec![record("pbx-1.1", 1, now_ms())]));
    office.until_fed();
    let indexes = |office: &Office| {
        let mut all: Vec<(String, Option<i64>)> = Vec::new();
        for index in patiently(|| office.collection().list_indexes().run()) {
            let options = index.unwrap().options.unwrap_or_default();
            let seconds = options.expire_after.map(|after| i64::try_from(after.as_secs()).unwrap());
            all.push((options.name.unwrap_or_default(), seconds));
        }
        all.sort();
        all
    };
    let names = ["_id_", "call", "client", "extension", "gone", "missed", "recent", "recording", "retention"];
    let found = indexes(&office);
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    assert!(found.contains(&("retention".to_owned(), Some(400 * 86_400))), "{found:?}");
    assert!(found.contains(&("gone".to_owned(), Some(7 * 86_400))), "{found:?}");
    let folder = office.stop();
    for (keep_days, expected) in [(500, Some(500 * 86_400)), (0, None)] {
        let office = Office::open(pinconnector::store::mongodb::Target { keep_days, ..target.clone() });
        office.take(change("pbx-2.1", false, vec![record("pbx-2.1", 1, now_ms() + i64::from(keep_days))]));
        office.until_fed();
        assert!(indexes(&office).contains(&("retention".to_owned(), expected)), "{keep_days}");
        office.stop();
    }
    drop(folder);
}

#[test]
fn a_joined_conversation_is_found_by_its_name_at_every_moment() {
    let office = Office::open(target(&shared()));
    let at = now_ms();
    // While the writer is busy with others, the join comes; whenever one looks, the call is found by its old name.
    for n in 0..20 {
        let (old, new) = (format!("pbx-{n}.2"), format!("pbx-{n}.1"));
        let mut call = record(&old, 1, at);
        office.take(change(&old, true, vec![call.clone()]));
        office.until_fed();
        let mut joined = change(&old, false, vec![]);
        if let pinconnector::store::Item::Change(change) = &mut joined {
            change.joined_into = Some(new.clone());
        }
        call.conversation.clone_from(&new);
        call.revision += 1;
        office.desk.save(vec![joined, change(&new, true, vec![call])]);
        until("the tombstone is there", || {
            assert_eq!(patiently(|| office.past.conversation(&old)).len(), 1);
            office.tree(&old).unwrap().get_str("joined_into") == Ok(new.as_str())
        });
    }
    office.stop();
}

#[test]
fn while_mongod_is_stopped_or_frozen_everything_waits_and_then_arrives() {
    let mut lab = Lab::start("standalone");
    let office = Office::open(target(&lab.uri));
    let mut calls = Calls::default();
    calls.some(&office, 30);
    office.until_fed();
    lab.order("kill 0");
    calls.some(&office, 200);
    until_within(ELECTION, "it is known to be away", || {
        matches!(office.desk.alarms.try_recv(), Ok(Alarm::DestinationDown { .. }))
    });
    assert!(office.past.calls(&CallFilter::default()).is_err(), "whoever asks is told");
    calls.some(&office, 200);
    lab.order("start 0");
    until_within(ELECTION, "it is known to be back", || {
        matches!(office.desk.alarms.try_recv(), Ok(Alarm::DestinationUp { .. }))
    });
    lab.order("freeze 0");
    calls.some(&office, 100);
    until_within(ELECTION, "it is known to be frozen", || {
        matches!(office.desk.alarms.try_recv(), Ok(Alarm::DestinationDown { .. }))
    });
    lab.order("thaw 0");
    office.until_fed();
    same_as_here(&office, calls.conversations);
    office.stop();
}

/// Conversations of two calls each, changed several times.
#[derive(Default)]
pub struct Calls {
    pub conversations: u32,
}

impl Calls {
    pub fn some(&mut self, office: &Office, count: u32) {
        for n in self.conversations..self.conversations + count {
            let id = format!("pbx-1795000000.{n}");
            let at = now_ms();
            let (mut first, mut second) = (record(&id, 1, at), record(&id, 2, at + 1));
            office.desk.save(vec![change(&id, true, vec![first.clone(), second.clone()])]);
            for (call, status) in [(&mut first, Status::Completed), (&mut second, Status::NoAnswer)] {
                call.status = status;
                call.ended_at = Some(moment(at + 5_000));
                call.revision += 1;
            }
            office.desk.save(vec![change(&id, false, vec![first, second])]);
        }
        // Committed, so that what waits for MongoDB can be counted.
        office.desk.save_and_wait(vec![], count);
        self.conversations += count;
    }
}

/// Compares MongoDB with the local journal, document by document.
pub fn same_as_here(office: &Office, conversations: u32) {
    let everything = CallFilter { limit: 1_000_000, ..CallFilter::default() };
    let here = office.reader().calls(&everything).unwrap();
    assert_eq!(here.len(), 2 * conversations as usize);
    assert_eq!(patiently(|| office.collection().count_documents(doc! {}).run()), u64::from(conversations));
    for n in 0..conversations {
        let id = format!("pbx-1795000000.{n}");
        assert_eq!(patiently(|| office.past.conversation(&id)), office.reader().conversation(&id).unwrap(), "{id}");
    }
}
