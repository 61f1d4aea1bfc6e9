//! A database that fails while the service runs: nothing waits for it, nothing within the bound is lost, and what was
//! delivered meanwhile is not delivered again.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use std::path::{Path, PathBuf};
use std::process::Command;

use crossbeam_channel::bounded;
use pinconnector::call::record::Status;
use pinconnector::outbox::{Outcome, Verdict};
use pinconnector::store::reader::CallFilter;
use pinconnector::store::rows::Rows;
use pinconnector::store::{Alarm, Input, Order, Reader, Save};
use store_support::*;

/// Somebody else who writes and does not end: what an open `sqlite3` shell does.
struct Intruder(rusqlite::Connection);

impl Intruder {
    fn enter(path: &Path) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }

    fn leave(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

#[test]
fn a_locked_database_delays_nobody_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 2, 50);
    let at = now_ms();
    // One record is under way when it begins.
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])], 1);
    let first = desk.batch();
    let intruder = Intruder::enter(&desk.path);

    let mut answered = record("pbx-1.1", 1, at);
    answered.revision += 1;
    answered.status = Status::InProgress;
    desk.save_and_wait(vec![change("pbx-1.1", true, vec![answered.clone()])], 2);
    assert!(matches!(desk.alarm(), Alarm::StoreFailing { disk_full: false, .. }));
    // Its earlier revision arrives, then the unstored one.
    desk.saved(first);
    let unstored = desk.batch();
    assert_eq!(contents(&unstored), [("pbx-1.1-1", at as u64 + 1)]);
    desk.saved(unstored);
    // A new call, delivered in an earlier revision than its last.
    desk.save_and_wait(vec![change("pbx-2.1", true, vec![record("pbx-2.1", 1, at)])], 3);
    let second = desk.batch();
    assert_eq!(contents(&second), [("pbx-2.1-1", at as u64)]);
    let mut missed = record("pbx-2.1", 1, at);
    missed.revision += 7;
    missed.status = Status::Missed;
    desk.save_and_wait(vec![change("pbx-2.1", false, vec![missed.clone()])], 4);
    // Orders say at once that they cannot be carried out.
    let (answer, answers) = bounded(1);
    desk.keeper.inputs.send(Input::Order(Order::Drop { rows: Rows::All, answer })).unwrap();
    assert!(answers.recv_timeout(PATIENCE).unwrap().is_err());

    intruder.leave();
    assert!(matches!(desk.alarm(), Alarm::StoreWorks { lost: 0, .. }));
    let reader = Reader::open(&desk.path).unwrap();
    assert_eq!(reader.record("pbx-1.1-1").unwrap(), Some(answered));
    assert_eq!(reader.record("pbx-2.1-1").unwrap(), Some(missed));
    // The first was delivered; only the second waits.
    let waiting = reader.outbox(None, 10).unwrap();
    assert_eq!(waiting.iter().map(|r| r.item.as_str()).collect::<Vec<_>>(), ["pbx-2.1-1"]);
    desk.saved(second);
    let last = desk.batch();
    assert_eq!(contents(&last), [("pbx-2.1-1", at as u64 + 7)]);
    desk.saved(last);
    until("nothing waits", || reader.outbox(None, 10).unwrap().is_empty());
    desk.stop();
}

#[test]
fn outcomes_count_while_the_database_fails() {
    let folder = tempfile::tempdir().unwrap();
    let desk = open(&settings(folder.path()), 1, 1);
    let at = now_ms();
    let intruder = Intruder::enter(&desk.path);
    for n in 1..=3 {
        desk.save_and_wait(vec![change(&format!("pbx-{n}.1"), true, vec![record(&format!("pbx-{n}.1"), 1, at)])], n);
    }
    assert!(matches!(desk.alarm(), Alarm::StoreFailing { .. }));
    let refused = desk.batch();
    assert_eq!(contents(&refused), [("pbx-1.1-1", at as u64)]);
    desk.report(refused, Outcome::Answered(vec![Verdict::Rejected { reason: "no".into() }]));
    assert!(matches!(desk.alarm(), Alarm::Parked { .. }));
    let stale = desk.batch();
    assert_eq!(contents(&stale), [("pbx-2.1-1", at as u64)]);
    desk.report(stale, Outcome::Answered(vec![Verdict::Stale { has: at as u64 + 50 }]));
    let raised = desk.batch();
    assert_eq!(contents(&raised), [("pbx-2.1-1", at as u64 + 51)]);
    desk.saved(raised);
    let third = desk.batch();
    desk.report(third, Outcome::CrmDown { why: "silence".into(), retry_after_s: None });
    assert!(matches!(desk.alarm(), Alarm::DestinationDown { .. }));
    let probe = desk.batch();
    assert_eq!(contents(&probe), [("pbx-3.1-1", at as u64)]);
    desk.saved(probe);
    assert!(matches!(desk.alarm(), Alarm::DestinationUp { .. }));
    intruder.leave();
    assert!(matches!(desk.alarm(), Alarm::StoreWorks { lost: 0, .. }));
    // What it refused is offered once more now that it is stored, and then parked.
    let again = desk.batch();
    assert_eq!(contents(&again), [("pbx-1.1-1", at as u64)]);
    desk.report(again, Outcome::Answered(vec![Verdict::Rejected { reason: "no".into() }]));
    let reader = Reader::open(&desk.path).unwrap();
    until("it is parked and nothing else waits", || {
        let rows = reader.outbox(None, 10).unwrap();
        rows.len() == 1 && rows[0].parked.is_some()
    });
    assert_eq!(reader.record("pbx-2.1-1").unwrap().unwrap().revision, at as u64 + 51);
    desk.stop();
}

