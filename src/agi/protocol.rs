//! The bytes of AGI: what Asterisk says first, what it is told, what it answers. Pure.
//!
//! Asterisk opens the connection and writes a *prelude*, lines of `agi_key: value` and an empty one. Then we write a command
//! and it writes an answer, strictly in turn: Asterisk reads through a buffer but waits on the descriptor, so a second command
//! sent with the first would lie unseen. `HANGUP` may come at any moment instead of or before an answer.
//!
//! What is asked and set is decided in [`super::script`], and when in [`super::session`].

/// A prelude is about a kilobyte; with 128 arguments, which is Asterisk's limit, still less than this.
pub const PRELUDE_BYTES_MAX: usize = 16 << 10;
/// 25 lines of Asterisk's own and 128 arguments.
pub const PRELUDE_LINES_MAX: usize = 192;
/// No answer to our commands is longer: a variable's value that is, is none of ours.
pub const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Values of variables longer than this are cut; Asterisk reads commands into 2,048 bytes.
pub const VALUE_BYTES_MAX: usize = 256;

/// What Asterisk says of the channel before anything is asked; empty is unknown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prelude {
    /// What stands behind `agi://host:port/`, query included.
    pub script: String,
    pub uniqueid: String,
    pub channel: String,
    /// The caller's number.
    pub callerid: String,
    /// The number that was called, as the trunk gave it.
    pub dnid: String,
    pub extension: String,
    pub context: String,
    /// `AGI(agi://…,first,second)`.
    pub arguments: Vec<String>,
}

/// Why a connection is not one of Asterisk's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAgi {
    /// The first line is no `agi_…: …`.
    OtherProtocol,
    TooLong,
}

/// A prelude as it comes in, in pieces of any size.
#[derive(Debug, Default)]
pub struct PreludeReader {
    prelude: Prelude,
    lines: usize,
    bytes: usize,
}

impl PreludeReader {
    /// Takes one line without its end; the prelude, once this was the empty line.
    ///
    /// # Errors
    /// If it is not Asterisk who speaks.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Prelude>, NotAgi> {
        if line.is_empty() {
            return if self.lines == 0 {
                Err(NotAgi::OtherProtocol)
            } else {
                Ok(Some(std::mem::take(&mut self.prelude)))
            };
        }
        self.lines += 1;
        self.bytes += line.len();
        if self.lines > PRELUDE_LINES_MAX || self.bytes > PRELUDE_BYTES_MAX {
            return Err(NotAgi::TooLong);
        }
        let field = line.strip_prefix(b"agi_").and_then(|rest| {
            let colon = rest.iter().position(|&b| b == b':')?;
            Some((&rest[..colon], rest[colon + 1..].trim_ascii()))
        });
        let Some((key, value)) = field else {
            // An argument with a line's end in it goes on here; only the first line must be beyond doubt.
            return if self.lines == 1 { Err(NotAgi::OtherProtocol) } else { Ok(None) };
        };
        let prelude = &mut self.prelude;
        let place = match key {
            b"network_script" => &mut prelude.script,
            b"uniqueid" => &mut prelude.uniqueid,
            b"channel" => &mut prelude.channel,
            b"callerid" => &mut prelude.callerid,
            b"dnid" => &mut prelude.dnid,
            b"extension" => &mut prelude.extension,
            b"context" => &mut prelude.context,
            _ if key.starts_with(b"arg_") => {
                prelude.arguments.push(text(value));
                return Ok(None);
            }
            _ => return Ok(None),
        };
        // Asterisk writes `unknown` where it has nothing.
        if value != b"unknown" && place.is_empty() {
            *place = text(value);
        }
        Ok(None)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What Asterisk says to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// `200 result=1`; with `GET VARIABLE` the value in brackets, `None` where there is none.
    Done(Option<String>),
    /// `510`, `520`: it does not know the command, or not so.
    Refused,
    /// `511`, `HANGUP`: the channel is gone.
    Gone,
    /// Nothing by itself: `100 …`, the lines between `520-` and `520 End`.
    More,
}

/// Reads one line of an answer, without its end.
///
/// # Errors
/// If Asterisk says no such thing.
pub fn answer(line: &[u8]) -> Result<Answer, NotAgi> {
    let line = line.trim_ascii_end();
    if let Some(result) = line.strip_prefix(b"200 result=") {
        let value = result.iter().position(|&b| b == b'(').and_then(|open| result[open + 1..].strip_suffix(b")"));
        return Ok(Answer::Done(value.map(text)));
    }
    match line {
        b"HANGUP" => Ok(Answer::Gone),
        _ if line.starts_with(b"511") => Ok(Answer::Gone),
        // `520-Invalid command syntax.  Proper usage follows:` … `520 End of proper usage.`
        _ if line.starts_with(b"510") || line.starts_with(b"520 ") => Ok(Answer::Refused),
        _ if line.starts_with(b"HTTP") || line.iter().any(|&b| b < 0x20 && b != b'\t') => Err(NotAgi::OtherProtocol),
        _ => Ok(Answer::More),
    }
}

/// Writes `GET VARIABLE name`. `name` is one of ours.
pub fn get_variable(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"GET VARIABLE ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
}

/// Writes `SET VARIABLE name "value"`. Asterisk takes a backslash for an escape and a quote for the value's end, and
/// nothing else; what has no business in a value at all is taken out by [`super::script`] before.
pub fn set_variable(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b"SET VARIABLE ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" \"");
    for &byte in cut(value, VALUE_BYTES_MAX).as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            // Also 0x7f: a terminal that shows the console would act on it.
            0..=0x1f | 0x7f => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out.extend_from_slice(b"\"\n");
}

