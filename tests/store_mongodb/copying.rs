//! `history copy`, there and back, broken off in between.

use pinconnector::call::record::Status;
use pinconnector::store::mongodb::copy::{Broken, Direction, Progress, copy};
use pinconnector::store::mongodb::{Connection, reader};
use pinconnector::store::reader::CallFilter;
use pinconnector::store::{Item, PowerLoss, Reader, Settings, StoreKind};

use crate::desk::{patiently, target};
use crate::lab::Lab;
use crate::store_support::*;

const CONVERSATIONS: u32 = 450;

/// A local database with a history that MongoDB knows nothing of.
fn filled(settings: &Settings) {
    let desk = open(settings, 1, 50);
    let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
    for n in 0..CONVERSATIONS {
        let id = format!("pbx-{n}.1");
        let at = 1_795_000_000_000 + i64::from(n) * 1_000;
        let mut calls = vec![record(&id, 1, at), record(&id, 2, at + 1)];
        for call in &mut calls {
            call.status = Status::Completed;
            call.ended_at = Some(moment(at + 5_000));
        }
        desk.save(vec![change(&id, false, calls)]);
    }
    let mut joined = change("pbx-7.1", false, vec![]);
    if let Item::Change(change) = &mut joined {
        change.joined_into = Some("pbx-6.1".to_owned());
    }
    let mut moved = [record("pbx-7.1", 1, 1_795_000_007_000), record("pbx-7.1", 2, 1_795_000_007_001)];
    for call in &mut moved {
        call.conversation = "pbx-6.1".to_owned();
        call.revision += 10;
    }
    desk.save_and_wait(vec![joined, change("pbx-6.1", false, moved.to_vec())], 1);
    desk.stop();
    crm.join().unwrap();
}

fn everything(settings: &Settings) -> Vec<pinconnector::call::Record> {
    let all = CallFilter { limit: 10_000, ..CallFilter::default() };
    let mut found = Reader::open(&settings.path).unwrap().calls(&all).unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

#[test]
fn a_history_is_copied_there_and_back_and_goes_on_where_it_was_broken_off() {
    let mut lab = Lab::start("standalone");
    let target = target(&lab.uri);
    let folder = tempfile::tempdir().unwrap();
    let here = settings(folder.path());
    filled(&here);
    let whole = everything(&here);
    assert_eq!(whole.len(), 2 * CONVERSATIONS as usize);

    let mut reached = 0;
    let broken = copy(&here, &target, Direction::ToMongodb, false, &mut |progress| {
        reached = progress.seen;
        lab.order("kill 0");
    });
    assert!(matches!(broken, Err(Broken::Away(_))), "{broken:?}");
    assert!(reached > 0 && reached < whole.len() as u64);
    lab.order("start 0");
    let mut first = None;
    let mut tell = |progress: &Progress| {
        first.get_or_insert(progress.seen);
    };
    let done = copy(&here, &target, Direction::ToMongodb, false, &mut tell).unwrap();
    assert!(first.unwrap() > reached, "from where it was");
    assert!(done.refused.is_empty() && done.written < u64::from(CONVERSATIONS), "{done:?}");
    let past = reader::Reader::open(&target).unwrap();
    for n in 0..CONVERSATIONS {
        let id = format!("pbx-{n}.1");
        let kept = patiently(|| past.conversation(&id));
        assert_eq!(kept, Reader::open(&here.path).unwrap().conversation(&id).unwrap(), "{id}");
        assert_eq!(kept.len(), if n == 6 || n == 7 { 4 } else { 2 }, "{id}");
    }
    // Once more from the beginning: everything is there.
    let again = copy(&here, &target, Direction::ToMongodb, true, &mut |_| ()).unwrap();
    assert_eq!((again.written, again.there), (0, u64::from(CONVERSATIONS)));

    // And back, to a new machine; broken off as well.
    let elsewhere = tempfile::tempdir().unwrap();
    let there = settings(elsewhere.path());
    let broken = copy(&there, &target, Direction::ToSqlite, false, &mut |_| {
        lab.order("kill 0");
    });
    assert!(matches!(broken, Err(Broken::Away(_))), "{broken:?}");
    lab.order("start 0");
    let done = copy(&there, &target, Direction::ToSqlite, false, &mut |_| ()).unwrap();
    assert!(done.written > 0 && done.seen == u64::from(CONVERSATIONS), "{done:?}");
    assert_eq!(everything(&there), whole);
    assert_eq!(Reader::open(&there.path).unwrap().conversation("pbx-7.1").unwrap().len(), 4, "by the name it had");
    assert!(Reader::open(&there.path).unwrap().outbox(None, 10).unwrap().is_empty(), "nobody is told again");
    // A service takes it from there.
    let desk = open(&Settings { kind: StoreKind::Sqlite, power_loss: PowerLoss::LastSecond, ..there.clone() }, 1, 50);
    assert!(desk.restored.is_empty() && desk.quarantined.is_empty());
    desk.stop();
    drop(Connection::open(&target.settings).unwrap());
}
