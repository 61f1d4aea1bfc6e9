//! Codec, parser and core over every recorded story: AMI bytes to records, without a disk.
//!
//! `cargo bench --bench core`. Events are AMI messages as they came, the ignored ones included; every story is played
//! into a fresh core, so the figures hold the making and forgetting of its calls. `-- --passes N bytes-to-records` makes so many
//! passes, untimed, and prints the messages of one: for counting instructions (`tests/bench/run --instructions`).

#[path = "../traces/mod.rs"]
mod traces;

use std::time::Instant;

use pinconnector::ami::Heard;
use pinconnector::ami::parse::Parser;
use pinconnector::ami::replay::Replay;
use pinconnector::asterisk::PbxId;
use pinconnector::call::{Calls, Effect, Input, Rules};

fn main() {
    let stories = traces::all();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, passes, ..] = &arguments[..]
        && word == "--passes"
    {
        let passes: usize = passes.parse().expect("a number");
        let mut messages = 0;
        for _ in 0..passes {
            messages = pass(&stories).0;
        }
        println!("{messages}");
        return;
    }
    let mut best = f64::MAX;
    let (mut messages, mut records, mut bytes) = (0, 0, 0);
    for _ in 0..12 {
        let began = Instant::now();
        (messages, records, bytes) = pass(&stories);
        best = best.min(began.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (events, records, megabytes) = (messages as f64, records as f64, bytes as f64 / 1e6);
    println!(
        "codec to records: {:.0} events/s, {:.0} MB/s, {:.0} record revisions/s (best of 12; {} stories, {messages} messages)",
        events / best,
        megabytes / best,
        records / best,
        stories.len()
    );
}

/// Every story once: messages, records and bytes.
fn pass(stories: &[traces::Trace]) -> (u64, usize, usize) {
    let parser = Parser::new(None, Vec::new());
    let pbx = PbxId(0);
    let (mut messages, mut records, mut bytes) = (0, 0, 0);
    for story in stories {
        let mut calls = Calls::new(Rules { every_originate_is_ours: true, ..Rules::default() });
        let mut replay = Replay::new(&story.parts, &parser);
        for (now, heard) in replay.by_ref() {
            let input = match heard {
                Heard::Up { .. } => Input::LinkUp { pbx },
                Heard::Down { .. } => Input::LinkDown { pbx },
                Heard::Event(event) => Input::Heard { pbx, event },
            };
            for effect in calls.handle(now, input) {
                if let Effect::Save(change) = effect {
                    records += change.records.len();
                }
            }
        }
        messages += replay.tally().messages;
        bytes += story.parts.iter().map(|p| p.ami().len()).sum::<usize>();
    }
    (messages, records, bytes)
}
