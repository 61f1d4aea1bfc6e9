//! Bytes of an AMI connection into messages, and actions into bytes.
//!
//! Incremental and without I/O: bytes are put in as they come, in any pieces, and messages come out that borrow the
//! codec's buffer. The bytes are passed over once, looking for line ends; what a message means is decided in
//! [`super::parse`].
//!
//! # What an outsider can and cannot do
//!
//! Asterisk prints most values raw, and `Newexten`'s `AppData` may hold CR LF where the dialplan uses the result of
//! SHELL, CURL, ODBC or AGI. Such a value can end the message it stands in and imitate another one; nothing in the
//! protocol tells a good imitation from an event. What is done about it:
//!
//! * lines end in CR LF only (a bare LF, the commoner accident, stays inside its value), and of duplicate keys the
//!   first counts, so a smuggled line never changes what Asterisk wrote before it;
//! * a message must *begin* with `Event:` or `Response:`, else it is a [`Frame::Stray`], counted and dropped; the parser
//!   also wants an event's second key to be one that Asterisk writes there;
//! * answers to the link's own actions (login, pings) are known by an `ActionID` with a random part.
//!
//! What remains: a whole event, imitated well, is believed. Who has dialplans that print foreign texts filters the `Newexten` of
//! the application that prints them (an `eventfilter` in the account), or does without the class `dialplan`.

use crate::asterisk::{Action, ActionId, Originate};
use std::fmt;
use std::ops::Range;

/// A longer message is skipped.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// A message of more lines is skipped.
pub const MAX_MESSAGE_LINES: usize = 512;
/// Room offered to a read.
const READ_BYTES: usize = 64 * 1024;
/// The first line is a name and a version; whatever is longer is not Asterisk.
const MAX_GREETING_BYTES: usize = 1024;
const GREETING: &[u8] = b"Asterisk Call Manager/";
/// Asterisk reads an action line into 1,025 bytes and drops the connection's message when it does not fit.
const MAX_ACTION_LINE_BYTES: usize = 1000;

/// What the stream turned out to hold next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// The first line of a connection, with the version of the manager protocol (`11.0.0`).
    Greeting { version: &'a [u8] },
    /// The first line was something else; nothing more will come out. Holds what was seen of it.
    Foreign(&'a [u8]),
    /// An event or a response.
    Message(Message<'a>),
    /// Lines that are neither: the rest of a value with line breaks.
    Stray(&'a [u8]),
    /// The message was too long or had too many lines and is skipped, up to the next blank line.
    Oversized,
}

/// The kind of message, with its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'a> {
    Event(&'a [u8]),
    Response(&'a [u8]),
}

/// One message, in the codec's buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    kind: Kind<'a>,
    /// Without the CR LF of the last line.
    bytes: &'a [u8],
    /// Where each line ends, before its CR LF.
    line_ends: &'a [u32],
}

impl<'a> Message<'a> {
    pub fn kind(&self) -> Kind<'a> {
        self.kind
    }

    /// All lines as they came, without the last CR LF.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Line by line, the first one (`Event:` or `Response:`) included.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        let mut start = 0;
        self.line_ends.iter().map(move |&end| {
            let line = &bytes[start..end as usize];
            start = end as usize + 2;
            line
        })
    }

    /// The line with this number, counted from 0.
    pub fn line(&self, number: usize) -> Option<&'a [u8]> {
        let end = *self.line_ends.get(number)? as usize;
        let start = if number == 0 { 0 } else { self.line_ends[number - 1] as usize + 2 };
        Some(&self.bytes[start..end])
    }

    /// The value of the first line with this key.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.lines().skip(1).find_map(|line| value(line, key))
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines().map(String::from_utf8_lossy)).finish()
    }
}

/// What stands behind `key:` if the line has this key; one blank after the colon belongs to the colon.
#[inline]
pub fn value<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    // The colon's place and the first letter tell nearly all other keys apart, without comparing texts.
    if line.get(key.len()) != Some(&b':') || line.first() != key.first() || !line.starts_with(key) {
        return None;
    }
    let rest = &line[key.len() + 1..];
    Some(rest.strip_prefix(b" ").unwrap_or(rest))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expecting {
    Greeting,
    /// Not Asterisk: nothing is read any more.
    Nothing,
    Messages,
    /// The end of a message that is too big.
    BlankLine,
}

