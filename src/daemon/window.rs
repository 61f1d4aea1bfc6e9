//! What the window of the service (HTTP) sees and has done: questions are answered from the database and by the main thread,
//! orders go into the queues that everybody uses.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use super::figures::{self, Depths};
use super::history::Past;
use super::queues::{Released, TellCalls, Told};
use crate::ami::figures::LinkFigures;
use crate::call::record::{FollowUp, Moment};
use crate::call::{Input, PlaceCall, Record};
use crate::clock::{Now, boot_ms};
use crate::config::Config;
use crate::http::office::{
    AuditLine, CrmRequest, CrmStatus, Done, Figure, KeptAnswer, NotPlaced, Office, PairRole, PairStatus, PbxStatus,
    RecordingPlace, Refresh, Status, Today, Wanted,
};
use crate::http::{self, LinkKey};
use crate::lease::{Pass, Role};
use crate::phone::EndpointPattern;
use crate::store::reader::CallFilter;
use crate::store::rows::{AuditRow, DestinationState, RequestRow};
use crate::store::{self, Item, Order, Reader, Save};

/// The main thread looks at its queue many times a second; a keeper that does not commit in this time will not soon.
const PATIENCE: Duration = Duration::from_secs(10);
/// Records looked through for one page where only leading ones are wanted.
const LOOKED_THROUGH: usize = 5;

/// What the main thread knows and nobody else.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// How each link stands.
    pub pbxs: Vec<PbxStatus>,
    /// The last requests to each CRM, newest first.
    pub requests: Vec<(String, Vec<CrmRequest>)>,
    /// Which of two connectors this one is.
    pub pair: Option<PairStatus>,
    /// What is wrong now, as sentences.
    pub warnings: Vec<String>,
}

/// One exchange, as the window shows it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub name: String,
    pub figures: Arc<LinkFigures>,
    /// Its recordings folder.
    pub recordings: Option<PathBuf>,
    pub zone: jiff::tz::TimeZone,
}

/// The office behind the window.
#[derive(Debug)]
pub struct Window {
    pub told: Sender<Told>,
    pub keeper: Sender<store::Input<Released>>,
    pub questions: Sender<Sender<Watched>>,
    pub database: PathBuf,
    pub exchanges: Vec<Exchange>,
    /// What the dialplan asked, where it may ask.
    pub agi: Option<Arc<crate::agi::Counters>>,
    pub depths: Depths,
    /// What the local database no longer knows, where there is more.
    pub past: Option<Past>,
    /// Where a CRM's word that something changed goes, by its name.
    pub refreshes: Vec<(String, Sender<crate::crm::calls_module::Refresh>)>,
    pub zone: jiff::tz::TimeZone,
    pub started_at: Moment,
    pub pass: Pass,
}

impl Window {
    fn reader(&self) -> Result<Reader, String> {
        Reader::open(&self.database).map_err(|error| error.to_string())
    }

    fn watched(&self) -> Result<Watched, String> {
        let (sender, answer) = bounded(1);
        self.questions.try_send(sender).map_err(|_| "too many questions at once".to_owned())?;
        answer.recv_timeout(PATIENCE).map_err(|_| "the main thread does not answer".to_owned())
    }

    fn midnight(&self) -> Moment {
        let now = jiff::Timestamp::now().to_zoned(self.zone.clone());
        Moment(now.start_of_day().map_or(0, |midnight| midnight.timestamp().as_millisecond()))
    }
}

/// How one exchange's link stands.
pub fn pbx_status(exchange: &Exchange, fault: Option<&str>, asterisk: Option<String>) -> PbxStatus {
    let since_ms = exchange.figures.up_since_ms.load(Ordering::Relaxed);
    let up = since_ms > 0;
    PbxStatus {
        name: exchange.name.clone(),
        up,
        since: up.then_some(Moment(since_ms)),
        asterisk,
        error: fault.filter(|_| !up).map(str::to_owned),
    }
}

/// Which of two connectors this one is.
pub fn pair_status(config: &Config, role: &Role) -> PairStatus {
    let name = super::pair::name(config);
    match role {
        Role::Active { term } => PairStatus { name, role: PairRole::Active, term: Some(*term), active: None },
        Role::Standby { holder } => PairStatus { name, role: PairRole::Standby, term: None, active: holder.clone() },
    }
}

