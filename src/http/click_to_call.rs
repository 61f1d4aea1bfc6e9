//! Click-to-call: reading what is asked, the book of what was asked, and the order that the core gets. Pure; the desk answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::gate::Token;
use super::guard::{Asked, Guard, Passed, Refusal, is_variable_value, is_word};
use super::office::Pbx;
use super::request::{Plus, Request, form_value};
use crate::call::{PlaceCall, Progress, RequestState};
use crate::clock::Now;

/// The same request gets the same answer for so long.
const KEPT_MS: u64 = 24 * 3_600_000;
/// Clicks remembered at once; the oldest ended one goes first. Its answer is still in the database.
const KEPT_MAX: usize = 4096;
/// A click whose end nobody told of counts as over after this: longer than any ringing.
const RINGING_MS: u64 = 300_000;

#[derive(Deserialize)]
struct Body {
    from: String,
    to: String,
    request: Option<String>,
    pbx: Option<String>,
    context: Option<String>,
    caller_id: Option<String>,
    crm_record: Option<String>,
    user: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

/// What `POST /api/v1/calls` asks for.
///
/// # Errors
/// 400: no JSON of this form, or a field that could mean something to the dialplan or AMI.
pub fn read_json(body: &[u8]) -> Result<Asked, Refusal> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|e| Refusal::new(400, "bad_request", format!("the body is not what was expected: {e}")))?;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    check_shape(Asked {
        from: body.from,
        to: body.to,
        context: filled(body.context),
        caller_id: filled(body.caller_id),
        request: filled(body.request),
        crm_record: filled(body.crm_record),
        user: filled(body.user),
        pbx: filled(body.pbx),
        variables: body.variables.into_iter().collect(),
    })
}

/// What `/makecall` asks for: the secret, and the call. Query first, then a form in the body.
///
/// # Errors
/// 400, as for [`read_json`].
pub fn read_makecall(request: &Request) -> Result<(String, Asked), Refusal> {
    let of = |name: &str, plus: Plus| {
        let found = form_value(request.query().as_bytes(), name, plus);
        found.or_else(|| form_value(&request.body, name, plus)).filter(|text| !text.is_empty())
    };
    let secret = of("secret", Plus::IsSpace).unwrap_or_default();
    if of("event", Plus::IsSpace).as_deref() != Some("OutgoingCall") {
        return Err(Refusal::new(400, "bad_request", "event must be OutgoingCall"));
    }
    // The stock module says only in the Referer which record was clicked.
    let crm_record = request.header("referer").and_then(|referer| {
        let query = referer.split_once('?')?.1;
        form_value(query.as_bytes(), "record", Plus::IsSpace).filter(|id| is_word(id, 64))
    });
    let asked = check_shape(Asked {
        from: of("from", Plus::IsPlus).unwrap_or_default(),
        to: of("to", Plus::IsPlus).unwrap_or_default(),
        context: of("context", Plus::IsSpace),
        caller_id: None,
        request: None,
        crm_record,
        user: None,
        pbx: None,
        variables: Vec::new(),
    })?;
    Ok((secret, asked))
}

