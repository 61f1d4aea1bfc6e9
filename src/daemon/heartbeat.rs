//! What a CRM with our module is told of us, once a minute and at once when a link goes up or down: put together from what the main thread
//! knows and the database says. How it gets there is [`super::couriers`]'s.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::senders::SavedCounts;
use super::window::Exchange;
use crate::call::record::Moment;
use crate::config::Config;
use crate::crm::calls_module::{Counters, Heartbeat, LastError, OutboxHealth, PbxHealth};
use crate::http::settings::HttpSettings;
use crate::store::reader::CallFilter;
use crate::store::rows::DestinationState;
use crate::store::{Reader, StoreError};

/// Open calls that are counted; nobody needs to know more exactly.
const OPEN_CALLS_MAX: usize = 1000;

/// How a link stands, beside its figures.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkStanding {
    /// Why it is down.
    pub fault: Option<String>,
    /// Since when it is down.
    pub down_since: Option<Moment>,
    /// What the exchange runs.
    pub asterisk: Option<String>,
}

/// What only the main thread knows.
#[derive(Clone, Copy)]
pub struct Standing<'a> {
    pub config: &'a Config,
    pub exchanges: &'a [Exchange],
    /// By the exchange's name.
    pub links: &'a BTreeMap<String, LinkStanding>,
    pub saved: &'a SavedCounts,
    /// Requests that failed and clicks that were placed, by the CRM's name.
    pub failed: &'a BTreeMap<String, u64>,
    pub placed: &'a BTreeMap<String, u64>,
    pub started_at: Moment,
}

/// What the database says of all CRMs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    destinations: Vec<DestinationState>,
    /// Open calls by exchange.
    open: BTreeMap<String, u32>,
}

impl Stored {
    /// # Errors
    /// If the database cannot be read; a heartbeat without its figures is better than none.
    pub fn read(database: &std::path::Path) -> Result<Self, StoreError> {
        let reader = Reader::open(database)?;
        let mut open = BTreeMap::new();
        for record in reader.calls(&CallFilter { open: true, limit: OPEN_CALLS_MAX, ..CallFilter::default() })? {
            *open.entry(record.pbx).or_default() += 1;
        }
        Ok(Self { destinations: reader.destinations()?, open })
    }
}

/// Pages of which origins may listen here; none where nothing listens for them.
fn event_origins(http: &HttpSettings) -> Vec<String> {
    if http.listen.as_slice().is_empty() { Vec::new() } else { http.allow_origins.clone() }
}

/// The heartbeat for `crm`, which hears of its own exchanges only.
pub fn compose(crm: &str, standing: Standing<'_>, stored: &Stored, now: Moment) -> Heartbeat {
    let Standing { config, exchanges, links, saved, failed, placed, started_at } = standing;
    let own = config.crm.iter().find(|section| section.name == crm).map(|section| section.matching.pbx.as_slice());
    let own = own.unwrap_or_default();
    let pbxs = exchanges.iter().filter(|exchange| own.is_empty() || own.contains(&exchange.name));
    let health = |exchange: &Exchange| {
        let link = links.get(&exchange.name).cloned().unwrap_or_default();
        let up_since_ms = exchange.figures.up_since_ms.load(Ordering::Relaxed);
        let up = up_since_ms > 0;
        PbxHealth {
            pbx: exchange.name.clone(),
            up,
            since: if up { Moment(up_since_ms) } else { link.down_since.unwrap_or(started_at) },
            asterisk: link.asterisk,
            open_calls: up.then(|| stored.open.get(&exchange.name).copied().unwrap_or_default()),
            error: link.fault.filter(|_| !up),
        }
    };
    let destination = stored.destinations.iter().find(|state| state.name == crm);
    let count = |counts: &BTreeMap<String, u64>| counts.get(crm).copied().unwrap_or_default();
    Heartbeat {
        sent_at: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        public_url: config.http.public_url.clone(),
        event_origins: event_origins(&config.http),
        region: config.numbers.region.clone(),
        area_code: config.numbers.area_code.clone(),
        last_digits: u8::try_from(config.numbers.match_last_digits).unwrap_or_default(),
        time_zone: config.zone().iana_name().map(str::to_owned),
        pbxs: pbxs.map(health).collect(),
        outbox: destination.map_or_else(OutboxHealth::default, |state| OutboxHealth {
            waiting: state.waiting,
            parked: state.parked,
            oldest_at: state.oldest_ms.map(Moment),
        }),
        last_error: destination
            .and_then(|state| Some(LastError { at: Moment(state.last_error_ms?), message: state.last_error.clone()? })),
        counters: Counters {
            records_saved: saved.get(crm).map_or(0, |count| count.load(Ordering::Relaxed)),
            requests_failed: count(failed),
            calls_placed: count(placed),
        },
    }
}
