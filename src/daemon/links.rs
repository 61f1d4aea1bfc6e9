//! The way back to Asterisk: the queue of each exchange's link.

use crossbeam_channel::{Sender, TrySendError};

use crate::asterisk::{Action, ActionId, PbxId};

/// Where questions to each exchange go, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Links {
    links: Vec<Link>,
}

/// One exchange.
#[derive(Debug)]
pub struct Link {
    pub name: String,
    pub actions: Sender<(ActionId, Action)>,
}

impl Links {
    pub fn new(links: Vec<Link>) -> Self {
        Self { links }
    }

    /// Asks without waiting. Who asks has a deadline for the answer, so that a lost question is an answer, too.
    pub fn ask(&self, pbx: PbxId, action_id: ActionId, action: Action) {
        let Some(link) = self.links.get(usize::from(pbx.0)) else { return };
        match link.actions.try_send((action_id, action)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                log::warn!("{}: Asterisk answers too slowly, a question is dropped", link.name);
            }
            Err(TrySendError::Disconnected(_)) => log::debug!("{}: nobody asks any more, we are stopping", link.name),
        }
    }
}
