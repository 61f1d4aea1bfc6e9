//! Two connectors for one exchange: the `lease` thread, which keeps or waits for the lease, and what follows from having it.
//!
//! Whoever follows hears everything, stores everything, and sends nothing. Whoever becomes active first takes over what the other
//! one had not delivered and what only it was told of the calls that go on, then delivers. What the lease means is decided in
//! [`crate::lease`]; where it lies and how records get from one to the other is the [`Shared`] database's.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::queues::{Notice, Released, TellCalls, Told};
use super::window::Exchange;
use crate::call::{Conversation, Input};
use crate::clock::{Now, boot_ms};
use crate::config::Config;
use crate::lease::{Answer, Lease, Role, Turn};
use crate::outbox::last_word;
use crate::store::relay::{Left, Relay, RelayChange};
use crate::store::rows::{Inheritance, LastWord};
use crate::store::{self, Order, Reader};
use crate::threads::Thread;

/// How often a follower drops what the active one has delivered.
const PRUNE_EVERY_MS: u64 = 600_000;
/// Tries to read what the other one left, while the lease is held.
const READINGS: usize = 3;
/// How often a follower reads the open calls of the active one after a link came up, once with each question for the lease.
const FOLLOWED: usize = 5;
/// Conversations of ours that wait and are compared with what the other one wrote, the youngest; more wait only where nobody
/// could write for hours.
const SETTLED_MAX: usize = 10_000;
/// How long the keeper may take to store an inheritance.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// What both connectors can reach.
pub trait Shared: Send {
    /// Takes or renews the lease, or says who has it. Answers within two seconds, whatever the database does.
    fn ask(&mut self, caught_up: bool) -> Answer;

    /// Gives the lease back, so that the other one need not wait for its end.
    fn release(&mut self);

    /// Whether everything we must deliver, and every open conversation, stands in the shared database.
    fn caught_up(&self) -> bool;

    /// What the connector that was active last had not delivered, and what was going on.
    ///
    /// # Errors
    /// If it cannot be read, in words.
    fn left(&mut self) -> Result<Left, String>;

    /// What goes on by the word of the active connector.
    ///
    /// # Errors
    /// If it cannot be read, in words.
    fn open(&mut self) -> Result<Vec<Conversation>, String>;

    /// What the common history has of these conversations.
    ///
    /// # Errors
    /// If it cannot be read, in words.
    fn written(&mut self, conversations: &[String]) -> Result<Vec<LastWord>, String>;
}

/// Makes a connection to the shared database, on the thread that uses it.
pub type Make = Arc<dyn Fn() -> Box<dyn Shared> + Send + Sync>;

/// What the pair's threads tell the rest of the service, and how.
#[derive(Clone)]
pub struct Ways {
    pub keeper: Sender<store::Input<Released>>,
    pub told: Sender<Told>,
    pub notices: Sender<Notice>,
    pub database: PathBuf,
    pub exchanges: Vec<Exchange>,
    /// Tells whoever leaves our records for the other one.
    pub relay: Relay,
}

/// The running pair, seen from the service.
pub struct Pair {
    wishes: Sender<()>,
    thread: Thread,
}

impl Pair {
    /// Starts the thread. Nothing is delivered until the lease is ours; `shared` makes the connection, on the thread that uses it.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(lease: Lease, make: Make, ways: Ways) -> io::Result<Self> {
        let (wishes, wished) = bounded(1);
        let holder = Holder { lease, make, ways, pruned_ms: boot_ms(), linked_ms: 0, to_follow: 0 };
        let thread = Thread::start("lease", move || holder.run(&wished))?;
        Ok(Self { wishes, thread })
    }

    /// Hands over to the other one, if we are active (SIGUSR1).
    pub fn switch_over(&self) {
        // Full: that is wished for already.
        let _ = self.wishes.try_send(());
    }

    /// Gives the lease back and ends; says whether the thread ended in time.
    pub fn stop(self, until: std::time::Instant) -> bool {
        drop(self.wishes);
        self.thread.join_until(until)
    }
}

