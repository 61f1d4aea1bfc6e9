//! What a `crm-sender-N` thread runs: a batch in, its outcome out, one request at a time.
//!
//! The thread itself, its name and its stack are made by `daemon/`; which batch comes next and what becomes of the outcome
//! is decided by the keeper of the outbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::answer::Fault;
use super::client::{Client, Post};
use super::log::RequestLog;
use super::settings::{Crm, Kind};
use super::{calls_module, pbxmanager, webhook};
use crate::clock::{Now, boot_ms};
use crate::lease::Pass;
use crate::outbox::{Batch, Delivered, Outcome, Verdict};

/// The stack a sender needs, with TLS, and as much again.
pub const STACK_BYTES: usize = 256 << 10;

/// After this long without work the connection and everything of TLS is let go.
const REST_AFTER: Duration = Duration::from_secs(10);

/// Gives the link of a recording to a CRM that fetches it with nothing but its address: recording id → URL.
pub type RecordingLink = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Carries batches from `work` to `crm` and gives each back through `done`, until either end is gone.
///
/// Right before each batch `pass` is looked at: without the lease nothing is sent. A batch comes back exactly once; its
/// deliveries' `told` may have changed. `saved` counts the records that were taken. A request under way when `work` is
/// disconnected is finished first, which takes at most the CRM's `timeout_s`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the thread owns its queue ends: dropping them is how it says it has ended"
)]
pub fn run(
    crm: Arc<Crm>,
    work: Receiver<Batch>,
    done: Sender<Delivered>,
    log: RequestLog,
    recording_link: RecordingLink,
    pass: Pass,
    saved: Arc<AtomicU64>,
) {
    let mut client = Client::new(crm, log);
    loop {
        let mut batch = match work.recv_timeout(REST_AFTER) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout) => {
                client.rest();
                match work.recv() {
                    Ok(batch) => batch,
                    Err(_) => return,
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let outcome = match pass.term(boot_ms()) {
            Some(term) => send(&mut client, &mut batch, &recording_link, term),
            None => Outcome::NotOurs,
        };
        if let Outcome::Answered(verdicts) = &outcome {
            let taken = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Saved | Verdict::Unchanged));
            saved.fetch_add(taken.count() as u64, Ordering::Relaxed);
        }
        if done.send(Delivered { batch, outcome }).is_err() {
            return;
        }
    }
}

/// Sends one batch, in the term of our lease (0: there is no second connector), and judges the answer.
pub fn send(client: &mut Client, batch: &mut Batch, recording_link: &RecordingLink, term: u64) -> Outcome {
    let kind = client.crm().kind;
    if kind == Kind::PbxManager {
        return pbxmanager::send(client, &mut batch.deliveries, recording_link);
    }
    let body = webhook::encode(&batch.deliveries, Now::read().wall_ms, term);
    match client.post(Post::json("records", &body)) {
        Ok(answer) if kind == Kind::Calls => calls_module::judge_records(&answer, &batch.deliveries),
        Ok(answer) => webhook::judge(&answer, batch.deliveries.len()),
        Err(none) => Fault::from(none).into(),
    }
}
