//! `reconcile`: compares Asterisk's call detail records with the history, by the running service or, without one, here.

use super::{Failure, calls, print};
use crate::clock::Now;
use crate::config::Config;
use crate::daemon::control::{self, Answer, Request};
use crate::daemon::process::exit;
use crate::daemon::reconcile::{Report, compare, earliest, exchanges};
use crate::store::Desk;

/// What to compare.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// As in `calls`; by default a day.
    pub since: Option<String>,
    pub pbx: Option<String>,
    /// Says what is missing and imports nothing.
    pub dry_run: bool,
    pub json: bool,
}

/// `reconcile`
pub fn reconcile(config: &Config, wanted: &Wanted) -> Result<(), Failure> {
    let exchanges = exchanges(config);
    if let Some(pbx) = &wanted.pbx
        && !exchanges.iter().any(|exchange| exchange.name == *pbx)
    {
        let text = format!("there is no [[asterisk]] named {pbx:?} with a section [asterisk.cdr]");
        return Err(Failure::new(exit::USAGE, text));
    }
    if exchanges.is_empty() {
        let text = "no exchange says where its call detail records are: add [asterisk.cdr] below its [[asterisk]]";
        return Err(Failure::new(exit::CONFIG, text));
    }
    let now = Now::read();
    let since = wanted.since.as_deref().unwrap_or("1d");
    let since_ms = calls::since(since, &config.zone(), jiff::Timestamp::now())?.0;
    let request = Request::Reconcile { since_ms, pbx: wanted.pbx.clone(), import: !wanted.dry_run };
    let reports = match control::ask_service(&config.store.path, &request) {
        Ok(Some(Answer::Reports { reports })) => reports,
        Ok(Some(Answer::Failed { why })) => return Err(Failure::new(exit::IO, why)),
        Ok(Some(Answer::Done { .. })) => Vec::new(),
        Ok(None) => without_service(config, wanted, since_ms, now)?,
        Err(error) => {
            let text = format!("the running service cannot be asked: {error}. Are you root, or the service's user?");
            return Err(Failure::new(exit::UNAVAILABLE, text));
        }
    };
    let mut text = String::new();
    for report in &reports {
        if wanted.json {
            text.push_str(&serde_json::to_string(report).expect("a report has only text keys"));
            text.push('\n');
        } else {
            text.push_str(&report.text());
        }
    }
    print(&text)
}

fn without_service(config: &Config, wanted: &Wanted, since_ms: i64, now: Now) -> Result<Vec<Report>, Failure> {
    let reader = calls::open(config)?;
    let failed = |why: String| Failure::new(exit::IO, why);
    let desk = Desk::open(&config.store.path).map_err(|error| failed(error.to_string()))?;
    let import = !wanted.dry_run;
    let since_ms = earliest(since_ms, now.wall_ms, config.store.keep_days, import);
    let rules = config.rules();
    let mut reports = Vec::new();
    for exchange in exchanges(config).iter().filter(|own| wanted.pbx.as_ref().is_none_or(|pbx| *pbx == own.name)) {
        let mut save = |calls: Vec<_>| {
            if !import {
                return Ok(0);
            }
            desk.save_found(&calls, config.calls.follow_up_days, Now::read()).map_err(|error| error.to_string())
        };
        let report = compare(exchange, &rules, &reader, (since_ms, now.wall_ms), now, &mut save).map_err(failed)?;
        reports.push(report);
    }
    Ok(reports)
}
