//! The core: what is going on and what follows. Pure: `Calls::handle(now, Input) -> Vec<Effect>`.

pub mod effect;
pub mod input;
pub mod model;
pub mod record;
pub mod rules;

pub use effect::{Change, Effect};
pub use input::{Input, PlaceCall};
pub use model::Conversation;
pub use record::Record;
pub use rules::Rules;

use crate::clock::Now;

/// Every call of every exchange.
#[derive(Debug, Default)]
pub struct Calls {}

impl Calls {
    pub fn new(_rules: Rules) -> Self {
        Self {}
    }

    /// Takes in what happened and says what follows. Cannot fail: what is unknown is counted.
    pub fn handle(&mut self, _now: Now, _input: Input) -> Vec<Effect> {
        Vec::new()
    }

    /// When `Input::Tick` is wanted next, monotonic milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }
}
