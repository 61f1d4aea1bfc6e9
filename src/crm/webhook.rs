//! `kind = "webhook"`: any CRM that takes a POST. Encoding and judging, without I/O.
//!
//! The body is `{"op":"records","sent_at":…,"records":[…]}`, one record by default; any 2xx means saved.

use super::answer::{Answer, Fault, judge_status};
use crate::clock;
use crate::outbox::{Delivery, Outcome, Verdict};

/// A state younger than this is `live`: a pop-up makes sense.
pub const LIVE_MS: i64 = 30_000;

/// The body of a `records` request, sent at `now_ms`. The records are not parsed again: their JSON is taken as it was
/// stored, and `live` is put in as the last key; before it `term`, where two connectors share an exchange (else `term` is 0
/// and not written).
pub fn encode(deliveries: &[Delivery], now_ms: i64, term: u64) -> Vec<u8> {
    let length: usize = deliveries.iter().map(|d| d.body.len() + 48).sum();
    let mut body = Vec::with_capacity(length + 80);
    body.extend_from_slice(br#"{"op":"records","sent_at":""#);
    body.extend_from_slice(clock::rfc3339(now_ms).as_bytes());
    body.extend_from_slice(br#"","records":["#);
    for (index, delivery) in deliveries.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        push_record(&mut body, delivery, now_ms, term);
    }
    body.extend_from_slice(b"]}");
    body
}

/// What the answer to `count` records means.
pub fn judge(answer: &Answer, count: usize) -> Outcome {
    match judge_status(answer) {
        // A page that asks a person for a password has stored nothing, whatever its status says.
        Ok(()) if answer.is_login_page() => answer.fault_of_crm().into(),
        Ok(()) => Outcome::Answered(vec![Verdict::Saved; count]),
        Err(fault) => Fault::into(fault),
    }
}

fn push_record(body: &mut Vec<u8>, delivery: &Delivery, now_ms: i64, term: u64) {
    // A clock that was set back makes a state of the future; that is as young as can be.
    let young = now_ms.saturating_sub(delivery.changed_at_ms) < LIVE_MS;
    let record = delivery.body.trim_end();
    // What was found afterwards is over, however new it is to us. No text of the record can hold this: quotes in it are escaped.
    let live = young && !record.contains(r#""source":"cdr""#);
    let open = record.strip_suffix('}').expect("a stored record is a JSON object: `call/record.rs` wrote it");
    body.extend_from_slice(open.as_bytes());
    if !open.trim_end().ends_with('{') {
        body.push(b',');
    }
    if term > 0 {
        body.extend_from_slice(format!(r#""term":{term},"#).as_bytes());
    }
    body.extend_from_slice(if live { br#""live":true}"# } else { br#""live":false}"# });
}
