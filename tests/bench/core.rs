//! Codec, parser and core over every recorded story: AMI bytes to records, without a disk.
//!
//! `cargo bench --bench core`. Events are AMI messages as they came, the ignored ones included; every story is played
//! into a fresh core, so the figures hold the making and forgetting of its calls.

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
    let parser = Parser::new(None, Vec::new());
    let pbx = PbxId(0);
    let mut best = f64::MAX;
    let (mut messages, mut records, mut bytes) = (0, 0, 0);
    for _ in 0..12 {
        (messages, records, bytes) = (0_u64, 0_usize, 0_usize);
        let began = Instant::now();
        for story in &stories {
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
