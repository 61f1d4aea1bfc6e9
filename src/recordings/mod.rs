//! Watches the files of recordings: waits until one has stopped growing, finds it again after it was moved or converted,
//! deletes it when its time is over, and makes all that part of the record ([`Amendment::Recording`]).
//!
//! [`waiting`] decides what is looked at when and what a look means (pure); [`watcher`] is the one thread that looks. Where
//! a file may lie is [`crate::recording_file`]'s. Leaves to others: which recordings a call has (`call`), who may hear
//! them (`http`).
//!
//! [`Amendment::Recording`]: crate::call::record::Amendment::Recording

pub mod settings;
pub mod waiting;
pub mod watcher;

pub use settings::RecordingsSettings;
pub use watcher::{Plan, Shelf, Told, start};
