//! `kind = "pbxmanager"`: vTiger's own module PBXManager, unmodified. It takes events, we have states: what must be told
//! is found from what was told before and the record as it is now.
//!
//! The module as it really behaves, and what we do about it:
//! - Nothing is idempotent: a second `StartApp` with the same `callUUID` makes a second record. So every event that was
//!   taken is remembered ([`Told`]) and travels with the record, also when the CRM fails in the middle.
//! - It decides the direction itself: whose caller id or, failing that, whose channel's name is in a phone field of a user,
//!   calls out. So an outgoing call has the destination as caller id and the caller's extension in the channel; an
//!   incoming one a channel that is nobody's, and a number written as no card has it (a space before it, which the
//!   client's lookup drops).
//! - It looks clients up by `LIKE 'number%'`, forwards and backwards: an empty number finds the first client there is, a short
//!   one any. So neither is sent, and of a number only what cannot be part of a pattern or of SQL.
//! - `DialAnswer` gives the record to the user with that extension, and to nobody at all (owner 0, seen by administrators
//!   only) where there is no such user. The answer to `StartApp` lists the users' extensions: only those are named.
//! - A wrong secret is HTTP 200 with `Failure` in it.
//!
//! An answer to `StartApp` that is lost leaves open whether the record was made. It is told again: a record too many can be
//! seen, a lost call cannot.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Fault, judge_status};
use super::client::{Client, Post};
use super::sender::RecordingLink;
use crate::call::record::{Direction, Moment, Record, RecordingState, Span, Status};
use crate::outbox::{Delivery, Outcome, Verdict};

/// The column that holds the link takes no more and cuts silently.
const MAX_LINK_BYTES: usize = 200;
/// Extensions remembered of an answer; calls of users beyond them keep vTiger's own owner.
const USERS_MAX: usize = 1000;
/// Numbers with fewer digits find clients they do not belong to.
const MIN_LOOKUP_DIGITS: usize = 7;

/// What the module has been told of one record: the memory of a [`Delivery`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// `StartApp` was taken, and so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Of an incoming call: the users' extensions as the answer to `StartApp` had them. Which of them it is to be given to may not be known
    /// yet: the client may still hear a menu. Empty in the memory of an earlier version, which goes by `start`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Extension named in `DialAnswer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Id of the recording linked by `Record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// Times of `EndCall`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Status set by `Hangup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hangup: Option<String>,
}

/// How vTiger took a `StartApp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// As meant, and the record's extension is a user's.
    Owned,
    /// No user has the extension: naming it would leave the record without owner.
    Unowned,
}

/// One request to the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// `callstatus`.
    pub name: &'static str,
    /// The other parameters, in order, but for the secret.
    pub parameters: Vec<(&'static str, String)>,
    /// What is told once this was taken.
    then: Told,
}

/// How the form of a number is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NumberForm {
    /// Clients' numbers are sent by this many last digits; `None`: ten in +7 and +1, else as Asterisk gave them.
    pub last_digits: Option<u8>,
}

