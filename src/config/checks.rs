//! What only shows when sections are laid side by side, and what the file itself looks like from outside.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Config;
use super::document::Document;
use super::problem::Problem;
use crate::crm::settings::problems_between;
use crate::crm::{self, Crm};
use crate::phone::{EndpointPattern, Numbers};
use crate::store::StoreKind;
use crate::store::settings::HISTORY;

/// Who may read and write the file.
pub fn file_mode(file: &Path, holds_secrets: bool, problems: &mut Vec<Problem>) {
    let Ok(metadata) = std::fs::metadata(file) else { return };
    let mode = metadata.permissions().mode();
    if mode & 0o002 != 0 {
        let text = "everybody on this machine may change it, and so run programs as us: chmod o-w it";
        problems.push(Problem::error("", text));
    }
    if holds_secrets && mode & 0o004 != 0 {
        let text = "it holds secrets and everybody on this machine may read it: chmod 640 it, or use secret_file";
        problems.push(Problem::warning("", text));
    }
}

/// Everything that needs more than one section, or more than its shape, to be seen.
pub fn between_sections(config: &Config, document: &mut Document<'_>) {
    let mut found = Vec::new();
    time_zone(config, document, &mut found);
    numbers(config, document, &mut found);
    calls(config, document, &mut found);
    asterisk(config, document, &mut found);
    crms(config, document, &mut found);
    window(config, document, &mut found);
    store(config, document, &mut found);
    pair(config, document, &mut found);
    for (key, text) in config.hours.read().err().unwrap_or_default() {
        let line = document.section_line("hours", 0);
        found.push(Problem::error(&format!("[hours] {}", key.trim_end()), text).at_line(line));
    }
    for (key, text) in config.recordings.problems(config.store.keep_days) {
        let line = document.section_line("recordings", 0);
        found.push(Problem::error(&format!("[recordings] {key}"), text).at_line(line));
    }
    document.problems.append(&mut found);
    document.problems.sort_by_key(|problem| problem.line.unwrap_or(0));
}

fn time_zone(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    if let Some(name) = &config.time_zone
        && let Err(error) = jiff::tz::TimeZone::get(name)
    {
        let text = format!("no time zone {name:?} ({error}): write it as Europe/Moscow, and install tzdata");
        found.push(Problem::error("time_zone", text).at_line(document.section_line("time_zone", 0)));
    }
}

fn numbers(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    let line = document.section_line("numbers", 0);
    if config.numbers.region.is_none() {
        let text = "the country the exchange stands in is not set, so numbers cannot be compared: add `region = \"RU\"` \
                    (or another country's two letters) to [numbers]";
        found.push(Problem::error("[numbers] region", text).at_line(line));
    }
    if let Err(problems) = Numbers::new(&config.numbers) {
        for problem in problems {
            let place = format!("[numbers] {}", problem.key);
            found.push(Problem::error(&place, problem.message).at_line(line));
        }
    }
}

fn calls(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    let line = document.section_line("calls", 0);
    let calls = &config.calls;
    for (key, patterns) in
        [("ignore_extensions", &calls.ignore_extensions), ("private_extensions", &calls.private_extensions)]
    {
        for pattern in patterns {
            if let Err(bad) = EndpointPattern::parse(pattern) {
                found.push(Problem::error(&format!("[calls] {key}"), bad.to_string()).at_line(line));
            }
        }
    }
    for (section, crm) in config.crm.iter().enumerate() {
        let line = document.section_line("crm", section);
        let matching = &crm.matching;
        let all = [&matching.pbx, &matching.trunk, &matching.did, &matching.context, &matching.extension];
        for pattern in all.into_iter().flatten() {
            if let Err(bad) = EndpointPattern::parse(pattern) {
                found.push(Problem::error("[[crm]] match", format!("{pattern:?} {bad}")).at_line(line));
            }
        }
    }
    if !(1..=365).contains(&calls.follow_up_days) {
        let text = format!("{} days: 1 to 365 are allowed", calls.follow_up_days);
        found.push(Problem::error("[calls] follow_up_days", text).at_line(line));
    }
}

