//! Micro-benchmarks: codec, parser, core and store, each by itself. `cargo bench --bench micro`, or with a name of one of them.
//!
//! The stream is that of all recorded sessions. How many instructions a message costs, whatever else the machine does, is counted
//! by `tests/bench/run --instructions`.

#[path = "../store_support/mod.rs"]
mod store_support;
#[path = "../traces/mod.rs"]
mod traces;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use pinconnector::ami::Heard;
use pinconnector::ami::codec::{Codec, Frame};
use pinconnector::ami::parse::Parser;
use pinconnector::ami::replay::Replay;
use pinconnector::asterisk::PbxId;
use pinconnector::call::{Calls, Input, Rules};

/// As many bytes as a busy link brings in one read.
const READ_BYTES: usize = 32 * 1024;

fn main() {
    divan::main();
}

/// All sessions as one long connection would bring them: the greeting only once.
fn stream() -> Vec<u8> {
    let mut stream = b"Asterisk Call Manager/11.0.0\r\n".to_vec();
    for trace in traces::all() {
        for part in &trace.parts {
            let greeting = part.ami().iter().position(|&byte| byte == b'\n').expect("a greeting") + 1;
            stream.extend_from_slice(&part.ami()[greeting..]);
        }
    }
    stream
}

/// Hands every message to `each`; how many there were.
fn read_all(stream: &[u8], mut each: impl FnMut(Frame<'_>)) -> usize {
    let mut codec = Codec::new();
    let (mut messages, mut fed) = (0, 0);
    while fed < stream.len() {
        fed += codec.push(&stream[fed..stream.len().min(fed + READ_BYTES)]);
        while let Some(frame) = codec.next_frame() {
            messages += 1;
            each(frame);
        }
    }
    messages
}

#[divan::bench]
fn codec(bencher: Bencher<'_, '_>) {
    let stream = stream();
    let messages = read_all(&stream, |_| {});
    let counted = bencher.counter(BytesCount::of_slice(&*stream)).counter(ItemsCount::new(messages));
    counted.bench_local(|| read_all(&stream, |frame| _ = black_box(frame)));
}

#[divan::bench]
fn codec_and_parser(bencher: Bencher<'_, '_>) {
    let stream = stream();
    let parser = Parser::default();
    let messages = read_all(&stream, |_| {});
    let counted = bencher.counter(BytesCount::of_slice(&*stream)).counter(ItemsCount::new(messages));
    counted.bench_local(|| {
        read_all(&stream, |frame| {
            if let Frame::Message(message) = frame {
                drop(black_box(parser.parse(&message)));
            }
        })
    });
}

/// What was parsed, through a fresh core for each story, to records.
#[divan::bench]
fn core(bencher: Bencher<'_, '_>) {
    let parser = Parser::new(None, Vec::new());
    let pbx = PbxId(0);
    let stories: Vec<Vec<_>> = traces::all().iter().map(|story| Replay::new(&story.parts, &parser).collect()).collect();
    let events: usize = stories.iter().map(Vec::len).sum();
    let inputs = || {
        let input = |heard: &Heard| match heard {
            Heard::Up { .. } => Input::LinkUp { pbx },
            Heard::Down { .. } => Input::LinkDown { pbx },
            Heard::Event(event) => Input::Heard { pbx, event: event.clone() },
        };
        let of = |story: &Vec<_>| story.iter().map(|(now, heard)| (*now, input(heard))).collect::<Vec<_>>();
        stories.iter().map(of).collect::<Vec<_>>()
    };
    bencher.counter(ItemsCount::new(events)).with_inputs(inputs).bench_local_values(|stories| {
        for story in stories {
            let mut calls = Calls::new(Rules { every_originate_is_ours: true, ..Rules::default() });
            for (now, input) in story {
                drop(black_box(calls.handle(now, input)));
            }
        }
    });
}

/// A change of a call, committed and flushed to the disk under the folder of cargo's.
#[divan::bench]
fn store_commit(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let desk = store_support::open(&store_support::settings(folder.path()), 1, 50);
    let at = store_support::now_ms();
    let mut number = 0;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        number += 1;
        let id = format!("pbx-1795329208.{number}");
        let record = store_support::record(&id, 1, at);
        desk.save_and_wait(vec![store_support::change(&id, true, vec![record])], number);
    });
    desk.stop();
}
