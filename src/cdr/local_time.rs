//! Makes the local times of rows UTC, by the configured zone and by what the uniqueids prove.
//!
//! A uniqueid begins with the second in which Asterisk made the channel, which is when the first row of it begins. So a wrong
//! zone shows itself, and the hour that comes twice in autumn is told apart.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::columns::{Line, LocalMs};
use crate::call::cdr::Row;

/// Zones differ by multiples of this.
const STEP_MS: i64 = 15 * 60_000;
/// A channel's first row begins so soon after the channel, at most (the dialplan may reset the record).
const NEAR_MS: i64 = 5 * 60_000;
/// No two zones on earth differ by more.
const FARTHEST_MS: i64 = 27 * 3_600_000;

/// The second in which a channel was made, by its uniqueid `[systemname-]EPOCH.COUNTER`.
pub fn epoch_s(uniqueid: &str) -> Option<i64> {
    let (before, counter) = uniqueid.rsplit_once('.')?;
    let epoch = before.rsplit_once('-').map_or(before, |(_, epoch)| epoch);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (epoch.len() == 10 && digits(epoch) && digits(counter)).then(|| epoch.parse().ok()).flatten()
}

/// UTC of a local time; of two the earlier, in the hour that does not exist the one that would have been.
pub fn utc_ms(local: LocalMs, zone: &TimeZone) -> i64 {
    let at = jiff::Timestamp::from_millisecond(local).map(|at| at.to_zoned(TimeZone::UTC).datetime());
    let zoned = at.and_then(|at| at.to_zoned(zone.clone()));
    zoned.map_or(local, |zoned| zoned.timestamp().as_millisecond())
}

/// The local time of a moment.
pub fn local(utc_ms: i64, zone: &TimeZone) -> LocalMs {
    let zoned = jiff::Timestamp::from_millisecond(utc_ms).map(|at| at.to_zoned(zone.clone()).datetime());
    let as_utc = zoned.and_then(|at| at.to_zoned(TimeZone::UTC));
    as_utc.map_or(utc_ms, |at| at.timestamp().as_millisecond())
}

/// The rows in UTC, and by how many minutes the zone is wrong for most of them; `None` if no uniqueid says so.
pub fn to_utc(lines: Vec<Line>, zone: &TimeZone) -> (Vec<Row>, Option<i64>) {
    let mut rows: Vec<Row> = lines.into_iter().map(|line| line.row).collect();
    let mut firsts: HashMap<Box<str>, i64> = HashMap::new();
    for row in &mut rows {
        let start = utc_ms(row.start, zone);
        // The length of a call does not depend on the zone, nor on the clock being changed meanwhile.
        let shift = start - row.start;
        row.start = start;
        row.end += shift;
        row.answer = row.answer.map(|answer| answer + shift);
        if let Some(uniqueid) = &row.uniqueid {
            firsts.entry(uniqueid.clone()).and_modify(|first| *first = (*first).min(start)).or_insert(start);
        }
    }
    let mut votes: HashMap<i64, u64> = HashMap::new();
    let mut offs: HashMap<Box<str>, i64> = HashMap::new();
    for (uniqueid, first) in firsts {
        if let Some(off) = epoch_s(&uniqueid).and_then(|epoch| off_by(first - epoch * 1_000)) {
            *votes.entry(off).or_default() += 1;
            offs.insert(uniqueid, off);
        }
    }
    // Of equally many the smaller one, which is usually none at all.
    let usual = votes.into_iter().max_by_key(|(off, count)| (*count, -off.abs())).map(|(off, _)| off);
    for row in &mut rows {
        let own = row.uniqueid.as_ref().and_then(|uniqueid| offs.get(uniqueid)).copied();
        let off = own.or(usual).unwrap_or(0);
        row.start -= off;
        row.end -= off;
        row.answer = row.answer.map(|answer| answer - off);
    }
    (rows, usual.map(|off| off / 60_000))
}

/// The difference of two zones, if that is what it is.
fn off_by(difference: i64) -> Option<i64> {
    let steps = (difference + STEP_MS / 2).div_euclid(STEP_MS);
    let off = steps * STEP_MS;
    ((difference - off).abs() <= NEAR_MS && off.abs() <= FARTHEST_MS).then_some(off)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(uniqueid: &str, start: &str) -> Line {
        let start = super::super::columns::local_ms(start).expect("a time");
        let uniqueid = (!uniqueid.is_empty()).then(|| uniqueid.into());
        Line { row: Row { uniqueid, start, end: start + 4_000, answer: Some(start + 1_000), ..Row::default() } }
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("known")
    }

    #[test]
    fn the_zone_is_taken_where_nothing_else_says() {
        let (rows, off) = to_utc(vec![line("", "2026-11-22 09:29:50")], &zone("Europe/Moscow"));
        assert_eq!((rows[0].start, off), (1_795_328_990_000, None));
        assert_eq!(
            local(1_795_328_990_000, &zone("Europe/Moscow")),
            super::super::columns::local_ms("2026-11-22 09:29:50").expect("a time")
        );
    }

    #[test]
    fn uniqueids_prove_the_zone_wrong_and_right() {
        // Written in UTC, as `usegmtime = yes` does, and read as Moscow's.
        let lines = || vec![line("1795328990.0", "2026-11-22 06:29:50"), line("pin-1-abc", "2026-11-22 06:30:00")];
        let (rows, off) = to_utc(lines(), &zone("Europe/Moscow"));
        assert_eq!(off, Some(-180));
        assert_eq!((rows[0].start, rows[1].start), (1_795_328_990_000, 1_795_329_000_000));
        let (rows, off) = to_utc(lines(), &TimeZone::UTC);
        assert_eq!((rows[0].start, off), (1_795_328_990_000, Some(0)));
    }

    #[test]
    fn the_hour_that_comes_twice_is_told_apart() {
        // Berlin, 25 October 2026: 02:30 is 00:30 UTC and again 01:30 UTC.
        let lines = vec![line("1792888200.1", "2026-10-25 02:30:00"), line("1792891800.2", "2026-10-25 02:30:00")];
        let (rows, _) = to_utc(lines, &zone("Europe/Berlin"));
        assert_eq!((rows[0].start, rows[1].start), (1_792_888_200_000, 1_792_891_800_000));
        assert_eq!(rows[1].answer, Some(1_792_891_801_000));
    }

    #[test]
    fn a_second_row_of_a_long_call_is_no_other_zone() {
        let lines = vec![line("1795328990.0", "2026-11-22 06:29:50"), line("1795328990.0", "2026-11-22 07:29:50")];
        let (rows, off) = to_utc(lines, &TimeZone::UTC);
        assert_eq!((rows[1].start - rows[0].start, off), (3_600_000, Some(0)));
    }

    #[test]
    fn an_id_without_a_time_says_nothing() {
        for (id, epoch) in [
            ("1795328990.0", Some(1_795_328_990)),
            ("pbx-1-1795328990.12", Some(1_795_328_990)),
            ("pin-1795328990-abc", None),
            ("aa-1", None),
            ("12.5", None),
        ] {
            assert_eq!(epoch_s(id), epoch, "{id}");
        }
    }
}
