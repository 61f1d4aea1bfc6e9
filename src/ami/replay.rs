//! Plays a recorded AMI session: the same codec and parser as the live link, with the recording's clock.
//!
//! # Whose time it is
//!
//! A recording with a `.timing` file (a line per message: milliseconds since the first connection was made, a tab, the byte
//! offset) runs by it. Those are offsets only. What moment they count from is found from the messages that tell a time of their
//! own: events with `Timestamp:`, security events with `EventTV:`, new channels, whose uniqueid begins with the second in
//! which they were made. None of them can have come before the time it tells, so each sets an earliest beginning,
//! and the latest of these is the one: right to some milliseconds, or to a second where only uniqueids tell. A recording
//! without any of them began in 1970.
//!
//! Without `.timing`, each event's own `Timestamp:` counts. Without that, a synthetic clock advances by 1 ms a message and jumps
//! forward to the second that a new channel's uniqueid or an `EventTV` names: order is right, durations are rough.

use super::Heard;
use super::codec::{Codec, Frame, Kind, Message};
use super::parse::{Parsed, Parser};
use crate::asterisk::Event;
use crate::clock::Now;
use flate2::bufread::MultiGzDecoder;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// One recorded connection.
#[derive(Clone, Default, Debug)]
pub struct Recording {
    ami: Vec<u8>,
    /// By offset, ascending. Empty if there is no timing.
    timing: Vec<Mark>,
}

/// A day of a busy PBX; whatever unpacks to more is no recording of ours.
const MAX_RECORDING_BYTES: usize = 2 << 30;

/// A line of a `.timing` file.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Mark {
    ms: f64,
    offset: u64,
}

impl Recording {
    /// `timing`: the text of the `.timing` file, if there is one.
    ///
    /// # Errors
    /// If a line of it is not a time, a tab and an offset.
    pub fn new(ami: impl Into<Vec<u8>>, timing: Option<&str>) -> io::Result<Self> {
        let mut marks = Vec::new();
        for (number, line) in timing.unwrap_or_default().lines().enumerate() {
            let mark = line.split_once('\t').and_then(|(ms, offset)| {
                let ms: f64 = ms.trim().parse().ok().filter(|ms: &f64| ms.is_finite() && *ms >= 0.0)?;
                Some(Mark { ms, offset: offset.trim().parse().ok()? })
            });
            let Some(mark) = mark else {
                let problem = format!("timing, line {}: expected milliseconds, a tab and a byte offset", number + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            };
            marks.push(mark);
        }
        marks.sort_by_key(|mark| mark.offset);
        Ok(Self { ami: ami.into(), timing: marks })
    }

    /// Reads `NAME.ami` and, if it lies beside it, `NAME.timing`; each may be compressed (`NAME.ami.gz`).
    ///
    /// # Errors
    /// If the recording cannot be read or its timing is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let plain = if path.extension().is_some_and(|extension| extension == "gz") {
            path.with_extension("")
        } else {
            path.into()
        };
        let beside = plain.with_extension("timing");
        let mut timing = None;
        for path in [beside.with_extension("timing.gz"), beside] {
            match read(&path) {
                Ok(bytes) => timing = Some(String::from_utf8_lossy(&bytes).into_owned()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Self::new(read(path)?, timing.as_deref())
    }

    /// A recording that is part of the program: both files compressed.
    ///
    /// # Errors
    /// If they are no recording.
    pub fn compressed(ami: &[u8], timing: &[u8]) -> io::Result<Self> {
        Self::new(gunzip(ami)?, Some(&String::from_utf8_lossy(&gunzip(timing)?)))
    }

    /// The bytes as Asterisk sent them.
    pub fn ami(&self) -> &[u8] {
        &self.ami
    }

    /// Milliseconds and byte offsets of the messages, as in the `.timing` file.
    pub fn marks(&self) -> impl Iterator<Item = (f64, u64)> {
        self.timing.iter().map(|mark| (mark.ms, mark.offset))
    }

    /// When the byte at `offset` came, in milliseconds since the first connection.
    pub(super) fn ms_at(&self, offset: u64) -> f64 {
        let after = self.timing.partition_point(|mark| mark.offset <= offset);
        self.timing.get(after.saturating_sub(1)).map_or(0.0, |mark| mark.ms)
    }

    pub(super) fn codec(&self) -> Codec {
        if self.ami.starts_with(b"Event:") || self.ami.starts_with(b"Response:") {
            // A piece cut out of a longer recording.
            Codec::without_greeting()
        } else {
            Codec::new()
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") { gunzip(&bytes) } else { Ok(bytes) }
}

/// A file of gzip, at most [`MAX_RECORDING_BYTES`] long when unpacked.
fn gunzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut unpacked = Vec::new();
    let most = MAX_RECORDING_BYTES as u64;
    let read = MultiGzDecoder::new(bytes).take(most + 1).read_to_end(&mut unpacked);
    read.map_err(|error| invalid(&format!("not a gzip file: {error}")))?;
    if unpacked.len() > MAX_RECORDING_BYTES { Err(invalid("longer than a recording may be")) } else { Ok(unpacked) }
}

/// Recorded connections, one after another, as what is heard of them and when.
///
/// Each begins with [`Heard::Up`] (at the accepted login or, where the recording does not show it, the first event) and ends
/// with [`Heard::Down`]. A recording in which nobody got in yields only the `Down`.
pub struct Replay<'a> {
    parser: &'a Parser,
    parts: std::slice::Iter<'a, Recording>,
    part: Option<Playing<'a>>,
    clock: ReplayClock,
    tally: Tally,
}

/// What a replay saw besides events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub messages: u64,
    pub ignored: u64,
    /// Messages that are none, events not written as such, and streams that are not Asterisk's.
    pub malformed: u64,
    pub oversized: u64,
}

struct Playing<'a> {
    recording: &'a Recording,
    codec: Codec,
    /// How much of the recording went into the codec.
    fed: usize,
    version: Option<String>,
    up: bool,
    /// What comes after the `Up` that had to be put before it.
    next: Option<Heard>,
}

