//! Which recordings are waited for, when each is looked at next, and what a look means. Pure: looking is the watcher's.
//!
//! A file is complete when two looks at it, two seconds apart, find it the same; that works over a network mount, whose
//! clock is not ours and which tells nobody of changes. A minute or two later it is looked at once more: a conversion that
//! the dialplan started at the hang-up is done then, and a network mount shows the true size.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::call::record::RecordingState;

/// Recordings waited for at once; what is beyond is found by the next round through the history.
pub const WAITING_MAX: usize = 4_096;
/// A hang-up and the closing of the file are not one moment.
const FIRST_LOOK_MS: u64 = 1_000;
/// A file that stayed the same for so long has stopped growing.
const STILL_MS: u64 = 2_000;
const CONFIRM_MS: u64 = 100_000;
/// A file that grows for longer than a day's work is not a call's.
const GROWS_MAX_MS: u64 = 12 * 3_600_000;
/// Longest pause between two looks for a file that is not there.
const PAUSE_MAX_MS: u64 = 60_000;
/// Bytes up to which a WAV is only its header (wav49's has 60).
const WAV_HEADER_BYTES: u64 = 60;

/// A recording that is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    pub id: String,
    pub pbx: String,
    /// As the record names it, and where that is below the folder.
    pub file: String,
    pub path: PathBuf,
    /// UTC milliseconds.
    pub started_ms: i64,
    /// The records that list it.
    pub records: Vec<String>,
    /// How long a file that is not there may still come.
    pub patience_ms: u64,
}

/// What a file was at one look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Below the recordings folder.
    pub path: PathBuf,
    pub bytes: u64,
    pub modified_ns: i128,
}

/// What a look found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    Seen(Seen),
    NoFile,
    NoFolder,
}

/// What is now known of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub id: String,
    pub records: Vec<String>,
    pub state: RecordingState,
    pub bytes: Option<u64>,
    /// Where it lies, if that is not where the record says.
    pub file: Option<String>,
}

#[derive(Debug)]
struct Entry {
    expected: Expected,
    phase: Phase,
    due_ms: u64,
}

#[derive(Debug)]
enum Phase {
    /// Since then there is no file; so many looks were in vain.
    Missing {
        since_ms: u64,
        looks: u32,
    },
    Growing {
        since_ms: u64,
        last: Seen,
    },
    /// Said to be ready.
    Ready {
        last: Seen,
    },
}

/// Every recording waited for.
#[derive(Debug, Default)]
pub struct Waiting {
    entries: HashMap<String, Entry>,
    due: BTreeSet<(u64, String)>,
}

impl Waiting {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Waits for the file of this recording; false if too many are waited for already.
    pub fn expect(&mut self, expected: Expected, now_ms: u64) -> bool {
        if let Some(entry) = self.entries.get_mut(&expected.id) {
            for record in expected.records {
                if !entry.expected.records.contains(&record) {
                    entry.expected.records.push(record);
                    // What was said already was not said of this record.
                    if let Phase::Ready { last } = &entry.phase {
                        entry.phase = Phase::Growing { since_ms: now_ms, last: last.clone() };
                    }
                }
            }
            let id = entry.expected.id.clone();
            self.look_at(&id, now_ms + FIRST_LOOK_MS);
            return true;
        }
        if self.entries.len() >= WAITING_MAX {
            return false;
        }
        let (id, due_ms) = (expected.id.clone(), now_ms + FIRST_LOOK_MS);
        self.due.insert((due_ms, id.clone()));
        self.entries.insert(id, Entry { expected, phase: Phase::Missing { since_ms: now_ms, looks: 0 }, due_ms });
        true
    }

    /// When [`Waiting::due`] has something next.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// A recording that is to be looked at now; [`Waiting::looked`] wants to hear what was found.
    pub fn due(&self, now_ms: u64) -> Option<&Expected> {
        let (_, id) = self.due.first().filter(|(at_ms, _)| *at_ms <= now_ms)?;
        self.entries.get(id).map(|entry| &entry.expected)
    }

