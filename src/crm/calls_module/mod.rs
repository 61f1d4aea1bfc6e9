//! `kind = "calls"`: the vTiger module «Calls».
//!
//! Here: how an operation becomes a request, and what an answer means, for records and for all others. What can be asked
//! and what is answered is in [`operations`], as types.
//!
//! One example of every request and answer lies in `tests/wire/calls/`, whose README is the contract of both sides. Only
//! [`ask`] does I/O. Who asks, how often, and what is done with an answer is decided elsewhere.

mod operations;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::operations::*;

use super::answer::{Answer, Fault};
use super::client::{ANSWER_LIMIT_BYTES, Client, Post};
use crate::outbox::{Delivery, Outcome, Verdict};

/// An operation of the module and the answer it gives.
pub trait Operation: Serialize {
    /// Its name on the wire.
    const OP: &'static str;
    /// No answer is larger.
    const ANSWER_LIMIT_BYTES: u64 = ANSWER_LIMIT_BYTES;
    type Answer: DeserializeOwned;

    /// How long the module may think about it; `None`: the CRM's own setting.
    fn timeout(&self) -> Option<Duration> {
        None
    }
}

/// Asks the module and waits for the answer.
///
/// # Errors
/// [`Fault`], as [`decode`] finds it.
pub fn ask<O: Operation>(client: &mut Client, operation: &O) -> Result<O::Answer, Fault> {
    ask_within(client, operation, operation.timeout())
}

/// As [`ask`], with a deadline of its own: the dialplan waits for nobody.
///
/// # Errors
/// [`Fault`], as [`decode`] finds it.
pub fn ask_within<O: Operation>(
    client: &mut Client,
    operation: &O,
    timeout: Option<Duration>,
) -> Result<O::Answer, Fault> {
    let body = encode(operation);
    let answer_limit_bytes = O::ANSWER_LIMIT_BYTES;
    let answer = client.post(Post { timeout, answer_limit_bytes, ..Post::json(O::OP, &body) })?;
    decode(&answer)
}

/// The body of a request.
pub fn encode<O: Operation>(operation: &O) -> Vec<u8> {
    serde_json::to_vec(&Body { op: O::OP, operation }).expect("operations have string keys and finite numbers only")
}

/// A request's body as a value to be written in any form.
#[derive(Serialize)]
pub struct Body<'a, O> {
    pub op: &'static str,
    #[serde(flatten)]
    pub operation: &'a O,
}

/// Reads an answer.
///
/// # Errors
/// 400, 413 and 422 of the module blame the request; everything else, and every answer that is not the module's, is a
/// fault of the CRM.
pub fn decode<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    let envelope = envelope(answer)?;
    if answer.status == 200 && envelope.ok {
        return serde_json::from_slice(&answer.body).map_err(|error| {
            let version = envelope.version.unwrap_or_default();
            Fault::crm(format!(
                "the answer of module Calls {version} is not understood ({error}); do both versions fit?"
            ))
        });
    }
    let message = envelope.message.unwrap_or_else(|| "no reason given".to_owned());
    match (answer.status, envelope.error.as_deref().unwrap_or_default()) {
        (_, "unknown_op") => Err(Fault::crm(format!("the module Calls is older than this connector: {message}"))),
        (400 | 413 | 422, _) => Err(Fault::Request { why: format!("{}: {message}", answer.status) }),
        (_, "clock") => Err(Fault::crm(format!("its clock and ours are too far apart to sign: {message}"))),
        (_, "bad_signature" | "unsigned") => {
            Err(Fault::crm(format!("401: {message} Do name and secret agree on both sides?")))
        }
        (_, "disabled" | "unavailable") => Err(with_hint(answer, message)),
        (status, _) => Err(with_hint(answer, format!("{status}: {message}"))),
    }
}

fn with_hint(answer: &Answer, why: String) -> Fault {
    match answer.fault_of_crm() {
        Fault::Crm { retry_after_s, .. } => Fault::Crm { why, retry_after_s },
        request => request,
    }
}

/// What every answer of the module has, errors included.
#[derive(Deserialize)]
struct Envelope {
    ok: bool,
    module: String,
    version: Option<String>,
    error: Option<String>,
    message: Option<String>,
}

fn envelope(answer: &Answer) -> Result<Envelope, Fault> {
    match serde_json::from_slice::<Envelope>(&answer.body) {
        Ok(envelope) if envelope.module == "Calls" => Ok(envelope),
        // A web server's limit stands before the module, and only a smaller request passes it.
        _ if answer.status == 413 => Err(Fault::Request { why: format!("413: too large ({})", answer.said()) }),
        _ => Err(match answer.fault_of_crm() {
            Fault::Crm { why, retry_after_s } if answer.status < 300 => {
                Fault::Crm { why: format!("{why} instead of the module's JSON"), retry_after_s }
            }
            fault => fault,
        }),
    }
}

/// What the answer to `records` says of each of `deliveries`.
pub fn judge_records(answer: &Answer, deliveries: &[Delivery]) -> Outcome {
    let results = match decode::<RecordsAnswer>(answer) {
        Ok(answer) => answer.results,
        Err(fault) => return fault.into(),
    };
    let of_id: BTreeMap<&str, &RecordResult> = results.iter().map(|result| (result.id.as_str(), result)).collect();
    let verdicts: Vec<Verdict> = deliveries.iter().map(|d| verdict(of_id.get(d.record_id.as_str()).copied())).collect();
    match verdicts.first() {
        // Nothing was judged at all: that is no matter of these records.
        Some(Verdict::Retry { why })
            if verdicts.len() > 1 && verdicts.iter().all(|v| matches!(v, Verdict::Retry { .. })) =>
        {
            Outcome::CrmDown { why: format!("it took none of {} records: {why}", verdicts.len()), retry_after_s: None }
        }
        _ => Outcome::Answered(verdicts),
    }
}

fn verdict(result: Option<&RecordResult>) -> Verdict {
    let Some(result) = result else {
        return Verdict::Retry { why: "the answer does not name it".to_owned() };
    };
    let reason = result.reason.as_deref().unwrap_or("no reason given");
    match (result.result.as_str(), result.revision) {
        ("saved", _) => Verdict::Saved,
        ("unchanged", _) => Verdict::Unchanged,
        ("stale", Some(has)) => Verdict::Stale { has },
        ("rejected", _) => Verdict::Rejected {
            reason: match &result.crm_id {
                Some(id) => format!("{reason} (vTiger record {id})"),
                None => reason.to_owned(),
            },
        },
        ("retry", _) => Verdict::Retry { why: reason.to_owned() },
        (other, _) => Verdict::Retry { why: format!("result {other:?} is not understood") },
    }
}

#[derive(Deserialize)]
struct RecordsAnswer {
    results: Vec<RecordResult>,
}

#[derive(Deserialize)]
struct RecordResult {
    id: String,
    result: String,
    revision: Option<u64>,
    reason: Option<String>,
    crm_id: Option<String>,
}
