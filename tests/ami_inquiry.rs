//! Short visits to an exchange: getting in, asking, and why not. Real Asterisks are visited in tests/lab.

#[path = "traces/mod.rs"]
mod traces;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use pinconnector::ami::inquiry::Inquiry;
use pinconnector::ami::stage::{Pace, Programme, Stage};
use pinconnector::ami::wire::Address;
use pinconnector::secret::Secret;

fn address(at: SocketAddr, secret: &str) -> Address {
    Address {
        host: at.ip().to_string(),
        port: at.port(),
        user: "pin".to_owned(),
        secret: Secret::new(secret),
        tls: None,
        connect_timeout: Duration::from_secs(2),
    }
}

fn stage() -> Stage {
    let programme = Programme {
        recordings: traces::load("22/a_in_answered_caller_hangs").parts,
        plays: 1,
        start_every: Duration::ZERO,
        pace: Pace::Unbraked,
        distinct: false,
        user: "pin".to_owned(),
        secret: Secret::new("geheim"),
    };
    Stage::open("127.0.0.1:0".parse().expect("an address"), programme).expect("a port")
}

/// Says this once to whoever comes, and waits for the end.
fn says(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("somebody");
        let _ = socket.write_all(words);
        let _ = socket.read_to_end(&mut Vec::new());
    });
    at
}

#[test]
fn one_asks_and_hears_what_is_said_meanwhile() {
    let stage = stage();
    let mut asterisk = Inquiry::open(&address(stage.address(), "geheim")).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(asterisk.protocol, "11.0.0");
    let settings = asterisk.ask("CoreSettings", &[]).expect("an answer");
    assert_eq!((settings.succeeded(), settings.response.get("AsteriskVersion")), (true, "22.10.1"));
    let heard = |asterisk: &[pinconnector::ami::inquiry::Said]| {
        asterisk.iter().filter(|said| said.event == "Hangup").count() == 2
    };
    assert!(asterisk.listen(Duration::from_secs(20), heard).expect("a link"), "{} events", asterisk.heard.len());
    let channels = asterisk.ask("CoreShowChannels", &[]).expect("a list");
    assert_eq!((channels.succeeded(), channels.items.len()), (true, 0));
    let refused = asterisk.ask("NoSuchAction", &[("Channel", "x")]).expect("an answer");
    assert!(!refused.succeeded() && !refused.is_denied());
    assert!(asterisk.ask("Ping", &[("X", "a\r\nAction: Command")]).is_err(), "no line break reaches Asterisk");
    assert!(asterisk.ask("Ping", &[]).expect("an answer").succeeded(), "and the link goes on");
}

#[test]
fn who_does_not_get_in_is_told_why() {
    let stage = stage();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    for (at, why) in [
        (stage.address(), "refuses the login"),
        (free, "connection refused"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "a web server answers there"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "something else answers there"),
        (says(b""), "no greeting within 2 s"),
        (says(b"Asterisk Call Manager/11.0.0\r\n"), "nothing was heard for 2 s"),
    ] {
        let said = match Inquiry::open(&address(at, "wrong")) {
            Ok(_) => panic!("let in by {at}: {why}"),
            Err(problem) => problem.to_string(),
        };
        assert!(said.contains(why), "{said}");
    }
}
