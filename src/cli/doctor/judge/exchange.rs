//! The way into an exchange: login, safety, rights, events, call records, recordings.

use super::super::facts::{Exchange, Files, Seen, Trials, Tried};
use super::super::finding::{Finding, Findings};
use super::version;

const RELOAD: &str = "then in Asterisk's console: manager reload";

pub fn judge(exchange: &Exchange, found: &mut Vec<Finding>) {
    let mut say = Findings::about(format!("exchange {}", exchange.name), found);
    match &exchange.seen {
        Some(Ok(seen)) => {
            say.ok("login", format!("logged in at {}:{} as \"{}\"", exchange.host, exchange.port, exchange.username));
            version(seen, &mut say);
            rights(exchange, seen, &mut say);
            events(exchange, seen, &mut say);
            call_records(exchange, seen, &mut say);
        }
        Some(Err(why)) => {
            say.failure("login", format!("{}:{}: {why}", exchange.host, exchange.port), login_remedy(exchange));
        }
        None => {}
    }
    safety(exchange, &mut say);
    recordings(exchange, &mut say);
    cdr_source(exchange, &mut say);
}

/// What the files say of why nobody is let in.
fn login_remedy(exchange: &Exchange) -> String {
    let username = &exchange.username;
    match &exchange.files {
        Some(Files { manager_enabled: false, unreadable: None, .. }) => {
            "manager.conf does not have enabled = yes in [general]; `pinconnector setup` sets it".to_owned()
        }
        Some(Files { account: None, unreadable: None, .. }) => {
            format!("manager.conf has no account [{username}]; `pinconnector setup` makes it, {RELOAD}")
        }
        Some(_) => format!(
            "compare secret and permit of [{username}] in manager.conf with [[asterisk]] {}; Asterisk's log says which is \
             wrong; after a change: manager reload",
            exchange.name
        ),
        None => format!(
            "look at [{username}] in manager.conf on {}: secret, permit (this machine's address), and at a firewall",
            exchange.host
        ),
    }
}

fn version(seen: &Seen, say: &mut Findings<'_>) {
    let Some(text) = &seen.version else {
        say.unknown("version", "the account may not ask (needs write = reporting)");
        return;
    };
    match version::judge(text) {
        version::Verdict::Good => say.ok("version", format!("Asterisk {text}")),
        version::Verdict::Old => say.warning(
            "version",
            format!("Asterisk {text} is older than what this was tried with (16 to 22)"),
            "calls may be recorded less well; send a capture if something is wrong",
        ),
        version::Verdict::Vulnerable { is_packaged } => {
            let text = format!(
                "Asterisk {text}: by its number CVE-2024-42365 is in it: whoever has an account with write = originate, as \
                 click-to-call needs it, can run programs as Asterisk"
            );
            let remedy = if is_packaged {
                "distributions mend without a new number: see whether your package names CVE-2024-42365 in its changelog; \
                 keep the account's permit narrow"
            } else {
                "update to 18.24.2, 20.9.2, 21.4.2 or later; until then keep the account's permit narrow, or take originate \
                 from it and set [click_to_call] enabled = false"
            };
            say.warning("version", text, remedy);
        }
        version::Verdict::Unreadable => say.unknown("version", format!("{text:?} is no number of a release")),
    }
}

fn rights(exchange: &Exchange, seen: &Seen, say: &mut Findings<'_>) {
    let account = &exchange.username;
    match seen.reporting {
        Tried::Allowed => say.ok("reporting", "it may ask which calls there are"),
        Tried::Denied => say.failure(
            "reporting",
            "it may not ask which calls there are: after each break of the link calls are lost or never end",
            format!("add reporting to write = of [{account}] in manager.conf, {RELOAD}"),
        ),
    }
    match (seen.originate, &exchange.click_context) {
        (Tried::Allowed, Some(_)) => say.ok("originate", "it may place calls"),
        (Tried::Allowed, None) => say.warning(
            "originate",
            "it may place calls, which click-to-call would need, but that is switched off",
            format!("take originate from write = of [{account}]: no right without use"),
        ),
        (Tried::Denied, Some(_)) => say.failure(
            "originate",
            "it may not place calls: no click-to-call works",
            format!(
                "add originate to write = of [{account}] in manager.conf, {RELOAD}; or [click_to_call] enabled = false"
            ),
        ),
        (Tried::Denied, None) => say.ok("originate", "it may not place calls, and need not"),
    }
    match seen.hangup {
        Tried::Allowed => say.ok("hangup", "it may hang up calls, so a click-to-call can be cancelled"),
        Tried::Denied => say.ok("hangup", "it may not hang up calls; only cancelling a click-to-call would need that"),
    }
    if let (Some(context), Some(dialplan)) = (&exchange.click_context, &seen.dialplan) {
        if dialplan.contexts.contains_key(context) {
            say.ok("click-context", format!("click-to-call goes to [{context}]"));
        } else {
            say.failure(
                "click-context",
                format!("the dialplan has no [{context}], where click-to-call is sent"),
                "set context in [click_to_call] to the one your phones call through",
            );
        }
    }
}

