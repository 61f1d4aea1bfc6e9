//! `check`: everything that is wrong with the configuration, or what becomes of a number.

use super::{Failure, print};
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
    let rules: Vec<DialRule<'_>> = config
        .asterisk
        .iter()
        .map(|section| DialRule { place: &section.name, format: section.dial_format, prefix: &section.dial_prefix })
        .collect();
    let plan = config.numbers();
    let explained: Vec<String> = numbers.iter().map(|number| plan.explain(number, &rules)).collect();
    print(&explained.join("\n"))
}

/// A bad configuration as the end of a command.
pub fn bad(bad: BadConfig) -> Failure {
    let count = bad.problems.iter().filter(|problem| problem.severity == crate::config::Severity::Error).count();
    let ending = format!("{count} {}, nothing was started", if count == 1 { "error" } else { "errors" });
    Failure::new(exit::CONFIG, format!("the configuration is not good:\n{bad}\n{ending}"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
