//! The commands: one file each. What a command needs of the service it takes from the same modules the service is made of.

pub mod args;
pub mod help;
mod logger;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use log::LevelFilter;

use crate::daemon::process::exit;
use args::{Command, Line};

/// Why a command ended without doing what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// As in sysexits.
    pub code: u8,
    /// What happened and what to do, for the person at the keyboard; may be several lines, or empty if all was said.
    pub text: String,
}

impl Failure {
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// Writing the answer failed. A reader that has seen enough (`| head`) is no failure worth a word.
    fn writing(error: &std::io::Error) -> Self {
        let text = match error.kind() {
            std::io::ErrorKind::BrokenPipe => String::new(),
            _ => format!("cannot write the answer: {error}"),
        };
        Self::new(exit::IO, text)
    }
}

/// Runs the command line `words` (without the program's name) and says how it ended.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match args::parse(words) {
        Ok(line) => line,
        Err(bad) => {
            eprintln!("pinconnector: {}\nTry `pinconnector help`.", bad.0);
            return exit::USAGE.into();
        }
    };
    match execute(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                eprintln!("pinconnector: {}", failure.text);
            }
            failure.code.into()
        }
    }
}

fn execute(line: Line) -> Result<(), Failure> {
    let _ = (line.config, LevelFilter::Info);
    match line.command {
        Command::Help { topic } => print(&match topic {
            None => help::overview(),
            Some(name) => help::topic(&name).ok_or_else(|| {
                Failure::new(exit::USAGE, format!("there is no command {name}; try `pinconnector help`"))
            })?,
        }),
        Command::Version => print(&format!("pinconnector {}\n", env!("CARGO_PKG_VERSION"))),
        _ => Ok(()),
    }
}

/// Writes `text` to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::writing(&error))
}
