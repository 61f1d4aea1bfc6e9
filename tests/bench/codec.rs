//! How fast bytes become messages and events: all recorded traces, again and again, on one core.
//!
//! `cargo bench --bench codec`; with `-- --json` as one JSON object; `-- --passes N codec` (or `codec-and-parse`) makes so many passes,
//! untimed, and prints the messages of one: for counting instructions (`tests/bench/run --instructions`).

#[path = "../traces/mod.rs"]
mod traces;

use pinconnector::ami::codec::{Codec, Frame};
use pinconnector::ami::parse::{Parsed, Parser};
use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Long enough that the machine's clock and caches have settled, for each measure.
const MEASURE: Duration = Duration::from_secs(2);
/// As many bytes as a busy link brings in one read.
const READ_BYTES: usize = 32 * 1024;

fn main() {
    // One stream, as one long connection would bring it: the greeting only once.
    let mut stream = b"Asterisk Call Manager/11.0.0\r\n".to_vec();
    for trace in traces::all() {
        for part in &trace.parts {
            let greeting = after_first_line(part.ami());
            stream.extend_from_slice(&part.ami()[greeting..]);
        }
    }
    let parser = Parser::default();
    let look_at = |frame: Frame<'_>| {
        black_box(frame);
        false
    };
    let parse_it = |frame: Frame<'_>| match frame {
        Frame::Message(message) => match parser.parse(&message) {
            Parsed::Event(event, _) => {
                black_box(event);
                true
            }
            Parsed::Ignored | Parsed::Malformed => false,
        },
        _ => false,
    };
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, passes, what, ..] = &arguments[..]
        && word == "--passes"
    {
        let mut messages = 0;
        for _ in 0..passes.parse().expect("a number") {
            messages = match &**what {
                "codec" => read_all(&stream, &mut { look_at }).0,
                "codec-and-parse" => read_all(&stream, &mut { parse_it }).0,
                other => panic!("{other} is neither codec nor codec-and-parse"),
            };
        }
        println!("{messages}");
        return;
    }
    let codec = measure(&stream, look_at);
    let parse = measure(&stream, parse_it);
    if std::env::args().any(|argument| argument == "--json") {
        println!("{{\"codec\": {}, \"codec_and_parse\": {}}}", codec.json(), parse.json());
        return;
    }
    let Passes { bytes, messages, kept, .. } = parse;
    println!("stream: {bytes} bytes of {messages} messages, {kept} of them events we keep");
    println!("               median pass             best pass");
    println!("codec          {codec}");
    println!("codec + parse  {parse}");
}

fn after_first_line(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == b'\n').expect("a greeting") + 1
}

/// Many passes over the stream. Other programs disturb some of them, so both the median and the best are shown.
struct Passes {
    bytes: usize,
    messages: usize,
    kept: usize,
    median: Duration,
    best: Duration,
}

impl Passes {
    fn megabytes(&self, took: Duration) -> f64 {
        self.bytes as f64 / 1e6 / took.as_secs_f64()
    }

    fn per_second(&self, took: Duration) -> f64 {
        self.messages as f64 / took.as_secs_f64()
    }

    fn json(&self) -> String {
        let figures = |took| {
            let (bytes, messages) = (self.megabytes(took), self.per_second(took));
            format!("{{\"megabytes_per_second\": {bytes:.1}, \"messages_per_second\": {messages:.0}}}")
        };
        format!("{{\"median\": {}, \"best\": {}}}", figures(self.median), figures(self.best))
    }
}

impl fmt::Display for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = |took| format!("{:>5.0} MB/s {:>5.2} M/s", self.megabytes(took), self.per_second(took) / 1e6);
        write!(f, "{}     {}", figures(self.median), figures(self.best))
    }
}

fn measure(stream: &[u8], mut each: impl FnMut(Frame<'_>) -> bool) -> Passes {
    let mut took = Vec::new();
    let (mut messages, mut kept) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < MEASURE || took.len() < 5 {
        let pass = Instant::now();
        (messages, kept) = read_all(stream, &mut each);
        took.push(pass.elapsed());
    }
    took.sort();
    Passes { bytes: stream.len(), messages, kept, median: took[took.len() / 2], best: took[0] }
}

fn read_all(stream: &[u8], each: &mut impl FnMut(Frame<'_>) -> bool) -> (usize, usize) {
    let mut codec = Codec::new();
    let (mut messages, mut kept, mut fed) = (0, 0, 0);
    while fed < stream.len() {
        // The copy stands for the kernel's, which a live link has in its place.
        fed += codec.push(&stream[fed..stream.len().min(fed + READ_BYTES)]);
        while let Some(frame) = codec.next_frame() {
            messages += 1;
            kept += usize::from(each(frame));
        }
    }
    (messages, kept)
}
