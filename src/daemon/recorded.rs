//! The watcher of recordings and what it needs of the rest of the house: the history to read, the keeper to amend it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use super::queues::{self, Released};
use crate::clock::Now;
use crate::config::Config;
use crate::recordings::{self, Plan, Shelf, Told};
use crate::store::{self, Item, Reader, Save};
use crate::threads::Thread;

/// How long the watcher waits for the keeper to take an amendment; nobody waits for the watcher.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long its end is waited for; a dead network mount does not end at all.
const GRACE: Duration = Duration::from_secs(3);

/// The running watcher. It ends when every clone of `told` is dropped.
pub struct Recordings {
    pub told: Sender<Told>,
    pub thread: Thread,
    /// The watcher holds the way to the keeper only while it uses it: hanging on a dead mount, it must not keep the keeper
    /// from ending.
    keeper: Arc<Sender<store::Input<Released>>>,
}

impl Recordings {
    /// Starts the watcher; `None` where no exchange has a folder of recordings.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(config: &Config, keeper: &Sender<store::Input<Released>>) -> io::Result<Option<Self>> {
        let shelves: Vec<Shelf> = config
            .asterisk
            .iter()
            .filter_map(|section| {
                let folder = section.recordings.clone()?;
                Some(Shelf { pbx: section.name.clone(), folder, zone: config.zone_of(section) })
            })
            .collect();
        if shelves.is_empty() {
            return Ok(None);
        }
        let keeper = Arc::new(keeper.clone());
        let (way, database) = (Arc::downgrade(&keeper), config.store.path.clone());
        let plan = Plan {
            shelves,
            settings: config.recordings.clone(),
            amend: Box::new(move |record_id, amendment| {
                let Some(keeper) = way.upgrade() else { return false };
                let items = vec![Item::Amend { record_id, amendment }];
                keeper.send_timeout(store::Input::Save(Save { items, release: Vec::new() }), PATIENCE).is_ok()
            }),
            older: Box::new(move |below, limit| {
                let page = Reader::open(&database).and_then(|reader| reader.recorded(below, limit));
                page.map_err(|error| error.to_string())
            }),
            clock: Now::read,
        };
        let (told, from_told) = bounded(queues::RECORDED.capacity);
        let thread = recordings::start(plan, from_told)?;
        Ok(Some(Self { told, thread, keeper }))
    }

    /// Ends the watcher, once nobody else can tell it anything; its name if it hangs on a folder.
    pub fn stop(self) -> Option<String> {
        drop(self.told);
        let name = self.thread.name().to_owned();
        let ended = self.thread.join_until(Instant::now() + GRACE);
        drop(self.keeper);
        (!ended).then_some(name)
    }

    /// Takes over `[recordings]`.
    pub fn reload(&self, config: &Config) {
        // Full of news about calls, or hanging on a mount: the next reload will do.
        if self.told.try_send(Told::Reloaded(config.recordings.clone())).is_err() {
            log::warn!("reload: [recordings] is not in force yet, the watcher is busy; reload once more");
        }
    }
}
