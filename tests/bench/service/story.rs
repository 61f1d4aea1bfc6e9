//! Recorded stories as templates: every play of one has uniqueids, channel names, bridges and client numbers of its own, made by
//! copying pieces, so that the generator costs little beside what it measures.
//!
//! What must come of a story is found by playing it once through the program's own core.

#[path = "../../traces/mod.rs"]
mod traces;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;
use std::time::Duration;

use pinconnector::ami::codec::{Codec, Frame};
use pinconnector::ami::parse::{Parsed, Parser};
use pinconnector::asterisk::PbxId;
use pinconnector::call::record::Status;
use pinconnector::call::{Calls, Effect, Input, Rules};
use pinconnector::clock::Now;

/// What an ordinary day holds; each is one conversation, or a few.
pub const DAY: [&str; 16] = [
    "22/a_in_answered_caller_hangs",
    "22/a_in_answered_callee_hangs",
    "22/a_in_hold",
    "22/i_out_answered",
    "22/i_out_answered_remote_hangs",
    "22/j_internal_answered",
    "22/n_recorded",
    "22/e_ivr_digit_answered",
    "22/h_group_answered_102",
    "22/f_queue_ringall_answered_102",
    "22/l_blind_refer",
    "22/b_in_busy",
    "22/b_in_noanswer",
    "22/b_in_caller_hangs_ringing",
    "22/i_out_noanswer",
    "22/d_greeting_caller_hangs",
];

/// States of records that a story may have at most.
pub const MARKS_MAX: usize = 32;

/// One story, ready to be played.
pub struct Story {
    pub name: &'static str,
    pub messages: Vec<Message>,
    /// What it makes, in the order in which it comes about.
    pub marks: Vec<Mark>,
    /// Conversations.
    pub calls: usize,
    /// Records that have come to their end when it is over.
    pub finals: usize,
}

/// One AMI message.
pub struct Message {
    /// Since the story's first.
    pub at: Duration,
    text: Vec<u8>,
    pieces: Vec<Piece>,
}

enum Piece {
    Text(Range<usize>),
    Uniqueid(usize),
    Channel(usize),
    Bridge(usize),
    Client,
}

/// The first time a record has a status.
pub struct Mark {
    /// Behind the play's number in the record's id: `.0-1`
    pub suffix: String,
    pub status: Status,
    /// The message that brought it about.
    pub message: usize,
    /// Nothing comes after it.
    pub is_final: bool,
}

/// The stories of [`DAY`].
pub fn day(rules: &Rules) -> Vec<Story> {
    DAY.iter().map(|name| Story::load(name, rules)).collect()
}

impl Story {
    fn load(name: &'static str, rules: &Rules) -> Self {
        let trace = traces::load(name);
        let [recording] = &trace.parts[..] else { panic!("{name}: one connection is all that is played here") };
        let mut names = Names::default();
        let mut messages = Vec::new();
        let mut codec = Codec::new();
        let mut fed = 0;
        loop {
            while let Some(frame) = codec.next_frame() {
                let Frame::Message(message) = frame else { continue };
                // What the recording client was answered.
                if message.bytes().starts_with(b"Event: ") {
                    let bytes = [message.bytes(), b"\r\n\r\n"].concat();
                    messages.push((codec.frame_offset(), bytes));
                }
            }
            if fed == recording.ami().len() {
                break;
            }
            fed += codec.push(&recording.ami()[fed..]);
        }
        let marks: Vec<(f64, u64)> = recording.marks().collect();
        let ms_at = |offset: u64| marks[marks.partition_point(|(_, at)| *at <= offset).saturating_sub(1)].0;
        let begun = ms_at(messages[0].0);
        let cut = |(offset, bytes): (u64, Vec<u8>)| {
            let at = Duration::from_secs_f64((ms_at(offset) - begun).max(0.0) / 1_000.0);
            Message { at, pieces: names.cut(&bytes), text: bytes }
        };
        let messages = messages.into_iter().map(cut).collect();
        let mut story = Self { name, messages, marks: Vec::new(), calls: 0, finals: 0 };
        story.find_marks(rules);
        assert!(story.finals > 0 && story.marks.len() <= MARKS_MAX, "{name}: {} marks", story.marks.len());
        story
    }

    /// When the last message comes.
    pub fn length(&self) -> Duration {
        self.messages.last().map_or(Duration::ZERO, |message| message.at)
    }

