//! The program as a person uses it: a service whose history is in MongoDB, and the commands that look at it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;

use pinconnector::call::record::{Recording, Status};
use pinconnector::outbox::{Delivery, Outcome, Verdict};
use pinconnector::store::mongodb::Target;
use pinconnector::store::mongodb::writer::Writer;

use crate::desk::target;
use crate::lab::Lab;
use crate::store_support::{moment, now_ms, record};
use crate::support::program::Place;

const DAY_MS: i64 = 86_400_000;

/// A call of a hundred days ago, known to MongoDB alone.
fn long_ago(target: &Target) {
    let at = now_ms() - 100 * DAY_MS;
    let mut call = record("pbx-old.1", 1, at);
    (call.status, call.ended_at) = (Status::Completed, Some(moment(at + 60_000)));
    let (id, file) = ("rec-old".to_owned(), "old.wav".to_owned());
    call.recordings.push(Recording { id, file, started_at: moment(at), state: None, size: None });
    let body = serde_json::json!({"conversation": "pbx-old.1", "calls": [call]}).to_string().into();
    let delivery = Delivery { record_id: "pbx-old.1".to_owned(), revision: 1, body, changed_at_ms: at, told: None };
    let outcome = Writer::new(target.clone()).deliver(&[delivery]);
    assert_eq!(outcome, Outcome::Answered(vec![Verdict::Saved]));
}

fn said(out: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn calls_and_recordings_reach_back_into_mongodb_and_say_when_it_is_away() {
    let mut lab = Lab::start("standalone");
    let target = target(&lab.uri);
    long_ago(&target);
    let place = Place::new();
    let sounds = place.folder.path().join("sounds");
    std::fs::create_dir(&sounds).unwrap();
    std::fs::write(sounds.join("old.wav"), b"RIFF....WAVEfmt the sound of it").unwrap();
    place.write(&format!(
        "[[asterisk]]\nname = \"pbx\"\nhost = \"127.0.0.1\"\nport = 1\nusername = \"pinconnector\"\n\
         secret = \"a-secret-of-twenty-bytes\"\nrecordings = {sounds:?}\n\n[numbers]\nregion = \"RU\"\n\n\
         [store]\npath = {:?}\nkind = \"mongodb\"\n\n[store.mongodb]\nuri = \"{}\"\ndatabase = \"{}\"\n\n\
         [agi]\nlisten = []\n\n[http]\nlisten = \"127.0.0.1:0\"\nlocal_without_login = true\n",
        place.database(),
        lab.uri,
        target.settings.database
    ));
    let mut service = place.start();
    let limit = Duration::from_secs(30);
    service.wait_for_log("http: listening on ", limit);
    let log = service.log();
    let address = log.split("http: listening on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();

    let (code, out, err) = said(&place.command(&["calls", "--json"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("\"id\":\"pbx-old.1-1\""), "{out}");
    let (code, out, _) = said(&place.command(&["calls", "--conversation", "pbx-old.1"]));
    assert!(code == Some(0) && out.contains("89161234567"), "{out}");
    let (code, ..) = said(&place.command(&["calls", "--conversation", "pbx-none.1"]));
    assert_eq!(code, Some(65));

    let sound = get(&address, "/recordings/rec-old");
    assert!(sound.contains(" 200 ") && sound.ends_with("the sound of it"), "{sound}");

    lab.order("kill 0");
    let (code, _, err) = said(&place.command(&["calls"]));
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("MongoDB") && err.contains("are in MongoDB and are not shown"), "{err}");
    let (code, _, err) = said(&place.command(&["calls", "--open"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "what goes on now is here");
    let sound = get(&address, "/recordings/rec-old");
    assert!(sound.contains(" 503 "), "{sound}");

    lab.order("start 0");
    let (code, out, err) = said(&place.command(&["history", "copy", "--from", "mongodb", "--to", "sqlite"]));
    assert!(code == Some(0) && out.starts_with("1 conversations written"), "{out}{err}");
    assert!(err.contains("set kind = \"sqlite\""), "{err}");
    // Now here as well: nobody has to be asked.
    lab.order("kill 0");
    let (code, out, _) = said(&place.command(&["calls", "--conversation", "pbx-old.1"]));
    assert!(code == Some(0) && out.contains("89161234567"), "{out}");
    service.signal("TERM");
    assert!(service.wait(limit).success(), "{}", service.log());
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
