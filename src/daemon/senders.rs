//! The `crm-sender-N` threads: each CRM's pool, made anew where a reload changed its settings.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};

use crate::crm::sender::RecordingLink;
use crate::crm::{self, Crm, CrmSettings, RequestLog};
use crate::lease::Pass;
use crate::outbox::Delivered;
use crate::store::{Destination, DestinationKind};
use crate::threads::Thread;

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
) -> io::Result<(Vec<Destination>, Vec<Thread>)> {
    let (mut destinations, mut threads) = (Vec::new(), Vec::new());
    for section in sections {
        // The configuration was accepted, so this one opens; a file that vanished since is said like any other fault.
        let crm = match Crm::open(section) {
            Ok((crm, _)) => Arc::new(crm),
            Err(problems) => {
                let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("[[crm]] {}: {}", section.name, why.join("; ")),
                ));
            }
        };
        let (queue, work) = bounded(crm.senders);
        for number in 1..=crm.senders {
            let (crm, work, outcomes, log) = (Arc::clone(&crm), work.clone(), outcomes.clone(), log.clone());
            let (link, pass) = (Arc::clone(recording_link), pass.clone());
            let name = format!("crm-{}-{number}", section.name);
            threads.push(Thread::start(&name, move || {
                crm::sender::run(crm, work, outcomes, log, link, pass);
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