impl<'a> Replay<'a> {
    /// `parts` in the order in which the links were made.
    pub fn new(parts: &'a [Recording], parser: &'a Parser) -> Self {
        Self { parser, parts: parts.iter(), part: None, clock: ReplayClock::of(parts), tally: Tally::default() }
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }
}

impl Iterator for Replay<'_> {
    type Item = (Now, Heard);

    fn next(&mut self) -> Option<(Now, Heard)> {
        loop {
            let playing = match &mut self.part {
                Some(playing) => playing,
                None => self.part.insert(Playing::new(self.parts.next()?)),
            };
            if let Some(heard) = playing.next.take() {
                return Some((self.clock.now, heard));
            }
            match playing.step(self.parser, &mut self.clock, &mut self.tally) {
                Step::Heard(heard) => return Some((self.clock.now, heard)),
                Step::Nothing => {}
                Step::End => {
                    self.part = None;
                    return Some((self.clock.now, Heard::Down { why: "end of the recording".to_owned() }));
                }
            }
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "an event is the usual one")]
enum Step {
    Heard(Heard),
    Nothing,
    End,
}

impl<'a> Playing<'a> {
    fn new(recording: &'a Recording) -> Self {
        Self { recording, codec: recording.codec(), fed: 0, version: None, up: false, next: None }
    }

    fn step(&mut self, parser: &Parser, clock: &mut ReplayClock, tally: &mut Tally) -> Step {
        let Some((offset, frame)) = next_frame(&mut self.codec, self.recording, &mut self.fed) else {
            return Step::End;
        };
        let message = match frame {
            Frame::Message(message) => message,
            Frame::Greeting { version } => {
                self.version = Some(String::from_utf8_lossy(version).into_owned());
                clock.advance(self.recording, offset, None);
                return Step::Nothing;
            }
            Frame::Stray(_) | Frame::Foreign(_) => {
                tally.malformed += 1;
                return Step::Nothing;
            }
            Frame::Oversized => {
                tally.oversized += 1;
                return Step::Nothing;
            }
        };
        clock.advance(self.recording, offset, Some(&message));
        tally.messages += 1;
        let event = match parser.parse(&message) {
            Parsed::Event(event, _) => event,
            Parsed::Ignored => {
                tally.ignored += 1;
                return Step::Nothing;
            }
            Parsed::Malformed => {
                tally.malformed += 1;
                return Step::Nothing;
            }
        };
        if self.up {
            // Answers to a recorder's own pings are as little news as our own.
            return match event {
                Event::Response(response) if response.pong => Step::Nothing,
                event => Step::Heard(Heard::Event(event)),
            };
        }
        let login = match &event {
            Event::Response(response) if &*response.message == "Authentication accepted" => true,
            // Before the login, only answers to it can be heard.
            Event::Response(_) => return Step::Nothing,
            _ => false,
        };
        self.up = true;
        self.next = (!login).then_some(Heard::Event(event));
        Step::Heard(Heard::Up { version: self.version.take() })
    }
}

