//! What the core keeps: conversations, legs, phones. Serialised as it is when an open conversation is stored.

use serde::{Deserialize, Serialize};

/// Everything that belongs together, from the first channel to the last hang-up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Conversation {
    /// `<pbx>-<uniqueid of its first channel>`
    pub id: String,
    pub pbx: String,
}
