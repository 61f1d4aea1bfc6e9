//! Records as the core would write them.

use std::collections::BTreeMap;

use pinconnector::call::record::{Direction, Moment, Record, Source, Status, Step, StepKind};
use pinconnector::clock;
use pinconnector::outbox::Delivery;

pub fn at(text: &str) -> Moment {
    Moment(clock::parse_rfc3339(text).expect("a time"))
}

pub fn step(at: Moment, step: StepKind, who: Option<&str>, place: Option<&str>) -> Step {
    let text = |text: Option<&str>| text.map(Into::into);
    Step { at, step, who: text(who), place: text(place), to: None, how: None, seconds: None }
}

pub fn bare(
    id: &str,
    conversation: &str,
    revision: u64,
    direction: Direction,
    status: Status,
    started_at: Moment,
) -> Record {
    Record {
        id: id.to_owned(),
        conversation: conversation.to_owned(),
        pbx: "msk".to_owned(),
        revision,
        source: Source::Ami,
        direction,
        status,
        reason: None,
        lead: true,
        client_number: None,
        client_number_normalized: None,
        client_name: None,
        client_id: None,
        from: None,
        to: None,
        did: None,
        extension: None,
        phone: None,
        trunk: None,
        started_at,
        answered_at: None,
        ended_at: None,
        ring_seconds: None,
        talk_seconds: None,
        total_seconds: None,
        hangup_cause: None,
        ended_by: None,
        queue: None,
        menu: None,
        wait_seconds: None,
        voicemail: None,
        transferred_from: None,
        transferred_to: None,
        transfer: None,
        picked_up_from: None,
        recordings: Vec::new(),
        click_to_call: false,
        request: None,
        crm_record: None,
        user: None,
        follow_up: None,
        follow_up_tries: None,
        follow_up_call: None,
        followed_up_at: None,
        outside_hours: false,
        crm: Some("vtiger".to_owned()),
        variables: BTreeMap::new(),
        timeline: Vec::new(),
        presented: None,
        superseded_by: None,
    }
}

pub fn stored(record: &Record, changed_at_ms: i64) -> Delivery {
    Delivery {
        record_id: record.id.clone(),
        revision: record.revision,
        body: serde_json::to_string(record).expect("a record is JSON").into(),
        changed_at_ms,
        told: None,
    }
}