/// How the deliveries to one CRM stand.
pub fn crm_status(state: &DestinationState, requests: Vec<CrmRequest>) -> CrmStatus {
    CrmStatus {
        name: state.name.clone(),
        waiting: state.waiting,
        parked: state.parked,
        oldest_at: state.oldest_ms.map(Moment),
        down_since: state.down_since_ms.map(Moment),
        next_try_at: state.next_try_ms.map(Moment),
        last_error: state.last_error.clone(),
        last_success_at: state.last_success_ms.map(Moment),
        requests,
    }
}

impl Office for Window {
    fn place_call(&self, call: PlaceCall, kept: KeptAnswer, line: AuditLine, done: Done) {
        let exchange = self.exchanges.get(usize::from(call.pbx.0));
        if exchange.is_none_or(|exchange| exchange.figures.up_since_ms.load(Ordering::Relaxed) == 0) {
            return done(Err(NotPlaced::NoLink));
        }
        if self.pass.term(boot_ms()).is_none() {
            return done(Err(NotPlaced::Standby));
        }
        let KeptAnswer { crm, request, answer, at_ms } = kept;
        let asking = crm.clone();
        let items = vec![Item::Request(RequestRow { crm, request, answer, at_ms }), Item::Audit(audit_row(line))];
        let input = TellCalls::Input(Box::new(Input::PlaceCall(Box::new(call))));
        let told = Told { input, items, release: vec![Released::Placed { crm: asking, done }] };
        if let Err(refused) = self.told.try_send(told) {
            for released in refused.into_inner().release {
                if let Released::Placed { done, .. } = released {
                    done(Err(NotPlaced::Busy));
                }
            }
        }
    }

    fn cancel_call(&self, crm: &str, request: &str) -> bool {
        let input = TellCalls::Input(Box::new(Input::CancelCall { crm: crm.into(), request: request.into() }));
        self.told.try_send(Told { input, items: Vec::new(), release: Vec::new() }).is_ok()
    }

    fn audit(&self, line: AuditLine) {
        let save = Save { items: vec![Item::Audit(audit_row(line))], release: Vec::new() };
        if self.keeper.try_send(store::Input::Save(save)).is_err() {
            log::warn!("a line of the audit log is lost: the database is behind");
        }
    }

    fn kept_answer(&self, crm: &str, request: &str) -> Result<Option<String>, String> {
        let row = self.reader()?.request(crm, request).map_err(|error| error.to_string())?;
        Ok(row.map(|row| row.answer))
    }

    fn calls(&self, wanted: &Wanted) -> Result<Vec<Record>, String> {
        let reader = self.reader()?;
        let mut records = match &wanted.conversation {
            Some(id) => reader.conversation(id),
            None => reader.calls(&CallFilter {
                open: wanted.open,
                to_call_back: wanted.to_call_back,
                limit: wanted.limit.saturating_mul(if wanted.lead { LOOKED_THROUGH } else { 1 }),
                ..CallFilter::default()
            }),
        }
        .map_err(|error| error.to_string())?;
        if wanted.lead {
            records.retain(|record| record.lead);
        }
        records.truncate(wanted.limit);
        Ok(records)
    }

