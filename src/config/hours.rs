//! `[hours]`: when somebody is there, as an administrator writes it, and what is wrong with that.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

use crate::call::hours::{Calendar, Dates, Day, Group, Stretch};
use crate::phone::EndpointPattern;

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Entries of one calendar, and calendars.
const MAX_ENTRIES: usize = 1_000;

/// `[hours]`
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HoursSettings {
    /// By weekday, as `mon-fri = "09:00-13:00, 14:00-18:00"`. Empty: nothing is outside hours.
    pub week: BTreeMap<String, String>,
    /// Exceptions by date, as `"2026-11-04" = "closed"`, `"01-01..01-08" = "closed"` every year, `"2026-12-26" =
    /// "10:00-16:00"`.
    pub dates: BTreeMap<String, String>,
    /// Numbers and queues with hours of their own.
    pub of: Vec<HoursOf>,
}

/// `[[hours.of]]`: hours of some numbers or queues. What it does not say it has from `[hours]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HoursOf {
    /// Patterns of the numbers called, as in `[[crm]] match`.
    pub did: Vec<String>,
    /// Patterns of queues' names.
    pub queue: Vec<String>,
    pub week: Option<BTreeMap<String, String>>,
    pub dates: Option<BTreeMap<String, String>>,
}

/// The office's calendar, if it has one, and those of its groups.
pub type OfficeHours = (Option<Calendar>, Vec<Group>);
/// What is wrong: the key within the section, and what and what to do.
pub type HoursProblem = (String, String);

impl HoursSettings {
    /// The office's hours, if it has any, and those of its groups.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(&self) -> Result<OfficeHours, Vec<HoursProblem>> {
        let mut problems = Vec::new();
        let office = calendar("", &self.week, &self.dates, &mut problems);
        if self.week.is_empty() && !self.dates.is_empty() {
            problems.push(("dates".to_owned(), "exceptions mean nothing without `week`".to_owned()));
        }
        if self.of.len() > MAX_ENTRIES {
            problems.push(("of".to_owned(), format!("more than {MAX_ENTRIES}")));
        }
        let mut groups = Vec::new();
        for (nth, of) in self.of.iter().enumerate() {
            let key = format!("of[{}] ", nth + 1);
            let patterns = |texts: &[String], problems: &mut Vec<HoursProblem>| -> Vec<EndpointPattern> {
                let read = texts.iter().filter_map(|text| match EndpointPattern::parse(text) {
                    Ok(pattern) => Some(pattern),
                    Err(bad) => {
                        problems.push((key.clone(), format!("{text:?} {bad}")));
                        None
                    }
                });
                read.collect()
            };
            if of.did.is_empty() && of.queue.is_empty() {
                problems.push((key.clone(), "whose hours are these? Add `did` or `queue`".to_owned()));
            }
            let (week, dates) = (of.week.as_ref().unwrap_or(&self.week), of.dates.as_ref().unwrap_or(&self.dates));
            if week.is_empty() {
                problems.push((key.clone(), "there are no hours: add `week`, here or in [hours]".to_owned()));
            }
            let calendar = calendar(&key, week, dates, &mut problems);
            let (did, queue) = (patterns(&of.did, &mut problems), patterns(&of.queue, &mut problems));
            groups.push(Group { did, queue, calendar });
        }
        problems.dedup();
        if problems.is_empty() { Ok((Some(office).filter(|_| !self.week.is_empty()), groups)) } else { Err(problems) }
    }
}

fn calendar(
    place: &str,
    week: &BTreeMap<String, String>,
    dates: &BTreeMap<String, String>,
    problems: &mut Vec<HoursProblem>,
) -> Calendar {
    let mut calendar = Calendar::default();
    if dates.len() > MAX_ENTRIES {
        problems.push((format!("{place}dates"), format!("more than {MAX_ENTRIES}")));
    }
    let mut said = [false; 7];
    for (days, hours) in week {
        let key = format!("{place}week {days}");
        let (days, hours) = (weekdays(days), day(hours));
        match (days, hours) {
            (Some(days), Some(hours)) => {
                for weekday in days {
                    if std::mem::replace(&mut said[weekday], true) {
                        problems.push((key.clone(), format!("{} has its hours twice", WEEKDAYS[weekday])));
                    }
                    calendar.week[weekday].clone_from(&hours);
                }
            }
            (None, _) => problems
                .push((key, format!("is no weekday: {}, or from one to another as mon-fri", WEEKDAYS.join(", ")))),
            (_, None) => problems.push((key, BAD_HOURS.to_owned())),
        }
    }
    for (date, hours) in dates {
        let key = format!("{place}dates {date}");
        match (self::dates(date), day(hours)) {
            (Some(dates), Some(hours)) => calendar.exceptions.push((dates, hours)),
            (None, _) => {
                let text = "is no date: write 2026-11-04, 01-07 for every year, or from one to another as 01-01..01-08";
                problems.push((key, text.to_owned()));
            }
            (_, None) => problems.push((key, BAD_HOURS.to_owned())),
        }
    }
    calendar.exceptions.sort_by_key(|(dates, _)| dates.rank());
    calendar
}

