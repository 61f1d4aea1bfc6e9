//! The shell: wires threads and queues around the core and runs until told to stop.
//!
//! Start: limits, database, keeper, CRM senders, open calls back into the core, `call-state`, links, control socket, READY.
//!
//! Stop is a chain of dropped senders. Main drops `told`; so `call-state` lets go of the links, which end, and their readers with
//! them; so nothing more is heard and `call-state` ends; so the keeper commits the rest, waits for batches under way and
//! ends; so the senders of the CRMs have no more work.

pub mod alert;
pub mod call_state;
pub mod control;
pub mod couriers;
pub mod crm_orders;
pub mod dialplan;
pub mod figures;
pub mod heartbeat;
pub mod history;
pub mod links;
pub mod pair;
pub mod process;
pub mod pusher;
pub mod queues;
pub mod reconcile;
mod recorded;
mod reload;
mod senders;
mod watch;
pub mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::ami::figures::LinkFigures;
use crate::ami::{self, FromPbx};
use crate::asterisk::{Action, PbxId};
use crate::call::record::Moment;
use crate::call::{Calls, Input, Progress};
use crate::clock::{Now, boot_ms};
use crate::config::Config;
use crate::crm::calls_module::RequestProgress;
use crate::crm::courier::{Report, Word};
use crate::crm::sender::RecordingLink;
use crate::crm::{Kind, LastRequests, RequestLog};
use crate::http::{Feed, Happened, Http, LinkKey};
use crate::lease::{Lease, Pass, Role};
use crate::store::{self, Keeper, Opened, Plan};
use crate::threads::Thread;

use call_state::CallState;
use couriers::Couriers;
use crm_orders::CrmOrders;
use dialplan::Dialplan;
use figures::Depths;
use heartbeat::LinkStanding;
use links::{Link, Links};
use process::{Signal, Supervisor, exit};
use pusher::Pushing;
use queues::{Notice, Released, Told};
use reconcile::Reconciler;
use recorded::Recordings;
use senders::SavedCounts;
use window::{Exchange, Watched, Window};

/// How long stopping may take; systemd kills after 90 s by default, the unit file says 30.
const GRACE: Duration = Duration::from_secs(20);

/// Why the service did not start, or did not end well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// As in sysexits.
    pub code: u8,
    pub text: String,
}

impl Fault {
    fn system(what: &str, error: &std::io::Error) -> Self {
        Self { code: exit::SYSTEM, text: format!("{what}: {error}") }
    }
}

/// The running service.
pub struct Service {
    pub(super) config: Config,
    told: Sender<Told>,
    keeper_inputs: Sender<store::Input<Released>>,
    keeper: JoinHandle<()>,
    call_state: Thread,
    links: Vec<JoinHandle<()>>,
    /// In the order of the configuration.
    exchanges: Vec<Exchange>,
    /// Absent where nothing listens.
    http: Option<Http>,
    /// Absent where nothing listens.
    dialplan: Option<Dialplan>,
    link_key: LinkKey,
    feed: Arc<OnceLock<Feed>>,
    /// What the window wants to know of the main thread.
    questions: Receiver<Sender<Watched>>,
    senders: Vec<Thread>,
    /// Absent where no exchange has call detail records.
    reconcile: Option<Arc<Sender<reconcile::Wish>>>,
    reconcile_thread: Option<Thread>,
    /// Looked at before anything is sent to a CRM and before each Originate.
    pass: Pass,
    /// Absent where this connector stands alone.
    pair: Option<pair::Pair>,
    /// Absent unless the history is in MongoDB.
    history: Option<history::History>,
    /// Absent where no exchange has a folder of recordings.
    recordings: Option<Recordings>,
    /// Absent where `[recordings] push` does not say so.
    pushing: Option<Pushing>,
    control: control::Control,
    outcomes: Sender<crate::outbox::Delivered>,
    request_log: RequestLog,
    requests: Receiver<crate::crm::RequestLine>,
    alarms: Receiver<store::Alarm>,
    notices: Receiver<Notice>,
    window: Arc<Window>,
    /// Absent where there is no window.
    crm_orders: Option<Thread>,
    couriers: Couriers,
    /// What CRMs are to be told at once.
    news: Receiver<(String, Report)>,
    /// What they say to that.
    words: Receiver<(String, Word)>,
    saved: SavedCounts,
    started_at: Moment,
}

