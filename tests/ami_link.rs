//! The link over real sockets: logging in, every way in which that can fail, staying alive, and stopping at once.

#[path = "traces/mod.rs"]
mod traces;

use crossbeam_channel::{Receiver, Sender, bounded};
use pinconnector::ami::capture::Capture;
use pinconnector::ami::figures::LinkFigures;
use pinconnector::ami::link::{self, LinkSettings, ToPbx};
use pinconnector::ami::parse::Parser;
use pinconnector::ami::replay::{Recording, Replay};
use pinconnector::ami::stage::{Pace, Programme, Stage};
use pinconnector::ami::wire::{Address, Tls};
use pinconnector::ami::{FromPbx, Heard};
use pinconnector::asterisk::{Action, ActionId, ChannelName, Event, PbxId};
use pinconnector::secret::Secret;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Once};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stopping is quick, whatever the link is doing.
const AT_ONCE: Duration = Duration::from_secs(5);

struct Running {
    actions: Option<Sender<ToPbx>>,
    heard: Receiver<FromPbx>,
    figures: Arc<LinkFigures>,
    thread: Option<JoinHandle<()>>,
    /// Heard in one read, but not yet asked for.
    waiting: Vec<Heard>,
}

fn settings(name: &str, address: SocketAddr) -> LinkSettings {
    LinkSettings {
        pbx: PbxId(3),
        name: name.to_owned(),
        address: Address {
            host: address.ip().to_string(),
            port: address.port(),
            user: "pin".to_owned(),
            secret: Secret::new("geheim"),
            tls: None,
            connect_timeout: Duration::from_secs(2),
        },
        ping: Duration::from_secs(15),
        ping_answer: Duration::from_secs(10),
        charset: None,
        keep_variables: Vec::new(),
    }
}

fn start(settings: LinkSettings) -> Running {
    start_with(settings, 1024, None)
}

fn start_with(settings: LinkSettings, queue: usize, capture: Option<&Path>) -> Running {
    collect_log();
    let (actions, action_queue) = bounded(link::ACTIONS_WAITING);
    let (heard_sender, heard) = bounded(queue);
    let figures = Arc::new(LinkFigures::default());
    let capture = capture.map(|file| Capture::into_files(file, None));
    let thread = link::start(settings, action_queue, heard_sender, Arc::clone(&figures), capture).expect("a thread");
    Running { actions: Some(actions), heard, figures, thread: Some(thread), waiting: Vec::new() }
}

impl Running {
    fn hear(&mut self) -> Heard {
        if self.waiting.is_empty() {
            let from = self.heard.recv_timeout(PATIENCE).expect("something is heard");
            assert_eq!(from.pbx, PbxId(3));
            self.waiting = from.heard;
        }
        self.waiting.remove(0)
    }

    fn up(&mut self) -> String {
        match self.hear() {
            Heard::Up { version } => version.expect("a live link knows it"),
            other => panic!("not up: {other:?}"),
        }
    }

    fn down(&mut self) -> String {
        match self.hear() {
            Heard::Down { why } => why,
            other => panic!("not down: {other:?}"),
        }
    }

    fn act(&self, id: &str, action: Action) {
        let actions = self.actions.as_ref().expect("not stopped");
        actions.send((ActionId(id.into()), action)).expect("the link lives");
    }

    /// Stops it as the program does, and says how long that took.
    fn stop(mut self) -> Duration {
        let begun = Instant::now();
        self.actions = None;
        let thread = self.thread.take().expect("not stopped");
        let (ended_sender, ended) = bounded(1);
        thread::spawn(move || ended_sender.send(thread.join().is_ok()));
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(true), "the link ends, and not by a panic");
        begun.elapsed()
    }
}

/// What was logged, to see that each fact is told once.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn collect_log() {
    struct Collector;
    impl log::Log for Collector {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            LOG.lock().expect("no test panics while logging").push(format!("{} {}", record.level(), record.args()));
        }
        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_boxed_logger(Box::new(Collector)).expect("the only logger");
        log::set_max_level(log::LevelFilter::Info);
    });
}

