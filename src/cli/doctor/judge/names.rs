//! What the exchange consists of, as our rules see it: extensions, trunks, queues, contexts; and contexts of trunks that know
//! not every number.

use std::collections::BTreeMap;

use super::super::facts::{Exchange, Seen};
use super::super::finding::{Finding, Findings};
use super::some_of;
use crate::asterisk::ChannelName;
use crate::call::Rules;
use crate::call::model::Party;

pub fn judge(exchange: &Exchange, rules: &Rules, found: &mut Vec<Finding>) {
    let mut say = Findings::about(format!("exchange {}", exchange.name), found);
    let seen = exchange.seen.as_ref().and_then(|seen| seen.as_ref().ok());
    let (extensions, trunks) = parties(exchange, seen, rules);
    if seen.is_some() || exchange.files.is_some() {
        parties_said(&extensions, &trunks, &mut say);
    }
    if let Some(seen) = seen {
        say.ok(
            "queues",
            match seen.queues.len() {
                0 => "no queues".to_owned(),
                count => format!("{count}: {}", some_of(&seen.queues)),
            },
        );
    }
    contexts(exchange, seen, rules, &mut say);
}

/// Names of extensions and of trunks, from devices that Asterisk named and endpoints of its files.
fn parties(exchange: &Exchange, seen: Option<&Seen>, rules: &Rules) -> (Vec<String>, Vec<String>) {
    let (mut extensions, mut trunks) = (Vec::new(), Vec::new());
    let devices = seen.and_then(|seen| seen.devices.as_ref()).into_iter().flatten().cloned();
    let endpoints = exchange.files.iter().flat_map(|files| &files.endpoints);
    let endpoints = endpoints.map(|endpoint| format!("{}/{}", endpoint.technology, endpoint.name));
    // `Queue:sales`, `Local/…`, `confbridge:600` are states of things that are no phones.
    let real = |name: &String| name.contains('/') && !name.contains(':') && !name.starts_with("MWI/");
    for name in devices.chain(endpoints).filter(real) {
        // A channel has a counter behind its endpoint.
        match rules.party(rules.pbx_id(&exchange.name), &ChannelName::new(&format!("{name}-00000000"))) {
            Some(Party::Extension(extension)) => extensions.push(extension),
            Some(Party::Trunk(trunk)) => trunks.push(trunk),
            _ => {}
        }
    }
    for names in [&mut extensions, &mut trunks] {
        names.sort();
        names.dedup();
    }
    (extensions, trunks)
}

fn parties_said(extensions: &[String], trunks: &[String], say: &mut Findings<'_>) {
    if extensions.is_empty() {
        say.warning(
            "extensions",
            "no device looks like a person's extension: every call would be between trunks",
            "set extensions in [numbers] to how your phones' endpoints are named",
        );
    } else {
        say.ok("extensions", format!("{}: {}", extensions.len(), some_of(extensions)));
    }
    if trunks.is_empty() {
        say.warning(
            "trunks",
            "no device looks like a trunk: every call would be an internal one",
            "if your provider's endpoint is named like an extension, name it under trunks in [numbers]",
        );
    } else {
        say.ok("trunks", format!("{}: {}", trunks.len(), some_of(trunks)));
    }
}

fn contexts(exchange: &Exchange, seen: Option<&Seen>, rules: &Rules, say: &mut Findings<'_>) {
    let of_files = exchange.files.as_ref().and_then(|files| files.dialplan.as_ref());
    let Some(dialplan) = seen.and_then(|seen| seen.dialplan.as_ref()).or(of_files) else { return };
    say.ok("contexts", format!("{} in the dialplan", dialplan.contexts.len()));
    let Some(files) = &exchange.files else {
        say.unknown(
            "catch-all",
            "into which contexts the trunks' calls come is only known on Asterisk's machine; there, run this with \
             --asterisk-root",
        );
        return;
    };
    let is_extension = |name: &str| rules.numbers.at(rules.pbx_id(&exchange.name).0).is_extension(name);
    // Context: (extensions, trunks) whose calls come into it.
    let mut users: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for endpoint in &files.endpoints {
        let (extensions, trunks) = users.entry(&endpoint.context).or_default();
        if is_extension(&endpoint.name) { extensions.push(&endpoint.name) } else { trunks.push(&endpoint.name) }
    }
    for (context, (extensions, trunks)) in &users {
        mixed(context, extensions, trunks, say);
        if trunks.is_empty() {
            continue;
        }
        match dialplan.takes_unknown_numbers(context) {
            Some(true) => say.ok("catch-all", format!("[{context}] ({}) takes every number", some_of(trunks))),
            Some(false) => say.warning(
                "catch-all",
                format!(
                    "[{context}] ({}) does not know every number: calls to others leave no trace in Asterisk, no missed call",
                    some_of(trunks)
                ),
                format!("as the last line of [{context}]: include => pinconnector-catch-all   then: dialplan reload"),
            ),
            None if dialplan.contexts.contains_key(*context) => {
                say.unknown("catch-all", format!("[{context}] asks another dialplan (switch), which is not seen from here"));
            }
            None => say.failure(
                "catch-all",
                format!("the dialplan has no [{context}], where the calls of {} come in", some_of(trunks)),
                "its calls are refused: correct context of the endpoint, or write that context",
            ),
        }
    }
}

/// Endpoints of both kinds in one context: one of them is probably taken for the wrong kind.
fn mixed(context: &str, extensions: &[&str], trunks: &[&str], say: &mut Findings<'_>) {
    if extensions.is_empty() || trunks.is_empty() {
        return;
    }
    let (few, kind, key) = if extensions.len() < trunks.len() {
        (extensions, "extension", "trunks")
    } else {
        (trunks, "trunk", "extensions")
    };
    say.warning(
        "classification",
        format!(
            "{} is taken for a{} {kind}, but shares [{context}] with the others",
            some_of(few),
            if kind == "extension" { "n" } else { "" }
        ),
        format!(
            "if that is wrong, name it under {key} in [numbers]; if it is right, give trunks a context of their own"
        ),
    );
}
