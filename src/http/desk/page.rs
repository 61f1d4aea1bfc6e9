//! The status page and monitoring at the desk: files of the page, login, figures.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::{Desk, ToDesk, unreadable};
use crate::call::Record;
use crate::clock::Now;
use crate::http::answer::Answer;
use crate::http::gate::Token;
use crate::http::hub::{Filter, shown};
use crate::http::metrics;
use crate::http::office::{Figure, FigureKind, PairRole, Sample, Wanted};
use crate::http::request::{Plus, Request, form_value};
use crate::http::settings::Role;
use crate::http::sign_in::{address_of, is_secure, no_cookie};

/// Nothing but our own files, no inline script or style, no frame around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Passwords verified at once; each takes a thread and 7 MiB.
const VERIFYING_MAX: usize = 1;
const RECENT: usize = 60;

const INDEX: &str = include_str!("../page/index.html");
const LOGIN: &str = include_str!("../page/login.html");
const SCRIPT: &str = include_str!("../page/page.js");
const LOGIN_SCRIPT: &str = include_str!("../page/login.js");
const WORDS: &str = include_str!("../page/words.js");
const STYLE: &str = include_str!("../page/page.css");
const ICON: &str = include_str!("../page/icon.svg");

/// The page's own files hold nothing of the office, so anybody may have them.
pub(super) fn asset(request: &Request, path: &str) -> Option<Answer> {
    use crate::http::request::Method;
    if !matches!(request.method(), Method::Get | Method::Head) {
        return None;
    }
    let (content_type, text) = match path {
        "/page/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/page/login.js" => ("text/javascript; charset=utf-8", LOGIN_SCRIPT),
        "/page/words.js" => ("text/javascript; charset=utf-8", WORDS),
        "/page/page.css" => ("text/css; charset=utf-8", STYLE),
        "/page/icon.svg" | "/favicon.ico" => ("image/svg+xml", ICON),
        _ => return None,
    };
    Some(Answer::new(200, content_type, text.as_bytes()).with("Cache-Control", "no-cache"))
}

fn html(status: u16, text: &'static str) -> Answer {
    Answer::new(status, "text/html; charset=utf-8", text.as_bytes())
        .with("Content-Security-Policy", POLICY)
        .with("Referrer-Policy", "same-origin")
        .with("X-Frame-Options", "DENY")
}

/// The form, which knows nothing of the office.
pub(super) fn login_form(status: u16) -> Answer {
    html(status, LOGIN)
}

impl Desk {
    pub(super) fn ask_page(&mut self, token: Token, request: &Request, path: &str, now: Now) {
        if path == "/health" {
            return self.gate.answer(token, self.health(now));
        }
        let Some(visitor) = self.sign_in.visitor(request, now) else {
            let answer = match path {
                "/" => login_form(401),
                _ => Answer::error(401, "login", "this needs a login or a token"),
            };
            return self.gate.answer(token, answer);
        };
        let filter = Filter { hears_recordings: visitor.role == Role::Admin, sees_service: true, ..Filter::default() };
        match path {
            "/metrics" => self.metrics(token, now),
            "/api/v1/status" => {
                let me = json!({ "name": visitor.name, "role": visitor.role });
                let heard: Vec<_> = self.hub.pbxs().cloned().collect();
                self.run_for(token, move |office| match office.status() {
                    Err(why) => unreadable(&why),
                    Ok(mut status) => {
                        for pbx in status.pbxs.iter_mut().filter(|pbx| pbx.since.is_none()) {
                            let same = heard.iter().find(|heard| heard.name == pbx.name && heard.up == pbx.up);
                            pbx.since = same.and_then(|heard| heard.since);
                        }
                        let mut value = serde_json::to_value(&status).unwrap_or_default();
                        value["me"] = me;
                        value["now"] = crate::clock::rfc3339(now.wall_ms).into();
                        Answer::json(200, &value)
                    }
                });
            }
            "/api/v1/recent" => self.run_for(token, move |office| {
                let recent = Wanted { lead: true, limit: RECENT, ..Wanted::default() };
                let missed = Wanted { to_call_back: true, limit: RECENT, ..Wanted::default() };
                match (office.calls(&recent), office.calls(&missed)) {
                    (Ok(recent), Ok(missed)) => {
                        let of = |records: &[Record]| records.iter().map(|r| shown(r, &filter)).collect::<Vec<_>>();
                        Answer::json(200, &json!({ "recent": of(&recent), "to_call_back": of(&missed) }))
                    }
                    (Err(why), _) | (_, Err(why)) => unreadable(&why),
                }
            }),
            "/api/v1/conversation" => {
                let Some(id) = request.parameter("id").filter(|id| !id.is_empty()) else {
                    let answer = Answer::error(400, "bad_request", "id is missing");
                    return self.gate.answer(token, answer);
                };
                self.run_for(token, move |office| {
                    match office.calls(&Wanted { conversation: Some(id), limit: 200, ..Wanted::default() }) {
                        Err(why) => unreadable(&why),
                        Ok(records) => {
                            let records: Vec<_> = records.iter().map(|r| shown(r, &filter)).collect();
                            Answer::json(200, &json!({ "calls": records }))
                        }
                    }
                });
            }
            _ => self.gate.answer(token, html(200, INDEX)),
        }
    }

