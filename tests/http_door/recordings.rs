//! Recordings: who hears them, which part, and that nothing else is ever heard.

use std::io::Read;
use std::time::{Duration, Instant};

use pinconnector::clock::Now;
use pinconnector::http::{links, recording_path};
use pinconnector::secret::Secret;

use crate::stage::{Client, LINK_KEY, SECRET, Stage, TOKEN, alone, anonymous_bytes, nonce, place, setup, signed_as};

struct Sounds {
    stage: Stage,
    folder: tempfile::TempDir,
}

fn sounds() -> Sounds {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    std::fs::create_dir(folder.path().join("2026 год")).expect("made");
    for name in ["2026 год/звонок 1.wav", "b.ulaw"] {
        std::fs::write(folder.path().join(name), &bytes).expect("written");
    }
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.wav")).expect("linked");
    let stage = Stage::new(setup());
    let of = |file: &str| place(folder.path().to_owned(), file);
    stage.known().recordings = vec![
        ("ab12".into(), of("2026 год/звонок 1.wav")),
        ("mu".into(), of("b.ulaw")),
        ("link".into(), of("link.wav")),
        ("up".into(), of("../../../../etc/passwd")),
        ("gone".into(), of("nothing.wav")),
        ("../ab12".into(), of("2026 год/звонок 1.wav")),
    ];
    Sounds { stage, folder }
}

fn link(path: &str, query: &str, in_s: i64) -> String {
    let expires = Now::read().wall_ms / 1000 + in_s;
    links::sign(&Secret::new(SECRET), &format!("{path}?key=vtiger&expires={expires}{query}"))
}

#[test]
fn a_recording_is_heard_by_whom_it_belongs_to() {
    let _alone = alone();
    let Sounds { stage, folder: _folder } = sounds();
    assert_eq!(stage.get("/recordings/ab12", "").error(), (401, "login".into()));
    assert_eq!(stage.signed("GET", "/recordings/ab12", "").body.len(), 1000);
    assert_eq!(stage.signed("GET", "/recordings/ab12?download=1", "").status, 200);
    let theirs = signed_as("other", "another-secret", "GET", "/recordings/ab12", "", 0, &nonce());
    assert_eq!(stage.ask(&theirs, b"").error(), (404, "not_found".into()), "another CRM's");
    assert_eq!(stage.get("/recordings/ab12", &format!("Authorization: Bearer {TOKEN}\r\n")).status, 200);
    let good = link("/recordings/ab12", "", 60);
    let reply = stage.get(&good, "");
    assert_eq!((reply.status, reply.header("content-type"), reply.body.len()), (200, Some("audio/wav"), 1000));
    let disposition = reply.header("content-disposition").expect("a name");
    assert!(disposition.starts_with("inline;") && disposition.contains("filename*=UTF-8''%D0%B7"), "{disposition}");
    assert_eq!(stage.get(&link("/recordings/ab12", "", -1), "").error(), (403, "expired".into()));
    assert_eq!(stage.get(&format!("{good}0"), "").status, 401);
    assert_eq!(stage.get(&good.replace("ab12", "mu"), "").error(), (403, "signature".into()));
    let download = stage.get(&link("/recordings/ab12", "&download=1", 60), "");
    assert!(download.header("content-disposition").is_some_and(|d| d.starts_with("attachment")), "{download:?}");
    assert_eq!(stage.get(&good.replace("&signature", "&download=1&signature"), "").error(), (403, "signature".into()));

    let token = recording_path(&LINK_KEY, 1, "ab12");
    assert_eq!(stage.get(&token, "").body.len(), 1000);
    assert_eq!(stage.get(&recording_path(&LINK_KEY, 2, "ab12"), "").status, 404, "another generation");
    assert_eq!(stage.get("/r/ab12.00000000000000000000000000000000", "").status, 404);
    let mut with = setup();
    with.http.recording_links_need_login = true;
    let closed = Stage::new(with);
    assert_eq!(closed.get(&token, "").error(), (401, "login".into()));
}

