//! HTTP when descriptors run out: a process of its own, because the limit is the process's.

#[path = "http_door/stage.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod stage;

use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use stage::{Stage, anonymous_bytes, setup};

#[test]
fn descriptors_that_run_out_come_back() {
    let before = anonymous_bytes();
    let stage = Stage::new(setup());
    stage.honest_ms();
    let grown = anonymous_bytes().saturating_sub(before);
    println!("four threads, listening and asked: {} kB", grown / 1024);
    assert!(grown < 2 << 20, "{grown}");
    let before = getrlimit(Resource::Nofile);
    // Our side of each connection counts, too: both ends are in this process.
    setrlimit(Resource::Nofile, Rlimit { current: Some(120), maximum: before.maximum }).expect("set");
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect(stage.address) {
        held.push(stream);
    }
    assert!(held.len() > 20, "{}", held.len());
    // The last descriptors are the client's; it needs one of its own to ask, and the gate takes what comes free for those
    // who wait before it.
    held.truncate(held.len() / 2);
    assert!(stage.honest_ms() < 1000, "asked while descriptors are short");
    drop(held);
    setrlimit(Resource::Nofile, before).expect("set");
    assert!(stage.honest_ms() < 100, "and when they are back");
    stage.stop();
}
