//! `history copy`, and what `calls` finds in MongoDB beyond the local database.

#[cfg(feature = "mongodb")]
use std::io::{IsTerminal, Write};
#[cfg(feature = "mongodb")]
use std::time::{Duration, Instant};

use super::{Failure, args::Side};
use crate::call::Record;
use crate::config::Config;
use crate::daemon::process::exit;
use crate::store::Reader;
#[cfg(feature = "mongodb")]
use crate::store::StoreKind;
use crate::store::reader::CallFilter;

/// How often a line of progress is written.
#[cfg(feature = "mongodb")]
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// `history copy`
#[cfg(feature = "mongodb")]
pub fn copy(config: &Config, from: Side, to: Side, again: bool) -> Result<(), Failure> {
    use crate::store::mongodb::copy::{Broken, Direction, copy};

    let direction = match (from, to) {
        (Side::Sqlite, Side::Mongodb) => Direction::ToMongodb,
        (Side::Mongodb, Side::Sqlite) => Direction::ToSqlite,
        _ => return Err(Failure::new(exit::USAGE, "history copy needs two different sides: sqlite and mongodb")),
    };
    if config.store.mongodb.uri.is_none() {
        let text = "[store.mongodb] uri is not set: where is MongoDB?";
        return Err(Failure::new(exit::CONFIG, text));
    }
    if direction == Direction::ToMongodb {
        // Says so if there is none; and an empty one would be made by opening it for writing.
        drop(super::calls::open(config)?);
    } else if config.store.kind == StoreKind::Mongodb {
        eprintln!(
            "pinconnector: with [store] kind = \"mongodb\" the service removes here again what is older than {} days; set kind \
             = \"sqlite\" if the history is to stay",
            config.store.mongodb.local_days
        );
    }
    let (began, mut next) = (Instant::now(), Instant::now());
    let of = if direction == Direction::ToMongodb { "calls" } else { "conversations" };
    let terminal = std::io::stderr().is_terminal();
    let mut tell = |progress: &crate::store::mongodb::copy::Progress| {
        if Instant::now() < next {
            return;
        }
        next = Instant::now() + TOLD_EVERY;
        let total = progress.total.max(progress.seen);
        let (line, end) = if terminal { ("\r", "   ") } else { ("", "\n") };
        eprint!("{line}{} of about {total} {of}, {} written{end}", progress.seen, progress.written);
        let _ = std::io::stderr().flush();
    };
    let target = crate::daemon::history::target(config);
    let done = copy(&config.store, &target, direction, again, &mut tell);
    if terminal {
        eprintln!();
    }
    let progress = done.map_err(|broken| match broken {
        Broken::Away(why) => {
            Failure::new(exit::UNAVAILABLE, format!("broken off: {why}. The same command goes on from there"))
        }
        Broken::Local(why) => Failure::new(
            exit::IO,
            format!("broken off: the local database: {why}. The same command goes on from there"),
        ),
    })?;
    super::print(&format!(
        "{} conversations written, {} were there already ({} s)\n",
        progress.written,
        progress.there,
        began.elapsed().as_secs()
    ))?;
    if progress.refused.is_empty() {
        return Ok(());
    }
    let mut text = format!("MongoDB will not take {} conversations:", progress.refused.len());
    for (id, why) in &progress.refused {
        text.push_str(&format!("\n  {id}: {why}"));
    }
    Err(Failure::new(exit::DATA, text))
}

/// `history copy` of a program without MongoDB.
#[cfg(not(feature = "mongodb"))]
pub fn copy(_: &Config, _: Side, _: Side, _: bool) -> Result<(), Failure> {
    Err(Failure::new(exit::UNAVAILABLE, "this program was built without MongoDB"))
}

/// Adds what MongoDB knows to what the local database `found`, newest first, where that does not reach as far back as was
/// asked. `Err` is a sentence for the reader: MongoDB is away, and `found` is all there is now.
#[cfg(feature = "mongodb")]
pub fn further_back(
    config: &Config,
    local: &Reader,
    filter: &CallFilter,
    found: &mut Vec<Record>,
) -> Result<(), String> {
    use crate::call::record::Moment;

    const DAY_MS: i64 = 86_400_000;
    // What goes on now is here.
    if config.store.kind != StoreKind::Mongodb || filter.open || found.len() >= filter.limit {
        return Ok(());
    }
    let oldest = local.oldest_call().map_err(|error| error.to_string())?;
    let kept = Moment(crate::clock::Now::read().wall_ms - i64::from(config.store.mongodb.local_days) * DAY_MS);
    let here_since = oldest.map_or(Moment(i64::MAX), |oldest| oldest.max(kept));
    if filter.since.is_some_and(|since| since >= here_since) {
        return Ok(());
    }
    let past = past(config).and_then(|past| past.calls(filter));
    let past = past.map_err(|error| {
        let zone = config.zone();
        let since = oldest.map_or_else(String::new, |oldest| {
            format!(" before {}", super::show::local_time(oldest.max(kept), &zone, "%Y-%m-%d %H:%M"))
        });
        format!("{error}. Calls{since} are in MongoDB and are not shown")
    })?;
    merge(found, past);
    found.truncate(filter.limit);
    Ok(())
}

/// The records of a conversation that the local database does not know.
#[cfg(feature = "mongodb")]
pub fn conversation(config: &Config, id: &str) -> Result<Vec<Record>, String> {
    if config.store.kind != StoreKind::Mongodb {
        return Ok(Vec::new());
    }
    past(config).and_then(|past| past.conversation(id)).map_err(|error| error.to_string())
}

#[cfg(not(feature = "mongodb"))]
pub fn further_back(_: &Config, _: &Reader, _: &CallFilter, _: &mut Vec<Record>) -> Result<(), String> {
    Ok(())
}

#[cfg(not(feature = "mongodb"))]
pub fn conversation(_: &Config, _: &str) -> Result<Vec<Record>, String> {
    Ok(Vec::new())
}

#[cfg(feature = "mongodb")]
fn past(config: &Config) -> Result<crate::store::mongodb::reader::Reader, crate::store::StoreError> {
    crate::store::mongodb::reader::Reader::open(&crate::daemon::history::target(config))
}

/// Of a record that both have, the younger state.
#[cfg(feature = "mongodb")]
fn merge(found: &mut Vec<Record>, past: Vec<Record>) {
    for record in past {
        match found.iter_mut().find(|known| known.id == record.id) {
            Some(known) if known.revision < record.revision => *known = record,
            Some(_) => {}
            None => found.push(record),
        }
    }
    // Stable, so that what was in order stays so.
    found.sort_by_key(|record| std::cmp::Reverse(record.started_at));
}
