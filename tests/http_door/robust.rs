//! What a stranger may send: the service lives, its memory stays, and honest requests are answered all the while.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use pinconnector::http::{Happened, Http};

use crate::stage::{Client, Stage, TOKEN, alone, anonymous_bytes, record, setup};

const GROWTH_MAX: u64 = 20 << 20;

/// Runs an attack and asserts what must hold during and after it.
fn survives(what: &str, attack: impl FnOnce(&Stage) -> Vec<TcpStream>) {
    let _alone = alone();
    let stage = Stage::new(setup());
    stage.honest_ms();
    let before = anonymous_bytes();
    let held = attack(&stage);
    let during = stage.honest_ms();
    let grown = anonymous_bytes().saturating_sub(before);
    drop(held);
    let after = stage.honest_ms();
    println!("{what}: honest requests {during} ms during, {after} ms after; memory +{} kB", grown / 1024);
    assert!(during < 100 && after < 100, "{what}: {during} ms during, {after} ms after");
    assert!(grown < GROWTH_MAX, "{what}: grown by {grown} bytes");
    stage.stop();
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("set");
    stream
}

/// Sends and reads to the end, or to the reset.
fn tell(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

/// Closes with a reset instead of a farewell.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("set");
}

#[test]
fn lengths_that_lie() {
    survives("lengths that lie", |stage| {
        for (lines, status) in [
            ("Content-Length: 9223372036854775808", 413),
            ("Content-Length: 18446744073709551616", 413),
            ("Content-Length: 5\r\nContent-Length: 6", 400),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", 411),
            ("Transfer-Encoding: chunked", 411),
            ("Content-Length: -1", 400),
        ] {
            let heard =
                tell(stage.address, format!("POST /api/v1/calls HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n").as_bytes());
            assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{lines}: {heard}");
            assert!(heard.contains("\r\nConnection: close\r\n"), "{heard}");
        }
        Vec::new()
    });
}

#[test]
fn ten_thousand_resets() {
    survives("10,000 resets after a request", |stage| {
        for nth in 0..10_000 {
            let mut stream = TcpStream::connect(stage.address).expect("connects");
            reset(&stream);
            let path = ["/health", "/", "/api/v1/events", "/r/x"][nth % 4];
            let _ = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        }
        Vec::new()
    });
}

