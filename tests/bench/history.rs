//! How fast conversations go into a real MongoDB, what that costs in memory and threads, and how long questions take.
//! `cargo bench --bench history`; `HISTORY_CONVERSATIONS=1000000 cargo bench --bench history` asks a history of a million.
//! Ceilings are checked, figures printed. The mongod is the laboratory's, with the smallest cache it takes.

#[path = "../store_mongodb/lab.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "a bench gives no orders, and one that panics has failed")]
mod lab;
#[path = "../store_support/mod.rs"]
mod store_support;

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use pinconnector::call::Record;
use pinconnector::call::record::{Moment, Recording, Status, Step, StepKind};
use pinconnector::outbox::{Batch, Delivery, Outcome, Verdict};
use pinconnector::secret::Secret;
use pinconnector::store::mongodb::{Target, reader, writer};
use pinconnector::store::reader::CallFilter;
use pinconnector::store::settings::HISTORY;
use pinconnector::store::{Destination, DestinationKind, Input, MongodbSettings, Reader};
use store_support::*;

/// Through the outbox: committed, handed out, written by a majority, acknowledged, row deleted.
const FED: u32 = 10_000;
/// What the history holds when it is asked, unless the environment says otherwise.
const ASKED: u32 = 50_000;
const BATCH: u32 = 50;
/// The first conversation began then; one every ten seconds.
const BEGAN_MS: i64 = 1_600_000_000_000;
const QUESTION_MAX: Duration = Duration::from_millis(50);

fn main() {
    let lab = lab::Lab::start("standalone");
    let (memory, threads) = this_process();
    feed(&target(&lab.uri, "fed"));
    let (after, more) = this_process();
    println!("with the driver running: {:.1} MB and {} threads more", (after - memory) as f64 / 1024.0, more - threads);
    let count = std::env::var("HISTORY_CONVERSATIONS").ok().map_or(ASKED, |n| n.parse().expect("a number"));
    let asked = target(&lab.uri, "asked");
    fill(&asked, count);
    ask(&asked, count);
}

fn target(uri: &str, database: &str) -> Target {
    let settings =
        MongodbSettings { uri: Some(Secret::new(uri)), database: database.to_owned(), ..MongodbSettings::default() };
    Target { settings, keep_days: 0, pbxs: vec!["pbx".to_owned()] }
}

/// Two phones rang, one answered; a tenth are missed.
fn calls(n: u32) -> Vec<Record> {
    let id = format!("pbx-{n}.1");
    let at = BEGAN_MS + i64::from(n) * 10_000;
    let mut calls = vec![record(&id, 1, at), record(&id, 2, at + 100)];
    for (nth, call) in calls.iter_mut().enumerate() {
        let missed = n.is_multiple_of(10);
        call.status = match (missed, nth) {
            (true, _) => Status::Missed,
            (false, 0) => Status::Completed,
            (false, _) => Status::NoAnswer,
        };
        call.client_number_normalized = Some(format!("+7916{:07}", n % 100_000));
        call.extension = Some((100 + n as usize % 200 + nth).to_string());
        call.ended_at = Some(Moment(at + 60_000));
        if !missed && nth == 0 {
            call.answered_at = Some(Moment(at + 5_000));
            let (id, file) = (format!("rec-{n}"), format!("2026/{n}.wav"));
            call.recordings.push(Recording { id, file, started_at: Moment(at + 5_000), state: None, size: None });
        }
        let step = |ms, step| Step {
            at: Moment(at + ms),
            step,
            who: Some("101".into()),
            place: Some("from-trunk".into()),
            to: None,
            how: None,
            seconds: None,
        };
        let kinds = [StepKind::Enter, StepKind::Greeting, StepKind::Ring, StepKind::Answer, StepKind::Hangup];
        call.timeline =
            kinds.into_iter().zip([0, 1_000, 2_000, 5_000, 60_000]).map(|(kind, ms)| step(ms, kind).into()).collect();
    }
    calls
}

/// Resident memory in KiB, and threads.
fn this_process() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).expect("the field");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    };
    (field("VmRSS:"), field("Threads:"))
}

