//! Sections whose owner is no adapter: what the core and the shell are set by.

use serde::Deserialize;

/// `[calls]`: what becomes a record, and for how long a missed client is waited for.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallsSettings {
    pub records: RecordsKind,
    /// For how many days a later answered call with the same client settles a missed one.
    pub follow_up_days: u32,
    /// Channel variables that records carry.
    pub keep_variables: Vec<String>,
    /// Extensions whose calls make no record; the syntax is that of `[numbers] extensions`.
    pub ignore_extensions: Vec<String>,
    /// Extensions whose calls are recorded without number, name and recording.
    pub private_extensions: Vec<String>,
}

impl Default for CallsSettings {
    fn default() -> Self {
        Self {
            records: RecordsKind::PerPhone,
            follow_up_days: 7,
            keep_variables: Vec::new(),
            ignore_extensions: Vec::new(),
            private_extensions: Vec::new(),
        }
    }
}

/// What one record is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordsKind {
    /// Each phone that a conversation tried.
    #[default]
    PerPhone,
    /// The whole conversation.
    PerCall,
}

/// `[reconcile]`: when the calls are compared with what Asterisk wrote of them.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReconcileSettings {
    /// Local time of day, `HH:MM`; empty is never.
    pub at: String,
}

impl Default for ReconcileSettings {
    fn default() -> Self {
        Self { at: "03:30".to_owned() }
    }
}

impl ReconcileSettings {
    /// # Errors
    /// If `at` is no time of day.
    pub fn time(&self) -> Result<Option<jiff::civil::Time>, jiff::Error> {
        if self.at.is_empty() { Ok(None) } else { jiff::civil::Time::strptime("%H:%M", &self.at).map(Some) }
    }
}

/// `[alert]`: who is told when something is down, and when it is over.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertSettings {
    /// A program, run with PINCONNECTOR_ALERT (what), _STATE (`on`, `off`) and _TEXT in its environment.
    pub command: Option<String>,
    /// Gets a POST with the same as JSON.
    pub url: Option<String>,
    /// A link or a CRM must be down this long before anybody is told, in seconds.
    pub after_s: u32,
    /// The outbox's oldest record must wait this long, in minutes.
    pub outbox_minutes: u32,
    /// Less free space than this where the database lies, in megabytes.
    pub disk_free_mb: u64,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { command: None, url: None, after_s: 60, outbox_minutes: 60, disk_free_mb: 200 }
    }
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    pub level: LogLevel,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LogLevel::Info }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}
