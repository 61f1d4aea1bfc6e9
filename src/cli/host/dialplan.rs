//! A dialplan, from its files or from what Asterisk tells of it: which numbers a context knows, and what calls into it come to.
//! Pure.
//!
//! Where a call goes is found by names: a context is reached when a step of a reached one names it. That sees a bit more than
//! can happen (a Goto that is never taken), never less but for names that are computed.

use std::collections::{BTreeMap, BTreeSet};

use super::conf::Conf;
use crate::phone::EndpointPattern;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dialplan {
    pub contexts: BTreeMap<String, Context>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    pub steps: Vec<Step>,
    pub includes: Vec<String>,
    /// Asks another dialplan (DUNDi, realtime): what that knows is not seen here.
    pub has_switch: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// A number or a pattern, as `_+7XXXXXXXXXX`.
    pub exten: String,
    pub application: String,
    pub arguments: String,
}

/// What calls that come into some contexts can come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leads {
    pub to_queues: bool,
    /// Phones that are dialled by the dialplan itself: one, or a group.
    pub to_phones: bool,
}

/// Numbers that nobody has, in the two forms in which providers send numbers. A context that takes one of them takes any.
const STRANGERS: [&str; 2] = ["70009173658", "+70009173658"];

/// Contexts of FreePBX whose inside is too tangled to follow, and what they are for.
const FREEPBX_PHONES: [&str; 6] =
    ["from-did-direct", "ext-local", "ext-group", "ext-findmefollow", "from-internal", "followme-check"];
const FREEPBX_QUEUES: &str = "ext-queues";

impl Dialplan {
    /// Of `extensions.conf`, with its includes.
    pub fn from_conf(conf: &Conf) -> Self {
        let mut plan = Self::default();
        for section in conf.live().filter(|section| !matches!(section.name.as_str(), "general" | "globals")) {
            let mut exten = String::new();
            let context = plan.contexts.entry(section.name.clone()).or_default();
            for (key, value) in &section.values {
                match key.to_ascii_lowercase().as_str() {
                    "exten" => {
                        let (name, rest) = value.split_once(',').unwrap_or((value, ""));
                        // `_X./555` is the pattern for one caller only.
                        exten = name.trim().split('/').next().unwrap_or_default().to_owned();
                        context.steps.extend(step(&exten, rest));
                    }
                    "same" => context.steps.extend(step(&exten, value)),
                    "include" => {
                        context.includes.push(value.split([',', '|']).next().unwrap_or_default().trim().to_owned());
                    }
                    "switch" | "lswitch" | "eswitch" => context.has_switch = true,
                    _ => {}
                }
            }
        }
        plan
    }

    /// One item of the answer to `ShowDialPlan`.
    pub fn add_listed(&mut self, context: &str, get: &dyn Fn(&str) -> String) {
        let context = self.contexts.entry(context.to_owned()).or_default();
        let include = get("IncludeContext");
        if !include.is_empty() {
            context.includes.push(include);
        } else if !get("Switch").is_empty() {
            context.has_switch = true;
        } else if !get("Application").is_empty() {
            let (exten, application, arguments) = (get("Extension"), get("Application"), get("AppData"));
            context.steps.push(Step { exten, application, arguments });
        }
    }

    /// Whether calls to numbers it does not know get anywhere in `context`; `None` where the context is not known or
    /// asks another dialplan.
    pub fn takes_unknown_numbers(&self, context: &str) -> Option<bool> {
        let mut seen = BTreeSet::new();
        let mut to_do = vec![context];
        let mut asks_elsewhere = false;
        self.contexts.get(context)?;
        while let Some(name) = to_do.pop() {
            let Some(context) = self.contexts.get(name).filter(|_| seen.insert(name)) else { continue };
            asks_elsewhere |= context.has_switch;
            let takes = |step: &Step| STRANGERS.iter().any(|number| matches(&step.exten, number));
            if context.steps.iter().any(takes) {
                return Some(true);
            }
            to_do.extend(context.includes.iter().map(String::as_str));
        }
        if asks_elsewhere { None } else { Some(false) }
    }

