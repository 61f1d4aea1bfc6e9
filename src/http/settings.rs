//! `[http]` and `[click_to_call]`: the settings, and what is wrong with them in the operator's words.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use serde::Deserialize;

use super::passwords;
use crate::phone::EndpointPattern;
use crate::secret::Secret;

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Addresses to listen on.
    pub listen: OneOrMany,
    /// PEM files; with both of them every address speaks TLS.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// How browsers and the CRM reach us from outside, as `https://pbx.example.com`.
    pub public_url: Option<String>,
    /// Pages of other origins that may listen to events and play recordings.
    pub allow_origins: Vec<String>,
    /// Connections at once, and of them from one address (loopback, where a proxy stands, has no limit of its own).
    pub connections: usize,
    pub connections_per_address: usize,
    /// Whether the page, status and metrics are open without a login to whoever sits at this machine.
    pub local_without_login: bool,
    /// Links of the form `/r/TOKEN` ask for a login, too.
    pub recording_links_need_login: bool,
    /// Counting this up makes all `/r/TOKEN` links given so far invalid.
    pub recording_links_generation: u32,
    /// How long the status page remembers a login, in hours.
    pub login_hours: u32,
    /// A PBX link must be down this long before `/health` says 503, in seconds.
    pub health_after_s: u32,
    /// Who may log in.
    pub user: Vec<UserSettings>,
    /// Tokens for monitoring: `Authorization: Bearer ...`.
    pub token: Vec<TokenSettings>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: OneOrMany::One("127.0.0.1:8383".to_owned()),
            tls_certificate: None,
            tls_key: None,
            public_url: None,
            allow_origins: Vec::new(),
            connections: 800,
            connections_per_address: 100,
            local_without_login: false,
            recording_links_need_login: false,
            recording_links_generation: 1,
            login_hours: 12,
            health_after_s: 30,
            user: Vec::new(),
            token: Vec::new(),
        }
    }
}

/// A string or a list of strings.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// `[[http.user]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    pub name: String,
    /// As [`passwords::hash`] gives it.
    pub password_hash: Secret,
    #[serde(default)]
    pub role: Role,
}

/// `[[http.token]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// For the log.
    pub name: String,
    /// At least 20 characters; `$NAME` takes it from the environment.
    #[serde(alias = "token")]
    pub secret: Secret,
    #[serde(default)]
    pub role: Role,
}

/// What somebody who has logged in may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees calls, hears no recordings, changes nothing.
    #[default]
    Viewer,
    Admin,
}

/// `[click_to_call]`: the guard.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickToCallSettings {
    pub enabled: bool,
    /// What rings first; `{extension}` is the agent's number.
    pub channel: String,
    /// Where the agent's phone is sent once it is answered.
    pub context: String,
    /// More contexts that a request may name.
    pub contexts: Vec<String>,
    /// How long the agent's phone rings, in seconds.
    pub ring_s: u32,
    /// The headers that make desk phones answer by themselves.
    pub auto_answer: bool,
    /// Channel variables that a request may set.
    pub variables: Vec<String>,
    /// If not empty, only these destinations: patterns as in `[numbers] extensions`, `*` for any run of characters.
    pub allow: Vec<String>,
    /// Never these.
    pub deny: Vec<String>,
    /// Feature codes that may be dialled, as `"*98"`.
    pub codes: Vec<String>,
    /// Premium-rate and shared-cost numbers.
    pub premium: bool,
    /// When calls may be placed, as `"08:00-21:00"` in the office's time zone; empty is always.
    pub hours: String,
    pub per_extension_per_minute: u32,
    pub per_crm_per_minute: u32,
    /// Clicks under way at once, until the customer has answered.
    pub at_once: u32,
}

impl Default for ClickToCallSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            channel: "PJSIP/{extension}".to_owned(),
            context: "from-internal".to_owned(),
            contexts: Vec::new(),
            ring_s: 30,
            auto_answer: false,
            variables: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            codes: Vec::new(),
            premium: false,
            hours: String::new(),
            per_extension_per_minute: 6,
            per_crm_per_minute: 60,
            at_once: 20,
        }
    }
}

/// What is wrong with a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key within the section.
    pub key: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
    /// The service does not start with it; false is a warning.
    pub fatal: bool,
}