struct Holder {
    lease: Lease,
    make: Make,
    ways: Ways,
    pruned_ms: u64,
    /// When the links that are up came up, added together: another figure means another link.
    linked_ms: i64,
    /// How often the active one's open calls are still to be read since then.
    to_follow: usize,
}

impl Holder {
    fn run(mut self, wishes: &Receiver<()>) {
        let mut shared = (self.make)();
        loop {
            let turn = self.lease.tick(boot_ms());
            self.turned(turn);
            if self.lease.is_due(boot_ms()) {
                let asked_ms = boot_ms();
                let answer = shared.ask(shared.caught_up());
                if let Answer::Unknown { why } = &answer {
                    log::warn!("the lease: MongoDB does not answer: {why}");
                }
                let before = self.lease.role().clone();
                let turn = self.lease.answered(asked_ms, boot_ms(), answer);
                if turn.is_none() && before != *self.lease.role() {
                    self.tell(None);
                }
                self.turned(turn);
                self.follow();
            }
            self.prune();
            let wait_ms = self.lease.next_deadline().saturating_sub(boot_ms());
            match wishes.recv_timeout(Duration::from_millis(wait_ms)) {
                Ok(()) => self.hand_over(&mut *shared, "switched over by hand"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.hand_over(&mut *shared, "stopped"),
            }
        }
    }

    fn hand_over(&mut self, shared: &mut dyn Shared, why: &str) {
        match self.lease.give_up(boot_ms(), why) {
            Some(turn) => {
                self.turned(Some(turn));
                shared.release();
            }
            None => log::info!("the lease is not ours to hand over"),
        }
    }

    fn turned(&mut self, turn: Option<Turn>) {
        match &turn {
            Some(Turn::Took { term }) => {
                log::info!("this connector is active now, in term {term}");
                self.take_over(*term);
            }
            Some(Turn::Lost { why }) => {
                log::warn!("this connector follows from now on: {why}");
                let _ = self.ways.keeper.send(store::Input::Deliver(false));
            }
            None => return,
        }
        self.tell(turn);
    }

    fn tell(&self, turn: Option<Turn>) {
        // Full: main is behind; the next change says it again.
        let _ = self.ways.notices.try_send(Notice::Lease { role: self.lease.role().clone(), turn });
    }

    /// On a thread of its own: the lease must be renewed meanwhile.
    fn take_over(&self, term: u64) {
        let (make, ways, pass) = (Arc::clone(&self.make), self.ways.clone(), self.lease.pass());
        let delivered_before_ms = self.delivered_before_ms();
        let started = Thread::start("take-over", move || {
            let mut shared = make();
            let left = (0..READINGS).find_map(|_| match shared.left() {
                Ok(left) => Some(left),
                Err(why) => {
                    log::warn!("what the other connector left cannot be read: {why}");
                    None
                }
            });
            match left {
                Some(left) => inherit(&ways, &mut *shared, left, delivered_before_ms),
                // Sending what has arrived already is harmless, not sending what has not is not.
                None => log::error!("taking over without what the other connector left: everything of ours is sent"),
            }
            if pass.term(boot_ms()) == Some(term) {
                let _ = ways.keeper.send(store::Input::Deliver(true));
                ways.relay.tell([RelayChange::Everything]);
            }
        });
        if let Err(error) = started {
            log::error!("no thread to take over with: {error}; everything of ours is sent");
            let _ = self.ways.keeper.send(store::Input::Deliver(true));
        }
    }

    /// A follower that began to listen in the middle of calls learns how they began from whoever is active, as long as
    /// that one lives. Several times: what happened to a call a moment ago is not in MongoDB yet.
    fn follow(&mut self) {
        let Role::Standby { holder: Some(_) } = self.lease.role() else { return };
        let up_since = |exchange: &Exchange| exchange.figures.up_since_ms.load(Ordering::Relaxed);
        let linked_ms = self.ways.exchanges.iter().map(up_since).fold(0, i64::wrapping_add);
        if std::mem::replace(&mut self.linked_ms, linked_ms) != linked_ms {
            self.to_follow = FOLLOWED;
        }
        if self.to_follow == 0 || linked_ms == 0 {
            return;
        }
        self.to_follow -= 1;
        let (make, ways) = (Arc::clone(&self.make), self.ways.clone());
        // Not here: the lease must be asked for meanwhile.
        let started = Thread::start("take-over", move || match make().open() {
            Ok(open) => {
                for conversation in open {
                    let input = TellCalls::Input(Box::new(Input::Followed(Box::new(conversation))));
                    if ways.told.send(Told { input, items: Vec::new(), release: Vec::new() }).is_err() {
                        return;
                    }
                }
            }
            Err(why) => log::warn!("what the active connector has of the calls that go on cannot be read: {why}"),
        });
        if let Err(error) = started {
            log::warn!("no thread to read the calls of the active connector: {error}");
        }
    }

    /// A follower keeps what it hears until it knows that it was delivered.
    fn prune(&mut self) {
        let now_ms = boot_ms();
        if matches!(self.lease.role(), Role::Active { .. }) || now_ms < self.pruned_ms.saturating_add(PRUNE_EVERY_MS) {
            return;
        }
        self.pruned_ms = now_ms;
        let Some(delivered_before_ms) = self.delivered_before_ms() else { return };
        let (make, ways) = (Arc::clone(&self.make), self.ways.clone());
        let started = Thread::start("take-over", move || {
            let mut shared = make();
            match shared.left() {
                Ok(left) => settle(&ways, &mut *shared, left, Some(delivered_before_ms)),
                Err(why) => log::warn!("what the active connector has delivered cannot be read: {why}"),
            }
        });
        if let Err(error) = started {
            log::warn!("no thread to read what the active connector has delivered: {error}");
        }
    }

    /// By the wall clock, as rows of the outbox have it.
    fn delivered_before_ms(&self) -> Option<i64> {
        let ago_ms = boot_ms().saturating_sub(self.lease.caught_up_ms()?);
        Some(Now::read().wall_ms.saturating_sub(i64::try_from(ago_ms).ok()?))
    }
}

/// Which of the two we are.
pub fn name(config: &Config) -> String {
    if config.pair.name.is_empty() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        config.pair.name.clone()
    }
}