    /// What calls into `from` can come to.
    pub fn leads<'a>(&'a self, from: impl IntoIterator<Item = &'a str>) -> Leads {
        let mut leads = Leads::default();
        let mut seen = BTreeSet::new();
        let mut to_do: Vec<&str> = from.into_iter().collect();
        while let Some(name) = to_do.pop() {
            let Some((name, context)) = self.contexts.get_key_value(name).filter(|_| seen.insert(name)) else {
                continue;
            };
            if name == FREEPBX_QUEUES {
                leads.to_queues = true;
                continue;
            }
            if FREEPBX_PHONES.contains(&name.as_str()) && self.contexts.contains_key(FREEPBX_QUEUES) {
                leads.to_phones = true;
                continue;
            }
            for step in &context.steps {
                match step.application.to_ascii_lowercase().as_str() {
                    "queue" => leads.to_queues = true,
                    "dial" | "followme" | "page" => leads.to_phones = true,
                    _ => {}
                }
                let words = step.arguments.split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
                to_do.extend(words.filter(|word| self.contexts.contains_key(*word)));
            }
            to_do.extend(context.includes.iter().map(String::as_str));
        }
        leads
    }
}

/// `n,Dial(PJSIP/101,20)`, `1(label),Answer`
fn step(exten: &str, rest: &str) -> Option<Step> {
    let (_, call) = rest.split_once(',')?;
    let call = call.trim();
    let (application, arguments) = call.split_once('(').unwrap_or((call, ""));
    let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
    Some(Step { exten: exten.to_owned(), application: application.trim().to_owned(), arguments: arguments.to_owned() })
}

fn matches(exten: &str, number: &str) -> bool {
    if exten.starts_with('_') {
        EndpointPattern::parse(exten).is_ok_and(|pattern| pattern.matches(number))
    } else {
        exten == number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Dialplan {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::write(root.path().join("extensions.conf"), text).expect("written");
        let etc = super::super::Etc { root: root.path().to_owned(), folder: "/".into() };
        Dialplan::from_conf(&etc.read("extensions.conf").expect("read"))
    }

    #[test]
    fn a_catch_all_is_found_in_the_context_or_what_it_includes() {
        for (text, takes) in [
            ("[t]\nexten => _+7495200XXX,1,Dial(PJSIP/1)\n", Some(false)),
            ("[t]\nexten => 74951234567,1,Dial(PJSIP/1)\nexten => s,1,Hangup()\n", Some(false)),
            ("[t]\nexten => _X.,1,Hangup(1)\n", Some(true)),
            ("[t]\nexten => _+X!,1,Hangup(1)\n", Some(true)),
            ("[t]\nexten => _.,1,Hangup(1)\n", Some(true)),
            ("[t]\ninclude => a\n[a]\ninclude => b\ninclude => t\n[b]\nexten => _X!,1,Hangup(1)\n", Some(true)),
            ("[t]\ninclude => nowhere\n", Some(false)),
            ("[t]\nswitch => Realtime/@\n", None),
            ("[u]\nexten => _X.,1,Hangup(1)\n", None),
        ] {
            assert_eq!(plan(text).takes_unknown_numbers("t"), takes, "{text}");
        }
    }

    #[test]
    fn calls_are_followed_to_queues_and_phones() {
        let queues = "[t]\nexten => 1,1,Answer()\n same => n,Goto(menu,s,1)\n[menu]\nexten => s,1,Background(x)\n\
                      exten => 1,1,Queue(sales,tT)\n[out]\nexten => _8.,1,Dial(PJSIP/${EXTEN}@trunk)\n";
        assert_eq!(plan(queues).leads(["t"]), Leads { to_queues: true, to_phones: false });
        let group = queues.replace("Queue(sales,tT)", "Dial(PJSIP/101&PJSIP/102)");
        assert_eq!(plan(&group).leads(["t"]), Leads { to_queues: false, to_phones: true });
        assert_eq!(plan(queues).leads(["nowhere"]), Leads::default());
        let freepbx = "[from-trunk]\ninclude => ext-did\n[ext-did]\nexten => 7495,1,Goto(ext-queues,600,1)\n\
                       [ext-queues]\nexten => 600,1,Macro(x)\n same => n,Dial(Local/1)\n[from-did-direct]\n";
        assert_eq!(plan(freepbx).leads(["from-trunk"]), Leads { to_queues: true, to_phones: false });
        let direct = freepbx.replace("Goto(ext-queues,600,1)", "Goto(from-did-direct,101,1)");
        assert_eq!(plan(&direct).leads(["from-trunk"]), Leads { to_queues: false, to_phones: true });
    }
}