fn logged(name: &str) -> Vec<String> {
    let log = LOG.lock().expect("no test panics while logging");
    log.iter().filter(|line| line.contains(&format!(" {name}:"))).cloned().collect()
}

fn stage(recordings: Vec<Recording>, pace: Pace) -> Stage {
    let plays = u32::try_from(recordings.len()).expect("few");
    let programme = Programme {
        recordings,
        plays,
        start_every: Duration::ZERO,
        pace,
        distinct: false,
        user: "pin".to_owned(),
        secret: Secret::new("geheim"),
    };
    Stage::open("127.0.0.1:0".parse().expect("an address"), programme).expect("a free port")
}

fn empty_stage() -> Stage {
    stage(Vec::new(), Pace::Unbraked)
}

/// A server that does as told with each connection, in order.
fn server(connections: Vec<Box<dyn FnOnce(TcpStream) + Send>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for serve in connections {
            let (socket, _) = listener.accept().expect("a connection");
            serve(socket);
        }
    });
    address
}

/// Reads an action up to its blank line.
fn action(socket: &mut impl Read) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(1) => text.push(char::from(byte[0])),
            _ => break,
        }
    }
    text
}

fn action_id(action: &str) -> &str {
    let line = action.lines().find_map(|line| line.strip_prefix("ActionID: "));
    line.expect("every action of ours has one")
}

/// Greets and lets everybody in; returns the login.
fn let_in(socket: &mut (impl Read + Write)) -> String {
    socket.write_all(b"Asterisk Call Manager/11.0.0\r\n").expect("written");
    let challenge = action(socket);
    let answer = format!("Response: Success\r\nActionID: {}\r\nChallenge: 12345\r\n\r\n", action_id(&challenge));
    socket.write_all(answer.as_bytes()).expect("written");
    let login = action(socket);
    let answer =
        format!("Response: Success\r\nActionID: {}\r\nMessage: Authentication accepted\r\n\r\n", action_id(&login));
    socket.write_all(answer.as_bytes()).expect("written");
    login
}

/// Waits until the other side has left.
fn wait_for_the_end(mut socket: impl Read) {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
}

#[test]
fn a_link_logs_in_and_hears_what_is_said() {
    let trace = traces::load("22/a_in_answered_caller_hangs");
    let stage = stage(trace.parts.clone(), Pace::Unbraked);
    let mut link = start(settings("hears", stage.address()));
    assert_eq!(link.up(), "11.0.0");
    let parser = Parser::default();
    let expected: Vec<_> = Replay::new(&trace.parts, &parser)
        .map(|(_, heard)| heard)
        .filter(|heard| match heard {
            Heard::Event(Event::Response(response)) => &*response.message != "Thanks for all the fish.",
            Heard::Event(_) => true,
            _ => false,
        })
        .collect();
    assert!(expected.len() > 20);
    for expected in expected {
        assert_eq!(link.hear(), expected);
    }
    assert!(link.figures.up_since_ms.load(Relaxed) > 0);
    assert!(link.figures.bytes.load(Relaxed) > 10_000);
    assert!(link.stop() < AT_ONCE);
    let log = logged("hears");
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("logged in to Asterisk at 127.0.0.1") && log[0].contains("\"pin\""), "{log:?}");
    assert!(!log[0].contains("geheim"));
}

