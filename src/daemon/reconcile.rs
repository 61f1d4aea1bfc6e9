//! The `reconcile` thread: fills gaps with what Asterisk itself wrote. After every new link it looks through the period since it
//! last did, each night through the last day, and whenever it is asked to.
//!
//! Reading rows is the business of `cdr/`, what they tell that of [`crate::call::cdr`], storing that of the keeper.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::queues::Released;
use crate::asterisk::PbxId;
use crate::call::cdr::compare::{Verdict, is_same_call, judge};
use crate::call::cdr::{Found, Row, found, gather};
use crate::call::record::{Moment, Record, Source as RecordSource};
use crate::call::{Rules, record};
use crate::cdr::{Source, Tells};
use crate::clock::{Now, rfc3339};
use crate::config::Config;
use crate::store::rows::FoundCall;
use crate::store::{self, Item, Order, Reader, Save};

/// What was compared is compared again this far back: rows may come late.
const MARGIN_MS: i64 = 600_000;
/// Asterisk may write its records in batches, of five minutes by default: a new link is looked at again after that.
const BATCH: Duration = Duration::from_secs(330);
const DAY_MS: i64 = 86_400_000;
/// Further back than this nothing is filled by itself; `reconcile --since` may.
const FARTHEST_MS: i64 = 31 * DAY_MS;
/// Calls handed to the database at once.
const PORTION: usize = 100;
/// Calls named one by one in a report.
const NAMED: usize = 200;
/// Calls of ours that are looked for among the rows.
const LOOKED_FOR: usize = 100_000;
/// Storing a portion waits for a disk at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// One exchange whose call detail records can be read.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub pbx: PbxId,
    pub name: String,
    pub source: Source,
}

/// What the thread is asked.
pub enum Wish {
    /// The exchange is connected again, and all that it still held is stored.
    Fill(PbxId),
    /// Somebody at the command line wants to know.
    Check { since_ms: i64, pbx: Option<String>, import: bool, answer: Sender<Result<Vec<Report>, String>> },
    /// New rules, and the time of night.
    Reloaded { rules: Box<Rules>, at: Option<Time>, keep_days: u32 },
}

/// What a comparison of one exchange came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub pbx: String,
    pub since: String,
    pub until: String,
    /// Calls that Asterisk wrote of.
    pub calls: u64,
    /// Of them known nobody, or known without their end.
    pub missing: u64,
    pub unfinished: u64,
    /// Stored now.
    pub imported: u64,
    /// The first of those missing or unfinished, in words.
    pub named: Vec<String>,
    /// What could not be checked, and what to do about it.
    pub notes: Vec<String>,
}

