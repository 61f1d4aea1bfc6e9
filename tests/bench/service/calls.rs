//! How fast calls go through, and how long a change takes from Asterisk to the CRM.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::exchange::Pace;
use crate::program::{Program, Setting};
use crate::receiver::Clockwork;
use crate::report::{Budget, Report, quantile};
use crate::{Bench, add_quantiles};

/// What the disk takes for 4 KiB that must not be lost: nothing that is committed can be faster.
pub fn disk(_: &Bench, report: &mut Report) {
    let folder = tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut file = File::create(folder.path().join("sync")).expect("a file");
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; 4_096]).expect("a write");
            rustix::fs::fdatasync(file.as_fd()).expect("a flush");
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    report.add("fdatasync of 4 KiB, median", quantile(&times, 0.5), "ms", Budget::None);
    report.add("fdatasync of 4 KiB, p99", quantile(&times, 0.99), "ms", Budget::None);
}

/// As fast as it is taken, every record delivered.
pub fn speed(bench: &Bench, report: &mut Report) {
    let setting = Setting { crm: bench.receiver.url(), ..Setting::default() };
    let program = Program::start(&bench.binary, &bench.exchange, &setting);
    // Warm: the disk has its files, memory its size.
    once(bench, bench.of(1_000));
    let before = (program.cpu(), bench.receiver.taken());
    let count = bench.of(10_000);
    let (took, messages, calls) = once(bench, count);
    let cpu = program.cpu() - before.0;
    let seconds = took.as_secs_f64();
    let (requests, records) = bench.receiver.taken();
    report.add(
        "complete calls, SQLite, every record delivered",
        calls as f64 / seconds,
        "/s",
        Budget::AtLeast(1_500.0),
    );
    report.add("the same as AMI events", messages as f64 / seconds, "/s", Budget::None);
    report.add("processor per call", cpu.as_secs_f64() * 1e3 / calls as f64, "ms", Budget::AtMost(1.0));
    report.add("requests per call", (requests - before.1.0) as f64 / calls as f64, "", Budget::None);
    report.add("records in them per call", (records - before.1.1) as f64 / calls as f64, "", Budget::None);
    program.stop();
}

/// From the first byte to the last record; messages; conversations.
fn once(bench: &Bench, count: u32) -> (Duration, u64, usize) {
    let plays = bench.plays(count);
    let (finals, calls) = bench.outcome(&plays);
    let clockwork = bench.receiver.tell(Clockwork::new(&bench.stories, plays.clone()));
    let began = Instant::now();
    let played = bench.exchange.play(
        &bench.stories,
        plays,
        Pace::unbraked(50),
        &|play, nth, at| clockwork.sent(play, nth, at),
        |_, _| true,
    );
    let last = clockwork.wait_for_finals(finals, Duration::from_secs(300));
    (last - began, played.messages, calls)
}

/// From the AMI message's write to the record's arrival, committed between.
pub fn latency(bench: &Bench, report: &mut Report) {
    for (rate, p50, p99) in [
        (5, Budget::AtMost(1.0), Budget::AtMost(5.0)),
        (50, Budget::None, Budget::AtMost(10.0)),
        (500, Budget::None, Budget::None),
    ] {
        let setting = Setting { crm: bench.receiver.url(), ..Setting::default() };
        let program = Program::start(&bench.binary, &bench.exchange, &setting);
        // As after the first hours of a service: the log of the database has its size and is written over, not made longer.
        once(bench, bench.of(3_000));
        program.settled();
        let count = bench.of(rate * 30).max(16);
        let plays = bench.plays(count);
        let (finals, _) = bench.outcome(&plays);
        let clockwork = bench.receiver.tell(Clockwork::new(&bench.stories, plays.clone()));
        let cpu = program.cpu();
        bench.exchange.play(
            &bench.stories,
            plays,
            Pace::rate(rate.into()),
            &|play, nth, at| clockwork.sent(play, nth, at),
            |_, _| true,
        );
        clockwork.wait_for_finals(finals, Duration::from_secs(120));
        let cpu_ms = (program.cpu() - cpu).as_secs_f64() * 1e3 / f64::from(count);
        add_quantiles(report, &format!("AMI event to CRM, {rate} calls/s"), &clockwork.times_ms(), p50, p99);
        report.add(format!("processor per call, {rate} calls/s"), cpu_ms, "ms", Budget::AtMost(1.0));
        program.stop();
    }
}

/// What waited while the CRM was down is sent at its pace, with memory flat.
pub fn outage(bench: &Bench, report: &mut Report) {
    let setting = Setting { crm: bench.receiver.url(), of_crm: "batch = 50".to_owned(), ..Setting::default() };
    let program = Program::start(&bench.binary, &bench.exchange, &setting);
    bench.receiver.be_down(true);
    let count = bench.of(60_000);
    let plays = bench.plays(count);
    let (finals, _) = bench.outcome(&plays);
    let clockwork = bench.receiver.tell(Clockwork::new(&bench.stories, plays.clone()));
    let tenth = bench.of(6_000);
    bench.exchange.play(
        &bench.stories,
        plays.start..plays.start + tenth,
        Pace::unbraked(50),
        &|play, nth, at| clockwork.sent(play, nth, at),
        |_, _| true,
    );
    let some = program.settled();
    bench.exchange.play(
        &bench.stories,
        plays.start + tenth..plays.end,
        Pace::unbraked(50),
        &|play, nth, at| clockwork.sent(play, nth, at),
        |_, _| true,
    );
    let filled = program.settled();
    let waiting = finals as f64;
    report.add("records that waited", waiting, "", Budget::None);
    report.add("a tenth of them waiting, resident", some.resident, "MB", Budget::None);
    report.add("all of them waiting, resident", filled.resident, "MB", Budget::None);
    bench.receiver.be_down(false);
    let began = Instant::now();
    program.command(&bench.binary, &["outbox", "retry"]);
    let last = clockwork.wait_for_finals(finals, Duration::from_secs(300));
    let seconds = (last - began).as_secs_f64();
    report.add("catch-up after the outage", waiting / seconds, "records/s", Budget::AtLeast(1_000.0));
    report.add("after it, resident", program.settled().resident, "MB", Budget::None);
    program.stop();
}
