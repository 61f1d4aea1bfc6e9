//! Streams nobody recorded: events about a handful of channels in any order, legal or not.

use pinconnector::ami::Heard;
use pinconnector::asterisk::event::{AttendedTransfer, QueueAgent, Response};
use pinconnector::asterisk::{BridgeId, ChannelName, ChannelState, DialStatus, Event, HangupCause, Leg, Uniqueid};
use pinconnector::call::Rules;
use pinconnector::call::rules::RecordKind;
use pinconnector::clock::Now;

use crate::disturbed::{Dice, lawful};
use crate::play;

const NAMES: [&str; 12] = [
    "PJSIP/trunk-msk-00000001",
    "PJSIP/trunk-msk-00000002",
    "PJSIP/101-00000003",
    "PJSIP/102-00000004",
    "PJSIP/103-00000005",
    "PJSIP/101-00000006",
    "Local/101@from-queue-00000007;1",
    "Local/101@from-queue-00000007;2",
    "Local/600@group-00000008;1",
    "Local/600@group-00000008;2",
    "SIP/104-00000009",
    "DAHDI/i1/89165550101-10",
];
const EXTENS: [&str; 8] = ["+74951234567", "101", "s", "h", "i", "*8", "700", ""];
const APPLICATIONS: [(&str, &str); 14] = [
    ("Dial", "PJSIP/101&PJSIP/102&PJSIP/104,8"),
    ("Dial", "Local/101@from-queue/n"),
    ("Dial", "PJSIP/89161234567@trunk-msk"),
    ("Queue", "sales,t,,,30"),
    ("BackGround", "menu"),
    ("WaitExten", "4"),
    ("Playback", "hello"),
    ("VoiceMail", "101@default"),
    ("AGI", "agi://127.0.0.1/responsible"),
    ("Hangup", ""),
    ("Busy", ""),
    ("Goto", "nowhere,s,1"),
    ("NoOp", ""),
    ("ConfBridge", "600"),
];

fn pick<'a, T>(dice: &mut Dice, list: &'a [T]) -> &'a T {
    let at = dice.roll(u64::try_from(list.len()).expect("short"));
    &list[usize::try_from(at).expect("short")]
}

/// Channel `n` of the handful; its Linkedid is its own or another's.
fn leg(dice: &mut Dice, generation: u64) -> Leg {
    let at = usize::try_from(dice.roll(12)).expect("small");
    let linked = if dice.roll(3) == 0 { at } else { usize::try_from(dice.roll(2)).expect("small") };
    let states = [0, 4, 5, 6, 6, 6, 7];
    Leg {
        name: ChannelName::new(NAMES[at]),
        uniqueid: Uniqueid::new(&format!("{generation}.{at}")),
        linkedid: Uniqueid::new(&format!("{generation}.{linked}")),
        state: ChannelState::from_number(*pick(dice, &states)),
        caller_number: (*pick(dice, &["+79161234567", "101", "anonymous", ""])).into(),
        caller_name: (*pick(dice, &["", "Иван"])).into(),
        connected_number: "".into(),
        context: (*pick(dice, &["from-trunk", "ivr-main", "from-internal"])).into(),
        exten: (*pick(dice, &EXTENS)).into(),
    }
}

