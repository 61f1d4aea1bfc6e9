//! `capture`: the live AMI session into a file that `replay` can play, for a bug report.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, never, select};

use super::{Failure, print};
use crate::ami::capture::Capture;
use crate::ami::figures::LinkFigures;
use crate::ami::redact::Redactor;
use crate::ami::{self, Heard};
use crate::asterisk::PbxId;
use crate::config::Config;
use crate::daemon::process::{self, Signal, exit};

/// Records into `file` until Ctrl-C, or for so many seconds. A link that breaks is made again; what follows goes into
/// `FILE_part2.ami`, as `replay` takes it.
pub fn capture(
    config: &Config,
    file: &Path,
    pbx: Option<&str>,
    seconds: Option<u64>,
    redactor: Option<Redactor>,
) -> Result<(), Failure> {
    let section = match pbx {
        Some(name) => config.asterisk.iter().find(|section| section.name == name),
        None if config.asterisk.len() > 1 => {
            let names: Vec<&str> = config.asterisk.iter().map(|section| section.name.as_str()).collect();
            return Err(Failure::new(exit::USAGE, format!("which exchange? say --pbx {}", names.join(" or --pbx "))));
        }
        None => config.asterisk.first(),
    };
    let Some(section) = section else {
        return Err(Failure::new(exit::USAGE, format!("there is no [[asterisk]] named {}", pbx.unwrap_or("at all"))));
    };
    if file.extension().is_none_or(|extension| extension != "ami") {
        return Err(Failure::new(exit::USAGE, "the file's name must end in .ami; its times go beside it, in .timing"));
    }
    for path in [file.to_owned(), file.with_extension("timing")] {
        if path.exists() {
            return Err(Failure::new(
                exit::USAGE,
                format!("{} exists; a recording overwrites nothing", path.display()),
            ));
        }
    }
    let signals = process::signals().map_err(|error| Failure::new(exit::SYSTEM, format!("no signals: {error}")))?;
    let (actions, asked) = bounded(1);
    let (heard_sender, heard) = bounded(ami::reader::QUEUE_READS);
    let figures = Arc::new(LinkFigures::default());
    let settings = section.link(PbxId(0), &config.calls.keep_variables);
    let is_redacted = redactor.is_some();
    let capture = Capture::into_files(file, redactor);
    let link = ami::link::start(settings, asked, heard_sender, Arc::clone(&figures), Some(capture))
        .map_err(|error| Failure::new(exit::SYSTEM, format!("no thread: {error}")))?;
    eprintln!("recording {} into {}; Ctrl-C ends it", section.name, file.display());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut actions = Some(actions);
    let mut signals = signals;
    loop {
        let timeout = until.filter(|_| actions.is_some());
        let timeout =
            timeout.map_or(Duration::from_secs(3600), |until| until.saturating_duration_since(Instant::now()));
        select! {
            recv(heard) -> item => match item {
                Ok(item) => tell(&item.heard),
                // The link has ended, and with it the recording is complete.
                Err(_) => break,
            },
            recv(signals) -> signal => if let Ok(Signal::Stop) | Err(_) = signal {
                actions = None;
                signals = never();
            },
            default(timeout) => if until.is_some_and(|until| until <= Instant::now()) { actions = None },
        }
    }
    let _ = link.join();
    let (bytes, messages) = (figures.bytes.load(Ordering::Relaxed), figures.messages.load(Ordering::Relaxed));
    if figures.logins.load(Ordering::Relaxed) == 0 {
        return Err(Failure::new(exit::UNAVAILABLE, "there was no link to Asterisk; nothing was recorded"));
    }
    let whose = if is_redacted {
        "Numbers, names and secrets are replaced; extensions, trunks, queues and contexts are not: look at it before you give it away."
    } else {
        "It holds numbers and names of real people."
    };
    print(&format!("{}: {bytes} bytes, {messages} messages. {whose}\n", file.display()))
}

fn tell(heard: &[Heard]) {
    for heard in heard {
        match heard {
            Heard::Up { .. } => eprintln!("logged in, recording"),
            Heard::Down { why } => eprintln!("no link: {why}"),
            Heard::Event(_) => {}
        }
    }
}
