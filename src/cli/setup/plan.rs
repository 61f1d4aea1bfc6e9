//! What is wanted, as files: our configuration and secrets, and what Asterisk needs. Nothing is written here.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use super::asterisk_text::{self, CDR_MANAGER, DIALPLAN, PLACEHOLDER};
use super::files::{Change, Owner};
use super::toml_text::{quoted, set, unset};
use super::wishes::{Before, SHIPPED, Wishes};
use crate::cli::Failure;
use crate::cli::host::Host;
use crate::cli::host::conf::is_true;
use crate::config::Config;
use crate::daemon::process::exit;

/// The pieces of dialplan, as the snippets' own words have it.
const DIALPLAN_FILE: &str = "extensions-pinconnector.conf";
/// The same for FreePBX, which leaves alone what ends so.
const DIALPLAN_FILE_FREEPBX: &str = "extensions_pinconnector_custom.conf";

/// Every file as it shall be.
///
/// # Errors
/// If the configuration that comes out is not good: something in the old one is not.
pub fn changes(wishes: &Wishes, before: &Before, file: &Path, host: Option<&Host>) -> Result<Vec<Change>, Failure> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let ours = |path: PathBuf, text: String, what| Change { path, text, owner: Owner::Ours, what };
    let mut changes = vec![ours(
        folder.join("asterisk.secret"),
        format!("{}\n", wishes.ami_secret.expose()),
        "secret of the manager account",
    )];
    if let Some(crm) = &wishes.crm {
        let path = folder.join(format!("{}.secret", crm.name));
        changes.push(ours(path, format!("{}\n", crm.secret.expose()), "secret shared with the CRM"));
    }
    let text = configuration(wishes, before, folder);
    check(&text, folder)?;
    changes.push(ours(file.to_owned(), text, "our configuration"));
    match host {
        Some(host) if host.is_freepbx => changes.extend(for_freepbx(wishes, host)),
        Some(host) => changes.extend(for_plain(wishes, host)),
        None => changes.extend(to_be_carried(wishes, folder)),
    }
    Ok(changes)
}

/// What Asterisk's console must be told so that it reads what was changed.
pub fn reloads(changes: &[&Change], host: Option<&Host>) -> Vec<&'static str> {
    if host.is_none() {
        return Vec::new();
    }
    let mut commands = Vec::new();
    for change in changes {
        let name = change.path.file_name().unwrap_or_default().to_string_lossy();
        let in_manager_folder = change.path.parent().is_some_and(|folder| folder.ends_with("manager.d"));
        let command = if name.starts_with("cdr_manager") {
            "module reload cdr_manager.so"
        } else if name.starts_with("manager") || in_manager_folder {
            "manager reload"
        } else {
            continue;
        };
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands
}

/// Where the pieces of dialplan lie on this exchange.
pub fn dialplan_file(host: Option<&Host>) -> &'static str {
    if host.is_some_and(|host| host.is_freepbx) { DIALPLAN_FILE_FREEPBX } else { DIALPLAN_FILE }
}

/// Where files for an Asterisk on another machine are put.
pub fn carried(folder: &Path) -> PathBuf {
    folder.join("for-asterisk")
}

fn configuration(wishes: &Wishes, before: &Before, folder: &Path) -> String {
    let path = |name: &str| quoted(&folder.join(name).display().to_string());
    let text = before.text.as_deref().unwrap_or(SHIPPED);
    let mut keys = vec![
        ("[[asterisk]]", "name", quoted(&wishes.pbx)),
        ("[[asterisk]]", "host", quoted(&wishes.host)),
        ("[[asterisk]]", "username", quoted(&wishes.username)),
        ("[[asterisk]]", "secret_file", path("asterisk.secret")),
        ("[numbers]", "region", quoted(&wishes.region)),
        ("[calls]", "records", quoted(&wishes.records)),
    ];
    let says_port = wishes.port != 5038 || before.text.as_deref().is_some_and(|text| text.contains("\nport = "));
    if says_port {
        keys.push(("[[asterisk]]", "port", wishes.port.to_string()));
    }
    if let Some(folder) = &wishes.recordings {
        keys.push(("[[asterisk]]", "recordings", quoted(&folder.display().to_string())));
    }
    if let Some(channel) = &wishes.channel {
        keys.push(("[click_to_call]", "channel", quoted(channel)));
    }
    let secret;
    if let Some(crm) = &wishes.crm {
        secret = format!("{}.secret", crm.name);
        keys.extend([
            ("[[crm]]", "name", quoted(&crm.name)),
            ("[[crm]]", "kind", quoted(&crm.kind)),
            ("[[crm]]", "url", quoted(&crm.url)),
            ("[[crm]]", "secret_file", path(&secret)),
        ]);
    }
    let text = unset(text, "[[asterisk]]", "secret");
    let text = if wishes.crm.is_some() { unset(&text, "[[crm]]", "secret") } else { text };
    keys.into_iter().fold(text, |text, (section, key, value)| set(&text, section, key, &value))
}

