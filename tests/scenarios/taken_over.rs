//! Two connectors hear the same exchange; the one that placed a click-to-call dies in the middle of it, and the other one goes on.

use pinconnector::ami::Heard;
use pinconnector::asterisk::Event;
use pinconnector::call::rules::RecordKind;
use pinconnector::call::{Calls, Conversation, Input, PlaceCall, Record, Rules};
use pinconnector::clock::Now;

use crate::play::{self, PBX};
use crate::traces;

/// Originates of others are none of ours, as in the service.
fn core() -> Calls {
    Calls::new(Rules { every_originate_is_ours: false, ..play::rules(RecordKind::PerPhone) })
}

fn hear(calls: &mut Calls, heard: &[(Now, Heard)], revisions: &mut Vec<Record>) {
    for (now, heard) in heard {
        if let Heard::Event(event) = heard {
            play::collect(revisions, calls.handle(*now, Input::Heard { pbx: PBX, event: event.clone() }));
        }
    }
}

/// As it lies in a database: written and read again.
fn stored(calls: &Calls) -> Vec<Conversation> {
    calls
        .open()
        .map(|open| serde_json::from_slice(&serde_json::to_vec(open).expect("it is stored so")).expect("and read so"))
        .collect()
}

fn newest(revisions: Vec<Record>) -> Vec<Record> {
    play::Outcome { revisions, open: 0 }.records()
}

#[test]
fn who_takes_over_in_mid_call_knows_whose_click_it_was() {
    let trace = traces::load("22/k_c2c_channelid");
    let mut heard = play::heard(&trace.parts);
    for (_, heard) in &mut heard {
        if let Heard::Event(Event::OriginateResponse { action_id, .. }) = heard {
            // It comes to everybody, under the name our Originate had.
            *action_id = "pinconnector-call-crm-aaaa-1".into();
        }
    }
    let born = heard.iter().position(|(_, h)| matches!(h, Heard::Event(Event::Newchannel(_)))).expect("a call");
    let ringing = heard
        .iter()
        .position(|(_, h)| matches!(h, Heard::Event(Event::DialState { .. } | Event::Newstate { .. })))
        .expect("it rings");
    assert!(ringing > born);
    let (before, after) = (&heard[..=ringing], &heard[ringing + 1..]);
    let click = PlaceCall {
        pbx: PBX,
        call_id: "crm-aaaa-1".into(),
        request: "req-1".into(),
        from: "101".into(),
        to: "89161234567".into(),
        dialled: "89161234567".into(),
        channel: "Local/101@from-internal/n".into(),
        context: "from-internal".into(),
        caller_id: String::new().into(),
        timeout_ms: 30_000,
        variables: Vec::new(),
        crm: Some("main".into()),
        crm_record: Some("12x45".into()),
        user: Some("19x5".into()),
    };
    let mut active = core();
    let (mut sent, mut lost) = (Vec::new(), Vec::new());
    play::collect(&mut sent, active.handle(heard[born].0, Input::PlaceCall(Box::new(click))));
    hear(&mut active, before, &mut sent);

    // One that listened all the time, and one that was started a moment ago.
    for listened in [true, false] {
        let mut standby = core();
        let mut said = Vec::new();
        if listened {
            hear(&mut standby, before, &mut said);
            assert!(said.iter().all(|record| record.user.is_none()), "nobody told it");
        }
        for open in stored(&active) {
            play::collect(&mut said, standby.handle(heard[ringing].0, Input::Adopted(Box::new(open))));
        }
        hear(&mut standby, after, &mut said);
        let mut whole = core();
        let mut all = Vec::new();
        for open in stored(&active) {
            play::collect(&mut lost, whole.handle(heard[ringing].0, Input::Restored(Box::new(open))));
        }
        hear(&mut whole, after, &mut all);
        let (theirs, ours) = (newest(all), newest(said));
        assert_eq!(ours.len(), 1, "{ours:#?}");
        assert_eq!(ours[0].id, theirs[0].id);
        assert_eq!(ours[0].status, theirs[0].status);
        assert_eq!(ours[0].direction, theirs[0].direction);
        assert_eq!(ours[0].extension.as_deref(), Some("101"));
        assert_eq!(ours[0].user.as_deref(), Some("19x5"));
        assert_eq!(ours[0].crm_record.as_deref(), Some("12x45"));
        assert_eq!(ours[0].crm.as_deref(), Some("main"));
        assert!(ours[0].click_to_call);
        assert_eq!(standby.open().count(), whole.open().count());
    }
}

