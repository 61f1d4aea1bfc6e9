//! Takes numbers, names and secrets out of an AMI stream and leaves everything that calls are made of, so that a recording can be
//! given away and still shows the same calls.
//!
//! # What is replaced, and what stays
//!
//! | | |
//! |---|---|
//! | numbers of seven digits or more | the last six digits by six others: country, operator and length stay, and so does what a number is compared with |
//! | names (`CallerIDName`, `MemberName` …) | letter by letter, capitals by capitals, Cyrillic by Cyrillic, word by word the same |
//! | everything that no call is made of: other channel variables, secrets, addresses, `Output:` | its words |
//! | extensions, endpoints, contexts, queues, applications, keys pressed, ids, times | stay: without them nothing can be found out |
//!
//! The same is replaced by the same within one recording, in whatever form a number is written; every recording has a key of its
//! own, which is forgotten with it. Every line keeps its length, so the `.timing` beside it stays right.

use crate::secret::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::io::{self, Write};
use std::sync::Arc;

/// One recording's replacements.
#[derive(Clone, Debug)]
pub struct Redactor {
    /// Random, in hex.
    key: Secret,
    /// What each round of the replacement of digits adds for three of them.
    rounds: Arc<[[u16; 1000]; ROUNDS]>,
}

/// Of a Feistel network over two threes of digits.
const ROUNDS: usize = 6;

/// Shorter ones are extensions, codes, counts.
const NUMBER_DIGITS_MIN: usize = 7;
/// ITU says fifteen; a dialplan puts a few before them.
const NUMBER_DIGITS_MAX: usize = 20;
const REPLACED_DIGITS: usize = 6;

/// What the value of a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// Left as it is: times and figures.
    Figure,
    /// What calls are made of: only numbers and letters that are not ASCII are replaced.
    Structure,
    /// A number, in whatever form.
    Number,
    Name,
    /// `"Name" <number>`
    NameAndNumber,
    /// Arguments of the application named before it.
    Arguments,
    /// Of the variable named before it.
    VariableValue,
    /// `NAME=value`
    Assignment,
    /// Everything else.
    Hidden,
}

/// Ends of keys, as channels come under many prefixes (`DestCallerIDName`, `TransfereeContext`).
const BY_ENDING: [(&str, Class); 19] = [
    ("CallerIDName", Class::Name),
    ("ConnectedLineName", Class::Name),
    ("CallerIDNum", Class::Number),
    ("ConnectedLineNum", Class::Number),
    ("ChanVariable", Class::Assignment),
    ("Channel", Class::Structure),
    ("ChannelState", Class::Structure),
    ("ChannelStateDesc", Class::Structure),
    ("Context", Class::Structure),
    ("Exten", Class::Number),
    ("Priority", Class::Structure),
    ("Language", Class::Structure),
    ("Uniqueid", Class::Structure),
    ("UniqueID", Class::Structure),
    ("UniqueId", Class::Structure),
    ("Linkedid", Class::Structure),
    ("LinkedID", Class::Structure),
    ("Time", Class::Figure),
    ("Seconds", Class::Figure),
];