/// What was found last; the bytes are in the codec's buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    Nothing,
    Greeting(Range<usize>),
    Foreign(Range<usize>),
    Event(Range<usize>),
    Response(Range<usize>),
    Stray(Range<usize>),
    Oversized,
}

/// The reading half: one per connection.
///
/// Give it bytes by [`Codec::room`] and [`Codec::filled`] (or [`Codec::push`]), then [`Codec::advance`] from frame to frame
/// until it has nothing more. Memory is bounded by the message limit and one read.
pub struct Codec {
    buffer: Box<[u8]>,
    /// How much of the buffer holds bytes.
    end: usize,
    /// Where the message under way begins.
    message: usize,
    /// Up to where line ends were looked for.
    scanned: usize,
    /// Line ends of the message under way or, once it was found, of the found one; counted from its beginning.
    line_ends: Vec<u32>,
    expecting: Expecting,
    found: Found,
    /// How many bytes of the stream came before the buffer's first.
    passed: u64,
    /// Where in the stream the found frame begins.
    frame_offset: u64,
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec {
    /// For a connection that has just been made: the first line must be Asterisk's greeting.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; MAX_MESSAGE_BYTES + READ_BYTES].into_boxed_slice(),
            end: 0,
            message: 0,
            scanned: 0,
            line_ends: Vec::with_capacity(64),
            expecting: Expecting::Greeting,
            found: Found::Nothing,
            passed: 0,
            frame_offset: 0,
        }
    }

    /// For a piece of a recording that begins somewhere after the greeting.
    pub fn without_greeting() -> Self {
        Self { expecting: Expecting::Messages, ..Self::new() }
    }

    /// Where the next bytes may be read to. Never empty once [`Codec::advance`] has nothing more; ends the life of the frame
    /// that was found last.
    pub fn room(&mut self) -> &mut [u8] {
        self.found = Found::Nothing;
        if self.message > 0 {
            // Only the piece of one message is ever moved.
            self.buffer.copy_within(self.message..self.end, 0);
            self.passed += self.message as u64;
            self.end -= self.message;
            self.scanned -= self.message;
            self.message = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// Says that the first `bytes` of [`Codec::room`] have been filled.
    pub fn filled(&mut self, bytes: usize) {
        debug_assert!(self.end + bytes <= self.buffer.len());
        self.end += bytes;
    }

    /// Copies as much of `bytes` as there is room for and says how much that was.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let taken = room.len().min(bytes.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.filled(taken);
        taken
    }

    /// The next thing the stream holds, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        if self.advance() { self.frame() } else { None }
    }

    /// Goes to the next thing the stream holds; false until more bytes come.
    pub fn advance(&mut self) -> bool {
        self.found = match self.expecting {
            Expecting::Nothing => Found::Nothing,
            Expecting::Greeting => self.find_greeting(),
            Expecting::BlankLine => match self.skip_to_blank_line() {
                true => self.find_message(),
                false => Found::Nothing,
            },
            Expecting::Messages => self.find_message(),
        };
        self.found != Found::Nothing
    }

    /// What [`Codec::advance`] went to.
    pub fn frame(&self) -> Option<Frame<'_>> {
        let bytes = |range: &Range<usize>| &self.buffer[range.clone()];
        let message = |range, key: &[u8]| {
            let bytes = bytes(range);
            let first = &bytes[..self.line_ends[0] as usize];
            (value(first, key).unwrap_or_default(), bytes)
        };
        Some(match &self.found {
            Found::Nothing => return None,
            Found::Greeting(version) => Frame::Greeting { version: bytes(version) },
            Found::Foreign(seen) => Frame::Foreign(bytes(seen)),
            Found::Event(range) => {
                let (name, bytes) = message(range, b"Event");
                Frame::Message(Message { kind: Kind::Event(name), bytes, line_ends: &self.line_ends })
            }
            Found::Response(range) => {
                let (result, bytes) = message(range, b"Response");
                Frame::Message(Message { kind: Kind::Response(result), bytes, line_ends: &self.line_ends })
            }
            Found::Stray(range) => Frame::Stray(bytes(range)),
            Found::Oversized => Frame::Oversized,
        })
    }

    /// Where in the stream the frame begins, in bytes.
    pub fn frame_offset(&self) -> u64 {
        self.frame_offset
    }

    /// Bytes that have come but do not make a frame yet.
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.message..self.end]
    }

    fn find_greeting(&mut self) -> Found {
        let start = self.message;
        let seen = &self.buffer[start..self.end];
        self.frame_offset = self.passed + start as u64;
        match memchr::memchr(b'\n', &seen[..seen.len().min(MAX_GREETING_BYTES)]) {
            Some(line_end) if seen.starts_with(GREETING) => {
                self.expecting = Expecting::Messages;
                self.message = start + line_end + 1;
                self.scanned = self.message;
                let line = seen[..line_end].trim_ascii_end();
                Found::Greeting(start + GREETING.len()..start + line.len())
            }
            // A TLS record has no line end: an alert (0x15) or a handshake (0x16), version 3.x.
            None if seen.len() < MAX_GREETING_BYTES && !matches!(seen, [0x15 | 0x16, 3, ..]) => Found::Nothing,
            line_end => {
                self.expecting = Expecting::Nothing;
                let shown = line_end.unwrap_or(seen.len().min(MAX_GREETING_BYTES));
                Found::Foreign(start..start + shown)
            }
        }
    }

    fn find_message(&mut self) -> Found {
        if self.scanned == self.message {
            self.line_ends.clear();
            // Some messages of some builds end with one more CR LF.
            while self.message < self.end && matches!(self.buffer[self.message], b'\r' | b'\n') {
                self.message += 1;
            }
            self.scanned = self.message;
        }
        let start = self.message;
        let mut line_start = self.line_ends.last().map_or(start, |&end| start + end as usize + 2);
        for at in memchr::memchr_iter(b'\n', &self.buffer[self.scanned..self.end]) {
            let newline = self.scanned + at;
            // A bare LF is part of a value. A message's first byte is no LF, so there is a byte before this one.
            if newline == line_start || self.buffer[newline - 1] != b'\r' {
                continue;
            }
            let line_end = newline - 1;
            if line_end == line_start {
                return self.finish_message(line_end - 2, newline + 1);
            }
            if line_end - start > MAX_MESSAGE_BYTES || self.line_ends.len() == MAX_MESSAGE_LINES {
                return self.give_up_on_message(line_start);
            }
            self.line_ends.push((line_end - start) as u32);
            line_start = newline + 1;
        }
        self.scanned = self.end;
        // What has come may end in the `CR LF CR` of a blank line; beyond that the message is too long in any case.
        if self.end - start > MAX_MESSAGE_BYTES + 3 {
            return self.give_up_on_message(line_start);
        }
        Found::Nothing
    }

    fn finish_message(&mut self, end: usize, next: usize) -> Found {
        let range = self.message..end;
        self.frame_offset = self.passed + self.message as u64;
        self.message = next;
        self.scanned = next;
        let bytes = &self.buffer[range.clone()];
        if bytes.starts_with(b"Event:") {
            Found::Event(range)
        } else if bytes.starts_with(b"Response:") {
            Found::Response(range)
        } else {
            Found::Stray(range)
        }
    }

    fn give_up_on_message(&mut self, line_start: usize) -> Found {
        self.frame_offset = self.passed + self.message as u64;
        self.expecting = Expecting::BlankLine;
        // The CR LF before this line may be the first half of a blank line.
        self.message = line_start.saturating_sub(2).max(self.message);
        self.scanned = self.message;
        Found::Oversized
    }

    /// Drops what belongs to the message that was too big; true when its blank line has come.
    fn skip_to_blank_line(&mut self) -> bool {
        let seen = &self.buffer[self.message..self.end];
        let blank_line = memchr::memmem::find(seen, b"\r\n\r\n");
        self.message = match blank_line {
            Some(at) => self.message + at + 4,
            None => self.message.max(self.end.saturating_sub(3)),
        };
        self.scanned = self.message;
        if blank_line.is_some() {
            self.expecting = Expecting::Messages;
        }
        blank_line.is_some()
    }
}

