//! Click-to-call at the desk: who asks, the guard, the order, the answer, the audit log.

use super::{Desk, ToDesk, place_done, unreadable, unsigned};
use crate::call::effect::RequestState;
use crate::call::record::{Record, Status};
use crate::clock::Now;
use crate::http::answer::Answer;
use crate::http::click_to_call::{self, Asker, Click, Reply, progress};
use crate::http::gate::Token;
use crate::http::guard::{Asked, Passed, Refusal, Scene, is_word};
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
        self.clicked_on(Asker::Request(token), &crm, &request.body, &peer, now);
    }

    /// The same, from a CRM that could not reach us and waited for us to ask.
    pub(super) fn fetched_click(&mut self, reply: Reply, crm: &str, body: &[u8], now: Now) {
        match self.crm_named(crm) {
            Some(crm) => self.clicked_on(Asker::Fetched(reply), &crm, body, "", now),
            None => reply.say(Err(taken_out())),
        }
    }

    fn clicked_on(&mut self, asker: Asker, crm: &Crm, body: &[u8], peer: &str, now: Now) {
        let asked = match click_to_call::read_json(body) {
            Ok(asked) => asked,
            Err(refusal) => {
                self.note_refused(&crm.name, None, &refusal, peer, now);
                return self.answer_click(asker, Err(&refusal));
            }
        };
        let Some(id) = asked.request.clone() else {
            return self.place_and_answer(asker, crm, &asked, peer, now);
        };
        if let Some(click) = self.book.find(&crm.name, &id) {
            if click.answered {
                let answer = click.answer().to_string();
                return self.answer_click(asker, Ok(&answer));
            }
            click.waiting.push(asker);
            return;
        }
        if let Some((_, _, askers)) = self.checking.iter_mut().find(|(of, known, _)| *of == crm.name && *known == id) {
            askers.push(asker);
            return;
        }
        // It may have been answered before this run. The database knows, but is not waited for here.
        self.checking.push((crm.name.clone(), id.clone(), vec![asker]));
        let (office, own, name, peer) =
            (std::sync::Arc::clone(&self.office), self.own.clone(), crm.name.clone(), peer.to_owned());
        let sent = self.run_errand(move || {
            let kept = office.kept_answer(&name, &id).unwrap_or_else(|why| {
                log::warn!(
                    "click-to-call {id}: whether it was asked before cannot be read, so it counts as new: {why}"
                );
                None
            });
            // An errand may wait for the desk, as the desk never waits for an errand.
            drop(own.send(ToDesk::Kept { crm: name, asked: Box::new(asked), peer, kept }));
        });
        if !sent {
            let refusal = Refusal::new(503, "busy", "too much is being read; try again");
            for asker in self.checking.pop().into_iter().flat_map(|(_, _, askers)| askers) {
                self.answer_click(asker, Err(&refusal));
            }
        }
    }

    /// The database has said whether this request was here before.
    pub(super) fn kept(&mut self, crm: &str, asked: &Asked, peer: &str, kept: Option<&str>) {
        let id = asked.request.as_deref().unwrap_or_default();
        let Some(at) = self.checking.iter().position(|(of, known, _)| of == crm && known == id) else { return };
        let (_, _, askers) = self.checking.swap_remove(at);
        if let Some(kept) = kept {
            return askers.into_iter().for_each(|asker| self.answer_click(asker, Ok(kept)));
        }
        let Some(crm) = self.crm_named(crm) else {
            return askers.into_iter().for_each(|asker| self.answer_click(asker, Err(&taken_out())));
        };
        // Whoever asked the same meanwhile gets the same: the click is in the book once the first was let through.
        for asker in askers {
            match self.book.find(&crm.name, id) {
                Some(click) if click.answered => {
                    let answer = click.answer().to_string();
                    self.answer_click(asker, Ok(&answer));
                }
                Some(click) => click.waiting.push(asker),
                None => self.place_and_answer(asker, &crm, asked, peer, Now::read()),
            }
        }
    }

    fn crm_named(&self, name: &str) -> Option<Crm> {
        self.keys.crms().iter().find(|known| known.name == name).cloned()
    }

    fn answer_click(&self, asker: Asker, answer: Result<&str, &Refusal>) {
        match (asker, answer) {
            (Asker::Request(token), Ok(body)) => {
                self.gate.answer(token, Answer::new(202, "application/json", body.as_bytes().to_vec()));
            }
            (Asker::Request(token), Err(refusal)) if refusal.status == 429 => {
                self.gate.answer(token, refused(refusal).with("Retry-After", "60"));
            }
            (Asker::Request(token), Err(refusal)) => self.gate.answer(token, refused(refusal)),
            (Asker::Fetched(reply), answer) => reply.say(answer.map(|_| ()).map_err(Clone::clone)),
            (Asker::Nobody, _) => {}
        }
    }

    fn place_and_answer(&mut self, asker: Asker, crm: &Crm, asked: &Asked, peer: &str, now: Now) {
        if let Err((asker, refusal)) = self.place(asker, crm, asked, peer, now) {
            self.note_refused(&crm.name, Some(asked), &refusal, peer, now);
            self.answer_click(asker, Err(&refusal));
        }
    }

    /// Passes the guard and hands the order on. The answer waits for the commit; a refusal gives the asker back.
    fn place(&mut self, asker: Asker, crm: &Crm, asked: &Asked, peer: &str, now: Now) -> Result<(), (Asker, Refusal)> {
        let (pbx, passed, id, request) = match self.admit(crm, asked, now) {
            Ok(admitted) => admitted,
            Err(refusal) => return Err((asker, refusal)),
        };
        let call_id = format!("pin-{}-{}", now.wall_ms / 1000, &id[..16]);
        let order = click_to_call::order(asked, &passed, &self.guard, &pbx, &crm.name, &request, &call_id);
        let click = Click::new(&crm.name, &request, &pbx.name, asked, &call_id, asker, now);
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

    /// The exchange, what the guard let through, an unguessable id, and the request's own.
    fn admit(&mut self, crm: &Crm, asked: &Asked, now: Now) -> Result<(Pbx, Passed, String, String), Refusal> {
        let pbx = self.pbx_of(crm, asked)?;
        if self.hub.pbx(&pbx.name).is_some_and(|link| !link.up) {
            return Err(no_link(&pbx.name));
        }
        if self.book.rings(&pbx.name, &asked.from, now.mono_ms) {
            let text = format!("the phone of {} rings for a click already", asked.from);
            return Err(Refusal::new(409, "already_ringing", text));
        }
        let under_way = self.book.under_way(now.mono_ms);
        let scene = Scene { crm, pbx: &pbx, numbers: self.numbers.at(pbx.id.0), zone: &self.zone, under_way, now };
        let passed = self.guard.check(asked, &scene)?;
        let no_randomness = |_| Refusal::new(503, "busy", "the system has no randomness");
        let id = unguessable().map_err(no_randomness)?;
        let request = match &asked.request {
            Some(request) => request.clone(),
            None => unguessable().map_err(no_randomness)?,
        };
        Ok((pbx, passed, id, request))
    }

    /// The commit of a click is over: everybody who waits is answered.
    pub(super) fn placed(&mut self, crm: &str, request: &str, result: Result<(), NotPlaced>) {
        let Some(click) = self.book.find(crm, request) else { return };
        let waiting = std::mem::take(&mut click.waiting);
        match result {
            Ok(()) => {
                click.answered = true;
                self.clicked.placed += 1;
                let body = click.answer().to_string();
                waiting.into_iter().for_each(|asker| self.answer_click(asker, Ok(&body)));
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
                waiting.into_iter().for_each(|asker| self.answer_click(asker, Err(&refusal)));
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
                Method::Delete if !is_over && !self.office.cancel_call(&crm, &id) => {
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
        let answer = match self.place(Asker::Nobody, &crm, &asked, &peer, now) {
            Ok(()) => word("Success"),
            Err((_, refusal)) => {
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

fn taken_out() -> Refusal {
    Refusal::new(401, "unknown_key", "this CRM was just taken out")
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