#[test]
fn nothing_but_recordings_is_heard() {
    let _alone = alone();
    let Sounds { stage, folder: _folder } = sounds();
    for id in ["link", "up", "gone"] {
        let reply = stage.signed("GET", &format!("/recordings/{id}"), "");
        assert_eq!(reply.error(), (404, "deleted".into()), "{id}");
        assert!(!reply.text().contains("root:"));
    }
    for path in [
        "/recordings/../../etc/passwd",
        "/recordings/..%2f..%2fetc%2fpasswd",
        "/recordings/%2e%2e/ab12x",
        "/recordings/%00",
        "/recordings/%ff",
        "/recordings/",
        "/recordings/%zz",
    ] {
        let reply = stage.signed("GET", path, "");
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
    }
    // An id is a key of the database, never a path: this one has that very name.
    assert_eq!(stage.signed("GET", "/recordings/..%2Fab12", "").status, 200);
}

#[test]
fn the_part_that_was_asked_for() {
    let _alone = alone();
    let Sounds { stage, folder } = sounds();
    let path = recording_path(&LINK_KEY, 1, "ab12");
    let part = stage.get(&path, "Range: bytes=10-19\r\n");
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 10-19/1000")));
    assert_eq!(part.body, (10..20).collect::<Vec<u8>>());
    let past = stage.get(&path, "Range: bytes=1000-\r\n");
    assert_eq!((past.status, past.header("content-range")), (416, Some("bytes */1000")));
    let mut client = Client::new(stage.address);
    client.send(&format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n"), b"");
    let head = client.reply_head().expect("a head");
    assert_eq!(
        (head.status, head.header("content-length"), head.header("accept-ranges")),
        (200, Some("1000"), Some("bytes"))
    );
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes=-1\r\n"), b"");
    assert_eq!(client.reply().body, [(999 % 256) as u8], "the same connection goes on");

    let etag = stage.get(&path, "").header("etag").expect("a tag").to_owned();
    assert_eq!(stage.get(&path, &format!("If-None-Match: {etag}\r\n")).status, 304);
    assert_eq!(stage.get(&path, "If-None-Match: \"x\"\r\n").status, 200);
    assert_eq!(stage.get(&path, &format!("Range: bytes=1-2\r\nIf-Range: {etag}\r\n")).status, 206);
    std::fs::write(folder.path().join("2026 год/звонок 1.wav"), "other").expect("written");
    assert_eq!(stage.get(&path, &format!("Range: bytes=1-2\r\nIf-Range: {etag}\r\n")).status, 200, "it changed");

    let mu = stage.get(&recording_path(&LINK_KEY, 1, "mu"), "");
    assert_eq!((mu.header("content-type"), mu.body.len(), &mu.body[..4]), (Some("audio/wav"), 2044, &b"RIFF"[..]));
    let part = stage.get(&recording_path(&LINK_KEY, 1, "mu"), "Range: bytes=51-60\r\n");
    assert_eq!(part.body, mu.body[51..61]);
}

#[test]
fn an_hour_begins_at_once_and_is_not_held_in_memory() {
    let _alone = alone();
    let Sounds { stage, folder } = sounds();
    // An hour and more of 16-bit sound; its middle is a hole on the disk.
    let length = 200_000_000;
    let file = std::fs::File::create(folder.path().join("hour.wav")).expect("made");
    file.set_len(length).expect("set");
    stage.known().recordings.push(("hour".into(), place(folder.path().to_owned(), "hour.wav")));
    let path = recording_path(&LINK_KEY, 1, "hour");
    let before = anonymous_bytes();
    // Twenty players that have been paused, and one that plays on.
    let paused: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = stage.client();
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n"), b"");
            assert_eq!(client.reply_head().expect("a head").status, 200);
            client
        })
        .collect();
    let begun = Instant::now();
    let mut client = stage.client();
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n"), b"");
    client.reply_head().expect("a head");
    let mut piece = vec![0; 64 * 1024];
    client.stream.read_exact(&mut piece[..1]).expect("a byte");
    let first = begun.elapsed();
    let mut read = 1;
    while read < length {
        let got = client.stream.read(&mut piece).expect("more");
        assert!(got > 0, "broken off at {read}");
        read += got as u64;
    }
    println!("first byte after {first:?}, 200 MB after {:?}", begun.elapsed());
    assert!(first < Duration::from_millis(100), "{first:?}");
    let grown = anonymous_bytes().saturating_sub(before);
    assert!(grown < 20 << 20, "grown by {grown} bytes");
    assert!(stage.honest_ms() < 100);
    drop(paused);
    stage.stop();
}