const BY_NAME: [(&str, Class); 73] = [
    ("AccountCode", Class::Name),
    ("MemberName", Class::Name),
    ("CallerID", Class::NameAndNumber),
    ("Source", Class::Number),
    ("Destination", Class::Number),
    ("DNID", Class::Number),
    ("Dialled", Class::Number),
    ("Extension", Class::Number),
    ("AppData", Class::Arguments),
    ("ApplicationData", Class::Arguments),
    ("LastData", Class::Arguments),
    ("Data", Class::Arguments),
    ("Value", Class::VariableValue),
    ("Timestamp", Class::Figure),
    ("EventTV", Class::Figure),
    ("SessionTV", Class::Figure),
    ("Uptime", Class::Figure),
    ("LastReload", Class::Figure),
    ("Duration", Class::Figure),
    ("Sequence", Class::Figure),
    ("Position", Class::Figure),
    ("Wait", Class::Figure),
    ("ListItems", Class::Figure),
    ("Items", Class::Figure),
    ("Cause", Class::Structure),
    ("Cause-txt", Class::Structure),
    ("TechCause", Class::Structure),
    ("Event", Class::Structure),
    ("EventList", Class::Structure),
    ("Privilege", Class::Structure),
    ("Response", Class::Structure),
    ("Message", Class::Structure),
    ("ActionID", Class::Structure),
    ("Ping", Class::Structure),
    ("Application", Class::Structure),
    ("LastApplication", Class::Structure),
    ("Variable", Class::Structure),
    ("Queue", Class::Structure),
    ("Interface", Class::Structure),
    ("StateInterface", Class::Structure),
    ("Location", Class::Structure),
    ("DialString", Class::Structure),
    ("DialStatus", Class::Structure),
    ("Forward", Class::Number),
    ("Digit", Class::Structure),
    ("DurationMs", Class::Figure),
    ("Direction", Class::Structure),
    ("Reason", Class::Structure),
    ("Result", Class::Structure),
    ("Class", Class::Structure),
    ("Conference", Class::Structure),
    ("Count", Class::Figure),
    ("LocalOptimization", Class::Structure),
    ("Success", Class::Structure),
    ("Parkinglot", Class::Structure),
    ("ParkingSpace", Class::Structure),
    ("ParkingDuration", Class::Structure),
    ("ParkingTimeout", Class::Structure),
    ("ParkerDialString", Class::Structure),
    ("DestType", Class::Structure),
    ("DestApp", Class::Structure),
    ("IsExternal", Class::Structure),
    ("Device", Class::Structure),
    ("State", Class::Structure),
    ("Status", Class::Structure),
    ("Hint", Class::Structure),
    ("Disposition", Class::Structure),
    ("RecordingFile", Class::Structure),
    ("UserField", Class::Structure),
    ("AsteriskVersion", Class::Structure),
    ("AMIversion", Class::Structure),
    ("CoreStartupDate", Class::Figure),
    ("CoreCDRenabled", Class::Structure),
];

/// Variables whose values are of our calls; the others' are nobody's business.
const STRUCTURE_VARIABLES: [&str; 9] = [
    "DIALSTATUS",
    "QUEUESTATUS",
    "VMSTATUS",
    "AGISTATUS",
    "INVALID_EXTEN",
    "MIXMONITOR_FILENAME",
    "RESPONSIBLE",
    "RESPONSIBLE_GROUP",
    "OUTGOING_CALLERID",
];

/// Applications whose arguments are texts, commands, addresses with passwords.
const TALKATIVE: [&str; 17] = [
    "noop",
    "verbose",
    "log",
    "system",
    "trysystem",
    "sendtext",
    "userevent",
    "agi",
    "eagi",
    "deadagi",
    "sendurl",
    "curl",
    "jabbersend",
    "externalivr",
    "dumpchan",
    "backticks",
    "addqueuemember",
];

/// Which words are replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Words {
    /// Runs of letters.
    OfLetters,
    /// Runs of letters and digits with a letter in them; counts and codes stay.
    WithLetters,
    /// Runs of letters and digits, PINs included.
    All,
}

impl Words {
    fn may_have(self, character: char) -> bool {
        match self {
            Self::OfLetters => character.is_alphabetic(),
            Self::WithLetters | Self::All => character.is_alphanumeric(),
        }
    }

    fn means(self, word: &str) -> bool {
        self == Self::All || !word.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// Words that say that there is no name or number.
const NO_NAME: [&str; 8] =
    ["<unknown>", "<null>", "anonymous", "unknown", "unavailable", "restricted", "withheld", "private"];

impl Redactor {
    /// With a key that nobody knows.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn random() -> io::Result<Self> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::with_key(&format!("{:032x}", u128::from_ne_bytes(random))))
    }

    /// With a known key: the same replacements in every recording.
    pub fn with_key(key: &str) -> Self {
        let key = Secret::new(key);
        let added = |round, three: usize| {
            let bytes = keyed(&key, &three.to_be_bytes(), round);
            u16::try_from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % 1000)
                .expect("below a thousand")
        };
        let rounds = [0, 1, 2, 3, 4, 5].map(|round| std::array::from_fn(|three| added(round, three)));
        Self { key, rounds: Arc::new(rounds) }
    }

