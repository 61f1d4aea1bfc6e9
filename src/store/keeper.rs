//! The `store-keeper` thread: owns the database, commits what happened, and hands out what must be delivered.
//!
//! It commits at once when idle and groups only what arrives while a commit is under way; but for states of open calls that nobody
//! is told of, which wait up to 50 ms for company. After each commit it lets go of
//! what had to wait for it and fills the idle senders of each destination. A failing database does not stop it: see
//! [`Alarm`]. Which records go first, and what a failure means for the rest, is decided by [`crate::outbox::policy`].

mod committing;
mod lanes;
mod pending;
mod running;
mod upkeep;

use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::error::{StartError, StoreError};
use super::lock::{Lock, take_abort};
use super::relay::Relay;
pub use super::rows::DestinationKind;
use super::rows::{AuditRow, Forgotten, FoundCall, Inheritance, RequestRow, Rows};
use super::settings::Settings;
use super::sqlite::Database;
use super::sqlite::upkeep::REQUEST_KEPT_MS;
use crate::call::record::{Amendment, FollowUp};
use crate::call::{Change, Conversation};
use crate::clock::Now;
use crate::outbox::{Batch, Delivered};

/// Everything the keeper can be told, but for outcomes, which have a queue of their own.
pub enum Input<R> {
    /// Commit these together, then release.
    Save(Save<R>),
    /// The destinations after a reload. Those that are gone get nothing more; their rows stay.
    Destinations(Vec<Destination>),
    /// Whether it is ours to deliver: with a second connector, only the holder of the lease does. True until told otherwise.
    Deliver(bool),
    /// Another connector follows: whoever holds the other end is told what changes.
    Relay(Relay),
    /// Retention, follow-up and bounds after a reload; the path and `power_loss` need a restart.
    Reloaded { settings: Settings, follow_up_days: u32 },
    /// Somebody wants something done and told about it.
    Order(Order),
}

/// What one step of the core wants stored: one transaction, all or nothing, in order.
pub struct Save<R> {
    pub items: Vec<Item>,
    /// Handed to [`Plan::release`] once the items are committed (or, while the database fails, kept in memory): an
    /// Originate, an HTTP answer.
    pub release: Vec<R>,
}

/// One thing to store.
pub enum Item {
    Change(Box<Change>),
    /// Change a finished record and deliver it again.
    Amend {
        record_id: String,
        amendment: Amendment,
    },
    Request(RequestRow),
    Audit(AuditRow),
    /// A cursor or a small fact that must survive a restart; an empty value removes it.
    Setting {
        key: String,
        value: String,
    },
}

/// An order and where its result goes; the answer queue should have room for one, the keeper never waits for it.
pub enum Order {
    /// Send again what was parked, and try destinations that are down at once. Answers how many rows.
    Retry { rows: Rows, answer: Sender<Result<u64, StoreError>> },
    /// Remove rows from the outbox undelivered. Answers how many.
    Drop { rows: Rows, answer: Sender<Result<u64, StoreError>> },
    /// Remove a client's calls, by normalised number.
    Forget { number: String, answer: Sender<Result<Forgotten, StoreError>> },
    /// Take over the outbox of the connector that was active before us. Answers how many rows wait now.
    Inherit { inheritance: Box<Inheritance>, answer: Sender<Result<u64, StoreError>> },
    /// Store calls that were found in Asterisk's own records and are still not known. Answers how many.
    Found { calls: Vec<FoundCall>, answer: Sender<Result<u64, StoreError>> },
    /// Settle a missed call by hand. Answers whether that changed anything.
    FollowUp { record_id: String, follow_up: FollowUp, answer: Sender<Result<bool, StoreError>> },
}

/// Somebody records are sent to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Name of the `[[crm]]` section.
    pub name: String,
    pub kind: DestinationKind,
    /// How many batches may be under way at once.
    pub senders: usize,
    /// How many records a batch holds at most.
    pub batch_max: usize,
    /// Where its senders take their batches from; must hold `senders` batches. They all end when it is dropped.
    pub queue: Sender<Batch>,
}

