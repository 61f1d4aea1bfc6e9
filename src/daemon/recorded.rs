//! The watcher of recordings and what it needs of the rest of the house: the history to read, the keeper to amend it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use super::pusher;
use super::queues::{self, Released};
use crate::call::record::{Amendment, RecordingState};
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
    pub fn start(
        config: &Config,
        keeper: &Sender<store::Input<Released>>,
        push: Option<Sender<pusher::Told>>,
    ) -> io::Result<Option<Self>> {
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
                let ready = match &amendment {
                    Amendment::Recording { id, state: RecordingState::Ready, .. } if push.is_some() => Some(id.clone()),
                    _ => None,
                };
                let mut items = vec![Item::Amend { record_id: record_id.clone(), amendment }];
                let key = ready.as_ref().map(|id| pusher::key(&record_id, id));
                items.extend(key.map(|key| Item::Setting { key, value: "1".to_owned() }));
                let save = store::Input::Save(Save { items, release: Vec::new() });
                let is_taken = keeper.send_timeout(save, PATIENCE).is_ok();
                if let (true, Some(push), Some(recording)) = (is_taken, &push, ready) {
                    // Full: it stands in the database.
                    let _ = push.try_send(pusher::Told::Ready { record: record_id, recording });
                }
                is_taken
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
