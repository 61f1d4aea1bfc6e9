//! How many complete calls a second the store takes with their deliveries acknowledged, and what 100,000 waiting records
//! cost. `cargo bench --bench store`; floors are checked, figures printed.

#[path = "../store_support/mod.rs"]
mod store_support;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use pinconnector::call::Record;
use pinconnector::call::record::{Moment, Status, Step, StepKind};
use pinconnector::outbox::Outcome;
use pinconnector::store::{Input, Item, Reader, Save};
use store_support::*;

const CALLS: usize = 10_000;
const OPEN_AT_ONCE: usize = 200;
const CHANGES: usize = 7;
const WAITING: usize = 100_000;

fn main() {
    let folder = tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    println!("fdatasync of 4 KiB: median {:.2} ms", fdatasync_ms(folder.path()));
    // First the backlog: the memory that the other part takes for its own calls would hide what the store takes.
    let (grown_kib, drain_rate) = backlog(folder.path());
    let rate = calls_a_second(folder.path());
    assert!(rate >= 1_000.0, "at least 1,000 calls a second");
    assert!(grown_kib < 2_048, "memory stays flat with the backlog");
    assert!(drain_rate >= 1_000.0, "the backlog is gone within minutes");
}

fn fdatasync_ms(folder: &std::path::Path) -> f64 {
    let mut file = File::create(folder.join("sync")).expect("a file");
    let mut times = (0..50)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; 4_096]).expect("a write");
            rustix::fs::fdatasync(file.as_fd()).expect("a flush");
            began.elapsed()
        })
        .collect::<Vec<_>>();
    times.sort();
    times[25].as_secs_f64() * 1_000.0
}

/// An answered incoming call as it grows: entered, rang, was answered, ended.
fn stage(call: usize, stage: usize, started_at_ms: i64) -> Record {
    let conversation = format!("pbx-1795329208.{call}");
    let mut record = record(&conversation, 1, started_at_ms + stage as i64);
    record.started_at = Moment(started_at_ms);
    record.client_number_normalized = Some(format!("+7916{:07}", call % 5_000));
    record.extension = Some(format!("{}", 100 + call % 200));
    record.status = match stage {
        0..4 => Status::Ringing,
        4..6 => Status::InProgress,
        _ => Status::Completed,
    };
    if stage >= 4 {
        record.answered_at = Some(Moment(started_at_ms + 4));
    }
    if stage == CHANGES - 1 {
        record.ended_at = Some(Moment(started_at_ms + 6));
    }
    for step in 0..=stage {
        let step = Step {
            at: Moment(started_at_ms + step as i64),
            step: StepKind::Ring,
            who: Some("101".into()),
            place: Some("from-trunk".into()),
            to: None,
            how: None,
            seconds: None,
        };
        record.timeline.push(step.into());
    }
    record
}

/// The state of an open conversation holds its timeline and its records as published, as the core keeps them.
fn with_state(mut item: Item) -> Item {
    if let Item::Change(change) = &mut item
        && let Some(open) = &mut change.open
    {
        open.timeline.clone_from(&change.records[0].timeline);
        open.published.clone_from(&change.records);
    }
    item
}

fn calls_a_second(folder: &std::path::Path) -> f64 {
    let mut settings = settings(folder);
    settings.path = folder.join("calls.db");
    let desk = open(&settings, 2, 50);
    let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
    let start_ms = now_ms();
    let mut changes = Vec::with_capacity(CALLS * CHANGES);
    for block in 0..CALLS / OPEN_AT_ONCE {
        for at in 0..CHANGES {
            for call in 0..OPEN_AT_ONCE {
                let call = block * OPEN_AT_ONCE + call;
                let conversation = format!("pbx-1795329208.{call}");
                changes.push(with_state(change(&conversation, at < CHANGES - 1, vec![stage(call, at, start_ms)])));
            }
        }
    }
    let began = Instant::now();
    for item in changes {
        desk.keeper.inputs.send(Input::Save(Save { items: vec![item], release: Vec::new() })).expect("it listens");
    }
    desk.save_and_wait(vec![Item::Setting { key: "end".into(), value: "1".into() }], 1);
    let stored = began.elapsed();
    let reader = Reader::open(&desk.path).expect("readable");
    while reader.destinations().expect("readable").iter().any(|d| d.waiting > 0) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let delivered = began.elapsed();
    let rate = CALLS as f64 / delivered.as_secs_f64();
    println!(
        "{CALLS} calls of {CHANGES} changes: stored in {:.2} s, the last delivery acknowledged after {:.2} s: {rate:.0} calls/s",
        stored.as_secs_f64(),
        delivered.as_secs_f64()
    );
    drop(reader);
    println!("processor time of the keeper: {:.0} µs a call", keeper_cpu_s() / CALLS as f64 * 1e6);
    desk.stop();
    println!("deliveries (coalesced where several changes waited): {}", crm.join().expect("it ends"));
    rate
}

