//! Click-to-call at the desk: who asks, the guard, the order, the answer, the audit log.

use super::{Desk, ToDesk, place_done, unreadable, unsigned};
use crate::call::effect::RequestState;
use crate::call::record::{Record, Status};
use crate::clock::Now;
use crate::http::answer::Answer;
use crate::http::click_to_call::{self, Click, progress};
use crate::http::gate::Token;
use crate::http::guard::{Asked, Refusal, Scene, is_word};
use crate::http::office::{AuditLine, Crm, KeptAnswer, NotPlaced, Pbx, Wanted};
use crate::http::request::{Method, Request};
use crate::sign;

impl Desk {
    /// `POST /api/v1/calls`
    pub(super) fn click(&mut self, token: Token, request: &Request, now: Now) {
        let crm = match self.keys.signer(request, now) {
            Ok(crm) => crm.clone(),
            Err(why) => return self.gate.answer(token, unsigned(&why)),
        };
        let peer = request.peer.ip().to_canonical().to_string();
        let asked = match click_to_call::read_json(&request.body) {
            Ok(asked) => asked,
            Err(refusal) => {
                self.note_refused(&crm.name, None, &refusal, &peer, now);
                return self.gate.answer(token, refused(&refusal));
            }
        };
        let Some(id) = asked.request.clone() else {
            return self.place_and_answer(token, &crm, &asked, &peer, now);
        };
        if let Some(click) = self.book.find(&crm.name, &id) {
            if click.answered {
                let answer = Answer::json(202, &click.answer());
                return self.gate.answer(token, answer);
            }
            click.waiting.push(token);
            return;
        }
        if let Some((_, _, also)) = self.checking.iter_mut().find(|(of, known, _)| *of == crm.name && *known == id) {
            also.push(token);
            return;
        }
        // It may have been answered before this run. The database knows, but is not waited for here.
        self.checking.push((crm.name.clone(), id.clone(), Vec::new()));
        let (office, own, name, asked_again) =
            (std::sync::Arc::clone(&self.office), self.own.clone(), crm.name.clone(), asked.clone());
        let peer_again = peer.clone();
        let sent = self.run_errand(move || {
            let kept = office.kept_answer(&name, &id).unwrap_or_else(|why| {
                log::warn!(
                    "click-to-call {id}: whether it was asked before cannot be read, so it counts as new: {why}"
                );
                None
            });
            let kept = ToDesk::Kept { token, crm: name, asked: Box::new(asked_again), peer: peer_again, kept };
            // Full: whoever asked is told after 20 s; nothing was dialled.
            drop(own.try_send(kept));
        });
        if !sent {
            self.checking.pop();
            self.gate.answer(token, Answer::error(503, "busy", "too much is being read; try again"));
        }
    }

    /// The database has said whether this request was here before.
    pub(super) fn kept(&mut self, token: Token, crm: &str, asked: &Asked, peer: &str, kept: Option<String>) {
        let id = asked.request.as_deref().unwrap_or_default();
        let at = self.checking.iter().position(|(of, known, _)| of == crm && known == id);
        let also = at.map(|at| self.checking.swap_remove(at).2).unwrap_or_default();
        if let Some(kept) = kept {
            for token in std::iter::once(token).chain(also) {
                self.gate.answer(token, Answer::new(202, "application/json", kept.clone().into_bytes()));
            }
            return;
        }
        let Some(crm) = self.keys.crms().iter().find(|known| known.name == crm).cloned() else {
            return self.gate.answer(token, Answer::error(401, "unknown_key", "this CRM was just taken out"));
        };
        self.place_and_answer(token, &crm, asked, peer, Now::read());
        // Whoever asked the same meanwhile gets the same: the click is in the book now, or refused again.
        for token in also {
            match self.book.find(&crm.name, id) {
                Some(click) if click.answered => {
                    let answer = Answer::json(202, &click.answer());
                    self.gate.answer(token, answer);
                }
                Some(click) => click.waiting.push(token),
                None => self.place_and_answer(token, &crm, asked, peer, Now::read()),
            }
        }
    }

    fn place_and_answer(&mut self, token: Token, crm: &Crm, asked: &Asked, peer: &str, now: Now) {
        if let Err(refusal) = self.place(token, crm, asked, peer, now) {
            self.note_refused(&crm.name, Some(asked), &refusal, peer, now);
            let mut answer = refused(&refusal);
            if refusal.status == 429 {
                answer = answer.with("Retry-After", "60");
            }
            self.gate.answer(token, answer);
        }
    }