#[test]
fn the_secret_goes_as_a_hash_where_there_is_a_challenge_and_plain_where_not() {
    let (logins, seen) = bounded(2);
    let plain_logins = logins.clone();
    let address = server(vec![
        Box::new(move |mut socket| {
            let login = let_in(&mut socket);
            // What is unread when a socket is closed resets the connection.
            action(&mut socket);
            logins.send(login).expect("waited for");
        }),
        Box::new(move |mut socket| {
            socket.write_all(b"Asterisk Call Manager/5.0.4\r\n").expect("written");
            let challenge = action(&mut socket);
            let id = action_id(&challenge);
            let no = format!("Response: Error\r\nActionID: {id}\r\nMessage: Must specify AuthType\r\n\r\n");
            socket.write_all(no.as_bytes()).expect("written");
            let login = action(&mut socket);
            let yes = format!(
                "Response: Success\r\nActionID: {}\r\nMessage: Authentication accepted\r\n\r\n",
                action_id(&login)
            );
            socket.write_all(yes.as_bytes()).expect("written");
            plain_logins.send(login).expect("waited for");
            wait_for_the_end(socket);
        }),
    ]);
    let mut link = start(settings("hash", address));
    link.up();
    let hashed = seen.recv_timeout(PATIENCE).expect("a login");
    assert!(hashed.contains(&format!("Key: {}\r\n", md5_hex("12345geheim"))), "{hashed}");
    assert!(!hashed.contains("geheim"));
    assert!(link.down().contains("closed the connection"));
    assert_eq!(link.up(), "5.0.4");
    let plain = seen.recv_timeout(PATIENCE).expect("a login");
    assert!(plain.contains("Username: pin\r\nSecret: geheim\r\n"), "{plain}");
    assert!(link.stop() < AT_ONCE);
}

fn md5_hex(text: &str) -> String {
    use md5::{Digest, Md5};
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Starts a link that cannot come up and returns why.
fn why_not(settings: LinkSettings) -> String {
    let mut link = start(settings);
    let why = link.down();
    assert!(link.stop() < AT_ONCE);
    why
}

#[test]
fn a_wrong_password_is_named() {
    let stage = empty_stage();
    let mut wrong = settings("wrong", stage.address());
    wrong.address.secret = Secret::new("falsch");
    let why = why_not(wrong);
    assert!(why.contains("refuses the login of \"pin\": wrong secret, unknown user, or this address"), "{why}");
    let mut unknown = settings("unknown", stage.address());
    unknown.address.user = "nobody".to_owned();
    assert!(why_not(unknown).contains("refuses the login of \"nobody\""));
    let log = logged("wrong");
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(!log[0].contains("falsch"), "{log:?}");
}

#[test]
fn an_account_in_use_is_named() {
    let address = server(vec![Box::new(|mut socket: TcpStream| {
        socket.write_all(b"Asterisk Call Manager/11.0.0\r\n").expect("written");
        let id = action(&mut socket);
        let no = format!("Response: Error\r\nActionID: {}\r\nMessage: Login Already In Use\r\n\r\n", action_id(&id));
        socket.write_all(no.as_bytes()).expect("written");
        wait_for_the_end(socket);
    })]);
    let why = why_not(settings("in-use", address));
    assert!(why.contains("allowmultiplelogin"), "{why}");
}

#[test]
fn a_port_where_nobody_listens_is_named_once_however_often_it_is_tried() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let mut link = start(settings("refused", free));
    let why = link.down();
    assert!(why.starts_with("connection refused: nobody listens there"), "{why}");
    let deadline = Instant::now() + PATIENCE;
    while link.figures.failures.load(Relaxed) < 3 && Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(link.figures.failures.load(Relaxed) >= 3, "it tries again");
    assert!(link.heard.is_empty(), "the same fact is heard once");
    assert!(link.stop() < AT_ONCE);
    let log = logged("refused");
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("WARN refused: no link to Asterisk at 127.0.0.1:"), "{log:?}");
}

#[test]
fn a_host_that_is_not_found_is_named() {
    let mut nowhere = settings("nowhere", "127.0.0.1:1".parse().expect("an address"));
    nowhere.address.host = "no such host".to_owned();
    let why = why_not(nowhere);
    assert!(why.starts_with("the host is not found"), "{why}");
}

#[test]
fn whoever_else_answers_is_named() {
    // They wait to be spoken to.
    for (answer, expected) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"[..],
            "a web server answers there (\"HTTP/1.1 400 Bad Request\")",
        ),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS is spoken there"),
    ] {
        let address = server(vec![Box::new(move |mut socket: TcpStream| {
            let said = action(&mut socket);
            assert!(said.starts_with("Action: Challenge"), "nothing secret is said to a stranger: {said}");
            socket.write_all(answer).expect("written");
            wait_for_the_end(socket);
        })]);
        let why = why_not(settings("stranger", address));
        assert!(why.starts_with(expected), "{why}");
    }
    // They speak first.
    let address = server(vec![Box::new(|mut socket: TcpStream| {
        socket.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").expect("written");
        wait_for_the_end(socket);
    })]);
    let why = why_not(settings("ssh", address));
    assert!(why.starts_with("something else answers there: \"SSH-2.0-OpenSSH_9.2p1\""), "{why}");
}

