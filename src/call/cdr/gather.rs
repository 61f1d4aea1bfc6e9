//! Which rows belong to one conversation.
//!
//! Rows of one linkedid or uniqueid do. Beyond that, a name ties them: the halves of a Local pair, and a channel that was first
//! called in one row (a consultation, with a linkedid of its own) and then talks in another (the transfer). Names
//! come again after a restart of Asterisk, so they only tie rows that touch in time; those of lines (`DAHDI/1-1`) come again
//! with the next call and tie nothing.

use std::collections::HashMap;

use super::Row;

/// Rows that a name ties together begin and end within this time of each other.
const TOUCHING_MS: i64 = 5_000;

/// The conversations among `rows`, each as the places of its rows in order of time; in the order in which they begin.
pub fn gather(rows: &[Row]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // The sort keeps the order of the file among rows that nothing else orders.
    order.sort_by_key(|&at| (rows[at].start, rows[at].sequence));
    let mut sets = Sets::new(rows.len());
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for &at in &order {
        let row = &rows[at];
        for id in [&row.linkedid, &row.uniqueid].into_iter().flatten().filter(|id| !id.is_empty()) {
            sets.join(*by_id.entry(id).or_insert(at), at);
        }
        for name in names(row) {
            let others = by_name.entry(name).or_default();
            if let Some(other) = others.iter().rev().find(|&&other| touch(&rows[other], row)) {
                sets.join(*other, at);
            }
            others.push(at);
        }
    }
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut gathered: Vec<Vec<usize>> = Vec::new();
    for at in order {
        let place = *places.entry(sets.find(at)).or_insert_with(|| {
            gathered.push(Vec::new());
            gathered.len() - 1
        });
        gathered[place].push(at);
    }
    gathered
}

/// What a row can be recognised by. A conference pairs strangers: there only the ids say what belongs together.
fn names(row: &Row) -> impl Iterator<Item = &str> {
    let ties = !row.is_meeting();
    let channels = [&row.channel, &row.destination_channel].into_iter().filter(move |_| ties);
    // Both halves of a Local channel stand for one.
    channels.map(|channel| channel.local_pair().unwrap_or_else(|| channel.as_str())).filter(|name| is_unique(name))
}

/// The counter at the end (`-0000005e`) makes a name unique until Asterisk restarts.
fn is_unique(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, end)| end.len() == 8 && end.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn touch(one: &Row, other: &Row) -> bool {
    one.start <= other.end + TOUCHING_MS && other.start <= one.end + TOUCHING_MS
}

/// Disjoint sets.
struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn find(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.find(one), self.find(other));
        self.parents[one.max(other)] = one.min(other);
    }
}
