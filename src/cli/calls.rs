//! `calls`: what the local database knows, through a read-only connection of its own, and further back what MongoDB does.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::args::CallsQuery;
use super::{Failure, history, print, show};
use crate::call::Record;
use crate::call::record::Moment;
use crate::config::Config;
use crate::daemon::process::exit;
use crate::store::Reader;
use crate::store::reader::CallFilter;

/// How many calls are shown if nothing else is said.
const SHOWN: u32 = 50;

/// Prints the calls asked for; the newest last, as in any log.
pub fn calls(config: &Config, query: &CallsQuery) -> Result<(), Failure> {
    let reader = open(config)?;
    let zone = config.zone();
    if let Some(id) = &query.conversation {
        let mut records = reader.conversation(id).map_err(|error| reading(&error))?;
        if records.is_empty() {
            records = history::conversation(config, id).map_err(|why| Failure::new(exit::UNAVAILABLE, why))?;
        }
        if records.is_empty() {
            return Err(Failure::new(exit::DATA, format!("there is no conversation {id} in the database")));
        }
        return if query.json { print(&json_lines(&records)) } else { print(&show::tree(&records, &zone)) };
    }
    let since = query.since.as_deref().map(|text| since(text, &zone, Timestamp::now())).transpose()?;
    let client = query.client.as_deref().map(|number| {
        // Numbers without an international form are kept as they came.
        config.numbers().normalize(number).e164.map_or_else(|| number.to_owned(), |e164| e164.to_string())
    });
    let filter = CallFilter {
        missed: query.missed,
        open: query.open,
        since,
        extension: query.extension.clone(),
        client,
        limit: usize::try_from(query.limit.unwrap_or(SHOWN)).unwrap_or(usize::MAX),
        ..CallFilter::default()
    };
    let mut records = reader.calls(&filter).map_err(|error| reading(&error))?;
    let whole = history::further_back(config, &reader, &filter, &mut records);
    records.reverse();
    if query.json {
        print(&json_lines(&records))?
    } else {
        print(&show::table(&records, &zone))?
    }
    whole.map_err(|why| Failure::new(exit::UNAVAILABLE, why))
}

/// One record a line.
pub fn json_lines(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        text.push_str(&serde_json::to_string(record).expect("a record has only text keys"));
        text.push('\n');
    }
    text
}

/// The database, for reading.
pub fn open(config: &Config) -> Result<Reader, Failure> {
    if !config.store.path.exists() {
        let text = format!("there is no database {} yet: has the service run?", config.store.path.display());
        return Err(Failure::new(exit::NO_INPUT, text));
    }
    Reader::open(&config.store.path).map_err(|error| reading(&error))
}

pub fn reading(error: &crate::store::StoreError) -> Failure {
    Failure::new(exit::IO, format!("cannot read the database: {error}"))
}

/// `90m`, `2h`, `7d`, `2026-11-22`, `2026-11-22 14:30`.
pub fn since(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Moment, Failure> {
    let bad =
        || Failure::new(exit::USAGE, format!("--since {text}: write 90m, 2h, 7d, 2026-11-22 or '2026-11-22 14:30'"));
    let unit_ms = match text.chars().last() {
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => 0_i64,
    };
    if unit_ms > 0 {
        let number: i64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
        let back_ms = number.checked_mul(unit_ms).filter(|ms| *ms >= 0).ok_or_else(bad)?;
        return Ok(Moment(now.as_millisecond().saturating_sub(back_ms)));
    }
    let spaced = text.replacen(' ', "T", 1);
    let local: civil::DateTime = spaced
        .parse::<civil::DateTime>()
        .or_else(|_| spaced.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0)))
        .map_err(|_| bad())?;
    let zoned = local.to_zoned(zone.clone()).map_err(|_| bad())?;
    Ok(Moment(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_a_day_or_a_moment() {
        let zone = TimeZone::fixed(jiff::tz::offset(3));
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        for (text, expected) in [
            ("90m", "2026-11-22T10:30:00Z"),
            ("2h", "2026-11-22T10:00:00Z"),
            ("7d", "2026-11-15T12:00:00Z"),
            ("2026-11-22", "2026-11-21T21:00:00Z"),
            ("2026-11-22 14:30", "2026-11-22T11:30:00Z"),
        ] {
            let expected: Timestamp = expected.parse().expect("a time");
            assert_eq!(since(text, &zone, now), Ok(Moment(expected.as_millisecond())), "{text}");
        }
        for bad in ["", "h", "-3h", "yesterday", "2026-13-01", "ё"] {
            assert!(since(bad, &zone, now).is_err(), "{bad}");
        }
    }
}