/// Problems would show at the start; better before anything is written. The secrets' files are not there yet.
fn check(text: &str, folder: &Path) -> Result<(), Failure> {
    let mut with_secrets = String::with_capacity(text.len());
    for line in text.lines() {
        let ours = line.strip_prefix("secret_file = ").filter(|path| path.contains(&folder.display().to_string()));
        with_secrets.push_str(if ours.is_some() {
            "secret = \"a-secret-that-is-long-enough-to-be-one\""
        } else {
            line
        });
        with_secrets.push('\n');
    }
    match Config::parse(&with_secrets) {
        Ok(_) => Ok(()),
        Err(bad) => {
            Err(Failure::new(exit::CONFIG, format!("the configuration would not be good; nothing was changed:\n{bad}")))
        }
    }
}

/// An Asterisk whose files are its administrator's.
fn for_plain(wishes: &Wishes, host: &Host) -> Vec<Change> {
    let owner = Owner::Like(host.etc.path("manager.conf"));
    let change = |path, text, what| Change { path, text, owner: owner.clone(), what };
    let mut changes = Vec::new();
    let manager = host.etc.path("manager.conf");
    let mut text = fs::read_to_string(&manager).unwrap_or_default();
    let has_folder = text.lines().any(|line| {
        let line = line.trim();
        line.starts_with("#include") && line.contains("manager.d/")
    });
    if !host.manager.get("general", "enabled").is_some_and(is_true) {
        text = asterisk_text::with_key(&text, "general", "enabled", "yes");
    }
    let account = account(wishes, None);
    match known_account(wishes, host) {
        Account::Foreign => {}
        Account::Absent | Account::Ours if has_folder => {
            let path = host.etc.path("manager.d/pinconnector.conf");
            changes.push(change(path, account, "account in Asterisk's manager interface"));
        }
        Account::Absent | Account::Ours => text = asterisk_text::with_block(&text, &account),
    }
    changes.insert(0, change(manager, text, "manager interface"));
    let cdr = host.etc.path("cdr_manager.conf");
    let text = fs::read_to_string(&cdr).unwrap_or_default();
    changes.push(change(cdr, cdr_manager(&text), "call records over the manager interface"));
    changes.push(change(
        host.etc.path(DIALPLAN_FILE),
        DIALPLAN.to_owned(),
        "pieces of dialplan to use, does nothing by itself",
    ));
    changes
}

/// FreePBX writes its files anew; what ends in `_custom.conf` is the administrator's.
fn for_freepbx(wishes: &Wishes, host: &Host) -> Vec<Change> {
    let owner = Owner::Like(host.etc.path("manager.conf"));
    let change = |path, text, what| Change { path, text, owner: owner.clone(), what };
    let mut changes = Vec::new();
    if !matches!(known_account(wishes, host), Account::Foreign) {
        let path = host.etc.path("manager_custom.conf");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let text = asterisk_text::with_block(&text, &account(wishes, None));
        changes.push(change(path, text, "account in Asterisk's manager interface"));
    }
    let cdr = host.etc.path("cdr_manager_custom.conf");
    if let Ok(text) = fs::read_to_string(&cdr) {
        changes.push(change(cdr, cdr_manager(&text), "call records over the manager interface"));
    }
    let path = host.etc.path(DIALPLAN_FILE_FREEPBX);
    changes.push(change(path, DIALPLAN.to_owned(), "pieces of dialplan to use, does nothing by itself"));
    changes
}