const BAD_HOURS: &str =
    "hours are written as \"09:00-18:00\", several as \"09:00-13:00, 14:00-18:00\", none as \"closed\"";

/// `mon`, or `mon-fri` (also over the weekend) as numbers from Monday on.
fn weekdays(text: &str) -> Option<Vec<usize>> {
    let number = |name: &str| WEEKDAYS.iter().position(|weekday| *weekday == name);
    let Some((from, to)) = text.split_once('-') else { return number(text).map(|one| vec![one]) };
    let (from, to) = (number(from)?, number(to)?);
    let length = (to + 7 - from) % 7;
    Some((0..=length).map(|plus| (from + plus) % 7).collect())
}

fn day(text: &str) -> Option<Day> {
    if text == "closed" {
        return Some(Day::new());
    }
    let minutes = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let is_number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(hour) || minute.len() != 2 || !is_number(minute) {
            return None;
        }
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (minute < 60 && hour * 60 + minute <= 1440).then_some(hour * 60 + minute)
    };
    let stretch = |text: &str| {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        (from != to && from < 1440).then_some(Stretch { from, to })
    };
    text.split(',').map(stretch).collect()
}

fn dates(text: &str) -> Option<Dates> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    if let (Some(from), Some(to)) = (date(from), date(to)) {
        return (from <= to).then_some(Dates::Once(from, to));
    }
    Some(Dates::Yearly(month_day(from)?, month_day(to)?))
}

fn date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok()).flatten()
}