    /// What a look at this recording found, and what that means, if it is worth saying.
    pub fn looked(&mut self, id: &str, look: Look, now_ms: u64) -> Option<Verdict> {
        let entry = self.entries.get_mut(id)?;
        match (look, &mut entry.phase) {
            (Look::Seen(seen), Phase::Growing { last, .. }) if *last == seen => {
                let verdict = ready(&entry.expected, &seen);
                entry.expected.path.clone_from(&seen.path);
                entry.phase = Phase::Ready { last: seen };
                self.look_at(id, now_ms + CONFIRM_MS);
                Some(verdict)
            }
            (Look::Seen(seen), Phase::Growing { since_ms, last }) => {
                *last = seen;
                let too_long = now_ms.saturating_sub(*since_ms) > GROWS_MAX_MS;
                if too_long {
                    self.forget(id)
                } else {
                    self.look_at(id, now_ms + STILL_MS)
                }
                None
            }
            (Look::Seen(seen), Phase::Ready { last }) if *last == seen => {
                self.forget(id);
                None
            }
            (Look::Seen(seen), Phase::Missing { .. } | Phase::Ready { .. }) => {
                entry.phase = Phase::Growing { since_ms: now_ms, last: seen };
                self.look_at(id, now_ms + STILL_MS);
                None
            }
            (Look::NoFile, Phase::Missing { since_ms, looks }) => {
                let overdue = now_ms.saturating_sub(*since_ms) >= entry.expected.patience_ms;
                *looks += 1;
                let pause_ms = PAUSE_MAX_MS.min(1_000 << (*looks).min(10));
                if overdue {
                    return self.end(id, RecordingState::Deleted);
                }
                self.look_at(id, now_ms + pause_ms);
                None
            }
            // It was moved or deleted meanwhile, or is being replaced by its conversion.
            (Look::NoFile, Phase::Growing { .. } | Phase::Ready { .. }) => {
                entry.phase = Phase::Missing { since_ms: now_ms, looks: 0 };
                self.look_at(id, now_ms + FIRST_LOOK_MS);
                None
            }
            (Look::NoFolder, _) => self.end(id, RecordingState::Unavailable),
        }
    }

    fn look_at(&mut self, id: &str, at_ms: u64) {
        if let Some(entry) = self.entries.get_mut(id) {
            self.due.remove(&(entry.due_ms, id.to_owned()));
            entry.due_ms = at_ms;
            self.due.insert((at_ms, id.to_owned()));
        }
    }

    fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.due.remove(&(entry.due_ms, id.to_owned()));
        }
    }

    fn end(&mut self, id: &str, state: RecordingState) -> Option<Verdict> {
        let entry = self.entries.remove(id)?;
        self.due.remove(&(entry.due_ms, id.to_owned()));
        Some(Verdict { id: id.to_owned(), records: entry.expected.records, state, bytes: None, file: None })
    }
}

fn ready(expected: &Expected, seen: &Seen) -> Verdict {
    let state = if is_sound(&seen.path, seen.bytes) { RecordingState::Ready } else { RecordingState::Empty };
    let moved = seen.path != expected.path;
    Verdict {
        id: expected.id.clone(),
        records: expected.records.clone(),
        state,
        bytes: Some(seen.bytes),
        file: moved.then(|| seen.path.to_string_lossy().into_owned()),
    }
}