impl HttpSettings {
    /// Everything that cannot be meant so.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut fatal = |key, message: String| problems.push(Problem { key, message, fatal: true });
        if self.listen.as_slice().len() > 16 {
            fatal("listen", "more than 16 addresses".to_owned());
        }
        for address in self.listen.as_slice() {
            if address.to_socket_addrs().is_err() {
                fatal("listen", format!("{address:?} is no address with a port, as \"127.0.0.1:8383\""));
            }
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            fatal("tls_certificate", "TLS needs both tls_certificate and tls_key".to_owned());
        }
        if !(10..=10_000).contains(&self.connections) {
            fatal("connections", format!("{} is not between 10 and 10000", self.connections));
        }
        if self.connections_per_address == 0 {
            fatal("connections_per_address", "with 0 nobody could connect".to_owned());
        }
        let is_origin = |o: &String| {
            o.split_once("://").is_some_and(|(s, h)| matches!(s, "http" | "https") && !h.is_empty() && !h.contains('/'))
        };
        if let Some(bad) = self.allow_origins.iter().find(|origin| !is_origin(origin)) {
            fatal(
                "allow_origins",
                format!("{bad:?} is no origin: scheme, host and port only, as \"https://crm.example.com\""),
            );
        }
        for user in &self.user {
            if user.name.is_empty() || user.name.len() > 64 {
                fatal("user", "a user needs a name of at most 64 characters".to_owned());
            }
            if !passwords::is_hash(user.password_hash.expose()) {
                let text = "password_hash is no argon2id hash; `pinconnector password` makes one";
                fatal("user", format!("{:?}: {text}", user.name));
            }
        }
        for token in &self.token {
            if token.secret.expose().len() < 20 {
                fatal("token", format!("{:?} is shorter than 20 characters and could be guessed", token.name));
            }
        }
        if let Some(url) = &self.public_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            fatal("public_url", format!("{url:?} begins neither with http:// nor with https://"));
        }
        let is_loopback = |address: &String| {
            address.to_socket_addrs().is_ok_and(|mut all| all.all(|one: SocketAddr| one.ip().is_loopback()))
        };
        let outside = !self.listen.as_slice().iter().all(is_loopback);
        if outside && self.tls_certificate.is_none() {
            let message = "listens beyond this machine without TLS: passwords and recordings can be overheard; set \
                           tls_certificate and tls_key, or let a reverse proxy stand before it"
                .to_owned();
            problems.push(Problem { key: "listen", message, fatal: false });
        }
        if self.local_without_login && outside {
            let message =
                "only whoever sits at this machine gets in without a login; the others still need one".to_owned();
            problems.push(Problem { key: "local_without_login", message, fatal: false });
        }
        problems
    }
}

impl ClickToCallSettings {
    /// Everything that cannot be meant so.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut fatal = |key, message: String| problems.push(Problem { key, message, fatal: true });
        for (key, patterns) in [("allow", &self.allow), ("deny", &self.deny), ("codes", &self.codes)] {
            for pattern in patterns {
                if let Err(bad) = EndpointPattern::parse(pattern) {
                    fatal(key, format!("{pattern:?} {bad}"));
                }
            }
        }
        if !self.channel.contains("{extension}") {
            fatal("channel", "it must hold {extension}, as \"PJSIP/{extension}\"".to_owned());
        }
        if !(5..=300).contains(&self.ring_s) {
            fatal("ring_s", format!("{} is not between 5 and 300 seconds", self.ring_s));
        }
        if super::guard::Hours::parse(&self.hours).is_none() {
            fatal("hours", format!("{:?} is not of the form \"08:00-21:00\"", self.hours));
        }
        for name in &self.variables {
            if !super::guard::is_variable_name(name) {
                fatal("variables", format!("{name:?} is no name of a channel variable"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good() {
        assert_eq!(HttpSettings::default().problems(), []);
        assert_eq!(ClickToCallSettings::default().problems(), []);
        let read: HttpSettings = toml::from_str("").expect("all keys have defaults");
        assert_eq!(read.listen.as_slice(), ["127.0.0.1:8383"]);
    }

    #[test]
    fn what_cannot_be_meant_so_is_said() {
        let bad = "listen = [\"nowhere\", \"0.0.0.0:1\"]\ntls_key = \"x\"\nconnections = 1\nallow_origins = [\"crm\"]\n\
                   public_url = \"x\"\n[[user]]\nname = \"a\"\npassword_hash = \"secret\"\n[[token]]\nname = \"t\"\ntoken = \"short\"";
        let read: HttpSettings = toml::from_str(bad).expect("TOML");
        let keys: Vec<_> = read.problems().iter().map(|p| (p.key, p.fatal)).collect();
        for key in ["listen", "tls_certificate", "connections", "allow_origins", "public_url", "user", "token"] {
            assert!(keys.contains(&(key, true)), "{key}: {keys:?}");
        }
        assert!(keys.contains(&("listen", false)), "{keys:?}");
        let bad = ClickToCallSettings {
            channel: "PJSIP/101".into(),
            ring_s: 0,
            hours: "9-5".into(),
            deny: vec!["_".into()],
            variables: vec!["A,B".into()],
            ..ClickToCallSettings::default()
        };
        let keys: Vec<_> = bad.problems().iter().map(|p| p.key).collect();
        assert_eq!(keys, ["deny", "channel", "ring_s", "hours", "variables"]);
    }
}
