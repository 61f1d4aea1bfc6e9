//! `[recordings]`: where files are looked for, and how long they are kept.

use serde::Deserialize;

/// `[recordings]`
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingsSettings {
    /// Folders below `[[asterisk]] recordings` where files are looked for that are no longer where Asterisk put them, as
    /// `"{year}/{month}/{day}"`.
    pub search: Vec<String>,
    /// The files of calls older than this are deleted, in days; 0 deletes nothing.
    pub keep_days: u32,
    /// Uploads finished recordings to CRMs with our module that cannot fetch them.
    pub push: bool,
}

impl RecordingsSettings {
    /// What is wrong with it, as (key, what and what to do). `store_keep_days` is `[store] keep_days`.
    pub fn problems(&self, store_keep_days: u32) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.search.len() > SEARCH_MAX {
            let text = format!(
                "{} folders: {SEARCH_MAX} are allowed, each is looked into for every missing file",
                self.search.len()
            );
            problems.push(("search", text));
        }
        for pattern in &self.search {
            let unknown = pattern.replace("{year}", "").replace("{month}", "").replace("{day}", "");
            if unknown.contains(['{', '}']) || pattern.starts_with('/') || pattern.split('/').any(|part| part == "..") {
                let text =
                    format!("{pattern:?} must be a folder below the recordings, as \"{{year}}/{{month}}/{{day}}\"");
                problems.push(("search", text));
            }
        }
        if store_keep_days > 0 && self.keep_days >= store_keep_days {
            let text = format!(
                "{} days: calls are forgotten after {store_keep_days} ([store] keep_days), and with them which files are \
                 theirs; keep recordings for a shorter time",
                self.keep_days
            );
            problems.push(("keep_days", text));
        }
        problems
    }
}

/// Each of them costs seven attempts for a file that is gone.
const SEARCH_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_said() {
        let settings = |search: &[&str], keep_days| RecordingsSettings {
            search: search.iter().map(|text| (*text).to_owned()).collect(),
            keep_days,
            push: false,
        };
        let keys = |settings: RecordingsSettings, store| {
            settings.problems(store).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert!(keys(settings(&["{year}/{month}/{day}", "mp3", "old/{year}"], 90), 365).is_empty());
        assert!(keys(settings(&[], 0), 0).is_empty());
        assert!(keys(settings(&[], 5000), 0).is_empty(), "calls are kept for ever");
        assert_eq!(
            keys(settings(&["/mnt/{year}", "../{year}", "{hour}"], 365), 365),
            ["search"; 3].into_iter().chain(["keep_days"]).collect::<Vec<_>>()
        );
    }
}
