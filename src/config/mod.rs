//! Reads the configuration file. Each section belongs to the module it sets; here they are put together, checked against
//! each other, and everything wrong is said at once.

mod checks;
mod document;
mod hours;
mod problem;
mod rules;
mod sections;

use std::path::{Path, PathBuf};

pub use hours::{HoursOf, HoursSettings};
pub use problem::{BadConfig, Problem, Severity};
pub use sections::{AlertSettings, CallsSettings, LogSettings, ReconcileSettings, RecordsKind};

use document::Document;

use crate::agi::AgiSettings;
use crate::ami::AsteriskSettings;
use crate::cdr::CdrSettings;
use crate::crm::CrmSettings;
use crate::http::{ClickToCallSettings, HttpSettings};
use crate::lease::PairSettings;
use crate::phone::NumbersSettings;
use crate::recordings::RecordingsSettings;
use crate::store;

/// Where the configuration is looked for if the command line does not say.
pub const USUAL_FILES: [&str; 2] = ["/etc/pinconnector/pinconnector.toml", "pinconnector.toml"];

/// The sections and keys of the file's top level.
pub const SECTIONS: [&str; 15] = [
    "time_zone",
    "asterisk",
    "crm",
    "numbers",
    "calls",
    "hours",
    "click_to_call",
    "http",
    "agi",
    "recordings",
    "reconcile",
    "store",
    "pair",
    "alert",
    "log",
];

/// A configuration whose every section could be read.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// IANA name of the office's time zone; the system's where absent.
    pub time_zone: Option<String>,
    pub asterisk: Vec<AsteriskSettings>,
    /// Where each of them keeps its call detail records, in the same order.
    pub cdr: Vec<Option<CdrSettings>>,
    pub crm: Vec<CrmSettings>,
    pub numbers: NumbersSettings,
    pub calls: CallsSettings,
    pub hours: HoursSettings,
    pub click_to_call: ClickToCallSettings,
    pub http: HttpSettings,
    pub agi: AgiSettings,
    pub recordings: RecordingsSettings,
    pub reconcile: ReconcileSettings,
    pub store: store::Settings,
    pub pair: PairSettings,
    pub alert: AlertSettings,
    pub log: LogSettings,
    /// What is worth knowing though it does not prevent a start.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads `file`, or the first of [`USUAL_FILES`] that exists.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: Option<&Path>) -> Result<Self, BadConfig> {
        let file = match file {
            Some(file) => file.to_owned(),
            None => USUAL_FILES.iter().map(PathBuf::from).find(|file| file.exists()).ok_or_else(|| {
                let text = format!("no configuration: neither {} nor ./{} exists", USUAL_FILES[0], USUAL_FILES[1]);
                BadConfig { file: "pinconnector.toml".to_owned(), problems: vec![Problem::error("", text)] }
            })?,
        };
        let bad = |problems| BadConfig { file: file.display().to_string(), problems };
        let text = std::fs::read_to_string(&file)
            .map_err(|error| bad(vec![Problem::error("", format!("cannot be read: {error}"))]))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut document = Document::parse(&text, folder, &|name| std::env::var(name).ok());
        let mut config = Self::read(&mut document);
        checks::file_mode(&file, document.holds_secrets, &mut document.problems);
        config.file.clone_from(&file);
        config.settle(document.problems).map_err(bad)
    }

    /// Reads a configuration from a text, without looking at any file but those it names.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadConfig> {
        let mut document = Document::parse(text, Path::new(""), &|name| std::env::var(name).ok());
        let config = Self::read(&mut document);
        config.settle(document.problems).map_err(|problems| BadConfig { file: "(text)".to_owned(), problems })
    }

    fn read(document: &mut Document<'_>) -> Self {
        let time_zone = document.value("time_zone");
        let (asterisk, cdr) = document.sections_with("asterisk", "cdr").into_iter().unzip();
        let mut config = Self {
            file: PathBuf::new(),
            time_zone,
            asterisk,
            cdr,
            crm: document.sections("crm"),
            numbers: document.section("numbers"),
            calls: document.section("calls"),
            hours: document.section("hours"),
            click_to_call: document.section("click_to_call"),
            http: document.section("http"),
            agi: document.section("agi"),
            recordings: document.section("recordings"),
            reconcile: document.section("reconcile"),
            store: document.section("store"),
            pair: document.section("pair"),
            alert: document.section("alert"),
            log: document.section("log"),
            warnings: Vec::new(),
        };
        document.finish(&SECTIONS);
        // What does not fit together is only worth saying of sections that could be read.
        if document.problems.is_empty() {
            checks::between_sections(&config, document);
        }
        config.crm.shrink_to_fit();
        config
    }

    fn settle(mut self, problems: Vec<Problem>) -> Result<Self, Vec<Problem>> {
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(problems);
        }
        self.warnings = problems;
        Ok(self)
    }

    /// The office's time zone.
    pub fn zone(&self) -> jiff::tz::TimeZone {
        match &self.time_zone {
            // The name was checked when the file was read.
            Some(name) => jiff::tz::TimeZone::get(name).unwrap_or(jiff::tz::TimeZone::UTC),
            None => jiff::tz::TimeZone::system(),
        }
    }

    /// The time zone of one exchange: its own, or the office's.
    pub fn zone_of(&self, exchange: &AsteriskSettings) -> jiff::tz::TimeZone {
        let own = exchange.time_zone.as_deref().and_then(|name| jiff::tz::TimeZone::get(name).ok());
        own.unwrap_or_else(|| self.zone())
    }
}
