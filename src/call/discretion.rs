//! What records do not show: extensions that make none (door phone, fax), and those whose talks are nobody's business.
//!
//! Applied to the finished records, so that the rest of the core need not know. A conversation keeps its other calls: the
//! secretary who put a client through to the director has a record of her own, with everything in it but the recording.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::{Direction, Record};
use crate::phone::EndpointPattern;

/// Which extensions are treated with discretion.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Discretion {
    /// Their calls make no record.
    pub ignored: Vec<EndpointPattern>,
    /// Their calls are recorded without number, name and recording of the other party.
    pub private: Vec<EndpointPattern>,
}

impl Discretion {
    /// What is left to show of one conversation's records.
    pub fn apply(&self, mut records: Vec<Record>) -> Vec<Record> {
        if !self.ignored.is_empty() {
            self.leave_out(&mut records);
        }
        if !self.private.is_empty() {
            self.hide(&mut records);
        }
        records
    }

    fn leave_out(&self, records: &mut Vec<Record>) {
        records.retain(|record| !concerns(&self.ignored, record));
        // Somebody must lead what is left.
        if !records.iter().any(|record| record.lead)
            && let Some(first) = records.first_mut()
        {
            first.lead = true;
        }
    }

    fn hide(&self, records: &mut [Record]) {
        let is_private = |record: &Record| concerns(&self.private, record);
        // A recording may run on from the secretary's talk into the director's.
        let private: Vec<bool> = records.iter().map(is_private).collect();
        let talks: BTreeSet<String> = records
            .iter()
            .zip(&private)
            .filter(|(_, private)| **private)
            .flat_map(|(record, _)| record.recordings.iter().map(|recording| recording.id.clone()))
            .collect();
        for (record, private) in records.iter_mut().zip(private) {
            record.recordings.retain(|recording| !talks.contains(&recording.id));
            if private {
                hide_other_party(&self.private, record);
            }
        }
    }
}

/// The record is of a call to or from one of these extensions.
fn concerns(patterns: &[EndpointPattern], record: &Record) -> bool {
    let called = record.extension.as_deref();
    // Who calls from an extension is one of ours; a client's number may look like one and is not.
    let caller = record.from.as_deref().filter(|_| record.direction != Direction::Incoming);
    [called, caller].into_iter().flatten().any(|extension| is_one_of(patterns, extension))
}

fn is_one_of(patterns: &[EndpointPattern], extension: &str) -> bool {
    // Where there are several exchanges, an extension is shown as `msk/101`.
    let extension = extension.rsplit('/').next().unwrap_or(extension);
    patterns.iter().any(|pattern| pattern.matches(extension))
}

fn hide_other_party(patterns: &[EndpointPattern], record: &mut Record) {
    let mut hidden: Vec<String> = Vec::new();
    let ours = |number: &Option<String>| number.as_deref().is_some_and(|number| is_one_of(patterns, number));
    let client = [record.client_number.take(), record.client_number_normalized.take(), record.client_name.take()];
    hidden.extend(client.into_iter().flatten());
    if record.direction == Direction::Incoming || !ours(&record.from) {
        hidden.extend(record.from.take());
    }
    if record.direction == Direction::Outgoing || record.direction == Direction::Internal && !ours(&record.to) {
        hidden.extend(record.to.take());
    }
    record.client_id = None;
    record.recordings.clear();
    record.variables.clear();
    record.follow_up = None;
    for step in record.timeline.iter_mut().map(Arc::make_mut) {
        for word in [&mut step.who, &mut step.to, &mut step.place] {
            if word.as_ref().is_some_and(|word| hidden.iter().any(|number| **number == **word)) {
                *word = None;
            }
        }
    }
}
