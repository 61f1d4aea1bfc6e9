//! Where requests are decided: one thread that owns sessions, used nonces, the guard, the book of clicks and the listeners,
//! and never waits. What takes a disk or a password goes to an errand thread, which answers by itself or comes back here.

mod clicks;
mod page;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::answer::Answer;
use super::click_to_call::{Asker, Book, Reply};
use super::gate::{Figures, Mailbox, Token};
use super::guard::{Asked, Guard};
use super::hub::{Filter, Hub, Phones};
use super::links::{self, BadLink};
use super::metrics::CrmLatency;
use super::office::{Done, Happened, NotPlaced, Office, PairStatus, Pbx, RecordingPlace, Refresh};
use super::recordings;
use super::request::{Method, Request, decode};
use super::settings::{HttpSettings, Role};
use super::sign_in::{SignIn, Visitor};
use super::signed::{Keys, Unsigned};
use super::{Errand, Setup};
use crate::call::Record;
use crate::call::record::Moment;
use crate::clock::Now;
use crate::phone::PbxNumbers;

/// How often listeners hear that we are alive.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// What the desk is told.
pub enum ToDesk {
    Ask(Token, Box<Request>),
    /// A listener of events is gone.
    Left(Token),
    /// Boxed, as everything large: the queue has room for a thousand of the largest kind.
    Happened(Box<Happened>),
    /// The commit of a click is over.
    Placed {
        crm: String,
        request: String,
        result: Result<(), NotPlaced>,
    },
    /// A click that its CRM queued for us to fetch.
    Fetched {
        crm: String,
        /// As that of `POST /api/v1/calls`.
        body: Vec<u8>,
        reply: Reply,
    },
    /// Whether this request was answered before this run.
    Kept {
        crm: String,
        asked: Box<Asked>,
        peer: String,
        kept: Option<String>,
    },
    /// A password was verified.
    Verified {
        token: Token,
        name: String,
        address: std::net::IpAddr,
        is_tls: bool,
        role: Option<Role>,
    },
    /// Records that were open before this run.
    Opened(Vec<Record>),
    Reload(Box<Setup>),
    Stop,
}

/// What click-to-call has counted, by outcome.
#[derive(Debug, Default)]
struct Clicked {
    placed: u64,
    refused: std::collections::BTreeMap<&'static str, u64>,
}

pub struct Desk {
    http: HttpSettings,
    pbxs: Vec<Pbx>,
    numbers: PbxNumbers,
    zone: jiff::tz::TimeZone,
    search: Vec<String>,
    link_key: links::LinkKey,
    office: Arc<dyn Office>,
    gate: Mailbox,
    errands: Sender<Errand>,
    own: Sender<ToDesk>,
    figures: Arc<Figures>,
    keys: Keys,
    sign_in: SignIn,
    guard: Guard,
    book: Book,
    /// Clicks whose id is looked up in the database, and who asked.
    checking: Vec<(String, String, Vec<Asker>)>,
    clicked: Clicked,
    hub: Hub,
    latency: CrmLatency,
    /// Of two connectors for one exchange, which one this is.
    pair: Option<PairStatus>,
    /// Passwords being verified now.
    verifying: usize,
    started_ms: u64,
}

impl Desk {
    pub fn new(
        setup: Setup,
        office: Arc<dyn Office>,
        gate: Mailbox,
        errands: Sender<Errand>,
        own: Sender<ToDesk>,
        figures: Arc<Figures>,
    ) -> Self {
        Self {
            keys: Keys::new(setup.crms, setup.http.public_url.as_deref()),
            sign_in: SignIn::new(setup.http.clone()),
            guard: Guard::new(setup.click_to_call),
            pbxs: setup.pbxs,
            numbers: setup.numbers,
            search: setup.search,
            zone: setup.zone,
            link_key: setup.link_key,
            http: setup.http,
            office,
            gate,
            errands,
            own,
            figures,
            book: Book::default(),
            checking: Vec::new(),
            clicked: Clicked::default(),
            hub: Hub::default(),
            latency: CrmLatency::default(),
            pair: None,
            verifying: 0,
            started_ms: Now::read().mono_ms,
        }
    }

