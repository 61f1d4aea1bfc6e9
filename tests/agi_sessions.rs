//! FastAGI over real sockets: what the dialplan is told, in time, whatever anybody does.

mod agi_support;

use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agi_support::{Asterisk, Crm, ask, eventually, ivan, limits, office, prelude, settings, start};
use crossbeam_channel::{bounded, never};
use pinconnector::agi::{self, AgiSettings, Pbx};
use pinconnector::asterisk::{PbxId, Uniqueid};
use pinconnector::client::{Found, LookUp};
use pinconnector::phone::{Numbers, NumbersSettings, OwnNumbers};

const KNOWN: &str = "+79161234567";
const UNKNOWN: &str = "+79169999999";
/// Loaded machines are late; what must not happen takes far longer.
const LATE: Duration = Duration::from_millis(1_500);

fn stop(agi: agi::Agi) {
    let left = agi.stop(Instant::now() + Duration::from_secs(20));
    assert!(left.is_empty(), "still running: {left:?}");
}

#[test]
fn a_known_client_goes_to_his_manager_and_into_the_record() {
    let (agi, identified) = start(&settings(), Crm::Fails);
    let said = ask(agi.addresses[0], "responsible", KNOWN);
    for (name, value) in [
        ("RESPONSIBLE", "101"),
        ("RESPONSIBLE_GROUP", "3"),
        ("CLIENT_NAME", "Иван Петров"),
        ("CLIENT_ID", "4012"),
        ("CLIENT_MODULE", "Contacts"),
    ] {
        assert_eq!(said.value(name), Some(value), "{name}");
    }
    assert_eq!(said.set.last().expect("something was set"), &("PINCONNECTOR_STATUS".to_owned(), "OK".to_owned()));
    assert_eq!(said.value("CALLERID(name)"), None);

    let said = ask(agi.addresses[0], "client?number=8%28916%29123-45-67", "anonymous");
    assert_eq!((said.value("CALLERID(name)"), said.status()), (Some("Иван Петров"), Some("OK")));

    let who = identified.recv_timeout(LATE).expect("the call is told who calls");
    assert_eq!((who.pbx, who.uniqueid), (PbxId(0), Uniqueid::new("1763805700.21")));
    assert_eq!((who.client_id.as_deref(), who.client_name.as_deref()), (Some("4012"), Some("Иван Петров")));
    assert_eq!((agi.counts().sessions, agi.counts().ok), (2, 2));
    stop(agi);
}

#[test]
fn an_outgoing_call_shows_a_number_of_ours() {
    let (agi, _) = start(&settings(), Crm::Says(None));
    let said = ask(agi.addresses[0], "callerid?to=89161234567&from=101", "101");
    assert_eq!((said.value("OUTGOING_CALLERID"), said.status()), (Some("+74951234500"), Some("OK")));
    // Nobody in the CRM, but he was called before.
    let said = ask(agi.addresses[0], "callerid?to=89169999999&from=101", "101");
    assert_eq!((said.value("OUTGOING_CALLERID"), said.status()), (Some("+74951234500"), Some("OK")));
    stop(agi);
}

#[test]
fn an_exchange_in_another_country_reads_numbers_and_extensions_its_own_way() {
    let german = |extensions: &str| {
        let (mut office, _) = office(Crm::Says(None));
        let own = OwnNumbers {
            region: Some("DE".to_owned()),
            extensions: Some(vec![extensions.to_owned()]),
            ..OwnNumbers::default()
        };
        office.look_up = Box::new(|inquiry| match inquiry.number.as_str() {
            "+493023125100" => LookUp::Found(Box::new(ivan())),
            _ => LookUp::Miss,
        });
        let russian = NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() };
        office.numbers.own.insert(0, Arc::new(Numbers::new(&russian.with(&own)).expect("good")));
        agi::spawn(limits(&settings()), office).expect("it listens")
    };
    for (extensions, status) in [("_1XX", "OK"), ("_2XX", "ABSENT")] {
        let agi = german(extensions);
        let said = ask(agi.addresses[0], "responsible", "03023125100");
        assert_eq!((said.value("CLIENT_ID"), said.status()), (Some("4012"), Some(status)));
        stop(agi);
    }
}