    /// What changes something: login, logout, settling a missed call.
    pub(super) fn ask_page_to_do(&mut self, token: Token, request: Request, path: &str, now: Now) {
        match path {
            "/login" => self.login(token, &request, now),
            // A page of somebody else can send a form here, but not this header.
            _ if request.header("x-pin-page").is_none() => {
                self.gate.answer(token, Answer::error(403, "origin", "this may be asked by the page only"));
            }
            "/logout" => {
                self.sign_in.close(&request);
                self.gate.answer(token, Answer::empty(204).with("Set-Cookie", no_cookie()));
            }
            _ => self.close_follow_up(token, &request, now),
        }
    }

    fn close_follow_up(&mut self, token: Token, request: &Request, now: Now) {
        let visitor = match self.sign_in.visitor(request, now) {
            Some(visitor) if visitor.role == Role::Admin => visitor,
            Some(_) => return self.gate.answer(token, Answer::error(403, "role", "viewers change nothing")),
            None => return self.gate.answer(token, Answer::error(401, "login", "this needs a login")),
        };
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(call) = body["call"].as_str().map(str::to_owned) else {
            return self.gate.answer(token, Answer::error(400, "bad_request", "call is missing"));
        };
        self.run_for(token, move |office| match office.close_follow_up(&call, &visitor.name) {
            Err(why) => unreadable(&why),
            Ok(changed) => {
                if changed {
                    log::info!("{call}: {} has closed the follow-up", visitor.name);
                }
                Answer::json(200, &json!({ "changed": changed }))
            }
        });
    }

    fn login(&mut self, token: Token, request: &Request, now: Now) {
        let field = |name| form_value(&request.body, name, Plus::IsSpace).unwrap_or_default();
        let (name, password) = (field("name"), field("password"));
        let address = address_of(request);
        let fits = !name.is_empty() && name.len() <= 64 && password.len() <= crate::http::passwords::PASSWORD_BYTES_MAX;
        if !fits || !self.sign_in.has_users() {
            return self.gate.answer(token, to_page("?failed"));
        }
        if !self.sign_in.may_try(&name, address, now) {
            log::warn!("http: too many failed logins of {name:?} or from {address}; waiting 15 minutes");
            return self.gate.answer(token, to_page("?later"));
        }
        if self.verifying >= VERIFYING_MAX {
            return self.gate.answer(token, to_page("?busy"));
        }
        // Counted before it is known: who asks in parallel gets no more tries.
        self.sign_in.failed(&name, address, now);
        let (hash, role) = self.sign_in.hash_of(&name);
        let (own, is_tls) = (self.own.clone(), is_secure(request));
        self.verifying += 1;
        let sent = self.run_errand(move || {
            let role = role.filter(|_| crate::http::passwords::verify(&password, &hash));
            // The desk reads on whatever happens; waiting for it here is short.
            let _ = own.send(ToDesk::Verified { token, name, address, is_tls, role });
        });
        if !sent {
            self.verifying -= 1;
            self.gate.answer(token, to_page("?busy"));
        }
    }

