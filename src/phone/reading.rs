//! Reads what people and exchanges write as a telephone number: digits, plus, extension behind it, feature codes.
//!
//! Knows nothing of countries: `resolve.rs` decides which number the digits are. Whatever comes in, the work and the
//! result are bounded.

use std::borrow::Cow;

/// Longer texts are not read at all: no field or header holding one number is as long.
pub const RAW_BYTES_MAX: usize = 256;
/// Digits and signs kept of one number; more is no number.
pub const DIGITS_MAX: usize = 32;
/// From here on, digits are a number that an extension can stand behind.
pub const NUMBER_DIGITS_MIN: usize = 7;
/// Digits of an extension behind a number.
pub const EXTENSION_DIGITS_MAX: usize = 7;
/// `84957654321,12`: a comma is a pause before the extension only if no second number can follow it.
const DIGITS_AFTER_PAUSE_MAX: usize = 5;

/// A short string of digits (and of `*`, `#` in feature codes), without a pointer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digits {
    length: u8,
    bytes: [u8; DIGITS_MAX],
}

impl Digits {
    pub const EMPTY: Digits = Digits { length: 0, bytes: [0; DIGITS_MAX] };

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("only ASCII is pushed")
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// False if it is full.
    #[must_use]
    pub(super) fn push(&mut self, byte: u8) -> bool {
        debug_assert!(byte.is_ascii());
        let fits = self.len() < DIGITS_MAX;
        if fits {
            self.bytes[self.len()] = byte;
            self.length += 1;
        }
        fits
    }

    /// The first bytes that fit.
    pub(super) fn collect(bytes: impl IntoIterator<Item = u8>) -> Digits {
        let mut digits = Digits::EMPTY;
        let _all_fit = bytes.into_iter().all(|byte| digits.push(byte));
        digits
    }
}

impl std::fmt::Debug for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Digits, with a plus before them or not.
    Number,
    /// `*21*0#`, `*11`: dialled at the exchange, nobody's number.
    Code,
    /// No digit in it: nothing, or words.
    Words,
    /// `anonymous`, `<unknown>`, nothing: the exchange was not told the number.
    Withheld,
    /// Too long, or signs that no number has.
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub shape: Shape,
    pub plus: bool,
    pub digits: Digits,
    pub extension: Option<Digits>,
    /// How many digits stand before the first `/`: `84957654321/22` may be two numbers that share a beginning.
    pub before_slash: Option<usize>,
    /// Something else with digits follows, and nothing says that it is another number.
    pub doubtful: bool,
}

impl Reading {
    const NOTHING: Reading = Reading {
        shape: Shape::Unreadable,
        plus: false,
        digits: Digits::EMPTY,
        extension: None,
        before_slash: None,
        doubtful: false,
    };

    pub fn of(raw: &str) -> Reading {
        if raw.len() > RAW_BYTES_MAX {
            return Reading::NOTHING;
        }
        let decoded = percent_decoded(raw);
        read(bare(&decoded))
    }
}

/// `%2B7%20916…`, as SIP headers and links escape it.
fn percent_decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    let bytes = raw.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| raw.get(at + 1..at + 3)).flatten();
        let is_hex = |hex: &&str| hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        match escaped.filter(is_hex).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// Without `tel:` and the like, without a name before `<…>`, without a SIP domain.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    if let Some((_, inside)) = text.rsplit_once('<')
        && let Some((inside, _)) = inside.split_once('>')
    {
        text = inside.trim();
    }
    for scheme in ["tel:", "sip:", "sips:", "callto:", "phone:"] {
        let cut = text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        if cut {
            text = text[scheme.len()..].trim_start_matches('/');
            break;
        }
    }
    text.split('@').next().unwrap_or(text)
}

fn read(text: &str) -> Reading {
    let mut reading = Reading::NOTHING;
    let mut is_code = false;
    let mut rest = "";
    for (at, character) in text.char_indices() {
        let fits = if let Some(digit) = digit_of(character) {
            reading.digits.push(digit)
        } else if is_plus(character) && reading.digits.is_empty() {
            reading.plus = true;
            true
        } else if matches!(character, '*' | '#') && reading.digits.len() < NUMBER_DIGITS_MIN
            || is_code && matches!(character, '*' | '#')
        {
            is_code = true;
            reading.digits.push(character as u8)
        } else if is_separator(character) {
            if matches!(character, '/' | '\\') && reading.before_slash.is_none() {
                reading.before_slash = Some(reading.digits.len());
            }
            true
        } else if reading.digits.is_empty() && !reading.plus {
            // "тел. 8 495 …": a label before the number.
            true
        } else {
            rest = &text[at..];
            break;
        };
        if !fits {
            return Reading::NOTHING;
        }
    }
    reading.shape = match (reading.digits.is_empty(), is_code) {
        (true, _) => words(text),
        (false, true) if rest.trim().is_empty() && !reading.plus => Shape::Code,
        (false, true) => Shape::Unreadable,
        (false, false) => Shape::Number,
    };
    if reading.shape == Shape::Number && !rest.is_empty() {
        follow(&mut reading, rest);
    }
    reading
}