#[test]
fn a_connection_closed_at_once_is_named() {
    let address = server(vec![Box::new(drop)]);
    let why = why_not(settings("closed", address));
    assert!(why.contains("closed before any greeting: too many connections"), "{why}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let address = server(vec![Box::new(wait_for_the_end)]);
    let mut silent = settings("silent", address);
    silent.address.connect_timeout = Duration::from_secs(1);
    let why = why_not(silent);
    assert!(why.starts_with("no greeting within 1 s"), "{why}");
}

#[test]
fn a_login_that_is_not_answered_is_given_up() {
    let address = server(vec![Box::new(|mut socket: TcpStream| {
        socket.write_all(b"Asterisk Call Manager/11.0.0\r\n").expect("written");
        wait_for_the_end(socket);
    })]);
    let mut silent = settings("unanswered", address);
    silent.address.connect_timeout = Duration::from_secs(1);
    let why = why_not(silent);
    assert!(why.starts_with("the login is not answered within 1 s"), "{why}");
}

#[test]
fn a_peer_that_falls_silent_is_left() {
    let address = server(vec![Box::new(|mut socket: TcpStream| {
        let_in(&mut socket);
        wait_for_the_end(socket);
    })]);
    let mut settings = settings("falls-silent", address);
    settings.ping = Duration::from_millis(200);
    settings.ping_answer = Duration::from_millis(300);
    let mut link = start(settings);
    link.up();
    let why = link.down();
    assert!(why.starts_with("nothing was heard for 0 s, not even the answer to a ping"), "{why}");
    assert_eq!(link.figures.up_since_ms.load(Relaxed), 0);
    assert!(link.stop() < AT_ONCE);
}

#[test]
fn pings_keep_a_quiet_link_alive() {
    let stage = empty_stage();
    let mut settings = settings("quiet", stage.address());
    settings.ping = Duration::from_millis(50);
    settings.ping_answer = Duration::from_millis(500);
    let mut link = start(settings);
    link.up();
    let deadline = Instant::now() + PATIENCE;
    // Challenge, login, and a good number of pings.
    while link.figures.actions_sent.load(Relaxed) < 22 && Instant::now() < deadline {
        assert!(link.heard.is_empty(), "pings and their answers are the link's own business");
        thread::yield_now();
    }
    assert_eq!(link.figures.logins.load(Relaxed), 1);
    assert_eq!(link.figures.failures.load(Relaxed), 0);
    assert!(link.stop() < AT_ONCE);
}

#[test]
fn answers_come_back_by_their_id() {
    let stage = empty_stage();
    let mut link = start(settings("answers", stage.address()));
    link.up();
    link.act("a-1", Action::CoreShowChannels);
    match link.hear() {
        Heard::Event(Event::Response(response)) => {
            assert!(response.success && response.list_follows);
            assert_eq!(&*response.action_id, "a-1");
        }
        other => panic!("{other:?}"),
    }
    match link.hear() {
        Heard::Event(Event::ListComplete { action_id, items: 0 }) => assert_eq!(&*action_id, "a-1"),
        other => panic!("{other:?}"),
    }
    // What cannot be said is answered all the same, and the link goes on.
    link.act("a-2", Action::Hangup { channel: ChannelName::new("PJSIP/1\r\nAction: Command") });
    link.act("a-3", Action::Hangup { channel: ChannelName::new("PJSIP/101-00000001") });
    for (id, says) in [("a-2", "not sent: Channel holds a line break"), ("a-3", "This is a recording")] {
        match link.hear() {
            Heard::Event(Event::Response(response)) => {
                assert!(!response.success);
                assert_eq!(&*response.action_id, id);
                assert!(response.message.starts_with(says), "{response:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(link.stop() < AT_ONCE);
}

/// The core asks which calls go on as soon as it hears of the login, which may be before the link's own thread has seen it.
#[test]
fn what_is_asked_at_once_after_the_login_is_sent() {
    let stage = empty_stage();
    for round in 0..200 {
        let mut link = start(settings("at-once", stage.address()));
        link.up();
        link.act("first", Action::CoreShowChannels);
        let Heard::Event(Event::Response(response)) = link.hear() else { panic!("an answer in round {round}") };
        assert_eq!(&*response.action_id, "first");
        assert_eq!(link.figures.actions_dropped.load(Relaxed), 0);
        link.stop();
    }
}

#[test]
fn a_missing_right_is_named_once() {
    let address = server(vec![Box::new(|mut socket: TcpStream| {
        let_in(&mut socket);
        loop {
            let asked = action(&mut socket);
            if !asked.ends_with("\r\n\r\n") {
                return;
            }
            let no =
                format!("Response: Error\r\nActionID: {}\r\nMessage: Permission denied\r\n\r\n", action_id(&asked));
            if socket.write_all(no.as_bytes()).is_err() {
                return;
            }
        }
    })]);
    let mut link = start(settings("rights", address));
    link.up();
    for id in ["x-1", "x-2"] {
        link.act(id, Action::CoreShowChannels);
        let Heard::Event(Event::Response(response)) = link.hear() else { panic!("an answer") };
        assert_eq!((&*response.action_id, response.success), (id, false));
    }
    link.act("x-3", Action::BridgeList);
    link.hear();
    assert!(link.stop() < AT_ONCE);
    let log: Vec<_> = logged("rights").into_iter().filter(|line| line.contains("denies")).collect();
    assert!(
        log[0].contains("denies the action CoreShowChannels: account \"pin\" in manager.conf needs write = reporting"),
        "{log:?}"
    );
    assert_eq!(log.iter().filter(|line| line.contains("CoreShowChannels")).count(), 1, "{log:?}");
}

/// Whoever was stopped for a while reads at once what Asterisk said one after the other.
#[test]
fn what_is_read_at_once_happened_when_asterisk_stamped_it() {
    let now_ms = pinconnector::clock::Now::read().wall_ms;
    // Asterisk's clock is half an hour behind ours.
    let behind_ms = 1_800_000;
    let stamps = [now_ms - behind_ms - 7_000, now_ms - behind_ms - 6_990, now_ms - behind_ms - 1_000];
    let said: String = stamps
        .iter()
        .enumerate()
        .map(|(n, ms)| {
            format!(
                "Event: Newchannel\r\nPrivilege: call,all\r\nTimestamp: {}.{:03}000\r\nChannel: PJSIP/101-{n:08x}\r\n\
                 ChannelState: 0\r\nChannelStateDesc: Down\r\nUniqueid: 1.{n}\r\nLinkedid: 1.{n}\r\n\r\n",
                ms / 1_000,
                ms % 1_000
            )
        })
        .collect();
    let address = server(vec![Box::new(move |mut socket| {
        let_in(&mut socket);
        socket.write_all(said.as_bytes()).expect("written");
        wait_for_the_end(socket);
    })]);
    let link = start(settings("stamped", address));
    let mut heard = Vec::new();
    while heard.len() < stamps.len() {
        let from = link.heard.recv_timeout(PATIENCE).expect("something is heard");
        let events = from.heard.iter().filter(|heard| matches!(heard, Heard::Event(Event::Newchannel(_)))).count();
        heard.extend(std::iter::repeat_n((from.at.wall_ms, from.ahead_ms), events));
    }
    let times: Vec<i64> = heard.iter().map(|(at, _)| *at).collect();
    assert!(times[1] - stamps[1] <= 10, "as good as at once: {times:?} of {stamps:?}");
    assert_eq!((times[0], times[2]), (stamps[0], stamps[2]));
    // By the event that was read with the least delay.
    let ahead = heard[2].1.expect("it is known now");
    assert!((-behind_ms - 1_000 - 30_000..=-behind_ms).contains(&ahead), "{ahead}");
    link.stop();
}

#[test]
fn what_is_asked_after_the_login_is_answered_by_asterisks_clock() {
    // Half an hour behind ours; its events have no stamps, its Pong has one.
    let behind_ms = 1_800_000;
    let stamp_ms = pinconnector::clock::Now::read().wall_ms - behind_ms;
    let address = server(vec![Box::new(move |mut socket| {
        let_in(&mut socket);
        let (ping, asked) = (action(&mut socket), action(&mut socket));
        assert!(ping.starts_with("Action: Ping\r\n"), "{ping}");
        let pong = format!(
            "Response: Success\r\nActionID: {}\r\nPing: Pong\r\nTimestamp: {}.{:03}000\r\n\r\n",
            action_id(&ping),
            stamp_ms / 1_000,
            stamp_ms % 1_000
        );
        let list = format!("Response: Success\r\nActionID: {}\r\nEventList: start\r\n\r\n", action_id(&asked));
        socket.write_all((pong + &list).as_bytes()).expect("written");
        wait_for_the_end(socket);
    })]);
    let mut link = start(settings("clock", address));
    link.up();
    link.act("l-1", Action::CoreShowChannels);
    let answer = link.heard.recv_timeout(PATIENCE).expect("the answer");
    let ahead_ms = answer.ahead_ms.expect("it is known");
    assert!((-behind_ms - 30_000..=-behind_ms).contains(&ahead_ms), "{ahead_ms}");
    assert!((stamp_ms..=stamp_ms + 30_000).contains(&answer.at.wall_ms), "{} of {stamp_ms}", answer.at.wall_ms);
    link.stop();
}

#[test]
fn a_full_queue_makes_the_reader_wait_and_loses_nothing() {
    let trace = traces::load("22/h_group_mixed");
    let parts: Vec<_> = (0..20).flat_map(|_| trace.parts.clone()).collect();
    let parser = Parser::default();
    let once = Replay::new(&trace.parts, &parser)
        .filter(|(_, heard)| matches!(heard, Heard::Event(Event::Hangup { .. })))
        .count();
    let stage = stage(parts, Pace::Unbraked);
    let mut settings = settings("full", stage.address());
    // The wait is not taken for silence of Asterisk.
    settings.ping = Duration::from_millis(20);
    settings.ping_answer = Duration::from_millis(20);
    let mut link = start_with(settings, 1, None);
    let deadline = Instant::now() + PATIENCE;
    while link.figures.queue_waits.load(Relaxed) == 0 && Instant::now() < deadline {
        thread::yield_now();
    }
    let blocked = Instant::now();
    while blocked.elapsed() < Duration::from_millis(200) {
        assert_eq!(link.figures.failures.load(Relaxed), 0);
        thread::yield_now();
    }
    link.up();
    let mut hangups = 0;
    while hangups < once * 20 {
        match link.hear() {
            Heard::Event(Event::Hangup { .. }) => hangups += 1,
            Heard::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(link.figures.queue_waits.load(Relaxed) > 0);
    assert!(link.stop() < AT_ONCE);
}

#[test]
fn stopping_is_quick_in_every_state() {
    // Waiting for a greeting.
    let link = start(settings("stop-greeting", server(vec![Box::new(wait_for_the_end)])));
    assert!(link.stop() < AT_ONCE);
    // Waiting to try again.
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let mut link = start(settings("stop-pause", free));
    link.down();
    assert!(link.stop() < AT_ONCE);
    // Blocked by a full queue that nobody empties, and somebody still holds.
    let trace = traces::load("22/h_group_mixed");
    let stage = stage(vec![trace.parts[0].clone(); 20], Pace::Unbraked);
    let link = start_with(settings("stop-full", stage.address()), 1, None);
    let deadline = Instant::now() + PATIENCE;
    while link.figures.queue_waits.load(Relaxed) == 0 && Instant::now() < deadline {
        thread::yield_now();
    }
    let heard = link.heard.clone();
    assert!(link.stop() < AT_ONCE);
    drop(heard);
    // Whoever listened has gone: the link ends by itself.
    let mut link = start(settings("stop-gone", empty_stage_forever()));
    link.up();
    link.act("x", Action::CoreShowChannels);
    let (_, nobody) = bounded(0);
    link.heard = nobody;
    assert!(link.stop() < AT_ONCE);
}

/// The address of a stage that is never closed.
fn empty_stage_forever() -> SocketAddr {
    let stage = empty_stage();
    let address = stage.address();
    std::mem::forget(stage);
    address
}

#[test]
fn a_broken_link_is_made_again_and_a_capture_has_both_parts() {
    let event =
        |id: &str| format!("Event: Hold\r\nPrivilege: call,all\r\nChannel: PJSIP/101-1\r\nUniqueid: {id}\r\n\r\n");
    let (first, second) = (event("1795328990.1"), event("1795328990.2"));
    let address = server(vec![
        Box::new(move |mut socket: TcpStream| {
            let_in(&mut socket);
            socket.write_all(first.as_bytes()).expect("written");
            // And the beginning of another, which is cut.
            socket.write_all(b"Event: Hold\r\nPriv").expect("written");
        }),
        Box::new(move |mut socket: TcpStream| {
            let_in(&mut socket);
            socket.write_all(second.as_bytes()).expect("written");
            wait_for_the_end(socket);
        }),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("session.ami");
    let mut link = start_with(settings("again", address), 1024, Some(&file));
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.push(link.hear());
    }
    assert!(link.stop() < AT_ONCE);
    let uniqueids: Vec<_> = heard
        .iter()
        .map(|heard| match heard {
            Heard::Up { .. } => "up",
            Heard::Down { .. } => "down",
            Heard::Event(Event::Hold(leg)) => leg.uniqueid.as_str(),
            Heard::Event(other) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(uniqueids, ["up", "1795328990.1", "down", "up", "1795328990.2"]);

    let parts = [&file, &folder.path().join("session_part2.ami")].map(|part| Recording::open(part).expect("recorded"));
    assert_eq!(parts[0].marks().count(), 4, "greeting, challenge, login, event");
    assert!(parts[1].marks().next() > parts[0].marks().last().map(|(ms, _)| (ms, 0)), "the clock runs on");
    let parser = Parser::default();
    let replayed: Vec<_> = Replay::new(&parts, &parser).map(|(_, heard)| heard).collect();
    // The live link was still up when it was stopped; a recording ends.
    assert!(matches!(replayed.last(), Some(Heard::Down { .. })));
    for (live, replayed) in heard.iter().zip(&replayed) {
        match (live, replayed) {
            (Heard::Down { .. }, Heard::Down { .. }) => {}
            _ => assert_eq!(live, replayed),
        }
    }
    assert_eq!(replayed.len(), 6);
}

/// TLS with the certificates of `tests/tls`; serves one connection after its handshake.
fn tls_server(
    serve: impl FnOnce(&mut rustls::StreamOwned<rustls::ServerConnection, TcpStream>) + Send + 'static,
) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name);
    let chain = vec![CertificateDer::from_pem_file(file("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("its key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they fit");
    server(vec![Box::new(move |socket| {
        let connection = rustls::ServerConnection::new(Arc::new(config)).expect("a session");
        serve(&mut rustls::StreamOwned::new(connection, socket));
    })])
}

fn with_tls(name: &str, address: SocketAddr, ca: Option<&str>, server_name: Option<&str>) -> LinkSettings {
    let mut settings = settings(name, address);
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name);
    settings.address.tls = Some(Tls { ca: ca.map(file), server_name: server_name.map(str::to_owned) });
    settings
}

#[test]
fn tls_with_an_authority_of_ones_own_works_both_ways() {
    for server_name in [None, Some("pbx.test")] {
        let address = tls_server(|socket| {
            let_in(socket);
            // More than one TLS record at once, and more than one read of ours takes.
            let mut events = String::new();
            for number in 0..2000 {
                events += &format!(
                    "Event: Hold\r\nPrivilege: call,all\r\nChannel: PJSIP/101-1\r\nUniqueid: {number}\r\n\r\n"
                );
            }
            socket.write_all(events.as_bytes()).expect("written");
            let (ping, asked) = (action(socket), action(socket));
            assert!(ping.starts_with("Action: Ping\r\n"), "{ping}");
            assert!(asked.starts_with("Action: QueueStatus\r\n"), "{asked}");
            let answer = format!("Response: Success\r\nActionID: {}\r\n\r\n", action_id(&asked));
            socket.write_all(answer.as_bytes()).expect("written");
            wait_for_the_end(socket);
        });
        let mut link = start(with_tls("tls", address, Some("ca.pem"), server_name));
        link.up();
        link.act("q-1", Action::QueueStatus);
        for number in 0..2000 {
            let Heard::Event(Event::Hold(leg)) = link.hear() else { panic!("event {number}") };
            assert_eq!(leg.uniqueid.as_str(), number.to_string());
        }
        let Heard::Event(Event::Response(response)) = link.hear() else { panic!("an answer") };
        assert_eq!(&*response.action_id, "q-1");
        assert!(link.stop() < AT_ONCE);
    }
}

#[test]
fn tls_that_cannot_be_trusted_is_named() {
    let handshake = |socket: &mut rustls::StreamOwned<rustls::ServerConnection, TcpStream>| wait_for_the_end(socket);
    for (ca, server_name, expected) in [
        (None, None, "TLS fails: its certificate is of no public authority; set tls.ca"),
        (Some("other-ca.pem"), None, "TLS fails: its certificate is not of the authority in tls.ca"),
        (Some("ca.pem"), Some("pbx.example"), "TLS fails: its certificate is for another name; set tls.server_name"),
        (Some("no-such.pem"), None, "tls.ca, "),
        (Some("server.key"), None, "tls.ca, "),
        (Some("ca.pem"), Some("not a name"), "\"not a name\" is no name that a certificate can have"),
    ] {
        let why = why_not(with_tls("trust", tls_server(handshake), ca, server_name));
        assert!(why.starts_with(expected), "{why}");
    }
}

#[test]
fn tls_on_a_plain_port_is_named() {
    let stage = empty_stage();
    let why = why_not(with_tls("plain-port", stage.address(), Some("ca.pem"), None));
    assert!(why.starts_with("no TLS is spoken there"), "{why}");
}

#[test]
fn plain_text_on_a_tls_port_is_named() {
    let why = why_not(settings("tls-port", tls_server(|socket| wait_for_the_end(socket))));
    assert!(why.starts_with("TLS is spoken there"), "{why}");
}

#[test]
fn a_stage_plays_distinct_calls_and_shows_those_that_live() {
    let trace = traces::load("22/a_in_answered_caller_hangs");
    let cut = trace.parts[0].ami();
    let hangup = cut.windows(16).position(|bytes| bytes == b"\r\nEvent: Hangup\r").expect("a hang-up") + 2;
    let recording = Recording::new(&cut[..hangup], None).expect("no timing");
    let programme = Programme {
        recordings: vec![recording],
        plays: 50,
        start_every: Duration::ZERO,
        pace: Pace::Unbraked,
        distinct: true,
        user: "pin".to_owned(),
        secret: Secret::new("geheim"),
    };
    let stage = Stage::open("127.0.0.1:0".parse().expect("an address"), programme).expect("a free port");
    let mut link = start(settings("distinct", stage.address()));
    link.up();
    stage.played().recv_timeout(PATIENCE).expect("played to the end");
    link.act("s-1", Action::CoreShowChannels);
    let (mut made, mut shown) = (std::collections::BTreeSet::new(), 0);
    loop {
        match link.hear() {
            Heard::Event(Event::Newchannel(leg)) => assert!(made.insert(leg.uniqueid.as_str().to_owned())),
            Heard::Event(Event::CoreShowChannel { action_id, channel }) => {
                assert_eq!(&*action_id, "s-1");
                assert!(made.contains(channel.leg.uniqueid.as_str()));
                shown += 1;
            }
            Heard::Event(Event::ListComplete { items, .. }) => {
                assert_eq!(items, shown);
                break;
            }
            Heard::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made.len(), shown), (100, 100), "two channels a call, none of them hung up");
    assert!(link.stop() < AT_ONCE);
}
