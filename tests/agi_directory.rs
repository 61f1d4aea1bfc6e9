//! The directory and its CRM: fetched in increments, kept over restarts, asked live within the dialplan's time, never emptied by a
//! sick answer. The CRM is played at the socket, the database is the real one.

#[path = "crm_http/scripted.rs"]
#[allow(dead_code, reason = "the courier's tests use the rest")]
mod scripted;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinconnector::client::{Inquiry, LookUp};
use pinconnector::clock::Now;
use pinconnector::crm::calls_module::Refresh;
use pinconnector::crm::directory::pull::{Pull, Puller};
use pinconnector::crm::directory::{Directory, DirectorySettings, Part};
use pinconnector::crm::{Client, Crm, RequestLog};
use pinconnector::phone::{Numbers, NumbersSettings};
use pinconnector::store::{DirectoryRows, PowerLoss, sqlite::Database};
use scripted::{Asked, Reply, Server};

const USERS: &str = include_str!("wire/calls/users.answer.json");
const FIRST_PAGE: &str = include_str!("wire/calls/directory.answer.json");
const INCREMENT: &str = include_str!("wire/calls/directory-increment.answer.json");
const LOOKUP: &str = include_str!("wire/calls/lookup.answer.json");

/// The second and last page of the walk that [`FIRST_PAGE`] begins.
const LAST_PAGE: &str = r#"{"ok": true, "module": "Calls", "version": "1.0.0", "time": "2026-11-22T10:00:00.250Z",
    "more": false, "cursor": "since:731",
    "entries": [{"number": "8 (926) 000-00-01", "client": {"module": "Leads", "id": "7", "name": "Анна", "user": "6"}}]}"#;

struct House {
    directory: Arc<Directory>,
    crm: Arc<Crm>,
    puller: Puller,
}

fn crm(server: &Server) -> Arc<Crm> {
    let section = format!(
        "name = \"vtiger\"\nkind = \"calls\"\nurl = \"{}\"\nsecret = \"b9c1b0a8f7d64e0c9a3c5d7e1f20314255667788\"\n",
        server.url("")
    );
    Arc::new(Crm::open(&toml::from_str(&section).expect("a section")).expect("good").0)
}

fn database(folder: &Path) -> PathBuf {
    let path = folder.join("calls.db");
    drop(Database::open(&path, PowerLoss::LastSecond).expect("a database"));
    path
}

fn house(server: &Server, database: &Path, settings: DirectorySettings) -> House {
    let numbers = NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() };
    let part = Part { crm: "vtiger".to_owned(), several: settings.several.clone(), answers_live: true };
    let numbers = Arc::new(Numbers::new(&numbers).expect("good"));
    let directory = Arc::new(Directory::new(numbers, vec![part], Now::read()));
    let crm = crm(server);
    let shelf = Box::new(DirectoryRows::open(database, "vtiger").expect("rows"));
    let (of_puller, log) = (Arc::clone(&directory), RequestLog::none());
    let pull = Pull { crm: Arc::clone(&crm), settings, directory: of_puller, shelf, log };
    House { directory, crm, puller: pull.start().expect("a thread") }
}

impl House {
    fn stop(self) {
        assert!(self.puller.stop(Instant::now() + Duration::from_secs(20)), "the thread ends, also in mid-request");
    }

    /// Who has this number: `id/extension`, `-` nobody here.
    fn who(&self, number: &str) -> String {
        match self.directory.look_up(&inquiry(number), Now::read()) {
            LookUp::Found(found) => format!("{}/{}", found.client.id, found.responsible.unwrap_or_default()),
            _ => "-".to_owned(),
        }
    }

    fn eventually(&self, number: &str, who: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.who(number) != who {
            assert!(Instant::now() < until, "{number} is {} and not {who}", self.who(number));
            std::thread::yield_now();
        }
    }
}

fn inquiry(number: &str) -> Inquiry {
    let (crm, pbx, number) = ("vtiger".to_owned(), "spb".to_owned(), number.to_owned());
    Inquiry { crm, pbx, number, ..Inquiry::default() }
}

fn cursor(asked: &Asked) -> String {
    let json = asked.json();
    assert_eq!(json["op"], "directory", "{json}");
    json["cursor"].as_str().expect("a cursor").to_owned()
}

#[test]
fn a_walk_then_increments_then_a_restart_with_a_dead_crm() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let server = Server::start([USERS, FIRST_PAGE, LAST_PAGE].map(|body| Reply::new(200, body)));
    let house_1 = house(&server, &database, DirectorySettings::default());
    assert_eq!(server.next().json()["op"], "users");
    assert_eq!(cursor(&server.next()), "");
    assert_eq!(cursor(&server.next()), "all:731:+79161234567");
    house_1.eventually("+79260000001", "7/");
    assert_eq!(house_1.who("89161234567"), "4012/101");

    // The CRM says that something changed: it is asked at once, from where we are.
    server.then(Reply::new(200, INCREMENT));
    house_1.puller.orders.send(Refresh::Directory).expect("it runs");
    assert_eq!(cursor(&server.next()), "since:731");
    // Nobody's any more as such, it is found by the last digits of a number that has no more than those.
    house_1.eventually("+79161234567", "4020/101");
    assert_eq!((house_1.who("1234567").as_str(), house_1.who("+79161234568").as_str()), ("4020/101", "-"));
    server.then(Reply::Hang);
    house_1.puller.orders.send(Refresh::Directory).expect("it runs");
    assert_eq!(cursor(&server.next()), "since:733");
    house_1.stop();

    // Everything is known before the CRM has said a word.
    server.then(Reply::Hang);
    let house_2 = house(&server, &database, DirectorySettings::default());
    house_2.eventually("1234567", "4020/101");
    assert_eq!((house_2.who("89260000001").as_str(), house_2.who("+79161234567").as_str()), ("7/", "4020/101"));
    house_2.stop();
}