/// What CRMs are to be told at once, on its way to the main thread.
pub type News = Sender<(String, Report)>;

/// Before the name of a CRM and the number of a client whom that CRM has still to forget.
pub const TO_FORGET: &str = "forget ";

/// Runs the service until `signals` says stop. `load` reads the configuration again on a reload.
///
/// # Errors
/// If it could not start; nothing is left running then.
pub fn run(
    config: Config,
    signals: &Receiver<Signal>,
    supervisor: &Supervisor,
    load: &dyn Fn() -> Result<Config, crate::config::BadConfig>,
) -> Result<(), Fault> {
    let service = Service::start(config)?;
    let watch = watch::Watch::new(service, supervisor)?;
    let service = watch.until_stopped(signals, load);
    supervisor.stopping();
    service.stop();
    Ok(())
}

impl Service {
    /// Starts everything.
    ///
    /// # Errors
    /// If the system, the database or the configuration does not allow it.
    pub fn start(config: Config) -> Result<Self, Fault> {
        check_descriptors(&config)?;
        end_on_panic(&config);
        let mut opened = Opened::open(&config.store, Now::read())
            .map_err(|error| Fault { code: error.exit_code(), text: error.to_string() })?;
        let (alarm_sender, alarms) = bounded(queues::ALARMS.capacity);
        let (notice_sender, notices) = bounded(queues::NOTICES.capacity);
        let (request_sender, requests) = bounded(queues::REQUESTS.capacity);
        let request_log = RequestLog::new(request_sender);
        let (news_sender, news) = bounded(queues::NEWS.capacity);
        let started_at = window::now();

        let (links, action_ends): (Vec<Link>, Vec<_>) = config
            .asterisk
            .iter()
            .map(|section| {
                let (actions, asked) = bounded(queues::ASKED.capacity);
                (Link { name: section.name.clone(), actions }, asked)
            })
            .unzip();
        let links = Arc::new(Links::new(links));

        let lease = (!config.pair.lease.is_empty()).then(|| Lease::new(boot_ms()));
        let pass = lease.as_ref().map_or_else(Pass::alone, Lease::pass);
        let feed = Arc::new(OnceLock::new());
        let calls = Calls::new(config.rules());
        let restored = std::mem::take(&mut opened.restored);
        let (wish_sender, wishes) = bounded(queues::WISHES.capacity);
        let with_cdr = reconcile::exchanges(&config);
        let reconcile = (!with_cdr.is_empty()).then(|| Arc::new(wish_sender));
        let plan = Plan {
            destinations: Vec::new(),
            follow_up_days: config.calls.follow_up_days,
            release: release(Ways {
                links: Arc::downgrade(&links),
                notices: notice_sender.clone(),
                news: news_sender.clone(),
                feed: Arc::clone(&feed),
                pass: pass.clone(),
                wishes: reconcile.as_ref().map(Arc::downgrade),
            }),
            alarms: alarm_sender,
            clock: Now::read,
            seed: seed(),
            queue_max: queues::SAVES.capacity,
            stop_grace_ms: 10_000,
        };
        let Keeper { inputs, outcomes, thread: keeper } =
            opened.keep(plan).map_err(|error| Fault::system("no thread for the database", &error))?;
        let link_key = window::link_key(&config.store.path, &inputs)
            .map_err(|error| Fault::system("no random numbers", &error))?;
        let reconcile_thread = match &reconcile {
            None => None,
            Some(_) => {
                let thread = Reconciler {
                    exchanges: with_cdr,
                    rules: config.rules(),
                    at: config.reconcile.time().ok().flatten(),
                    zone: config.zone(),
                    keep_days: config.store.keep_days,
                    database: config.store.path.clone(),
                    keeper: inputs.clone(),
                };
                let thread = Thread::start("reconcile", move || thread.run(&wishes));
                Some(thread.map_err(|error| Fault::system("no thread for call detail records", &error))?)
            }
        };
        let links_of_recordings = recording_link(&config, &link_key);
        let mut saved = SavedCounts::default();
        let (mut destinations, mut senders) =
            senders::start(&config.crm, &outcomes, &request_log, &links_of_recordings, &pass, &mut saved)
                .map_err(|error| Fault::system("no threads for the CRMs", &error))?;
        let history = history::start(&config, &outcomes, &pass)
            .map_err(|error| Fault::system("no threads for the history", &error))?
            .map(|(history, threads)| {
                destinations.push(history.destination.clone());
                senders.extend(threads);
                history
            });
        if lease.is_some() {
            // Until the lease is ours.
            inputs.send(store::Input::Deliver(false)).expect("the keeper runs");
        }
        inputs.send(store::Input::Destinations(destinations)).expect("the keeper runs");

        let (heard_sender, heard) = bounded::<FromPbx>(queues::HEARD.capacity * config.asterisk.len());
        let heard_depth = heard.clone();
        let (told, told_receiver) = bounded(queues::TOLD.capacity);
        let open = restored.len();
        let dialplan = Dialplan::start(&config, told.clone(), &request_log)
            .map_err(|error| Fault { code: exit::UNAVAILABLE, text: error.to_string() })?;
        let pushing = Pushing::start(&config, &inputs, &request_log)
            .map_err(|error| Fault::system("no thread for pushing recordings", &error))?;
        let recordings = Recordings::start(&config, &inputs, pushing.as_ref().map(|pushing| pushing.told.clone()))
            .map_err(|error| Fault::system("no thread for the recordings", &error))?;
        let mut state = CallState {
            recorded: recordings.as_ref().map(|recordings| recordings.told.clone()),
            directory: dialplan.as_ref().map(Dialplan::directory),
            calls,
            heard,
            told: told_receiver,
            keeper: inputs.clone(),
            links: Some(links),
            notices: notice_sender.clone(),
            feed: Arc::clone(&feed),
            names: config.asterisk.iter().map(|section| section.name.clone()).collect(),
            last_ms: 0,
            ahead_ms: vec![0; config.asterisk.len()],
        };
        for conversation in restored {
            state.restore(conversation);
        }
        if open > 0 {
            log::info!("{open} conversations were open when the service ended; Asterisk is asked what became of them");
        }
        let call_state = Thread::start("call-state", move || state.run())
            .map_err(|error| Fault::system("no thread for the calls", &error))?;

        let (mut running, mut exchanges) = (Vec::new(), Vec::new());
        for ((nth, section), asked) in config.asterisk.iter().enumerate().zip(action_ends) {
            let counted = Arc::new(LinkFigures::default());
            let (name, figures, recordings) = (section.name.clone(), Arc::clone(&counted), section.recordings.clone());
            exchanges.push(Exchange { name, figures, recordings, zone: config.zone_of(section) });
            let settings = section.link(pbx_id(nth), &config.calls.keep_variables);
            let link = ami::link::start(settings, asked, heard_sender.clone(), counted, None)
                .map_err(|error| Fault::system("no thread for the link to Asterisk", &error))?;
            running.push(link);
        }
        drop(heard_sender);
        let (question_sender, questions) = bounded(queues::QUESTIONS.capacity);
        let mut depths = Depths::default();
        depths.add_receiver("heard", queues::HEARD.capacity * config.asterisk.len(), &heard_depth);
        depths.add("told", queues::TOLD, &told);
        depths.add("saves", queues::SAVES, &inputs);
        depths.add("outcomes", queues::OUTCOMES, &outcomes);
        if let Some(recordings) = &recordings {
            depths.add("recorded", queues::RECORDED, &recordings.told);
        }
        let window = Window {
            agi: dialplan.as_ref().map(Dialplan::counters),
            depths,
            told: told.clone(),
            keeper: inputs.clone(),
            questions: question_sender,
            database: config.store.path.clone(),
            exchanges: exchanges.clone(),
            past: history.as_ref().map(|history| history.past.clone()),
            refreshes: dialplan.as_ref().map(Dialplan::refreshes).unwrap_or_default(),
            zone: config.zone(),
            started_at,
            pass: pass.clone(),
        };
        let window = Arc::new(window);
        let http = open_window(&config, &link_key, &window)?;
        if let Some(http) = &http {
            for exchange in &exchanges {
                http.feed().tell(Happened::Link(window::pbx_status(exchange, None, None)));
            }
            let _ = feed.set(http.feed());
        }
        let (commands, commanded) = bounded(queues::COMMANDS.capacity);
        let crm_orders = match &http {
            Some(http) => {
                let orders =
                    CrmOrders { window: Arc::clone(&window), clicks: http.clicks(), reports: news_sender.clone() };
                let thread = Thread::start("crm-orders", move || orders.run(commanded));
                Some(thread.map_err(|error| Fault::system("no thread for the CRMs' orders", &error))?)
            }
            None => None,
        };
        let (word_sender, words) = bounded(queues::WORDS.capacity);
        let ways = |relay| pair::Ways {
            keeper: inputs.clone(),
            told: told.clone(),
            notices: notice_sender.clone(),
            database: config.store.path.clone(),
            exchanges: exchanges.clone(),
            relay,
        };
        let pair = match lease {
            Some(lease) => Some(start_pair(&config, lease, &mut senders, ways)?),
            None => None,
        };
        // Who follows fetches no commands and says nothing of itself: there is one connector for its CRMs.
        let listened = if pair.is_some() { &[][..] } else { &config.crm[..] };
        let couriers = Couriers::start(listened, commands, word_sender, request_log.clone())
            .map_err(|error| Fault::system("no threads for the CRMs", &error))?;
        let wishes = reconcile.as_deref().cloned();
        let control = control::Control::listen(&config.store.path, inputs.clone(), news_sender, wishes)
            .map_err(|error| Fault::system("cannot listen for the command line", &error))?;
        Ok(Self {
            config,
            told,
            keeper_inputs: inputs,
            keeper,
            call_state,
            links: running,
            exchanges,
            http,
            dialplan,
            link_key,
            feed,
            questions,
            senders,
            reconcile,
            reconcile_thread,
            pass,
            pair,
            history,
            recordings,
            pushing,
            control,
            outcomes,
            request_log,
            requests,
            alarms,
            notices,
            window,
            crm_orders,
            couriers,
            news,
            words,
            saved,
            started_at,
        })
    }

