//! What an error of MongoDB means: for one document, or for all of them.

use mongodb::error::{Error, ErrorKind};

/// Why something was not written or read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// MongoDB takes nothing now, in the operator's words: everything waits.
    Away(String),
    /// It will never take this document.
    Document(String),
}

/// No longer text of the driver's goes into a log line.
const TEXT_MAX: usize = 300;

const DUPLICATE_KEY: i32 = 11_000;
const UNAUTHORIZED: i32 = 13;

/// Codes that blame what is in a document (or its size), whoever sent it and whenever.
const ABOUT_THE_DOCUMENT: [i32; 10] = [
    9,      // FailedToParse
    14,     // TypeMismatch
    22,     // InvalidBSON
    52,     // DollarPrefixedFieldName
    55,     // InvalidDBRef
    56,     // EmptyFieldName
    57,     // DottedFieldName
    121,    // DocumentValidationFailure
    10_334, // BSONObjectTooLarge
    17_280, // KeyTooLong
];

impl Fault {
    pub fn of(error: &Error) -> Self {
        match error.kind.as_ref() {
            ErrorKind::Command(command) => Self::of_code(command.code, &command.message),
            ErrorKind::BsonSerialization(_) | ErrorKind::InvalidArgument { .. } => Self::Document(short(error)),
            ErrorKind::ServerSelection { .. } => {
                Self::Away(format!("no MongoDB answers that could take it ({})", short(error)))
            }
            ErrorKind::Authentication { message, .. } => {
                Self::Away(format!("MongoDB refuses the login of [store.mongodb] uri: {}", cut(message)))
            }
            ErrorKind::DnsResolve { message, .. } => {
                Self::Away(format!("the hosts of [store.mongodb] uri are not known: {}", cut(message)))
            }
            _ => Self::Away(format!("MongoDB does not answer as it should: {}", short(error))),
        }
    }

    /// By the server's error code, of a command or of one statement in it.
    pub fn of_code(code: i32, message: &str) -> Self {
        let message = cut(message);
        if ABOUT_THE_DOCUMENT.contains(&code) {
            return Self::Document(format!("MongoDB will not take it: {message} (code {code})"));
        }
        Self::Away(match code {
            UNAUTHORIZED => format!("the account of [store.mongodb] uri may not do this: {message}"),
            18 => format!("MongoDB refuses the login of [store.mongodb] uri: {message}"),
            91 | 189 | 10_058 | 10_107 | 11_600 | 11_602 | 13_435 | 13_436 => {
                format!("MongoDB has no primary now: {message}")
            }
            64 | 79 | 100 => format!("too few members of the replica set confirm: {message}"),
            50 | 262 => format!("MongoDB is too slow: {message}"),
            14_031 => format!("MongoDB's disk is full: {message}"),
            _ => format!("MongoDB refuses: {message} (code {code})"),
        })
    }

    pub fn into_text(self) -> String {
        match self {
            Self::Away(text) | Self::Document(text) => text,
        }
    }
}

/// The same document is there already, in this revision or a younger one.
pub fn is_duplicate(code: i32) -> bool {
    code == DUPLICATE_KEY
}

/// The server's code of a command that failed.
pub fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// The account lacks a right.
pub fn is_unauthorized(error: &Error) -> bool {
    code(error) == Some(UNAUTHORIZED)
}

fn short(error: &Error) -> String {
    cut(&error.kind.to_string())
}

fn cut(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    if line.chars().count() <= TEXT_MAX {
        return line;
    }
    line.chars().take(TEXT_MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fault_of_the_document_is_held_against_it() {
        for code in [121, 10_334, 22] {
            assert!(matches!(Fault::of_code(code, "x"), Fault::Document(_)), "{code}");
        }
        // Unknown ones included: parked is for ever, waiting is not.
        for code in [13, 18, 91, 10_107, 50, 64, 14_031, 2, 8_000, 999_999] {
            assert!(matches!(Fault::of_code(code, "x"), Fault::Away(_)), "{code}");
        }
    }

    #[test]
    fn long_texts_are_cut_and_made_one_line() {
        let Fault::Away(text) = Fault::of_code(1, &"ё\n".repeat(400)) else { panic!("away") };
        assert!(!text.contains('\n'));
        assert!(text.chars().count() < 340, "{}", text.chars().count());
    }
}
