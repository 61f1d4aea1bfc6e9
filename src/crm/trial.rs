//! Asks a CRM whether it is there, knows our secret and has the right time, without changing anything in it.

use std::sync::Arc;

use super::answer::{Answer, Fault, NoAnswer};
use super::calls_module::{self, Operation, Users, UsersAnswer};
use super::client::{Client, Post};
use super::log::RequestLog;
use super::pbxmanager;
use super::settings::{Crm, Kind};
use super::webhook;
use crate::outbox::Outcome;

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trial {
    /// How far its clock is ahead of ours, by the `Date` of its answer, in milliseconds; known to the second.
    pub clock_ahead_ms: Option<i64>,
    /// `Err`: why it could not take a record now.
    pub result: Result<Taken, Trouble>,
    /// `pbxmanager`: it takes requests without any secret.
    pub takes_anybody: bool,
}

/// Why it could not take a record, and what to do about it, in the operator's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    pub why: String,
    pub remedy: &'static str,
}

/// It is there and lets us in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Of the module Calls.
    pub users: Option<UsersAnswer>,
    /// It finds fault with a request that holds no record, which may be so: status and words.
    pub finds_fault: Option<String>,
}

/// Tries it out with one request, of `pbxmanager` two.
pub fn try_out(crm: &Arc<Crm>) -> Trial {
    let mut client = Client::new(Arc::clone(crm), RequestLog::none());
    match crm.kind {
        Kind::Calls => {
            let body = calls_module::encode(&Users {});
            judged(crm.kind, client.post(Post::json(Users::OP, &body)), |answer| {
                let users = calls_module::decode::<UsersAnswer>(answer)?;
                Ok(Taken { users: Some(users), ..Taken::default() })
            })
        }
        Kind::Webhook => {
            let body = webhook::encode(&[], crate::clock::Now::read().wall_ms, 0);
            judged(crm.kind, client.post(Post::json("records", &body)), |answer| match webhook::judge(answer, 0) {
                Outcome::CrmDown { why, .. } => Err(Fault::crm(why)),
                Outcome::BatchRefused { why } => Ok(Taken { finds_fault: Some(why), ..Taken::default() }),
                Outcome::Answered(_) | Outcome::NotOurs => Ok(Taken::default()),
            })
        }
        Kind::PbxManager => {
            let body = pbxmanager::harmless(crm.secret.expose());
            let mut was_refused = false;
            let mut trial = judged(crm.kind, client.post(Post::form("Hangup", body.as_bytes())), |answer| {
                was_refused = pbxmanager::is_refusal(answer);
                pbxmanager::judge_harmless(answer).map(|()| Taken::default())
            });
            // Where no secret was ever entered, it refuses ours, and takes none.
            if trial.result.is_ok() || was_refused {
                let body = pbxmanager::harmless("");
                let answer = client.post(Post::form("Hangup", body.as_bytes()));
                trial.takes_anybody = answer.is_ok_and(|answer| pbxmanager::judge_harmless(&answer).is_ok());
            }
            trial
        }
    }
}

fn judged(kind: Kind, answer: Result<Answer, NoAnswer>, judge: impl FnOnce(&Answer) -> Result<Taken, Fault>) -> Trial {
    match answer {
        Err(none) => {
            let trouble = Trouble { why: none.to_string(), remedy: without_answer(&none) };
            Trial { clock_ahead_ms: None, result: Err(trouble), takes_anybody: false }
        }
        Ok(answer) => {
            let trouble = |fault: Fault| Trouble { why: fault.to_string(), remedy: with_answer(kind, &answer) };
            Trial {
                clock_ahead_ms: answer.date_ms.map(|date_ms| date_ms - answer.received_ms),
                result: judge(&answer).map_err(trouble),
                takes_anybody: false,
            }
        }
    }
}

/// What to do where nothing answered.
fn without_answer(none: &NoAnswer) -> &'static str {
    match none {
        NoAnswer::Name(_) => {
            "correct the host in url, or this machine's resolver (`getent hosts NAME` shows what it knows)"
        }
        NoAnswer::Connection(_) => {
            "see that its web server runs, that url has the right host and port, and that no firewall stands between"
        }
        NoAnswer::Tls(_) => {
            "name the authority that signed its certificate in ca = \"FILE\", or have the certificate corrected"
        }
        NoAnswer::Silence(_) | NoAnswer::Closed => {
            "see why its web server takes the connection and does not answer: PHP workers and database; its logs know more"
        }
        NoAnswer::TooLarge { .. } | NoAnswer::NotHttp(_) | NoAnswer::Stopped => {
            "correct url: what answers there is another program"
        }
    }
}

/// What to do about an answer that is no yes.
fn with_answer(kind: Kind, answer: &Answer) -> &'static str {
    let code = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let code = code.as_ref().and_then(|body| body["error"].as_str()).unwrap_or_default();
    match (kind, answer.status, code) {
        (Kind::Calls, _, "clock") => "set both clocks by NTP (timedatectl set-ntp true)",
        (Kind::Calls, _, "unavailable") => "switch the module Calls on in vTiger's Settings, Module Manager",
        (Kind::Calls, _, "disabled") => {
            "switch this connector on in vTiger's Settings, Integration, Calls (PINconnector)"
        }
        (Kind::Calls, 401, _) => {
            "copy key and secret from vTiger's Settings, Integration, Calls (PINconnector): they are name and secret of this section"
        }
        (Kind::PbxManager, 200, _) if pbxmanager::is_refusal(answer) => {
            "enter one and the same secret key in vTiger's Settings, Integration, PBXManager, and in this section"
        }
        (_, 401, _) => "give this section and the other side one and the same secret, and the name it knows us by",
        (_, 403, _) => "let this machine through on the other side: a firewall or the web server forbids it",
        (_, 300..=399, _) => "set url to where it redirects",
        (Kind::Calls, 404 | 405 | 410, _) => {
            "set url to vTiger's own address, as browsers have it without index.php; install Calls.zip there"
        }
        (_, 400 | 404 | 405 | 410, _) => "correct url",
        (Kind::Webhook, ..) => "see what its own log says of it",
        _ => "wait if vTiger is being maintained; else its web server, PHP and database have logs that know more",
    }
}
