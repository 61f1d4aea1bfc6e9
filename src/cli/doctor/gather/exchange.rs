//! Asks an Asterisk what our account may do, what reaches it, and what the exchange consists of.
//!
//! # The call from nowhere to nowhere
//!
//! Which events arrive (classes, filters) can only be known from events. So a Local channel is originated into a context that
//! does not exist: Asterisk makes its two halves, sets the variables it was given, finds no dialplan and hangs up. Nobody's
//! phone rings, no step of the dialplan is taken, our own service makes no record of it; Asterisk may write two CDRs, FAILED.

use std::time::Duration;

use crate::ami::inquiry::{Answer, Inquiry, Said};
use crate::ami::problem::Problem;
use crate::ami::wire::Address;
use crate::cli::doctor::facts::{Seen, Trials, Tried};
use crate::cli::host::Dialplan;

/// A context and an extension that no dialplan has.
const NOWHERE: &str = "Local/pinconnector-doctor@pinconnector-nowhere/n";
/// A variable that our shipped filters let pass, and one that every dial sets.
pub const OWN_VARIABLE: &str = "PINCONNECTOR_DOCTOR";
pub const DIAL_VARIABLE: &str = "DIALSTATUS";
/// What the call leaves behind (CDRs last) has come by then.
const TRIAL_MAX: Duration = Duration::from_secs(5);
/// CDRs come after the hang-up, if they come.
const CDR_WAIT: Duration = Duration::from_millis(1500);

/// Asks everything; `keep_variables` are tried, too.
pub fn ask(address: &Address, keep_variables: &[String], with_trial: bool) -> Result<Seen, String> {
    visit(address, keep_variables, with_trial).map_err(|problem| problem.to_string())
}

fn visit(address: &Address, keep_variables: &[String], with_trial: bool) -> Result<Seen, Problem> {
    let mut asterisk = Inquiry::open(address)?;
    let settings = asterisk.ask("CoreSettings", &[])?;
    let known = |key: &str| Some(settings.response.get(key).to_owned()).filter(|text| !text.is_empty());
    let reporting = tried(&asterisk.ask("CoreShowChannels", &[])?);
    // Without a channel nothing is placed: the right is looked at before the channel is missed.
    let originate = tried(&asterisk.ask("Originate", &[])?);
    let hangup = tried(&asterisk.ask("Hangup", &[("Channel", "PINconnector/doctor")])?);
    let dialplan = dialplan(&asterisk.ask("ShowDialPlan", &[])?);
    let devices = asterisk.ask("DeviceStateList", &[])?;
    let queues = asterisk.ask("QueueStatus", &[])?;
    let trial = match (with_trial, originate) {
        (false, _) => Trials::NotMade,
        (true, Tried::Denied) => Trials::Denied,
        (true, Tried::Allowed) => trial(&mut asterisk, keep_variables, dialplan.as_ref())?,
    };
    Ok(Seen {
        version: known("AsteriskVersion"),
        originate,
        reporting,
        hangup,
        trial,
        dialplan,
        devices: devices.succeeded().then(|| texts(&devices.items, "DeviceStateChange", "Device")),
        queues: texts(&queues.items, "QueueParams", "Queue"),
        has_cdr: known("CoreCDRenabled").map(|said| said == "Yes"),
    })
}

fn tried(answer: &Answer) -> Tried {
    if answer.is_denied() { Tried::Denied } else { Tried::Allowed }
}

fn texts(items: &[Said], event: &str, key: &str) -> Vec<String> {
    let mut texts: Vec<String> =
        items.iter().filter(|said| said.event == event).map(|said| said.get(key).to_owned()).collect();
    texts.sort();
    texts.dedup();
    texts
}

fn dialplan(answer: &Answer) -> Option<Dialplan> {
    if !answer.succeeded() {
        return None;
    }
    let mut dialplan = Dialplan::default();
    for item in answer.items.iter().filter(|item| item.event == "ListDialplan") {
        dialplan.add_listed(item.get("Context"), &|key| item.get(key).to_owned());
    }
    Some(dialplan)
}

fn trial(asterisk: &mut Inquiry, keep_variables: &[String], dialplan: Option<&Dialplan>) -> Result<Trials, Problem> {
    // Where it would go on if it were answered, which it never is; Asterisk wants a place that exists.
    let Some((context, exten)) = dialplan.and_then(some_place) else { return Ok(Trials::NotMade) };
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Problem::Ours(error.to_string()))?;
    let id = format!("pinconnector-doctor-{:016x}", u64::from_ne_bytes(random));
    let (one, two) = (format!("{id}.1"), format!("{id}.2"));
    let mut fields = vec![
        ("Channel", NOWHERE.to_owned()),
        ("Context", context),
        ("Exten", exten),
        ("Priority", "1".to_owned()),
        ("Timeout", "2000".to_owned()),
        ("Async", "true".to_owned()),
        ("ChannelId", one.clone()),
        ("OtherChannelId", two.clone()),
    ];
    let wanted: Vec<String> =
        [OWN_VARIABLE, DIAL_VARIABLE].into_iter().map(str::to_owned).chain(keep_variables.iter().cloned()).collect();
    fields.extend(wanted.iter().map(|name| ("Variable", format!("{name}=doctor"))));
    let fields: Vec<(&'static str, &str)> = fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let answer = asterisk.ask("Originate", &fields)?;
    if !answer.succeeded() {
        return Ok(Trials::Refused(answer.response.get("Message").to_owned()));
    }
    let is_ours =
        |said: &Said| [&one, &two].iter().any(|id| said.get("Uniqueid") == **id || said.get("UniqueID") == **id);
    let hung_up = |heard: &[Said]| heard.iter().filter(|said| said.event == "Hangup" && is_ours(said)).count() == 2;
    let has_cdr = |heard: &[Said]| heard.iter().any(|said| said.event == "Cdr" && is_ours(said));
    // OriginateResponse has the class call, too; without any of it only the time ends the wait.
    asterisk.listen(TRIAL_MAX, hung_up)?;
    asterisk.listen(CDR_WAIT, has_cdr)?;
    let heard: Vec<&Said> = asterisk.heard.iter().filter(|said| is_ours(said)).collect();
    let has = |event: &str| heard.iter().any(|said| said.event == event);
    let bare = |name: &str| name.trim_start_matches('_').to_owned();
    let mut variables: Vec<String> =
        heard.iter().filter(|said| said.event == "VarSet").map(|said| bare(said.get("Variable"))).collect();
    variables.sort();
    variables.dedup();
    Ok(Trials::Made {
        has_channels: has("Newchannel") && has("Hangup"),
        has_steps: has("Newexten"),
        variables,
        has_cdr: has_cdr(&asterisk.heard),
    })
}

/// A context with an extension that is no pattern.
fn some_place(dialplan: &Dialplan) -> Option<(String, String)> {
    dialplan.contexts.iter().find_map(|(context, place)| {
        let step = place.steps.iter().find(|step| step.exten.chars().all(|c| c.is_ascii_alphanumeric() || c == '+'))?;
        Some((context.clone(), step.exten.clone()))
    })
}