/// Refuses everything that could be more than a number, name or id.
fn check_shape(mut asked: Asked) -> Result<Asked, Refusal> {
    // An extension is unique within its PBX only: `msk/101`.
    if let Some((pbx, extension)) = asked.from.split_once('/') {
        if asked.pbx.as_deref().is_some_and(|named| named != pbx) {
            return Err(Refusal::new(400, "bad_extension", "from names another pbx than pbx does"));
        }
        asked.pbx = Some(pbx.to_owned());
        asked.from = extension.to_owned();
    }
    let is_extension = is_word(&asked.from, 32) && !asked.from.contains([':', '.']);
    if !is_extension {
        return Err(Refusal::new(400, "bad_extension", "from must be an extension: letters, digits, - and _"));
    }
    if asked.to.len() > 128 {
        return Err(Refusal::new(400, "bad_number", "to is too long for a number"));
    }
    let words = [
        ("request", &asked.request, 64),
        ("context", &asked.context, 80),
        ("crm_record", &asked.crm_record, 64),
        ("user", &asked.user, 64),
        ("pbx", &asked.pbx, 64),
    ];
    for (name, value, most) in words {
        if value.as_ref().is_some_and(|value| !is_word(value, most)) {
            let text = format!("{name} may hold letters, digits, and - _ . : only, at most {most}");
            return Err(Refusal::new(400, "bad_field", text));
        }
    }
    if let Some(caller_id) = &asked.caller_id {
        let digits = caller_id.strip_prefix('+').unwrap_or(caller_id);
        if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Refusal::new(
                400,
                "bad_field",
                "caller_id must be a number: digits with or without a leading +",
            ));
        }
    }
    if asked.variables.len() > 16 {
        return Err(Refusal::new(400, "bad_variable", "more than 16 variables"));
    }
    for (name, value) in &asked.variables {
        if !super::guard::is_variable_name(name) || !is_variable_value(value) {
            let text = "a variable's name or value holds a sign that may not stand there";
            return Err(Refusal::new(400, "bad_variable", text));
        }
    }
    Ok(asked)
}

/// The order for the core. `id` is unguessable and new.
pub fn order(
    asked: &Asked,
    passed: &Passed,
    guard: &Guard,
    pbx: &Pbx,
    crm: &str,
    request: &str,
    id: &str,
) -> PlaceCall {
    let settings = guard.settings();
    let template = pbx.channel.as_ref().unwrap_or(&settings.channel);
    let channel = template.replace("{extension}", &asked.from);
    let mut variables: Vec<(Box<str>, Box<str>)> = Vec::new();
    if settings.auto_answer {
        variables.extend(auto_answer(&channel));
    }
    variables.extend(asked.variables.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())));
    PlaceCall {
        pbx: pbx.id,
        call_id: id.into(),
        request: request.into(),
        from: asked.from.as_str().into(),
        to: asked.to.as_str().into(),
        dialled: passed.dialled.as_str().into(),
        channel: channel.into(),
        context: passed.context.as_str().into(),
        // Never the customer's number: providers refuse a call that claims to come from its own destination.
        caller_id: asked.caller_id.as_deref().unwrap_or(&asked.from).into(),
        timeout_ms: settings.ring_s * 1000,
        variables,
        crm: Some(crm.into()),
        crm_record: asked.crm_record.as_deref().map(Into::into),
        user: asked.user.as_deref().map(Into::into),
    }
}

/// The headers by which phones of different makers answer at once, all together, since nobody knows which phone it is.
fn auto_answer(channel: &str) -> Vec<(Box<str>, Box<str>)> {
    const HEADERS: [(&str, &str); 4] = [
        ("Call-Info", "<sip:localhost>;answer-after=0"),
        ("Alert-Info", "info=alert-autoanswer"),
        ("P-Auto-Answer", "normal"),
        ("Answer-Mode", "Auto"),
    ];
    if channel.starts_with("SIP/") {
        let numbered = HEADERS.iter().zip(51..);
        return numbered.map(|((h, v), n)| (format!("SIPADDHEADER{n}").into(), format!("{h}: {v}").into())).collect();
    }
    if channel.starts_with("PJSIP/") {
        return HEADERS.iter().map(|(h, v)| (format!("PJSIP_HEADER(add,{h})").into(), (*v).into())).collect();
    }
    Vec::new()
}

/// Who waits to hear what becomes of a click.
pub(super) enum Asker {
    /// A request over HTTP.
    Request(Token),
    /// A CRM that queued it for us to fetch.
    Fetched(Reply),
    /// The stock module, which is answered before it is known.
    Nobody,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request(_) => "Request",
            Self::Fetched(_) => "Fetched",
            Self::Nobody => "Nobody",
        })
    }
}