/// Whether a file of so many bytes can hold any sound: a call that was never bridged leaves a WAV of 44 bytes.
pub fn is_sound(path: &Path, bytes: u64) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
    let header = if ending.eq_ignore_ascii_case("wav") || ending == "wav49" { WAV_HEADER_BYTES } else { 0 };
    bytes > header
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordingState::{Deleted, Empty, Ready, Unavailable};

    const PATIENCE_MS: u64 = 600_000;

    fn expected(id: &str) -> Expected {
        Expected {
            id: id.to_owned(),
            pbx: "office".to_owned(),
            file: "/var/spool/asterisk/monitor/a.wav".to_owned(),
            path: PathBuf::from("a.wav"),
            started_ms: 0,
            records: vec!["call-1".to_owned()],
            patience_ms: PATIENCE_MS,
        }
    }

    fn seen(path: &str, bytes: u64) -> Look {
        Look::Seen(Seen { path: PathBuf::from(path), bytes, modified_ns: i128::from(bytes) })
    }

    /// What is said of a recording whose file changes so: (from this moment on, what a look finds).
    fn told(story: &[(u64, Look)]) -> Vec<(u64, RecordingState, Option<u64>, Option<String>)> {
        let mut waiting = Waiting::default();
        assert!(waiting.expect(expected("r1"), 0));
        let mut told = Vec::new();
        let mut looks = 0;
        while let Some(now_ms) = waiting.next_due_ms() {
            looks += 1;
            assert!(looks < 10_000, "looked at without end");
            let id = waiting.due(now_ms).expect("due").id.clone();
            let look = story.iter().rev().find(|(from_ms, _)| *from_ms <= now_ms).map(|(_, look)| look.clone());
            if let Some(verdict) = waiting.looked(&id, look.unwrap_or(Look::NoFile), now_ms) {
                assert_eq!(verdict.records, ["call-1"]);
                told.push((now_ms, verdict.state, verdict.bytes, verdict.file));
            }
        }
        assert!(waiting.is_empty());
        told
    }

    #[test]
    fn a_file_is_ready_when_it_has_stopped_growing() {
        let story = [(0, seen("a.wav", 44)), (1_500, seen("a.wav", 20_000)), (4_000, seen("a.wav", 32_044))];
        assert_eq!(told(&story), [(7_000, Ready, Some(32_044), None)]);
        assert_eq!(told(&[(0, seen("a.wav", 32_044))]), [(3_000, Ready, Some(32_044), None)]);
    }

    #[test]
    fn a_wav_that_is_only_a_header_is_no_recording() {
        assert_eq!(told(&[(0, seen("a.wav", 44))]), [(3_000, Empty, Some(44), None)]);
        for (path, bytes, sounds) in
            [("a.WAV", 60, false), ("a.WAV", 125, true), ("a.wav", 46, false), ("a.gsm", 0, false), ("a.mp3", 44, true)]
        {
            assert_eq!(is_sound(Path::new(path), bytes), sounds, "{path} of {bytes} bytes");
        }
    }

    #[test]
    fn a_conversion_after_the_end_is_noticed() {
        let story = [(0, seen("a.wav", 32_044)), (20_000, seen("mp3/a.mp3", 4_000))];
        let moved = Some("mp3/a.mp3".to_owned());
        assert_eq!(told(&story), [(3_000, Ready, Some(32_044), None), (105_000, Ready, Some(4_000), moved)]);
        // The WAV goes before the other file comes.
        let story = [(0, seen("a.wav", 32_044)), (90_000, Look::NoFile), (110_000, seen("a.mp3", 4_000))];
        let told = told(&story);
        assert_eq!((told.len(), told[1].1, told[1].2), (2, Ready, Some(4_000)), "{told:?}");
    }

    #[test]
    fn a_file_that_does_not_come_is_waited_for_and_then_gone() {
        let never = told(&[]);
        assert_eq!((never.len(), never[0].1), (1, Deleted));
        assert!((PATIENCE_MS..PATIENCE_MS + 2 * PAUSE_MAX_MS).contains(&never[0].0), "{never:?}");
        let late = told(&[(500_000, seen("a.wav", 32_044))]);
        assert_eq!((late.len(), late[0].1), (1, Ready), "{late:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_a_deleted_file() {
        assert_eq!(told(&[(0, Look::NoFolder)]), [(1_000, Unavailable, None, None)]);
        let story = [(0, seen("a.wav", 32_044)), (60_000, Look::NoFolder)];
        assert_eq!(told(&story)[1].1, Unavailable);
    }

    #[test]
    fn one_that_grows_for_ever_is_given_up() {
        let mut waiting = Waiting::default();
        assert!(waiting.expect(expected("r1"), 0));
        let mut bytes = 0;
        while let Some(now_ms) = waiting.next_due_ms() {
            bytes += 1;
            assert_eq!(waiting.looked("r1", seen("a.wav", bytes), now_ms), None);
            assert!(now_ms < GROWS_MAX_MS + 10_000);
        }
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_second_record_of_the_same_recording_is_told_the_same() {
        let mut waiting = Waiting::default();
        assert!(waiting.expect(expected("r1"), 0));
        assert_eq!(waiting.looked("r1", seen("a.wav", 5_000), 1_000), None);
        assert!(waiting.looked("r1", seen("a.wav", 5_000), 3_000).is_some());
        let second = Expected { records: vec!["call-2".to_owned()], ..expected("r1") };
        assert!(waiting.expect(second, 4_000));
        assert_eq!(waiting.next_due_ms(), Some(5_000));
        let verdict = waiting.looked("r1", seen("a.wav", 5_000), 5_000).expect("said again");
        assert_eq!(verdict.records, ["call-1", "call-2"]);
    }

    #[test]
    fn there_is_a_limit() {
        let mut waiting = Waiting::default();
        for nth in 0..WAITING_MAX {
            assert!(waiting.expect(expected(&nth.to_string()), 0));
        }
        assert!(!waiting.expect(expected("one more"), 0));
        assert!(waiting.expect(expected("7"), 0), "known already");
        assert_eq!(waiting.len(), WAITING_MAX);
    }
}
