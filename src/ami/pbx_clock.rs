//! When things happened, by the clock of the exchange: its `timestampevents = yes` stamps every event.
//!
//! Without stamps what is read now happened now. With them the stamp counts, so that whoever was stopped for a while, or has
//! another clock than Asterisk, or hears the same as a second connector, writes down the same times. Pure.

use crate::clock::Now;

/// A clock further off than that is somebody else's (a recording that is played), and not believed. Milliseconds.
const BELIEVED_MS: i64 = 3_600_000;
/// For how long the shortest delay is remembered, at least; clocks are set now and then. Milliseconds.
const REMEMBERED_MS: u64 = 60_000;

/// One connection's view of the exchange's clock.
#[derive(Debug, Default)]
pub(super) struct PbxClock {
    /// The shortest delay of this window and of the one before, as how far the exchange is ahead of us. Milliseconds.
    ahead_ms: Option<i64>,
    ahead_before_ms: Option<i64>,
    window_from_ms: u64,
    /// The moment given out last.
    last_ms: i64,
}

impl PbxClock {
    /// When a message happened that was read at `at`, in milliseconds since 1970 by the clock of the exchange; `stamp_ms` is its
    /// own word of it.
    pub fn moment(&mut self, at: Now, stamp_ms: Option<i64>) -> i64 {
        let stamp_ms = stamp_ms.filter(|stamp_ms| (stamp_ms - at.wall_ms).abs() <= BELIEVED_MS);
        if let Some(stamp_ms) = stamp_ms {
            if at.mono_ms >= self.window_from_ms.saturating_add(REMEMBERED_MS) {
                self.ahead_before_ms = self.ahead_ms.take();
                self.window_from_ms = at.mono_ms;
            }
            self.ahead_ms = self.ahead_ms.max(Some(stamp_ms - at.wall_ms));
        }
        let moment_ms = stamp_ms.unwrap_or_else(|| at.wall_ms.saturating_add(self.ahead_ms().unwrap_or(0)));
        // What comes after happened after; unless a clock was set.
        let is_behind = (1..1_000).contains(&(self.last_ms - moment_ms));
        self.last_ms = if is_behind { self.last_ms } else { moment_ms };
        self.last_ms
    }

    /// How far the exchange's clock is ahead of ours, where it stamps what it says. Milliseconds.
    pub fn ahead_ms(&self) -> Option<i64> {
        self.ahead_ms.max(self.ahead_before_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_ms: i64) -> Now {
        Now { wall_ms, mono_ms: u64::try_from(wall_ms).expect("positive") }
    }

    #[test]
    fn without_stamps_it_happens_when_it_is_read() {
        let mut clock = PbxClock::default();
        assert_eq!((clock.moment(at(5_000), None), clock.ahead_ms()), (5_000, None));
    }

    #[test]
    fn what_was_read_late_happened_when_asterisk_says() {
        let mut clock = PbxClock::default();
        assert_eq!(clock.moment(at(1_002), Some(1_000)), 1_000);
        // Stopped for nine seconds.
        assert_eq!(clock.moment(at(10_000), Some(1_500)), 1_500);
        assert_eq!(clock.moment(at(10_000), None), 9_998, "an answer, by the shortest delay");
    }

    #[test]
    fn another_clock_than_ours_is_followed() {
        let mut clock = PbxClock::default();
        assert_eq!(clock.moment(at(10), Some(300_000)), 300_000);
        assert_eq!(clock.moment(at(50), None), 300_040);
        // Ours was set right a minute later, and theirs is believed anew after two.
        for minute in 1..4 {
            clock.moment(at(300_000 + minute * 60_000), Some(300_000 + minute * 60_000));
        }
        assert_eq!(clock.ahead_ms(), Some(0));
    }

    #[test]
    fn time_does_not_go_back_by_a_little() {
        let mut clock = PbxClock::default();
        assert_eq!(clock.moment(at(100), Some(90)), 90);
        assert_eq!(clock.moment(at(100), None), 90);
        assert_eq!(clock.moment(at(101), Some(88)), 90);
        assert_eq!(clock.moment(at(9_000), Some(2_000)), 2_000);
        assert_eq!(clock.moment(at(9_000), Some(500)), 500, "a clock that was set back");
    }

    #[test]
    fn a_recording_from_another_day_tells_no_time() {
        let mut clock = PbxClock::default();
        assert_eq!(clock.moment(at(90_000_000), Some(5)), 90_000_000);
        assert_eq!(clock.ahead_ms(), None);
    }
}
