//! What the configuration shall say: by flags, by what it says already, by what is found of Asterisk, by questions, in this order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ask::Asker;
use super::asterisk_text::PLACEHOLDER;
use super::{Flags, failed};
use crate::cli::Failure;
use crate::cli::host::Host;
use crate::daemon::process::exit;
use crate::phone::{Numbers, NumbersSettings};
use crate::secret::Secret;

/// What is there already.
#[derive(Debug, Default)]
pub struct Before {
    /// The configuration's text; `None`: there is none, or it is the one that comes with the program.
    pub text: Option<String>,
    table: toml::Table,
}

/// What is wanted.
#[derive(Debug)]
pub struct Wishes {
    pub pbx: String,
    pub host: String,
    pub port: u16,
    pub username: String,
    pub ami_secret: Secret,
    pub region: String,
    /// `per-phone` or `per-call`.
    pub records: String,
    /// What a click-to-call rings first; `None` leaves what is set.
    pub channel: Option<String>,
    pub recordings: Option<PathBuf>,
    pub crm: Option<CrmWishes>,
    pub keep_variables: Vec<String>,
}

#[derive(Debug)]
pub struct CrmWishes {
    pub name: String,
    pub kind: String,
    pub url: String,
    pub secret: Secret,
    /// Made here, so that the CRM does not have it yet.
    pub is_new: bool,
}

/// The configuration as it is shipped: nobody has written into it.
pub const SHIPPED: &str = include_str!("../../../conf/pinconnector.toml");
/// Of a random word of letters and digits: 190 bits.
const SECRET_CHARS: usize = 32;

impl Before {
    /// Reads the configuration that is there, good or not.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML, or has several exchanges or CRMs: that is beyond a first setup.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(&file.display().to_string(), &error)),
        };
        let table: toml::Table = text.parse().map_err(|error| {
            Failure::new(exit::CONFIG, format!("{} is not TOML; mend or remove it first: {error}", file.display()))
        })?;
        for section in ["asterisk", "crm"] {
            let count = table.get(section).and_then(toml::Value::as_array).map_or(0, Vec::len);
            if count > 1 {
                let text = format!("{} has {count} sections [[{section}]]: change such a file by hand", file.display());
                return Err(Failure::new(exit::USAGE, text));
            }
        }
        let text = (text != SHIPPED).then_some(text);
        let table = if text.is_some() { table } else { toml::Table::new() };
        Ok(Self { text, table })
    }

    /// A text of a section, of several the first.
    fn get(&self, section: &str, key: &str) -> Option<&toml::Value> {
        let section = self.table.get(section)?;
        section.as_array().map_or(Some(section), |all| all.first())?.get(key)
    }

    fn text_of(&self, section: &str, key: &str) -> Option<&str> {
        self.get(section, key)?.as_str().filter(|text| !text.is_empty())
    }

    /// The secret of a section, from the file itself or the one it names. `$NAME` is the environment's.
    fn secret(&self, section: &str) -> Option<Secret> {
        if let Some(secret) = self.text_of(section, "secret") {
            return match secret.strip_prefix('$') {
                Some(name) => std::env::var(name).ok().map(Secret::new),
                None => Some(Secret::new(secret)),
            };
        }
        let text = fs::read_to_string(self.text_of(section, "secret_file")?).ok()?;
        Some(Secret::new(text.trim_end_matches(['\r', '\n']))).filter(|secret| !secret.is_empty())
    }

    fn keep_variables(&self) -> Vec<String> {
        let list = self.get("calls", "keep_variables").and_then(toml::Value::as_array);
        list.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    }
}

impl Wishes {
    /// Finds everything out.
    ///
    /// # Errors
    /// If a flag says something impossible, or something is missing that nobody can be asked for.
    pub fn gather(flags: &Flags, before: &Before, host: Option<&Host>, asker: &mut Asker<'_>) -> Result<Self, Failure> {
        let mut ask = Questions { asker };
        let found = host.map(Host::manager_address);
        let default = before.text_of("asterisk", "host").map(str::to_owned);
        let default = default.or_else(|| found.as_ref().map(|(host, _)| host.clone()));
        let asterisk_host = ask.one(
            "--host",
            flags.host.as_deref(),
            "The machine Asterisk runs on (127.0.0.1: this one)",
            Some(default.as_deref().unwrap_or("127.0.0.1")),
            &no_spaces,
        )?;
        let known_port = before.get("asterisk", "port").and_then(toml::Value::as_integer);
        let port = flags.port.or(known_port.and_then(|port| u16::try_from(port).ok()));
        let port = port.or(found.map(|(_, port)| port)).unwrap_or(5038);
        let pbx = flags.pbx.as_deref().or(before.text_of("asterisk", "name")).unwrap_or("office").to_owned();
        let username = flags.username.as_deref().or(before.text_of("asterisk", "username"));
        let username = username.unwrap_or("pinconnector").to_owned();
        let region = ask.one(
            "--region",
            flags.region.as_deref(),
            "The country whose numbers you dial, two letters (RU, KZ, BY, DE ...)",
            before.text_of("numbers", "region"),
            &region_is_known,
        )?;
        let crm = Self::crm(flags, before, &mut ask)?;
        let records = Self::records(flags, before, host, &mut ask)?;
        Ok(Self {
            ami_secret: ami_secret(flags, before, host, &username)?,
            channel: if before.get("click_to_call", "channel").is_some() && before.text.is_some() {
                None
            } else {
                host.and_then(usual_channel)
            },
            recordings: match before.text_of("asterisk", "recordings") {
                Some(folder) => Some(folder.into()),
                None => host.map(Host::recordings).filter(|folder| folder.is_dir()),
            },
            keep_variables: before.keep_variables(),
            pbx,
            host: asterisk_host,
            port,
            username,
            region: region.to_ascii_uppercase(),
            records,
            crm,
        })
    }