/// Answers by how many KiB the anonymous memory grew between a tenth of the backlog and all of it, and how many records a
/// second were drained.
fn backlog(folder: &std::path::Path) -> (u64, f64) {
    let mut settings = settings(folder);
    settings.path = folder.join("backlog.db");
    let without = memory_kib();
    let desk = open(&settings, 2, 50);
    let opened = memory_kib();
    println!(
        "an opened store: {} KiB resident, of it {} KiB anonymous",
        opened.0.saturating_sub(without.0),
        opened.1.saturating_sub(without.1)
    );
    // The CRM is down from the first record on.
    let week_ago = now_ms() - 7 * 86_400_000;
    desk.save(vec![change("pbx-0.0", false, vec![record("pbx-0.0", 1, week_ago)])]);
    let first = desk.batch();
    desk.report(first, Outcome::CrmDown { why: "503".to_owned(), retry_after_s: Some(3_600) });
    let before = memory_kib();
    let began = Instant::now();
    let fill = |calls: std::ops::Range<usize>, mark: u32| {
        for call in calls {
            desk.save(vec![change("-", false, vec![stage(call, CHANGES - 1, week_ago)])]);
        }
        desk.save_and_wait(vec![Item::Setting { key: "end".into(), value: "1".into() }], mark);
        memory_kib()
    };
    let some = fill(0..WAITING / 10, 2);
    let filled = fill(WAITING / 10..WAITING, 3);
    println!(
        "{WAITING} records put into the outbox in {:.1} s; anonymous memory {} KiB with none, {} with a tenth of them, \
         {} with all (resident {}, {}, {})",
        began.elapsed().as_secs_f64(),
        before.1,
        some.1,
        filled.1,
        before.0,
        some.0,
        filled.0,
    );
    let reader = Reader::open(&desk.path).expect("readable");
    let (answer, answered) = bounded(1);
    let order = pinconnector::store::Order::Retry { rows: pinconnector::store::rows::Rows::All, answer };
    let began = Instant::now();
    desk.keeper.inputs.send(Input::Order(order)).expect("it listens");
    answered.recv().expect("an answer").expect("no fault");
    let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
    let mut most = filled;
    loop {
        let now = memory_kib();
        most = (most.0.max(now.0), most.1.max(now.1));
        if reader.destinations().expect("readable").iter().all(|d| d.waiting == 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let took = began.elapsed();
    let rate = WAITING as f64 / took.as_secs_f64();
    println!(
        "drained in {:.1} s: {rate:.0} records/s; resident memory at most {} KiB, anonymous {} KiB",
        took.as_secs_f64(),
        most.0,
        most.1
    );
    drop(reader);
    desk.stop();
    crm.join().expect("it ends");
    (most.1.saturating_sub(some.1), rate)
}

/// Processor time of the keeper thread so far: what the disk and other processes do is not in it.
fn keeper_cpu_s() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let ticks = tasks.flatten().find_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let fields = rest.split_whitespace().collect::<Vec<_>>();
        let of = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
        (name == "store-keeper").then(|| of(11).zip(of(12)).map(|(user, system)| user + system)).flatten()
    });
    ticks.expect("the keeper runs") / rustix::param::clock_ticks_per_second() as f64
}

/// `VmRSS` and `RssAnon` of this process.
fn memory_kib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let of = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).expect("a line of it");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    };
    (of("VmRSS:"), of("RssAnon:"))
}
