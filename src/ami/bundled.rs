//! Recordings of a real Asterisk that are part of the program, for `demo`: what a day at the office sounds like on AMI.

use super::replay::Recording;
use std::io;

/// One recorded story.
pub struct Bundled {
    pub name: &'static str,
    /// What happens in it, for somebody who watches.
    pub story: &'static str,
    ami: &'static [u8],
    timing: &'static [u8],
}

impl Bundled {
    /// # Errors
    /// Never, as the tests see to it; the reader of recordings just does not know that.
    pub fn recording(&self) -> io::Result<Recording> {
        Recording::compressed(self.ami, self.timing)
    }
}

macro_rules! bundled {
    ($name:literal, $story:literal) => {
        Bundled {
            name: $name,
            story: $story,
            ami: include_bytes!(concat!("../../tests/traces/22/", $name, ".ami.gz")),
            timing: include_bytes!(concat!("../../tests/traces/22/", $name, ".timing.gz")),
        }
    };
}

/// In an order in which somebody new understands them; together some 30 kB.
pub const BUNDLED: [Bundled; 8] = [
    bundled!("a_in_answered_caller_hangs", "A client calls, Ivan (101) answers, they talk, the client hangs up."),
    bundled!(
        "d_greeting_caller_hangs",
        "A client hears the greeting and hangs up: a missed call that leaves no missed-call record in Asterisk."
    ),
    bundled!("h_group_answered_102", "A client rings three phones at once; Olga (102) is the fastest."),
    bundled!("i_out_answered", "Ivan calls a client, who answers."),
    bundled!("f_queue_abandon_ringing", "A client waits in the queue while phones ring, and gives up."),
    bundled!("l_att_refer_completed", "A client reaches Ivan, who asks Olga and transfers the call to her."),
    bundled!("n_recorded", "A client's call is answered and recorded."),
    bundled!("j_internal_answered", "Ivan calls Olga: an internal call."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ami::Heard;
    use crate::ami::parse::Parser;
    use crate::ami::replay::Replay;
    use crate::asterisk::Event;

    #[test]
    fn every_bundled_recording_is_a_call_from_beginning_to_end() {
        let mut bytes = 0;
        for bundled in &BUNDLED {
            let parts = [bundled.recording().expect("a recording")];
            let parser = Parser::default();
            let events: Vec<_> = Replay::new(&parts, &parser).map(|(_, heard)| heard).collect();
            let count = |wanted: fn(&Event) -> bool| {
                events.iter().filter(|heard| matches!(heard, Heard::Event(event) if wanted(event))).count()
            };
            let made = count(|event| matches!(event, Event::Newchannel(_)));
            assert!(made > 0, "{}", bundled.name);
            assert_eq!(made, count(|event| matches!(event, Event::Hangup { .. })), "{}", bundled.name);
            bytes += bundled.ami.len() + bundled.timing.len();
        }
        assert!(bytes < 150_000, "{bytes} bytes in every binary");
    }
}