/// Asterisk is elsewhere: its files are put aside for the administrator.
fn to_be_carried(wishes: &Wishes, folder: &Path) -> Vec<Change> {
    let folder = carried(folder);
    let change = |name: &str, text, what| Change { path: folder.join(name), text, owner: Owner::Ours, what };
    let from = our_address(&wishes.host, wishes.port);
    vec![
        change(
            "manager.d-pinconnector.conf",
            account(wishes, from.as_deref()),
            "account, to be put on Asterisk's machine",
        ),
        change("cdr_manager.conf", CDR_MANAGER.to_owned(), "call records, for Asterisk's machine"),
        change(DIALPLAN_FILE, DIALPLAN.to_owned(), "pieces of dialplan, for Asterisk's machine"),
    ]
}

fn account(wishes: &Wishes, from: Option<&str>) -> String {
    asterisk_text::account(&wishes.username, wishes.ami_secret.expose(), from, &wishes.keep_variables)
}

enum Account {
    Absent,
    /// Written by this program, or our shipped file that nobody has put a password into.
    Ours,
    /// Somebody's, with a secret of his: it is used as it is.
    Foreign,
}

fn known_account(wishes: &Wishes, host: &Host) -> Account {
    let Some(section) = host.manager.section(&wishes.username) else { return Account::Absent };
    let secret = section.get("secret").unwrap_or_default();
    let generated = ["manager.d/pinconnector.conf", "manager_custom.conf", "manager.conf"]
        .iter()
        .any(|name| section.file == host.etc.path(name));
    // What only differs in the secret from what we write is ours; rights or filters that somebody changed stay.
    let rest = |text: &str| text.replace(secret, "");
    let file = fs::read_to_string(&section.file).unwrap_or_default();
    let written = account(wishes, None);
    let is_ours = generated
        && !secret.is_empty()
        && rest(&file).contains(rest(written.trim_end()).replace(wishes.ami_secret.expose(), "").as_str());
    if secret == PLACEHOLDER || is_ours { Account::Ours } else { Account::Foreign }
}

/// `cdr_manager.conf` switched on, with our fields.
fn cdr_manager(text: &str) -> String {
    let is_on = |text: &str| {
        text.lines().any(|line| {
            line.split_once('=').is_some_and(|(key, value)| {
                key.trim() == "enabled" && is_true(value.split(';').next().unwrap_or_default().trim())
            })
        })
    };
    let has = |text: &str, field: &str| {
        text.lines().any(|line| line.split_once("=>").is_some_and(|(key, _)| key.trim() == field))
    };
    let mut text = if text.trim().is_empty() { CDR_MANAGER.to_owned() } else { text.to_owned() };
    if !is_on(&text) {
        text = asterisk_text::with_key(&text, "general", "enabled", "yes");
    }
    for (field, shown) in [("recordingfile", "RecordingFile"), ("did", "Did")] {
        if !has(&text, field) {
            text = asterisk_text::with_key(&text, "mappings", field, &format!("> {shown}")).replace("= > ", "=> ");
        }
    }
    text
}

/// Under which address Asterisk's machine sees this one. Asks the routing table only; nothing is sent.
fn our_address(host: &str, port: u16) -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect((host, port)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_records_are_switched_on_with_our_fields_once() {
        assert_eq!(cdr_manager(""), CDR_MANAGER);
        assert_eq!(cdr_manager(CDR_MANAGER), CDR_MANAGER);
        let debian = ";\n[general]\nenabled = no\n\n[mappings]\n;rate => Rate\n";
        let on = cdr_manager(debian);
        assert_eq!(
            on,
            ";\n[general]\nenabled = yes\n\n[mappings]\ndid => Did\nrecordingfile => RecordingFile\n;rate => Rate\n"
        );
        assert_eq!(cdr_manager(&on), on);
    }
}