/// The next event of `record` that the module must be told, if any.
pub fn next(told: &Told, record: &Record, form: NumberForm, link: &dyn Fn(&str) -> Option<String>) -> Option<Event> {
    let call = ("callUUID", record.id.clone());
    let event = |name, parameters, then| Some(Event { name, parameters, then });
    let Some(start) = told.start else {
        // Another CRM's by now, or part of another record: this one never heard of it, and need not.
        if record.superseded_by.is_some() {
            return None;
        }
        let then = Told { start: Some(Start::Owned), ..Told::default() };
        return event("StartApp", start_app(record, form), then);
    };
    let over = record.status.is_final();
    let is_users = |extension: &String| match record.direction {
        Direction::Incoming if !told.users.is_empty() => told.users.contains(extension),
        _ => start == Start::Owned,
    };
    let answer = answered_by(record).filter(is_users);
    let talks_again = record.status == Status::InProgress && told.hangup.is_some();
    if answer.is_some() && (told.answer != answer || talks_again) {
        // It makes the call one in progress, whatever it was: a status told before must be told again.
        let then = Told { answer: answer.clone(), hangup: None, ..told.clone() };
        return event("DialAnswer", dial_answer(record, form), then);
    }
    if let Some((id, link)) = recording(record, link).filter(|(id, _)| told.recording.as_deref() != Some(id)) {
        let then = Told { recording: Some(id.to_owned()), ..told.clone() };
        return event("Record", vec![call, ("recordinglink", link)], then);
    }
    if !over {
        return None;
    }
    let ended_at = record.ended_at.unwrap_or(record.started_at);
    let (total, talk) = (whole_seconds(record.total_seconds), whole_seconds(record.talk_seconds));
    let (started, ended) = (database_time(record.started_at), database_time(ended_at));
    let end = format!("{started} {ended} {total} {talk}");
    if told.end.as_ref() != Some(&end) {
        let parameters =
            vec![call, ("starttime", started), ("endtime", ended), ("duration", total), ("billableseconds", talk)];
        return event("EndCall", parameters, Told { end: Some(end), ..told.clone() });
    }
    let (cause_text, cause) = hangup(record.status);
    let status = format!("{cause_text} {cause}");
    if told.hangup.as_ref() == Some(&status) {
        return None;
    }
    let parameters = vec![
        call,
        ("causetxt", cause_text.to_owned()),
        ("HangupCause", cause.to_owned()),
        ("EndTime", ended),
        ("Duration", total),
    ];
    event("Hangup", parameters, Told { hangup: Some(status), ..told.clone() })
}

/// The body of a request: a form, with the secret in it.
pub fn encode(event: &Event, secret: &str) -> String {
    form(secret, event.name, event.parameters.iter().map(|(name, value)| (*name, value.as_str())))
}

/// A body that changes nothing, as no record has this id: it only shows whether the secret is the right one.
pub(super) fn harmless(secret: &str) -> String {
    form(secret, "Hangup", [("callUUID", "pinconnector-doctor"), ("causetxt", "null")].into_iter())
}

/// Whether `answer` to [`harmless`] is that of a module that takes our secret.
pub(super) fn judge_harmless(answer: &Answer) -> Result<(), Fault> {
    judge_status(answer)?;
    let text = answer.text();
    if is_refusal(answer) {
        return Err(wrong_secret());
    }
    if text.trim().is_empty() {
        return Ok(());
    }
    Err(Fault::crm(format!("it answered {} with {} instead of nothing", answer.status, answer.said())))
}

/// It does not accept the secret, which it says with status 200.
pub(super) fn is_refusal(answer: &Answer) -> bool {
    answer.text().contains("<Authentication>Failure</Authentication>")
}

fn wrong_secret() -> Fault {
    Fault::crm("it does not accept our secret; it must be the one in vTiger's Settings, Integration, PBXManager")
}

fn form<'p>(secret: &'p str, event: &'p str, parameters: impl Iterator<Item = (&'static str, &'p str)>) -> String {
    let mut form = String::with_capacity(256);
    for (name, value) in [("vtigersignature", secret), ("callstatus", event)].into_iter().chain(parameters) {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        for byte in value.bytes() {
            match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => form.push(char::from(byte)),
                _ => write!(form, "%{byte:02X}").expect("a string takes everything"),
            }
        }
    }
    form
}

/// What is told once `answer` to `event` of `record` was judged.
///
/// # Errors
/// 400, 413, 422 blame the record; everything else that is not the module's own yes is a fault of the CRM.
pub fn judge(event: &Event, record: &Record, answer: &Answer) -> Result<Told, Fault> {
    judge_status(answer)?;
    let text = answer.text();
    if is_refusal(answer) {
        return Err(wrong_secret());
    }
    match event.name {
        "StartApp" if text.contains("<Authentication>Success</Authentication>") => {
            let users =
                if caller(record).is_none() { extensions_in(&text).map(str::to_owned).collect() } else { Vec::new() };
            Ok(Told { start: Some(taken_as(event, record, &text)), users, ..event.then.clone() })
        }
        "StartApp" => Err(Fault::crm(format!(
            "it answered {} with {}, which is no answer of vTiger's own PBXManager",
            answer.status,
            answer.said()
        ))),
        _ if text.trim().is_empty() => Ok(event.then.clone()),
        _ => Err(Fault::crm(format!("it answered {} with {} instead of nothing", answer.status, answer.said()))),
    }
}