    /// Something for the core, from a thread that may wait.
    fn tell(&self, input: Input) {
        let input = queues::TellCalls::Input(Box::new(input));
        let told = Told { input, items: Vec::new(), release: Vec::new() };
        self.told.send(told).expect("call-state runs as long as the service");
    }

    /// Kept until the CRM has forgotten him.
    fn remember_to_forget(&self, crm: &str, number: &str) {
        self.save_setting(forget_key(crm, number), "1");
    }

    fn forgotten(&self, crm: &str, number: &str) {
        self.save_setting(forget_key(crm, number), "");
    }

    fn save_setting(&self, key: String, value: &str) {
        let item = store::Item::Setting { key, value: value.to_owned() };
        let save = store::Save { items: vec![item], release: Vec::new() };
        self.keeper_inputs.send(store::Input::Save(save)).expect("the keeper runs");
    }

    /// CRMs and the clients they have still to forget.
    fn to_forget(&self) -> Vec<(String, String)> {
        let kept = store::Reader::open(&self.config.store.path).and_then(|reader| reader.settings_under(TO_FORGET));
        let kept = kept.unwrap_or_else(|error| {
            log::warn!("who is still to be forgotten cannot be read: {error}");
            Vec::new()
        });
        let parts = kept.iter().filter_map(|(key, _)| key.strip_prefix(TO_FORGET)?.split_once(' '));
        parts.map(|(crm, number)| (crm.to_owned(), number.to_owned())).collect()
    }