/// Why an action cannot be written. Nothing of it has been.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The value of this key holds CR, LF or NUL.
    ControlByte { key: &'static str },
    /// The line is longer than Asterisk reads.
    TooLong { key: &'static str },
    /// A channel variable whose name is not letters, digits and `_`.
    VariableName,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlByte { key } => write!(f, "{key} holds a line break or a zero byte"),
            Self::TooLong { key } => write!(f, "{key} is longer than Asterisk reads ({MAX_ACTION_LINE_BYTES} bytes)"),
            Self::VariableName => f.write_str("a channel variable's name may hold only letters, digits and _"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Appends the action as Asterisk reads it.
///
/// # Errors
/// If a value cannot be said in AMI; `out` is then as it was.
pub fn encode(action: &Action, id: &ActionId, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let before = out.len();
    let result = encode_lines(action, id, out);
    match result {
        Ok(()) => out.extend_from_slice(b"\r\n"),
        Err(_) => out.truncate(before),
    }
    result
}

/// Appends an action by its name, for what is asked once and is no [`Action`] of the service.
///
/// # Errors
/// If a value cannot be said in AMI; `out` is then as it was.
pub(super) fn encode_question(
    name: &'static str,
    id: &str,
    fields: &[(&'static str, &str)],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let before = out.len();
    let mut lines = [("Action", name), ("ActionID", id)].into_iter().chain(fields.iter().copied());
    let result = lines.try_for_each(|(key, value)| line(out, key, value));
    match result {
        Ok(()) => out.extend_from_slice(b"\r\n"),
        Err(_) => out.truncate(before),
    }
    result
}

fn encode_lines(action: &Action, id: &ActionId, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    line(out, "Action", name(action))?;
    line(out, "ActionID", &id.0)?;
    match action {
        Action::Challenge => line(out, "AuthType", "MD5"),
        Action::LoginMd5 { username, key } => {
            line(out, "AuthType", "MD5")?;
            line(out, "Username", username)?;
            line(out, "Key", key)
        }
        Action::LoginPlain { username, secret } => {
            line(out, "Username", username)?;
            line(out, "Secret", secret)
        }
        Action::Originate(originate) => encode_originate(originate, out),
        Action::Hangup { channel } => line(out, "Channel", channel.as_str()),
        Action::Filter { filter } => {
            line(out, "Operation", "Add")?;
            line(out, "Filter", filter)
        }
        Action::Ping
        | Action::CoreSettings
        | Action::CoreStatus
        | Action::CoreShowChannels
        | Action::Status
        | Action::BridgeList
        | Action::QueueStatus
        | Action::DeviceStateList
        | Action::Logoff => Ok(()),
    }
}

/// Asterisk's name of an action.
pub fn name(action: &Action) -> &'static str {
    match action {
        Action::Challenge => "Challenge",
        Action::LoginMd5 { .. } | Action::LoginPlain { .. } => "Login",
        Action::Ping => "Ping",
        Action::CoreSettings => "CoreSettings",
        Action::CoreStatus => "CoreStatus",
        Action::CoreShowChannels => "CoreShowChannels",
        Action::Status => "Status",
        Action::BridgeList => "BridgeList",
        Action::QueueStatus => "QueueStatus",
        Action::DeviceStateList => "DeviceStateList",
        Action::Originate(_) => "Originate",
        Action::Hangup { .. } => "Hangup",
        Action::Filter { .. } => "Filter",
        Action::Logoff => "Logoff",
    }
}

fn encode_originate(originate: &Originate, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    line(out, "Channel", &originate.channel)?;
    line(out, "Context", &originate.context)?;
    line(out, "Exten", &originate.exten)?;
    line(out, "Priority", "1")?;
    line(out, "Timeout", &originate.timeout_ms.to_string())?;
    if !originate.caller_id.is_empty() {
        line(out, "CallerID", &originate.caller_id)?;
    }
    // Without it the answer would come only after the agent's phone has been answered.
    line(out, "Async", "true")?;
    if !originate.channel_id.is_empty() {
        line(out, "ChannelId", originate.channel_id.as_str())?;
    }
    if !originate.other_channel_id.is_empty() {
        line(out, "OtherChannelId", originate.other_channel_id.as_str())?;
    }
    for (name, value) in &originate.variables {
        let bare = name.trim_start_matches('_');
        if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(EncodeError::VariableName);
        }
        line(out, "Variable", &format!("{name}={}", escape_variable(value)))?;
    }
    Ok(())
}

/// Asterisk splits a `Variable` line at commas as it splits an application's arguments: quotes are taken away, round and
/// square brackets protect commas, a backslash makes the next character an ordinary one.
fn escape_variable(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | '"' | ',' | '(' | ')' | '[' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn line(out: &mut Vec<u8>, key: &'static str, value: &str) -> Result<(), EncodeError> {
    if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(EncodeError::ControlByte { key });
    }
    if key.len() + 2 + value.len() > MAX_ACTION_LINE_BYTES {
        return Err(EncodeError::TooLong { key });
    }
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
    Ok(())
}
