//! What doctor says: one line per check, good or not, and what to do.

use std::fmt::Write as _;

use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It could not be found out from here.
    Unknown,
    /// It works, but not all of it, or not safely.
    Warning,
    /// Calls are lost, or something that is switched on does not work.
    Failure,
}

/// The outcome of one check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// `exchange NAME`, `CRM NAME` or `this machine`.
    pub about: String,
    /// One word or two with a dash, the same for the same check in every run.
    pub check: &'static str,
    pub level: Level,
    /// What was found, a sentence.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Findings about one thing, as they are made.
pub struct Findings<'a> {
    about: String,
    found: &'a mut Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub fn about(about: String, found: &'a mut Vec<Finding>) -> Self {
        Self { about, found }
    }

    pub fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Ok, text.into(), None);
    }

    pub fn unknown(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Unknown, text.into(), None);
    }

    pub fn warning(&mut self, check: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Level::Warning, text.into(), Some(remedy.into()));
    }

    pub fn failure(&mut self, check: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Level::Failure, text.into(), Some(remedy.into()));
    }

    fn add(&mut self, check: &'static str, level: Level, text: String, remedy: Option<String>) {
        self.found.push(Finding { about: self.about.clone(), check, level, text, remedy });
    }
}

/// For people.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut about = None;
    for finding in findings {
        if about != Some(&finding.about) {
            let _ = writeln!(text, "{}{}:", if about.is_some() { "\n" } else { "" }, finding.about);
            about = Some(&finding.about);
        }
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Unknown => "?",
            Level::Warning => "warning",
            Level::Failure => "FAILURE",
        };
        let _ = writeln!(text, "  {level:<8} {:<16} {}", finding.check, finding.text);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "  {:<8} {:<16} -> {remedy}", "", "");
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let _ = writeln!(
        text,
        "\n{}, {}, {} good{}",
        plural(count(Level::Failure), "failure"),
        plural(count(Level::Warning), "warning"),
        count(Level::Ok),
        match count(Level::Unknown) {
            0 => String::new(),
            unknown => format!(", {unknown} not found out"),
        }
    );
    text
}