fn feed(target: &Target) {
    let folder = tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let desk = open(&settings(folder.path()), 1, 50);
    let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
    let (queue, work) = bounded::<Batch>(1);
    let (name, kind) = (HISTORY.to_owned(), DestinationKind::History);
    let (taken, batches) = destination("crm", 1, 50);
    let second = obliging_crm(batches, desk.keeper.outcomes.clone());
    let history = Destination { name, kind, senders: 1, batch_max: BATCH as usize, queue };
    desk.keeper.inputs.send(Input::Destinations(vec![taken, history])).expect("it listens");
    let began = Instant::now();
    for n in 0..FED {
        desk.save(vec![change(&format!("pbx-{n}.1"), false, calls(n))]);
    }
    desk.save_and_wait(vec![], 1);
    println!("{FED} conversations into the outbox: {:.0}/s", f64::from(FED) / began.elapsed().as_secs_f64());
    let (target, outcomes) = (target.clone(), desk.keeper.outcomes.clone());
    let began = Instant::now();
    let writer = std::thread::spawn(move || writer::run(target, &work, &outcomes, &pinconnector::lease::Pass::alone()));
    let reader = Reader::open(&desk.path).expect("a reader");
    let waits = || reader.destinations().expect("readable").iter().any(|to| to.name == HISTORY && to.waiting > 0);
    while waits() {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("out of it into MongoDB: {:.0} conversations/s", f64::from(FED) / began.elapsed().as_secs_f64());
    drop(reader);
    desk.stop();
    writer.join().expect("it ends well");
    for crm in [crm, second] {
        crm.join().expect("it ends well");
    }
}

fn fill(target: &Target, count: u32) {
    let mut writer = writer::Writer::new(target.clone());
    let began = Instant::now();
    for first in (0..count).step_by(BATCH as usize) {
        let deliveries: Vec<Delivery> = (first..count.min(first + BATCH))
            .map(|n| {
                let record_id = format!("pbx-{n}.1");
                let body = serde_json::json!({ "conversation": record_id, "calls": calls(n) }).to_string().into();
                Delivery { record_id, revision: 1, body, changed_at_ms: 0, told: None }
            })
            .collect();
        let outcome = writer.deliver(&deliveries);
        assert_eq!(outcome, Outcome::Answered(vec![Verdict::Saved; deliveries.len()]));
    }
    println!("{count} conversations written: {:.0}/s", f64::from(count) / began.elapsed().as_secs_f64());
}

fn ask(target: &Target, count: u32) {
    let reader = reader::Reader::open(target).expect("a reader");
    let newest = || CallFilter { limit: 50, ..CallFilter::default() };
    let middle = Moment(BEGAN_MS + i64::from(count / 2) * 10_000);
    let mut slow = Vec::new();
    let mut time = |what: &str, expected: usize, question: &dyn Fn(u32) -> usize| {
        let mut took: Vec<Duration> = (0..50)
            .map(|nth| {
                let began = Instant::now();
                assert_eq!(question(nth), expected, "{what}");
                began.elapsed()
            })
            .collect();
        took.sort();
        let [median, most] = [took[25], took[49]].map(|took| took.as_secs_f64() * 1_000.0);
        println!("{what:<44} median {median:>6.1} ms, longest {most:>6.1} ms");
        if took[25] > QUESTION_MAX {
            slow.push(what.to_owned());
        }
    };
    // Others each time, so that not only what was just read is asked for.
    let some = |nth: u32| nth.wrapping_mul(7_919) % count;
    let calls_of = |filter: CallFilter| reader.calls(&filter).expect("an answer").len();
    time("the newest 50 calls", 50, &|_| calls_of(newest()));
    time("50 calls before a day in the middle", 50, &|_| calls_of(CallFilter { until: Some(middle), ..newest() }));
    time("the newest 50 missed", 50, &|_| calls_of(CallFilter { missed: true, ..newest() }));
    time("the newest 50 of an extension", 50, &|nth| {
        calls_of(CallFilter { extension: Some((110 + nth).to_string()), ..newest() })
    });
    time("the newest of a client", 2, &|nth| {
        let client = Some(format!("+7916{:07}", some(nth) % 100_000));
        calls_of(CallFilter { client, limit: 2, ..newest() })
    });
    time("a conversation by id", 2, &|nth| {
        reader.conversation(&format!("pbx-{}.1", some(nth))).expect("an answer").len()
    });
    time("a call by id", 1, &|nth| {
        usize::from(reader.record(&format!("pbx-{}.1-2", some(nth))).expect("an answer").is_some())
    });
    time("the calls of a recording", 1, &|nth| {
        reader.records_of_recording(&format!("rec-{}", some(nth) / 10 * 10 + 1)).expect("an answer").len()
    });
    assert!(slow.is_empty(), "more than {} ms: {slow:?}", QUESTION_MAX.as_millis());
}
