//! Messages into events, and recordings into events with times.

#[path = "traces/mod.rs"]
mod traces;

use pinconnector::ami::Heard;
use pinconnector::ami::charset::Charset;
use pinconnector::ami::codec::{Codec, Frame};
use pinconnector::ami::parse::{Parsed, Parser};
use pinconnector::ami::replay::{Recording, Replay};
use pinconnector::asterisk::{BridgeId, ChannelName, ChannelState, DialStatus, Event, HangupCause, Uniqueid};
use pinconnector::clock::rfc3339;
use std::collections::BTreeMap;

fn parse_with(parser: &Parser, text: &[u8]) -> Parsed {
    let mut codec = Codec::without_greeting();
    codec.push(text);
    codec.push(b"\r\n\r\n");
    match codec.next_frame() {
        Some(Frame::Message(message)) => parser.parse(&message),
        other => panic!("no message: {other:?}"),
    }
}

/// Parses lines separated by `\n`.
fn parse(lines: &str) -> Parsed {
    parse_with(&Parser::default(), lines.replace('\n', "\r\n").as_bytes())
}

fn event(lines: &str) -> Event {
    match parse(lines) {
        Parsed::Event(event, _) => event,
        other => panic!("{other:?}"),
    }
}

fn events_of(trace: &traces::Trace, parser: &Parser) -> Vec<Event> {
    Replay::new(&trace.parts, parser)
        .filter_map(|(_, heard)| match heard {
            Heard::Event(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// The recorder counted the events of each kind by itself; none may be lost, none invented.
#[test]
fn every_event_that_matters_is_heard_as_often_as_it_was_sent() {
    const HEARD: [&str; 39] = [
        "Newchannel",
        "Newstate",
        "NewCallerid",
        "Newexten",
        "DialBegin",
        "DialState",
        "DialEnd",
        "BridgeCreate",
        "BridgeEnter",
        "BridgeLeave",
        "BridgeMerge",
        "BridgeDestroy",
        "LocalBridge",
        "Hold",
        "Unhold",
        "BlindTransfer",
        "AttendedTransfer",
        "Pickup",
        "ParkedCall",
        "UnParkedCall",
        "ParkedCallTimeOut",
        "ConfbridgeJoin",
        "ConfbridgeLeave",
        "ChanSpyStart",
        "MixMonitorStart",
        "QueueCallerJoin",
        "QueueCallerLeave",
        "QueueCallerAbandon",
        "AgentCalled",
        "AgentConnect",
        "AgentComplete",
        "AgentRingNoAnswer",
        "HangupRequest",
        "SoftHangupRequest",
        "Hangup",
        "OriginateResponse",
        "Cdr",
        "CoreShowChannel",
        "DeviceStateChange",
    ];
    let mut all = BTreeMap::new();
    for trace in traces::all() {
        let mut heard = BTreeMap::new();
        for event in events_of(&trace, &Parser::default()) {
            *heard.entry(event.name()).or_insert(0) += 1;
            *all.entry(event.name()).or_insert(0) += 1;
        }
        let sent = trace.story.lines().filter(|line| line.starts_with("Stream")).flat_map(|line| {
            let (_, list) = line.rsplit_once("events: ").expect("the recorder's count");
            list.split(", ").map(|item| item.split_once(' ').expect("name and number"))
        });
        let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
        for (name, number) in sent {
            *counts.entry(name).or_default() += number.parse::<i32>().expect("a number");
        }
        for name in HEARD {
            assert_eq!(heard.get(name), counts.get(name), "{name} in {}", trace.name);
        }
    }
    let never: Vec<_> = HEARD.iter().filter(|name| !all.contains_key(*name)).collect();
    assert!(never.is_empty(), "a test that compares nothing: {never:?}");
}

#[test]
fn a_channel_snapshot_is_read_whole() {
    let Event::DialBegin { caller: Some(caller), dest, dial_string } = event(
        "Event: DialBegin\nPrivilege: call,all\nChannel: PJSIP/trunk-msk-0000001d\nChannelState: 4\nChannelStateDesc: Ring\n\
         CallerIDNum: +79161234567\nCallerIDName: <unknown>\nConnectedLineNum: <unknown>\nConnectedLineName: <unknown>\n\
         Language: en\nAccountCode: \nContext: from-trunk\nExten: +74951234567\nPriority: 2\nUniqueid: 1795328990.0\n\
         Linkedid: 1795328990.0\nDestChannel: PJSIP/101-00000001\nDestChannelState: 5\nDestCallerIDNum: 101\n\
         DestCallerIDName: Ivan Petrov\nDestConnectedLineNum: +79161234567\nDestContext: from-internal\nDestExten: \n\
         DestUniqueid: 1795328990.2\nDestLinkedid: 1795328990.0\nDialString: 101",
    ) else {
        panic!("DialBegin")
    };
    assert_eq!(caller.name, ChannelName::new("PJSIP/trunk-msk-0000001d"));
    assert_eq!(caller.state, ChannelState::Ring);
    assert_eq!((&*caller.caller_number, &*caller.caller_name, &*caller.connected_number), ("+79161234567", "", ""));
    assert_eq!((&*caller.context, &*caller.exten), ("from-trunk", "+74951234567"));
    assert_eq!((&caller.uniqueid, &caller.linkedid), (&Uniqueid::new("1795328990.0"), &caller.uniqueid));
    assert_eq!(dest.name, ChannelName::new("PJSIP/101-00000001"));
    assert_eq!(dest.state, ChannelState::Ringing);
    assert_eq!(
        (&*dest.caller_number, &*dest.caller_name, &*dest.connected_number),
        ("101", "Ivan Petrov", "+79161234567")
    );
    assert_eq!((&*dest.context, &*dest.exten), ("from-internal", ""));
    assert_eq!((dest.uniqueid.as_str(), dest.linkedid.as_str()), ("1795328990.2", "1795328990.0"));
    assert_eq!(&*dial_string, "101");
}

#[test]
fn an_originates_dial_has_no_caller() {
    let dial = "Event: DialEnd\nPrivilege: call,all\nDestChannel: PJSIP/101-1\nDestUniqueid: a\nDialStatus: BUSY";
    let Event::DialEnd { caller: None, dest, status: DialStatus::Busy, forward } = event(dial) else {
        panic!("DialEnd")
    };
    assert_eq!((dest.uniqueid.as_str(), &*forward), ("a", ""));
}

#[test]
fn causes_may_be_absent_or_odd() {
    let hangup =
        |cause: &str| match event(&format!("Event: Hangup\nPrivilege: call,all\nChannel: A/1-1\nUniqueid: 1\n{cause}"))
        {
            Event::Hangup { cause, .. } => cause.0,
            other => panic!("{other:?}"),
        };
    assert_eq!(hangup("Cause: 16\nCause-txt: Normal Clearing"), 16);
    assert_eq!(hangup("Cause-txt: only"), 0);
    assert_eq!(hangup("Cause: 99999999999999999999"), 0);
    assert_eq!(hangup("Cause: none"), 0);
    let Event::HangupRequest { cause: None, .. } = event("Event: HangupRequest\nPrivilege: call,all\nUniqueid: 1")
    else {
        panic!("a cause out of nothing")
    };
    let Event::SoftHangupRequest { cause: Some(HangupCause::NORMAL), .. } =
        event("Event: SoftHangupRequest\nPrivilege: call,all\nUniqueid: 1\nCause: 16")
    else {
        panic!("no cause")
    };
}

#[test]
fn only_variables_that_are_kept_become_events() {
    let parser = Parser::new(None, vec!["DEAL".to_owned(), "CRM_*".to_owned()]);
    let set = |variable: &str, value: &str| {
        let text = format!(
            "Event: VarSet\r\nPrivilege: dialplan,all\r\nChannel: PJSIP/101-1\r\nCallerIDNum: 5\r\nUniqueid: u\r\n\
             Variable: {variable}\r\nValue: {value}"
        );
        match parse_with(&parser, text.as_bytes()) {
            Parsed::Event(Event::VarSet { variable, value, leg }, _) => {
                assert_eq!((leg.uniqueid.as_str(), &*leg.caller_number), ("u", ""));
                Some((variable.into_string(), value.into_string()))
            }
            Parsed::Ignored => None,
            other => panic!("{other:?}"),
        }
    };
    let pair = |variable: &str, value: &str| Some((variable.to_owned(), value.to_owned()));
    assert_eq!(set("DIALSTATUS", "CHANUNAVAIL"), pair("DIALSTATUS", "CHANUNAVAIL"));
    assert_eq!(set("__PINCONNECTOR_CRM", "b"), pair("PINCONNECTOR_CRM", "b"));
    assert_eq!(set("_DEAL", "42"), pair("DEAL", "42"));
    assert_eq!(set("CRM_CALL_ID", "x"), pair("CRM_CALL_ID", "x"));
    assert_eq!(set("DEAL", r#"a\r\nb \"q\" \\n \x"#), pair("DEAL", "a\r\nb \"q\" \\n \\x"));
    assert_eq!(set("DEAL", "<unknown>"), pair("DEAL", ""));
    for ignored in ["RTPAUDIOQOS", "DEALER", "DIALSTATUS2", "DIALEDPEERNAME", ""] {
        assert_eq!(set(ignored, "x"), None, "{ignored}");
    }
    let global =
        b"Event: VarSet\r\nPrivilege: dialplan,all\r\nChannel: none\r\nUniqueid: none\r\nVariable: DEAL\r\nValue: 1";
    assert_eq!(parse_with(&parser, global), Parsed::Ignored, "a global variable is no channel's");
}

#[test]
fn a_text_that_only_looks_like_an_event_is_none() {
    for forged in
        ["Event: Hangup", "Event: Hangup\nChannel: PJSIP/101-1\nUniqueid: 1", "Event: Hangup\nPrivilege:call,all"]
    {
        assert_eq!(parse(forged), Parsed::Malformed, "{forged}");
    }
    assert_eq!(parse("Event: Whatever"), Parsed::Ignored);
    assert_eq!(parse("Event: TestEvent\nPrivilege: reporting,all\nState: A\nState: B"), Parsed::Ignored);
}

#[test]
fn smuggled_line_breaks_do_no_harm() {
    for version in ["16", "22"] {
        let trace = traces::load(&format!("{version}/u_odd_values"));
        let parser = Parser::new(None, vec!["MULTI".into(), "QUOTE".into(), "CYR".into()]);
        let mut replay = Replay::new(&trace.parts, &parser);
        let events: Vec<_> = replay.by_ref().collect();
        assert_eq!(replay.tally().malformed, 1, "the rest of the smuggled value");
        let values: Vec<_> = events
            .iter()
            .filter_map(|(_, heard)| match heard {
                Heard::Event(Event::VarSet { variable, value, .. }) => Some((&**variable, &**value)),
                _ => None,
            })
            .collect();
        assert!(values.contains(&("MULTI", "line1\nline2\r\nEvent: Fake\r\n\r\nafter")), "{values:?}");
        assert!(values.contains(&("QUOTE", r#""x" \y"#)), "{values:?}");
        assert!(values.contains(&("CYR", "Привет")), "{values:?}");
    }
}

/// The client's name as the first channel of a story has it.
fn client_name(story: &str, parser: &Parser) -> String {
    let trace = traces::load(story);
    let first = events_of(&trace, parser).into_iter().find_map(|event| match event {
        Event::Newchannel(leg) => Some(leg.caller_name.into_string()),
        _ => None,
    });
    first.expect("a call")
}

#[test]
fn names_are_decoded_and_unquoted() {
    let plain = Parser::default();
    let cyrillic = Parser::new(Charset::from_name("windows-1251"), Vec::new());
    for version in ["16", "22"] {
        assert_eq!(client_name(&format!("{version}/t_cid_cyrillic"), &plain), "Иван Петров");
        assert_eq!(client_name(&format!("{version}/t_cid_quotes"), &plain), r#"OOO "Romashka", <Moscow>; a=b"#);
        let long = client_name(&format!("{version}/t_cid_long_cyrillic"), &cyrillic);
        assert!(long.starts_with("Общество с ограниченной ответственностью"), "{long}");
        assert!(long.chars().filter(|&c| c == '\u{fffd}').count() <= 1, "{long}");
    }
    assert_eq!(client_name("16/t_cid_cp1251", &plain), "\u{fffd}".repeat(4), "nobody said which charset");
    assert_eq!(client_name("16/t_cid_cp1251", &cyrillic), "Иван");
    assert_eq!(client_name("16sip/t_cid_cp1251", &cyrillic), "Иван");
}

#[test]
fn answers_say_what_was_asked() {
    let Event::Response(response) =
        event("Response: Success\nActionID: pin-7\nPing: Pong\nTimestamp: 1795329816.849743")
    else {
        panic!("a response")
    };
    assert!(response.success && response.pong);
    assert_eq!(&*response.action_id, "pin-7");
    let Event::Response(response) = event("Response: Success\nChallenge: 901640948") else { panic!("a response") };
    assert_eq!((&*response.challenge, response.pong), ("901640948", false));
    let Event::Response(response) = event("Response: Error\nActionID: a\nMessage: Permission denied") else {
        panic!("a response")
    };
    assert_eq!((response.success, &*response.message), (false, "Permission denied"));
    let Event::Response(response) = event("Response: Success\nEventList: start\nOutput: a\nOutput: \nOutput: b") else {
        panic!("a response")
    };
    assert!(response.list_follows);
    assert_eq!(response.output, ["a", "", "b"].map(Box::from));
    let settings = "Response: Success\nAMIversion: 11.0.0\nAsteriskVersion: 22.10.1~dfsg";
    let Event::Response(response) = event(settings) else { panic!("a response") };
    assert_eq!(&*response.version, "22.10.1~dfsg");
    let Event::ListComplete { action_id, items } =
        event("Event: CoreShowChannelsComplete\nActionID: show1\nEventList: Complete\nListItems: 4")
    else {
        panic!("the end of a list")
    };
    assert_eq!((&*action_id, items), ("show1", 4));
}

#[test]
fn what_asterisk_holds_is_listed() {
    let trace = traces::load("22/r_reconnect_midcall");
    let events = events_of(&trace, &Parser::default());
    let shown: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::CoreShowChannel { channel, .. } => Some(channel),
            _ => None,
        })
        .collect();
    let trunk = shown.iter().find(|channel| channel.leg.name.endpoint() == "trunk-msk").expect("the client is there");
    assert_eq!((&*trunk.application, &*trunk.application_data, trunk.duration_s), ("Dial", "PJSIP/101,8,tT", 2));
    assert_eq!(trunk.bridge, Some(BridgeId::new("994f9f2f-76c4-4577-8622-1babbbf76ae7")));
    let status = events.iter().find_map(|event| match event {
        Event::Status { channel, .. } if !channel.dnid.is_empty() => Some(channel),
        _ => None,
    });
    let status = status.expect("Status names the DID");
    assert_eq!((&*status.dnid, &*status.application_data, status.duration_s), ("+74951234567", "PJSIP/101,8,tT", 2));
    assert_eq!(status.bridge, trunk.bridge);
}

#[test]
fn every_recording_is_up_once_a_part_and_down_at_its_end() {
    for trace in traces::all() {
        let heard: Vec<_> = Replay::new(&trace.parts, &Parser::default()).collect();
        let ups = heard.iter().filter(|(_, heard)| matches!(heard, Heard::Up { version: Some(_) })).count();
        let downs = heard.iter().filter(|(_, heard)| matches!(heard, Heard::Down { .. })).count();
        assert_eq!(downs, trace.parts.len(), "{}", trace.name);
        assert_eq!(ups, trace.parts.len(), "{}", trace.name);
        assert!(matches!(heard[0].1, Heard::Up { .. }), "{}: nothing before Up", trace.name);
    }
}

#[test]
fn times_run_by_the_timing_and_start_when_the_story_says() {
    for trace in traces::all() {
        let heard: Vec<_> = Replay::new(&trace.parts, &Parser::default()).map(|(now, _)| now).collect();
        assert!(heard.is_sorted_by_key(|now| now.mono_ms), "{}", trace.name);
        assert!(heard.is_sorted_by_key(|now| now.wall_ms), "{}", trace.name);
        let last_ms = trace.parts.iter().flat_map(Recording::marks).map(|(ms, _)| ms).fold(0.0, f64::max);
        let played_ms = heard.last().expect("Down at least").mono_ms;
        assert!(played_ms.abs_diff(last_ms.round() as u64) < 1000, "{}: {played_ms} of {last_ms} ms", trace.name);
        let recorded = trace.story.split("Recorded 20").nth(1).expect("a date")[..17].replace(' ', "T");
        let begun = rfc3339(heard[0].wall_ms);
        let seconds =
            |text: &str| pinconnector::clock::parse_rfc3339(&format!("{}Z", &text[..19])).expect("a time") / 1000;
        assert!((seconds(&format!("20{recorded}")) - seconds(&begun)).abs() <= 1, "{}: {recorded} {begun}", trace.name);
    }
}

#[test]
fn without_timing_the_events_own_time_counts() {
    let trace = traces::load("22/u_timestamps_chanvars");
    let with_timing: Vec<_> = Replay::new(&trace.parts, &Parser::default()).collect();
    let bare = [Recording::new(trace.parts[0].ami(), None).expect("no timing")];
    let parser = Parser::default();
    let without: Vec<_> = Replay::new(&bare, &parser).collect();
    assert_eq!(with_timing.len(), without.len());
    for ((timed, heard), (stamped, same)) in with_timing.iter().zip(&without) {
        assert_eq!(heard, same);
        // Answers carry no time.
        if matches!(heard, Heard::Event(Event::Response(_)) | Heard::Down { .. }) {
            continue;
        }
        assert!((timed.wall_ms - stamped.wall_ms).abs() < 50, "{timed:?} {stamped:?} {heard:?}");
    }
}

#[test]
fn with_no_time_at_all_the_order_stays_and_the_day_is_right() {
    let trace = traces::load("22/u_crm_rights");
    let bare = [Recording::new(trace.parts[0].ami(), None).expect("no timing")];
    let parser = Parser::default();
    let heard: Vec<_> = Replay::new(&bare, &parser).collect();
    assert!(heard.is_sorted_by_key(|(now, _)| now.wall_ms));
    assert_eq!(rfc3339(heard[0].0.wall_ms)[2..10], trace.story.split("Recorded 20").nth(1).expect("a date")[..8]);
}

#[test]
fn a_broken_timing_is_named() {
    let error = Recording::new("", Some("0.0\t0\nsoon\t12\n")).expect_err("no number");
    assert_eq!(error.to_string(), "timing, line 2: expected milliseconds, a tab and a byte offset");
    assert!(Recording::compressed(b"no gzip", b"").is_err());
}
