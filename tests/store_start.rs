//! What a start finds: what was open, who else is there, and files that are none of ours.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use pinconnector::clock::Now;
use pinconnector::store::rows::RequestRow;
use pinconnector::store::{Item, Opened, Reader, Settings, StartError, holder, mark_abort};
use store_support::*;

fn refusal(settings: &Settings) -> StartError {
    Opened::open(settings, Now::read()).err().expect("it must not start")
}

#[test]
fn what_was_open_is_restored_and_what_was_over_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let desk = open(&settings, 1, 50);
    let at = now_ms();
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, at)])]);
    desk.save(vec![change("pbx-2.1", true, vec![record("pbx-2.1", 1, at)])]);
    desk.save(vec![change("pbx-2.1", false, vec![])]);
    let request = RequestRow { crm: "crm".into(), request: "r1".into(), answer: "{\"a\":1}".into(), at_ms: at };
    let second = RequestRow { answer: "{\"a\":2}".into(), ..request.clone() };
    let old = RequestRow { request: "r0".into(), at_ms: at - 86_500_000, ..request.clone() };
    desk.save(vec![Item::Request(request.clone()), Item::Request(old), Item::Request(second)]);
    desk.stop();

    let opened = Opened::open(&settings, Now::read()).unwrap();
    assert_eq!(opened.restored, vec![conversation("pbx-1.1")]);
    assert_eq!(opened.requests, vec![request.clone()], "the first answer, of the last 24 hours");
    assert_eq!(Reader::open(&settings.path).unwrap().request("crm", "r1").unwrap(), Some(request));
}

#[test]
fn a_conversation_that_brings_us_down_three_times_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let desk = open(&settings, 1, 50);
    desk.save(vec![change("pbx-1.1", true, vec![])]);
    desk.stop();
    // Killed from outside is no abort, however often.
    for _ in 0..5 {
        assert_eq!(Opened::open(&settings, Now::read()).unwrap().restored.len(), 1);
    }
    for _ in 0..2 {
        mark_abort(&settings.path);
        assert_eq!(Opened::open(&settings, Now::read()).unwrap().restored.len(), 1);
    }
    mark_abort(&settings.path);
    let opened = Opened::open(&settings, Now::read()).unwrap();
    assert!(opened.restored.is_empty());
    assert!(opened.quarantined[0].starts_with("pbx-1.1: "), "{:?}", opened.quarantined);
    drop(opened);
    let opened = Opened::open(&settings, Now::read()).unwrap();
    assert!(opened.restored.is_empty() && opened.quarantined.is_empty(), "said once");
}

#[test]
fn an_end_without_abort_clears_the_suspicion() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let desk = open(&settings, 1, 50);
    desk.save(vec![change("pbx-1.1", true, vec![])]);
    desk.stop();
    for _ in 0..2 {
        mark_abort(&settings.path);
        drop(Opened::open(&settings, Now::read()).unwrap());
    }
    open(&settings, 1, 50).stop();
    for _ in 0..2 {
        mark_abort(&settings.path);
        assert_eq!(Opened::open(&settings, Now::read()).unwrap().restored.len(), 1);
    }
}

#[test]
fn a_state_that_cannot_be_read_is_set_aside_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let desk = open(&settings, 1, 50);
    desk.save(vec![change("pbx-1.1", true, vec![]), change("pbx-2.1", true, vec![])]);
    desk.stop();
    let connection = rusqlite::Connection::open(&settings.path).unwrap();
    connection.execute("UPDATE open_conversation SET state = '[]' WHERE id = 'pbx-1.1'", []).unwrap();
    drop(connection);
    let opened = Opened::open(&settings, Now::read()).unwrap();
    assert_eq!(opened.restored, vec![conversation("pbx-2.1")]);
    assert!(opened.quarantined[0].starts_with("pbx-1.1: its state cannot be read"), "{:?}", opened.quarantined);
}

#[test]
fn only_one_process_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    assert_eq!(holder(&settings.path), None);
    let desk = open(&settings, 1, 50);
    assert_eq!(holder(&settings.path), Some(std::process::id()));
    let error = refusal(&settings);
    assert!(matches!(error, StartError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error:?}");
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    desk.stop();
    assert_eq!(holder(&settings.path), None);
    open(&settings, 1, 50).stop();
}

#[test]
fn files_that_are_no_database_of_ours_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let garbage = vec![b'x'; 8_192];
    std::fs::write(&settings.path, &garbage).unwrap();
    let error = refusal(&settings);
    assert!(matches!(error, StartError::Corrupt { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 74);
    assert_eq!(std::fs::read(&settings.path).unwrap(), garbage);

    std::fs::remove_file(&settings.path).unwrap();
    let other = rusqlite::Connection::open(&settings.path).unwrap();
    other.execute_batch("CREATE TABLE theirs (a); PRAGMA user_version = 1;").unwrap();
    drop(other);
    let error = refusal(&settings);
    assert!(error.to_string().contains("belongs to another program"), "{error}");
}

#[test]
fn a_damaged_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let desk = open(&settings, 1, 50);
    desk.save(vec![change("pbx-1.1", true, vec![record("pbx-1.1", 1, now_ms())])]);
    desk.stop();
    // Every page but the first, as a controller does that loses its mind.
    let mut bytes = std::fs::read(&settings.path).unwrap();
    bytes[4_096..].fill(0x5a);
    std::fs::write(&settings.path, bytes).unwrap();
    let error = refusal(&settings);
    assert!(matches!(error, StartError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("restore the last backup"), "{error}");
}

#[test]
fn a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    open(&settings, 1, 50).stop();
    let connection = rusqlite::Connection::open(&settings.path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = refusal(&settings);
    assert!(matches!(error, StartError::Newer { has: 99, .. }), "{error:?}");
    assert_eq!(error.exit_code(), 78);
    assert!(Reader::open(&settings.path).is_err(), "nor is it read");
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.path = folder.path().join("nowhere/calls.db");
    let error = refusal(&settings);
    assert!(matches!(error, StartError::NotWritable { .. }), "{error:?}");
    settings.path = folder.path().to_owned();
    let error = refusal(&settings);
    assert!(matches!(error, StartError::NotWritable { .. }), "{error:?}");
}
