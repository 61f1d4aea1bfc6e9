//! `doctor`: tries everything against the live systems and says, a line per check, what is well, what is not, and what to do.
//!
//! [`gather`] finds out ([`facts`]), [`judge`] says what it means ([`finding`]); only the first does anything.

mod facts;
mod finding;
mod gather;
mod judge;

use std::path::PathBuf;

use super::{Failure, print};
use crate::config::Config;
use crate::daemon::process::exit;
use finding::Level;

/// What the command line says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    pub json: bool,
    /// The root of Asterisk's machine, where that is a folder.
    pub asterisk_root: Option<PathBuf>,
    /// Asterisk's configuration folder, within that root.
    pub asterisk_conf: Option<PathBuf>,
    /// No call from nowhere to nowhere is made.
    pub no_trial: bool,
}

/// Tries everything and prints what was found.
///
/// # Errors
/// With [`exit::UNAVAILABLE`] if anything fails; all is said then. Warnings are no failure.
pub fn doctor(config: &Config, options: &Options) -> Result<(), Failure> {
    let facts = gather::gather(config, options);
    let findings = judge::judge(&facts);
    if options.json {
        let mut text = String::new();
        for finding in &findings {
            text.push_str(&serde_json::to_string(finding).expect("a finding has only text keys"));
            text.push('\n');
        }
        print(&text)?;
    } else {
        print(&finding::text(&findings))?;
    }
    match findings.iter().any(|finding| finding.level == Level::Failure) {
        true => Err(Failure::new(exit::UNAVAILABLE, "")),
        false => Ok(()),
    }
}
