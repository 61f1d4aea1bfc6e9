//! Calls as a person at a terminal reads them: a table, a conversation as a tree.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::call::record::{Direction, Moment, Reason, Record, RecordingState, Span, Step, StepKind};

/// Nothing wider is needed; what is longer is cut with an ellipsis.
const WIDEST_COLUMN: usize = 40;

/// Calls as a table, one a line, in the order given.
pub fn table(records: &[Record], zone: &TimeZone) -> String {
    let mut rows =
        vec![["WHEN", "", "CLIENT", "CALLED", "PHONE", "STATUS", "RINGS", "TALKS", "HOW"].map(str::to_owned)];
    rows.extend(records.iter().map(|record| row(record, zone)));
    columns(&rows)
}

/// Rows of equal length as aligned columns, two spaces between.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().min(WIDEST_COLUMN).max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let cell = cut(cell, WIDEST_COLUMN);
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(record: &Record, zone: &TimeZone) -> [String; 9] {
    let client = record.client_number.as_deref().or(match record.direction {
        Direction::Internal => record.from.as_deref(),
        Direction::Incoming | Direction::Outgoing => None,
    });
    [
        local_time(record.started_at, zone, "%m-%d %H:%M:%S"),
        arrow(record).to_owned(),
        client.unwrap_or("(withheld)").to_owned(),
        record.to.clone().unwrap_or_default(),
        phone(record).unwrap_or("-").to_owned(),
        name(record.status),
        seconds(record.ring_seconds),
        seconds(record.talk_seconds),
        how(record),
    ]
}

/// A call in one line, for watching calls go by.
pub fn line(record: &Record) -> String {
    let phone = phone(record).unwrap_or("-");
    let client = record.client_number.as_deref().unwrap_or("(withheld)");
    let parties = match record.direction {
        Direction::Incoming => format!("{client} -> {phone}"),
        Direction::Outgoing => {
            format!("{phone} -> {}", record.client_number.as_deref().or(record.to.as_deref()).unwrap_or("?"))
        }
        Direction::Internal => format!("{} -> {phone}", record.from.as_deref().unwrap_or("?")),
    };
    let mut text = format!("{parties:<24}  {}", name(record.status));
    let how = how(record);
    if !how.is_empty() {
        text.push_str(&format!(" ({how})"));
    }
    if let Some(rang) = record.ring_seconds.filter(|_| record.ended_at.is_some() || record.answered_at.is_some()) {
        text.push_str(&format!(", rang {} s", seconds(Some(rang))));
    }
    if let Some(talked) = record.talk_seconds.filter(|span| record.ended_at.is_some() && span.0 > 0) {
        text.push_str(&format!(", talked {} s", seconds(Some(talked))));
    }
    text
}

fn arrow(record: &Record) -> &'static str {
    match record.direction {
        Direction::Incoming => "in",
        Direction::Outgoing => "out",
        Direction::Internal => "int",
    }
}

/// The phone a record is about.
pub fn phone(record: &Record) -> Option<&str> {
    record.extension.as_deref().or(record.phone.as_deref())
}

/// What else is to be said of a call: where the client was lost, transfers, queue, menu, recording.
pub fn how(record: &Record) -> String {
    let mut parts = Vec::new();
    // "menu ivr-main" and "queue support" say the reason, too.
    let said_anyway = match record.reason {
        Some(Reason::Menu) => record.menu.is_some(),
        Some(Reason::Queue) => record.queue.is_some(),
        Some(Reason::Voicemail) => record.voicemail.is_some(),
        _ => false,
    };
    if let Some(reason) = record.reason.filter(|_| !said_anyway) {
        parts.push(name(reason));
    }
    let mut with = |word: &str, value: &Option<String>| {
        if let Some(value) = value {
            parts.push(format!("{word} {value}"));
        }
    };
    with("menu", &record.menu);
    with("queue", &record.queue);
    with("voicemail", &record.voicemail);
    with("from", &record.transferred_from);
    with("to", &record.transferred_to);
    with("picked up from", &record.picked_up_from);
    if record.click_to_call {
        parts.push("click-to-call".to_owned());
    }
    let sounds = record.recordings.iter().filter(|recording| recording.state != Some(RecordingState::Empty));
    match sounds.map(|recording| recording.state).max_by_key(|state| *state != Some(RecordingState::Deleted)) {
        Some(Some(RecordingState::Deleted)) => parts.push("recording deleted".to_owned()),
        Some(_) => parts.push("recorded".to_owned()),
        None => {}
    }
    parts.join(", ")
}

