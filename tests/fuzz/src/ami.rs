//! Any bytes as what an AMI connection says: never a panic, and the same however they are cut; and any text in an action
//! of ours: never a line that was not meant. What the parser understands goes through the core as well.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinconnector::ami::charset::Charset;
use pinconnector::ami::codec::{Codec, Frame, Kind, MAX_MESSAGE_BYTES, MAX_MESSAGE_LINES, encode};
use pinconnector::ami::parse::{Parsed, Parser};
use pinconnector::asterisk::{Action, ActionId, Originate, PbxId};
use pinconnector::call::{Calls, Input, Rules};
use pinconnector::clock::Now;

fuzz_target!(|input: &[u8]| {
    let whole = frames(input, usize::MAX);
    let piece = input.first().map_or(1, |&byte| usize::from(byte) + 1);
    assert_eq!(whole, frames(input, 1));
    assert_eq!(whole, frames(input, piece));
    decide(input);
    say(input);
});

/// The core takes whatever the parser makes of it, and every call it sees ends.
fn decide(input: &[u8]) {
    let mut codec = Codec::without_greeting();
    let parser = Parser::default();
    let mut calls = Calls::new(Rules { every_originate_is_ours: true, ..Rules::default() });
    let pbx = PbxId(0);
    let mut now = Now { wall_ms: 1_795_329_000_000, mono_ms: 0 };
    calls.handle(now, Input::LinkUp { pbx });
    let mut rest = input;
    while !rest.is_empty() {
        rest = &rest[codec.push(rest)..];
        while codec.advance() {
            if let Some(Frame::Message(message)) = codec.frame()
                && let Parsed::Event(event, _) = parser.parse(&message)
            {
                now = now.plus_ms(40);
                calls.handle(now, Input::Heard { pbx, event });
            }
        }
    }
    calls.handle(now, Input::Over { pbx });
    assert_eq!(calls.open().count(), 0, "every call ends");
}

/// What the stream holds, with events as the parser reads them, as text to compare.
fn frames(input: &[u8], piece: usize) -> Vec<String> {
    // The first byte chooses, so that both beginnings are tried.
    let mut codec = if input.first().is_some_and(|byte| byte & 1 == 0) { Codec::new() } else { Codec::without_greeting() };
    let parser = Parser::new(Some(Charset::Windows1251), vec!["CRM_*".to_owned()]);
    let mut frames = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let taken = codec.push(&rest[..piece.min(rest.len())]);
        assert!(taken > 0, "the codec always has room");
        rest = &rest[taken..];
        while codec.advance() {
            let offset = codec.frame_offset();
            match codec.frame().expect("advanced to") {
                Frame::Message(message) => {
                    assert!(message.bytes().len() <= MAX_MESSAGE_BYTES);
                    assert!(message.lines().count() <= MAX_MESSAGE_LINES);
                    let parsed = parser.parse(&message);
                    if matches!(message.kind(), Kind::Response(_)) {
                        assert!(matches!(parsed, Parsed::Event(..)), "every answer is heard");
                    }
                    frames.push(format!("{offset} {message:?} {parsed:?}"));
                }
                frame => frames.push(format!("{offset} {frame:?}")),
            }
        }
    }
    frames
}

/// Texts of a stranger in every field: what is written is one message with the keys we meant, or nothing.
fn say(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut texts = text.split('|').map(Box::<str>::from);
    let mut next = || texts.next().unwrap_or_default();
    let originate = Originate {
        channel: next(),
        context: next(),
        exten: next(),
        caller_id: next(),
        timeout_ms: 30_000,
        channel_id: (&*next()).into(),
        other_channel_id: (&*next()).into(),
        variables: vec![(next(), next())],
    };
    let mut out = Vec::new();
    if encode(&Action::Originate(Box::new(originate)), &ActionId(next()), &mut out).is_err() {
        assert!(out.is_empty(), "nothing of a refused action is written");
        return;
    }
    let text = String::from_utf8(out).expect("text in, text out");
    let lines = text.strip_suffix("\r\n\r\n").expect("the end of a message");
    for line in lines.split("\r\n") {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let (key, _) = line.split_once(": ").expect("a key");
        const MEANT: [&str; 12] = [
            "Action", "ActionID", "Channel", "Context", "Exten", "Priority", "Timeout", "CallerID", "Async", "ChannelId",
            "OtherChannelId", "Variable",
        ];
        assert!(MEANT.contains(&key), "{line:?}");
    }
}