#[test]
fn a_miss_is_asked_live() {
    let other = Found { responsible: None, ..ivan() };
    for (crm, status, id) in [
        (Crm::Says(Some(ivan())), "OK", "4012"),
        (Crm::Says(Some(other)), "ABSENT", "4012"),
        (Crm::Says(None), "NOTFOUND", ""),
        (Crm::Fails, "TIMEOUT", ""),
    ] {
        let (agi, _) = start(&settings(), crm);
        let said = ask(agi.addresses[0], "responsible", UNKNOWN);
        assert_eq!((said.status(), said.value("CLIENT_ID")), (Some(status), Some(id)));
        stop(agi);
    }
}

#[test]
fn a_crm_that_hangs_costs_half_the_budget_and_nobody_else() {
    let (release, held) = bounded::<()>(0);
    let settings = AgiSettings { budget_ms: 1_000, lookups: 1, ..settings() };
    let (agi, _) = start(&settings, Crm::Hangs(held));
    let began = Instant::now();
    let mut slow = Asterisk::connect(agi.addresses[0]);
    slow.say(&prelude("responsible", UNKNOWN));
    // Those whom the directory knows notice nothing.
    assert_eq!(ask(agi.addresses[0], "responsible", KNOWN).status(), Some("OK"));
    slow.obey();
    let took = began.elapsed();
    assert_eq!((slow.status(), slow.value("RESPONSIBLE")), (Some("TIMEOUT"), Some("")));
    assert!(took >= Duration::from_millis(490) && took < Duration::from_millis(500) + LATE, "{took:?}");
    // The pool is full of abandoned questions: nobody waits for what cannot come.
    let began = Instant::now();
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let mut one = Asterisk::connect(agi.addresses[0]);
            one.say(&prelude("callerid?to=89169999999", "101"));
            one
        })
        .collect();
    for mut one in crowd {
        one.obey();
        assert_eq!(one.status(), Some("TIMEOUT"));
        assert_eq!(one.value("OUTGOING_CALLERID"), Some("+74951234531"), "the default, since nobody could say");
    }
    assert!(began.elapsed() < Duration::from_millis(500) + LATE);
    drop(release);
    stop(agi);
}

#[test]
fn withheld_numbers_and_unknown_scripts_are_answered_without_asking_anybody() {
    let (agi, identified) = start(&settings(), Crm::Says(Some(ivan())));
    for number in ["anonymous", "unknown", "", "sip:x@y"] {
        let said = ask(agi.addresses[0], "responsible", number);
        assert_eq!((said.status(), said.value("RESPONSIBLE")), (Some("NOTFOUND"), Some("")), "{number}");
    }
    for script in ["dance", "", "../etc/passwd", "responsible.php"] {
        let said = ask(agi.addresses[0], script, KNOWN);
        assert_eq!((said.status(), said.set.len()), (Some("ERROR"), 1), "{script}");
    }
    assert!(identified.try_recv().is_err());
    assert_eq!((agi.counts().not_found, agi.counts().error), (4, 4));
    stop(agi);
}

#[test]
fn what_is_no_agi_is_told_so_at_once() {
    let settings = AgiSettings { budget_ms: 5_000, ..settings() };
    let (agi, _) = start(&settings, Crm::Fails);
    let began = Instant::now();
    let floods = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}garbage\n".to_owned(),
        "\n".to_owned(),
        "agi_x: y\n".repeat(10_000),
        "agi_network: yes".to_owned() + &"x".repeat(100_000),
    ];
    for flood in &floods {
        let mut stranger = Asterisk::connect(agi.addresses[0]);
        // It may be told before it has said everything.
        let _ = std::io::Write::write_all(&mut stranger.stream, flood.as_bytes());
        let _ = stranger.stream.shutdown(Shutdown::Write);
        let said = stranger.rest();
        assert_eq!(said, "SET VARIABLE PINCONNECTOR_STATUS \"ERROR\"\n", "{:?}", &flood[..flood.len().min(20)]);
    }
    assert!(began.elapsed() < Duration::from_secs(4), "nobody waited for the budget");
    eventually("all are counted", || agi.counts().not_agi == floods.len() as u64);
    assert_eq!(ask(agi.addresses[0], "responsible", KNOWN).status(), Some("OK"));
    stop(agi);
}