/// Every story: one that was stopped at a third of it and started again at two thirds follows whoever heard it all, and from then on
/// tells the same. And before that nothing of what happened a moment ago is taken from an older word.
#[test]
fn who_missed_a_part_learns_it_from_the_active_one() {
    let (mut followed, mut differ) = (0, Vec::new());
    for name in traces::names() {
        let heard = play::heard(&traces::load(&name).parts);
        let (stopped, started) = (heard.len() / 3, heard.len() * 2 / 3);
        if started == 0 {
            continue;
        }
        let mut active = core();
        let mut none = Vec::new();
        hear(&mut active, &heard[..stopped], &mut none);
        let stale = stored(&active);
        hear(&mut active, &heard[stopped..started], &mut none);
        let now = heard[started - 1].0;
        let (mut standby, mut said) = (core(), Vec::new());
        for open in stale {
            play::collect(&mut said, standby.handle(now, Input::Restored(Box::new(open))));
        }
        let before = said.len();
        for later_ms in [0, 2_000] {
            for open in stored(&active) {
                play::collect(&mut said, standby.handle(now.plus_ms(later_ms), Input::Followed(Box::new(open))));
            }
            assert!(later_ms > 0 || said.len() == before, "{name}: not while it has just changed");
        }
        followed += said.len() - before;
        // The active one dies. What has not been heard of at all is known only from him.
        let (mut whole, mut all) = (core(), Vec::new());
        for open in stored(&active) {
            play::collect(&mut all, whole.handle(now, Input::Restored(Box::new(open.clone()))));
            play::collect(&mut said, standby.handle(now, Input::Adopted(Box::new(open))));
        }
        let conversations: Vec<String> = stored(&active).into_iter().map(|open| open.id).collect();
        hear(&mut whole, &heard[started..], &mut all);
        hear(&mut standby, &heard[started..], &mut said);
        let (theirs, ours) = (newest(all), newest(said));
        for theirs in theirs.iter().filter(|theirs| conversations.contains(&theirs.conversation)) {
            let same = ours.iter().find(|ours| ours.id == theirs.id).is_some_and(|ours| is_the_same(ours, theirs));
            if !same {
                differ.push(format!("{name}: {theirs:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{} records differ:\n{}", differ.len(), differ.join("\n"));
    assert!(followed > 50, "only {followed} records");
}

/// Events of one millisecond may come in another order to who has read the state from a database.
fn is_the_same(ours: &Record, theirs: &Record) -> bool {
    let near = |ours: Option<i64>, theirs: Option<i64>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 50,
        (ours, theirs) => ours == theirs,
    };
    let what = |r: &Record| (r.conversation.clone(), r.direction, r.status, r.reason, r.lead, r.extension.clone());
    let who =
        |r: &Record| (r.client_number.clone(), r.from.clone(), r.to.clone(), r.ended_by, r.transferred_to.clone());
    what(ours) == what(theirs)
        && who(ours) == who(theirs)
        && near(ours.answered_at.map(|at| at.0), theirs.answered_at.map(|at| at.0))
        && near(ours.ended_at.map(|at| at.0), theirs.ended_at.map(|at| at.0))
        && near(ours.talk_seconds.map(|talk| talk.0), theirs.talk_seconds.map(|talk| talk.0))
}
