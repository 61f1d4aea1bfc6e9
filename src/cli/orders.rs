//! `outbox`, `backup`, `forget`. What changes the database is the running service's to do, which is asked for it; without one
//! it is done here.

use std::io::{BufRead, IsTerminal};
use std::path::Path;

use super::{Failure, calls, print, show};
use crate::config::Config;
use crate::crm::Kind;
use crate::daemon::TO_FORGET;
use crate::daemon::control::{self, Answer, Request};
use crate::daemon::process::exit;
use crate::store::Desk;
use crate::store::rows::Rows;

/// More rows than this nobody reads; the count above the list is of all.
const LISTED: usize = 500;

/// `outbox list`
pub fn list(config: &Config, json: bool) -> Result<(), Failure> {
    let reader = calls::open(config)?;
    let rows = reader.outbox(None, LISTED).map_err(|error| calls::reading(&error))?;
    let destinations = reader.destinations().map_err(|error| calls::reading(&error))?;
    if json {
        let mut text = String::new();
        for row in &rows {
            text.push_str(&serde_json::to_string(row).expect("a row has only text keys"));
            text.push('\n');
        }
        return print(&text);
    }
    let zone = config.zone();
    let time = |ms| show::local_time(crate::call::record::Moment(ms), &zone, "%m-%d %H:%M:%S");
    let mut text = String::new();
    for destination in &destinations {
        text.push_str(&format!(
            "{}: {} waiting, {} refused",
            destination.name, destination.waiting, destination.parked
        ));
        if let Some(since) = destination.down_since_ms {
            text.push_str(&format!(", down since {}", time(since)));
        }
        if let Some(why) = &destination.last_error {
            text.push_str(&format!(", last fault: {why}"));
        }
        text.push('\n');
    }
    if rows.is_empty() {
        text.push_str("Nothing waits.\n");
        return print(&text);
    }
    let mut cells = vec![["ID", "CRM", "RECORD", "SINCE", "TRIES", "WHY"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let why = match (&row.parked, &row.last_error) {
            (Some(reason), _) => format!("refused: {reason}"),
            (None, Some(error)) => error.clone(),
            (None, None) => String::new(),
        };
        let id = row.id.to_string();
        [id, row.destination.clone(), row.item.clone(), time(row.since_ms), row.tries.to_string(), why]
    }));
    text.push_str(&show::columns(&cells));
    print(&text)
}

/// `outbox retry`
pub fn retry(config: &Config, row: Option<&str>, crm: Option<String>) -> Result<(), Failure> {
    let row = row.map(row_id).transpose()?;
    if let Some(name) = &crm
        && !config.crm.iter().any(|section| section.name == *name)
    {
        return Err(Failure::new(exit::USAGE, format!("there is no [[crm]] named {name:?}")));
    }
    let count = order(config, &Request::Retry { row, crm })?;
    print(&format!("{count} tried again\n"))
}

/// `outbox drop`
pub fn drop_row(config: &Config, row: &str, yes: bool) -> Result<(), Failure> {
    let row = row_id(row)?;
    confirm(&format!("The record of row {row} will not be delivered. Drop it?"), yes)?;
    match order(config, &Request::Drop { row })? {
        0 => Err(Failure::new(exit::DATA, format!("there is no row {row} in the outbox"))),
        _ => print("dropped\n"),
    }
}

/// `forget`
pub fn forget(config: &Config, number: &str, yes: bool) -> Result<(), Failure> {
    let Some(e164) = config.numbers().normalize(number).e164 else {
        return Err(Failure::new(exit::DATA, format!("{number} is no number that clients are compared by")));
    };
    confirm(&format!("Everything about {e164} will be removed from the history and the outbox. Forget it?"), yes)?;
    let count = order(config, &Request::Forget { number: e164.to_string() })?;
    print(&format!("{count} calls forgotten\n"))
}

/// `backup`
pub fn backup(config: &Config, file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::new(exit::USAGE, format!("{} exists; a backup overwrites nothing", file.display())));
    }
    calls::open(config)?
        .backup(file)
        .map_err(|error| Failure::new(exit::IO, format!("cannot write {}: {error}", file.display())))?;
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    print(&format!("{} ({} kB)\n", file.display(), bytes / 1024))
}

fn row_id(text: &str) -> Result<i64, Failure> {
    text.parse().map_err(|_| Failure::new(exit::USAGE, format!("{text} is no ID as `outbox list` shows it")))
}

/// Asks the person at the terminal; without one, `--yes` must have been given.
fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(exit::USAGE, "this cannot be undone; say --yes if you mean it"));
    }
    eprint!("{question} [y/N] ");
    let mut line = String::new();
    let _ = std::io::stdin().lock().read_line(&mut line);
    if matches!(line.trim(), "y" | "Y" | "yes" | "д" | "да") {
        return Ok(());
    }
    Err(Failure::new(exit::TEMPORARY, "nothing was changed"))
}

/// Has the order carried out, by the running service or here.
fn order(config: &Config, request: &Request) -> Result<u64, Failure> {
    let database = &config.store.path;
    let answer = match control::ask_service(database, request) {
        Ok(Some(answer)) => answer,
        Ok(None) => without_service(config, request)?,
        Err(error) => {
            let text = format!("the running service cannot be asked: {error}. Are you root, or the service's user?");
            return Err(Failure::new(exit::UNAVAILABLE, text));
        }
    };
    match answer {
        Answer::Done { count } => Ok(count),
        Answer::Failed { why } => Err(Failure::new(exit::IO, why)),
        Answer::Reports { .. } => Ok(0),
    }
}

fn without_service(config: &Config, request: &Request) -> Result<Answer, Failure> {
    if !config.store.path.exists() {
        let text = format!("there is no database {} yet: has the service run?", config.store.path.display());
        return Err(Failure::new(exit::NO_INPUT, text));
    }
    let desk = Desk::open(&config.store.path).map_err(|error| Failure::new(exit::IO, error.to_string()))?;
    let done = match request.clone() {
        Request::Retry { row, crm } => desk.retry(&control::rows(row, crm)),
        Request::Drop { row } => desk.drop_rows(&Rows::One(row)),
        // Has a command of its own.
        Request::Reconcile { .. } => Ok(0),
        Request::Forget { number } => {
            // The CRMs are told by the next service.
            let told = config
                .crm
                .iter()
                .filter(|section| section.kind == Kind::Calls)
                .try_for_each(|section| desk.save_setting(&format!("{TO_FORGET}{} {number}", section.name), "1"));
            if let Err(error) = told {
                return Ok(Answer::Failed { why: error.to_string() });
            }
            desk.forget(&number, crate::clock::Now::read()).map(|forgotten| forgotten.records)
        }
    };
    Ok(match done {
        Ok(count) => Answer::Done { count },
        Err(error) => Answer::Failed { why: error.to_string() },
    })
}
