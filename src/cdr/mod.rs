//! Where Asterisk keeps its call detail records: a CSV file or a table. Read only, and only a period of it at a time.
//!
//! [`csv`] and [`mysql`] find the rows of a period; [`columns`] makes [`Row`]s of their texts; [`local_time`] makes their local
//! times UTC. Which calls the rows tell of is decided in [`crate::call::cdr`].

pub mod columns;
pub mod csv;
pub mod local_time;
#[cfg(feature = "mysql")]
pub mod mysql;
pub mod settings;

use std::fmt;

use jiff::tz::TimeZone;

pub use settings::{CdrSettings, Kind, Problem};

use crate::call::cdr::Row;
use columns::{Columns, Line};

/// Rows of one period at most; more are refused with the advice to take a shorter period (about 200 MB of memory).
pub const MAX_ROWS: usize = 300_000;

/// A source of rows.
#[derive(Clone, Debug)]
pub struct Source {
    settings: CdrSettings,
    /// The zone of its local times, as configured or assumed.
    zone: TimeZone,
}

/// The rows of a period and what can be said about them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rows {
    /// In the order of the source.
    pub rows: Vec<Row>,
    pub tells: Tells,
}

/// What the rows of a source can tell, and so what can be checked by them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tells {
    /// There is a column with the uniqueid, and it is filled.
    pub uniqueid: bool,
    pub linkedid: bool,
    /// A call that reached nobody stands in it, so that `unanswered = yes` is in force.
    pub unanswered: bool,
    /// By how many minutes the local times differ from those of the configured zone, as the uniqueids prove; it was allowed
    /// for.
    pub zone_off_minutes: i64,
    /// No uniqueid says whether the zone is right.
    pub zone_unproved: bool,
    /// Lines that are no rows.
    pub skipped: u64,
}

/// Why a source could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrError {
    pub text: String,
}

impl fmt::Display for CdrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CdrError {}

impl CdrError {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    fn too_many() -> Self {
        Self::new(format!("more than {MAX_ROWS} rows in this period: choose a shorter one"))
    }
}

impl Source {
    /// `exchange_zone`: of the exchange, where the section names none of its own.
    pub fn new(settings: CdrSettings, exchange_zone: TimeZone) -> Self {
        let own = settings.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        Self { settings, zone: own.unwrap_or(exchange_zone) }
    }

    /// The rows of calls that ended at or after `since_ms` and began before `until_ms`, and maybe some before and after.
    ///
    /// # Errors
    /// If the source cannot be read, or holds too much for this period.
    pub fn read(&self, since_ms: i64, until_ms: i64) -> Result<Rows, CdrError> {
        let lines = match self.settings.kind {
            Kind::Csv => csv::read(&self.settings, &self.zone, since_ms, until_ms)?,
            Kind::Mysql => self.read_table(since_ms, until_ms)?,
        };
        Ok(lines.into_rows(&self.zone))
    }

    #[cfg(feature = "mysql")]
    fn read_table(&self, since_ms: i64, until_ms: i64) -> Result<Lines, CdrError> {
        mysql::read(&self.settings, &self.zone, since_ms, until_ms)
    }

    #[cfg(not(feature = "mysql"))]
    fn read_table(&self, _: i64, _: i64) -> Result<Lines, CdrError> {
        Err(CdrError::new("this program was built without the feature `mysql`"))
    }

    /// Where it is, for a message.
    pub fn place(&self) -> String {
        self.settings.place()
    }
}

/// Rows before their times are UTC.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub lines: Vec<Line>,
    pub skipped: u64,
}

impl Lines {
    /// Takes in one line of a source.
    ///
    /// # Errors
    /// If it is one too many.
    pub fn push(&mut self, columns: &Columns, values: &[impl AsRef<str>]) -> Result<(), CdrError> {
        match columns.line(values) {
            Some(_) if self.lines.len() == MAX_ROWS => return Err(CdrError::too_many()),
            Some(line) => self.lines.push(line),
            None => self.skipped += 1,
        }
        Ok(())
    }

    fn into_rows(self, zone: &TimeZone) -> Rows {
        let mut tells = Tells { skipped: self.skipped, ..Tells::default() };
        for Line { row, .. } in &self.lines {
            tells.uniqueid |= row.uniqueid.is_some();
            tells.linkedid |= row.linkedid.is_some();
            let nobody = row.destination_channel.as_str().is_empty();
            tells.unanswered |= nobody && row.disposition != crate::call::cdr::Disposition::Answered;
        }
        let (rows, zone_off) = local_time::to_utc(self.lines, zone);
        tells.zone_unproved = zone_off.is_none();
        tells.zone_off_minutes = zone_off.unwrap_or(0);
        Rows { rows, tells }
    }
}
