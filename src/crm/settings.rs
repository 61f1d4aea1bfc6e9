//! `[[crm]]`: the settings of one CRM, what is wrong with them in the operator's words, and the opened form.
//!
//! Which conversation goes to which CRM is decided in `call/` by the `match`, `default` and `internal` kept here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::header::{HeaderName, HeaderValue};
use ureq::http::{Uri, uri};
use ureq::tls::{Certificate, PemItem, parse_pem};

use super::pbxmanager::NumberForm;
use crate::secret::Secret;

/// One `[[crm]]` section as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrmSettings {
    /// One word, unique: the key of signed requests in both directions, and the `crm` of its records.
    pub name: String,
    pub kind: Kind,
    /// For `calls` and `pbxmanager` where vTiger is (as `https://crm.example.com` or `https://example.com/crm`), for
    /// `webhook` the whole address.
    pub url: String,
    /// The shared secret; `$NAME` takes it from the environment.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file holding the secret, instead of `secret`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Requests in flight at once, 1 to 8.
    #[serde(default = "CrmSettings::default_senders")]
    pub senders: u8,
    /// Records in one request at most; by default 50 for `calls`, else 1.
    #[serde(default)]
    pub batch: Option<u16>,
    /// Which conversations belong to this CRM.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// Takes what no `match` of any CRM fits.
    #[serde(default)]
    pub default: bool,
    /// Whether calls between two extensions are sent.
    #[serde(default = "CrmSettings::default_internal")]
    pub internal: bool,
    /// Numbers to clients, for the dialplan's questions.
    #[serde(default)]
    pub directory: super::directory::DirectorySettings,
    /// One header more in every request, for a proxy or receiver that wants one.
    #[serde(default)]
    pub header: Option<Header>,
    /// `pbxmanager` only: clients' numbers are sent by this many last digits (7 to 15), so that vTiger finds the card however
    /// the number is written there; by default ten in +7 and +1, elsewhere numbers go as Asterisk gave them.
    #[serde(default)]
    pub lookup_digits: Option<u8>,
    /// PEM file of the authorities to trust instead of the built-in public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// For one whole request, from the name's resolution to the answer's last byte, in seconds.
    #[serde(default = "CrmSettings::default_timeout_s")]
    pub timeout_s: u16,
    /// Of it for the connection (TCP and TLS), in seconds.
    #[serde(default = "CrmSettings::default_connect_timeout_s")]
    pub connect_timeout_s: u16,
}

impl CrmSettings {
    fn default_senders() -> u8 {
        2
    }

    fn default_internal() -> bool {
        true
    }

    fn default_timeout_s() -> u16 {
        30
    }

    fn default_connect_timeout_s() -> u16 {
        5
    }
}

/// Which interface a CRM has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The vTiger module «Calls» that comes with the connector.
    Calls,
    /// vTiger's own module PBXManager, unmodified.
    PbxManager,
    /// Any other: a POST of JSON to one address.
    Webhook,
}

/// Every list that is not empty must have an entry that fits; patterns as in `[numbers] extensions`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    #[serde(default)]
    pub pbx: Vec<String>,
    #[serde(default)]
    pub trunk: Vec<String>,
    #[serde(default)]
    pub did: Vec<String>,
    #[serde(default)]
    pub context: Vec<String>,
    #[serde(default)]
    pub extension: Vec<String>,
}

/// A header of the operator's. Its value is treated as a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: String,
    pub value: Secret,
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// A CRM ready to be talked to: settings checked, files read.
#[derive(Debug)]
pub struct Crm {
    pub name: String,
    pub kind: Kind,
    /// Records in one request at most.
    pub batch: usize,
    pub senders: usize,
    /// For one whole request.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub(super) secret: Secret,
    pub(super) number_form: NumberForm,
    /// Where requests go: for `calls` and `pbxmanager` the callback within vTiger.
    pub(super) endpoint: Uri,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    /// The header's value once more, to be masked where an answer repeats it.
    pub(super) header_value: Option<Secret>,
    /// Empty: the built-in public authorities.
    pub(super) trusted: Arc<Vec<Certificate<'static>>>,
}

const CALLS_CALLBACK: &str = "/modules/Calls/callbacks/Connector.php";
const PBXMANAGER_CALLBACK: &str = "/modules/PBXManager/callbacks/PBXManager.php";
/// No secret and no list of authorities is longer.
const MAX_SECRET_BYTES: u64 = 4096;
const MAX_CA_BYTES: u64 = 4 << 20;

