//! The command line program: parses the line, runs one command, sets the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pinconnector::cli::main(std::env::args_os().skip(1))
}