#[test]
fn silence_and_half_a_prelude_end_with_the_budget() {
    let (agi, _) = start(&settings(), Crm::Fails);
    for start in ["", "agi_network: yes\nagi_network_scr", "agi_network: yes\n"] {
        let began = Instant::now();
        let mut asterisk = Asterisk::connect(agi.addresses[0]);
        asterisk.say(start);
        let said = asterisk.rest();
        let took = began.elapsed();
        assert_eq!(said, "SET VARIABLE PINCONNECTOR_STATUS \"TIMEOUT\"\n");
        assert!(took >= Duration::from_millis(280) && took < LATE, "{took:?}");
    }
    // Asks, and then never answers a command.
    let began = Instant::now();
    let mut asterisk = Asterisk::connect(agi.addresses[0]);
    asterisk.say(&prelude("responsible", KNOWN));
    let said = asterisk.rest();
    assert!(said.starts_with("SET VARIABLE RESPONSIBLE \"101\"\n"), "{said}");
    assert!(said.ends_with("SET VARIABLE PINCONNECTOR_STATUS \"TIMEOUT\"\n"), "{said}");
    assert!(began.elapsed() < LATE);
    eventually("all are counted", || agi.counts().unheard == 4);
    stop(agi);
}

#[test]
fn a_prelude_may_come_in_any_pieces() {
    let (agi, _) = start(&AgiSettings { budget_ms: 5_000, ..settings() }, Crm::Fails);
    let whole = prelude("responsible", KNOWN).replace('\n', "\r\n");
    for piece_bytes in [1, 7, 64] {
        let mut asterisk = Asterisk::connect(agi.addresses[0]);
        for piece in whole.as_bytes().chunks(piece_bytes) {
            std::io::Write::write_all(&mut asterisk.stream, piece).expect("it listens");
        }
        asterisk.obey();
        assert_eq!(asterisk.status(), Some("OK"));
    }
    stop(agi);
}

#[test]
fn who_hangs_up_is_let_go_at_once() {
    let settings = AgiSettings { budget_ms: 5_000, sessions: 1, ..settings() };
    let (agi, _) = start(&settings, Crm::Hangs(never()));
    // Between connection and prelude, after the prelude, between two commands; each time the one session must be free again.
    drop(Asterisk::connect(agi.addresses[0]));
    eventually("one is gone", || agi.counts().hung_up == 1);
    let mut asterisk = Asterisk::connect(agi.addresses[0]);
    asterisk.say(&prelude("responsible", UNKNOWN));
    drop(asterisk);
    eventually("two are gone", || agi.counts().hung_up == 2);
    let mut asterisk = Asterisk::connect(agi.addresses[0]);
    asterisk.say(&prelude("responsible", KNOWN));
    assert_eq!(asterisk.command().as_deref(), Some("SET VARIABLE RESPONSIBLE \"101\""));
    drop(asterisk);
    eventually("three are gone", || agi.counts().hung_up == 3);
    // The caller hangs up: Asterisk says so in place of an answer, or that the channel is dead.
    for (nth, word) in
        ["HANGUP\n", "511 Command Not Permitted on a dead channel or intercept routine\n"].iter().enumerate()
    {
        let mut asterisk = Asterisk::connect(agi.addresses[0]);
        asterisk.say(&prelude("responsible", KNOWN));
        asterisk.command().expect("the first command");
        asterisk.say(word);
        assert_eq!(asterisk.command(), None, "nobody talks to a dead channel");
        eventually("all are gone", || agi.counts().hung_up == 4 + nth as u64);
    }
    assert_eq!(agi.counts().sessions, 5);
    drop(agi);
}

#[test]
fn a_command_that_asterisk_refuses_does_not_cost_the_status() {
    let (agi, _) = start(&settings(), Crm::Fails);
    let mut asterisk = Asterisk::connect(agi.addresses[0]);
    asterisk.say(&prelude("responsible", KNOWN));
    let mut answers = [
        "510 Invalid or unknown command\n",
        "520-Invalid command syntax.  Proper usage follows:\n Usage: SET VARIABLE\n520 End of proper usage.\n",
        "100 result=0 Trying...\n200 result=1\n",
    ]
    .iter()
    .cycle();
    while let Some(command) = asterisk.command() {
        asterisk.note(&command);
        let _ = std::io::Write::write_all(&mut asterisk.stream, answers.next().expect("a cycle").as_bytes());
    }
    assert_eq!((asterisk.set.len(), asterisk.status()), (6, Some("OK")));
    stop(agi);
}

