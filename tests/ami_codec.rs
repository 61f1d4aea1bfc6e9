//! The codec: however a stream is cut, the same messages come out; whatever it holds, it goes on.

#[path = "traces/mod.rs"]
mod traces;

use pinconnector::ami::codec::{Codec, EncodeError, Frame, MAX_MESSAGE_BYTES, MAX_MESSAGE_LINES, encode};
use pinconnector::asterisk::{Action, ActionId, ChannelName, Originate};

/// A frame with its offset, owned, as text to compare and read.
fn describe(offset: u64, frame: Frame<'_>) -> String {
    match frame {
        Frame::Message(message) => {
            let lines: Vec<_> = message.lines().map(|line| line.escape_ascii().to_string()).collect();
            assert_eq!(lines.join("\\r\\n"), message.bytes().escape_ascii().to_string(), "lines are the bytes");
            format!("{offset} {:?}", lines)
        }
        other => format!("{offset} {other:?}"),
    }
}

/// Feeds the stream in pieces whose sizes `piece` gives.
fn frames(stream: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let mut codec = Codec::new();
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let size = piece().clamp(1, rest.len());
        let taken = codec.push(&rest[..size]);
        assert!(taken > 0, "the codec always has room");
        rest = &rest[taken..];
        while codec.advance() {
            frames.push(describe(codec.frame_offset(), codec.frame().expect("advanced to")));
        }
    }
    frames
}

fn whole(stream: &[u8]) -> Vec<String> {
    frames(stream, || usize::MAX)
}

/// A small generator of numbers that look random and are the same each time.
fn numbers(mut seed: u64) -> impl FnMut() -> usize {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).expect("31 bits")
    }
}

fn stream(messages: &[&str]) -> Vec<u8> {
    let mut stream = b"Asterisk Call Manager/11.0.0\r\n".to_vec();
    for message in messages {
        stream.extend_from_slice(message.as_bytes());
    }
    stream
}

#[test]
fn every_trace_gives_the_same_messages_however_it_is_cut() {
    for trace in traces::all() {
        for part in &trace.parts {
            let expected = whole(part.ami());
            assert!(expected[0].contains("Greeting"), "{}", trace.name);
            assert_eq!(frames(part.ami(), || 1), expected, "{} in single bytes", trace.name);
            for seed in 1..=3 {
                let mut number = numbers(seed);
                let pieces = frames(part.ami(), || 1 + number() % 1500);
                assert_eq!(pieces, expected, "{} in pieces, seed {seed}", trace.name);
            }
        }
    }
}

#[test]
fn a_frame_begins_where_the_recorder_says_a_message_began() {
    for trace in traces::all() {
        for part in &trace.parts {
            let (mut codec, mut fed) = (Codec::new(), 0);
            let mut offsets = Vec::new();
            loop {
                while codec.advance() {
                    offsets.push(codec.frame_offset());
                }
                let taken = codec.push(&part.ami()[fed..]);
                if taken == 0 {
                    break;
                }
                fed += taken;
            }
            // The recorder notes a stray blank line as a message of its own, or as the beginning of the next one.
            let marked: Vec<u64> = part.marks().map(|(_, offset)| offset).collect();
            let at_mark = |offset: &u64| marked.contains(offset) || marked.contains(&(offset - 2));
            let odd: Vec<_> = offsets.iter().filter(|offset| !at_mark(offset)).collect();
            assert!(odd.is_empty(), "{}: {odd:?}", trace.name);
        }
    }
}

#[test]
fn the_two_cuts_of_any_message_make_no_difference() {
    let stream = stream(&[
        "\r\nEvent: Hold\r\nPrivilege: call,all\r\n\r\n\r\n",
        "no colon\r\n\r\n",
        "Response: Success\r\nActionID: 1\r\nno colon here either\r\n\r\n",
    ]);
    let expected = whole(&stream);
    for first in 0..stream.len() {
        for second in first..stream.len() {
            let mut cuts = [first, second - first, usize::MAX].into_iter();
            assert_eq!(frames(&stream, || cuts.next().unwrap_or(usize::MAX)), expected, "cut at {first} and {second}");
        }
    }
}