impl Crm {
    /// Checks `settings` and reads the files they name. With the opened CRM come warnings.
    ///
    /// # Errors
    /// Every problem found, warnings included, in the operator's words.
    pub fn open(settings: &CrmSettings) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut problems = Vec::new();
        check_plain_values(settings, &mut problems);
        let endpoint = endpoint(settings, &mut problems);
        let secret = secret(settings, &mut problems);
        let header = header(settings, &mut problems);
        let trusted = trusted(settings, &mut problems);
        let (Some(endpoint), false) = (endpoint, problems.iter().any(|p| p.fatal)) else {
            return Err(problems);
        };
        let crm = Self {
            name: settings.name.clone(),
            kind: settings.kind,
            batch: usize::from(settings.batch.unwrap_or_else(|| default_batch(settings.kind))),
            senders: usize::from(settings.senders),
            timeout: Duration::from_secs(settings.timeout_s.into()),
            connect_timeout: Duration::from_secs(settings.connect_timeout_s.into()),
            secret,
            number_form: NumberForm { last_digits: settings.lookup_digits },
            endpoint,
            header,
            header_value: settings.header.as_ref().map(|h| h.value.clone()),
            trusted: Arc::new(trusted),
        };
        Ok((crm, problems))
    }

    /// Scheme, host and path that requests go to, for people to read.
    pub fn address(&self) -> String {
        self.endpoint.to_string()
    }

    /// `text` with every secret of this CRM replaced by `***`.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in [Some(&self.secret), self.header_value.as_ref()].into_iter().flatten() {
            if !secret.is_empty() && masked.contains(secret.expose()) {
                masked = masked.replace(secret.expose(), "***");
            }
        }
        masked
    }
}

/// What is wrong between several `[[crm]]` sections: (name, problem).
pub fn problems_between(sections: &[CrmSettings]) -> Vec<(String, Problem)> {
    let mut problems = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let earlier = &sections[..index];
        if earlier.iter().any(|s| s.name == section.name) {
            let message =
                format!("another [[crm]] is named {:?}, too; records and signatures go by this name", section.name);
            problems.push((section.name.clone(), fatal("name", message)));
        }
        if section.default
            && let Some(first) = earlier.iter().find(|s| s.default)
        {
            let message = format!("{:?} is the default already; only one CRM can take what no match fits", first.name);
            problems.push((section.name.clone(), fatal("default", message)));
        }
        if sections.len() > 1 && !section.default && section.matching == Match::default() {
            let message =
                "neither match nor default: only conversations whose dialplan sets PINCONNECTOR_CRM come here";
            problems.push((section.name.clone(), warning("match", message)));
        }
    }
    problems
}

fn fatal(key: &'static str, message: impl Into<String>) -> Problem {
    Problem { key, message: message.into(), fatal: true }
}

fn warning(key: &'static str, message: impl Into<String>) -> Problem {
    Problem { key, message: message.into(), fatal: false }
}

fn default_batch(kind: Kind) -> u16 {
    match kind {
        Kind::Calls => 50,
        // The stock module takes one event a request anyway, and what it took is safest on disk at once.
        Kind::PbxManager | Kind::Webhook => 1,
    }
}

fn check_plain_values(settings: &CrmSettings, problems: &mut Vec<Problem>) {
    problems.extend(settings.directory.problems().into_iter().map(|(key, message)| fatal(key, message)));
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if settings.name.is_empty() || settings.name.len() > 64 || !settings.name.chars().all(word) {
        let message = format!("{:?} must be one word of letters, digits, - _ . (64 at most)", settings.name);
        problems.push(fatal("name", message));
    }
    if !(1..=8).contains(&settings.senders) {
        problems.push(fatal("senders", format!("{} requests at once: 1 to 8 are allowed", settings.senders)));
    }
    if let Some(batch) = settings.batch.filter(|b| !(1..=50).contains(b)) {
        problems.push(fatal("batch", format!("{batch} records in one request: 1 to 50 are allowed")));
    }
    match settings.lookup_digits {
        Some(_) if settings.kind != Kind::PbxManager => {
            problems
                .push(fatal("lookup_digits", "is for kind = \"pbxmanager\" only; others compare numbers themselves"));
        }
        Some(digits) if !(7..=15).contains(&digits) => {
            problems
                .push(fatal("lookup_digits", format!("{digits}: 7 to 15 are allowed; fewer find the wrong clients")));
        }
        _ => {}
    }
    if !(1..=300).contains(&settings.timeout_s) {
        problems.push(fatal("timeout_s", format!("{} s: 1 to 300 are allowed", settings.timeout_s)));
    }
    if settings.connect_timeout_s == 0 || settings.connect_timeout_s > settings.timeout_s {
        let message = format!("{} s: 1 to timeout_s ({}) are allowed", settings.connect_timeout_s, settings.timeout_s);
        problems.push(fatal("connect_timeout_s", message));
    }
}