    fn crm(flags: &Flags, before: &Before, ask: &mut Questions<'_, '_>) -> Result<Option<CrmWishes>, Failure> {
        if flags.no_crm {
            return Ok(None);
        }
        let kinds = |kind: &str| match kind {
            "calls" | "pbxmanager" | "webhook" => Ok(()),
            "" | "none" => Ok(()),
            other => Err(format!("{other:?}: calls, pbxmanager, webhook or none")),
        };
        let question = "What gets the calls: vTiger with our module (calls), vTiger as it is (pbxmanager), another program \
                        (webhook), nothing yet (none)";
        let known = before.text_of("crm", "kind");
        let without = if flags.crm_url.is_some() { None } else { Some("none") };
        let default = known.or(if flags.yes { without } else { Some("calls") });
        let kind = ask.one("--crm-kind", flags.crm_kind.as_deref(), question, default, &kinds)?;
        if kind == "none" {
            return Ok(None);
        }
        let question = if kind == "webhook" {
            "The address that takes the calls"
        } else {
            "vTiger's address, as the browser shows it"
        };
        let known = before.text_of("crm", "url");
        let url = ask.one("--crm-url", flags.crm_url.as_deref(), question, known, &is_address)?;
        let name = flags.crm.as_deref().or(before.text_of("crm", "name"));
        let name = name.unwrap_or(if kind == "webhook" { "webhook" } else { "vtiger" }).to_owned();
        let given = flags.crm_secret_file.as_deref().map(secret_in).transpose()?;
        let known = given.or_else(|| before.secret("crm"));
        let is_new = known.is_none();
        let secret = match known {
            Some(secret) => secret,
            None => random_secret()?,
        };
        Ok(Some(CrmWishes { name, kind, url, secret, is_new }))
    }

    fn records(
        flags: &Flags,
        before: &Before,
        host: Option<&Host>,
        ask: &mut Questions<'_, '_>,
    ) -> Result<String, Failure> {
        let known = before.text_of("calls", "records").filter(|_| before.text.is_some());
        let only_queues = known.is_none() && flags.records.is_none() && host.is_some_and(has_only_queues);
        let kinds = |kind: &str| match kind {
            "per-phone" | "per-call" => Ok(()),
            other => Err(format!("{other:?}: per-phone or per-call")),
        };
        if let Some(records) = flags.records.as_deref().or(known) {
            return ask.one("--records", Some(records), "", None, &kinds);
        }
        if !only_queues {
            return Ok("per-phone".to_owned());
        }
        let question = "Calls from outside come to queues only. One record per call (per-call), or one for each phone that \
                        rings (per-phone)";
        ask.one("--records", None, question, Some("per-call"), &kinds)
    }
}

struct Questions<'q, 'a> {
    asker: &'q mut Asker<'a>,
}

impl Questions<'_, '_> {
    /// By the flag, else by asking.
    fn one(
        &mut self,
        flag: &str,
        given: Option<&str>,
        question: &str,
        default: Option<&str>,
        good: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<String, Failure> {
        let bad = |why: String| Failure::new(exit::USAGE, format!("{flag}: {why}"));
        if let Some(given) = given {
            good(given).map_err(bad)?;
            return Ok(given.to_owned());
        }
        let answer = self.asker.ask(question, default, good).map_err(|e| Failure::new(exit::USAGE, e.to_string()))?;
        answer.ok_or_else(|| Failure::new(exit::USAGE, format!("{flag} is needed: {question}")))
    }
}

fn no_spaces(host: &str) -> Result<(), String> {
    let good = !host.is_empty() && !host.contains(char::is_whitespace) && !host.contains('/');
    if good { Ok(()) } else { Err(format!("{host:?} is no name or address of a machine")) }
}

fn region_is_known(region: &str) -> Result<(), String> {
    let settings = NumbersSettings { region: Some(region.to_ascii_uppercase()), ..NumbersSettings::default() };
    if region.len() != 2 {
        return Err("two letters, as RU".to_owned());
    }
    Numbers::new(&settings)
        .map(|_| ())
        .map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "))
}

fn is_address(url: &str) -> Result<(), String> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(());
    }
    Err(format!("{url:?} must begin with https:// or http://"))
}

