//! A telephone number as the whole world writes it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// An E.164 number: a calling code and a national number, at most 15 digits. Shown with its `+`.
///
/// Eight bytes without a pointer: no calling code begins with 0, so the digits are a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(NonZeroU64);

/// The text is not `+` and 2 to 15 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotE164;

pub const E164_DIGITS_MAX: usize = 15;

impl E164 {
    /// From digits without the plus. Says nothing about whether the number exists.
    pub fn from_digits(digits: &[u8]) -> Option<E164> {
        if !(2..=E164_DIGITS_MAX).contains(&digits.len()) || digits[0] == b'0' {
            return None;
        }
        let value = digits
            .iter()
            .try_fold(0_u64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(*digit - b'0')))?;
        NonZeroU64::new(value).map(E164)
    }

    /// A calling code and the digits behind it.
    pub(super) fn from_parts(code: u16, national: &[u8]) -> Option<E164> {
        if national.is_empty() || national.len() + (code.ilog10() as usize + 1) > E164_DIGITS_MAX {
            return None;
        }
        let value = national.iter().fold(u64::from(code), |value, digit| value * 10 + u64::from(digit - b'0'));
        NonZeroU64::new(value).map(E164)
    }

    /// The number without its plus, as an integer: a compact key that keeps the order of nothing but itself.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }

    /// The digits without the plus.
    pub fn digits(self) -> String {
        self.0.to_string()
    }

    /// The last `count` digits as an integer.
    pub fn last_digits(self, count: u32) -> u64 {
        self.0.get() % 10_u64.saturating_pow(count)
    }
}

impl FromStr for E164 {
    type Err = NotE164;

    fn from_str(text: &str) -> Result<E164, NotE164> {
        text.strip_prefix('+').and_then(|digits| E164::from_digits(digits.as_bytes())).ok_or(NotE164)
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NotE164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a number in international form, like +74957654321")
    }
}

impl std::error::Error for NotE164 {}
