//! What the active one of two connectors tells of its open conversations and of its outbox, so that the other one can take over:
//! only *that* something changed. Whoever writes it down elsewhere looks up how it stands now, so that neither order nor a
//! lost word matters.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::call::{Conversation, Record};

/// Words that may wait; beyond them everything is looked at anew.
const WAITING_MAX: usize = 4_096;

/// Something changed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum RelayChange {
    /// This conversation was stored as open, or is so no longer.
    Conversation(String),
    /// This record waits for somebody, or no longer.
    Item(String),
    /// Anything: all is to be looked at.
    Everything,
}

/// What the connector that was active left behind.
#[derive(Debug, Default)]
pub struct Left {
    /// Destination and record.
    pub undelivered: Vec<(String, Record)>,
    /// What was going on.
    pub open: Vec<Conversation>,
}

/// The end the keeper tells. It never waits.
#[derive(Clone, Debug)]
pub struct Relay {
    changes: Sender<RelayChange>,
    behind: Arc<AtomicBool>,
}

/// The other end.
#[derive(Debug)]
pub struct Relayed {
    pub changes: Receiver<RelayChange>,
    behind: Arc<AtomicBool>,
}

/// Both ends.
pub fn relay() -> (Relay, Relayed) {
    let (sender, changes) = bounded(WAITING_MAX);
    let behind = Arc::new(AtomicBool::new(false));
    (Relay { changes: sender, behind: Arc::clone(&behind) }, Relayed { changes, behind })
}

impl Relay {
    pub fn tell(&self, changes: impl IntoIterator<Item = RelayChange>) {
        for change in changes {
            if let Err(TrySendError::Full(_)) = self.changes.try_send(change) {
                self.behind.store(true, Ordering::SeqCst);
            }
        }
    }
}

impl Relayed {
    /// Adds all that waits to `changes`; a full queue becomes [`RelayChange::Everything`].
    pub fn gather(&self, changes: &mut HashSet<RelayChange>) {
        changes.extend(self.changes.try_iter());
        if self.behind.swap(false, Ordering::SeqCst) {
            changes.insert(RelayChange::Everything);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_find_no_room_become_everything() {
        let (relay, relayed) = relay();
        relay.tell((0..WAITING_MAX + 1).map(|n| RelayChange::Item(n.to_string())));
        let mut changes = HashSet::new();
        relayed.gather(&mut changes);
        assert_eq!(changes.len(), WAITING_MAX + 1);
        assert!(changes.contains(&RelayChange::Everything));
        relayed.gather(&mut changes);
        assert_eq!(changes.len(), WAITING_MAX + 1, "said once");
    }
}