    /// Ends everything in order; what cannot end in time is left to the end of the process.
    pub fn stop(self) {
        let until = Instant::now() + GRACE;
        drop(self.control);
        let mut left = Vec::new();
        if let Some(pair) = self.pair
            && !pair.stop(until)
        {
            left.push("lease".to_owned());
        }
        drop(self.history);
        // No more orders; who waits at the window is answered, or told that we are closing.
        let tellers = self.couriers.stop_fetching(until, &mut left);
        if let Some(thread) = self.crm_orders
            && !thread.join_until(until)
        {
            left.push("crm-orders".to_owned());
        }
        left.extend(self.http.map(|http| http.stop(until)).unwrap_or_default());
        drop(self.window);
        if let Some(dialplan) = self.dialplan {
            left.extend(dialplan.stop(until));
        }
        drop(self.told);
        let mut join = |thread: Thread| {
            let name = thread.name().to_owned();
            if !thread.join_until(until) {
                left.push(name);
            }
        };
        join(self.call_state);
        let watcher_left = self.recordings.and_then(Recordings::stop);
        let pusher_left = self.pushing.and_then(Pushing::stop);
        for link in self.links.into_iter().filter(JoinHandle::is_finished) {
            // Nothing is heard any more, so every link is past its work.
            let _ = link.join();
        }
        // Nobody wishes for anything any more; what it was about to store is stored.
        drop(self.reconcile);
        self.reconcile_thread.into_iter().for_each(&mut join);
        drop(self.keeper_inputs);
        drop(self.outcomes);
        while !self.keeper.is_finished() && Instant::now() < until {
            // The keeper tells its last alarms into a queue that somebody must empty.
            match self.alarms.recv_timeout(Duration::from_millis(20)) {
                Ok(_) | Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => break,
            }
        }
        for sender in self.senders {
            join(sender);
        }
        tellers.stop(self.news.try_iter(), until, &mut left);
        left.extend(watcher_left.into_iter().chain(pusher_left));
        if left.is_empty() {
            log::info!("stopped; what was not delivered waits in the database");
        } else {
            log::warn!("stopped without waiting longer for {}; nothing is lost by that", left.join(", "));
        }
    }
}

