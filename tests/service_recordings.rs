//! The files of recordings, with the real binary: they become ready with their size, are found again after a move, and a
//! folder that is not mounted is not a deleted file.

mod support;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::crm::Crm;
use support::office::exchange;
use support::program::Place;

const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration with this folder of recordings.
fn configure(place: &Place, ami_port: u16, crm: &Crm, folder: &Path) {
    place.write_usual(ami_port, &crm.url(), "\n[recordings]\nsearch = [\"archive/{year}\"]\n");
    let text = std::fs::read_to_string(place.config()).expect("written");
    place.write(&text.replacen("host = ", &format!("recordings = {folder:?}\nhost = "), 1));
}

/// The newest word on the only recording of the only call.
fn recording(crm: &Crm) -> Option<Value> {
    let newest = crm.newest();
    let record = newest.values().next()?;
    record["recordings"].as_array()?.first().cloned()
}

fn base_name(recording: &Value) -> String {
    recording["file"].as_str().expect("a name").rsplit('/').next().expect("a name").to_owned()
}

fn is(crm: &Crm, state: &str, size: u64) -> bool {
    recording(crm).is_some_and(|recording| recording["state"] == state && recording["size"] == size)
}

#[test]
fn a_recording_is_ready_when_it_has_stopped_growing_and_is_found_after_it_was_converted() {
    let (crm, place) = (Crm::start(), Place::new());
    let folder = place.folder.path().join("monitor");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("older.wav"), "of another call").expect("written");
    let stage = exchange(&["22/n_recorded"], 1, Duration::ZERO, 1.0);
    configure(&place, stage.address().port(), &crm, &folder);
    let mut service = place.start();
    crm.wait_until("it is being recorded", PATIENCE, |crm| {
        recording(crm).is_some_and(|recording| recording["state"] == "recording")
    });
    let name = base_name(&recording(&crm).expect("a recording"));
    let mut file = std::fs::File::create(folder.join(&name)).expect("made");
    file.write_all(&[0; 44]).expect("written");
    crm.wait_until("the call is over", PATIENCE, |crm| {
        crm.newest().values().all(|record| record["ended_at"].is_string())
    });
    // Asterisk writes the rest a moment later.
    file.write_all(&[1; 20_000]).expect("written");
    drop(file);
    crm.wait_until("it is ready", PATIENCE, |crm| is(crm, "ready", 20_044));
    let said = recording(&crm).expect("a recording");
    assert_eq!(base_name(&said), name);
    crm.assert_order();
    service.signal("TERM");
    assert!(service.wait(PATIENCE).success(), "{}", service.log());
    assert!(service.log().contains("stopped; what was not delivered"), "{}", service.log());

    // The night's job: converted and moved, while we are down.
    let year = said["started_at"].as_str().expect("a time")[..4].to_owned();
    let archive = folder.join("archive").join(&year);
    std::fs::create_dir_all(&archive).expect("made");
    let converted = name.replace(".wav", ".mp3");
    std::fs::write(archive.join(&converted), [2; 3_000]).expect("written");
    std::fs::remove_file(folder.join(&name)).expect("removed");
    let service = place.start();
    crm.wait_until("it is found again", PATIENCE, |crm| is(crm, "ready", 3_000));
    let said = recording(&crm).expect("a recording");
    assert_eq!(said["file"], format!("archive/{year}/{converted}"), "{}", service.log());
    crm.assert_order();
}

#[test]
fn a_folder_that_is_not_mounted_is_not_a_deleted_file_and_a_header_is_no_recording() {
    let (crm, place) = (Crm::start(), Place::new());
    let folder = place.folder.path().join("monitor");
    let stage = exchange(&["22/n_recorded"], 1, Duration::ZERO, 4.0);
    configure(&place, stage.address().port(), &crm, &folder);
    let service = place.start();
    crm.wait_until("nobody can tell", PATIENCE, |crm| {
        recording(crm).is_some_and(|recording| recording["state"] == "unavailable")
    });
    service.wait_for_log("is not there, or empty: is it mounted?", PATIENCE);
    let name = base_name(&recording(&crm).expect("a recording"));
    // A mount point without its mount, then the mount.
    std::fs::create_dir(&folder).expect("made");
    let mounted = place.folder.path().join("mounted");
    std::fs::create_dir(&mounted).expect("made");
    std::fs::write(mounted.join(name), [0; 44]).expect("written");
    std::fs::remove_dir(&folder).expect("removed");
    std::fs::rename(&mounted, &folder).expect("mounted");
    crm.wait_until("there is nothing in it", PATIENCE, |crm| is(crm, "empty", 44));
    service.wait_for_log("is there again", PATIENCE);
    crm.assert_order();
    assert!(crm.taken().iter().all(|taken| !taken.record["recordings"].to_string().contains("deleted")));
}