/// Tells the module everything it does not know of `deliveries`, one after another, and remembers what it took.
pub(super) fn send(client: &mut Client, deliveries: &mut [Delivery], link: &RecordingLink) -> Outcome {
    let mut verdicts = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        match tell(client, delivery, &**link) {
            Ok(verdict) => verdicts.push(verdict),
            Err(Fault::Request { why }) => verdicts.push(Verdict::Rejected { reason: why }),
            // What the records before this one were told is in their memory: they come again and are found told.
            Err(fault @ Fault::Crm { .. }) => return fault.into(),
        }
    }
    Outcome::Answered(verdicts)
}

fn tell(client: &mut Client, delivery: &mut Delivery, link: &dyn Fn(&str) -> Option<String>) -> Result<Verdict, Fault> {
    let unreadable =
        |what: &str, error: serde_json::Error| Fault::Request { why: format!("{what} is unreadable: {error}") };
    let record: Record = serde_json::from_str(&delivery.body).map_err(|e| unreadable("the stored record", e))?;
    let mut told: Told = match &delivery.told {
        Some(text) => serde_json::from_str(text).map_err(|e| unreadable("the memory of what was told", e))?,
        None => Told::default(),
    };
    let form = client.crm().number_form;
    let mut verdict = Verdict::Unchanged;
    while let Some(event) = next(&told, &record, form, link) {
        let body = encode(&event, client.crm().secret.expose());
        let answer = client.post(Post::form(event.name, body.as_bytes()))?;
        told = judge(&event, &record, &answer)?;
        if event.name == "StartApp" && told.start == Some(Start::Unowned) && record.extension.is_some() {
            let extension = record.extension.as_deref().unwrap_or_default();
            log::debug!("{}: no user of {} has extension {extension}", record.id, client.crm().name);
        }
        delivery.told = Some(serde_json::to_string(&told).expect("strings are JSON").into());
        verdict = Verdict::Saved;
    }
    Ok(verdict)
}

fn start_app(record: &Record, form: NumberForm) -> Vec<(&'static str, String)> {
    let number = other_party(record, form);
    let trunk = format!("PJSIP/trunk-{}", record.id);
    let (number, channel) = match caller(record) {
        // The first two pieces of the channel's name are read, and it must not begin with the caller id's number.
        Some(extension) => (number, format!("PJSIP/{extension}-{}", record.id)),
        // A trunk often has the company's number as its name, and the company's number stands on users' cards.
        None if number.starts_with(|c: char| c == '+' || c.is_ascii_digit()) => (format!(" {number}"), trunk),
        None => (number, trunk),
    };
    vec![
        ("callUUID", record.id.clone()),
        ("callerIdNumber", number),
        ("channel", channel),
        ("StartTime", database_time(record.started_at)),
    ]
}

fn dial_answer(record: &Record, form: NumberForm) -> Vec<(&'static str, String)> {
    let number = other_party(record, form);
    let (from, to) = match (caller(record), answered_by(record)) {
        (Some(extension), _) => (extension.to_owned(), number),
        (None, Some(extension)) => (number, extension),
        (None, None) => (number, String::new()),
    };
    vec![("callUUID", record.id.clone()), ("callerid1", from), ("callerid2", to)]
}

/// Ours who calls out; `None` on incoming calls.
fn caller(record: &Record) -> Option<&str> {
    let extension = match record.direction {
        Direction::Incoming => return None,
        Direction::Outgoing => record.extension.as_deref().or(record.from.as_deref()),
        Direction::Internal => record.from.as_deref(),
    };
    // Where there are several exchanges, the extension is `msk/101`; vTiger's cards have `101`.
    extension.map(within_pbx)
}

/// The extension whose user is to own the record: at once when the call is talked on, for unanswered calls at the end, so that
/// people see the calls they missed and those that nobody took.
fn answered_by(record: &Record) -> Option<String> {
    if record.status == Status::Ringing {
        return None;
    }
    let extension = match record.direction {
        Direction::Incoming => record.extension.as_deref().map(within_pbx),
        Direction::Outgoing | Direction::Internal => caller(record),
    };
    extension.map(str::to_owned)
}

fn within_pbx(extension: &str) -> &str {
    extension.rsplit('/').next().unwrap_or(extension)
}