/// Where what a commit released goes. Weak where the other end must be able to end before the keeper.
struct Ways {
    links: Weak<Links>,
    notices: Sender<Notice>,
    news: News,
    feed: Arc<OnceLock<Feed>>,
    pass: Pass,
    wishes: Option<Weak<Sender<reconcile::Wish>>>,
}

/// What the keeper does with what a commit released.
fn release(ways: Ways) -> Box<dyn FnMut(Released) + Send> {
    let Ways { links, notices, news, feed, pass, wishes } = ways;
    Box::new(move |released| match released {
        Released::Ask { pbx: _, action_id, action: Action::Originate(_) } if pass.term(boot_ms()).is_none() => {
            // The core gives the call up when no answer comes.
            log::warn!("{action_id:?}: not dialled, the other connector has taken over");
        }
        Released::Ask { pbx, action_id, action } => match links.upgrade() {
            Some(links) => links.ask(pbx, action_id, action),
            None => log::debug!("a question is not asked any more, we are stopping"),
        },
        Released::Progress(progress) => {
            let Progress { crm, request, conversation, state, reason } = &*progress;
            let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            log::info!("{conversation}: click-to-call {request} is {state:?}{why}");
            if let Some(crm) = crm {
                let told = RequestProgress {
                    request: request.to_string(),
                    state: state.as_str().to_owned(),
                    conversation: Some(conversation.clone()),
                    reason: reason.as_deref().map(str::to_owned),
                };
                // Full: the next state overtakes this one.
                let _ = news.try_send((crm.clone(), Report::Progress(told)));
            }
            if let Some(feed) = feed.get() {
                // Too busy: the next state overtakes this one.
                let _ = feed.tell(Happened::Request(progress));
            }
        }
        Released::Resynced(pbx) => {
            if let Some(wishes) = wishes.as_ref().and_then(Weak::upgrade) {
                // Full: this period is looked through again tonight.
                let _ = wishes.try_send(reconcile::Wish::Fill(pbx));
            }
        }
        Released::Placed { crm, done } => {
            done(Ok(()));
            // Full: one click is not counted.
            let _ = notices.try_send(Notice::Placed { crm });
        }
        Released::Alive(number) => {
            // Full: the main thread has enough signs of life.
            let _ = notices.try_send(Notice::Alive(number));
        }
    })
}

/// Two connectors for one exchange: starts what keeps the lease, and what leaves our records for the other one.
#[cfg(feature = "mongodb")]
fn start_pair(
    config: &Config,
    lease: Lease,
    threads: &mut Vec<Thread>,
    ways: impl FnOnce(store::relay::Relay) -> pair::Ways,
) -> Result<pair::Pair, Fault> {
    let no_thread = |error: std::io::Error| Fault::system("no thread for the lease", &error);
    let following = pair::shared(config, &lease.pass()).map_err(no_thread)?;
    let ways = ways(following.relay.clone());
    ways.keeper.send(store::Input::Relay(following.relay)).expect("the keeper runs");
    threads.push(following.thread);
    pair::Pair::start(lease, following.make, ways).map_err(no_thread)
}