/// The secret both sides are to have: the one given, the one we have, the one Asterisk has, or a new one.
fn ami_secret(flags: &Flags, before: &Before, host: Option<&Host>, username: &str) -> Result<Secret, Failure> {
    if let Some(file) = &flags.ami_secret_file {
        return secret_in(file);
    }
    // Asterisk's goes first: others may use that account, too.
    let theirs =
        host.and_then(|host| host.manager.get(username, "secret")).filter(|s| *s != PLACEHOLDER && !s.is_empty());
    match theirs.map(Secret::new).or_else(|| before.secret("asterisk")) {
        Some(secret) => Ok(secret),
        None => random_secret(),
    }
}

fn secret_in(file: &Path) -> Result<Secret, Failure> {
    let text = fs::read_to_string(file).map_err(|error| failed(&file.display().to_string(), &error))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.chars().any(char::is_control) {
        return Err(Failure::new(exit::DATA, format!("{}: it must hold the secret, in one line", file.display())));
    }
    Ok(Secret::new(secret))
}

fn random_secret() -> Result<Secret, Failure> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(SECRET_CHARS);
    while text.len() < SECRET_CHARS {
        let mut random = [0_u8; 64];
        getrandom::fill(&mut random).map_err(|e| Failure::new(exit::SYSTEM, format!("no randomness: {e}")))?;
        // 248 is the largest multiple of 62: no letter is likelier than another.
        let fair = random.iter().filter(|byte| **byte < 248).map(|byte| char::from(LETTERS[usize::from(byte % 62)]));
        text.extend(fair.take(SECRET_CHARS - text.len()));
    }
    Ok(Secret::new(text))
}

/// What a click-to-call rings first on this exchange, if it is not what we assume.
fn usual_channel(host: &Host) -> Option<String> {
    if host.is_freepbx {
        return Some("Local/{extension}@from-internal/n".to_owned());
    }
    let endpoints = host.endpoints();
    let has = |technology: &str| endpoints.iter().any(|endpoint| endpoint.technology == technology);
    (has("SIP") && !has("PJSIP")).then(|| "SIP/{extension}".to_owned())
}

/// Whether everything that comes from outside goes to queues.
fn has_only_queues(host: &Host) -> bool {
    let Some(dialplan) = host.dialplan() else { return false };
    let numbers = Numbers::new(&NumbersSettings::default()).expect("the defaults are good");
    let endpoints = host.endpoints();
    let trunks = endpoints.iter().filter(|endpoint| !numbers.is_extension(&endpoint.name));
    let mut contexts: Vec<&str> = trunks.map(|trunk| trunk.context.as_str()).collect();
    if contexts.is_empty() {
        contexts.extend(["from-trunk", "from-pstn", "incoming"]);
    }
    let leads = dialplan.leads(contexts);
    leads.to_queues && !leads.to_phones
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let [one, two] = [(); 2].map(|()| random_secret().expect("random"));
        assert_eq!(one.expose().len(), SECRET_CHARS);
        assert!(one.expose().chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(one, two);
    }

    #[test]
    fn answers_are_judged() {
        assert!(region_is_known("ru").is_ok() && region_is_known("KZ").is_ok());
        assert!(region_is_known("RUS").is_err() && region_is_known("QQ").is_err());
        assert!(is_address("https://crm.example.com").is_ok() && is_address("crm.example.com").is_err());
        assert!(no_spaces("pbx.example.com").is_ok() && no_spaces("a b").is_err() && no_spaces("").is_err());
    }

    #[test]
    fn what_is_shipped_counts_as_nothing_written_yet() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pinconnector.toml");
        assert!(Before::read(&file).expect("nothing").text.is_none());
        fs::write(&file, SHIPPED).expect("written");
        let before = Before::read(&file).expect("read");
        assert!(before.text.is_none() && before.get("asterisk", "host").is_none());
        fs::write(&file, "[[asterisk]]\nhost = \"pbx\"\nsecret = \"x\"\n").expect("written");
        let before = Before::read(&file).expect("read");
        assert_eq!(before.text_of("asterisk", "host"), Some("pbx"));
        assert_eq!(before.secret("asterisk"), Some(Secret::new("x")));
        fs::write(&file, "[[asterisk]]\n[[asterisk]]\n").expect("written");
        assert!(Before::read(&file).is_err());
    }
}