#[test]
fn blank_lines_strays_and_lines_without_a_colon_are_survived() {
    let frames = whole(&stream(&[
        "\r\n\r\nEvent: A\r\nPrivilege: x\r\n\r\n\r\n\r\n",
        "after\r\n\r\n",
        "event: lower case is not how Asterisk writes it\r\n\r\n",
        "Response: Success\r\ngarbage\r\n: empty key\r\nKey:no blank\r\n\r\n",
    ]));
    assert_eq!(frames.len(), 5, "{frames:#?}");
    assert!(frames[1].contains("Event: A"));
    assert!(frames[2].contains("Stray"));
    assert!(frames[3].contains("Stray"));
    assert!(frames[4].contains("garbage"));
}

#[test]
fn the_first_of_duplicate_keys_counts() {
    let mut codec = Codec::without_greeting();
    codec.push(b"Event: Newexten\r\nPrivilege: dialplan,all\r\nAppData: a\nb\r\nEvent: Fake\r\nAppData: c\r\nKey:no blank\r\n\r\n");
    let Some(Frame::Message(message)) = codec.next_frame() else { panic!("one message") };
    assert_eq!(message.get(b"AppData"), Some(&b"a\nb"[..]), "a bare line feed is part of the value");
    assert_eq!(message.get(b"Key"), Some(&b"no blank"[..]));
    assert_eq!(message.get(b"Event"), Some(&b"Fake"[..]), "but never as the kind of message");
    assert_eq!(message.kind(), pinconnector::ami::codec::Kind::Event(b"Newexten"));
    assert_eq!(message.get(b"App"), None);
    assert_eq!(message.line(1), Some(&b"Privilege: dialplan,all"[..]));
    assert_eq!(message.line(9), None);
}

#[test]
fn a_message_at_the_limits_passes_and_one_beyond_is_skipped() {
    let head = "Event: Big\r\nPrivilege: x\r\nPad: ";
    let fits = "x".repeat(MAX_MESSAGE_BYTES - head.len());
    let lines = |count: usize| format!("Event: Many\r\n{}\r\n", "k: v\r\n".repeat(count - 1));
    let next = "Event: Next\r\nPrivilege: x\r\n\r\n";
    for (message, passes) in [
        (format!("{head}{fits}\r\n\r\n"), true),
        (format!("{head}{fits}x\r\n\r\n"), false),
        (format!("{head}{fits}{fits}{fits}\r\n\r\n"), false),
        // A long line that ends, and then more lines.
        (format!("{head}{fits}{fits}\r\nMore: y\r\nEvent: Fake\r\n\r\n"), false),
        (lines(MAX_MESSAGE_LINES), true),
        (lines(MAX_MESSAGE_LINES + 1), false),
        (lines(20 * MAX_MESSAGE_LINES), false),
    ] {
        let stream = stream(&[next, &message, next]);
        for piece in [usize::MAX, 1, 2, 3, 7, 4096, 65_535] {
            let frames = frames(&stream, || piece);
            assert_eq!(frames.len(), 4, "{} bytes in pieces of {piece}", message.len());
            assert_eq!(frames[2].contains("Oversized"), !passes, "{} bytes in pieces of {piece}", message.len());
            assert!(frames[3].contains("Event: Next"), "what comes after is heard");
        }
    }
}

