//! `replay`: recorded AMI sessions through the live path (codec, parser, core), and the records they end in.

use std::collections::HashMap;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::check::count;
use super::{Failure, print, show};
use crate::ami::Heard;
use crate::ami::parse::Parser;
use crate::ami::replay::{Recording, Replay};
use crate::asterisk::PbxId;
use crate::call::{Calls, Effect, Input, Record, Rules};
use crate::clock::Now;
use crate::daemon::process::exit;

/// How long time goes on after the last byte, so that everything that waits for time comes to its end.
const AFTERWARDS_MS: u64 = 48 * 3600 * 1000;

/// Plays `files`, one link after another, and prints the final records.
pub fn replay(files: &[PathBuf], rules: Rules, parser: &Parser, zone: &TimeZone, json: bool) -> Result<(), Failure> {
    let mut recordings = Vec::new();
    for file in files {
        let recording = Recording::open(file).map_err(|error| {
            let code = if error.kind() == std::io::ErrorKind::NotFound { exit::NO_INPUT } else { exit::DATA };
            Failure::new(code, format!("cannot read {}: {error}", file.display()))
        })?;
        recordings.push(recording);
    }
    let (records, tally) = play(&recordings, rules, parser);
    if json {
        let mut text = String::new();
        for record in &records {
            text.push_str(&serde_json::to_string(record).expect("a record has only text keys"));
            text.push('\n');
        }
        print(&text)?;
    } else {
        print(&show::table(&records, zone))?;
    }
    eprintln!(
        "{} in {}, from {} messages ({} of no interest, {} malformed, {} too large)",
        count(records.len(), "record"),
        count(records.iter().filter(|record| record.lead).count(), "conversation"),
        tally.messages,
        tally.ignored,
        tally.malformed,
        tally.oversized
    );
    Ok(())
}

/// Plays recordings and gives the newest revision of each record, in the order lists have.
pub fn play(recordings: &[Recording], rules: Rules, parser: &Parser) -> (Vec<Record>, crate::ami::replay::Tally) {
    let mut playing = Playing { calls: Calls::new(rules), newest: HashMap::new() };
    let mut replay = Replay::new(recordings, parser);
    let mut last = Now::default();
    for (now, heard) in &mut replay {
        playing.time_passes(now);
        let pbx = PbxId(0);
        let input = match heard {
            Heard::Up { .. } => Input::LinkUp { pbx },
            Heard::Event(event) => Input::Heard { pbx, event },
            Heard::Down { .. } => Input::LinkDown { pbx },
        };
        playing.take(now, input);
        last = now;
    }
    playing.take(last, Input::Over { pbx: PbxId(0) });
    playing.time_passes(last.plus_ms(AFTERWARDS_MS));
    let mut records: Vec<Record> =
        playing.newest.into_values().filter(|record| record.superseded_by.is_none()).collect();
    show::sort(&mut records);
    (records, replay.tally())
}

struct Playing {
    calls: Calls,
    /// By id.
    newest: HashMap<String, Record>,
}

impl Playing {
    /// Lets every deadline before `until` come, each at its time.
    fn time_passes(&mut self, until: Now) {
        while let Some(deadline_ms) = self.calls.next_deadline().filter(|deadline_ms| *deadline_ms <= until.mono_ms) {
            let early_ms = until.mono_ms - deadline_ms;
            let now = Now {
                mono_ms: deadline_ms,
                wall_ms: until.wall_ms.saturating_sub(i64::try_from(early_ms).unwrap_or(i64::MAX)),
            };
            self.take(now, Input::Tick);
        }
    }

    fn take(&mut self, now: Now, input: Input) {
        for effect in self.calls.handle(now, input) {
            match effect {
                Effect::Save(change) => {
                    for record in change.records {
                        let known = self.newest.get(&record.id);
                        if known.is_none_or(|known| known.revision < record.revision) {
                            self.newest.insert(record.id.clone(), std::sync::Arc::unwrap_or_clone(record));
                        }
                    }
                }
                Effect::Amend { record_id, amendment } => {
                    if let Some(record) = self.newest.get_mut(&record_id) {
                        record.amend(&amendment, now.wall_ms);
                    }
                }
                // Nobody is there to be asked or told.
                Effect::Resynced { .. } | Effect::Ask { .. } | Effect::AskAfterCommit { .. } | Effect::Progress(_) => {}
            }
        }
    }
}