    pub(super) fn verified(
        &mut self,
        token: Token,
        name: &str,
        address: std::net::IpAddr,
        is_tls: bool,
        role: Option<Role>,
    ) {
        self.verifying -= 1;
        let now = Now::read();
        let answer = match role.map(|role| self.sign_in.open(name, role, is_tls, now)) {
            Some(Ok(cookie)) => {
                log::info!("http: {name} has logged in from {address}");
                self.sign_in.forgive(name, address);
                to_page("").with("Set-Cookie", cookie)
            }
            Some(Err(_)) => to_page("?busy"),
            None => {
                log::warn!("http: a login as {name:?} from {address} failed");
                to_page("?failed")
            }
        };
        self.gate.answer(token, answer);
    }

    /// 200, or 503 while a link is down longer than it may be. Says no more than that: it is open to anybody.
    fn health(&self, now: Now) -> Answer {
        let patience_ms = i64::from(self.http.health_after_s) * 1000;
        // Before the first word of a link, it counts as down since our start.
        let unheard = || {
            let since_start = now.mono_ms.saturating_sub(self.started_ms);
            self.pbxs.iter().any(|pbx| self.hub.pbx(&pbx.name).is_none())
                && since_start > u64::from(self.http.health_after_s) * 1000
        };
        let down = self.hub.pbxs().any(|pbx| !pbx.up && pbx.since.is_none_or(|at| now.wall_ms - at.0 >= patience_ms));
        if down || unheard() {
            Answer::json(503, &json!({ "status": "down", "reason": "no link to an exchange" }))
        } else {
            let stands_by = self.pair.as_ref().is_some_and(|pair| pair.role == PairRole::Standby);
            Answer::json(200, &json!({ "status": if stands_by { "standby" } else { "ok" } }))
        }
    }

    fn metrics(&self, token: Token, now: Now) {
        use FigureKind::{Counter, Gauge};
        let figures = &self.figures;
        let of = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed);
        let calls = self.hub.finished.iter().map(|((pbx, direction, status), count)| Sample {
            suffix: "",
            labels: vec![("pbx", pbx.clone()), ("direction", (*direction).into()), ("status", (*status).into())],
            value: metrics::float(*count),
        });
        let refused = self.clicked.refused.iter().map(|(why, count)| Sample {
            suffix: "",
            labels: vec![("outcome", (*why).to_owned())],
            value: metrics::float(*count),
        });
        let placed = Sample {
            suffix: "",
            labels: vec![("outcome", "placed".to_owned())],
            value: metrics::float(self.clicked.placed),
        };
        let mut own = vec![
            Figure { name: "calls_total", help: "Calls that have ended.", kind: Counter, samples: calls.collect() },
            metrics::single("open_calls", "Calls that have not ended.", Gauge, self.hub.open_calls() as u64),
            Figure {
                name: "click_to_call_total",
                help: "Click-to-call requests by outcome.",
                kind: Counter,
                samples: std::iter::once(placed).chain(refused).collect(),
            },
            metrics::single("http_requests_total", "Requests that were admitted.", Counter, self.requests()),
            metrics::single("http_refused_total", "Requests and connections refused.", Counter, of(&figures.refused)),
            metrics::single("http_accepted_total", "Connections accepted.", Counter, of(&figures.accepted)),
            metrics::single("http_evicted_total", "Connections closed to make room.", Counter, of(&figures.evicted)),
            metrics::single("http_connections", "Connections now.", Gauge, of(&figures.connections)),
            metrics::single("event_listeners", "Listeners of live events.", Gauge, self.hub.listeners() as u64),
            metrics::single(
                "event_listeners_dropped_total",
                "Listeners that did not read.",
                Counter,
                of(&figures.dropped_listeners),
            ),
            self.latency.figure(),
        ];
        let office = Arc::clone(&self.office);
        self.run_for(token, move |_| {
            // A database that cannot be read takes its own figures away, not all the others.
            if let Ok(status) = office.status() {
                own.extend(metrics::of_status(&status, now.wall_ms));
            }
            own.extend(office.figures());
            own.extend(metrics::of_process());
            let text = metrics::text(&own);
            Answer::new(200, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
        });
    }
}

/// Back to the page, which says how it went by what stands behind the question mark.
fn to_page(how: &str) -> Answer {
    // Relative, so that it works below a proxy's path, too.
    Answer::empty(303).with("Location", format!("./{how}"))
}
