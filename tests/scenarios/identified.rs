//! FastAGI and AMI are two lines: who a caller is may be known before his channel is.

use pinconnector::ami::Heard;
use pinconnector::asterisk::{Event, Uniqueid};
use pinconnector::call::rules::RecordKind;
use pinconnector::call::{Calls, Input};
use pinconnector::clock::Now;

use crate::play::{self, Outcome, PBX};
use crate::traces;

/// The client of a story is identified after `after` of its events.
fn identified_after(heard: &[(Now, Heard)], uniqueid: &Uniqueid, after: usize) -> Outcome {
    let mut calls = Calls::new(play::rules(RecordKind::PerPhone));
    let mut revisions = Vec::new();
    for (number, (now, heard)) in heard.iter().enumerate() {
        if number == after {
            let input = Input::CallerIdentified {
                pbx: PBX,
                uniqueid: uniqueid.clone(),
                client_id: Some("4001".into()),
                client_name: Some("Romashka".into()),
            };
            play::collect(&mut revisions, calls.handle(*now, input));
        }
        if let Heard::Event(event) = heard {
            play::collect(&mut revisions, calls.handle(*now, Input::Heard { pbx: PBX, event: event.clone() }));
        }
    }
    Outcome { revisions, open: calls.open().count() }
}

#[test]
fn a_client_is_known_whichever_line_is_first() {
    let trace = traces::load("22/s_agi_ok");
    let heard = play::heard(&trace.parts);
    let newchannel = heard.iter().position(|(_, h)| matches!(h, Heard::Event(Event::Newchannel(_)))).expect("a call");
    let Heard::Event(Event::Newchannel(leg)) = &heard[newchannel].1 else { unreachable!("found above") };
    for after in [newchannel, newchannel + 1, newchannel + 3] {
        let records = identified_after(&heard, &leg.uniqueid, after).records();
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record.client_id.as_deref(), Some("4001"), "after event {after}");
            assert_eq!(record.client_name.as_deref(), Some("Romashka"), "after event {after}");
        }
    }
}