fn event(dice: &mut Dice, generation: u64) -> Event {
    let one = leg(dice, generation);
    let two = leg(dice, generation);
    let bridge = BridgeId::new(pick::<&str>(dice, &["b1", "b2", "b3", "conference", "parking"]));
    let technology = match bridge.as_str() {
        "conference" => "softmix",
        "parking" => "holding_bridge",
        _ => "simple_bridge",
    };
    let creator = if technology == "softmix" { "ConfBridge" } else { "" };
    let status = *pick(dice, &[DialStatus::Answer, DialStatus::NoAnswer, DialStatus::Busy, DialStatus::Cancel]);
    let cause = HangupCause(*pick(dice, &[0, 1, 16, 17, 19, 21, 26, 34, 127]));
    match dice.roll(34) {
        0..=3 => Event::Newchannel(one),
        4..=6 => Event::Newstate(one),
        7..=9 => Event::DialBegin {
            caller: (dice.roll(8) > 0).then(|| one.into()),
            dest: two,
            dial_string: (*pick(dice, &["101", "89161234567@trunk-msk", ""])).into(),
        },
        10 | 11 => Event::DialEnd {
            caller: Some(one.into()),
            dest: two,
            status,
            forward: (*pick(dice, &["", "", "102"])).into(),
        },
        12..=15 => Event::BridgeEnter { bridge, technology: technology.into(), creator: creator.into(), leg: one },
        16 | 17 => Event::BridgeLeave { bridge, leg: one },
        18 => Event::BridgeMerge { to: bridge, from: BridgeId::new("b1") },
        19 => Event::LocalBridge { one, two: two.into(), optimized: false },
        20 => Event::BlindTransfer {
            success: true,
            transferer: one,
            transferee: Some(two.into()),
            context: "from-internal".into(),
            extension: "102".into(),
        },
        21 => Event::AttendedTransfer(Box::new(AttendedTransfer {
            success: true,
            orig_transferer: one,
            second_transferer: two,
            transferee: (dice.roll(2) > 0).then(|| leg(dice, generation)),
            transfer_target: (dice.roll(2) > 0).then(|| leg(dice, generation)),
            ..AttendedTransfer::default()
        })),
        22 => Event::Pickup { leg: one, target: two.into() },
        23 => Event::ParkedCall { parkee: one, parker: "PJSIP/101".into(), space: "701".into() },
        24 => Event::UnParkedCall { parkee: one, retriever: two.into(), space: "701".into() },
        25 => Event::QueueCallerJoin { leg: one, queue: "sales".into(), position: 1 },
        26 => Event::QueueCallerLeave { leg: one, queue: "sales".into() },
        27 => Event::AgentCalled(Box::new(QueueAgent {
            queue: "sales".into(),
            caller: one,
            dest: two,
            interface: "PJSIP/101".into(),
            member: "".into(),
        })),
        28 | 29 => {
            let (application, data) = *pick(dice, &APPLICATIONS);
            Event::Newexten { leg: one, application: application.into(), application_data: data.into() }
        }
        30 => {
            let (variable, value) = *pick(
                dice,
                &[("DIALSTATUS", "CHANUNAVAIL"), ("QUEUESTATUS", "TIMEOUT"), ("MIXMONITOR_FILENAME", "/rec/a.wav")],
            );
            Event::VarSet { leg: one, variable: variable.into(), value: value.into() }
        }
        31 => match dice.roll(4) {
            0 => Event::Response(Box::new(Response {
                action_id: "a".into(),
                success: true,
                message: (*pick(dice, &["Channels will follow", "Originate successfully queued"])).into(),
                ..Response::default()
            })),
            1 => Event::ListComplete { action_id: "a".into(), items: 0 },
            2 => Event::OriginateResponse {
                action_id: "a".into(),
                success: dice.roll(2) > 0,
                channel: ChannelName::new("PJSIP/101"),
                context: "".into(),
                exten: (*pick(dice, &["89161234567", "102", ""])).into(),
                reason: 3,
                uniqueid: one.uniqueid,
            },
            _ => Event::Hold(one),
        },
        32 => Event::HangupRequest { leg: one, cause: Some(cause) },
        _ => Event::Hangup { leg: one, cause },
    }
}

fn stream(seed: u64) -> Vec<(Now, Heard)> {
    let mut dice = Dice::new(seed);
    let mut now = Now { wall_ms: 1_795_329_000_000, mono_ms: 1_000 };
    let mut heard = vec![(now, Heard::Up { version: None })];
    for turn in 0..300 {
        now = now.plus_ms(dice.roll(400));
        // New channels come with time: uniqueids are never used again.
        heard.push((now, Heard::Event(event(&mut dice, 1_795_329_000 + turn / 60))));
        if dice.roll(150) == 0 {
            heard.push((now, Heard::Down { why: String::new() }));
            heard.push((now, Heard::Up { version: None }));
        }
    }
    heard
}

#[test]
fn any_stream_at_all_leaves_lawful_records() {
    let mut records = 0;
    for seed in 1..=500 {
        for kind in [RecordKind::PerPhone, RecordKind::PerCall] {
            // A uniqueid of these streams may come back after minutes, which Asterisk's never do: nothing is forgotten.
            let rules = Rules { linger_ms: 600_000, ..play::rules(kind) };
            let outcome = play::play(stream(seed), rules);
            lawful(&format!("seed {seed}, {kind:?}"), &outcome);
            records += outcome.records().len();
        }
    }
    // The generator must tell stories, not noise that the core drops.
    assert!(records > 3_000, "only {records} records");
}