/// Takes the answer to a fetched click, once. Whoever drops it without an answer was too busy, and that is the answer.
pub struct Reply(Option<Take>);

type Take = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

impl Reply {
    pub fn new(take: impl FnOnce(Result<(), Refusal>) + Send + 'static) -> Self {
        Self(Some(Box::new(take)))
    }

    pub fn say(mut self, answer: Result<(), Refusal>) {
        if let Some(take) = self.0.take() {
            take(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(take) = self.0.take() {
            take(Err(Refusal::new(503, "busy", "the connector is too busy or stopping; try again")));
        }
    }
}

/// One click.
#[derive(Debug)]
pub(super) struct Click {
    pub crm: String,
    pub request: String,
    pub pbx: String,
    pub from: String,
    pub conversation: String,
    pub state: RequestState,
    pub reason: Option<String>,
    /// Set once the commit is over: what everybody who asks the same is answered.
    pub answered: bool,
    /// Whoever asked before or while the commit was under way.
    pub waiting: Vec<Asker>,
    at_mono_ms: u64,
}

impl Click {
    pub fn new(crm: &str, request: &str, pbx: &str, asked: &Asked, call_id: &str, asker: Asker, now: Now) -> Self {
        Self {
            crm: crm.to_owned(),
            request: request.to_owned(),
            pbx: pbx.to_owned(),
            from: asked.from.clone(),
            conversation: format!("{pbx}-{call_id}"),
            state: RequestState::Queued,
            reason: None,
            answered: false,
            waiting: vec![asker],
            at_mono_ms: now.mono_ms,
        }
    }

    /// The 202's body; also what is kept.
    pub fn answer(&self) -> Value {
        json!({ "request": self.request, "conversation": self.conversation })
    }

    /// How it goes.
    pub fn progress(&self) -> Value {
        progress(&self.request, Some(&self.conversation), self.state, self.reason.as_deref())
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, RequestState::Done | RequestState::Failed)
    }

    fn is_under_way(&self, mono_ms: u64) -> bool {
        !self.is_over() && self.state != RequestState::Talking && mono_ms.saturating_sub(self.at_mono_ms) < RINGING_MS
    }
}

/// The body of `GET /api/v1/calls/REQUEST`.
pub fn progress(request: &str, conversation: Option<&str>, state: RequestState, reason: Option<&str>) -> Value {
    let mut value = json!({ "request": request, "state": state.as_str() });
    if let Some(conversation) = conversation {
        value["conversation"] = conversation.into();
    }
    if let Some(reason) = reason {
        value["reason"] = reason.into();
    }
    value
}

/// The clicks of the last 24 hours, newest last.
#[derive(Debug, Default)]
pub(super) struct Book {
    clicks: VecDeque<Click>,
}

impl Book {
    pub fn find(&mut self, crm: &str, request: &str) -> Option<&mut Click> {
        self.clicks.iter_mut().rev().find(|click| click.crm == crm && click.request == request)
    }

    /// How the core says that it goes; a click of an earlier run stands in the database only.
    pub fn settle(&mut self, progress: &Progress) {
        if let Some(click) = progress.crm.as_deref().and_then(|crm| self.find(crm, &progress.request)) {
            click.state = progress.state;
            click.reason = progress.reason.as_deref().map(str::to_owned);
        }
    }

    pub fn remove(&mut self, crm: &str, request: &str) -> Option<Click> {
        let at = self.clicks.iter().rposition(|click| click.crm == crm && click.request == request)?;
        self.clicks.remove(at)
    }

    pub fn add(&mut self, click: Click) {
        let now = click.at_mono_ms;
        while self.clicks.front().is_some_and(|old| now.saturating_sub(old.at_mono_ms) >= KEPT_MS) {
            self.clicks.pop_front();
        }
        if self.clicks.len() >= KEPT_MAX {
            let over = self.clicks.iter().position(Click::is_over).unwrap_or(0);
            self.clicks.remove(over);
        }
        self.clicks.push_back(click);
    }

