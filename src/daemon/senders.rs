//! The `crm-sender-N` threads: each CRM's pool, made anew where a reload changed its settings.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam_channel::{Sender, bounded};

use crate::crm::sender::RecordingLink;
use crate::crm::{self, Crm, CrmSettings, RequestLog};
use crate::lease::Pass;
use crate::outbox::Delivered;
use crate::store::{Destination, DestinationKind};
use crate::threads::Thread;

/// How many records each CRM has taken since the start, by its name.
pub type SavedCounts = BTreeMap<String, Arc<AtomicU64>>;

/// Starts the senders of every CRM. They end when the returned destinations (and the keeper's copies) are dropped.
///
/// # Errors
/// If the system gives no threads.
pub fn start(
    sections: &[CrmSettings],
    outcomes: &Sender<Delivered>,
    log: &RequestLog,
    recording_link: &RecordingLink,
    pass: &Pass,
    saved: &mut SavedCounts,
) -> io::Result<(Vec<Destination>, Vec<Thread>)> {
    let (mut destinations, mut threads) = (Vec::new(), Vec::new());
    for section in sections {
        let crm = open(section)?;
        let (queue, work) = bounded(crm.senders);
        for number in 1..=crm.senders {
            let (crm, work, outcomes, log) = (Arc::clone(&crm), work.clone(), outcomes.clone(), log.clone());
            let (link, pass, saved) =
                (Arc::clone(recording_link), pass.clone(), Arc::clone(saved.entry(section.name.clone()).or_default()));
            let name = format!("crm-{}-{number}", section.name);
            threads.push(Thread::start(&name, move || {
                crm::sender::run(crm, work, outcomes, log, link, pass, saved);
            })?);
        }
        log::info!("crm {}: {:?} at {}, {} at once", crm.name, crm.kind, crm.address(), crm.senders);
        destinations.push(Destination {
            name: crm.name.clone(),
            kind: DestinationKind::Crm,
            senders: crm.senders,
            batch_max: crm.batch,
            queue,
        });
    }
    Ok((destinations, threads))
}

/// The configuration was accepted, so this one opens; a file that vanished since is said like any other fault.
///
/// # Errors
/// What is wrong with it now.
pub fn open(section: &CrmSettings) -> io::Result<Arc<Crm>> {
    Crm::open(section).map(|(crm, _)| Arc::new(crm)).map_err(|problems| {
        let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
        io::Error::new(io::ErrorKind::InvalidData, format!("[[crm]] {}: {}", section.name, why.join("; ")))
    })
}
