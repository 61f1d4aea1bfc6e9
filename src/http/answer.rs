//! An answer, and how it is written: the head by `tiny_http`, the body from memory or piece by piece.

use std::borrow::Cow;
use std::io::{self, Read};

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, Response, StatusCode};

/// What a request is answered.
pub struct Answer {
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// What follows the head.
pub enum Body {
    Bytes(Cow<'static, [u8]>),
    /// Exactly `length` bytes, read on an errand thread while the client takes them.
    Source {
        source: Box<dyn Read + Send>,
        length: u64,
    },
    /// Server-Sent Events until somebody hangs up.
    Events,
}

/// How the head must be written for the request it answers.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub is_1_1: bool,
    pub keep_alive: bool,
    /// The answer to a HEAD has no body.
    pub head_only: bool,
}

impl Answer {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { status, headers: vec![("Content-Type", content_type.to_owned())], body: Body::Bytes(body.into()) }
    }

    /// `value` as JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("our own types have an image in JSON");
        Self::new(status, "application/json", body)
    }

    /// `{"error": code, "message": sentence}`
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": code, "message": message }))
    }

    pub fn text(status: u16, text: &'static str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.as_bytes())
    }

    /// Without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Bytes(Cow::Borrowed(b"")) }
    }

    /// A stream of Server-Sent Events.
    pub fn events() -> Self {
        let content_type = ("Content-Type", "text/event-stream; charset=utf-8".to_owned());
        // nginx holds answers back until its buffer is full, unless it is told not to.
        let unbuffered = ("X-Accel-Buffering", "no".to_owned());
        Self { status: 200, headers: vec![content_type, unbuffered], body: Body::Events }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The bytes to send first: the head, and the body where it is in memory.
    pub fn print(&self, manner: Manner) -> Vec<u8> {
        let mut headers: Vec<Header> = Vec::with_capacity(self.headers.len() + 4);
        let mut add = |name: &str, value: &str| {
            // A value that cannot stand in a header (CR, LF, NUL) would be a hole; such a header is left out.
            if value.bytes().all(|b| b >= b' ' && b != 0x7f)
                && let Ok(header) = Header::from_bytes(name.as_bytes(), value.as_bytes())
            {
                headers.push(header);
            }
        };
        add("Server", "PINconnector");
        add("X-Content-Type-Options", "nosniff");
        if !self.has("Cache-Control") {
            add("Cache-Control", "no-store");
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        let (body, length): (&[u8], usize) = match &self.body {
            Body::Bytes(bytes) => (bytes, bytes.len()),
            Body::Source { length, .. } => (b"", usize::try_from(*length).unwrap_or(usize::MAX)),
            Body::Events => (b"", 0),
        };
        let version = HTTPVersion(1, u8::from(manner.is_1_1));
        let head_only = manner.head_only || !matches!(self.body, Body::Bytes(_));
        // With a length tiny_http writes Content-Length, without one `Transfer-Encoding: chunked`.
        let known = (!matches!(self.body, Body::Events)).then_some(length);
        let mut printed = Vec::with_capacity(512 + body.len());
        Response::new(StatusCode(self.status), headers, body, known, None)
            .with_chunked_threshold(usize::MAX)
            .raw_print(&mut printed, version, &[], head_only, None)
            .expect("writing into memory does not fail");
        // tiny_http lets nobody set `Connection`, which its own server writes; so it is put in behind the status line.
        let said = match (manner.keep_alive, manner.is_1_1) {
            (false, _) => "Connection: close\r\n",
            (true, false) => "Connection: keep-alive\r\n",
            (true, true) => "",
        };
        if let Some(at) = printed.windows(2).position(|pair| pair == b"\r\n") {
            printed.splice(at + 2..at + 2, said.bytes());
        }
        printed
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer {} {:?}", self.status, self.headers)
    }
}

/// One piece of a stream of unknown length, as HTTP/1.1 wraps it.
pub fn chunk(piece: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Fills `piece` as far as `source` goes.
///
/// # Errors
/// Whatever reading gives.
pub fn fill(source: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match source.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(answer: &Answer, manner: Manner) -> String {
        String::from_utf8(answer.print(manner)).expect("text")
    }

    #[test]
    fn an_answer_says_its_length_and_whether_the_connection_stays() {
        let manner = Manner { is_1_1: true, keep_alive: true, head_only: false };
        let text = printed(&Answer::text(200, "Success"), manner);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nSuccess"), "{text}");
        assert!(text.contains("Content-Length: 7\r\n") && text.contains("Cache-Control: no-store\r\n"), "{text}");
        let text = printed(&Answer::text(200, "Success"), Manner { keep_alive: false, head_only: true, ..manner });
        assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        assert!(text.contains("Content-Length: 7\r\n"), "{text}");
        let text = printed(&Answer::events(), manner);
        assert!(text.contains("Transfer-Encoding: chunked\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        let source = Body::Source { source: Box::new(io::empty()), length: 1 << 40 };
        let text = printed(&Answer { body: source, ..Answer::empty(206) }, manner);
        assert!(text.contains("Content-Length: 1099511627776\r\n"), "{text}");
    }

    #[test]
    fn no_header_can_be_split() {
        let manner = Manner { is_1_1: true, keep_alive: true, head_only: false };
        let text = printed(&Answer::empty(204).with("X-A", "b\r\nX-Evil: 1"), manner);
        assert!(!text.contains("Evil"), "{text}");
    }
}
