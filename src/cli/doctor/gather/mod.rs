//! Finds out how things are: asks the exchanges and CRMs, reads Asterisk's files, looks at this machine. Judges nothing.
//!
//! Every question has a deadline; exchanges and CRMs are asked one after another.

mod exchange;
mod here;

use std::sync::Arc;

use super::Options;
use super::facts::{CdrSource, Crm, Exchange, Facts, Files, Recordings};
use crate::cdr::{CdrSettings, Source};
use crate::cli::host::Host;
use crate::cli::host::conf::is_true;
use crate::clock::Now;
use crate::config::Config;
use crate::crm::{self, trial};

/// Everything about `config`.
pub fn gather(config: &Config, options: &Options) -> Facts {
    let host = Host::find(options.asterisk_root.as_deref(), options.asterisk_conf.as_deref());
    Facts {
        exchanges: config
            .asterisk
            .iter()
            .zip(config.cdr.iter().chain(std::iter::repeat(&None)))
            .map(|(section, cdr)| {
                let mut exchange = exchange(config, section, host.as_ref(), options);
                exchange.cdr_source = cdr.as_ref().map(|cdr| cdr_source(cdr, config.zone_of(section)));
                exchange
            })
            .collect(),
        crms: config.crm.iter().map(crm).collect(),
        here: here::look(config),
        rules: config.rules(),
    }
}

fn exchange(
    config: &Config,
    section: &crate::ami::AsteriskSettings,
    host: Option<&Host>,
    options: &Options,
) -> Exchange {
    let link = section.link(crate::asterisk::PbxId(0), &[]);
    let address = &link.address;
    // Files of this machine are those of an exchange on this machine.
    let is_here = options.asterisk_root.is_some() || is_loopback(&address.host);
    let host = host.filter(|_| is_here);
    let files = host.map(|host| files(host, &section.username));
    let click = &config.click_to_call;
    Exchange {
        name: section.name.clone(),
        host: address.host.clone(),
        port: address.port,
        username: section.username.clone(),
        has_tls: section.tls,
        weak_secret: weak_secret(&section.username, section.secret.expose()),
        seen: Some(exchange::ask(address, &config.calls.keep_variables, !options.no_trial)),
        is_bound_to_world: host.is_some_and(is_bound_to_world) || here::listens_everywhere(&address.host, address.port),
        files,
        recordings: section.recordings.as_ref().map(|folder| Recordings {
            folder: folder.clone(),
            listed: std::fs::read_dir(folder).map(Iterator::count).map_err(|error| error.to_string()),
        }),
        // Read afterwards.
        cdr_source: None,
        keep_variables: config.calls.keep_variables.clone(),
        click_context: click.enabled.then(|| section.context.clone().unwrap_or_else(|| click.context.clone())),
    }
}

/// What the call detail records of the last day tell.
fn cdr_source(settings: &CdrSettings, zone: jiff::tz::TimeZone) -> CdrSource {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let source = Source::new(settings.clone(), zone);
    let now_ms = Now::read().wall_ms;
    let read = source.read(now_ms - DAY_MS, now_ms).map_err(|error| error.to_string());
    CdrSource { place: source.place(), read: read.map(|rows| (rows.rows.len(), rows.tells)) }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_bound_to_world(host: &Host) -> bool {
    let bound = host.manager.get("general", "bindaddr").unwrap_or("0.0.0.0");
    matches!(bound, "0.0.0.0" | "::" | "[::]") && host.manager.get("general", "enabled").is_some_and(is_true)
}

fn files(host: &Host, username: &str) -> Files {
    let words = |text: Option<&str>| -> Vec<String> {
        let words = text.unwrap_or_default().split(',').map(|word| word.trim().to_ascii_lowercase());
        words.filter(|word| !word.is_empty()).collect()
    };
    let manager = &host.manager;
    let accounts = manager.live().filter(|section| section.name != "general");
    let weak = accounts
        .filter_map(|section| Some((section.name.clone(), weak_secret(&section.name, section.get("secret")?)?)));
    let cdr = host.etc.read("cdr.conf").unwrap_or_default();
    Files {
        manager_enabled: manager.get("general", "enabled").is_some_and(is_true),
        account: manager.section(username).map(|section| super::facts::Account {
            read: words(section.get("read")),
            write: words(section.get("write")),
        }),
        weak_accounts: weak.collect(),
        cdr_manager: host
            .etc
            .read("cdr_manager.conf")
            .ok()
            .map(|conf| conf.get("general", "enabled").is_some_and(is_true)),
        cdr_unanswered: cdr.get("general", "unanswered").is_some_and(is_true),
        endpoints: host.endpoints(),
        dialplan: host.dialplan(),
        unreadable: host.unreadable.clone(),
    }
}

/// Which kind of secret that is not one.
fn weak_secret(username: &str, secret: &str) -> Option<&'static str> {
    // What distributions, books and forums have spread.
    const KNOWN: [&str; 22] = [
        "amp111",
        "amp109",
        "admin",
        "secret",
        "password",
        "passw0rd",
        "mysecret",
        "mysecret5",
        "asterisk",
        "elastix",
        "elastix456",
        "freepbx",
        "issabel",
        "manager",
        "cc",
        "sipuser",
        "test",
        "demo",
        "changeme",
        "vtiger",
        "mark",
        "pbx",
    ];
    if secret.starts_with("CHANGE-ME") {
        Some("the one of our example")
    } else if KNOWN.iter().any(|known| secret.eq_ignore_ascii_case(known)) {
        Some("one that everybody knows")
    } else if secret.eq_ignore_ascii_case(username) {
        Some("the account's own name")
    } else if secret.len() < 8 {
        Some("shorter than 8 characters")
    } else {
        None
    }
}

fn crm(section: &crate::crm::CrmSettings) -> Crm {
    let opened = crm::Crm::open(section).ok().map(|(crm, _)| Arc::new(crm));
    Crm {
        name: section.name.clone(),
        kind: section.kind,
        address: opened.as_ref().map_or_else(|| section.url.clone(), |crm| crm.address()),
        trial: opened.as_ref().map(trial::try_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_are_none_are_known() {
        assert!(weak_secret("admin", "amp111").is_some());
        assert!(weak_secret("pinconnector", "PINconnector").is_some());
        assert!(weak_secret("x", "a1b2c3d").is_some());
        assert!(weak_secret("x", "CHANGE-ME-to-a-long-random-password").is_some());
        assert!(weak_secret("x", "nai3Ohgh4eeyoh7u").is_none());
    }
}