fn asterisk(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    if config.asterisk.is_empty() {
        let text = "there is no exchange to listen to: add a section [[asterisk]] with name, host, username and secret";
        found.push(Problem::error("[[asterisk]]", text));
    }
    let mut names = HashSet::new();
    for (nth, section) in config.asterisk.iter().enumerate() {
        let line = document.section_line("asterisk", nth);
        for problem in section.problems() {
            let place = format!("[[asterisk]] {:?} {}", section.name, problem.key);
            found.push(Problem::error(&place, problem.message).at_line(line));
        }
        for problem in config.cdr.get(nth).into_iter().flatten().flat_map(crate::cdr::CdrSettings::problems) {
            let place = format!("[[asterisk]] {:?} {}", section.name, problem.key);
            let told = if problem.fatal {
                Problem::error(&place, problem.message)
            } else {
                Problem::warning(&place, problem.message)
            };
            found.push(told.at_line(line));
        }
        if let (Ok(_), Err(problems)) =
            (Numbers::new(&config.numbers), Numbers::new(&config.numbers.with(&section.numbers)))
        {
            for problem in problems {
                let place = format!("[[asterisk]] {:?} numbers.{}", section.name, problem.key);
                found.push(Problem::error(&place, problem.message).at_line(line));
            }
        }
        for (trunk, other) in &section.peers {
            let there = config.asterisk.iter().any(|own| own.name == *other);
            let text = match (there, *other == section.name) {
                (true, false) => continue,
                (_, true) => format!("{trunk:?} leads to this exchange itself"),
                (false, _) => format!("{trunk:?} leads to {other:?}, and there is no [[asterisk]] of that name"),
            };
            found.push(Problem::error(&format!("[[asterisk]] {:?} peers", section.name), text).at_line(line));
        }
        if !names.insert(&section.name) {
            let text = "another [[asterisk]] has this name, too; ids of calls begin with it, so it must be unique";
            found.push(Problem::error(&format!("[[asterisk]] {:?} name", section.name), text).at_line(line));
        }
    }
}

fn window(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    if let Err(error) = config.reconcile.time() {
        let text =
            format!("{:?} is no time of day ({error}): write it as 03:30, or \"\" for never", config.reconcile.at);
        found.push(Problem::error("[reconcile] at", text).at_line(document.section_line("reconcile", 0)));
    }
    if let Ok(numbers) = Numbers::new(&config.numbers)
        && let Err(problems) = config.agi.check(&numbers)
    {
        for problem in problems {
            let place = format!("[agi] {}", problem.key);
            found.push(Problem::error(&place, problem.message).at_line(document.section_line("agi", 0)));
        }
    }
    for (section, problems) in [("http", config.http.problems()), ("click_to_call", config.click_to_call.problems())] {
        for problem in problems {
            let place = format!("[{section}] {}", problem.key);
            let told = if problem.fatal {
                Problem::error(&place, problem.message)
            } else {
                Problem::warning(&place, problem.message)
            };
            found.push(told.at_line(document.section_line(section, 0)));
        }
    }
}

fn store(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    let line = document.section_line("store", 0);
    for problem in config.store.problems(config.calls.follow_up_days) {
        found.push(Problem::error(&format!("[store] {}", problem.key), problem.message).at_line(line));
    }
    if config.store.kind == StoreKind::Mongodb
        && let Some(nth) = config.crm.iter().position(|section| section.name == HISTORY)
    {
        let text = "the history in MongoDB has this name in the outbox: give the CRM another";
        found.push(Problem::error("[[crm]] name", text).at_line(document.section_line("crm", nth)));
    }
}

fn pair(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    let line = document.section_line("pair", 0);
    if !config.pair.lease.is_empty() && config.store.kind != StoreKind::Mongodb {
        let text = "two connectors for one exchange agree through MongoDB who is active: set [store] kind = \"mongodb\" \
                    (the same database in both), or empty this key";
        found.push(Problem::error("[pair] lease", text).at_line(line));
    }
    for (key, text) in [("lease", &config.pair.lease), ("name", &config.pair.name)] {
        if text.len() > 100 || text.chars().any(char::is_control) {
            let text = "at most 100 characters, without control characters";
            found.push(Problem::error(&format!("[pair] {key}"), text).at_line(line));
        }
    }
}

fn crms(config: &Config, document: &Document<'_>, found: &mut Vec<Problem>) {
    if config.crm.is_empty() {
        let text = "there is no CRM: calls are kept in the local database and sent nowhere. Add a section [[crm]]";
        found.push(Problem::warning("[[crm]]", text));
    }
    let mut tell = |nth: usize, name: &str, problem: crm::Problem| {
        let place = format!("[[crm]] {name:?} {}", problem.key);
        let told = if problem.fatal {
            Problem::error(&place, problem.message)
        } else {
            Problem::warning(&place, problem.message)
        };
        found.push(told.at_line(document.section_line("crm", nth)));
    };
    for (nth, section) in config.crm.iter().enumerate() {
        let problems = match Crm::open(section) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        };
        for problem in problems {
            tell(nth, &section.name, problem);
        }
        for pbx in section.matching.pbx.iter().filter(|pbx| !config.asterisk.iter().any(|a| a.name == **pbx)) {
            let message = format!("there is no [[asterisk]] named {pbx:?}");
            tell(nth, &section.name, crm::Problem { key: "match", message, fatal: true });
        }
    }
    for (name, problem) in problems_between(&config.crm) {
        let nth = config.crm.iter().rposition(|section| section.name == name).unwrap_or(0);
        tell(nth, &name, problem);
    }
}
