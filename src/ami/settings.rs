//! `[[asterisk]]`: the settings of one exchange, and what is wrong with them in the operator's words.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::charset::Charset;
use super::link::{LinkSettings, PING, PING_ANSWER};
use super::wire::{Address, Tls};
use crate::asterisk::PbxId;
use crate::phone::{DialFormat, OwnNumbers};
use crate::secret::Secret;

/// One `[[asterisk]]` section as written.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsteriskSettings {
    /// One word, unique: ids of calls begin with it.
    pub name: String,
    pub host: String,
    /// By default 5038, with TLS 5039.
    #[serde(default)]
    pub port: Option<u16>,
    /// Whether the manager port speaks TLS (`tlsenable` in manager.conf).
    #[serde(default)]
    pub tls: bool,
    /// PEM file of the authority, or the exchange's own certificate, to trust instead of the public authorities.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The name in the exchange's certificate, if it is not `host`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// The account in manager.conf.
    pub username: String,
    pub secret: Secret,
    /// How long each step of connecting may take, in seconds.
    #[serde(default = "AsteriskSettings::default_connect_timeout_s")]
    pub connect_timeout_s: u16,
    /// How often Asterisk is asked for a sign of life, in seconds.
    #[serde(default = "AsteriskSettings::default_ping_s")]
    pub ping_s: u16,
    /// How often the open calls are compared with Asterisk's channels, in seconds; 0 is never.
    #[serde(default = "AsteriskSettings::default_audit_s")]
    pub audit_s: u16,
    /// The character set of caller names that are not UTF-8.
    #[serde(default)]
    pub charset: Option<String>,
    /// The folder of its recordings, as this machine sees it.
    #[serde(default)]
    pub recordings: Option<PathBuf>,
    /// IANA name of its time zone, if it is not the office's.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Trunks that lead to another exchange of ours: the endpoint's name here, and the name of that `[[asterisk]]`.
    #[serde(default)]
    pub peers: BTreeMap<String, String>,
    /// What its numbers and endpoints are like, where that differs from `[numbers]`.
    #[serde(default)]
    pub numbers: OwnNumbers,
    /// What a click-to-call rings first here, instead of `[click_to_call] channel`.
    #[serde(default)]
    pub channel: Option<String>,
    /// Where a click-to-call is sent here, instead of `[click_to_call] context`.
    #[serde(default)]
    pub context: Option<String>,
    /// How the dialplan expects numbers.
    #[serde(default)]
    pub dial_format: DialFormat,
    /// What the dialplan wants before an outside number.
    #[serde(default)]
    pub dial_prefix: String,
}

impl AsteriskSettings {
    fn default_connect_timeout_s() -> u16 {
        10
    }

    fn default_ping_s() -> u16 {
        u16::try_from(PING.as_secs()).expect("a few seconds")
    }

    fn default_audit_s() -> u16 {
        30
    }

    /// What is wrong with it, taken alone.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |key, message: String| problems.push(Problem { key, message });
        let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.len() > 32 || !self.name.chars().all(word) {
            wrong("name", format!("{:?} must be one word of letters, digits, - _ . (32 at most)", self.name));
        }
        if self.host.is_empty() || self.host.contains(char::is_whitespace) || self.host.contains('/') {
            wrong("host", format!("{:?} is no host: write a name or an address, as pbx.example.com", self.host));
        }
        if self.port == Some(0) {
            wrong("port", "0 is no port: 5038 is usual, 5039 with TLS".to_owned());
        }
        for (key, value) in [("username", self.username.as_str()), ("secret", self.secret.expose())] {
            if value.is_empty() {
                wrong(key, "is empty: write what manager.conf has for this account".to_owned());
            } else if value.contains(|c: char| c.is_control()) {
                wrong(key, "holds a control character, which no manager.conf can hold".to_owned());
            }
        }
        if !self.tls && (self.ca.is_some() || self.server_name.is_some()) {
            wrong("tls", "ca and server_name mean nothing without `tls = true`".to_owned());
        }
        if let Some(ca) = &self.ca
            && let Err(error) = std::fs::metadata(ca)
        {
            wrong("ca", format!("{} cannot be read: {error}", ca.display()));
        }
        if !(1..=120).contains(&self.connect_timeout_s) {
            wrong("connect_timeout_s", format!("{} s: 1 to 120 are allowed", self.connect_timeout_s));
        }
        if !(5..=300).contains(&self.ping_s) {
            wrong("ping_s", format!("{} s: 5 to 300 are allowed", self.ping_s));
        }
        if self.audit_s != 0 && !(5..=3600).contains(&self.audit_s) {
            wrong("audit_s", format!("{} s: 5 to 3600 are allowed, or 0 for never", self.audit_s));
        }
        if let Some(zone) = &self.time_zone
            && let Err(error) = jiff::tz::TimeZone::get(zone)
        {
            wrong("time_zone", format!("no time zone {zone:?} ({error}): write it as Asia/Yekaterinburg"));
        }
        if let Some(charset) = &self.charset
            && Charset::from_name(charset).is_none()
        {
            wrong("charset", format!("{charset:?} is not known; known are {}", Charset::NAMES));
        }
        if self.dial_prefix.contains(|c: char| !c.is_ascii_digit() && !"*#".contains(c)) {
            wrong("dial_prefix", format!("{:?} must be digits, * or #", self.dial_prefix));
        }
        problems
    }

    /// What the link needs of it.
    pub fn link(&self, pbx: PbxId, keep_variables: &[String]) -> LinkSettings {
        LinkSettings {
            pbx,
            name: self.name.clone(),
            address: Address {
                host: self.host.clone(),
                port: self.port.unwrap_or(if self.tls { 5039 } else { 5038 }),
                user: self.username.clone(),
                secret: self.secret.clone(),
                tls: self.tls.then(|| Tls { ca: self.ca.clone(), server_name: self.server_name.clone() }),
                connect_timeout: Duration::from_secs(self.connect_timeout_s.into()),
            },
            ping: Duration::from_secs(self.ping_s.into()),
            ping_answer: PING_ANSWER,
            charset: self.charset.as_deref().and_then(Charset::from_name),
            keep_variables: keep_variables.to_vec(),
        }
    }
}

/// What is wrong with a setting, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key within the section.
    pub key: &'static str,
    pub message: String,
}