/// Hands on what was left: open conversations to the core, records to the keeper; back when it is committed.
fn inherit(ways: &Ways, shared: &mut dyn Shared, left: Left, delivered_before_ms: Option<i64>) {
    let reader = Reader::open(&ways.database);
    for conversation in &left.open {
        // One that has ended here ended after the other's last word.
        let records = reader.as_ref().ok().and_then(|reader| reader.conversation(&conversation.id).ok());
        let published = || conversation.published.iter().map(|record| &**record);
        if records.is_some_and(|ours| last_word::has_ended_since(published(), &ours)) {
            continue;
        }
        let input = TellCalls::Input(Box::new(Input::Adopted(Box::new(conversation.clone()))));
        if ways.told.send(Told { input, items: Vec::new(), release: Vec::new() }).is_err() {
            return;
        }
    }
    if !left.open.is_empty() {
        // What has happened since the other one's last word.
        for (nth, exchange) in ways.exchanges.iter().enumerate() {
            if exchange.figures.up_since_ms.load(Ordering::Relaxed) > 0 {
                let input = TellCalls::Input(Box::new(Input::LinkUp { pbx: super::pbx_id(nth) }));
                let _ = ways.told.send(Told { input, items: Vec::new(), release: Vec::new() });
            }
        }
    }
    settle(ways, shared, left, delivered_before_ms);
}