    /// Until told to stop.
    pub fn run(mut self, inbox: &Receiver<ToDesk>) {
        self.look_for_open_calls();
        let mut next_beat = Instant::now() + HEARTBEAT;
        loop {
            // Without listeners nothing needs a look at the clock.
            let told = if self.hub.listeners() == 0 {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_deadline(next_beat)
            };
            match told {
                Ok(ToDesk::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(told) => self.hear(told),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next_beat {
                self.hub.heartbeat(now_s(), &self.gate);
                next_beat = Instant::now() + HEARTBEAT;
            }
        }
    }

    fn hear(&mut self, told: ToDesk) {
        match told {
            ToDesk::Ask(token, request) => self.ask(token, *request),
            ToDesk::Left(token) => self.hub.leave(token),
            ToDesk::Happened(happened) => self.happened(*happened),
            ToDesk::Placed { crm, request, result } => self.placed(&crm, &request, result),
            ToDesk::Fetched { crm, body, reply } => self.fetched_click(reply, &crm, &body, Now::read()),
            ToDesk::Kept { crm, asked, peer, kept } => self.kept(&crm, &asked, &peer, kept.as_deref()),
            ToDesk::Verified { token, name, address, is_tls, role } => {
                self.verified(token, &name, address, is_tls, role);
            }
            ToDesk::Opened(records) => records.into_iter().for_each(|record| self.hub.note(record)),
            ToDesk::Reload(setup) => self.reload(*setup),
            ToDesk::Stop => {}
        }
    }

    fn reload(&mut self, setup: Setup) {
        self.keys.reload(setup.crms);
        self.sign_in.reload(setup.http.clone());
        self.guard.reload(setup.click_to_call);
        self.pbxs = setup.pbxs;
        self.numbers = setup.numbers;
        self.search = setup.search;
        self.zone = setup.zone;
        self.http = setup.http;
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Records(records) => {
                let now_s = now_s();
                records.into_iter().for_each(|record| self.hub.record(record, &self.numbers.office, now_s, &self.gate));
            }
            Happened::Request(progress) => self.book.settle(&progress),
            Happened::Link(pbx) => self.hub.link(pbx, Moment(Now::read().wall_ms), &self.gate),
            Happened::Backlog(crm) => self.hub.backlog(crm, &self.gate),
            Happened::CrmTook(took) => self.latency.add(took),
            Happened::Pair(pair) => self.pair = Some(pair),
        }
    }

    fn look_for_open_calls(&self) {
        let (office, own) = (Arc::clone(&self.office), self.own.clone());
        self.run_errand(move || {
            let wanted = super::office::Wanted { open: true, limit: 1000, ..Default::default() };
            match office.calls(&wanted) {
                // Full: the calls show themselves with their next change.
                Ok(records) => drop(own.try_send(ToDesk::Opened(records))),
                Err(why) => log::warn!("http: open calls are shown only when they change: {why}"),
            }
        });
    }

    /// One request, routed by its path.
    fn ask(&mut self, token: Token, request: Request) {
        use Method::{Delete, Get, Head, Options, Post};
        let now = Now::read();
        let path = request.path().to_owned();
        let method = request.method();
        let only = |allowed: &[Method]| allowed.contains(&method);
        let allowed: &'static str = match path.as_str() {
            "/" | "/health" | "/metrics" | "/api/v1/status" | "/api/v1/recent" | "/api/v1/conversation" => {
                if only(&[Get, Head]) {
                    return self.ask_page(token, &request, &path, now);
                }
                "GET, HEAD"
            }
            "/api/v1/events" => {
                if only(&[Get]) {
                    return self.listen(token, &request, now);
                }
                "GET"
            }
            "/login" | "/logout" | "/api/v1/follow-up" => {
                if only(&[Post]) {
                    return self.ask_page_to_do(token, request, &path, now);
                }
                if path == "/login" && only(&[Get, Head]) {
                    return self.gate.answer(token, page::login_form(200));
                }
                "POST"
            }
            "/makecall" => {
                if only(&[Get, Post]) {
                    return self.makecall(token, &request, now);
                }
                "GET, POST"
            }
            "/api/v1/calls" => {
                if only(&[Post]) {
                    return self.click(token, &request, now);
                }
                "POST"
            }
            "/api/v1/refresh" => {
                if only(&[Post]) {
                    return self.refresh(token, &request, now);
                }
                "POST"
            }
            path if path.starts_with("/api/v1/calls/") => {
                if only(&[Get, Delete]) {
                    return self.click_progress(token, &request, now);
                }
                "GET, DELETE"
            }
            path if path.starts_with("/recordings/") || path.starts_with("/r/") => {
                if only(&[Get, Head]) {
                    return self.recording(token, request, now);
                }
                "GET, HEAD"
            }
            path => {
                let answer = page::asset(&request, path);
                let missing = || Answer::error(404, "not_found", "there is nothing under this path");
                return self.gate.answer(token, answer.unwrap_or_else(missing));
            }
        };
        let answer = if method == Options {
            self.with_origin(Answer::empty(204).with("Allow", allowed), &request)
        } else {
            Answer::error(405, "method", "this path has other methods").with("Allow", allowed)
        };
        self.gate.answer(token, answer);
    }