fn month_day(text: &str) -> Option<(i8, i8)> {
    // A leap year has every day there is.
    let date = (text.len() == 5).then(|| date(&format!("2024-{text}"))).flatten()?;
    Some((date.month(), date.day()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asterisk::PbxId;
    use crate::call::hours::Hours;
    use jiff::tz::TimeZone;

    /// As [hours] would stand in the file.
    fn hours(text: &str, zone: &str) -> Hours {
        let settings: HoursSettings = toml::from_str(text).expect("TOML");
        let (office, groups) = settings.read().expect("good");
        Hours { office, groups, zones: vec![TimeZone::get(zone).expect("a zone")] }
    }

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
    }

    const OFFICE: &str = r#"
        week = { mon-fri = "09:00-13:00, 14:00-18:00", sat = "10:00-15:00" }
        [dates]
        2026-11-04 = "closed"
        "01-01..01-08" = "closed"
        2027-01-06 = "10:00-12:00"
        2026-11-28 = "closed"
        2026-11-29 = "09:00-18:00"
        [[of]]
        did = ["_7800.", "_8800."]
        week = { mon-sun = "00:00-24:00" }
        dates = {}
        [[of]]
        queue = ["night*"]
        week = { mon-sun = "22:00-06:00" }
        [[of]]
        queue = ["support"]
        dates = { 2026-11-23 = "closed" }
    "#;

    #[test]
    fn a_call_is_outside_the_hours_of_its_number_or_queue() {
        let moscow = hours(OFFICE, "Europe/Moscow");
        let outside = |time: &str, did, queue| moscow.is_outside(PbxId(0), at(time), Some(did), queue);
        let office = "74951234567";
        for (time, closed) in [
            // 2026-11-23 is a Monday; Moscow is three hours ahead.
            ("2026-11-23T05:59:59.999Z", true),
            ("2026-11-23T06:00:00Z", false),
            ("2026-11-23T09:59:59Z", false),
            ("2026-11-23T10:00:00Z", true),
            ("2026-11-23T11:00:00Z", false),
            ("2026-11-23T14:59:59Z", false),
            ("2026-11-23T15:00:00Z", true),
            // A holiday, a Saturday, a Saturday that is off and the working Sunday for it, a Sunday.
            ("2026-11-04T09:00:00Z", true),
            ("2026-11-21T07:00:00Z", false),
            ("2026-11-21T12:00:00Z", true),
            ("2026-11-28T08:00:00Z", true),
            ("2026-11-29T08:00:00Z", false),
            ("2026-11-22T08:00:00Z", true),
            // Every year's holidays, and a day among them that is not.
            ("2027-01-05T09:00:00Z", true),
            ("2028-01-05T09:00:00Z", true),
            ("2027-01-06T08:00:00Z", false),
            ("2027-01-06T09:00:00Z", true),
            // The day is the exchange's: 2026-11-28 has begun there.
            ("2026-11-27T21:30:00Z", true),
        ] {
            assert_eq!(outside(time, office, None), closed, "{time}");
        }
        for time in ["2026-11-22T01:00:00Z", "2026-11-04T09:00:00Z", "2027-01-01T00:00:00Z"] {
            assert!(!outside(time, "78001234567", None), "{time}: the hotline is always open");
            assert!(!outside(time, "78001234567", Some("support")), "{time}: the first that fits");
        }
        // 03:00 on Thursday belongs to Wednesday's night, and Wednesday the 4th is a holiday for this queue, too.
        assert!(!outside("2026-11-04T00:00:00Z", office, Some("night-1")), "Tuesday's night goes on into the holiday");
        assert!(outside("2026-11-05T00:00:00Z", office, Some("night-1")), "the holiday has no night of its own");
        assert!(!outside("2026-11-05T19:30:00Z", office, Some("night-1")));
        assert!(outside("2026-11-05T18:30:00Z", office, Some("night-1")));
        assert!(outside("2026-11-23T06:00:00Z", office, Some("support")), "an exception of its own");
        assert!(!outside("2026-11-24T06:00:00Z", office, Some("support")), "the office's week");
    }

    #[test]
    fn a_day_on_which_the_clock_is_set_has_the_hours_of_its_people() {
        // Berlin: at 01:00 UTC on 2026-03-29 two o'clock becomes three, on 2026-10-25 three becomes two.
        let berlin = hours("week = { mon-sun = \"02:30-09:00\" }", "Europe/Berlin");
        for (time, closed) in [
            ("2026-03-28T01:29:00Z", true),
            ("2026-03-28T01:30:00Z", false),
            ("2026-03-29T00:59:00Z", true),
            ("2026-03-29T01:00:00Z", false), // 03:00: half past two never was
            ("2026-03-29T06:59:00Z", false),
            ("2026-03-29T07:00:00Z", true),
            ("2026-10-25T00:29:00Z", true),
            ("2026-10-25T00:30:00Z", false), // 02:30 summer time
            ("2026-10-25T01:00:00Z", true),  // 02:00 again, winter time
            ("2026-10-25T01:30:00Z", false),
            ("2026-10-25T08:00:00Z", true),
        ] {
            assert_eq!(berlin.is_outside(PbxId(0), at(time), None, None), closed, "{time}");
        }
    }

    #[test]
    fn without_hours_there_is_no_outside_and_each_exchange_has_its_own_clock() {
        let none = hours("", "UTC");
        assert!(!none.is_outside(PbxId(0), at("2026-11-22T01:00:00Z"), Some("1"), None));
        let mut two = hours("week = { mon-sun = \"09:00-18:00\" }", "Europe/Moscow");
        two.zones.push(TimeZone::get("Asia/Yekaterinburg").expect("a zone"));
        let morning = at("2026-11-23T04:30:00Z");
        assert!(two.is_outside(PbxId(0), morning, None, None));
        assert!(!two.is_outside(PbxId(1), morning, None, None), "half past nine there");
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (text, key) in [
            ("week = { mon-fry = \"09:00-18:00\" }", "week mon-fry"),
            ("week = { mon = \"9-18\" }", "week mon"),
            ("week = { mon = \"09:00-09:00\" }", "week mon"),
            ("week = { mon = \"09:00-25:00\" }", "week mon"),
            ("week = { mon = \"\" }", "week mon"),
            ("week = { mon-fri = \"09:00-18:00\", fri = \"09:00-16:00\" }", "week mon-fri"),
            ("week = { mon = \"09:00-18:00\" }\ndates = { \"04.11.2026\" = \"closed\" }", "dates 04.11.2026"),
            ("week = { mon = \"09:00-18:00\" }\ndates = { 2026-02-29 = \"closed\" }", "dates 2026-02-29"),
            (
                "week = { mon = \"09:00-18:00\" }\ndates = { \"2026-11-05..2026-11-04\" = \"closed\" }",
                "dates 2026-11-05..2026-11-04",
            ),
            ("dates = { 01-01 = \"closed\" }", "dates"),
            ("of = [{ did = [\"1\"] }]", "of[1] "),
            ("of = [{ week = { mon = \"09:00-18:00\" } }]", "of[1] "),
            ("of = [{ queue = [\"_[1\"], week = { mon = \"09:00-18:00\" } }]", "of[1] "),
        ] {
            let settings: HoursSettings = toml::from_str(text).expect("TOML");
            let problems = settings.read().expect_err(text);
            assert_eq!((problems.len(), problems[0].0.as_str()), (1, key), "{text}: {problems:?}");
        }
        let yearly: HoursSettings = toml::from_str(
            "week = { sat-mon = \"22:00-06:00\" }\ndates = { \"12-31..01-08\" = \"closed\", 02-29 = \"closed\" }",
        )
        .expect("TOML");
        assert!(yearly.read().is_ok());
    }
}