#[test]
fn sessions_beyond_the_limit_are_told_error_at_once_and_later_ones_are_served() {
    let settings = AgiSettings { budget_ms: 5_000, sessions: 3, ..settings() };
    let (agi, _) = start(&settings, Crm::Fails);
    let held: Vec<_> = (0..3).map(|_| Asterisk::connect(agi.addresses[0])).collect();
    eventually("three are open", || agi.counts().sessions == 3);
    let began = Instant::now();
    for _ in 0..200 {
        let mut one = Asterisk::connect(agi.addresses[0]);
        one.say(&prelude("responsible", KNOWN));
        one.obey();
        assert_eq!((one.set.len(), one.status()), (1, Some("ERROR")));
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    eventually("all are counted", || agi.counts().busy == 200);
    drop(held);
    eventually("three are gone", || agi.counts().hung_up == 3);
    assert_eq!(ask(agi.addresses[0], "responsible", KNOWN).status(), Some("OK"));
    stop(agi);
}

#[test]
fn the_crm_is_the_one_that_is_named() {
    let (mut office, _) = office(Crm::Fails);
    office.crms = vec!["first".to_owned(), "second".to_owned()];
    office.pbxs.push(Pbx {
        id: PbxId(1),
        name: "spb".to_owned(),
        hosts: vec!["127.0.0.1".parse().expect("an address")],
    });
    office.route = Box::new(|place| {
        assert_eq!((place.pbx, place.did, place.context), ("spb", Some("+74951234531"), "from-trunk"));
        Some("first".to_owned())
    });
    office.look_up = Box::new(|inquiry| {
        let mut found = ivan();
        found.client.id = format!("{}@{}", inquiry.crm, inquiry.pbx).replace('@', "-at-");
        LookUp::Found(Box::new(found))
    });
    let agi = agi::spawn(limits(&settings()), office).expect("it listens");
    let id = |script: &str, variable: Option<&str>| {
        let mut asterisk = Asterisk::connect(agi.addresses[0]);
        asterisk.crm = variable.map(str::to_owned);
        asterisk.say(&prelude(script, KNOWN));
        asterisk.obey();
        (asterisk.status().expect("a status").to_owned(), asterisk.value("CLIENT_ID").unwrap_or_default().to_owned())
    };
    let want = |status: &str, id: &str| (status.to_owned(), id.to_owned());
    assert_eq!(id("responsible?crm=second", Some("first")), want("OK", "second-at-spb"));
    assert_eq!(id("responsible", Some("second")), want("OK", "second-at-spb"));
    assert_eq!(id("responsible", None), want("OK", "first-at-spb"));
    assert_eq!(id("responsible?pbx=msk&crm=first", None), want("OK", "first-at-msk"));
    assert_eq!(id("responsible?crm=third", None), want("ERROR", ""));
    assert_eq!(id("responsible", Some("$%^")), want("ERROR", ""));
    stop(agi);
}

#[test]
fn strangers_are_not_even_greeted_and_a_reload_lets_them_in() {
    // The whole of 127.0.0.0/8 is this machine; a stranger needs an address of it that is none.
    let Some(own) = address_of_this_machine() else { return };
    let strict = AgiSettings { listen: vec![format!("{own}:0")], ..settings() };
    let (agi, _) = start(&strict, Crm::Fails);
    let mut stranger = Asterisk::connect(agi.addresses[0]);
    let _ = std::io::Write::write_all(&mut stranger.stream, prelude("responsible", KNOWN).as_bytes());
    assert_eq!(stranger.rest(), "");
    assert_eq!((agi.counts().stranger, agi.counts().sessions), (1, 0));
    let open = AgiSettings { allow: vec![format!("{own}/32")], ..strict };
    assert!(agi.reload(limits(&open), agi_support::pbx_numbers()));
    eventually("the new list counts", || ask_quietly(agi.addresses[0]).as_deref() == Some("OK"));
    stop(agi);
}

/// As [`ask`], of somebody who may be thrown out.
fn ask_quietly(to: std::net::SocketAddr) -> Option<String> {
    let mut asterisk = Asterisk::connect(to);
    let _ = std::io::Write::write_all(&mut asterisk.stream, prelude("responsible", KNOWN).as_bytes());
    asterisk.obey();
    asterisk.status().map(str::to_owned)
}

/// An address of this machine that is not loopback, found without sending anything.
fn address_of_this_machine() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}
