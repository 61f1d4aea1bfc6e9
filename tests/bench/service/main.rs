//! The whole service, measured from outside: an exchange that plays recorded stories, the real binary with its database on the
//! real disk, a CRM that takes every record.
//!
//! `tests/bench/run` builds and starts it. Arguments: `--json`, `--binary PATH`, `--short` (a tenth of the time; for trying), and
//! names of measurements, where not all are wanted: disk, start, idle, open, after, speed, latency, outage, clicks, dialplan, listeners.

mod calls;
mod doors;
mod exchange;
mod memory;
mod program;
mod receiver;
mod report;
mod story;

use std::path::PathBuf;

use exchange::Exchange;
use receiver::{Clockwork, Receiver};
use report::{Budget, Report};
use story::Story;

/// What every measurement needs.
pub struct Bench {
    pub binary: PathBuf,
    /// A tenth of everything.
    pub is_short: bool,
    pub stories: Vec<Story>,
    pub exchange: Exchange,
    pub receiver: Receiver,
    next_play: std::cell::Cell<u32>,
}

impl Bench {
    /// So many plays that were not yet.
    pub fn plays(&self, count: u32) -> std::ops::Range<u32> {
        let first = self.next_play.get();
        self.next_play.set(first + count);
        first..first + count
    }

    /// A tenth of it, where it shall be short.
    pub fn of(&self, whole: u32) -> u32 {
        if self.is_short { whole / 10 } else { whole }
    }

    /// Records and conversations that so many plays of the day come to.
    pub fn outcome(&self, plays: &std::ops::Range<u32>) -> (usize, usize) {
        let of = |play: u32| &self.stories[play as usize % self.stories.len()];
        plays.clone().fold((0, 0), |(finals, calls), play| (finals + of(play).finals, calls + of(play).calls))
    }
}

/// One part of the benchmark, which writes its figures into the report.
type Part = fn(&Bench, &mut Report);

fn main() {
    let mut wanted = Vec::new();
    let (mut is_json, mut is_short) = (false, false);
    let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_pinconnector"));
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match &*word {
            // Cargo's own.
            "--bench" => {}
            "--json" => is_json = true,
            "--short" => is_short = true,
            "--binary" => binary = words.next().expect("--binary PATH").into(),
            _ => wanted.push(word),
        }
    }
    let rules = pinconnector::config::Config::parse(
        "[numbers]\nregion = \"RU\"\n[[asterisk]]\nname = \"bench\"\nhost = \"127.0.0.1\"\nusername = \"x\"\nsecret = \"x\"\n",
    )
    .expect("a configuration")
    .rules();
    let stories = story::day(&rules);
    let receiver = Receiver::open(Clockwork::none(&stories));
    let bench = Bench { binary, is_short, stories, exchange: Exchange::open(), receiver, next_play: 1.into() };
    let mut report = Report::new(is_json);
    let all: [(&str, Part); 11] = [
        ("disk", calls::disk),
        ("start", memory::start),
        ("idle", memory::idle),
        ("open", memory::open_calls),
        ("after", memory::after_many),
        ("speed", calls::speed),
        ("latency", calls::latency),
        ("outage", calls::outage),
        ("clicks", doors::clicks),
        ("dialplan", doors::dialplan),
        ("listeners", doors::listeners),
    ];
    for name in &wanted {
        assert!(all.iter().any(|(known, _)| known == name), "there is no measurement {name}");
    }
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            measure(&bench, &mut report);
        }
    }
    report.end();
}

/// p50, p99 and p999 of `times`, in milliseconds, ascending.
fn add_quantiles(report: &mut Report, name: &str, times: &[f64], p50: Budget, p99: Budget) {
    report.add(format!("{name}, p50"), report::quantile(times, 0.5), "ms", p50);
    report.add(format!("{name}, p99"), report::quantile(times, 0.99), "ms", p99);
    report.add(format!("{name}, p999"), report::quantile(times, 0.999), "ms", Budget::None);
}
