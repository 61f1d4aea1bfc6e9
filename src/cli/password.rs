//! `password`: makes the hash of a password for `[[http.user]]`.

use std::io::{BufRead, IsTerminal, Write};
use std::process::Command;

use super::Failure;
use crate::daemon::process::exit;
use crate::http::passwords::{PASSWORD_BYTES_MAX, hash};

/// Shorter ones are guessed even against a limit of eight tries in a quarter of an hour.
const PASSWORD_CHARS_MIN: usize = 8;

/// Reads a password from standard input, unseen where that is a terminal, and prints the line for the configuration.
///
/// # Errors
/// If there is none, or it is too short or too long.
pub fn password() -> Result<(), Failure> {
    let input = std::io::stdin();
    let seen = input.is_terminal();
    if seen {
        eprint!("Password (not shown): ");
        let _ = std::io::stderr().flush();
        show_typing(false);
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if seen {
        show_typing(true);
        eprintln!();
    }
    read.map_err(|error| Failure::new(exit::IO, format!("cannot read the password: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        let text =
            format!("a password has {PASSWORD_CHARS_MIN} characters or more, and at most {PASSWORD_BYTES_MAX} bytes");
        return Err(Failure::new(exit::USAGE, text));
    }
    let hash = hash(password).map_err(|error| Failure::new(exit::SYSTEM, format!("no randomness: {error}")))?;
    super::print(&format!("password_hash = \"{hash}\"\n"))
}

/// `stty` is wherever a terminal is; without it the password is seen, which is no reason to stop.
fn show_typing(shown: bool) {
    let _ = Command::new("stty").arg(if shown { "echo" } else { "-echo" }).status();
}