/// Has the keeper store what was left, and what is over by the other one's last word; back when it is committed.
fn settle(ways: &Ways, shared: &mut dyn Shared, left: Left, delivered_before_ms: Option<i64>) {
    let (goes_on, rows) = (left.open.len(), left.undelivered.len());
    let open: HashSet<String> = left.open.into_iter().map(|conversation| conversation.id).collect();
    let waiting = Reader::open(&ways.database).and_then(|reader| reader.conversations_that_wait(SETTLED_MAX));
    let over = waiting.map_err(|error| error.to_string()).and_then(|ids| shared.written(&ids)).unwrap_or_else(|why| {
        log::error!("what the other connector wrote into the history cannot be read: {why}; our own word stands");
        Vec::new()
    });
    let over = over
        .into_iter()
        .filter(|word| last_word::is_over(&word.calls))
        .filter(|word| !open.contains(&word.conversation) && !word.joined.iter().any(|id| open.contains(id)))
        .collect::<Vec<_>>();
    let settled = over.len();
    let inheritance = Box::new(Inheritance { undelivered: left.undelivered, delivered_before_ms, open, over });
    let (answer, answers) = bounded(1);
    if ways.keeper.send(store::Input::Order(Order::Inherit { inheritance, answer })).is_err() {
        return;
    }
    match answers.recv_timeout(STORED_WITHIN) {
        Ok(Ok(waiting)) => {
            log::info!(
                "of the other connector: {goes_on} open conversations, {rows} undelivered records, {settled} conversations that were over; \
                 {waiting} records wait now"
            );
        }
        Ok(Err(error)) => log::error!("what the other connector left cannot be stored: {error}"),
        Err(_) => log::error!("what the other connector left is not stored yet; the database is behind"),
    }
}

#[cfg(feature = "mongodb")]
pub use mongodb::{Following, shared};

#[cfg(feature = "mongodb")]
mod mongodb {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::lease::Pass;
    use crate::store::mongodb::pair::{LeaseDocument, Place, relay};
    use crate::store::relay;

    /// The lease and the relay in MongoDB.
    struct InMongodb {
        document: LeaseDocument,
        caught_up: Arc<AtomicBool>,
    }

    impl Shared for InMongodb {
        fn ask(&mut self, caught_up: bool) -> Answer {
            let answer = self.document.ask(caught_up);
            if matches!(answer, Answer::Refused { .. }) {
                // What was there of ours says nothing once it is our turn again.
                self.caught_up.store(false, Ordering::SeqCst);
            }
            answer
        }

        fn release(&mut self) {
            self.document.release();
        }

        fn caught_up(&self) -> bool {
            self.caught_up.load(Ordering::SeqCst)
        }

        fn left(&mut self) -> Result<Left, String> {
            self.document.left()
        }

        fn open(&mut self) -> Result<Vec<Conversation>, String> {
            self.document.open()
        }

        fn written(&mut self, conversations: &[String]) -> Result<Vec<LastWord>, String> {
            self.document.written(conversations)
        }
    }

    /// What the pair has beside its lease.
    pub struct Following {
        pub make: Make,
        pub relay: Relay,
        pub thread: Thread,
    }

    /// Starts the thread that leaves our records for the other connector; it ends when every [`Relay`] is dropped.
    ///
    /// # Errors
    /// If the system gives no thread or no randomness.
    pub fn shared(config: &Config, pass: &Pass) -> io::Result<Following> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
        let name = name(config);
        // A process that was started anew is another holder: it knows nothing of what the old one was about to write.
        let me = format!("{name}#{:016x}", u64::from_le_bytes(nonce));
        log::info!("two connectors share the lease {:?}; this one is {name}", config.pair.lease);
        let place = Place { settings: config.store.mongodb.clone(), lease: config.pair.lease.clone(), me };
        let caught_up = Arc::new(AtomicBool::new(false));
        let (told, relayed) = relay::relay();
        let (at, database, pass, flag) =
            (place.clone(), config.store.path.clone(), pass.clone(), Arc::clone(&caught_up));
        let thread = Thread::start("mongodb-relay", move || relay(&at, &relayed, &database, &pass, &flag))?;
        let make: Make = Arc::new(move || {
            let document = LeaseDocument::new(place.clone());
            Box::new(InMongodb { document, caught_up: Arc::clone(&caught_up) })
        });
        Ok(Following { make, relay: told, thread })
    }
}