#[test]
fn what_is_not_asterisk_is_told_by_its_first_line() {
    for (first, shown) in [
        (&b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"[..], &b"HTTP/1.1 400 Bad Request\r"[..]),
        (b"SSH-2.0-OpenSSH_9.2\n", b"SSH-2.0-OpenSSH_9.2"),
        (b"\x15\x03\x01\x00\x02\x02\x46", b"\x15\x03\x01\x00\x02\x02\x46"),
        (&[b'x'; 3000], &[b'x'; 1024]),
    ] {
        let mut codec = Codec::new();
        codec.push(first);
        assert_eq!(codec.next_frame(), Some(Frame::Foreign(shown)));
        codec.push(b"Asterisk Call Manager/11.0.0\r\nEvent: A\r\n\r\n");
        assert_eq!(codec.next_frame(), None, "nothing more is believed");
    }
}

#[test]
fn an_action_is_written_as_asterisk_reads_it() {
    let mut out = Vec::new();
    let id = ActionId("pin-1".into());
    let originate = Originate {
        channel: "PJSIP/101".into(),
        context: "from-internal".into(),
        exten: "89161234567".into(),
        caller_id: "Звонок <101>".into(),
        timeout_ms: 30_000,
        channel_id: "pin-1-a".into(),
        other_channel_id: "pin-1-b".into(),
        variables: vec![("__NOTE".into(), r#"a, "b" (c) \d[e]=f"#.into())],
    };
    encode(&Action::Originate(Box::new(originate)), &id, &mut out).expect("can be said");
    let expected = "Action: Originate\r\nActionID: pin-1\r\nChannel: PJSIP/101\r\nContext: from-internal\r\n\
        Exten: 89161234567\r\nPriority: 1\r\nTimeout: 30000\r\nCallerID: Звонок <101>\r\nAsync: true\r\n\
        ChannelId: pin-1-a\r\nOtherChannelId: pin-1-b\r\n\
        Variable: __NOTE=a\\, \\\"b\\\" \\(c\\) \\\\d\\[e\\]=f\r\n\r\n";
    assert_eq!(String::from_utf8(out).expect("text"), expected);
}

#[test]
fn no_line_break_and_no_zero_is_ever_written() {
    let id = ActionId("pin-1".into());
    let originate = |change: fn(&mut Originate)| {
        let mut originate = Originate {
            channel: "PJSIP/101".into(),
            context: "c".into(),
            exten: "1".into(),
            caller_id: "".into(),
            timeout_ms: 1,
            channel_id: "".into(),
            other_channel_id: "".into(),
            variables: vec![("A".into(), "b".into())],
        };
        change(&mut originate);
        Action::Originate(Box::new(originate))
    };
    for (action, key) in [
        (Action::Hangup { channel: ChannelName::new("PJSIP/1\r\nAction: Command") }, "Channel"),
        (Action::Filter { filter: "a\nb".into() }, "Filter"),
        (Action::LoginPlain { username: "u\0".into(), secret: "s".into() }, "Username"),
        (Action::LoginPlain { username: "u".into(), secret: "s\r".into() }, "Secret"),
        (originate(|o| o.exten = "1\n".into()), "Exten"),
        (originate(|o| o.caller_id = "\r\n\r\nAction: x".into()), "CallerID"),
        (originate(|o| o.channel_id = "a\n".into()), "ChannelId"),
        (originate(|o| o.variables[0].1 = "a\r\nb".into()), "Variable"),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(encode(&action, &id, &mut out), Err(EncodeError::ControlByte { key }), "{action:?}");
        assert_eq!(out, b"before", "nothing of a refused action is written");
    }
    let mut out = Vec::new();
    let bad_id = ActionId("a\r\nb".into());
    assert_eq!(encode(&Action::Ping, &bad_id, &mut out), Err(EncodeError::ControlByte { key: "ActionID" }));
    let long = Action::Filter { filter: "x".repeat(5000).into() };
    assert_eq!(encode(&long, &id, &mut out), Err(EncodeError::TooLong { key: "Filter" }));
    for name in ["", "__", "A B", "A=B", "A,B", "CALLERID(num)"] {
        let mut action = originate(|_| {});
        if let Action::Originate(originate) = &mut action {
            originate.variables[0].0 = name.into();
        }
        assert_eq!(encode(&action, &id, &mut out), Err(EncodeError::VariableName), "{name}");
    }
    assert!(out.is_empty());
}