/// The number of the other side as the module may have it.
fn other_party(record: &Record, form: NumberForm) -> String {
    let given = match record.direction {
        Direction::Incoming => record.client_number.as_deref(),
        Direction::Outgoing => record.client_number.as_deref().or(record.to.as_deref()),
        Direction::Internal => record.extension.as_deref().or(record.to.as_deref()).map(within_pbx),
    };
    let plain: String = given
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "+*#.".contains(*c))
        .take(40)
        .collect();
    let digits = plain.bytes().filter(u8::is_ascii_digit).count();
    if plain.is_empty() {
        return "anonymous".to_owned();
    }
    if digits == plain.trim_start_matches('+').len() && digits >= MIN_LOOKUP_DIGITS {
        return lookup_form(&plain, record.client_number_normalized.as_deref(), form).into_owned();
    }
    // Not a number that a card could have: written so that it finds none.
    let what = if record.direction == Direction::Internal { "ext." } else { "tel." };
    format!("{what}{plain}")
}

/// vTiger compares cards with what it gets from the beginning and from the end: without country code and national prefix it
/// finds the card however the number is written there.
fn lookup_form<'n>(plain: &'n str, normalized: Option<&str>, form: NumberForm) -> Cow<'n, str> {
    let last = |number: &str, count: usize| number.get(number.len().saturating_sub(count)..).map(str::to_owned);
    let ten_in_7_and_1 = normalized.filter(|n| (n.starts_with("+7") || n.starts_with("+1")) && n.len() == 12);
    let shortened = match (form.last_digits, ten_in_7_and_1) {
        (Some(count), _) => last(plain.trim_start_matches('+'), usize::from(count)),
        (None, Some(normalized)) => last(normalized, 10),
        (None, None) => None,
    };
    shortened.map_or(Cow::Borrowed(plain), Cow::Owned)
}

/// The recording to link: the first that can be heard.
fn recording<'r>(record: &'r Record, link: &dyn Fn(&str) -> Option<String>) -> Option<(&'r str, String)> {
    let unheard = [RecordingState::Recording, RecordingState::Deleted, RecordingState::Empty];
    let heard = |state: Option<RecordingState>| !state.is_some_and(|state| unheard.contains(&state));
    record
        .recordings
        .iter()
        // Before its state is known a recording still grows as long as the call goes on.
        .filter(|r| heard(r.state) && (r.state.is_some() || record.status.is_final()))
        .find_map(|r| Some((r.id.as_str(), link(&r.id).filter(|link| link.len() <= MAX_LINK_BYTES)?)))
}

/// `causetxt` and `HangupCause` that make vTiger set the status we mean.
fn hangup(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Completed | Status::Ringing | Status::InProgress => ("Normal Clearing", "ANSWERED"),
        Status::Missed | Status::NoAnswer | Status::Cancelled => ("Normal Clearing", "NO ANSWER"),
        Status::Busy => ("User busy", "BUSY"),
        // Any other text becomes the status itself.
        Status::Failed => ("failed", "FAILED"),
    }
}

/// Whether vTiger knows the user whose record this is to be, from its answer to `StartApp`: for an incoming call all users'
/// extensions, for an outgoing one the number to dial.
fn taken_as(event: &Event, record: &Record, xml: &str) -> Start {
    let mut numbers = extensions_in(xml);
    let known = if caller(record).is_some() {
        // Only if it found the caller among its users did it take the call as an outgoing one.
        let to = event.parameters.iter().find(|(name, _)| *name == "callerIdNumber").map_or("", |(_, value)| value);
        numbers.any(|number| number.split('@').next() == Some(to))
    } else {
        let extension = record.extension.as_deref().map(within_pbx);
        numbers.any(|number| Some(number) == extension)
    };
    if known { Start::Owned } else { Start::Unowned }
}

/// The numbers an answer to `StartApp` lists.
fn extensions_in(xml: &str) -> impl Iterator<Item = &str> {
    xml.split("<Number>SIP/").skip(1).filter_map(|rest| rest.split("</Number>").next()).take(USERS_MAX)
}

/// As vTiger keeps times: UTC, to the second.
fn database_time(at: Moment) -> String {
    let text = crate::clock::rfc3339(at.0);
    format!("{} {}", &text[..10], &text[11..19])
}

fn whole_seconds(span: Option<Span>) -> String {
    (span.unwrap_or_default().0.max(0) + 500).div_euclid(1000).to_string()
}