#[test]
fn a_head_of_200_megabytes() {
    survives("a head of 200 MB", |stage| {
        let mut stream = connect(stage.address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ").expect("sent");
        let piece = vec![b'a'; 64 * 1024];
        let mut sent = 0;
        while sent < 200 << 20 {
            match stream.write(&piece) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        assert!(sent < 100 << 20, "all of it was taken");
        let drip: Vec<_> = (0..50)
            .map(|_| {
                let mut stream = connect(stage.address);
                stream.write_all(b"GET / HTTP/1.1\r\nX: ").expect("sent");
                stream.write_all(&piece[..15_000]).expect("sent");
                stream
            })
            .collect();
        drip
    });
}

#[test]
fn pipelined_requests_whose_answers_nobody_reads() {
    survives("300,000 pipelined requests, answers unread", |stage| {
        let requests = b"GET /page/page.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
        let pipes: Vec<TcpStream> = (0..3).map(|_| connect(stage.address)).collect();
        for mut pipe in &pipes {
            pipe.set_nonblocking(true).expect("set");
            let until = Instant::now() + Duration::from_millis(700);
            let mut sent = 0;
            while sent < 100 * requests.len() && Instant::now() < until {
                match pipe.write(&requests[sent % requests.len()..]) {
                    Ok(n) => sent += n,
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(_) => break,
                }
            }
        }
        pipes
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let mut client = stage.client();
    let mut bytes = Vec::new();
    for nth in 0..2000 {
        let path = if nth % 2 == 0 { "/health" } else { "/nothing" };
        bytes.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    }
    let mut sender = client.stream.get_ref().try_clone().expect("cloned");
    let sending = std::thread::spawn(move || sender.write_all(&bytes).expect("sent"));
    for nth in 0..2000 {
        assert_eq!(client.reply().status, if nth % 2 == 0 { 200 } else { 404 }, "{nth}");
    }
    sending.join().expect("ended");
}

#[test]
fn bodies_that_never_come() {
    survives("400 half-sent bodies", |stage| {
        (0..400)
            .map(|_| {
                let mut stream = connect(stage.address);
                let head = "POST /api/v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
                stream.write_all(head.as_bytes()).expect("sent");
                stream.write_all(&[b'x'; 10_000]).expect("sent");
                stream
            })
            .collect()
    });
}

#[test]
fn five_hundred_idle_and_five_hundred_in_a_burst() {
    survives("500 idle connections, then a burst of 500 that ask", |stage| {
        let mut idle: Vec<TcpStream> = (0..500).map(|_| connect(stage.address)).collect();
        assert!(stage.honest_ms() < 100);
        let mut burst: Vec<TcpStream> = (0..500).map(|_| connect(stage.address)).collect();
        for stream in &mut burst {
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        }
        let answered = burst
            .iter_mut()
            .filter_map(|stream| {
                let mut heard = [0; 15];
                stream.read_exact(&mut heard).ok()?;
                (&heard == b"HTTP/1.1 200 OK").then_some(())
            })
            .count();
        assert_eq!(answered, 500, "room was made for those who ask");
        idle.extend(burst);
        idle
    });
}

#[test]
fn requests_that_are_none() {
    survives("garbage", |stage| {
        let mut random = [0; 4096];
        for _ in 0..200 {
            getrandom::fill(&mut random).expect("randomness");
            tell_and_go(stage.address, &random);
        }
        for text in [
            "\r\n\r\n\r\n",
            "GET",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "GET  HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}\u{0}",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            tell_and_go(stage.address, text.as_bytes());
        }
        Vec::new()
    });
}

fn tell_and_go(address: SocketAddr, bytes: &[u8]) {
    let _ = connect(address).write_all(bytes);
}

#[test]
fn listeners_that_do_not_read() {
    survives("100 listeners that do not read", |stage| {
        let listeners: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = connect(stage.address);
                let request =
                    format!("GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
                stream.write_all(request.as_bytes()).expect("sent");
                stream
            })
            .collect();
        let call = record("msk-1.1-1", pinconnector::call::record::Status::Ringing);
        for _ in 0..3000 {
            while !stage.http.feed().tell(Happened::Records(vec![call.clone().into()])) {
                std::thread::yield_now();
            }
        }
        listeners
    });
}

#[test]
fn a_slow_request_is_told_so_and_a_half_closed_one_is_answered() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let mut stream = connect(stage.address);
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("text");
    assert!(heard.starts_with("HTTP/1.0 200") && heard.ends_with("{\"status\":\"ok\"}"), "{heard}");

    let mut client = stage.client();
    client.send("POST /api/v1/calls HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n", b"");
    assert_eq!(client.reply_head().expect("a head").status, 100);
    client.stream.get_mut().write_all(b"{}").expect("sent");
    assert_eq!(client.reply().error(), (401, "unsigned".into()));
}

#[test]
fn a_taken_address_is_an_error_that_names_it() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let mut with = setup();
    with.http.listen = pinconnector::http::settings::OneOrMany::One(stage.address.to_string());
    let error = Http::start(with, stage.office.clone()).err().expect("taken").to_string();
    assert!(error.contains(&stage.address.to_string()), "{error}");
}

#[test]
fn tls_is_spoken_and_what_is_none_is_dropped() {
    let _alone = alone();
    let mut with = setup();
    with.http.tls_certificate = Some("tests/crm_http/tls/server.pem".into());
    with.http.tls_key = Some("tests/crm_http/tls/server.key".into());
    let stage = Stage::new(with);
    let secure = |path: &str| {
        let pem = std::fs::read("tests/crm_http/tls/ca.pem").expect("a certificate");
        let ca = ureq::tls::Certificate::from_pem(&pem).expect("a certificate").to_owned();
        let roots = ureq::tls::RootCerts::new_with_certs(&[ca]);
        let config = ureq::Agent::config_builder()
            .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let url = format!("https://localhost:{}{path}", stage.address.port());
        let mut reply = agent.get(&url).call().expect("an answer");
        (reply.status().as_u16(), reply.body_mut().read_to_string().expect("text"))
    };
    assert_eq!(secure("/health"), (200, "{\"status\":\"ok\"}".into()));
    let before = anonymous_bytes();
    let held: Vec<TcpStream> = (0..200)
        .map(|nth| {
            let mut stream = connect(stage.address);
            let bytes: &[u8] = match nth % 3 {
                0 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                1 => &[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc],
                _ => &[0x16, 3, 1, 2, 0, 1],
            };
            let _ = stream.write_all(bytes);
            stream
        })
        .collect();
    assert_eq!(secure("/health").0, 200);
    // More than a TLS buffer holds goes out whole.
    let (status, script) = secure("/page/page.js");
    assert_eq!((status, script.as_str()), (200, include_str!("../../src/http/page/page.js")));
    assert!(anonymous_bytes().saturating_sub(before) < GROWTH_MAX);
    drop(held);
    stage.stop();
}

#[test]
fn stopping_answers_what_is_under_way() {
    let _alone = alone();
    let stage = Stage::new(setup());
    let mut idle = Client::new(stage.address);
    let address = stage.address;
    let begun = Instant::now();
    stage.stop();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(idle.try_reply().is_err());
    assert!(TcpStream::connect(address).is_err());
}