    /// Who may hear and see: a visitor of the page, or a CRM by signed link or request.
    fn caller(&mut self, request: &Request, now: Now) -> Result<Caller, Unsigned> {
        let refused = |status, code, message: &str| Unsigned { status, code, message: message.to_owned() };
        if request.header("x-pin-key").is_some() {
            return self.keys.signer(request, now).map(|crm| Caller::Crm(crm.name.clone()));
        }
        match self.keys.signer_of_link(&request.head.target, now) {
            Ok(crm) => return Ok(Caller::Crm(crm.name.clone())),
            Err(BadLink::Expired) => return Err(refused(403, "expired", "this link has expired")),
            Err(BadLink::Signature) => {
                return Err(refused(403, "signature", "this link was not made by a CRM of ours"));
            }
            Err(BadLink::None) => {}
        }
        match self.sign_in.visitor(request, now) {
            Some(visitor) => Ok(Caller::Visitor(visitor)),
            None => Err(refused(401, "login", "this needs a login, a token, a signed link or a signed request")),
        }
    }

    fn listen(&mut self, token: Token, request: &Request, now: Now) {
        let (extensions, mobiles) = (request.parameter("extension"), request.parameter("phone"));
        let phones = Phones::parse(extensions.as_deref(), mobiles.as_deref(), &self.numbers.office);
        let filter = match self.caller(request, now) {
            Err(why) => return self.gate.answer(token, self.with_origin(unsigned(&why), request)),
            // A link is in the hands of a browser: it is good for as long as it says, and which recordings somebody may hear the CRM decides.
            Ok(Caller::Crm(crm)) => {
                let signed = request.header("x-pin-key").is_some();
                let until_s =
                    if signed { None } else { request.parameter("expires").and_then(|text| text.parse().ok()) };
                Filter { phones, crm: Some(crm), hears_recordings: signed, sees_service: false, until_s }
            }
            Ok(Caller::Visitor(visitor)) => {
                let hears_recordings = visitor.role == Role::Admin;
                Filter { phones, crm: None, hears_recordings, sees_service: true, until_s: None }
            }
        };
        let origin = self.allowed_origin(request);
        if !self.hub.join(token, filter, origin, &self.numbers.office, &self.gate) {
            let answer = Answer::error(503, "busy", "too many listen already").with("Retry-After", "30");
            self.gate.answer(token, answer);
        }
    }