/// See the other one; the configuration is refused before that.
#[cfg(not(feature = "mongodb"))]
fn start_pair(
    _: &Config,
    _: Lease,
    _: &mut Vec<Thread>,
    _: impl FnOnce(store::relay::Relay) -> pair::Ways,
) -> Result<pair::Pair, Fault> {
    Err(Fault { code: exit::CONFIG, text: "[pair] needs MongoDB, which this program was built without".to_owned() })
}

/// The nth `[[asterisk]]` section.
fn pbx_id(nth: usize) -> PbxId {
    PbxId(u16::try_from(nth).expect("fewer than 65,536 exchanges"))
}

/// Whether anybody speaks to the desk: somebody at a socket, or a CRM whose clicks we fetch, which pass the same guard.
fn needs_window(config: &Config) -> bool {
    !config.http.listen.as_slice().is_empty() || config.crm.iter().any(|section| section.kind == Kind::Calls)
}

fn forget_key(crm: &str, number: &str) -> String {
    format!("{TO_FORGET}{crm} {number}")
}

/// Opens the window; without doors where `[http] listen` is empty.
fn open_window(config: &Config, link_key: &LinkKey, window: &Arc<Window>) -> Result<Option<Http>, Fault> {
    if !needs_window(config) {
        return Ok(None);
    }
    let office = Arc::clone(window) as Arc<dyn crate::http::Office>;
    let http = Http::start(window::setup(config, link_key.clone()), office)
        .map_err(|error| Fault { code: exit::UNAVAILABLE, text: error.to_string() })?;
    for address in http.addresses() {
        log::info!("http: listening on {address}");
    }
    Ok(Some(http))
}

/// How a CRM that can only keep an address gets one for a recording; none as long as nobody can reach us.
fn recording_link(config: &Config, key: &LinkKey) -> RecordingLink {
    let (url, key, generation) = (config.http.public_url.clone(), key.clone(), config.http.recording_links_generation);
    Arc::new(move |recording: &str| {
        let url = url.as_deref()?.trim_end_matches('/');
        Some(format!("{url}{}", crate::http::recording_path(&key, generation, recording)))
    })
}

/// Spreads the retries of several connectors.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => u64::from(std::process::id()),
    }
}

/// A panic of ours is a broken invariant: the process ends at once, what supervises it starts it again, and the store and
/// the resync mend the rest. Going on without one thread would be a service that looks alive. The mark lets the next start
/// tell which conversation we fell over.
fn end_on_panic(config: &Config) {
    let database = config.store.path.clone();
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        store::mark_abort(&database);
        log::error!("a broken invariant in thread {}; the service ends", std::thread::current().name().unwrap_or("?"));
        std::process::abort();
    }));
}

/// Refuses limits that do not fit: running out of descriptors in a busy hour would stop deliveries one by one.
fn check_descriptors(config: &Config) -> Result<(), Fault> {
    let senders: usize = config.crm.iter().map(|section| usize::from(section.senders)).sum();
    // Standard streams, database with its two files and readers, control socket and peers, signals, name resolution, alerts.
    let http = if config.http.listen.as_slice().is_empty() { 0 } else { config.http.connections + 20 };
    let couriers = config.crm.iter().filter(|section| section.kind == Kind::Calls).count();
    let needed = 40 + 3 * config.asterisk.len() + 3 * senders + 6 * couriers + http;
    match process::raise_descriptor_limit() {
        Some(limit) if limit < needed as u64 => Err(Fault {
            code: exit::CONFIG,
            text: format!(
                "this configuration needs about {needed} open files and sockets, and the system allows {limit}: raise it \
                 (LimitNOFILE= in the unit file, ulimit -n in a shell)"
            ),
        }),
        _ => Ok(()),
    }
}

/// What whoever watches remembers.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last requests to the CRMs.
    pub requests: LastRequests,
    /// How each link stands, by the name of its exchange.
    pub links: BTreeMap<String, LinkStanding>,
    /// Which of two connectors we are.
    pub role: Option<Role>,
    /// Requests that failed, by the CRM's name.
    pub failed: BTreeMap<String, u64>,
    /// Clicks that were placed, by the CRM's name.
    pub placed: BTreeMap<String, u64>,
}
