//! Numbers on their way to the dialplan: what may be dialled at all, and in which form.
//!
//! What reaches an Originate goes through here, so nothing is repaired: signs that people put between digits are
//! removed, an extension behind the number is cut off and reported, anything else is refused. Leaves to the guard of
//! click-to-call which of the numbers may be called.

use std::fmt;

use serde::Deserialize;

use super::e164::E164;
use super::reading::{self, DIGITS_MAX, Digits, NUMBER_DIGITS_MIN};
use super::{Kind, Numbers};

/// `dial_format`: the form in which the dialplan expects numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DialFormat {
    /// As the CRM has it, without spaces, dashes and brackets.
    #[default]
    AsGiven,
    /// `+79161234567`
    E164,
    /// `79161234567`
    E164WithoutPlus,
    /// As dialled by hand in the region: `89161234567`; abroad `810…`.
    National,
}

/// What to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// Digits, `*`, `#`, a `+` only at the beginning; never empty, at most 32.
    pub number: String,
    /// The extension behind the number: shown to the agent, not dialled.
    pub stripped_extension: Option<String>,
    pub e164: Option<E164>,
    pub kind: Kind,
}

/// Why a number is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialError {
    Empty,
    TooLong,
    PlusInside,
    Character(char),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Empty => f.write_str("there is no number to dial"),
            DialError::TooLong => write!(f, "the number is longer than {DIGITS_MAX} digits"),
            DialError::PlusInside => f.write_str("a + may stand only before the first digit"),
            DialError::Character(character) => {
                write!(
                    f,
                    "{:?} is no part of a number; digits, *, #, a leading +, spaces, dashes and brackets are",
                    character
                )
            }
        }
    }
}

impl std::error::Error for DialError {}

impl Numbers {
    /// The number as it goes to the dialplan.
    ///
    /// `prefix` (`dial_prefix`, say 9 for an outside line) goes before every number but extensions and feature codes.
    /// Those, and numbers of which `format` cannot be made, are dialled as given.
    ///
    /// # Errors
    /// If `raw` holds anything but a number: it is not cleaned.
    pub fn to_dial(&self, raw: &str, format: DialFormat, prefix: &str) -> Result<Dialled, DialError> {
        let (given, extension) = strictly(raw)?;
        let given = given.as_str();
        let is_inside = self.is_extension(given) || given.contains(['*', '#']);
        let (normal, found) = self.recognise(given);
        let mut number = if is_inside { String::new() } else { prefix.to_owned() };
        match (format, found) {
            (DialFormat::E164, Some(found)) if !is_inside => number.push_str(&found.e164.to_string()),
            (DialFormat::E164WithoutPlus, Some(found)) if !is_inside => number.push_str(&found.e164.digits()),
            (DialFormat::National, Some(found)) if !is_inside => {
                let digits = found.e164.digits();
                match &self.home {
                    Some(home) if home.region.code == found.calling_code.code => {
                        let code_digits = found.calling_code.code.ilog10() as usize + 1;
                        number.push_str(&found.calling_code.at_home(&digits[code_digits..]));
                    }
                    Some(home) => number.push_str(&home.region.dial_abroad(&digits)),
                    None => number.push_str(given),
                }
            }
            _ => number.push_str(given),
        }
        if number.len() > DIGITS_MAX {
            return Err(DialError::TooLong);
        }
        let stripped_extension = extension.map(|extension| extension.as_str().to_owned());
        Ok(Dialled { number, stripped_extension, e164: normal.e164, kind: normal.kind })
    }
}

/// The number, and the extension behind it.
fn strictly(raw: &str) -> Result<(Digits, Option<Digits>), DialError> {
    let mut number = Digits::EMPTY;
    for (at, character) in raw.char_indices() {
        let is_behind = number.len() >= NUMBER_DIGITS_MIN && !number.as_str().starts_with(['*', '#']);
        // In these signs a suffix may begin that alone would be digits to dial.
        let may_begin = !character.is_ascii_digit() && character != '+';
        if is_behind
            && may_begin
            && let Some(extension) = extension_only(&raw[at..])
        {
            return Ok((number, Some(extension)));
        }
        let fits = match character {
            '0'..='9' | '*' | '#' => number.push(character as u8),
            '+' if number.is_empty() => number.push(b'+'),
            '+' => return Err(DialError::PlusInside),
            other if other.is_control() => return Err(DialError::Character(other)),
            other if reading::is_space(other) || reading::is_dash(other) || reading::is_bracket(other) => true,
            other => return Err(DialError::Character(other)),
        };
        if !fits {
            return Err(DialError::TooLong);
        }
    }
    match number.as_str() {
        "" | "+" => Err(DialError::Empty),
        code if code.starts_with('+') && code.contains(['*', '#']) => Err(DialError::PlusInside),
        _ => Ok((number, None)),
    }
}

/// The extension, if nothing but it is there.
fn extension_only(rest: &str) -> Option<Digits> {
    if rest.contains(char::is_control) {
        return None;
    }
    let (extension, after) = reading::extension_at(rest)?;
    let is_all = after.chars().all(|character| reading::is_space(character) || reading::is_bracket(character));
    is_all.then_some(extension)
}