impl Report {
    /// For people: one line, and what is worth saying below it.
    pub fn text(&self) -> String {
        let period = format!("{}: {} to {}", self.pbx, self.since, self.until);
        let mut text = match (self.calls, self.missing, self.unfinished) {
            (calls, 0, 0) => format!("{period}: {calls} calls, all present\n"),
            (calls, missing, 0) => format!("{period}: {calls} calls, {missing} were missing"),
            (calls, missing, unfinished) => {
                format!("{period}: {calls} calls, {missing} were missing, the end of {unfinished} was not seen")
            }
        };
        if self.missing + self.unfinished > 0 {
            text.push_str(&match self.imported {
                0 => ", nothing was imported\n".to_owned(),
                imported => format!(", {imported} imported\n"),
            });
        }
        for line in &self.named {
            text.push_str(&format!("  {line}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("  not checked: {note}\n"));
        }
        text
    }
}

/// The exchanges of a configuration that have call detail records.
pub fn exchanges(config: &Config) -> Vec<Exchange> {
    let sections = config.asterisk.iter().zip(&config.cdr).enumerate();
    sections
        .filter_map(|(nth, (section, cdr))| {
            let source = Source::new(cdr.clone()?, config.zone_of(section));
            Some(Exchange { pbx: super::pbx_id(nth), name: section.name.clone(), source })
        })
        .collect()
}

/// Compares what one exchange wrote since with what is known, and has `import` store what is new.
///
/// # Errors
/// If the rows or the database cannot be read, or nothing can be stored.
pub fn compare(
    exchange: &Exchange,
    rules: &Rules,
    reader: &Reader,
    period: (i64, i64),
    now: Now,
    import: &mut dyn FnMut(Vec<FoundCall>) -> Result<u64, String>,
) -> Result<Report, String> {
    let (since_ms, until_ms) = period;
    let (since, until) = (rfc3339(since_ms), rfc3339(until_ms));
    let mut report = Report { pbx: exchange.name.clone(), since, until, ..Report::default() };
    let read = exchange.source.read(since_ms, until_ms).map_err(|error| error.to_string())?;
    let fault = |error: store::StoreError| format!("the database cannot be read: {error}");
    let mut portion: Vec<FoundCall> = Vec::new();
    let mut told: HashSet<String> = HashSet::new();
    let mut calls: Vec<Found> = Vec::new();
    for group in gather(&read.rows) {
        let rows: Vec<&Row> = group.iter().map(|at| &read.rows[*at]).collect();
        calls.extend(found(&exchange.name, &rows, rules, now.wall_ms));
    }
    for call in calls {
        told.extend(call.known_as.iter().cloned());
        // Of another period; or it goes on, as far as the clocks agree.
        if call.ended.0 < since_ms || call.began.0 > until_ms {
            continue;
        }
        report.calls += u64::from(!call.records.is_empty());
        let Some(known) = known(&call, &exchange.name, reader).map_err(fault)? else { continue };
        let (records, is_known) = match judge(&call, &known, now.wall_ms) {
            Verdict::NoCall | Verdict::Present => continue,
            Verdict::Missing(records) => (records, false),
            Verdict::Unfinished(records) => (records, true),
        };
        *(if is_known { &mut report.unfinished } else { &mut report.missing }) += 1;
        if report.named.len() < NAMED {
            report.named.extend(records.iter().find(|record| record.lead).or(records.first()).map(in_words));
        }
        portion.push(FoundCall { known_as: call.known_as, is_known, records });
        if portion.len() == PORTION {
            report.imported += import(std::mem::take(&mut portion))?;
        }
    }
    if !portion.is_empty() {
        report.imported += import(portion)?;
    }
    let ours = reader
        .records_between(&exchange.name, Moment(since_ms), Moment(until_ms - MARGIN_MS), LOOKED_FOR)
        .map_err(fault)?;
    report.notes = notes(exchange, &read.tells, &ours, &told);
    Ok(report)
}

/// The records of a call that was found, `None` if it goes on or its client wants it forgotten.
fn known(call: &Found, pbx: &str, reader: &Reader) -> Result<Option<Vec<Record>>, store::StoreError> {
    let mut known: Vec<Record> = Vec::new();
    for id in call.known_as.iter().chain([&call.conversation]) {
        let records = reader.conversation(id)?;
        if records.is_empty() && reader.knows(id)? {
            return Ok(None);
        }
        for record in records {
            if !known.iter().any(|other| other.id == record.id) {
                known.push(record);
            }
        }
    }
    if call.known_as.is_empty() && known.is_empty() {
        let (from, to) = (Moment(call.began.0 - 5_000), Moment(call.ended.0 + 5_000));
        known = reader.records_between(pbx, from, to, 1_000)?;
        known.retain(|record| is_same_call(call, record));
    }
    // One conversation's, where rows tie several together that we heard apart: each is known, and that is enough.
    Ok(Some(known))
}

/// One call for a person.
fn in_words(record: &Record) -> String {
    let say = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let phone = record.extension.as_deref().or(record.phone.as_deref()).unwrap_or("no phone");
    let reason = record.reason.map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
    format!(
        "{} {} {} -> {}, {phone}: {:?}{reason}",
        rfc3339(record.started_at.0),
        record.id,
        say(&record.from, "(withheld)"),
        say(&record.to, "?"),
        record.status
    )
}

/// What these rows cannot tell, and what to do about it.
fn notes(exchange: &Exchange, tells: &Tells, ours: &[Record], told: &HashSet<String>) -> Vec<String> {
    let mut notes = Vec::new();
    if tells.uniqueid && !tells.linkedid {
        notes.push(
            "which rows belong to one call, beyond what channel names say: they have no linkedid. Set `newcdrcolumns = yes` in \
             cdr.conf (a table needs a column linkedid)"
                .to_owned(),
        );
    }
    if !tells.uniqueid && !told.is_empty() | (tells.zone_unproved && !tells.linkedid) {
        notes.push(
            "calls one by one: the rows have no uniqueid, so they are compared by numbers and time. Set `loguniqueid = yes` in \
             cdr.conf"
                .to_owned(),
        );
    }
    let unwritten = ours
        .iter()
        .filter(|record| record.lead && record.source == RecordSource::Ami && !record.click_to_call)
        .filter(|record| record.ended_at.is_some() && record.reason != Some(record::Reason::Lost))
        .filter(|record| !told.is_empty() && !told.contains(&record.conversation))
        .count();
    if unwritten > 0 {
        notes.push(format!(
            "calls that reached nobody: {unwritten} that we know of stand in no row. Set `unanswered = yes` in cdr.conf, so that \
             those are found, too, that came while nobody listened"
        ));
    } else if !tells.unanswered {
        notes.push(
            "calls that reached nobody: no row is of one, and without `unanswered = yes` in cdr.conf Asterisk writes none"
                .to_owned(),
        );
    }
    if tells.zone_off_minutes != 0 {
        notes.push(format!(
            "nothing for this reason, but the times in {} are {} minutes off the configured time zone; it was allowed for. Set \
             `time_zone` in [asterisk.cdr]",
            exchange.source.place(),
            tells.zone_off_minutes
        ));
    } else if tells.zone_unproved {
        notes.push("whether the time zone is right: no uniqueid says when a call was".to_owned());
    }
    if tells.skipped > 0 {
        notes.push(format!("{} lines of {} that are no rows", tells.skipped, exchange.source.place()));
    }
    notes
}

/// The running thread's own.
pub struct Reconciler {
    pub exchanges: Vec<Exchange>,
    pub rules: Rules,
    pub at: Option<Time>,
    /// The office's.
    pub zone: TimeZone,
    pub keep_days: u32,
    pub database: PathBuf,
    pub keeper: Sender<store::Input<Released>>,
}

impl Reconciler {
    /// Runs until nobody is left who could wish for anything.
    pub fn run(mut self, wishes: &Receiver<Wish>) {
        // Exchanges to be looked at again, when a batch of rows must have been written.
        let mut again: Vec<(Instant, PbxId)> = Vec::new();
        let mut night = self.next_night();
        loop {
            let next = again.iter().map(|(at, _)| *at).chain(night).min();
            let wait = next.map_or(Duration::from_secs(86_400), |at| at.saturating_duration_since(Instant::now()));
            match wishes.recv_timeout(wait) {
                Ok(Wish::Fill(pbx)) => {
                    self.fill(pbx, None);
                    again.retain(|(_, other)| *other != pbx);
                    again.push((Instant::now() + BATCH, pbx));
                }
                Ok(Wish::Check { since_ms, pbx, import, answer }) => {
                    // Whoever asked may have gone.
                    let _ = answer.try_send(self.check(since_ms, pbx.as_deref(), import));
                }
                Ok(Wish::Reloaded { rules, at, keep_days }) => {
                    (self.rules, self.at, self.keep_days) = (*rules, at, keep_days);
                    night = self.next_night();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            for (_, pbx) in again.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
                self.fill(pbx, None);
            }
            if night.is_some_and(|at| at <= now) {
                for pbx in self.exchanges.iter().map(|exchange| exchange.pbx).collect::<Vec<_>>() {
                    self.fill(pbx, Some(DAY_MS));
                }
                night = self.next_night();
            }
        }
    }

    fn next_night(&self) -> Option<Instant> {
        let now = jiff::Timestamp::now().to_zoned(self.zone.clone());
        let today = now.date().to_datetime(self.at?).to_zoned(self.zone.clone()).ok()?;
        let next = if today > now {
            today
        } else {
            now.date().tomorrow().ok()?.to_datetime(self.at?).to_zoned(self.zone.clone()).ok()?
        };
        let wait = u64::try_from(next.timestamp().as_millisecond() - now.timestamp().as_millisecond()).unwrap_or(0);
        Some(Instant::now() + Duration::from_millis(wait))
    }

    /// Fills the gap of one exchange since it was last looked at, and at least the last `back_ms`.
    fn fill(&self, pbx: PbxId, back_ms: Option<i64>) {
        let Some(exchange) = self.exchanges.iter().find(|exchange| exchange.pbx == pbx) else { return };
        let now = Now::read();
        let key = format!("reconciled/{}", exchange.name);
        let last = Reader::open(&self.database).and_then(|reader| reader.setting(&key));
        let last = match last {
            Ok(last) => last.and_then(|text| text.parse::<i64>().ok()),
            Err(error) => return log::warn!("{}: gaps are not looked for: {error}", exchange.name),
        };
        // The first time there was nobody yet who could have missed anything.
        let since_ms = [last.map(|last| last - MARGIN_MS), back_ms.map(|back| now.wall_ms - back)];
        let Some(since_ms) = since_ms.into_iter().flatten().min() else {
            log::info!(
                "{}: call detail records are read from now on; `pinconnector reconcile --since` looks further back",
                exchange.name
            );
            return self.remember(&key, now.wall_ms);
        };
        match self.compared(exchange, since_ms, true) {
            Ok(report) => {
                let news = report.missing + report.unfinished > 0;
                let level = if news || back_ms.is_some() { log::Level::Info } else { log::Level::Debug };
                for line in report.text().lines().take(20) {
                    log::log!(level, "call detail records: {}", line.trim());
                }
                self.remember(&key, now.wall_ms);
            }
            Err(why) => {
                log::warn!(
                    "{}: calls that nobody listened to are not filled in: {why}; tried again tonight",
                    exchange.name
                );
            }
        }
    }

    fn remember(&self, key: &str, at_ms: i64) {
        let items = vec![Item::Setting { key: key.to_owned(), value: at_ms.to_string() }];
        // The keeper ends after us.
        let _ = self.keeper.send(store::Input::Save(Save { items, release: Vec::new() }));
    }

    fn check(&self, since_ms: i64, pbx: Option<&str>, import: bool) -> Result<Vec<Report>, String> {
        let wanted = self.exchanges.iter().filter(|exchange| pbx.is_none_or(|pbx| pbx == exchange.name));
        wanted.map(|exchange| self.compared(exchange, since_ms, import)).collect()
    }

    fn compared(&self, exchange: &Exchange, since_ms: i64, import: bool) -> Result<Report, String> {
        let now = Now::read();
        let since_ms = earliest(since_ms, now.wall_ms, self.keep_days, import);
        let reader = Reader::open(&self.database).map_err(|error| error.to_string())?;
        compare(exchange, &self.rules, &reader, (since_ms, now.wall_ms), now, &mut |calls| {
            if import { self.import(calls) } else { Ok(0) }
        })
    }

    fn import(&self, calls: Vec<FoundCall>) -> Result<u64, String> {
        let (answer, done) = bounded(1);
        self.keeper
            .send(store::Input::Order(Order::Found { calls, answer }))
            .map_err(|_| "the service is stopping".to_owned())?;
        let done = done.recv_timeout(PATIENCE).map_err(|_| "the database does not answer".to_owned())?;
        done.map_err(|error| error.to_string())
    }
}

/// What retention has removed is not imported again.
pub fn earliest(since_ms: i64, now_ms: i64, keep_days: u32, import: bool) -> i64 {
    let kept = if keep_days == 0 || !import { i64::MIN } else { now_ms - i64::from(keep_days) * DAY_MS };
    since_ms.max(kept).max(now_ms - FARTHEST_MS.max(DAY_MS * 400))
}
