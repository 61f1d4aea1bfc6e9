//! What the dialplan's questions (FastAGI) need of the rest of the house: the directory of each CRM, kept up to date by a
//! thread of its own, and clerks who ask the CRM and the history.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::queues::{TellCalls, Told};
use crate::agi::{self, Agi, Clerk, Identified, Place};
use crate::asterisk::PbxId;
use crate::call::record::Direction;
use crate::call::rules::Route;
use crate::call::{Input, Record};
use crate::client::{Found, Inquiry};
use crate::clock::Now;
use crate::config::Config;
use crate::crm::calls_module::Refresh;
use crate::crm::directory::pull::{Pull, Puller};
use crate::crm::directory::{Directory, Part};
use crate::crm::{Client as Line, Crm, Kind, RequestLog};
use crate::phone::{EndpointPattern, Numbers, PbxNumbers};
use crate::store::reader::CallFilter;
use crate::store::{DirectoryRows, Reader};

/// Earlier calls of a client that are looked at for the number he knows.
const EARLIER_CALLS: usize = 20;

/// Answers the dialplan.
pub struct Dialplan {
    agi: Agi,
    directory: Arc<Directory>,
    /// By the name of their CRM.
    pullers: Vec<(String, Puller)>,
}

impl Dialplan {
    /// Starts the directories and FastAGI; `None` where `[agi] listen` names nothing.
    ///
    /// # Errors
    /// If an address is taken, or the system gives no threads.
    pub fn start(config: &Config, told: Sender<Told>, log: &RequestLog) -> io::Result<Option<Self>> {
        if config.agi.listen.is_empty() {
            return Ok(None);
        }
        let pbx_numbers = config.pbx_numbers();
        let numbers = Arc::clone(&pbx_numbers.office);
        let limits = config.agi.check(&numbers).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            io::Error::new(io::ErrorKind::InvalidInput, all.join("; "))
        })?;
        let parts = config.crm.iter().map(|section| Part {
            crm: section.name.clone(),
            several: section.directory.several.clone(),
            answers_live: section.kind == Kind::Calls,
        });
        let directory = Arc::new(Directory::new(Arc::clone(&numbers), parts.collect(), Now::read()));
        let mut crms = Vec::new();
        for section in &config.crm {
            // The senders have opened it a moment ago.
            if let Ok((crm, _)) = Crm::open(section) {
                crms.push(Arc::new(crm));
            }
        }
        let mut pullers = Vec::new();
        for (section, crm) in config.crm.iter().zip(&crms) {
            if section.kind != Kind::Calls && section.directory.from.is_none() {
                continue;
            }
            let shelf = DirectoryRows::open(&config.store.path, &section.name)
                .map_err(|error| io::Error::other(error.to_string()))?;
            let pull = Pull {
                crm: Arc::clone(crm),
                settings: section.directory.clone(),
                directory: Arc::clone(&directory),
                shelf: Box::new(shelf),
                log: log.clone(),
            };
            pullers.push((section.name.clone(), pull.start()?));
        }
        let agi = agi::spawn(limits, office(config, pbx_numbers, &directory, crms, told, log))?;
        for address in &agi.addresses {
            log::info!("FastAGI: listening on {address}");
        }
        Ok(Some(Self { agi, directory, pullers }))
    }

    /// Whose devices are there, for who is on duty.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// What the dialplan asked so far.
    pub fn counters(&self) -> Arc<agi::Counters> {
        self.agi.counters()
    }

    /// Where a CRM's word that something changed goes.
    pub fn refreshes(&self) -> Vec<(String, Sender<Refresh>)> {
        self.pullers.iter().map(|(crm, puller)| (crm.clone(), puller.orders.clone())).collect()
    }

    /// New peers, budget, caller ids and rules about numbers; the rest needs a restart.
    pub fn reload(&self, config: &Config) {
        let numbers = config.pbx_numbers();
        self.directory.reload(Arc::clone(&numbers.office));
        if let Ok(limits) = config.agi.check(&numbers.office)
            && !self.agi.reload(limits, numbers)
        {
            log::warn!("reload: FastAGI is still taking over the last change; reload once more");
        }
    }

    /// Answers whoever is being answered, and ends; names of threads that did not.
    pub fn stop(self, until: Instant) -> Vec<String> {
        let mut left = self.agi.stop(until);
        for (crm, puller) in self.pullers {
            if !puller.stop(until) {
                left.push(format!("directory-{crm}"));
            }
        }
        left
    }
}