    /// Passes the guard and hands the order on. The answer waits for the commit.
    fn place(&mut self, token: Token, crm: &Crm, asked: &Asked, peer: &str, now: Now) -> Result<(), Refusal> {
        let pbx = self.pbx_of(crm, asked)?;
        if self.hub.pbx(&pbx.name).is_some_and(|link| !link.up) {
            return Err(no_link(&pbx.name));
        }
        if self.book.rings(&pbx.name, &asked.from, now.mono_ms) {
            let text = format!("the phone of {} rings for a click already", asked.from);
            return Err(Refusal::new(409, "already_ringing", text));
        }
        let under_way = self.book.under_way(now.mono_ms);
        let scene = Scene { crm, pbx: &pbx, numbers: &self.numbers, zone: &self.zone, under_way, now };
        let passed = self.guard.check(asked, &scene)?;
        let no_randomness = |_| Refusal::new(503, "busy", "the system has no randomness");
        let id = unguessable().map_err(no_randomness)?;
        let request = match &asked.request {
            Some(request) => request.clone(),
            None => unguessable().map_err(no_randomness)?,
        };
        let call_id = format!("pin-{}-{}", now.wall_ms / 1000, &id[..16]);
        let order = click_to_call::order(asked, &passed, &self.guard, &pbx, &crm.name, &request, &call_id);
        let click = Click::new(&crm.name, &request, &pbx.name, asked, &call_id, token, now);
        let kept = KeptAnswer {
            crm: crm.name.clone(),
            request: request.clone(),
            answer: click.answer().to_string(),
            at_ms: now.wall_ms,
        };
        let line = audit_line(&crm.name, Some(asked), Some(&request), "placed".to_owned(), peer, now);
        self.book.add(click);
        let done = place_done(self.own.clone(), crm.name.clone(), request);
        self.office.place_call(order, kept, line, done);
        Ok(())
    }

    /// The commit of a click is over: everybody who waits is answered.
    pub(super) fn placed(&mut self, crm: &str, request: &str, result: Result<(), NotPlaced>) {
        let Some(click) = self.book.find(crm, request) else { return };
        let waiting = std::mem::take(&mut click.waiting);
        match result {
            Ok(()) => {
                click.answered = true;
                self.clicked.placed += 1;
                let body = click.answer();
                for token in waiting {
                    self.gate.answer(token, Answer::json(202, &body));
                }
            }
            Err(why) => {
                let Some(click) = self.book.remove(crm, request) else { return };
                let refusal = match why {
                    NotPlaced::NoLink => no_link(&click.pbx),
                    NotPlaced::Busy => Refusal::new(503, "busy", "the call could not be stored in time; try again"),
                    NotPlaced::Standby => {
                        Refusal::new(503, "standby", "this connector stands by; the other one is active: ask that one")
                    }
                };
                *self.clicked.refused.entry(refusal.code).or_default() += 1;
                for token in waiting {
                    self.gate.answer(token, refused(&refusal));
                }
            }
        }
    }

