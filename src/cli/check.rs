//! `check`: everything that is wrong with the configuration, or what becomes of a number.

use super::{Failure, print};
use crate::ami::AsteriskSettings;
use crate::config::{BadConfig, Config};
use crate::daemon::process::exit;
use crate::phone::DialRule;

/// Prints all problems, or that there is none.
pub fn check(loaded: Result<Config, BadConfig>) -> Result<(), Failure> {
    let config = loaded.map_err(bad)?;
    let mut text = String::new();
    for warning in &config.warnings {
        text.push_str(&format!("{}: {warning}\n", config.file.display()));
    }
    text.push_str(&format!(
        "{}: good; {} and {}\n",
        config.file.display(),
        count(config.asterisk.len(), "exchange"),
        count(config.crm.len(), "CRM")
    ));
    print(&text)
}

/// Prints what the rules make of each number.
pub fn numbers(loaded: Result<Config, BadConfig>, numbers: &[String]) -> Result<(), Failure> {
    let config = loaded.map_err(bad)?;
    let office = config.numbers();
    let (own, others): (Vec<_>, Vec<_>) =
        config.asterisk.iter().partition(|section| config.own_numbers(section).is_some());
    let mut explained = Vec::new();
    for number in numbers {
        if own.is_empty() || !others.is_empty() {
            let rules: Vec<DialRule<'_>> = others.iter().map(|section| dial_rule(section)).collect();
            explained.push(office.explain(number, &rules));
        }
        // An exchange with rules of its own may make another number of it.
        for section in &own {
            let plan = config.own_numbers(section).unwrap_or_else(|| office.clone());
            explained.push(plan.explain(number, &[dial_rule(section)]));
        }
    }
    print(&explained.join("\n"))
}

fn dial_rule(section: &AsteriskSettings) -> DialRule<'_> {
    DialRule { place: &section.name, format: section.dial_format, prefix: &section.dial_prefix }
}

/// A bad configuration as the end of a command.
pub fn bad(bad: BadConfig) -> Failure {
    let count = bad.problems.iter().filter(|problem| problem.severity == crate::config::Severity::Error).count();
    let ending = format!("{count} {}, nothing was started", if count == 1 { "error" } else { "errors" });
    Failure::new(exit::CONFIG, format!("the configuration is not good:\n{bad}\n{ending}"))
}

pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
