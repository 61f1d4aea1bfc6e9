//! `[asterisk.cdr]`: where an exchange keeps its call detail records.

use std::path::PathBuf;

use serde::Deserialize;

use super::columns::{Columns, names_in_mapping};
use crate::secret::Secret;

/// One `[asterisk.cdr]` section as written.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdrSettings {
    pub kind: Kind,
    /// The zone its times are in, where that is not the exchange's (`usegmtime = yes` in cdr.conf: `"UTC"`).
    #[serde(default)]
    pub time_zone: Option<String>,
    /// `csv`: the file.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// `csv`: the names of its columns in order, or the line of `cdr_custom.conf` that makes it.
    #[serde(default)]
    pub columns: Vec<String>,
    /// `mysql`: the server, by default this machine.
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub port: Option<u16>,
    /// `mysql`: the server's unix socket, instead of `host`.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    #[serde(default)]
    pub database: Option<String>,
    #[serde(default)]
    pub table: Option<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub secret: Option<Secret>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Master.csv, or a file of `cdr_custom`.
    Csv,
    /// A table, as FreePBX's `asteriskcdrdb.cdr`.
    Mysql,
}

/// What is wrong with a setting, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key within the section.
    pub key: &'static str,
    pub message: String,
    /// It prevents a start.
    pub fatal: bool,
}

impl CdrSettings {
    /// `csv`: the file, by default where `cdr_csv` writes.
    pub fn path(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| PathBuf::from("/var/log/asterisk/cdr-csv/Master.csv"))
    }

    pub fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("127.0.0.1")
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap_or(3306)
    }

    /// FreePBX's.
    pub fn database(&self) -> &str {
        self.database.as_deref().unwrap_or("asteriskcdrdb")
    }

    pub fn table(&self) -> &str {
        self.table.as_deref().unwrap_or("cdr")
    }

    /// Where it is, for a message.
    pub fn place(&self) -> String {
        match (self.kind, &self.socket) {
            (Kind::Csv, _) => self.path().display().to_string(),
            (Kind::Mysql, Some(socket)) => format!("{}.{} at {}", self.database(), self.table(), socket.display()),
            (Kind::Mysql, None) => format!("{}.{} at {}:{}", self.database(), self.table(), self.host(), self.port()),
        }
    }

    /// `csv`: what the configuration says of the columns.
    pub(super) fn columns(&self) -> Option<Columns> {
        if self.columns.is_empty() { None } else { Columns::named(&self.names()).ok() }
    }

    fn names(&self) -> Vec<String> {
        match self.columns.as_slice() {
            [mapping] if mapping.contains("CDR(") => names_in_mapping(mapping),
            names => names.to_vec(),
        }
    }

    /// What is wrong with it, taken alone.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut tell = |key, message: String, fatal| problems.push(Problem { key, message, fatal });
        if let Some(name) = &self.time_zone
            && let Err(error) = jiff::tz::TimeZone::get(name)
        {
            tell("cdr.time_zone", format!("no time zone {name:?} ({error}): write it as Europe/Moscow or UTC"), true);
        }
        let of_mysql = [
            ("cdr.host", self.host.is_some()),
            ("cdr.port", self.port.is_some()),
            ("cdr.socket", self.socket.is_some()),
            ("cdr.database", self.database.is_some()),
            ("cdr.table", self.table.is_some()),
            ("cdr.username", self.username.is_some()),
            ("cdr.secret", self.secret.is_some()),
        ];
        let of_csv = [("cdr.path", self.path.is_some()), ("cdr.columns", !self.columns.is_empty())];
        let (foreign, other): (&[_], _) = if self.kind == Kind::Csv { (&of_mysql, "mysql") } else { (&of_csv, "csv") };
        for (key, _) in foreign.iter().filter(|(_, given)| *given) {
            tell(key, format!("means something with kind = \"{other}\" only"), true);
        }
        match self.kind {
            Kind::Csv => {
                if !self.columns.is_empty()
                    && let Err(missing) = Columns::named(&self.names())
                {
                    tell(
                        "cdr.columns",
                        format!("names no column {missing:?}, without which a row tells nothing"),
                        true,
                    );
                }
                if let Err(error) = std::fs::metadata(self.path()) {
                    tell("cdr.path", format!("{} cannot be read: {error}", self.path().display()), false);
                }
            }
            Kind::Mysql => {
                if cfg!(not(feature = "mysql")) {
                    tell("cdr.kind", "this program was built without the feature `mysql`".to_owned(), true);
                }
                if self.username.as_deref().unwrap_or_default().is_empty() {
                    tell("cdr.username", "is missing: make a user that may only read the table".to_owned(), true);
                }
                for (key, name) in [("cdr.database", self.database()), ("cdr.table", self.table())] {
                    let plain = |c: char| c.is_ascii_alphanumeric() || "_$-".contains(c);
                    if name.is_empty() || !name.chars().all(plain) {
                        tell(key, format!("{name:?} must be letters, digits, _ $ -"), true);
                    }
                }
                if self.socket.is_some() && (self.host.is_some() || self.port.is_some()) {
                    tell("cdr.socket", "stands instead of host and port; leave one of them out".to_owned(), true);
                }
            }
        }
        problems
    }
}
