//! The list of channels after a login may overtake the event of a channel's birth.

use pinconnector::ami::Heard;
use pinconnector::asterisk::Event;
use pinconnector::asterisk::event::{ListedChannel, Response};
use pinconnector::call::Record;
use pinconnector::call::rules::RecordKind;

use crate::{play, traces};

/// The calls of a story in which a list names the first channel before it is born, `listened_ms` after the login.
fn listed_before_its_birth(listened_ms: u64) -> Vec<Record> {
    let trace = traces::load("22/a_in_answered_caller_hangs");
    let mut heard = play::heard(&trace.parts);
    let at = heard.iter().position(|(_, h)| matches!(h, Heard::Event(Event::Newchannel(_)))).expect("a call");
    let (now, Heard::Event(Event::Newchannel(born))) = heard[at].clone() else { unreachable!("found above") };
    // By the time of the list it is in a Gosub.
    let mut leg = born;
    leg.context = "record".into();
    leg.exten = "s".into();
    let listed = ListedChannel { leg, application: "Set".into(), ..ListedChannel::default() };
    let list = [
        Event::Response(Box::new(Response {
            action_id: "list".into(),
            success: true,
            message: "Channels will follow".into(),
            ..Response::default()
        })),
        Event::CoreShowChannel { action_id: "list".into(), channel: Box::new(listed) },
        Event::ListComplete { action_id: "list".into(), items: 1 },
    ];
    heard.splice(at..at, list.map(|event| (now, Heard::Event(event))));
    let (login, _) = heard[0];
    let later = heard.into_iter().map(|(now, heard)| (now.plus_ms(listened_ms), heard));
    let up = std::iter::once((login, Heard::Up { version: None }));
    play::play(up.chain(later.filter(|(_, heard)| matches!(heard, Heard::Event(_)))), play::rules(RecordKind::PerPhone))
        .records()
}

#[test]
fn a_channel_listed_before_its_birth_keeps_the_number_that_was_called() {
    for listened_ms in [0, 60_000] {
        let records = listed_before_its_birth(listened_ms);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].did.as_deref(), Some("+74951234567"));
        assert_eq!(records[0].to.as_deref(), Some("+74951234567"));
        assert_eq!(records[0].extension.as_deref(), Some("101"));
    }
}

/// Two connectors must give a call the same number, and only one of them may be in the middle of a list.
#[test]
fn who_has_listened_for_long_waits_for_the_birth() {
    assert!(listed_before_its_birth(60_000)[0].id.ends_with("-1"));
}