fn office(
    config: &Config,
    numbers: PbxNumbers,
    directory: &Arc<Directory>,
    crms: Vec<Arc<Crm>>,
    told: Sender<Told>,
    log: &RequestLog,
) -> agi::Office {
    let pbxs = config.asterisk.iter().enumerate().map(|(nth, section)| agi::Pbx {
        id: super::pbx_id(nth),
        name: section.name.clone(),
        hosts: addresses(&section.host),
    });
    let routes = config.rules().routes;
    let looked_up = Arc::clone(directory);
    let (asked, database, log) = (Arc::clone(directory), config.store.path.clone(), log.clone());
    agi::Office {
        crms: config.crm.iter().map(|section| section.name.clone()).collect(),
        pbxs: pbxs.collect(),
        route: Box::new(move |place| route(&routes, place)),
        look_up: Box::new(move |inquiry| looked_up.look_up(inquiry, Now::read())),
        clerk: Box::new({
            let numbers = Arc::clone(&numbers.office);
            move || {
                Box::new(OfficeClerk {
                    directory: Arc::clone(&asked),
                    crms: crms.clone(),
                    lines: HashMap::new(),
                    log: log.clone(),
                    database: database.clone(),
                    numbers: Arc::clone(&numbers),
                })
            }
        }),
        identified: Box::new(move |identified| tell(&told, identified)),
        numbers,
    }
}

/// The number of ours by which this client knows us from a call: the one he called, or saw when he was called.
fn known_by(record: Record) -> Option<String> {
    let tried = record.direction == Direction::Outgoing && record.reason.is_none();
    record.did.or(record.presented.filter(|_| tried))
}

fn tell(told: &Sender<Told>, identified: Identified) {
    let Identified { pbx, uniqueid, client_id, client_name } = identified;
    let pbx: PbxId = pbx;
    let input = Input::CallerIdentified { pbx, uniqueid, client_id, client_name };
    let told_input = TellCalls::Input(Box::new(input));
    // Full: the record is without the client's card, which the CRM finds by the number anyway.
    let _ = told.try_send(Told { input: told_input, items: Vec::new(), release: Vec::new() });
}

/// Where this exchange asks from; none if its name cannot be resolved now, and then it is told by nothing.
fn addresses(host: &str) -> Vec<IpAddr> {
    (host, 0).to_socket_addrs().map(|all| all.map(|address| address.ip()).collect()).unwrap_or_default()
}

/// The CRM of a question, by the rules of calls as far as the dialplan's place decides them.
fn route(routes: &[Route], place: &Place<'_>) -> Option<String> {
    let fits = |patterns: &[EndpointPattern], value: Option<&str>| {
        patterns.is_empty() || value.is_some_and(|value| patterns.iter().any(|pattern| pattern.matches(value)))
    };
    let by_place = routes.iter().filter(|route| !route.is_default).find(|route| {
        fits(&route.pbx, Some(place.pbx))
            && fits(&route.did, place.did)
            && fits(&route.context, Some(place.context))
            // A trunk or an extension is not known here, so rules that ask for one cannot be told to fit.
            && route.trunk.is_empty()
            && route.extension.is_empty()
    });
    by_place.or_else(|| routes.iter().find(|route| route.is_default)).map(|route| route.crm.clone())
}

/// Asks the CRM and the history; one per thread of the pool.
struct OfficeClerk {
    directory: Arc<Directory>,
    crms: Vec<Arc<Crm>>,
    /// By CRM, made when first needed.
    lines: HashMap<String, Line>,
    log: RequestLog,
    database: PathBuf,
    numbers: Arc<Numbers>,
}

impl Clerk for OfficeClerk {
    fn ask_crm(&mut self, inquiry: &Inquiry, within: Duration) -> Result<Option<Found>, String> {
        let Some(crm) = self.crms.iter().find(|crm| crm.name == inquiry.crm) else { return Ok(None) };
        let line =
            self.lines.entry(inquiry.crm.clone()).or_insert_with(|| Line::new(Arc::clone(crm), self.log.clone()));
        self.directory.ask(line, inquiry, within)
    }

    fn presented(&mut self, inquiry: &Inquiry) -> Vec<String> {
        let Some(e164) = self.numbers.normalize(&inquiry.number).e164 else { return Vec::new() };
        let filter = CallFilter {
            client: Some(e164.to_string()),
            crm: Some(inquiry.crm.clone()),
            limit: EARLIER_CALLS,
            ..CallFilter::default()
        };
        let calls = Reader::open(&self.database).and_then(|reader| reader.calls(&filter));
        let calls = calls.unwrap_or_else(|error| {
            log::warn!("FastAGI: the history cannot be asked: {error}");
            Vec::new()
        });
        calls.into_iter().filter_map(known_by).collect()
    }
}