/// What whoever watches must hear of; each change of state once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// The database cannot be written. Records are delivered from memory and the commit is tried every second.
    StoreFailing {
        why: String,
        disk_full: bool,
    },
    /// It can again. `lost` counts the records that memory had no room for since it failed.
    StoreWorks {
        failed_for_ms: u64,
        lost: u64,
    },
    /// The bound of memory is reached: so many records were lost to the history so far.
    StoreLosing {
        lost: u64,
    },
    /// A destination takes nothing; nothing is parked, everything waits.
    DestinationDown {
        name: String,
        why: String,
    },
    DestinationUp {
        name: String,
        down_for_ms: u64,
    },
    /// The file was deleted or replaced while in use: a restart is needed.
    StoreReplaced {
        path: PathBuf,
    },
    /// A destination will never take this record as it is.
    Parked {
        name: String,
        item: String,
        reason: String,
    },
}

/// What the keeper needs to begin.
pub struct Plan<R> {
    pub destinations: Vec<Destination>,
    /// `[calls] follow_up_days`
    pub follow_up_days: u32,
    /// Called on the keeper thread with what a [`Save`] released; must not wait.
    pub release: Box<dyn FnMut(R) + Send>,
    /// Alarms that find no room are dropped (they are in the log as well).
    pub alarms: Sender<Alarm>,
    pub clock: fn() -> Now,
    /// Spreads retries of several connectors; any number.
    pub seed: u64,
    /// How many inputs may wait; the call-state thread waits beyond that.
    pub queue_max: usize,
    /// How long stopping waits for outcomes of batches under way.
    pub stop_grace_ms: u64,
}

/// A database that passed every check of the start.
pub struct Opened {
    /// Open conversations as they were stored last, to be given to the core as `Input::Restored`.
    pub restored: Vec<Box<Conversation>>,
    /// Conversations that were set aside, each with the reason: restoring them was followed by an abort three times, or
    /// their state cannot be read.
    pub quarantined: Vec<String>,
    /// Click-to-call requests of the last 24 hours.
    pub requests: Vec<RequestRow>,
    database: Database,
    lock: Lock,
    settings: Settings,
}

/// The running keeper.
pub struct Keeper<R> {
    /// Drop every clone of it to stop: what is queued is committed first.
    pub inputs: Sender<Input<R>>,
    /// What became of batches; the senders keep a clone each.
    pub outcomes: Sender<Delivered>,
    pub thread: JoinHandle<()>,
}

impl Opened {
    /// Opens the database for writing, brings its schema up to date and reads what was open.
    ///
    /// # Errors
    /// If the service must not start: see [`StartError`].
    pub fn open(settings: &Settings, now: Now) -> Result<Self, StartError> {
        let path = &settings.path;
        let lock = Lock::take(path)?;
        let database = Database::open(path, settings.power_loss)?;
        let fault = |error: StoreError| match error {
            StoreError::Failing { disk_full: true, .. } => StartError::DiskFull { path: path.clone() },
            StoreError::Failing { why, .. } => StartError::Io { path: path.clone(), why },
            StoreError::Unstorable { why } => StartError::Corrupt { path: path.clone(), why },
        };
        let restored = database.restore(take_abort(path), now.wall_ms).map_err(fault)?;
        let requests = database.requests_since(now.wall_ms.saturating_sub(REQUEST_KEPT_MS)).map_err(fault)?;
        for conversation in &restored.quarantined {
            log::error!("{conversation}; it was set aside and is not restored");
        }
        Ok(Self {
            restored: restored.open,
            quarantined: restored.quarantined,
            requests,
            database,
            lock,
            settings: settings.clone(),
        })
    }

    /// Starts the keeper thread on it.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn keep<R: Send + 'static>(self, plan: Plan<R>) -> std::io::Result<Keeper<R>> {
        let (inputs, from_inputs) = bounded(plan.queue_max);
        // A sender reports one batch at a time and waits for the keeper if this is full: nothing is lost, and the keeper
        // never waits for a sender.
        let (outcomes, from_outcomes) = bounded(OUTCOMES_MAX);
        let running = running::Running::new(self.database, self.lock, self.settings, plan);
        let thread = std::thread::Builder::new()
            .name("store-keeper".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || running.run(&from_inputs, from_outcomes))?;
        Ok(Keeper { inputs, outcomes, thread })
    }
}

/// Outcomes that wait for the keeper.
const OUTCOMES_MAX: usize = 64;
/// SQLite's deepest calls and our own need less than a tenth of it.
const STACK_BYTES: usize = 1 << 20;