    /// The PBX a click is for: the one named, else the only one (of this CRM).
    fn pbx_of(&self, crm: &Crm, asked: &Asked) -> Result<Pbx, Refusal> {
        let own = |pbx: &&Pbx| crm.pbxs.is_empty() || crm.pbxs.contains(&pbx.name);
        if let Some(name) = &asked.pbx {
            let pbx = self.pbxs.iter().find(|pbx| pbx.name == *name);
            let pbx =
                pbx.ok_or_else(|| Refusal::new(404, "unknown_pbx", format!("there is no [[asterisk]] {name}")))?;
            if !own(&pbx) {
                return Err(Refusal::new(403, "not_your_pbx", format!("{name} belongs to another CRM")));
            }
            return Ok(pbx.clone());
        }
        let mut all = self.pbxs.iter().filter(own);
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(Refusal::new(404, "unknown_pbx", "there is no [[asterisk]] for this CRM")),
            (Some(_), Some(_)) => {
                Err(Refusal::new(400, "bad_request", "there are several exchanges: pbx must name one of them"))
            }
        }
    }

    /// `GET` and `DELETE /api/v1/calls/REQUEST`
    pub(super) fn click_progress(&mut self, token: Token, request: &Request, now: Now) {
        let crm = match self.keys.signer(request, now) {
            Ok(crm) => crm.name.clone(),
            Err(why) => return self.gate.answer(token, unsigned(&why)),
        };
        let id = request.path().strip_prefix("/api/v1/calls/").unwrap_or_default().to_owned();
        let unknown = || Answer::error(404, "not_found", "no click of the last 24 hours has this id");
        if !is_word(&id, 64) {
            return self.gate.answer(token, unknown());
        }
        if let Some(click) = self.book.find(&crm, &id) {
            let (body, is_over) = (click.progress(), click.is_over());
            let answer = match request.method() {
                Method::Delete if !is_over && !self.office.cancel_call(&id) => {
                    Answer::error(503, "busy", "this cannot be passed on now; try again")
                }
                Method::Delete if !is_over => Answer::json(202, &body),
                _ => Answer::json(200, &body),
            };
            return self.gate.answer(token, answer);
        }
        // Before this run: what it was answered, and what its record says.
        self.run_for(token, move |office| {
            let kept = match office.kept_answer(&crm, &id) {
                Err(why) => return unreadable(&why),
                Ok(kept) => kept,
            };
            let kept = kept.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
            let Some(conversation) = kept.as_ref().and_then(|kept| kept["conversation"].as_str()) else {
                return unknown();
            };
            let wanted = Wanted { conversation: Some(conversation.to_owned()), limit: 100, ..Wanted::default() };
            let records = match office.calls(&wanted) {
                Err(why) => return unreadable(&why),
                Ok(records) => records,
            };
            let record = records.iter().find(|record| record.request.as_deref() == Some(&id));
            let (state, reason) = record.map_or((RequestState::Queued, None), state_of);
            Answer::json(200, &progress(&id, Some(conversation), state, reason.as_deref()))
        });
    }

    /// `/makecall`, as the stock vTiger module asks: whatever comes of it, a status of 200 and one of three words.
    pub(super) fn makecall(&mut self, token: Token, request: &Request, now: Now) {
        let word = |word| Answer::text(200, word);
        let peer = request.peer.ip().to_canonical().to_string();
        let read = click_to_call::read_makecall(request);
        let secret = match &read {
            Ok((secret, _)) => secret.clone(),
            Err(_) => String::new(),
        };
        let (crm, asked) = match (read, self.keys.by_stock_secret(&secret)) {
            (Ok((_, asked)), Some(crm)) => (crm.clone(), asked),
            (Ok((_, asked)), None) => {
                let refusal = Refusal::new(401, "signature", "no [[crm]] of kind pbxmanager has this secret");
                self.note_refused("", Some(&asked), &refusal, &peer, now);
                return self.gate.answer(token, word("Authentication Failure"));
            }
            (Err(refusal), _) => {
                self.note_refused("", None, &refusal, &peer, now);
                return self.gate.answer(token, word("Error"));
            }
        };
        // The module shows its answer to nobody and waits without limit, so it is not made to wait for the commit.
        let answer = match self.place(token, &crm, &asked, &peer, now) {
            Ok(()) => {
                if let Some(click) = self.book.newest_of(token) {
                    click.waiting.clear();
                }
                word("Success")
            }
            Err(refusal) => {
                self.note_refused(&crm.name, Some(&asked), &refusal, &peer, now);
                word("Error")
            }
        };
        self.gate.answer(token, answer);
    }

    fn note_refused(&mut self, crm: &str, asked: Option<&Asked>, refusal: &Refusal, peer: &str, now: Now) {
        *self.clicked.refused.entry(refusal.code).or_default() += 1;
        let outcome = format!("{} {}: {}", refusal.status, refusal.code, refusal.message);
        log::info!("click-to-call of {crm} from {peer} refused: {outcome}");
        let request = asked.and_then(|asked| asked.request.clone());
        self.office.audit(audit_line(crm, asked, request.as_deref(), outcome, peer, now));
    }
}

fn audit_line(
    crm: &str,
    asked: Option<&Asked>,
    request: Option<&str>,
    outcome: String,
    peer: &str,
    now: Now,
) -> AuditLine {
    AuditLine {
        at_ms: now.wall_ms,
        crm: crm.to_owned(),
        user: asked.and_then(|asked| asked.user.clone()),
        request: request.map(str::to_owned),
        from: asked.map(|asked| asked.from.clone()).unwrap_or_default(),
        // What was asked for may be anything at all; the log keeps it readable.
        to: asked.map(|asked| asked.to.chars().filter(|c| !c.is_control()).take(64).collect()).unwrap_or_default(),
        outcome,
        peer: peer.to_owned(),
    }
}

fn refused(refusal: &Refusal) -> Answer {
    Answer::error(refusal.status, refusal.code, &refusal.message)
}

fn no_link(pbx: &str) -> Refusal {
    Refusal::new(503, "no_link", format!("there is no connection to the exchange {pbx} now"))
}

fn unguessable() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(sign::hex(&random))
}

/// How a click of an earlier run went, by its record.
fn state_of(record: &Record) -> (RequestState, Option<String>) {
    let reason = record.reason.and_then(|reason| serde_json::to_value(reason).ok()?.as_str().map(str::to_owned));
    let state = match record.status {
        Status::Ringing => RequestState::CustomerRinging,
        Status::InProgress => RequestState::Talking,
        Status::Completed => RequestState::Done,
        _ => RequestState::Failed,
    };
    (state, reason)
}