fn events(exchange: &Exchange, seen: &Seen, say: &mut Findings<'_>) {
    let account = &exchange.username;
    let (channels, steps, variables) = match &seen.trial {
        Trials::Made { has_channels, has_steps, variables, .. } => (*has_channels, *has_steps, variables),
        Trials::NotMade => return say.unknown("events", "no trial call was made, so nothing is known of events"),
        Trials::Denied => return say.unknown("events", "without the right originate no trial call can be made"),
        Trials::Refused(why) => return say.unknown("events", format!("Asterisk does not make the trial call: {why}")),
    };
    if !channels {
        say.failure(
            "events",
            "the events of calls do not arrive: nothing would be recorded",
            format!(
                "read = of [{account}] must have call, and no eventfilter may take Newchannel and Hangup away; {RELOAD}"
            ),
        );
        return;
    }
    say.ok("events", "the events of calls arrive");
    let own = variables.iter().any(|name| name == "PINCONNECTOR_DOCTOR");
    let dial = variables.iter().any(|name| name == "DIALSTATUS");
    match (steps, dial && own) {
        (true, true) => say.ok("dialplan-events", "steps of the dialplan and variables arrive"),
        (false, false) => say.warning(
            "dialplan-events",
            "steps of the dialplan and variables do not arrive: where a client was lost (greeting, menu), which phones could not \
             be reached, and names of recordings are not known",
            format!("add dialplan to read = of [{account}], or mend its eventfilter lines; {RELOAD}"),
        ),
        (false, true) => say.warning(
            "dialplan-events",
            "steps of the dialplan (Newexten) do not arrive: where a client was lost is not known",
            format!("an eventfilter of [{account}] takes Newexten away: compare with conf/asterisk; {RELOAD}"),
        ),
        (true, false) => say.warning(
            "dialplan-events",
            "variables (VarSet) do not arrive: phones that could not be reached, names of recordings and the CRM set by the \
             dialplan are not known",
            format!("an eventfilter of [{account}] takes DIALSTATUS or PINCONNECTOR_ away: compare with conf/asterisk; {RELOAD}"),
        ),
    }
    let hidden: Vec<&String> = exchange.keep_variables.iter().filter(|name| !variables.contains(name)).collect();
    if !hidden.is_empty() {
        let names: Vec<&str> = hidden.iter().map(|name| name.as_str()).collect();
        say.warning(
            "keep-variables",
            format!("[calls] keep_variables names {}, which never arrives", names.join(", ")),
            format!(
                "add to [{account}]: eventfilter = ^Event: VarSet.*Variable: _?_?({})[^A-Za-z0-9_]   {RELOAD}",
                names.join("|")
            ),
        );
    } else if !exchange.keep_variables.is_empty() {
        say.ok("keep-variables", format!("{} arrive", exchange.keep_variables.join(", ")));
    }
    match exchange.files.as_ref().and_then(|files| files.account.as_ref()) {
        Some(known) => {
            let has = |class: &str| known.read.iter().any(|read| read == class || read == "all");
            if !has("agent") {
                say.warning(
                    "queue-events",
                    "what happens in queues does not arrive: who waited, for how long, which phones were tried",
                    format!("add agent to read = of [{account}], {RELOAD}"),
                );
            } else {
                say.ok("queue-events", "the account may hear of queues");
            }
        }
        None if seen.queues.is_empty() => {}
        None => say.unknown(
            "queue-events",
            format!("whether [{account}] may hear of queues (read = agent) only a call to a queue shows"),
        ),
    }
}

fn call_records(exchange: &Exchange, seen: &Seen, say: &mut Findings<'_>) {
    let account = &exchange.username;
    if seen.has_cdr == Some(false) {
        say.warning(
            "cdr",
            "Asterisk keeps no call records (CDR) at all",
            "enable = yes in cdr.conf: without them what happened while we were down is lost",
        );
        return;
    }
    let arrived = matches!(seen.trial, Trials::Made { has_cdr: true, .. });
    let lacks_right = exchange
        .files
        .as_ref()
        .and_then(|files| files.account.as_ref())
        .is_some_and(|account| !account.read.iter().any(|read| read == "cdr" || read == "all"));
    let switched_off = exchange.files.as_ref().and_then(|files| files.cdr_manager) == Some(false);
    let unanswered = exchange.files.as_ref().map(|files| files.cdr_unanswered);
    if arrived {
        say.ok("cdr", "Asterisk's call records arrive, those of unanswered calls, too");
    } else if switched_off || lacks_right {
        let (what, where_to) = if switched_off {
            (
                "cdr_manager is switched off",
                "enabled = yes in cdr_manager.conf, then: module reload cdr_manager.so".to_owned(),
            )
        } else {
            ("the account may not hear of them", format!("add cdr to read = of [{account}], {RELOAD}"))
        };
        say.warning("cdr", format!("Asterisk's call records do not arrive: {what}"), where_to);
    } else if !matches!(seen.trial, Trials::Made { .. }) {
        say.unknown("cdr", "without a trial call it is not known whether Asterisk's call records arrive");
    } else if unanswered == Some(false) {
        say.warning(
            "cdr",
            "Asterisk writes no records of calls that nobody answered: those lost while we are down stay lost",
            "unanswered = yes in cdr.conf (see conf/asterisk/cdr.conf), then: module reload cdr",
        );
    } else {
        say.warning(
            "cdr",
            "no call record of the trial call arrived: cdr_manager is off, or records of unanswered calls are",
            "enabled = yes in cdr_manager.conf, unanswered = yes in cdr.conf (see conf/asterisk), and cdr in read = of the account",
        );
    }
}

