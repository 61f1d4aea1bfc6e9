//! What the facts mean, and what to do: pure, one function per check or a few that hang together.

mod crm;
mod exchange;
mod here;
mod names;
mod version;

use super::facts::Facts;
use super::finding::Finding;

/// Everything found, exchanges first, in the order of the configuration.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for exchange in &facts.exchanges {
        exchange::judge(exchange, &mut found);
        names::judge(exchange, &facts.rules, &mut found);
    }
    for one in &facts.crms {
        crm::judge(one, facts, &mut found);
    }
    here::judge(&facts.here, &mut found);
    found
}

/// A list that nobody must read to its end.
fn some_of(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 6;
    let mut text = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests;
