//! The stories of the demo: sessions of a real Asterisk 22, packed as they lie among the tests.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;

use crate::ami::replay::Recording;

/// One recorded story.
pub struct Story {
    /// What a person would have seen.
    pub title: &'static str,
    /// How many calls it is.
    pub calls: usize,
    ami: &'static [u8],
    timing: &'static [u8],
}

macro_rules! story {
    ($name:literal, $calls:literal, $title:literal) => {
        Story {
            title: $title,
            calls: $calls,
            ami: include_bytes!(concat!("../../../tests/traces/22/", $name, ".ami.gz")),
            timing: include_bytes!(concat!("../../../tests/traces/22/", $name, ".timing.gz")),
        }
    };
}

/// In the order in which they are told.
pub const STORIES: [Story; 7] = [
    story!("h_group_answered_102", 3, "A client calls the office; three phones ring, 102 is picked up"),
    story!("e_ivr_hangs_in_waitexten", 1, "A client hears the voice menu and hangs up: no phone ever rang"),
    story!("c_in_unregistered", 1, "The office has no electricity: no phone can be reached"),
    story!("i_out_busy", 1, "101 calls a client, who is busy"),
    story!("l_blind_refer", 2, "A client talks to 101, who transfers him to 102"),
    story!("f_queue_empty_abandon", 1, "A client waits in a queue and gives up"),
    story!("n_recorded", 1, "A client calls, the talk is recorded"),
];

impl Story {
    /// The story, unpacked.
    ///
    /// # Errors
    /// If what was built in is damaged.
    pub fn recording(&self) -> io::Result<Recording> {
        let timing = String::from_utf8(unpack(self.timing)?).map_err(io::Error::other)?;
        Recording::new(unpack(self.ami)?, Some(&timing))
    }
}

/// The uniqueid of the first channel, which names the conversation.
pub fn first_uniqueid(recording: &Recording) -> String {
    let text = String::from_utf8_lossy(recording.ami());
    let channel = text.split("Event: Newchannel").nth(1).unwrap_or_default();
    let line = channel.lines().find_map(|line| line.strip_prefix("Uniqueid: "));
    line.unwrap_or_default().trim().to_owned()
}

/// What a gzip file holds.
fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_story_can_be_told() {
        for story in &STORIES {
            let recording = story.recording().expect(story.title);
            assert!(recording.ami().starts_with(b"Asterisk Call Manager/"), "{}", story.title);
            assert!(recording.marks().count() > 10, "{}", story.title);
            assert!(first_uniqueid(&recording).contains('.'), "{}", story.title);
        }
    }
}
