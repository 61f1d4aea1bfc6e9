//! A CRM: reachable, the same secret, the same time, the same people.

use std::collections::BTreeSet;

use super::super::facts::{Crm, Facts};
use super::super::finding::{Finding, Findings};
use super::some_of;
use crate::asterisk::ChannelName;
use crate::call::model::Party;
use crate::crm::Kind;
use crate::crm::calls_module::UsersAnswer;
use crate::sign::MAX_CLOCK_DIFFERENCE_S;

/// Clocks that run apart so far will soon be apart too far.
const CLOCK_WARNING_S: i64 = 60;

pub fn judge(crm: &Crm, facts: &Facts, found: &mut Vec<Finding>) {
    let mut say = Findings::about(format!("CRM {}", crm.name), found);
    let Some(trial) = &crm.trial else {
        say.failure("settings", "they are not good", "`pinconnector check` says what is wrong");
        return;
    };
    match &trial.result {
        Err(trouble) => say.failure(
            "reachable",
            format!("{}: {}", crm.address, trouble.why),
            format!("{}; nothing is lost meanwhile: records wait until it takes them", trouble.remedy),
        ),
        Ok(taken) => {
            say.ok("reachable", format!("{} answers and takes our secret", crm.address));
            if let Some(words) = &taken.finds_fault {
                say.unknown(
                    "reachable",
                    format!("it finds fault with an empty list of records ({words}), which may be so"),
                );
            }
            if let Some(users) = &taken.users {
                people(users, facts, &mut say);
            }
        }
    }
    if trial.takes_anybody {
        say.failure(
            "secret",
            "vTiger takes requests without any secret: everybody who reaches it can write calls",
            "enter a secret key in vTiger's Settings, Integration, PBXManager, and the same here",
        );
    }
    clock(trial.clock_ahead_ms, crm.kind, &mut say);
}

fn clock(ahead_ms: Option<i64>, kind: Kind, say: &mut Findings<'_>) {
    let Some(ahead_ms) = ahead_ms else { return };
    // It tells whole seconds, cut.
    let ahead_s = (ahead_ms + 500).div_euclid(1000);
    let apart_s = ahead_s.abs();
    let text = format!("its clock is {apart_s} s {} ours", if ahead_s > 0 { "ahead of" } else { "behind" });
    let remedy = "set both clocks by NTP (timedatectl set-ntp true)";
    if apart_s > MAX_CLOCK_DIFFERENCE_S && kind != Kind::PbxManager {
        say.failure("clock", format!("{text}: signatures are good for {MAX_CLOCK_DIFFERENCE_S} s"), remedy);
    } else if apart_s > CLOCK_WARNING_S {
        say.warning("clock", text, remedy);
    } else {
        say.ok("clock", "its clock and ours agree");
    }
}

/// Who is in the CRM and has no phone, and the reverse.
fn people(answer: &UsersAnswer, facts: &Facts, say: &mut Findings<'_>) {
    let active = || answer.users.iter().filter(|user| user.active);
    let without: Vec<String> = active()
        .filter(|user| user.extensions.is_empty())
        .map(|user| user.user_name.clone().or_else(|| user.name.clone()).unwrap_or_else(|| user.user.clone()))
        .collect();
    if active().count() == 0 {
        say.warning(
            "users",
            "it names no users",
            "enter extensions on the users' cards in vTiger, so that calls get owners",
        );
        return;
    }
    if without.is_empty() {
        say.ok("users", format!("{} users, each with an extension", active().count()));
    } else {
        say.warning(
            "users",
            format!("{} of {} users have no extension: {}", without.len(), active().count(), some_of(&without)),
            "who calls needs one on the card in vTiger, else these calls have no owner; who does not call needs none",
        );
    }
    for exchange in &facts.exchanges {
        let Some(Ok(seen)) = &exchange.seen else { continue };
        let Some(devices) = &seen.devices else { continue };
        let theirs: BTreeSet<&str> = active()
            .flat_map(|user| &user.extensions)
            .filter(|extension| extension.pbx.as_ref().is_none_or(|pbx| *pbx == exchange.name))
            .map(|extension| extension.extension.as_str())
            .collect();
        let pbx = facts.rules.pbx_id(&exchange.name);
        let phones: BTreeSet<String> = devices
            .iter()
            .filter_map(|device| match facts.rules.party(pbx, &ChannelName::new(&format!("{device}-00000000"))) {
                Some(Party::Extension(extension)) if device.contains('/') => Some(extension),
                _ => None,
            })
            .collect();
        let nobodys: Vec<&String> = phones.iter().filter(|phone| !theirs.contains(phone.as_str())).collect();
        if !nobodys.is_empty() {
            say.warning(
                "extensions",
                format!(
                    "{} of {} at {} are nobody's: {}",
                    nobodys.len(),
                    phones.len(),
                    exchange.name,
                    some_of(&nobodys)
                ),
                "enter them on users' cards in vTiger, or their calls belong to nobody",
            );
        }
        let unknown: Vec<&&str> = theirs.iter().filter(|extension| !phones.contains(**extension)).collect();
        if !unknown.is_empty() {
            say.warning(
                "extensions",
                format!("users have extensions that {} does not know: {}", exchange.name, some_of(&unknown)),
                "correct the cards in vTiger, or [numbers] extensions",
            );
        }
        if nobodys.is_empty() && unknown.is_empty() {
            say.ok("extensions", format!("each extension of {} is somebody's", exchange.name));
        }
    }
}