    fn status(&self) -> Result<Status, String> {
        let watched = self.watched()?;
        let reader = self.reader()?;
        let counts = reader.counts(self.midnight()).map_err(|error| error.to_string())?;
        let destinations = reader.destinations().map_err(|error| error.to_string())?;
        let of = |pairs: &[(String, Vec<CrmRequest>)], name: &str| {
            pairs.iter().find(|(crm, _)| crm == name).map(|(_, lines)| lines.clone()).unwrap_or_default()
        };
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            pbxs: watched.pbxs,
            crms: destinations.iter().map(|state| crm_status(state, of(&watched.requests, &state.name))).collect(),
            today: Today { calls: counts.since, missed: counts.missed_since, to_call_back: counts.to_call_back },
            pair: watched.pair,
            warnings: watched.warnings,
        })
    }

    fn figures(&self) -> Vec<Figure> {
        figures::all(&self.exchanges, self.agi.as_ref(), &self.depths)
    }

    fn recording(&self, id: &str) -> Result<Option<RecordingPlace>, String> {
        let mut records = self.reader()?.records_of_recording(id).map_err(|error| error.to_string())?;
        if let Some(past) = self.past.as_ref().filter(|_| records.is_empty()) {
            records = past.records_of_recording(id)?;
        }
        let Some(recording) = records.iter().flat_map(|record| &record.recordings).find(|recording| recording.id == id)
        else {
            return Ok(None);
        };
        let pbx = records.first().map_or("", |record| record.pbx.as_str());
        let exchange = self.exchanges.iter().find(|exchange| exchange.name == pbx);
        let folder = exchange.and_then(|exchange| exchange.recordings.clone());
        let zone = exchange.map_or_else(|| self.zone.clone(), |exchange| exchange.zone.clone());
        let crms = records.iter().filter_map(|record| record.crm.clone()).collect();
        Ok(Some(RecordingPlace { folder, file: recording.file.clone(), started_at: recording.started_at, zone, crms }))
    }

    fn close_follow_up(&self, record_id: &str, by: &str) -> Result<bool, String> {
        log::info!("{record_id}: the follow-up is closed by {by}");
        let (answer, closed) = bounded(1);
        let order = Order::FollowUp { record_id: record_id.to_owned(), follow_up: FollowUp::Closed, answer };
        self.keeper.try_send(store::Input::Order(order)).map_err(|_| "the database is behind".to_owned())?;
        let closed = closed.recv_timeout(PATIENCE).map_err(|_| "the database does not answer".to_owned())?;
        closed.map_err(|error| error.to_string())
    }

    fn refresh(&self, crm: &str, what: Refresh) {
        use crate::crm::calls_module::Refresh as Wish;
        let wish = if what == Refresh::Users { Wish::Users } else { Wish::Directory };
        if let Some((_, orders)) = self.refreshes.iter().find(|(name, _)| name == crm) {
            // Full: the CRM is being asked anyway.
            let _ = orders.try_send(wish);
        }
    }
}

fn audit_row(line: AuditLine) -> AuditRow {
    let AuditLine { at_ms, crm, user, request, from, to, outcome, peer } = line;
    AuditRow { at_ms, crm, user, request, from, to, outcome, peer: Some(peer).filter(|peer| !peer.is_empty()) }
}

/// What the window starts with, or goes on with after a reload.
pub fn setup(config: &Config, link_key: LinkKey) -> http::Setup {
    let crms = config.crm.iter().map(|section| http::office::Crm {
        name: section.name.clone(),
        secret: section.secret.clone().unwrap_or_default(),
        is_stock: section.kind == crate::crm::Kind::PbxManager,
        pbxs: section.matching.pbx.clone(),
        extensions: section.matching.extension.iter().filter_map(|text| EndpointPattern::parse(text).ok()).collect(),
        contexts: section.matching.context.clone(),
    });
    let pbxs = config.asterisk.iter().enumerate().map(|(nth, section)| http::office::Pbx {
        id: super::pbx_id(nth),
        name: section.name.clone(),
        dial_format: section.dial_format,
        dial_prefix: section.dial_prefix.clone(),
        channel: section.channel.clone(),
        context: section.context.clone(),
    });
    http::Setup {
        http: config.http.clone(),
        click_to_call: config.click_to_call.clone(),
        crms: crms.collect(),
        pbxs: pbxs.collect(),
        numbers: config.pbx_numbers(),
        zone: config.zone(),
        search: config.recordings.search.clone(),
        link_key,
    }
}

/// The key of recording links: made once, kept in the database, so that links outlive a restart.
pub fn link_key(database: &std::path::Path, keeper: &Sender<store::Input<Released>>) -> std::io::Result<LinkKey> {
    const NAME: &str = "http.link_key";
    let kept = Reader::open(database).and_then(|reader| reader.setting(NAME)).ok().flatten();
    if let Some(key) = kept.as_deref().and_then(unhex) {
        return Ok(LinkKey(key));
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
    let value = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let save = Save { items: vec![Item::Setting { key: NAME.to_owned(), value }], release: Vec::new() };
    keeper.send(store::Input::Save(save)).expect("the keeper runs");
    Ok(LinkKey(key))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (nth, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * nth..2 * nth + 2], 16).ok()?;
    }
    Some(key)
}

/// One request to a CRM, as the window shows it.
pub fn request_line(line: &crate::crm::RequestLine) -> CrmRequest {
    CrmRequest {
        op: line.op.to_owned(),
        at: Moment(line.at_ms),
        took_ms: line.took_ms,
        status: line.status,
        answer: line.answer.clone(),
    }
}

/// This moment, for what began now.
pub fn now() -> Moment {
    Moment(Now::read().wall_ms)
}
