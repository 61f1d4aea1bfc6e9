//! The local database: what was going on, what was, and what must still reach whom.
//!
//! One thread, [`keeper`], owns the database and writes it; the command line and the status page read through
//! read-only connections of their own ([`reader`]). All SQL is in [`sqlite`]. What to send next is decided by
//! [`crate::outbox`]; carrying it is the business of `crm/`.
//!
//! The way of a change: `call` makes it, the daemon hands it to the keeper as an [`Item`], the keeper commits it together
//! with its outbox rows, lets go of what had to wait for that commit, and hands batches to idle senders. Their
//! outcomes come back on a queue of their own, so that stopping has an order: inputs end, then batches, then outcomes.

pub mod error;
pub mod follow_up;
pub mod keeper;
mod lock;
#[cfg(feature = "mongodb")]
pub mod mongodb;
pub mod reader;
pub mod relay;
pub mod rows;
pub mod settings;
pub mod sqlite;

pub use error::{StartError, StoreError};
pub use keeper::{Alarm, Destination, DestinationKind, Input, Item, Keeper, Opened, Order, Plan, Save};
pub use lock::{holder, mark_abort};
pub use reader::{Desk, Reader};
pub use settings::{MongodbSettings, PowerLoss, Settings, StoreKind};
pub use sqlite::directory::DirectoryRows;