/// Reads what stands behind the number.
fn follow(reading: &mut Reading, rest: &str) {
    if let Some(context) = phone_context(rest)
        && !reading.plus
    {
        reading.digits = Digits::collect(context.bytes().chain(reading.digits.as_bytes().iter().copied()));
        reading.plus = true;
        return;
    }
    reading.extension = extension_at(rest).map(|(extension, _)| extension);
    let is_list = |character| matches!(character, ',' | ';' | '|' | '\n' | '+') || is_plus(character);
    let next_digit = rest.find(|character| digit_of(character).is_some());
    reading.doubtful = reading.extension.is_none() && next_digit.is_some_and(|digit| !rest[..digit].contains(is_list));
}

/// RFC 3966: `tel:7654321;phone-context=+7495`.
fn phone_context(rest: &str) -> Option<&str> {
    let (_, context) = rest.split_once(";phone-context=+")?;
    let end = context.find(|character: char| !character.is_ascii_digit()).unwrap_or(context.len());
    (1..=7).contains(&end).then(|| &context[..end])
}

/// An extension at the beginning of what follows a number, and what stands behind it.
///
/// `доб. 12`, `(вн. 12)`, `ext 12`, `;ext=12`, `x12`, `#12`, `,,12`.
pub fn extension_at(rest: &str) -> Option<(Digits, &str)> {
    let text = rest.trim_start_matches(|character: char| character.is_whitespace() || matches!(character, '(' | '['));
    let mark = text.chars().next()?;
    let unmarked = text.trim_start_matches([',', ';', '.', '-', ' ']);
    let word_end = unmarked.find(|character: char| !character.is_alphabetic()).unwrap_or(unmarked.len());
    let (word, behind) = unmarked.split_at(word_end);
    let most = match word {
        "" if matches!(mark, '#' | '*' | '~') => EXTENSION_DIGITS_MAX,
        "" if mark == ',' => DIGITS_AFTER_PAUSE_MAX,
        "" => return None,
        word if means_extension(word) => EXTENSION_DIGITS_MAX,
        _ => return None,
    };
    let marks = |character: char| {
        character.is_whitespace() || matches!(character, '.' | ':' | '=' | '#' | '*' | '~' | '№' | '-' | '(')
    };
    let behind = behind.trim_start_matches(marks);
    let end = behind.find(|character: char| !character.is_ascii_digit()).unwrap_or(behind.len());
    let (extension, after) = behind.split_at(end);
    let glued = |character: char| digit_of(character).is_some() || character.is_alphanumeric();
    // "8 916 …, 8 495 …": behind a mere pause, further digits make it a second number.
    let is_end = match word {
        "" => !after.contains(|character| digit_of(character).is_some()),
        _ => !after.starts_with(glued),
    };
    ((1..=most).contains(&end) && is_end).then(|| (Digits::collect(extension.bytes()), after))
}

fn means_extension(word: &str) -> bool {
    // The longest word worth knowing is "добавочный".
    if word.len() > 24 {
        return false;
    }
    let word = word.to_lowercase();
    ["доб", "внут", "доп", "ext", "anexo", "nebenst", "poste", "interno"].iter().any(|start| word.starts_with(start))
        || matches!(word.as_str(), "вн" | "x" | "х" | "e" | "int" | "nst" | "dw" | "p" | "w" | "тон" | "tone")
}

fn words(text: &str) -> Shape {
    let word = text.trim_matches(|character: char| !character.is_alphanumeric());
    // The longest of them.
    if word.len() > 40 {
        return Shape::Words;
    }
    match word.to_lowercase().as_str() {
        ""
        | "anonymous"
        | "unknown"
        | "unavailable"
        | "restricted"
        | "private"
        | "withheld"
        | "blocked"
        | "hidden"
        | "no number"
        | "nonumber"
        | "null"
        | "none"
        | "asterisk"
        | "id unavailable"
        | "id withheld"
        | "out of area"
        | "private number"
        | "unknown number"
        | "аноним"
        | "анонимный"
        | "анонимный номер"
        | "анонимно"
        | "неизвестный"
        | "неизвестный номер"
        | "неизвестно"
        | "номер скрыт"
        | "скрытый номер"
        | "скрыт"
        | "скрытый" => Shape::Withheld,
        _ => Shape::Words,
    }
}

pub(super) fn is_plus(character: char) -> bool {
    matches!(character, '+' | '\u{ff0b}' | '\u{fe62}')
}