#[test]
fn beyond_the_bound_the_oldest_are_lost_and_the_number_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // Room for 100; the CRM is busy with the first.
    let desk = open(&settings(folder.path()), 1, 1);
    let at = now_ms();
    let intruder = Intruder::enter(&desk.path);
    for n in 1..=150 {
        desk.save(vec![change(&format!("pbx-{n}.1"), false, vec![record(&format!("pbx-{n}.1"), 1, at)])]);
    }
    desk.keeper.inputs.send(Input::Save(Save { items: Vec::new(), release: vec![1] })).unwrap();
    assert_eq!(desk.released.recv_timeout(PATIENCE), Ok(1));
    let mut alarms = vec![desk.alarm(), desk.alarm()];
    assert!(matches!(alarms.remove(0), Alarm::StoreFailing { .. }));
    assert!(matches!(alarms.remove(0), Alarm::StoreLosing { lost: 1.. }));
    intruder.leave();
    assert_eq!(
        match desk.alarm() {
            Alarm::StoreWorks { lost, .. } => lost,
            other => panic!("{other:?}"),
        },
        50
    );
    let reader = Reader::open(&desk.path).unwrap();
    let kept = reader.calls(&CallFilter { limit: 1_000, ..CallFilter::default() }).unwrap();
    assert_eq!(kept.len(), 100);
    assert!(kept.iter().all(|r| r.id != "pbx-1.1-1") && kept.iter().any(|r| r.id == "pbx-150.1-1"));
    desk.stop();
}

/// A small file system of its own, which only root may make; CI is root.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: a file system that can be filled needs root");
            return None;
        }
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status().unwrap();
        assert!(done.success(), "mount");
        Some(Self(at.to_owned()))
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status().unwrap();
        assert!(done.success(), "remount");
    }

    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.0.join("ballast")).unwrap();
        while file.write_all(&[1; 4_096]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "4m") else { return };
    let desk = open(&settings(&disk.0), 1, 50);
    let at = now_ms();
    desk.save_and_wait(vec![change("pbx-0.1", true, vec![record("pbx-0.1", 1, at)])], 0);
    let first = desk.batch();
    desk.saved(first);
    disk.fill();
    // The log has some room left from before; it fills soon.
    let mut n = 0;
    while desk.alarms.is_empty() {
        n += 1;
        let id = format!("pbx-{n}.1");
        desk.save_and_wait(vec![change(&id, true, vec![record(&id, 1, at)])], n);
        if let Ok(batch) = desk.batches.try_recv() {
            desk.saved(batch);
        }
        assert!(n < 10_000, "a full disk is noticed");
    }
    assert!(matches!(desk.alarm(), Alarm::StoreFailing { disk_full: true, .. }));
    // Calls go on: released and delivered.
    for more in 1..=10 {
        let id = format!("pbx-{}.1", n + more);
        desk.save_and_wait(vec![change(&id, true, vec![record(&id, 1, at)])], n + more);
    }
    let last = format!("pbx-{}.1-1", n + 10);
    until("it is delivered", || {
        let batch = desk.batch();
        let there = batch.deliveries.iter().any(|d| d.record_id == last);
        desk.saved(batch);
        there
    });
    disk.empty();
    assert!(matches!(desk.alarm(), Alarm::StoreWorks { lost: 0, .. }));
    let reader = Reader::open(&desk.path).unwrap();
    for n in 0..=n + 10 {
        assert!(reader.record(&format!("pbx-{n}.1-1")).unwrap().is_some(), "pbx-{n}.1-1 is stored");
    }
    drop(reader);
    desk.stop();
    // And the next start finds all of it open.
    let desk = open(&settings(&disk.0), 1, 50);
    assert_eq!(desk.restored.len(), n as usize + 11);
    desk.stop();
}

#[test]
fn a_disk_that_turns_read_only_at_start_or_is_full_is_an_error_with_a_remedy() {
    use pinconnector::clock::Now;
    use pinconnector::store::{Opened, StartError};
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "2m") else { return };
    disk.fill();
    let error = Opened::open(&settings(&disk.0), Now::read()).err().unwrap();
    assert!(matches!(error, StartError::DiskFull { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 74);
    disk.empty();
    open(&settings(&disk.0), 1, 50).stop();
    disk.remount("ro");
    let error = Opened::open(&settings(&disk.0), Now::read()).err().unwrap();
    assert!(matches!(error, StartError::NotWritable { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("cannot be written"), "{error}");
}