/// What `reconcile` can find by Asterisk's own records.
fn cdr_source(exchange: &Exchange, say: &mut Findings<'_>) {
    let Some(source) = &exchange.cdr_source else { return };
    let place = &source.place;
    let (rows, tells) = match &source.read {
        Ok(read) => read,
        Err(why) => {
            return say.failure(
                "cdr-source",
                format!("{place} cannot be read: {why}"),
                "correct [asterisk.cdr], or let our user read it; calls of a broken link are not found until then",
            );
        }
    };
    if *rows == 0 {
        return say.unknown("cdr-source", format!("{place} has no rows of the last day, so nothing is known of it"));
    }
    let reload = "then: module reload cdr";
    let lacks = [
        (tells.uniqueid, "its rows have no uniqueid: which call they are of is not known", "loguniqueid = yes"),
        (
            tells.linkedid,
            "its rows have no linkedid: which of them belong to one call is not known",
            "newcdrcolumns = yes",
        ),
        (tells.unanswered, "no row is of a call that reached nobody: such calls cannot be found", "unanswered = yes"),
    ];
    for (_, what, setting) in lacks.iter().filter(|(told, ..)| !told) {
        say.warning("cdr-source", format!("{place}: {what}"), format!("{setting} in cdr.conf, {reload}"));
    }
    if tells.zone_off_minutes != 0 {
        say.warning(
            "cdr-source",
            format!("{place}: its times are {} minutes off the configured zone", tells.zone_off_minutes),
            "set time_zone in [asterisk.cdr]",
        );
    }
    if lacks.iter().all(|(told, ..)| *told) && tells.zone_off_minutes == 0 {
        say.ok("cdr-source", format!("{place}: {rows} rows of the last day tell all that is needed"));
    }
}

fn safety(exchange: &Exchange, say: &mut Findings<'_>) {
    if let Some(kind) = exchange.weak_secret {
        say.failure(
            "secret",
            format!(
                "the secret of [{}] is {kind}: whoever reaches the port can place calls at your cost",
                exchange.username
            ),
            "write 20 or more random letters into manager.conf and our configuration; `pinconnector setup` makes one",
        );
    } else {
        say.ok("secret", "the account's secret is no default");
    }
    let others = exchange.files.iter().flat_map(|files| &files.weak_accounts);
    for (name, kind) in others.filter(|(name, _)| *name != exchange.username) {
        say.warning(
            "secret",
            format!("manager.conf: the secret of [{name}] is {kind}"),
            "change it, it is known to scanners",
        );
    }
    if exchange.is_bound_to_world {
        say.warning(
            "bound",
            "the manager port is open on every address of Asterisk's machine",
            "bindaddr = 127.0.0.1 in [general] of manager.conf (FreePBX: Advanced Settings, Asterisk Manager), or a firewall \
             that lets only this connector through",
        );
    } else if exchange.files.as_ref().is_some_and(|files| files.unreadable.is_none()) {
        say.ok("bound", "the manager port is not open to everybody");
    }
    let loopback = exchange.host == "localhost" || exchange.host.starts_with("127.") || exchange.host == "::1";
    if !exchange.has_tls && !loopback {
        say.warning(
            "tls",
            format!("names and numbers of clients travel readable from {}", exchange.host),
            "tlsenable in manager.conf and tls = true in [[asterisk]], or a tunnel; in a network that is yours alone it may be so",
        );
    }
    if let Some(why) = exchange.files.as_ref().and_then(|files| files.unreadable.as_ref()) {
        say.unknown("files", format!("Asterisk's files cannot be read: {why}; run this as root"));
    }
}

fn recordings(exchange: &Exchange, say: &mut Findings<'_>) {
    match &exchange.recordings {
        None => say.ok("recordings", "no folder of recordings is set: calls come without sound"),
        Some(recordings) => match &recordings.listed {
            Ok(_) => say.ok("recordings", format!("{} can be read", recordings.folder.display())),
            Err(why) => say.failure(
                "recordings",
                format!("{} cannot be read: {why}", recordings.folder.display()),
                "mount it, correct recordings in [[asterisk]], or let our user read it (group asterisk)",
            ),
        },
    }
}