#[test]
fn a_new_walk_forgets_what_it_has_not_seen_and_goes_on_where_it_was_broken_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let server = Server::start([USERS, FIRST_PAGE, LAST_PAGE].map(|body| Reply::new(200, body)));
    let house_1 = house(&server, &database, DirectorySettings::default());
    house_1.eventually("+79260000001", "7/");
    for _ in 0..3 {
        server.next();
    }
    // The CRM has lost its cursor and begins again; then it dies in mid-walk, and so do we.
    server.then(Reply::new(200, FIRST_PAGE));
    server.then(Reply::new(500, "Internal Server Error"));
    house_1.puller.orders.send(Refresh::Directory).expect("it runs");
    assert_eq!(
        (cursor(&server.next()), cursor(&server.next())),
        ("since:731".to_owned(), "all:731:+79161234567".to_owned())
    );
    // Nothing is gone meanwhile.
    assert_eq!((house_1.who("+79260000001").as_str(), house_1.who("+74957654321").as_str()), ("7/", "4001/"));
    house_1.stop();

    let last = LAST_PAGE.replace("8 (926) 000-00-01", "+79260000002");
    server.then(Reply::new(200, USERS));
    server.then(Reply::new(200, last));
    let house_2 = house(&server, &database, DirectorySettings::default());
    assert_eq!(server.next().json()["op"], "users");
    assert_eq!(cursor(&server.next()), "all:731:+79161234567");
    house_2.eventually("+79260000002", "7/");
    house_2.eventually("+79260000001", "-");
    assert_eq!(house_2.who("+79161234567"), "4012/101", "seen before the break");
    house_2.stop();
}

#[test]
fn a_sick_crm_empties_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let server = Server::start([USERS, FIRST_PAGE, LAST_PAGE].map(|body| Reply::new(200, body)));
    let house = house(&server, &database, DirectorySettings::default());
    house.eventually("+79260000001", "7/");
    let no_users =
        r#"{"ok": true, "module": "Calls", "version": "1.0.0", "time": "2026-11-22T10:00:00.250Z", "users": []}"#;
    let nothing = LAST_PAGE.replace("\"more\"", "\"reset\": true, \"more\"");
    let nothing = nothing[..nothing.find("\"entries\"").expect("entries")].to_owned() + "\"entries\": []}";
    for body in [no_users, nothing.as_str(), "<html>", USERS, "{}"] {
        server.then(Reply::new(200, body));
    }
    for _ in 0..3 {
        server.next();
    }
    for asked in [2, 1, 2] {
        house.puller.orders.send(Refresh::Users).expect("it runs");
        for _ in 0..asked {
            server.next();
        }
    }
    // A round that fails asks no more in it; whatever was said, all is as it was.
    assert_eq!((house.who("+79161234567").as_str(), house.who("+79260000001").as_str()), ("4012/101", "7/"));
    house.stop();
}

#[test]
fn a_live_question_is_given_up_in_time_and_its_answer_is_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    // The puller must not eat the script of the clerk: it talks to a CRM of its own that says nothing.
    let silent = Server::start([Reply::Hang]);
    let house = house(&silent, &database, DirectorySettings::default());
    let server = Server::start([Reply::Hang, Reply::new(200, LOOKUP)]);
    let mut line = Client::new(crm(&server), RequestLog::none());
    let began = Instant::now();
    let answer = house.directory.ask(&mut line, &inquiry("89161234567"), Duration::from_millis(150));
    let took = began.elapsed();
    assert!(answer.is_err(), "{answer:?}");
    assert!(took >= Duration::from_millis(140) && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(house.who("89161234567"), "-");
    let found = house.directory.ask(&mut line, &inquiry("89161234567"), Duration::from_secs(10));
    assert_eq!(found.expect("an answer").expect("a client").client.id, "4012");
    assert_eq!(house.who("+79161234567"), "4012/");
    assert_eq!(house.crm.name, "vtiger");
    house.stop();
}

#[test]
fn a_file_is_a_directory_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let file = folder.path().join("clients.json");
    let text = |number: &str| {
        format!(
            r#"{{"entries": [{{"number": "{number}", "client": {{"id": "1", "user": "5"}}}}],
                "users": [{{"user": "5", "active": true, "extensions": [{{"extension": "101"}}]}}]}}"#
        )
    };
    std::fs::write(&file, text("+79161234567")).expect("written");
    let settings =
        DirectorySettings { from: Some(file.to_str().expect("UTF-8").to_owned()), ..DirectorySettings::default() };
    let server = Server::start([]);
    let house_1 = house(&server, &database, settings.clone());
    house_1.eventually("+79161234567", "1/101");
    std::fs::write(&file, text("+7 926 000-00-01")).expect("written");
    house_1.puller.orders.send(Refresh::Directory).expect("it runs");
    house_1.eventually("+79260000001", "1/101");
    house_1.eventually("+79161234567", "-");
    house_1.stop();
    // Gone, as an address may be; and broken. What was known is known.
    std::fs::remove_file(&file).expect("removed");
    let house_2 = house(&server, &database, settings);
    house_2.eventually("+79260000001", "1/101");
    std::fs::write(&file, "{\"entries\": [").expect("written");
    house_2.puller.orders.send(Refresh::Directory).expect("it runs");
    house_2.eventually("+79260000001", "1/101");
    house_2.stop();
}