/// The beginning of `text` that fits, whole characters only.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Prelude>, NotAgi> {
        let mut reader = PreludeReader::default();
        let mut last = Ok(None);
        for line in text.lines() {
            last = Ok(reader.line(line.as_bytes())?);
        }
        last
    }

    #[test]
    fn a_prelude_of_asterisk_22_is_read() {
        let prelude = read(
            "agi_network: yes\nagi_network_script: responsible?did=74951234567\nagi_request: agi://127.0.0.1:4573/responsible?did=74951234567\n\
             agi_channel: PJSIP/trunk-msk-00000000\nagi_language: en\nagi_type: PJSIP\nagi_uniqueid: 1763805700.21\nagi_version: 22.5.2\n\
             agi_callerid: +79161234567\nagi_calleridname: unknown\nagi_callingpres: 0\nagi_dnid: +74951234567\nagi_rdnis: unknown\n\
             agi_context: from-trunk\nagi_extension: s\nagi_priority: 2\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 140\n\
             agi_arg_1: one\nagi_arg_2: two: three\n\n",
        )
        .expect("AGI")
        .expect("whole");
        assert_eq!(prelude.script, "responsible?did=74951234567");
        assert_eq!((prelude.uniqueid.as_str(), prelude.callerid.as_str()), ("1763805700.21", "+79161234567"));
        assert_eq!((prelude.dnid.as_str(), prelude.context.as_str()), ("+74951234567", "from-trunk"));
        assert_eq!(prelude.arguments, ["one", "two: three"]);
    }

    #[test]
    fn what_is_unknown_is_empty_and_what_is_forged_behind_it_does_not_count() {
        let prelude = read("agi_callerid: 102\nagi_dnid: unknown\nagi_callerid: 666\nno key at all\n\n");
        let prelude = prelude.expect("AGI").expect("whole");
        assert_eq!((prelude.callerid.as_str(), prelude.dnid.as_str()), ("102", ""));
    }

    #[test]
    fn other_protocols_and_floods_are_seen_at_once() {
        assert_eq!(read("GET / HTTP/1.1"), Err(NotAgi::OtherProtocol));
        assert_eq!(read("\n"), Err(NotAgi::OtherProtocol));
        assert_eq!(read(&"agi_x: y\n".repeat(10_000)), Err(NotAgi::TooLong));
        assert_eq!(read(&format!("agi_x: {}", "y".repeat(PRELUDE_BYTES_MAX))), Err(NotAgi::TooLong));
        assert_eq!(read("agi_x: y"), Ok(None));
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(answer(b"200 result=1"), Ok(Answer::Done(None)));
        assert_eq!(answer(b"200 result=0\r"), Ok(Answer::Done(None)));
        assert_eq!(answer(b"200 result=1 (second (Moscow))"), Ok(Answer::Done(Some("second (Moscow)".to_owned()))));
        assert_eq!(answer(b"510 Invalid or unknown command"), Ok(Answer::Refused));
        assert_eq!(answer(b"520-Invalid command syntax.  Proper usage follows:"), Ok(Answer::More));
        assert_eq!(answer(b" Usage: SET VARIABLE <variablename> <value>"), Ok(Answer::More));
        assert_eq!(answer(b"520 End of proper usage."), Ok(Answer::Refused));
        assert_eq!(answer(b"511 Command Not Permitted on a dead channel or intercept routine"), Ok(Answer::Gone));
        assert_eq!(answer(b"HANGUP"), Ok(Answer::Gone));
        assert_eq!(answer(b"HTTP/1.1 400 Bad Request"), Err(NotAgi::OtherProtocol));
        assert_eq!(answer(b"\0\x01"), Err(NotAgi::OtherProtocol));
    }

    /// Asterisk's `parse_args` of res/res_agi.c: blanks divide, quotes hold together, a backslash takes the next as it is.
    fn as_asterisk_reads(line: &str) -> Vec<String> {
        let (mut words, mut word, mut open, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false, false);
        for c in line.chars() {
            match c {
                _ if escaped => (word.push(c), escaped = false, open = true).0,
                '\\' => escaped = true,
                '"' => (quoted = !quoted, open = true).0,
                ' ' | '\t' if !quoted => {
                    if open {
                        words.push(std::mem::take(&mut word));
                    }
                    open = false;
                }
                _ => (word.push(c), open = true).0,
            }
        }
        if open {
            words.push(word);
        }
        words
    }

    #[test]
    fn a_command_is_one_line_whatever_the_value_holds() {
        for value in [
            "plain",
            "two words",
            "say \"hi\"",
            "back\\slash\\",
            "a\nSET VARIABLE X 1",
            "\r\n\0",
            "",
            "\\\"",
            "«Ромашка»",
        ] {
            let mut out = Vec::new();
            set_variable(&mut out, "CLIENT_NAME", value);
            let line = String::from_utf8(out).expect("UTF-8");
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            let words = as_asterisk_reads(line.trim_end_matches('\n'));
            let kept: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            assert_eq!(words, ["SET", "VARIABLE", "CLIENT_NAME", &kept], "{line:?}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let mut out = Vec::new();
        set_variable(&mut out, "N", &format!("x{}", "я".repeat(5_000)));
        assert!(out.len() <= VALUE_BYTES_MAX + 20 && std::str::from_utf8(&out).is_ok(), "{}", out.len());
        assert_eq!(cut("яя", 3), "я");
        assert_eq!(cut("😀", 3), "");
        assert_eq!(cut("ab", 2), "ab");
    }
}