    /// Clicks whose customer has not answered yet.
    pub fn under_way(&self, mono_ms: u64) -> usize {
        self.clicks.iter().filter(|click| click.is_under_way(mono_ms)).count()
    }

    /// This agent's phone rings for a click already.
    pub fn rings(&self, pbx: &str, from: &str, mono_ms: u64) -> bool {
        let ringing = |click: &&Click| {
            click.pbx == pbx
                && click.from == from
                && matches!(click.state, RequestState::Queued | RequestState::AgentRinging)
                && click.is_under_way(mono_ms)
        };
        self.clicks.iter().rev().any(|click| ringing(&click))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(extra: &str) -> Result<Asked, (u16, &'static str)> {
        let body = format!("{{\"from\":\"101\",\"to\":\"+74957654321\"{extra}}}");
        read_json(body.as_bytes()).map_err(|refusal| (refusal.status, refusal.code))
    }

    #[test]
    fn the_module_s_own_example_is_understood() {
        let body = include_bytes!("../../tests/wire/calls/to-connector.calls.request.json");
        let asked = read_json(body).expect("understood");
        assert_eq!((&*asked.from, &*asked.to, asked.pbx.as_deref()), ("102", "84957654321", Some("msk")));
        assert_eq!(asked.caller_id.as_deref(), Some("+74951234500"));
    }

    #[test]
    fn no_field_carries_magic() {
        assert!(json("").is_ok());
        for field in ["request", "context", "crm_record", "user", "pbx", "caller_id"] {
            for magic in ["a\\r\\nAction: Originate", "a\\u0000", "a&b", "a|b", "a,b", "${A}", "a@b", "a b", "a/b", "ё"]
            {
                let told = json(&format!(",\"{field}\":\"{magic}\""));
                assert_eq!(told.map_err(|e| e.0).map(|_| ()), Err(400), "{field} {magic}");
            }
        }
        for from in ["", "101&102", "1\\r\\n", "PJSIP/101/x", "101@x", "1,2", "${X}", "101 ", "1|2", "\\u0000"] {
            let told = read_json(format!("{{\"from\":\"{from}\",\"to\":\"1\"}}").as_bytes());
            assert_eq!(told.map_err(|e| e.status).map(|_| ()), Err(400), "{from}");
        }
        assert_eq!(json(",\"variables\":{\"A\":\"b\\r\\nc\"}"), Err((400, "bad_variable")));
        assert_eq!(json(",\"variables\":{\"A,B\":\"c\"}"), Err((400, "bad_variable")));
        assert!(json(",\"variables\":{\"A\":\"Иван 5\"}").is_ok());
        assert_eq!(read_json(b"[]").map_err(|e| e.status).map(|_| ()), Err(400));
        assert_eq!(read_json(b"{\"from\":101}").map_err(|e| e.status).map(|_| ()), Err(400));
    }

    #[test]
    fn an_extension_may_name_its_pbx() {
        let asked = read_json(b"{\"from\":\"msk/101\",\"to\":\"1\"}").expect("understood");
        assert_eq!((asked.pbx.as_deref(), &*asked.from), (Some("msk"), "101"));
        assert!(read_json(b"{\"from\":\"msk/101\",\"to\":\"1\",\"pbx\":\"spb\"}").is_err());
    }

    #[test]
    fn phones_are_told_to_answer_in_every_dialect() {
        let pjsip = auto_answer("PJSIP/101");
        assert!(pjsip.iter().any(|(name, _)| &**name == "PJSIP_HEADER(add,Call-Info)"), "{pjsip:?}");
        assert_eq!(&*auto_answer("SIP/101")[0].0, "SIPADDHEADER51");
        assert!(auto_answer("Local/101@x").is_empty());
    }
}