    /// Plays it through the core, two at once, so that it is known to be told apart, too.
    fn find_marks(&mut self, rules: &Rules) {
        let mut calls = Calls::new(rules.clone());
        let pbx = PbxId(0);
        let mut now = Now { wall_ms: 1_795_000_000_000, mono_ms: 1 };
        calls.handle(now, Input::LinkUp { pbx });
        let parser = Parser::new(None, Vec::new());
        let begun = now;
        let mut last: BTreeMap<String, (usize, Status)> = BTreeMap::new();
        let mut twins = 0_isize;
        for (nth, message) in self.messages.iter().enumerate() {
            now = begun.plus_ms(u64::try_from(message.at.as_millis()).expect("short"));
            for play in [7, 8] {
                let mut bytes = Vec::new();
                message.render(play, &mut bytes);
                let mut codec = Codec::without_greeting();
                codec.push(&bytes);
                let Some(Frame::Message(read)) = codec.next_frame() else {
                    panic!("{}: {nth} is no message", self.name)
                };
                let Parsed::Event(event, _) = parser.parse(&read) else { continue };
                for effect in calls.handle(now, Input::Heard { pbx, event }) {
                    let Effect::Save(change) = effect else { continue };
                    for record in change.records {
                        let (of, suffix) = play_of(&record.id).expect("ids are made of uniqueids");
                        assert_eq!(of, play, "{}: plays are not told apart", self.name);
                        if play == 8 {
                            twins += isize::from(record.ended_at.is_some());
                            continue;
                        }
                        let status = record.status;
                        let is_new = !self.marks.iter().any(|mark| mark.suffix == suffix && mark.status == status);
                        if is_new {
                            let suffix = suffix.to_owned();
                            self.marks.push(Mark { suffix, status, message: nth, is_final: false });
                        }
                        last.insert(suffix.to_owned(), (nth, status));
                        twins -= isize::from(record.ended_at.is_some());
                    }
                }
            }
        }
        assert_eq!(twins, 0, "{}: two plays are not alike", self.name);
        assert_eq!(calls.open().count(), 0, "{}: something stays open", self.name);
        for (suffix, (_, status)) in last {
            assert!(status.is_final(), "{}: {suffix} stays {status:?}", self.name);
            let mark = self.marks.iter_mut().find(|mark| mark.suffix == suffix && mark.status == status);
            mark.expect("it was noted").is_final = true;
            self.finals += 1;
        }
        self.calls = usize::try_from(calls.counts.conversations).expect("few") / 2;
    }
}

impl Message {
    /// Appends it as the `play`th play has it.
    pub fn render(&self, play: u32, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            let written = match piece {
                Piece::Text(range) => {
                    out.extend_from_slice(&self.text[range.clone()]);
                    continue;
                }
                Piece::Uniqueid(nth) => write!(out, "179{play:07}.{nth}"),
                Piece::Channel(nth) => write!(out, "-{:08x}", play.wrapping_mul(32).wrapping_add(*nth as u32)),
                Piece::Bridge(nth) => write!(out, "{play:08x}-{nth:04x}-4000-8000-000000000000"),
                Piece::Client => write!(out, "916{play:07}"),
            };
            written.expect("memory takes everything");
        }
    }
}

/// The play a record belongs to, and the rest of its id.
pub fn play_of(id: &str) -> Option<(u32, &str)> {
    let uniqueid = &id[id.find("-179")? + 4..];
    Some((uniqueid.get(..7)?.parse().ok()?, &uniqueid[7..]))
}

/// The names in one story, in the order in which they come up.
#[derive(Default)]
struct Names {
    uniqueids: Vec<Vec<u8>>,
    channels: Vec<Vec<u8>>,
    bridges: Vec<Vec<u8>>,
}

impl Names {
    fn cut(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let begins = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
            let found = if begins && let Some(length) = uniqueid_length(rest) {
                Some((Piece::Uniqueid(nth(&mut self.uniqueids, &rest[..length])), length))
            } else if begins && is_uuid(rest) {
                Some((Piece::Bridge(nth(&mut self.bridges, &rest[..36])), 36))
            } else if is_channel_number(rest) {
                Some((Piece::Channel(nth(&mut self.channels, &rest[..9])), 9))
            } else if rest.starts_with(b"9161234567") {
                Some((Piece::Client, 10))
            } else {
                None
            };
            let Some((piece, length)) = found else {
                at += 1;
                continue;
            };
            pieces.extend([Piece::Text(from..at), piece]);
            at += length;
            from = at;
        }
        pieces.push(Piece::Text(from..bytes.len()));
        pieces
    }
}

fn nth(known: &mut Vec<Vec<u8>>, name: &[u8]) -> usize {
    known.iter().position(|one| one == name).unwrap_or_else(|| {
        known.push(name.to_vec());
        known.len() - 1
    })
}

/// `1795328990.12`
fn uniqueid_length(bytes: &[u8]) -> Option<usize> {
    let is_one = bytes.len() > 11 && bytes[..10].iter().all(u8::is_ascii_digit) && bytes[10] == b'.';
    let digits = is_one.then(|| bytes[11..].iter().take_while(|byte| byte.is_ascii_digit()).count())?;
    (digits > 0).then_some(11 + digits)
}

/// `05d6e04c-53b6-45c8-8f91-6d286796ffd0`
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `-0000005e` at the end of a channel's name.
fn is_channel_number(bytes: &[u8]) -> bool {
    bytes.len() >= 9
        && bytes[0] == b'-'
        && bytes[1..9].iter().all(u8::is_ascii_hexdigit)
        && !bytes.get(9).is_some_and(u8::is_ascii_alphanumeric)
        && bytes.get(9) != Some(&b'-')
}
