//! Asks a CRM whether it is there, knows our secret and has the right time, without changing anything in it.

use std::sync::Arc;

use super::answer::{Answer, Fault};
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
    /// `Err`: why it could not take a record now, in the operator's words.
    pub result: Result<Taken, String>,
    /// `pbxmanager`: it takes requests without any secret.
    pub takes_anybody: bool,
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
            judged(client.post(Post::json(Users::OP, &body)), |answer| {
                let users = calls_module::decode::<UsersAnswer>(answer)?;
                Ok(Taken { users: Some(users), ..Taken::default() })
            })
        }
        Kind::Webhook => {
            let body = webhook::encode(&[], crate::clock::Now::read().wall_ms, 0);
            judged(client.post(Post::json("records", &body)), |answer| match webhook::judge(answer, 0) {
                Outcome::CrmDown { why, .. } => Err(Fault::crm(why)),
                Outcome::BatchRefused { why } => Ok(Taken { finds_fault: Some(why), ..Taken::default() }),
                Outcome::Answered(_) | Outcome::NotOurs => Ok(Taken::default()),
            })
        }
        Kind::PbxManager => {
            let body = pbxmanager::harmless(crm.secret.expose());
            let mut trial = judged(client.post(Post::form("Hangup", body.as_bytes())), |answer| {
                pbxmanager::judge_harmless(answer).map(|()| Taken::default())
            });
            if trial.result.is_ok() {
                let body = pbxmanager::harmless("");
                let answer = client.post(Post::form("Hangup", body.as_bytes()));
                trial.takes_anybody = answer.is_ok_and(|answer| pbxmanager::judge_harmless(&answer).is_ok());
            }
            trial
        }
    }
}

fn judged(answer: Result<Answer, super::answer::NoAnswer>, judge: impl Fn(&Answer) -> Result<Taken, Fault>) -> Trial {
    match answer {
        Err(none) => Trial { clock_ahead_ms: None, result: Err(none.to_string()), takes_anybody: false },
        Ok(answer) => Trial {
            clock_ahead_ms: answer.date_ms.map(|date_ms| date_ms - answer.received_ms),
            result: judge(&answer).map_err(|fault| fault.to_string()),
            takes_anybody: false,
        },
    }
}