/// What people put between digits, and what word processors and right-to-left scripts leave there unseen.
fn is_separator(character: char) -> bool {
    is_space(character)
        || is_dash(character)
        || is_bracket(character)
        || matches!(character, '.' | '/' | '\\' | '~' | '\u{b7}' | '\u{2022}' | '_' | '\u{3000}')
}

pub(super) fn is_space(character: char) -> bool {
    (character.is_whitespace() && !matches!(character, '\n' | '\r'))
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

pub(super) fn is_dash(character: char) -> bool {
    matches!(
        character,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{30fc}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

pub(super) fn is_bracket(character: char) -> bool {
    matches!(character, '(' | ')' | '[' | ']' | '\u{ff08}' | '\u{ff09}')
}

/// The digit as ASCII; also of the scripts in which telephone numbers are written.
fn digit_of(character: char) -> Option<u8> {
    if character.is_ascii() {
        return character.is_ascii_digit().then_some(character as u8);
    }
    const ZEROS: [char; 17] = [
        '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}', '\u{c66}', '\u{ce6}',
        '\u{d66}', '\u{e50}', '\u{ed0}', '\u{1040}', '\u{17e0}', '\u{1810}', '\u{ff10}',
    ];
    ZEROS.iter().find_map(|&zero| {
        let digit = u32::from(character).checked_sub(u32::from(zero))?;
        (digit < 10).then(|| b'0' + digit as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> (Shape, bool, String, String) {
        let reading = Reading::of(raw);
        let extension = reading.extension.map(|digits| digits.as_str().to_owned()).unwrap_or_default();
        (reading.shape, reading.plus, reading.digits.as_str().to_owned(), extension)
    }

    fn number(raw: &str) -> String {
        let (shape, plus, digits, extension) = read(raw);
        assert_eq!(shape, Shape::Number, "{raw}");
        format!("{}{digits}/{extension}", if plus { "+" } else { "" })
    }

    #[test]
    fn every_way_of_writing_gives_the_same_digits() {
        for raw in [
            "+7 (916) 123-45-67",
            "tel:+7-916-123-45-67",
            "+7\u{a0}916\u{2011}123\u{2013}45\u{2014}67",
            "%2B7%20916%20123-45-67",
            "sip:+79161234567@pbx.example;user=phone",
            "\"Office 2\" <+79161234567>",
            "＋７９１６１２３４５６７",
            "\u{202a}+79161234567\u{202c}",
            "тел.: +7.916.123.45.67",
            "+7 916 123/45/67 Иван",
        ] {
            assert_eq!(number(raw), "+79161234567/", "{raw}");
        }
        assert_eq!(number("٨٩١٦١٢٣٤٥٦٧"), "89161234567/");
        assert_eq!(number("tel:7654321;phone-context=+7495"), "+74957654321/");
    }

    #[test]
    fn an_extension_behind_a_number_is_told_from_a_second_number() {
        for raw in [
            "84957654321 доб. 12",
            "84957654321 (доб. 12)",
            "84957654321 Добавочный №12",
            "84957654321 вн.12",
            "84957654321 ext 12",
            "84957654321 Ext.: 12",
            "84957654321;ext=12",
            "84957654321x12",
            "84957654321 х12",
            "84957654321#12",
            "84957654321*12",
            "84957654321,,12",
            "84957654321, доб.12",
        ] {
            assert_eq!(number(raw), "84957654321/12", "{raw}");
        }
        for raw in ["84957654321, 84957654322", "84957654321; 89161234567", "84957654321 +79161234567", "84957654321#"]
        {
            assert_eq!(number(raw), "84957654321/", "{raw}");
            assert!(!Reading::of(raw).doubtful, "{raw}");
        }
        assert!(Reading::of("8 916 123 a 45 67").doubtful);
        assert!(Reading::of("84957654321 кв. 12").doubtful);
    }

    #[test]
    fn codes_words_and_withheld_numbers_are_no_numbers() {
        assert_eq!(read("*21*0#").0, Shape::Code);
        assert_eq!(read("#31#").0, Shape::Code);
        assert_eq!(read("*21*89161234567#").0, Shape::Code);
        assert_eq!(read("+*21").0, Shape::Unreadable);
        for raw in ["", "  ", "anonymous", "Anonymous", "<unknown>", "anonymous@anonymous.invalid", "Скрытый номер"]
        {
            assert_eq!(read(raw).0, Shape::Withheld, "{raw}");
        }
        assert_eq!(read("Romashka").0, Shape::Words);
        assert_eq!(read(&"1".repeat(DIGITS_MAX)).0, Shape::Number);
        assert_eq!(read(&"1".repeat(DIGITS_MAX + 1)).0, Shape::Unreadable);
        assert_eq!(read(&"1 ".repeat(150)).0, Shape::Unreadable);
        assert_eq!(read("+").0, Shape::Withheld);
    }
}