    fn recording(&mut self, token: Token, request: Request, now: Now) {
        let path = request.path();
        let (id, crm) = if let Some(text) = path.strip_prefix("/r/") {
            if self.http.recording_links_need_login
                && self.sign_in.visitor(&request, now).is_none_or(|visitor| visitor.role != Role::Admin)
            {
                let answer = Answer::error(401, "login", "log in on the status page to hear recordings");
                return self.gate.answer(token, answer);
            }
            match links::open_token(&self.link_key, self.http.recording_links_generation, text) {
                Some(id) => (id, None),
                None => return self.gate.answer(token, unknown_recording()),
            }
        } else {
            let text = path.strip_prefix("/recordings/").unwrap_or_default();
            let Some(id) = decode(text.as_bytes(), super::request::Plus::IsPlus) else {
                return self.gate.answer(token, unknown_recording());
            };
            let id = id.into_owned();
            match self.caller(&request, now) {
                Err(why) => return self.gate.answer(token, self.with_origin(unsigned(&why), &request)),
                Ok(Caller::Crm(crm)) => (id, Some(crm)),
                Ok(Caller::Visitor(visitor)) if visitor.role == Role::Admin => (id, None),
                Ok(Caller::Visitor(_)) => {
                    let answer = Answer::error(403, "role", "viewers hear no recordings");
                    return self.gate.answer(token, answer);
                }
            }
        };
        let download = request.parameter("download").is_some_and(|value| value != "0");
        let search = self.search.clone();
        let origin = self.allowed_origin(&request);
        self.run_for(token, move |office| {
            let answer = match office.recording(&id) {
                Err(why) => unreadable(&why),
                Ok(None) => unknown_recording(),
                Ok(Some(place)) if !may_hear(&place, crm.as_deref()) => unknown_recording(),
                Ok(Some(place)) => recordings::answer(&request, &place, &search, download),
            };
            with_origin(answer, origin)
        });
    }

    fn refresh(&mut self, token: Token, request: &Request, now: Now) {
        let answer = match self.keys.signer(request, now) {
            Err(why) => unsigned(&why),
            Ok(crm) => {
                let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let what = match body["what"].as_str() {
                    Some("users") => Some(Refresh::Users),
                    Some("directory") => Some(Refresh::Directory),
                    _ => None,
                };
                match what {
                    Some(what) => {
                        self.office.refresh(&crm.name, what);
                        Answer::json(202, &serde_json::json!({}))
                    }
                    None => Answer::error(400, "bad_request", "what must be users or directory"),
                }
            }
        };
        self.gate.answer(token, answer);
    }

    /// Does something that waits for a disk; refused if too much of that waits already.
    fn run_errand(&self, work: impl FnOnce() + Send + 'static) -> bool {
        self.errands.try_send(Errand::Run(Box::new(work))).is_ok()
    }

    /// The same for a request, which it answers.
    fn run_for(&self, token: Token, work: impl FnOnce(&dyn Office) -> Answer + Send + 'static) {
        let (office, gate) = (Arc::clone(&self.office), self.gate.clone());
        if !self.run_errand(move || gate.answer(token, work(&*office))) {
            self.gate.answer(token, Answer::error(503, "busy", "too much is being read; try again"));
        }
    }

    fn allowed_origin(&self, request: &Request) -> Option<String> {
        let origin = request.header("origin")?;
        self.http.allow_origins.iter().find(|allowed| *allowed == origin).cloned()
    }

    fn with_origin(&self, answer: Answer, request: &Request) -> Answer {
        with_origin(answer, self.allowed_origin(request))
    }

    /// Requests the gate has admitted since the start.
    fn requests(&self) -> u64 {
        self.figures.requests.load(Ordering::Relaxed)
    }
}

/// Who asks.
enum Caller {
    Crm(String),
    Visitor(Visitor),
}

fn now_s() -> i64 {
    Now::read().wall_ms.div_euclid(1000)
}

fn may_hear(place: &RecordingPlace, crm: Option<&str>) -> bool {
    crm.is_none_or(|crm| place.crms.iter().any(|of| of == crm))
}

/// The same for «there is none» and «not for you», so that nobody can try which ids exist.
fn unknown_recording() -> Answer {
    Answer::error(404, "not_found", "there is no such recording, or it belongs to another CRM")
}

fn unreadable(why: &str) -> Answer {
    log::warn!("http: the database cannot be read: {why}");
    Answer::error(503, "store", "the database cannot be read now")
}

fn unsigned(why: &Unsigned) -> Answer {
    Answer::error(why.status, why.code, &why.message)
}

fn with_origin(answer: Answer, origin: Option<String>) -> Answer {
    match origin {
        Some(origin) => answer.with("Access-Control-Allow-Origin", origin).with("Vary", "Origin"),
        None => answer,
    }
}

fn place_done(own: Sender<ToDesk>, crm: String, request: String) -> Done {
    // Full: whoever waits is told after 20 s that it took too long; asking again shows how the call goes.
    Box::new(move |result| drop(own.try_send(ToDesk::Placed { crm, request, result })))
}