    /// A text with its numbers and its letters beyond ASCII replaced, as what calls are made of is treated.
    pub fn text(&self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        self.structure(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("each replacement is a letter for a letter, a digit for a digit")
    }

    /// A number in whatever form, replaced.
    pub fn number(&self, number: &str) -> String {
        let mut out = Vec::with_capacity(number.len());
        self.whole_number(number.as_bytes(), &mut out);
        String::from_utf8(out).expect("each replacement is a letter for a letter, a digit for a digit")
    }

    /// A name, replaced.
    pub fn name(&self, name: &str) -> String {
        let mut out = Vec::with_capacity(name.len());
        self.person(name.as_bytes(), &mut out);
        String::from_utf8(out).expect("each replacement is a letter for a letter")
    }

    fn bytes_of(&self, what: &[u8], round: u8) -> [u8; 32] {
        keyed(&self.key, what, round)
    }

    /// Six digits by six others, one to one.
    fn six_digits(&self, digits: &mut [u8]) {
        let value = |digits: &[u8]| digits.iter().fold(0_u16, |value, digit| value * 10 + u16::from(digit - b'0'));
        let (mut left, mut right) = (value(&digits[..3]), value(&digits[3..]));
        for round in &*self.rounds {
            (left, right) = (right, (left + round[usize::from(right)]) % 1000);
        }
        digits.copy_from_slice(format!("{left:03}{right:03}").as_bytes());
    }

    /// Replaces the last six of the digits in `out[from..]`, whatever stands between them.
    fn number_in(&self, out: &mut [u8]) {
        let places: Vec<usize> = (0..out.len()).filter(|at| out[*at].is_ascii_digit()).collect();
        let last = &places[places.len() - REPLACED_DIGITS..];
        let mut six: Vec<u8> = last.iter().map(|at| out[*at]).collect();
        self.six_digits(&mut six);
        for (at, digit) in last.iter().zip(six) {
            out[*at] = digit;
        }
    }

    fn structure(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while at < value.len() {
            let rest = &value[at..];
            let length = if let Some(length) = untouchable(value, at) {
                out.extend_from_slice(&rest[..length]);
                length
            } else if let Some(length) = written_number(value, at) {
                let start = out.len();
                out.extend_from_slice(&rest[..length]);
                self.number_in(&mut out[start..]);
                length
            } else if rest[0].is_ascii() {
                out.push(rest[0]);
                1
            } else {
                let length = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
                self.words(&rest[..length], out, Words::OfLetters);
                length
            };
            at += length;
        }
    }

    /// A value that is one number, with blanks, dashes and brackets between its digits perhaps.
    fn whole_number(&self, value: &[u8], out: &mut Vec<u8>) {
        let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_number = value.iter().all(|byte| byte.is_ascii_digit() || b" ()-.+/".contains(byte));
        if is_number && (NUMBER_DIGITS_MIN..=NUMBER_DIGITS_MAX).contains(&digits) {
            let start = out.len();
            out.extend_from_slice(value);
            self.number_in(&mut out[start..]);
        } else {
            self.structure(value, out);
        }
    }

    fn person(&self, value: &[u8], out: &mut Vec<u8>) {
        if NO_NAME.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes())) {
            out.extend_from_slice(value);
        } else if value.contains(&b'/') && !value.contains(&b' ') {
            // A queue member without a name has his interface in its place.
            self.structure(value, out);
        } else {
            self.with_numbers(value, out, Words::OfLetters);
        }
    }

    /// Words replaced, numbers as everywhere.
    fn with_numbers(&self, value: &[u8], out: &mut Vec<u8>, words: Words) {
        let mut at = 0;
        let mut words_from = 0;
        while at < value.len() {
            // A digit in the middle of a word belongs to the word.
            let in_word = at > 0 && value[at - 1].is_ascii_alphabetic();
            match written_number(value, at).filter(|_| !in_word) {
                Some(length) => {
                    self.words(&value[words_from..at], out, words);
                    let start = out.len();
                    out.extend_from_slice(&value[at..at + length]);
                    self.number_in(&mut out[start..]);
                    at += length;
                    words_from = at;
                }
                None => at += 1,
            }
        }
        self.words(&value[words_from..], out, words);
    }

    /// Replaces every word with a letter in it, character by character of the same kind and size.
    fn words(&self, value: &[u8], out: &mut Vec<u8>, words: Words) {
        for chunk in value.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(start) = rest.find(|c| words.may_have(c)) {
                out.extend_from_slice(&rest.as_bytes()[..start]);
                rest = &rest[start..];
                let end = rest.find(|c| !words.may_have(c)).unwrap_or(rest.len());
                if words.means(&rest[..end]) {
                    self.word(&rest[..end], out);
                } else {
                    out.extend_from_slice(&rest.as_bytes()[..end]);
                }
                rest = &rest[end..];
            }
            out.extend_from_slice(rest.as_bytes());
            // Bytes of an old character set, or of a letter that was cut: none of these can become a letter with its neighbour.
            out.extend(chunk.invalid().iter().map(|byte| 0xc0 | (byte ^ self.bytes_of(&[*byte], 0xff)[0]) & 0x1f));
        }
    }

    fn word(&self, word: &str, out: &mut Vec<u8>) {
        let lower = word.to_lowercase();
        let mut random = self.bytes_of(lower.as_bytes(), 0x80).to_vec();
        while random.len() < 2 * word.chars().count() {
            let more = self.bytes_of(&random, 0x81);
            random.extend_from_slice(&more);
        }
        for (character, pair) in word.chars().zip(random.chunks_exact(2)) {
            let random = u32::from(pair[0]) << 8 | u32::from(pair[1]);
            let (first, count) = match character {
                '0'..='9' => (u32::from('0'), 10),
                'A'..='Z' => (u32::from('A'), 26),
                'a'..='z' => (u32::from('a'), 26),
                'А'..='Я' => (u32::from('А'), 32),
                // Any other letter of as many bytes.
                _ => match character.len_utf8() {
                    2 => (u32::from('а'), 32),
                    3 => (0x4e00, 0x1000),
                    _ => (0x2_0000, 0x1000),
                },
            };
            let replacement = char::from_u32(first + random % count).expect("ranges of letters");
            out.extend_from_slice(replacement.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn hidden(&self, value: &[u8], out: &mut Vec<u8>) {
        self.with_numbers(value, out, Words::WithLetters);
    }

    /// What may be a password, a PIN, anything.
    fn secret(&self, value: &[u8], out: &mut Vec<u8>) {
        self.with_numbers(value, out, Words::All);
    }

    fn name_and_number(&self, value: &[u8], out: &mut Vec<u8>) {
        let number = memchr::memrchr(b'<', value).unwrap_or(value.len());
        self.person_quoted(&value[..number], out);
        self.structure(&value[number..], out);
    }

    /// `"Name" `, or a bare number.
    fn person_quoted(&self, value: &[u8], out: &mut Vec<u8>) {
        let is_quoted = value.len() > 2 && value.starts_with(b"\"");
        let end = if is_quoted { memchr::memrchr(b'"', value).filter(|end| *end > 0) } else { None };
        match end {
            Some(end) => {
                out.push(b'"');
                self.person(&value[1..end], out);
                out.extend_from_slice(&value[end..]);
            }
            None => self.person(value, out),
        }
    }

    /// `NAME=value`
    fn assignment(&self, value: &[u8], out: &mut Vec<u8>) {
        let Some(equals) = memchr::memchr(b'=', value) else { return self.secret(value, out) };
        out.extend_from_slice(&value[..=equals]);
        let name = String::from_utf8_lossy(&value[..equals]).into_owned();
        self.of_variable(&name, &value[equals + 1..], out);
    }

    fn of_variable(&self, name: &str, value: &[u8], out: &mut Vec<u8>) {
        let bare = name.trim_start_matches('_');
        let upper = bare.to_ascii_uppercase();
        if upper.starts_with("CALLERID(") || upper.starts_with("CONNECTEDLINE(") {
            match upper.split(['(', ',', ')']).nth(1) {
                Some("NUM" | "ANI" | "DNID") => self.whole_number(value, out),
                _ => self.name_and_number(value, out),
            }
        } else if upper.starts_with("PINCONNECTOR_") || STRUCTURE_VARIABLES.contains(&upper.as_str()) {
            self.structure(value, out);
        } else if upper.starts_with("CDR(") || upper == "LOCAL(FILE)" {
            // Names of recordings.
            self.structure(value, out);
        } else {
            self.secret(value, out);
        }
    }
}

fn keyed(key: &Secret, what: &[u8], round: u8) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("any length of key will do");
    mac.update(&[round]);
    mac.update(what);
    mac.finalize().into_bytes().into()
}

/// The length of something at this place that looks like a number and is none: the seconds and the counter of a uniqueid, the
/// counter of a channel, a UUID.
fn untouchable(value: &[u8], at: usize) -> Option<usize> {
    let rest = &value[at..];
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let begins = at == 0 || !value[at - 1].is_ascii_alphanumeric();
    if begins && digits(rest) == 10 && rest.get(10) == Some(&b'.') {
        let counter = digits(&rest[11..]);
        return (counter > 0).then_some(11 + counter);
    }
    let is_uuid = |bytes: &[u8]| {
        bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    if begins && rest.len() >= 36 && is_uuid(&rest[..36]) {
        return Some(36);
    }
    let is_counter = rest.len() >= 9
        && rest.starts_with(b"-0")
        && rest[1..9].iter().all(u8::is_ascii_hexdigit)
        && !rest.get(9).is_some_and(u8::is_ascii_alphanumeric);
    is_counter.then_some(9)
}

/// The length of a number at this place: digits in a row, or in short groups with blanks, dashes and brackets between them.
fn written_number(value: &[u8], at: usize) -> Option<usize> {
    let rest = &value[at..];
    if !rest[0].is_ascii_digit() || at > 0 && value[at - 1].is_ascii_digit() {
        return None;
    }
    let run = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if run >= NUMBER_DIGITS_MIN {
        return Some(run);
    }
    // `7 (916) 123-45-67`: groups of at most four, three at least, one separator or two between them.
    let (mut end, mut digits, mut groups) = (run, run, 1);
    loop {
        let gap = rest[end..].iter().take_while(|byte| b" ()-".contains(byte)).count();
        let group = rest[end + gap..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if run > 4 || !(1..=2).contains(&gap) || !(1..=4).contains(&group) {
            break;
        }
        (end, digits, groups) = (end + gap + group, digits + group, groups + 1);
    }
    (groups >= 3 && (NUMBER_DIGITS_MIN..=15).contains(&digits)).then_some(end)
}

/// Redacts what is written through it, line by line.
#[derive(Debug)]
pub struct Redacting<W> {
    redactor: Redactor,
    inner: W,
    line: Vec<u8>,
    is_first: bool,
    /// Of the message under way: the application or variable that was named last.
    subject: String,
}

/// No line that Asterisk writes is longer; what is goes on as if it were the next.
const LINE_BYTES_MAX: usize = 128 * 1024;

impl<W: Write> Redacting<W> {
    pub fn new(redactor: Redactor, inner: W) -> Self {
        Self { redactor, inner, line: Vec::new(), is_first: true, subject: String::new() }
    }

    fn finish_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let mut out = Vec::with_capacity(line.len());
        let (body, end) = match line.strip_suffix(b"\r\n") {
            Some(body) => (body, &line[body.len()..]),
            None => (&line[..], &b""[..]),
        };
        let is_greeting = std::mem::take(&mut self.is_first) && body.starts_with(b"Asterisk Call Manager/");
        if is_greeting || body.is_empty() {
            self.subject.clear();
            out.extend_from_slice(body);
        } else {
            self.redact(body, &mut out);
        }
        debug_assert_eq!(out.len(), body.len(), "the .timing counts bytes");
        out.extend_from_slice(end);
        self.inner.write_all(&out)
    }

    fn redact(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let redactor = &self.redactor;
        let Some(colon) = memchr::memchr(b':', body) else { return redactor.hidden(body, out) };
        let (key, value) = body.split_at(colon);
        let blank = if value.get(1) == Some(&b' ') { 2 } else { 1 };
        let (between, value) = value.split_at(blank);
        let key = String::from_utf8_lossy(key).into_owned();
        // `ChanVariable(PJSIP/101-00000018)`
        let (bare, bracket) = key.split_once('(').map_or((key.as_str(), None), |(bare, _)| (bare, Some(bare.len())));
        match bracket {
            Some(at) => {
                out.extend_from_slice(&body[..at]);
                redactor.structure(&body[at..colon], out);
            }
            None if is_key(bare) => out.extend_from_slice(&body[..colon]),
            None => redactor.hidden(&body[..colon], out),
        }
        out.extend_from_slice(between);
        match class(bare) {
            Class::Figure => out.extend_from_slice(value),
            // `200 result=1 (Ivan Petrov)`: what an AGI command gave.
            Class::Structure if bare == "Result" && value.contains(&b'=') => redactor.secret(value, out),
            Class::Structure => redactor.structure(value, out),
            Class::Number => redactor.whole_number(value, out),
            Class::Name => redactor.person(value, out),
            Class::NameAndNumber => redactor.name_and_number(value, out),
            Class::Assignment => redactor.assignment(value, out),
            Class::VariableValue => redactor.of_variable(&self.subject, value, out),
            Class::Arguments => match self.subject.to_ascii_lowercase().as_str() {
                "set" | "mset" => redactor.assignment(value, out),
                talkative if TALKATIVE.contains(&talkative) => redactor.secret(value, out),
                _ => redactor.structure(value, out),
            },
            Class::Hidden if matches!(bare, "Output" | "RemoteAddress" | "LocalAddress" | "Challenge") => {
                redactor.secret(value, out);
            }
            Class::Hidden => redactor.hidden(value, out),
        }
        if matches!(bare, "Application" | "LastApplication" | "Variable") {
            self.subject = String::from_utf8_lossy(value).into_owned();
        }
    }
}

/// Whether this can be a key of Asterisk's, and not the beginning of some text with a colon.
fn is_key(key: &str) -> bool {
    key.len() <= 40 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn class(key: &str) -> Class {
    if let Some((_, class)) = BY_NAME.iter().find(|(name, _)| *name == key) {
        return *class;
    }
    if let Some((_, class)) = BY_ENDING.iter().find(|(ending, _)| key.ends_with(ending)) {
        return *class;
    }
    if key.contains("Bridge") { Class::Structure } else { Class::Hidden }
}

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            // A bare LF is part of a value.
            if self.line.ends_with(b"\r\n") || self.line.len() > LINE_BYTES_MAX {
                self.finish_line()?;
            }
        }
        Ok(bytes.len())
    }

    /// Also gives out the last line, which may have been cut.
    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.finish_line()?;
        }
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::with_key("a key of the tests")
    }

    fn redacted(stream: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut redacting = Redacting::new(redactor(), &mut out);
        for piece in stream.chunks(piece) {
            redacting.write_all(piece).expect("written");
        }
        redacting.flush().expect("written");
        out
    }

    #[test]
    fn a_number_is_the_same_in_every_form_and_keeps_its_shape() {
        let redactor = redactor();
        let six = redactor.number("+79161234567")[6..].to_owned();
        assert_ne!(six, "234567");
        for (form, expected) in [
            ("89161234567", format!("89161{six}")),
            ("1234567", format!("1{six}")),
            ("+7 (916) 123-45-67", format!("+7 (916) 1{}-{}-{}", &six[..2], &six[2..4], &six[4..])),
            ("8-916-123-45-67", format!("8-916-1{}-{}-{}", &six[..2], &six[2..4], &six[4..])),
        ] {
            assert_eq!(redactor.number(form), expected, "{form}");
            assert_eq!(redactor.text(&format!("call {form}, now")), format!("call {expected}, now"), "{form}");
        }
        for kept in
            ["101", "12345", "s", "*72", "1795329401.303", "PJSIP/101-00000012", "05d6e04c-53b6-45c8-8f91-6d286796ffd0"]
        {
            assert_eq!(redactor.text(kept), kept);
        }
        let trunk = redactor.text("SIP/74951234567-00000012");
        assert!(trunk.starts_with("SIP/74951") && trunk.ends_with("-00000012") && !trunk.contains("234567"), "{trunk}");
    }

    #[test]
    fn six_digits_are_replaced_one_to_one() {
        let redactor = redactor();
        let mut seen = std::collections::HashSet::new();
        for number in (0..1_000_000).step_by(97) {
            assert!(seen.insert(redactor.number(&format!("+7916{number:07}"))));
        }
    }

    #[test]
    fn names_keep_their_shape_and_words_their_replacement() {
        let redactor = redactor();
        for name in ["Ivan Petrov", "ООО «Ромашка»", "OOO \\\"Romashka\\\", <Moscow>", "Ёлка é 中文"]
        {
            let other = redactor.name(name);
            assert_eq!(other.len(), name.len());
            assert_ne!(other, name);
            let shape = |text: &str| text.chars().map(|c| if c.is_alphabetic() { 'x' } else { c }).collect::<String>();
            assert_eq!(shape(&other), shape(name));
        }
        let petrov = &redactor.name("Ivan Petrov")[5..];
        assert_eq!(redactor.name("Petrov"), petrov);
        assert_eq!(redactor.name("petrov"), petrov.to_lowercase());
        for none in ["<unknown>", "Anonymous", ""] {
            assert_eq!(redactor.name(none), none);
        }
    }

    #[test]
    fn a_stream_is_redacted_by_what_its_keys_mean_however_it_is_cut() {
        let stream = "Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nChallenge: 901640948\r\n\r\n\
            Event: Newexten\r\nChannel: PJSIP/trunk-msk-000000b7\r\nCallerIDNum: +79161234567\r\nCallerIDName: Ivan Petrov\r\n\
            Exten: +74951234567\r\nUniqueid: 1795329401.303\r\nApplication: Dial\r\nAppData: PJSIP/101&SIP/89161234567@out,8,tT\r\n\r\n\
            Event: Newexten\r\nApplication: Set\r\nAppData: API_TOKEN=s3cr3tW0rd\r\n\r\n\
            Event: VarSet\r\nVariable: DB_PASSWORD\r\nValue: hunter2\r\nVariable: PIN\r\nValue: 4711\r\nVariable: DIALSTATUS\r\nValue: CHANUNAVAIL\r\n\r\n\
            Event: Cdr\r\nCallerID: \"Ivan Petrov\" <+79161234567>\r\nStartTime: 2026-11-22 06:36:41\r\n\r\n\
            Event: X\r\nRemoteAddress: IPV4/TCP/pbx.firm.example/47142\r\nOutput: secret = hunter2 for Petrov\r\nstray Petrov\r\nResult: 200 result=1 (Petrov)\r\n\r\n\
            Event: Cut\r\nCallerIDName: Ivan Pe";
        let whole = redacted(stream.as_bytes(), stream.len());
        assert_eq!(whole.len(), stream.len());
        for piece in [1, 7, 64] {
            assert_eq!(redacted(stream.as_bytes(), piece), whole);
        }
        let text = String::from_utf8(whole).expect("text");
        for gone in ["9161234567", "4951234567", "Ivan", "Petrov", "s3cr3tW0rd", "hunter2", "901640948", "firm", "4711"]
        {
            assert!(!text.contains(gone), "{gone} is in {text}");
        }
        for kept in [
            "Asterisk Call Manager/11.0.0\r\n",
            "Channel: PJSIP/trunk-msk-000000b7\r\n",
            "Uniqueid: 1795329401.303\r\n",
            "Application: Dial\r\nAppData: PJSIP/101&SIP/89161",
            "@out,8,tT\r\n",
            "AppData: API_TOKEN=",
            "Variable: DB_PASSWORD\r\n",
            "Value: CHANUNAVAIL\r\n",
            "StartTime: 2026-11-22 06:36:41\r\n",
        ] {
            assert!(text.contains(kept), "{kept} is not in {text}");
        }
        let name = redactor().name("Ivan Petrov");
        assert!(
            text.contains(&format!("CallerIDName: {name}\r\n"))
                && text.contains(&format!("CallerID: \"{name}\" <+79161"))
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_none() {
        // "Иван" in windows-1251.
        let out = redacted(b"CallerIDName: \xc8\xe2\xe0\xed x\r\n", 5);
        assert_eq!(out.len(), 22);
        let name = &out[14..18];
        assert_ne!(name, b"\xc8\xe2\xe0\xed");
        assert_eq!(String::from_utf8_lossy(name), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
    }
}
