//! What was found out, before anybody judges it. Values only.

use std::path::PathBuf;

use crate::call::Rules;
use crate::cdr::Tells;
use crate::cli::host::Dialplan;
use crate::cli::host::endpoints::Endpoint;
use crate::crm::Kind;
use crate::crm::trial::Trial;

/// One `[[asterisk]]`.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub username: String,
    pub has_tls: bool,
    /// The secret is one that everybody knows or guesses: which kind.
    pub weak_secret: Option<&'static str>,
    /// `Err`: why nobody was let in.
    pub seen: Option<Result<Seen, String>>,
    /// What its files say, where they are on this machine.
    pub files: Option<Files>,
    /// The manager port listens on every address of this machine.
    pub is_bound_to_world: bool,
    pub recordings: Option<Recordings>,
    /// `[asterisk.cdr]`
    pub cdr_source: Option<CdrSource>,
    /// `[calls] keep_variables`
    pub keep_variables: Vec<String>,
    /// A click-to-call is on, and where it is sent.
    pub click_context: Option<String>,
}

/// What an Asterisk told.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// `AsteriskVersion`; `None`: it may not be asked for.
    pub version: Option<String>,
    /// Each right, tried.
    pub originate: Tried,
    pub reporting: Tried,
    pub hangup: Tried,
    pub trial: Trials,
    /// `None`: it may not be asked for.
    pub dialplan: Option<Dialplan>,
    /// `PJSIP/101`
    pub devices: Option<Vec<String>>,
    pub queues: Vec<String>,
    /// `CoreCDRenabled`
    pub has_cdr: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tried {
    #[default]
    Allowed,
    Denied,
}

/// A call from nowhere to nowhere, which rings nobody: which of the events it makes arrived.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Trials {
    /// Not made, and why.
    #[default]
    NotMade,
    Denied,
    /// Asterisk would not: its words.
    Refused(String),
    Made {
        /// Class `call`.
        has_channels: bool,
        /// Class `dialplan`: steps.
        has_steps: bool,
        /// Class `dialplan`: variables that were set and are heard of.
        variables: Vec<String>,
        /// Class `cdr`.
        has_cdr: bool,
    },
}

/// What `manager.conf` and its like say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    pub manager_enabled: bool,
    /// The account, if it is there.
    pub account: Option<Account>,
    /// Accounts with secrets that everybody knows: name and which kind.
    pub weak_accounts: Vec<(String, &'static str)>,
    /// `cdr_manager.conf`; `None`: it cannot be read.
    pub cdr_manager: Option<bool>,
    /// `unanswered` of `cdr.conf`
    pub cdr_unanswered: bool,
    pub endpoints: Vec<Endpoint>,
    pub dialplan: Option<Dialplan>,
    /// Files that could not be read.
    pub unreadable: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    pub read: Vec<String>,
    pub write: Vec<String>,
}

/// `[[asterisk]] recordings`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recordings {
    pub folder: PathBuf,
    /// `Err`: why it cannot be listed.
    pub listed: Result<usize, String>,
}

/// Where the exchange keeps its call detail records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrSource {
    pub place: String,
    /// How many rows there are of the last day, and what they tell; `Err`: why they cannot be read.
    pub read: Result<(usize, Tells), String>,
}

/// One `[[crm]]`.
#[derive(Clone, Debug)]
pub struct Crm {
    pub name: String,
    pub kind: Kind,
    pub address: String,
    /// `None`: its settings are not good, which `check` has said.
    pub trial: Option<Trial>,
}

/// This machine.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// The service runs on this database.
    pub is_running: bool,
    pub database: PathBuf,
    /// `Err`: why no database can be there.
    pub database_folder: Option<Result<(), String>>,
    /// `[store] kind = "mongodb"`: about how many conversations are there, or why nobody says.
    pub mongodb: Option<Result<u64, String>>,
    /// Megabytes free where it lies.
    pub free_mb: Option<u64>,
    pub alarm_below_mb: u64,
    /// `[agi] listen`, each with what came of talking to it.
    pub agi: Vec<(String, Port)>,
}

/// What is at an address of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Port {
    /// It answers as we do.
    Answers,
    /// Somebody is there and does not.
    Silent,
    /// Nobody is there.
    Free,
    /// It cannot be reached: why.
    Unreachable(String),
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Facts {
    pub exchanges: Vec<Exchange>,
    pub crms: Vec<Crm>,
    pub here: Here,
    /// What the rules make of names.
    pub rules: Rules,
}