/// A whole conversation: each call, below it its timeline. `records` has the leading one first.
pub fn tree(records: &[Record], zone: &TimeZone) -> String {
    let Some(lead) = records.first() else { return String::new() };
    let mut text = format!("{}  {}", lead.conversation, arrow(lead));
    if let Some(from) = lead.client_number.as_deref().or(lead.from.as_deref()) {
        text.push_str(&format!("  {from}"));
    }
    if let Some(name) = &lead.client_name {
        text.push_str(&format!(" ({name})"));
    }
    if let Some(to) = &lead.to {
        text.push_str(&format!(" -> {to}"));
    }
    text.push_str(&format!("  {}\n", local_time(lead.started_at, zone, "%Y-%m-%d %H:%M:%S")));
    for (at, record) in records.iter().enumerate() {
        let last = at + 1 == records.len();
        let branch = if last { "└─ " } else { "├─ " };
        let phone = phone(record).unwrap_or("no phone");
        let mut facts = vec![phone.to_owned(), name(record.status)];
        facts.extend(Some(how(record)).filter(|how| !how.is_empty()));
        facts.extend(record.ring_seconds.map(|span| format!("rang {} s", seconds(Some(span)))));
        facts.extend(
            record.talk_seconds.filter(|span| span.0 > 0).map(|span| format!("talked {} s", seconds(Some(span)))),
        );
        text.push_str(&format!("{branch}{}  [{}]\n", facts.join(", "), record.id));
        let stem = if last { "   " } else { "│  " };
        for step in &record.timeline {
            text.push_str(&format!("{stem}   {}  {}\n", local_time(step.at, zone, "%H:%M:%S%.3f"), step_words(step)));
        }
    }
    text
}

fn step_words(step: &Step) -> String {
    let mut words = match step.step {
        StepKind::RingEnd => "ring ends".to_owned(),
        other => name(other),
    };
    for part in [&step.who, &step.place].into_iter().flatten() {
        words.push(' ');
        words.push_str(part);
    }
    if let Some(to) = &step.to {
        words.push_str(&format!(" -> {to}"));
    }
    if let Some(how) = &step.how {
        words.push_str(&format!(" ({how})"));
    }
    if let Some(span) = step.seconds {
        words.push_str(&format!(", {} s", seconds(Some(span))));
    }
    words
}

/// The name a value has in JSON, with spaces.
fn name(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => String::new(),
    }
}

fn seconds(span: Option<Span>) -> String {
    span.map_or_else(String::new, |span| format!("{}.{}", span.0 / 1000, span.0 % 1000 / 100))
}

/// A moment as clocks on the wall show it.
pub fn local_time(at: Moment, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(at.0) {
        Ok(timestamp) => timestamp.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => "-".to_owned(),
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let mut short: String = cell.chars().take(width - 1).collect();
    short.push('…');
    short
}

/// Records as every list shows them: conversations in the order they began, within them the calls in theirs.
pub fn sort(records: &mut [Record]) {
    let mut begins = std::collections::HashMap::new();
    for record in records.iter() {
        let begin = begins.entry(record.conversation.clone()).or_insert(record.started_at);
        *begin = record.started_at.min(*begin);
    }
    records.sort_by(|a, b| {
        let key =
            |record: &Record| (begins.get(&record.conversation).copied(), record.conversation.clone(), order(record));
        key(a).cmp(&key(b))
    });
}

/// The `n` of a record's id; conversations it was born in first, where it was joined to another.
fn order(record: &Record) -> (bool, u32) {
    let (born_in, n) = record.id.rsplit_once('-').unwrap_or((&record.id, "0"));
    (born_in != record.conversation, n.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "bb".to_owned()], ["Ирина".to_owned(), String::new()]];
        assert_eq!(columns(&rows), "a      bb\nИрина\n");
        assert_eq!(cut(&"x".repeat(50), 5), "xxxx…");
    }
}
