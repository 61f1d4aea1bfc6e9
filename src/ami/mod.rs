//! The AMI adapter: one Asterisk manager connection per PBX, and recordings of such connections.
//!
//! Bytes become messages in [`codec`], messages become [`crate::asterisk::Event`]s in [`parse`]; [`link`] and [`reader`]
//! are the two threads of a live connection; [`replay`] plays a recorded one through the same codec and parser. [`inquiry`] asks an Asterisk a few questions
//! and leaves. What events mean, and what is asked of Asterisk after a login, is decided in the core.

pub mod capture;
pub mod charset;
pub mod codec;
pub mod figures;
pub mod inquiry;
pub mod link;
pub mod parse;
mod pbx_clock;
pub mod problem;
pub mod reader;
pub mod redact;
pub mod replay;
pub mod settings;
pub mod stage;
pub mod wire;

pub use settings::AsteriskSettings;

use crate::asterisk::{Event, PbxId};
use crate::clock::Now;

/// What one read of a PBX's link brought (what happened at one moment of it), for the call-state thread.
///
/// A queue of these is bounded in bytes by being bounded in reads, as the reader never reads more than a fixed number of bytes
/// at once.
#[derive(Debug)]
pub struct FromPbx {
    pub pbx: PbxId,
    /// When it happened, by the clock of the exchange where its events say that (`timestampevents`), else when it was read.
    pub at: Now,
    /// How far that clock is ahead of ours, in milliseconds; `None` if nothing is known of it.
    pub ahead_ms: Option<i64>,
    /// In the order in which Asterisk said it; never empty.
    pub heard: Vec<Heard>,
}

/// What a PBX is heard to say, or the link to it.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "an event is the usual one")]
pub enum Heard {
    /// Logged in. What Asterisk holds is unknown until it is asked.
    Up {
        /// Version of the manager protocol, from the greeting (`11.0.0`); not Asterisk's own.
        version: Option<String>,
    },
    /// Never before `Up`, never after `Down`.
    Event(Event),
    /// The link broke or could not be made, with the reason in the operator's words. Heard again when the reason changes,
    /// not at every attempt.
    Down { why: String },
}
