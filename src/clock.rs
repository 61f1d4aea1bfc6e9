//! Time, read at the edge and handed inwards as a value.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One moment on both clocks: the wall's for what is written down, the monotonic one for deadlines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Milliseconds since 1970-01-01 UTC. May step when somebody sets the clock.
    pub wall_ms: i64,
    /// Milliseconds since some fixed moment of this process. Never goes back.
    pub mono_ms: u64,
}

impl Now {
    /// Both clocks as they stand.
    pub fn read() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let mono = START.get_or_init(Instant::now).elapsed();
        // A clock before 1970 is a board without a battery; zero is as good as any other wrong time.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            mono_ms: u64::try_from(mono.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The same moment, `ms` later on both clocks.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self {
            wall_ms: self.wall_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)),
            mono_ms: self.mono_ms.saturating_add(ms),
        }
    }
}

/// Milliseconds since the machine was started, counted also while it slept or this process was stopped: what a lease is
/// measured by.
pub fn boot_ms() -> u64 {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(at.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(at.tv_nsec).unwrap_or(0) / 1_000_000
}

/// RFC 3339 in UTC with milliseconds, as every record writes a time.
pub fn rfc3339(wall_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(wall_ms) {
        Ok(at) => format!("{at:.3}"),
        // Beyond the year 9999: such a clock is broken, but a record must still be written.
        Err(_) => "9999-12-31T23:59:59.999Z".to_owned(),
    }
}

/// Reads back what [`rfc3339`] wrote.
///
/// # Errors
/// If the text is no RFC 3339 time.
pub fn parse_rfc3339(text: &str) -> Result<i64, jiff::Error> {
    Ok(text.parse::<jiff::Timestamp>()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_795_329_208_170), "2026-11-22T06:33:28.170Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc3339("2026-11-22T06:33:28.170Z").expect("a time"), 1_795_329_208_170);
    }
}
