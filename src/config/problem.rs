//! What is wrong with a configuration, in the administrator's words: where, what, and what to do.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The service runs, but somebody should know.
    Warning,
    /// The service does not start with it.
    Error,
}

/// One thing wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub severity: Severity,
    /// Line in the file, from 1; `None` where the problem is in no line (something is missing, the file itself).
    pub line: Option<usize>,
    /// The section and key, as `[crm] secret`; empty for the file itself.
    pub place: String,
    /// What is wrong, and what to do about it.
    pub text: String,
}

impl Problem {
    pub fn error(place: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, line: None, place: place.to_owned(), text: text.into() }
    }

    pub fn warning(place: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, text) }
    }

    #[must_use]
    pub fn at_line(mut self, line: Option<usize>) -> Self {
        self.line = line;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.text)
    }
}

/// A configuration that cannot be used: everything that is wrong with it, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadConfig {
    /// The file, as it was named.
    pub file: String,
    pub problems: Vec<Problem>,
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}: {problem}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for BadConfig {}