fn endpoint(settings: &CrmSettings, problems: &mut Vec<Problem>) -> Option<Uri> {
    let url = settings.url.trim();
    if !url.is_ascii() {
        let remedy = "write a domain of other letters in its xn-- form and everything else percent-encoded";
        problems.push(fatal("url", format!("{url:?} has letters beyond ASCII; {remedy}")));
        return None;
    }
    let parsed: Uri = match url.parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            problems.push(fatal("url", format!("{url:?} is no address ({error}); as https://crm.example.com")));
            return None;
        }
    };
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
        problems.push(fatal("url", format!("{url:?} must begin with https:// (or http://) and name a host")));
        return None;
    };
    if scheme != "http" && scheme != "https" {
        problems.push(fatal("url", format!("{url:?}: only https:// and http:// are spoken")));
        return None;
    }
    if authority.as_str().contains('@') {
        let message = "a user or password in the address would end up in logs; use header = { name = \"Authorization\", value = … }";
        problems.push(fatal("url", message));
        return None;
    }
    if scheme == "http" && !is_loopback(authority.host()) {
        problems.push(warning(
            "url",
            "http:// sends names and numbers of clients readable by anybody on the way; use https://",
        ));
    }
    let path = match settings.kind {
        Kind::Webhook => parsed.path_and_query().map_or("/", uri::PathAndQuery::as_str).to_owned(),
        Kind::Calls | Kind::PbxManager => {
            if parsed.query().is_some() {
                problems.push(fatal("url", format!("{url:?}: where vTiger is, without ?…")));
                return None;
            }
            // People paste what the browser shows.
            let folder = parsed.path().trim_end_matches("index.php").trim_end_matches('/');
            let callback = if settings.kind == Kind::Calls { CALLS_CALLBACK } else { PBXMANAGER_CALLBACK };
            format!("{}{callback}", folder.trim_end_matches(callback))
        }
    };
    let whole = Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query(path).build();
    whole.inspect_err(|e| problems.push(fatal("url", format!("{url:?} is no address ({e})")))).ok()
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn secret(settings: &CrmSettings, problems: &mut Vec<Problem>) -> Secret {
    let text = match (&settings.secret, &settings.secret_file) {
        (Some(_), Some(_)) => Err(fatal("secret_file", "secret and secret_file are both set; keep one")),
        (None, None) => Err(fatal("secret", "missing; the same text must be set in the CRM")),
        (Some(inline), None) => match inline.expose().strip_prefix('$') {
            Some(variable) => std::env::var(variable)
                .map_err(|_| fatal("secret", format!("the environment has no variable {variable}"))),
            None => Ok(inline.expose().to_owned()),
        },
        (None, Some(path)) => read_limited(path, MAX_SECRET_BYTES)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| format!("{} is no text in UTF-8", path.display())))
            .inspect(|_| problems.extend(readable_by_all(path)))
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|why| fatal("secret_file", why)),
    };
    match text {
        Ok(text) if text.is_empty() => {
            problems.push(fatal("secret", "is empty"));
            Secret::default()
        }
        Ok(text) => {
            if text.len() < 16 {
                problems.push(warning(
                    "secret",
                    format!("only {} characters; 32 random ones cannot be guessed", text.len()),
                ));
            }
            Secret::new(text)
        }
        Err(problem) => {
            problems.push(problem);
            Secret::default()
        }
    }
}

fn header(settings: &CrmSettings, problems: &mut Vec<Problem>) -> Option<(HeaderName, HeaderValue)> {
    let header = settings.header.as_ref()?;
    let name = HeaderName::from_bytes(header.name.as_bytes());
    let value = HeaderValue::from_str(header.value.expose());
    let (Ok(name), Ok(mut value)) = (name, value) else {
        problems.push(fatal("header", format!("name {:?} or its value cannot stand in an HTTP request", header.name)));
        return None;
    };
    let ours = ["host", "content-length", "content-type", "transfer-encoding", "connection"];
    if ours.contains(&name.as_str()) || name.as_str().starts_with("x-pin-") {
        problems.push(fatal("header", format!("{} is set by the connector itself", header.name)));
        return None;
    }
    value.set_sensitive(true);
    Some((name, value))
}

fn trusted(settings: &CrmSettings, problems: &mut Vec<Problem>) -> Vec<Certificate<'static>> {
    let Some(path) = &settings.ca else { return Vec::new() };
    let pem = match read_limited(path, MAX_CA_BYTES) {
        Ok(pem) => pem,
        Err(why) => {
            problems.push(fatal("ca", why));
            return Vec::new();
        }
    };
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        problems.push(fatal("ca", format!("{} holds no certificate in PEM form", path.display())));
    }
    certificates
}

fn readable_by_all(path: &Path) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        warning("secret_file", format!("everybody on this machine can read {0}; chmod 640 {0}", path.display()))
    })
}

fn read_limited(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut bytes = Vec::new();
    let read = file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > limit_bytes {
        return Err(format!("{} is larger than {limit_bytes} bytes", path.display()));
    }
    Ok(bytes)
}
