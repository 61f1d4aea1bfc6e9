//! The vocabulary: what Asterisk says and is told, as types.
//!
//! Pure: bytes become these types in `ami/`, and what they mean for a call is decided in `call/`.

pub mod action;
pub mod channel;
pub mod event;
pub mod state;

pub use action::{Action, ActionId, Originate};
pub use channel::{BridgeId, ChannelName, Uniqueid};
pub use event::{Event, Leg};
pub use state::{ChannelState, DialStatus, HangupCause};

/// Which `[[asterisk]]` section, by its place in the configuration. Local to one run: stored things carry the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PbxId(pub u16);

/// A short text owned by an event: never changed after parsing, so a boxed slice is enough.
pub type Text = Box<str>;
