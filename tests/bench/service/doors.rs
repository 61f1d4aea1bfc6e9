//! The other ways in and out: clicks of the CRM, questions of the dialplan, listeners of live events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinconnector::clock::Now;
use pinconnector::secret::Secret;
use pinconnector::sign::{self, Signed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::exchange::Pace;
use crate::program::{Program, SECRET, Setting};
use crate::receiver::{Clockwork, Taken};
use crate::report::{Budget, Report, quantile};
use crate::{Bench, add_quantiles};

/// From the request's last byte to its answer, and to the Originate at the exchange; both after the commit.
pub fn clicks(bench: &Bench, report: &mut Report) {
    let more = "[click_to_call]\nper_crm_per_minute = 10000\nat_once = 1000\n".to_owned();
    let program = Program::start(&bench.binary, &bench.exchange, &Setting { more, ..Setting::default() });
    let http = program.listens("http");
    let (mut answered, mut rung) = (Vec::new(), Vec::new());
    let before = bench.exchange.originates();
    let mut stream = TcpStream::connect(http).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    for nth in 0..bench.of(300).max(20) as usize {
        let body = format!(r#"{{"request":"bench-{nth}","from":"{}","to":"+7916{nth:07}"}}"#, 100 + nth);
        let time_s = Now::read().wall_ms / 1000;
        let nonce = format!("{nth:032x}");
        let path = "/api/v1/calls";
        let signed = Signed { method: "POST", path, time_s, nonce: &nonce, body: body.as_bytes() };
        let signature = sign::signature(&Secret::new(SECRET), &signed);
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\nX-PIN-Key: crm\r\nX-PIN-Time: {time_s}\r\n\
             X-PIN-Nonce: {nonce}\r\nX-PIN-Signature: {signature}\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        stream.write_all(request.as_bytes()).expect("it reads");
        let (status, body) = answer(&mut reader);
        answered.push(began.elapsed().as_secs_f64() * 1e3);
        assert_eq!(status, 202, "{body}");
        let at = bench.exchange.originate(before + nth).expect("an Originate");
        rung.push(at.saturating_duration_since(began).as_secs_f64() * 1e3);
    }
    program.stop();
    answered.sort_by(f64::total_cmp);
    rung.sort_by(f64::total_cmp);
    add_quantiles(report, "click-to-call to its answer", &answered, Budget::AtMost(5.0), Budget::None);
    add_quantiles(report, "click-to-call to Originate", &rung, Budget::AtMost(5.0), Budget::None);
}

fn answer(reader: &mut BufReader<TcpStream>) -> (u16, String) {
    let (mut status, mut length) = (0, 0);
    for line in reader.by_ref().lines() {
        let line = line.expect("text");
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().expect("a status");
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().expect("a length");
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    (status, String::from_utf8(body).expect("text"))
}

const NUMBERS: u32 = 200_000;
const AT_ONCE: u64 = 10;

/// Questions of the dialplan, with a warm directory.
pub fn dialplan(bench: &Bench, report: &mut Report) {
    let clients = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
    {
        let mut out = std::io::BufWriter::new(clients.as_file());
        let mut separator = r#"{"users":[{"user":"5","active":true,"extensions":[{"extension":"101"}]}],"entries":["#;
        for nth in 0..NUMBERS {
            let number = number(nth);
            write!(
                out,
                r#"{separator}{{"number":"{number}","client":{{"module":"Contacts","id":"{}","name":"Петрова Анна {nth}","user":"5"}}}}"#,
                4_000 + nth
            )
            .expect("written");
            separator = ",";
        }
        out.write_all(b"]}").expect("written");
    }
    let of_crm = format!("directory = {{ from = \"{}\" }}", clients.path().display());
    let program = Program::start(&bench.binary, &bench.exchange, &Setting { of_crm, ..Setting::default() });
    let agi = program.listens("FastAGI");
    // Until it knows the last of them.
    let until = Instant::now() + Duration::from_secs(120);
    while !session(agi, NUMBERS - 1, false) {
        assert!(Instant::now() < until, "the directory is not loaded: {}", program.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let memory = program.settled();
    report.add("200,000 numbers in the directory, resident", memory.resident, "MB", Budget::AtMost(30.0 + 9.0));
    let seconds = if bench.is_short { 1 } else { 5 };
    run(&program, agi, None, false, 1);
    let [rate, cpu_us, ..] = run(&program, agi, None, false, seconds);
    report.add("dialplan questions, as fast as it goes", rate, "/s", Budget::AtLeast(5_000.0));
    report.add("processor per question", cpu_us, "µs", Budget::AtMost(110.0));
    let [_, cpu_us, p50, p99] = run(&program, agi, Some(2_000), true, seconds);
    report.add("processor per question, prelude line by line", cpu_us, "µs", Budget::AtMost(110.0));
    report.add("connect to last word, 2,000/s line by line, p50", p50, "ms", Budget::None);
    report.add("connect to last word, 2,000/s line by line, p99", p99, "ms", Budget::AtMost(3.0));
    program.stop();
}

fn number(nth: u32) -> String {
    format!("+79{:09}", u64::from(nth) * 4_999 % 1_000_000_000)
}

/// Sessions a second, µs of processor each, p50 and p99 in ms.
fn run(program: &Program, agi: SocketAddr, per_second: Option<u64>, by_line: bool, seconds: u64) -> [f64; 4] {
    let cpu = program.cpu();
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let next = AtomicU64::new(0);
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let asking = || {
            let mut times = Vec::new();
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if let Some(per_second) = per_second {
                    let at = began + Duration::from_nanos(nth * 1_000_000_000 / per_second);
                    std::thread::sleep(at.saturating_duration_since(Instant::now()));
                }
                let started = Instant::now();
                if started >= until {
                    return times;
                }
                let number = u32::try_from(nth * 7_919 % u64::from(NUMBERS)).expect("small");
                assert!(session(agi, number, by_line), "the directory knows all of them");
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(asking)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("all are answered")).collect()
    });
    let elapsed = began.elapsed().as_secs_f64();
    let cpu_us = (program.cpu() - cpu).as_secs_f64() * 1e6 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    [times.len() as f64 / elapsed, cpu_us, quantile(&times, 0.5), quantile(&times, 0.99)]
}

/// One session as Asterisk holds it; whether the client was found.
fn session(agi: SocketAddr, nth: u32, by_line: bool) -> bool {
    let mut stream = TcpStream::connect(agi).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let prelude = format!(
        "agi_network: yes\nagi_network_script: responsible\nagi_request: agi://127.0.0.1:4573/responsible\n\
         agi_channel: PJSIP/trunk-msk-00000000\nagi_language: en\nagi_type: PJSIP\nagi_uniqueid: 1763805700.21\n\
         agi_version: 22.5.2\nagi_callerid: {}\nagi_calleridname: unknown\nagi_callingpres: 0\nagi_callingani2: 0\n\
         agi_callington: 0\nagi_callingtns: 0\nagi_dnid: +74951234531\nagi_rdnis: unknown\nagi_context: from-trunk\n\
         agi_extension: s\nagi_priority: 2\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 140046\n\n",
        number(nth)
    );
    if by_line {
        for line in prelude.split_inclusive('\n') {
            stream.write_all(line.as_bytes()).expect("it reads");
        }
    } else {
        stream.write_all(prelude.as_bytes()).expect("it reads");
    }
    let mut said = Vec::with_capacity(512);
    let mut buffer = [0; 512];
    loop {
        let length = stream.read(&mut buffer).expect("it answers");
        if length == 0 {
            let said = String::from_utf8(said).expect("text");
            return said.contains(&format!("CLIENT_ID \"{}\"", 4_000 + nth));
        }
        said.extend_from_slice(&buffer[..length]);
        if said.ends_with(b"\n") {
            stream.write_all(b"200 result=1\n").expect("it reads");
        }
    }
}

const LISTENERS: usize = 100;

/// From the AMI message's write to its event at each of a hundred listeners.
pub fn listeners(bench: &Bench, report: &mut Report) {
    let setting = Setting { crm: bench.receiver.url(), ..Setting::default() };
    let program = Program::start(&bench.binary, &bench.exchange, &setting);
    let http = program.listens("http");
    let mut listeners: Vec<Listener> = (0..LISTENERS).map(|_| Listener::open(http)).collect();
    let plays = bench.plays(bench.of(150).max(16));
    bench.receiver.tell(Clockwork::none(&bench.stories));
    let clockworks: Vec<Clockwork> = (0..LISTENERS).map(|_| Clockwork::new(&bench.stories, plays.clone())).collect();
    let cpu = program.cpu();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let (exchange, stories, clockworks, plays) = (&bench.exchange, &bench.stories, &clockworks, plays.clone());
        let playing = scope.spawn(move || {
            let sent = |play, nth, at| clockworks.iter().for_each(|clockwork| clockwork.sent(play, nth, at));
            exchange.play(stories, plays, Pace::rate(5.0), &sent, |_, _| true);
        });
        while !playing.is_finished() {
            hear(&mut listeners, clockworks, Duration::from_millis(50));
        }
        for _ in 0..20 {
            hear(&mut listeners, clockworks, Duration::from_millis(50));
        }
    });
    let share = (program.cpu() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let mut times: Vec<f64> = clockworks.iter().flat_map(Clockwork::times_ms).collect();
    times.sort_by(f64::total_cmp);
    assert!(!times.is_empty(), "no event came");
    add_quantiles(report, "AMI event to 100 listeners, 5 calls/s", &times, Budget::None, Budget::None);
    report.add("events that arrived there", times.len() as f64, "", Budget::None);
    report.add("processor with 100 listeners, 5 calls/s", share, "% of one", Budget::None);
    drop(listeners);
    program.stop();
}

struct Listener {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Listener {
    fn open(http: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(http).expect("it listens");
        stream
            .write_all(format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", http.port()).as_bytes())
            .expect("it reads");
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        while !seen.windows(12).any(|part| part == b"event: state") {
            let length = stream.read(&mut buffer).expect("an answer");
            assert!(length > 0, "refused: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..length]);
        }
        stream.set_nonblocking(true).expect("a socket");
        Self { stream, heard: Vec::new() }
    }

    fn read(&mut self, clockwork: &Clockwork) {
        let mut buffer = [0; 16 * 1024];
        let at = Instant::now();
        while let Ok(length) = self.stream.read(&mut buffer) {
            assert!(length > 0, "a listener was dropped");
            self.heard.extend_from_slice(&buffer[..length]);
        }
        let mut begun = 0;
        while let Some(end) = self.heard[begun..].windows(2).position(|pair| pair == b"\n\n") {
            let event = &self.heard[begun..begun + end];
            begun += end + 2;
            let marker = b"event: call\ndata: ";
            if let Some(from) = event.windows(marker.len()).position(|part| part == marker)
                && let Ok(taken) = serde_json::from_slice::<Taken<'_>>(&event[from + marker.len()..])
            {
                clockwork.arrived(taken.id, taken.status, at);
            }
        }
        self.heard.drain(..begun);
    }
}

fn hear(listeners: &mut [Listener], clockworks: &[Clockwork], wait: Duration) {
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    let mut polled: Vec<PollFd<'_>> =
        listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.stream.as_fd(), PollFlags::IN)).collect();
    poll(&mut polled, Some(&wait)).expect("a poll");
    let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
    for (nth, _) in ready.iter().enumerate().filter(|(_, is_ready)| **is_ready) {
        listeners[nth].read(&clockworks[nth]);
    }
}
