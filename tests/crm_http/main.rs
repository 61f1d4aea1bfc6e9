//! The CRM's side played at the socket: what we send, byte for byte, and what we make of what comes back.

mod calls;
mod courier;
mod failures;
mod pbxmanager;
mod records;
mod scripted;
mod settings;
mod signature;
mod tls;
mod trial;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use pinconnector::crm::{Client, Crm, CrmSettings, RequestLog, sender};
use pinconnector::lease::Pass;
use pinconnector::outbox::{Batch, Delivered, Delivery, Outcome};

/// The secret of every example under `wire/`.
pub const SECRET: &str = "b9c1b0a8f7d64e0c9a3c5d7e1f20314255667788";

/// A `[[crm]]` section as an operator writes it.
pub fn settings(toml: &str) -> CrmSettings {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

/// An opened CRM named `vtiger` with [`SECRET`]; `more` is further lines of the section.
pub fn crm(kind: &str, url: &str, more: &str) -> Arc<Crm> {
    let section = format!("name = \"vtiger\"\nkind = \"{kind}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{more}");
    let (crm, _) = Crm::open(&settings(&section)).unwrap_or_else(|problems| panic!("{problems:?}"));
    Arc::new(crm)
}

pub fn client(crm: &Arc<Crm>) -> Client {
    Client::new(Arc::clone(crm), RequestLog::none())
}

/// A record of a call that changed just now.
pub fn delivery(id: &str, revision: u64) -> Delivery {
    Delivery {
        record_id: id.to_owned(),
        revision,
        body: format!(r#"{{"id":"{id}","revision":{revision}}}"#).into(),
        changed_at_ms: pinconnector::clock::Now::read().wall_ms,
        told: None,
    }
}

pub fn batch(deliveries: Vec<Delivery>) -> Batch {
    Batch { crm: "vtiger".to_owned(), deliveries }
}

pub fn no_links() -> sender::RecordingLink {
    Arc::new(|_| None)
}

/// Sends one batch through a real sender thread, with the stack it will have.
pub fn send(crm: &Arc<Crm>, batch: Batch) -> (Batch, Outcome) {
    let (work, receiver) = bounded(1);
    let (done, outcomes) = bounded(1);
    let crm = Arc::clone(crm);
    let thread = std::thread::Builder::new()
        .name("crm-sender-1".to_owned())
        .stack_size(sender::STACK_BYTES)
        .spawn(move || sender::run(crm, receiver, done, RequestLog::none(), no_links(), Pass::alone(), Arc::default()))
        .expect("a thread");
    work.send(batch).expect("the sender waits for work");
    let Delivered { batch, outcome } = outcomes.recv_timeout(Duration::from_secs(60)).expect("every batch comes back");
    drop(work);
    thread.join().expect("a sender without work ends");
    (batch, outcome)
}

/// What is said of a CRM that is down.
pub fn down(outcome: Outcome) -> String {
    match outcome {
        Outcome::CrmDown { why, .. } => why,
        other => panic!("not down: {other:?}"),
    }
}
