//! The log: one line per fact on standard error, for a terminal, a file or the system's journal.

use std::io::{IsTerminal, Write};

use env_logger::{Builder, Target};
use jiff::Zoned;
use log::{Level, LevelFilter, Record};

/// Who chose the level, and so who may change it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChosenBy {
    /// `--log` or `RUST_LOG`: stands until the end.
    CommandLine,
    /// `[log] level`, which a reload may change.
    Configuration,
}

/// Starts the log. `wish` is `--log`; without it `RUST_LOG` counts, and without that the level is `quiet` until the
/// configuration says otherwise by [`log::set_max_level`].
pub fn start(wish: Option<&str>, quiet: LevelFilter) -> ChosenBy {
    let wish = wish.map(str::to_owned).or_else(|| std::env::var("RUST_LOG").ok()).filter(|wish| !wish.is_empty());
    let mut builder = Builder::new();
    let chosen_by = match &wish {
        Some(wish) => {
            builder.parse_filters(wish);
            ChosenBy::CommandLine
        }
        None => {
            // Libraries speak only of what went wrong; ours is cut by the maximum level, which can change.
            builder.filter_level(LevelFilter::Warn).filter_module("pinconnector", LevelFilter::Trace);
            ChosenBy::Configuration
        }
    };
    // The journal writes time and priority itself, and wants to be told the priority.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    builder.target(Target::Stderr);
    if journal {
        builder.format(|out, record| writeln!(out, "<{}>{}", priority(record.level()), OneLine(record)));
    } else {
        builder.format(|out, record| {
            let now = Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
            writeln!(out, "{now} {:<5} {}", name(record.level()), OneLine(record))
        });
    }
    if builder.try_init().is_ok() && chosen_by == ChosenBy::Configuration {
        log::set_max_level(quiet);
    }
    chosen_by
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// As syslog counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// A message on one line, whatever an outsider put into it; below info with the module that says it.
struct OneLine<'a>(&'a Record<'a>);

impl std::fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        if self.0.level() > Level::Info {
            write!(f, "[{}] ", self.0.target())?;
        }
        let text = self.0.args().to_string();
        for letter in text.trim_end().chars() {
            match letter {
                '\n' => f.write_str(" | ")?,
                '\t' => f.write_char(' ')?,
                letter if letter.is_control() => f.write_char('\u{fffd}')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line() {
        let args = format_args!("msk-1795.1: name is \"A\r\nERROR all is lost\"\n");
        let record = Record::builder().level(Level::Info).args(args).build();
        assert_eq!(OneLine(&record).to_string(), "msk-1795.1: name is \"A\u{fffd} | ERROR all is lost\"");
    }
}
