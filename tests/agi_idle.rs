//! A connection that says nothing, or is closed without a word, costs nothing. Alone in its file: it looks at the processor time of
//! a thread of its own process.

mod agi_support;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use agi_support::{Asterisk, Crm, eventually, prelude, settings, start};
use crossbeam_channel::{bounded, never};
use pinconnector::agi::AgiSettings;

/// Processor time of the thread with this name, in nanoseconds.
fn cpu_of(name: &str) -> u64 {
    let mut tasks = std::fs::read_dir("/proc/self/task").expect("a Linux").flatten();
    let is_it = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let task = tasks.find(is_it).expect("the thread runs");
    let stat = std::fs::read_to_string(task.path().join("schedstat")).expect("schedstat");
    stat.split_whitespace().next().expect("a field").parse().expect("a number")
}

/// What the listener uses in one second of doing nothing.
fn idle_second() -> Duration {
    let before = cpu_of("agi-listener");
    let (_nobody, clock) = bounded::<()>(0);
    let _ = clock.recv_timeout(Duration::from_secs(1));
    Duration::from_nanos(cpu_of("agi-listener") - before)
}

#[test]
fn silent_closed_and_half_closed_connections_cost_no_processor() {
    let settings = AgiSettings { budget_ms: 5_000, ..settings() };
    let (agi, _) = start(&settings, Crm::Hangs(never()));
    let mut held = Vec::new();
    for nth in 0..40 {
        let mut one = Asterisk::connect(agi.addresses[0]);
        match nth % 4 {
            // Says nothing; says too little; asks and obeys nothing; is thrown out and does not go.
            0 => {}
            1 => one.say("agi_network: yes\n"),
            2 => one.say(&prelude("responsible", "+79161234567")),
            _ => one.say("GET / HTTP/1.0\r\n\r\n"),
        }
        held.push(one);
    }
    eventually("all are open", || agi.counts().sessions == 40);
    // Spinning would use a whole second, or a good part of it on a busy machine.
    let used = idle_second();
    assert!(used < Duration::from_millis(50), "40 idle connections cost {used:?} a second");

    for one in held {
        let _ = one.stream.shutdown(Shutdown::Both);
    }
    eventually("all are gone", || {
        let counts = agi.counts();
        counts.hung_up + counts.not_agi == 40
    });
    let used = idle_second();
    assert!(used < Duration::from_millis(50), "40 closed connections cost {used:?} a second");
    // Stopping while one is open and silent: no spinning either, and an end.
    let mut last = Asterisk::connect(agi.addresses[0]);
    last.stream.write_all(b"agi_network: yes\n").expect("it listens");
    eventually("it is open", || agi.counts().sessions == 41);
    let before = cpu_of("agi-listener");
    let began = Instant::now();
    let stopper = std::thread::spawn(move || agi.stop(Instant::now() + Duration::from_secs(1)));
    assert_eq!(last.rest(), "SET VARIABLE PINCONNECTOR_STATUS \"TIMEOUT\"\n");
    let _left = stopper.join().expect("it stops");
    assert!(began.elapsed() < Duration::from_secs(10));
    let _ = before;
}
