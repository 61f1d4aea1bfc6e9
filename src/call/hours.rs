//! When somebody is there: whether a conversation began outside the hours of its number or queue. Pure; how hours are
//! written in the configuration is `config`'s.
//!
//! Hours are those of the exchange's wall clock, so a day on which the clock is set has them as its people have them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::asterisk::PbxId;
use crate::phone::EndpointPattern;

/// Minutes of a day, the end excluded. An end that is not after the beginning is on the next day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    pub from: u16,
    pub to: u16,
}

/// The hours of one day; none is closed.
pub type Day = Vec<Stretch>;

/// The days an exception is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dates {
    /// From this date to that, both included.
    Once(Date, Date),
    /// (Month, day) to (month, day) of every year, both included; over New Year if the second comes before the first.
    Yearly((i8, i8), (i8, i8)),
}

/// A week and its exceptions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calendar {
    /// From Monday on.
    pub week: [Day; 7],
    /// Instead of the week; where several fit, the first.
    pub exceptions: Vec<(Dates, Day)>,
}

/// Hours of some numbers or queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    pub did: Vec<EndpointPattern>,
    pub queue: Vec<EndpointPattern>,
    pub calendar: Calendar,
}

/// All hours of the office.
#[derive(Clone, Debug, Default)]
pub struct Hours {
    /// Where no group fits; without it there is no outside.
    pub office: Option<Calendar>,
    /// The first that fits counts.
    pub groups: Vec<Group>,
    /// By [`PbxId`].
    pub zones: Vec<TimeZone>,
}

impl Hours {
    /// Whether a call to this number, which came to this queue first, began (`at_ms`, UTC) when nobody is there.
    pub fn is_outside(&self, pbx: PbxId, at_ms: i64, did: Option<&str>, queue: Option<&str>) -> bool {
        let fits = |patterns: &[EndpointPattern], name: Option<&str>| {
            name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
        };
        let group = self.groups.iter().find(|group| fits(&group.did, did) || fits(&group.queue, queue));
        let Some(calendar) = group.map(|group| &group.calendar).or(self.office.as_ref()) else { return false };
        let zone = self.zones.get(usize::from(pbx.0)).cloned().unwrap_or(TimeZone::UTC);
        // A clock beyond the year 9999 is broken; nothing is known then.
        Timestamp::from_millisecond(at_ms).is_ok_and(|at| !calendar.is_open(at, zone))
    }
}

impl Calendar {
    fn is_open(&self, at: Timestamp, zone: TimeZone) -> bool {
        let local = at.to_zoned(zone).datetime();
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = self.day(local.date()).iter().any(|stretch| stretch.today(minute));
        // What began yesterday before midnight belongs to yesterday, holiday or not.
        let yesterday = local.date().checked_sub(1.day()).ok();
        today || yesterday.is_some_and(|date| self.day(date).iter().any(|stretch| stretch.next_day(minute)))
    }

    fn day(&self, date: Date) -> &Day {
        let exception = self.exceptions.iter().find(|(dates, _)| dates.hold(date));
        let weekday = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
        exception.map_or(&self.week[weekday], |(_, day)| day)
    }
}

impl Stretch {
    fn over_midnight(self) -> bool {
        self.to <= self.from
    }

    fn today(self, minute: u16) -> bool {
        minute >= self.from && (minute < self.to || self.over_midnight())
    }

    fn next_day(self, minute: u16) -> bool {
        self.over_midnight() && minute < self.to
    }
}

impl Dates {
    fn hold(self, date: Date) -> bool {
        match self {
            Self::Once(from, to) => (from..=to).contains(&date),
            Self::Yearly(from, to) => {
                let day = (date.month(), date.day());
                if from <= to { (from..=to).contains(&day) } else { day >= from || day <= to }
            }
        }
    }

    /// Which of two that fit counts: a date of one year before a yearly one, then the shorter.
    pub fn rank(self) -> (bool, i64) {
        match self {
            Self::Once(from, to) => (false, i64::from(from.until(to).map_or(0, |span| span.get_days()))),
            Self::Yearly((m1, d1), (m2, d2)) => {
                let length = (i64::from(m2) - i64::from(m1)) * 31 + i64::from(d2) - i64::from(d1);
                (true, if length < 0 { length + 372 } else { length })
            }
        }
    }
}
