//! The commands: one file each. What a command needs of the service it takes from the same modules the service is made of.

pub mod args;
mod calls;
mod capture;
mod check;
mod demo;
pub mod doctor;
pub mod help;
mod history;
mod host;
mod logger;
mod orders;
mod password;
pub mod reconcile;
mod replay;
pub mod setup;
mod show;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use log::LevelFilter;

use args::{Command, Line};
use logger::ChosenBy;

use crate::ami::parse::Parser;
use crate::ami::redact::Redactor;
use crate::call::Rules;
use crate::call::rules::RecordKind;
use crate::config::Config;
use crate::daemon::process::{self, Supervisor, exit};
use crate::daemon::{self, Fault};

/// Why a command ended without doing what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// As in sysexits.
    pub code: u8,
    /// What happened and what to do, for the person at the keyboard; may be several lines, or empty if all was said.
    pub text: String,
}

impl Failure {
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// Writing the answer failed. A reader that has seen enough (`| head`) is no failure worth a word.
    fn writing(error: &std::io::Error) -> Self {
        let text = match error.kind() {
            std::io::ErrorKind::BrokenPipe => String::new(),
            _ => format!("cannot write the answer: {error}"),
        };
        Self::new(exit::IO, text)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { code: fault.code, text: fault.text }
    }
}

/// Runs the command line `words` (without the program's name) and says how it ended.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match args::parse(words) {
        Ok(line) => line,
        Err(bad) => {
            eprintln!("pinconnector: {}\nTry `pinconnector help`.", bad.0);
            return exit::USAGE.into();
        }
    };
    match execute(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                eprintln!("pinconnector: {}", failure.text);
            }
            failure.code.into()
        }
    }
}

fn execute(line: Line) -> Result<(), Failure> {
    let file = line.config.as_deref();
    let log = line.log.as_deref();
    if let Command::Run = line.command {
        process::limit_memory_arenas();
        return run(file, logger::start(log, LevelFilter::Info));
    }
    // A command's own words are its answer; the log only says what went wrong.
    logger::start(log, LevelFilter::Warn);
    let config = || Config::load(file).map_err(check::bad);
    match line.command {
        Command::Run => Ok(()),
        Command::Check { numbers } if numbers.is_empty() => check::check(Config::load(file)),
        Command::Check { numbers } => check::numbers(Config::load(file), &numbers),
        Command::Replay { files, json, per_call } => {
            let config = file.map(|file| Config::load(Some(file)).map_err(check::bad)).transpose()?;
            let (rules, parser) = replaying(config.as_ref(), per_call);
            let zone = config.as_ref().map_or_else(jiff::tz::TimeZone::system, Config::zone);
            replay::replay(&files, rules, &parser, &zone, json)
        }
        Command::Calls(query) => calls::calls(&config()?, &query),
        Command::OutboxList { json } => orders::list(&config()?, json),
        Command::OutboxRetry { record, crm } => orders::retry(&config()?, record.as_deref(), crm),
        Command::OutboxDrop { record, yes } => orders::drop_row(&config()?, &record, yes),
        Command::Capture { file, pbx, seconds, redact } => {
            let redactor = redact.then(Redactor::random).transpose();
            let redactor = redactor.map_err(|error| Failure::new(exit::SYSTEM, format!("no randomness: {error}")))?;
            capture::capture(&config()?, &file, pbx.as_deref(), seconds, redactor)
        }
        Command::Demo { fast, json } => demo::demo(fast, json),
        Command::HistoryCopy { from, to, again } => history::copy(&config()?, from, to, again),
        Command::Backup { file } => orders::backup(&config()?, &file),
        Command::Forget { number, yes } => orders::forget(&config()?, &number, yes),
        Command::Doctor(options) => doctor::doctor(&config()?, &options),
        Command::Reconcile(wanted) => reconcile::reconcile(&config()?, &wanted),
        Command::Setup(flags) => setup::setup(file, &flags),
        Command::Password => password::password(),
        Command::Help { topic } => print(&match topic {
            None => help::overview(),
            Some(name) => help::topic(&name).ok_or_else(|| {
                Failure::new(exit::USAGE, format!("there is no command {name}; try `pinconnector help`"))
            })?,
        }),
        Command::Version => print(&format!("pinconnector {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

/// The service, until it is told to stop.
fn run(file: Option<&Path>, chosen_by: ChosenBy) -> Result<(), Failure> {
    let load = || {
        let config = Config::load(file)?;
        if chosen_by == ChosenBy::Configuration {
            log::set_max_level(config.log.level.into());
        }
        Ok(config)
    };
    let signals = process::signals().map_err(|error| Failure::new(exit::SYSTEM, format!("no signals: {error}")))?;
    let config = load().map_err(check::bad)?;
    for warning in &config.warnings {
        log::warn!("{}: {warning}", config.file.display());
    }
    log::info!("PINconnector {} starts with {}", env!("CARGO_PKG_VERSION"), config.file.display());
    Ok(daemon::run(config, &signals, &Supervisor::from_environment(), &load)?)
}

/// What a replay decides by; without a configuration, what fits most offices.
fn replaying(config: Option<&Config>, per_call: bool) -> (Rules, Parser) {
    let mut rules = config.map_or_else(Rules::default, Config::rules);
    rules.every_originate_is_ours = true;
    if per_call {
        rules.records = RecordKind::PerCall;
    }
    let parser = Parser::new(None, rules.keep_variables.clone());
    (rules, parser)
}

/// Writes `text` to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::writing(&error))
}
