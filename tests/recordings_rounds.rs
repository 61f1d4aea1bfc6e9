//! The watcher's rounds through the history: what they find changed, and what they delete.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::tz::TimeZone;
use pinconnector::call::Record;
use pinconnector::call::record::{Amendment, RecordingState};
use pinconnector::clock::{Now, rfc3339};
use pinconnector::recordings::{self, Plan, RecordingsSettings, Shelf, Told};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;

/// A finished call so many days ago with one recording in this state.
fn record(nth: usize, days_ago: i64, file: &str, state: Option<(&str, u64)>) -> Record {
    let at = rfc3339(Now::read().wall_ms - days_ago * DAY_MS);
    let mut recording = json!({ "id": format!("r{nth}"), "file": file, "started_at": at });
    if let Some((state, size)) = state {
        recording["state"] = state.into();
        recording["size"] = size.into();
    }
    serde_json::from_value(json!({
        "id": format!("call-{nth}"), "conversation": format!("call-{nth}"), "pbx": "office", "revision": 1, "source": "ami",
        "direction": "incoming", "status": "completed", "lead": true, "started_at": at, "ended_at": at,
        "recordings": [recording],
    }))
    .expect("a record")
}

struct Watched {
    told: Sender<Told>,
    amended: Receiver<(String, Amendment)>,
    /// A page was asked for; so many records below that one were given.
    pages: Receiver<usize>,
    thread: pinconnector::threads::Thread,
}

fn watch(folder: &Path, records: Vec<Record>) -> Watched {
    let (amendments, amended) = bounded(10_000);
    let (page_sender, pages) = bounded(10_000);
    let plan = Plan {
        shelves: vec![Shelf { pbx: "office".to_owned(), folder: folder.to_owned(), zone: TimeZone::UTC }],
        settings: RecordingsSettings::default(),
        amend: Box::new(move |id, amendment| amendments.try_send((id, amendment)).is_ok()),
        older: Box::new(move |below, limit| {
            let until = below.map_or(records.len(), |below| usize::try_from(below).expect("a number"));
            let from = until.saturating_sub(limit);
            let page: Vec<_> =
                (from..until).rev().map(|n| (i64::try_from(n).expect("small"), records[n].clone())).collect();
            let _ = page_sender.try_send(page.len());
            Ok(page)
        }),
        clock: Now::read,
    };
    let (told, from_told) = bounded(100);
    let thread = recordings::start(plan, from_told).expect("a thread");
    Watched { told, amended, pages, thread }
}

impl Watched {
    /// A round with these days to keep, from its beginning to its end.
    fn go_round(&self, keep_days: u32) {
        while self.pages.try_recv().is_ok() {}
        // Something else than before, so that it is taken over at once.
        let search = vec![format!("archive/{keep_days}")];
        self.told.send(Told::Reloaded(RecordingsSettings { search, keep_days, push: false })).expect("it runs");
        while self.pages.recv_timeout(PATIENCE).expect("the round goes on") > 0 {}
    }

    fn said(&self) -> Vec<(String, RecordingState)> {
        self.amended
            .try_iter()
            .map(|(id, amendment)| match amendment {
                Amendment::Recording { state, .. } => (id, state),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn stop(self) {
        drop(self.told);
        assert!(self.thread.join_until(std::time::Instant::now() + PATIENCE));
    }
}

fn write(folder: &Path, file: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, [0; 100]).expect("written");
}

#[test]
fn what_others_deleted_is_noticed_and_what_is_as_before_is_not_said_again() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let mut records: Vec<Record> = (0..250)
        .map(|nth| {
            let file = format!("2026/{nth}.wav");
            write(folder, &file);
            record(nth, 2, &file, Some(("ready", 100)))
        })
        .collect();
    std::fs::remove_file(folder.join("2026/17.wav")).expect("removed");
    // Known to be gone, long ago; and one that still goes on.
    records.push(record(250, 30, "gone.wav", Some(("deleted", 0))));
    let mut open = record(251, 0, "open.wav", Some(("recording", 0)));
    open.ended_at = None;
    records.push(open);
    let watched = watch(folder, records);
    watched.go_round(0);
    assert_eq!(watched.said(), [("call-17".to_owned(), RecordingState::Deleted)]);
    watched.stop();
}

#[test]
fn only_files_of_old_calls_are_deleted_and_none_outside_the_folder() {
    let place = tempfile::tempdir().expect("a folder");
    let outside = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    for file in ["old.wav", "old.mp3", "2026/old.gsm", "young.wav", "nobody's.wav"] {
        write(folder, file);
    }
    write(outside.path(), "secret.wav");
    write(outside.path(), "linked.wav");
    symlink(outside.path().join("linked.wav"), folder.join("linked.wav")).expect("linked");
    symlink(outside.path(), folder.join("out")).expect("linked");
    symlink("nobody's.wav", folder.join("link to nobody's.wav")).expect("linked");
    let ready = Some(("ready", 100));
    let records = vec![
        record(0, 91, "/var/spool/asterisk/monitor/old.wav", ready),
        record(1, 91, "2026/old.wav", ready),
        record(2, 89, "young.wav", ready),
        record(3, 91, "linked.wav", ready),
        record(4, 91, "out/secret.wav", ready),
        record(5, 91, &format!("../{}/secret.wav", outside.path().file_name().expect("a name").display()), ready),
        record(7, 91, "link to nobody's.wav", ready),
        record(6, 91, &outside.path().join("secret.wav").display().to_string(), ready),
    ];
    let watched = watch(folder, records);
    watched.go_round(0);
    assert!(folder.join("old.wav").exists(), "nothing is deleted where nobody asked for it");
    let _ = watched.said();
    watched.go_round(90);
    let deleted: Vec<String> = watched.said().into_iter().map(|(id, _)| id).collect();
    assert!(deleted.contains(&"call-0".to_owned()) && deleted.contains(&"call-1".to_owned()), "{deleted:?}");
    assert!(!deleted.contains(&"call-2".to_owned()));
    assert!(!deleted.contains(&"call-7".to_owned()), "a link is not removed, so nothing is gone");
    for (file, stays) in
        [("old.wav", false), ("old.mp3", false), ("2026/old.gsm", false), ("young.wav", true), ("nobody's.wav", true)]
    {
        assert_eq!(folder.join(file).exists(), stays, "{file}");
    }
    assert!(outside.path().join("secret.wav").exists() && outside.path().join("linked.wav").exists());
    watched.stop();
}