/// The next frame of a recording, and where it begins.
pub(super) fn next_frame<'c>(codec: &'c mut Codec, recording: &Recording, fed: &mut usize) -> Option<(u64, Frame<'c>)> {
    while !codec.advance() {
        let taken = codec.push(&recording.ami[*fed..]);
        if taken == 0 {
            return None;
        }
        *fed += taken;
    }
    let offset = codec.frame_offset();
    codec.frame().map(|frame| (offset, frame))
}

/// The clock of a replay; never goes back.
#[derive(Debug)]
struct ReplayClock {
    now: Now,
    pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Pace {
    /// By `.timing`: the wall clock at offset 0, in ms.
    Timing { base_ms: i64 },
    /// By the `Timestamp:` of events.
    Timestamps,
    /// A millisecond a message, and what uniqueids tell.
    Synthetic,
}

impl ReplayClock {
    fn of(parts: &[Recording]) -> Self {
        let hints = Hints::gather(parts);
        let (pace, wall_ms) = if parts.iter().any(|part| !part.timing.is_empty()) {
            let base_ms = hints.beginning_ms.unwrap_or(0);
            (Pace::Timing { base_ms }, base_ms)
        } else if let Some(wall_ms) = hints.timestamp_ms {
            (Pace::Timestamps, wall_ms)
        } else {
            (Pace::Synthetic, hints.first_ms.unwrap_or(0))
        };
        Self { now: Now { wall_ms, mono_ms: 0 }, pace }
    }

    /// Moves to the moment of the message at `offset`.
    fn advance(&mut self, recording: &Recording, offset: u64, message: Option<&Message<'_>>) {
        let wall_ms = match self.pace {
            Pace::Timing { base_ms } if !recording.timing.is_empty() => {
                base_ms.saturating_add(recording.ms_at(offset).round() as i64)
            }
            Pace::Timestamps => message.and_then(timestamp_ms).unwrap_or(self.now.wall_ms),
            Pace::Timing { .. } | Pace::Synthetic => {
                let told = message.and_then(|message| event_tv_ms(message).or_else(|| made_at_ms(message)));
                told.unwrap_or(0).max(self.now.wall_ms + 1)
            }
        };
        let passed_ms = u64::try_from(wall_ms.saturating_sub(self.now.wall_ms)).unwrap_or(0);
        self.now = self.now.plus_ms(passed_ms);
    }
}

/// What recordings say about absolute time.
#[derive(Default)]
struct Hints {
    /// The latest moment, at offset 0, that every message with a time of its own allows.
    beginning_ms: Option<i64>,
    /// The first `Timestamp:`.
    timestamp_ms: Option<i64>,
    /// The first time of any kind.
    first_ms: Option<i64>,
}

impl Hints {
    fn gather(parts: &[Recording]) -> Self {
        let mut hints = Self::default();
        for recording in parts {
            let (mut codec, mut fed) = (recording.codec(), 0);
            while let Some((offset, frame)) = next_frame(&mut codec, recording, &mut fed) {
                let Frame::Message(message) = frame else { continue };
                let stamp = timestamp_ms(&message);
                let Some(told_ms) = stamp.or_else(|| event_tv_ms(&message)).or_else(|| made_at_ms(&message)) else {
                    continue;
                };
                let beginning_ms = told_ms.saturating_sub(recording.ms_at(offset).round() as i64);
                hints.beginning_ms = hints.beginning_ms.max(Some(beginning_ms));
                hints.timestamp_ms = hints.timestamp_ms.or(stamp);
                hints.first_ms.get_or_insert(told_ms);
            }
        }
        hints
    }
}

fn timestamp_ms(message: &Message<'_>) -> Option<i64> {
    matches!(message.kind(), Kind::Event(_)).then(|| super::parse::timestamp_ms(message)).flatten()
}

/// `EventTV: 2026-11-22T06:47:17.819+0000` of a security event.
fn event_tv_ms(message: &Message<'_>) -> Option<i64> {
    let text = std::str::from_utf8(message.get(b"EventTV")?).ok()?;
    let at = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?.to_timestamp().ok()?;
    Some(at.as_millisecond())
}

/// The second in which a new channel was made, from its uniqueid `EPOCH.N` or `SYSTEM-EPOCH.N`.
fn made_at_ms(message: &Message<'_>) -> Option<i64> {
    if message.kind() != Kind::Event(b"Newchannel") {
        return None;
    }
    let id = std::str::from_utf8(message.get(b"Uniqueid")?).ok()?;
    let (epoch, _) = id.rsplit_once('.')?;
    let epoch = epoch.rsplit_once('-').map_or(epoch, |(_, epoch)| epoch);
    // From 2001 to 2286; what an Originate chose as an id is not taken for a time.
    let seconds: i64 = epoch.parse().ok().filter(|_| epoch.len() == 10)?;
    seconds.checked_mul(1000)
}
