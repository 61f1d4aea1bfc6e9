//! A request as it came in: head, body, where from. Parsing only; what may come in at all is decided in [`super::gate`].

use std::borrow::Cow;
use std::net::SocketAddr;

/// A head longer than this is refused with 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A body longer than this is refused with 413: the longest honest one, a click-to-call, has a few hundred bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// More header lines than this are refused with 431.
const HEADERS_MAX: usize = 64;
/// Headers that must not come twice: whoever stands before us might have read the other one.
const SINGLE: [&str; 10] = [
    "host",
    "content-length",
    "authorization",
    "x-pin-key",
    "x-pin-time",
    "x-pin-nonce",
    "x-pin-signature",
    "origin",
    "range",
    "x-pin-page",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Head,
    Post,
    Delete,
    Options,
    Other,
}

impl Method {
    fn of(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// As in a request line and in what is signed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "OTHER",
        }
    }
}

/// The head of a request, and how many bytes of body must follow it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub method: Method,
    /// Path and query exactly as in the request line; begins with `/`.
    pub target: Box<str>,
    /// Names in lower case.
    headers: Vec<(Box<str>, Box<str>)>,
    pub body_length: usize,
    /// HTTP/1.1, not 1.0.
    pub is_1_1: bool,
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Why a head is not taken; the connection is closed after the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadHead {
    /// 400
    Malformed(&'static str),
    /// 411: a body whose length nobody said beforehand.
    NoLength,
    /// 413
    BodyTooLong,
    /// 431
    HeadTooLong,
    /// 505
    Version,
}

impl BadHead {
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::NoLength => 411,
            Self::BodyTooLong => 413,
            Self::HeadTooLong => 431,
            Self::Version => 505,
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Malformed(what) => what,
            Self::NoLength => "a body needs a Content-Length; other transfer encodings are not taken",
            Self::BodyTooLong => "the body is longer than 64 KiB",
            Self::HeadTooLong => "the request's head is longer than 16 KiB or has more than 64 lines",
            Self::Version => "HTTP/1.1 or 1.0, please",
        }
    }
}

impl Head {
    /// Reads the head at the beginning of `bytes`: with its length, or `None` while it is not complete.
    ///
    /// # Errors
    /// A [`BadHead`]; nothing more can be understood on this connection then.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, BadHead> {
        let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut lines);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(BadHead::HeadTooLong),
            Err(httparse::Error::Version) => return Err(BadHead::Version),
            Err(_) => return Err(BadHead::Malformed("this is no HTTP request")),
        };
        let target = parsed.path.unwrap_or_default();
        if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadHead::Malformed("the request's target must be a path"));
        }
        let mut headers: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(parsed.headers.len());
        for line in parsed.headers.iter() {
            let value = std::str::from_utf8(line.value).map_err(|_| BadHead::Malformed("a header is not UTF-8"))?;
            let name = line.name.to_ascii_lowercase();
            if SINGLE.contains(&name.as_str()) && headers.iter().any(|(known, _)| **known == *name) {
                return Err(BadHead::Malformed("a header that may stand once stands twice"));
            }
            headers.push((name.into(), value.trim().into()));
        }
        let mut head = Self {
            method: Method::of(parsed.method.unwrap_or_default()),
            target: target.into(),
            headers,
            body_length: 0,
            is_1_1: parsed.version == Some(1),
            keep_alive: false,
            expects_continue: false,
        };
        if head.header("transfer-encoding").is_some() {
            return Err(BadHead::NoLength);
        }
        head.body_length = match head.header("content-length") {
            None => 0,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => match text.parse::<usize>() {
                Ok(length) if length <= BODY_BYTES_MAX => length,
                _ => return Err(BadHead::BodyTooLong),
            },
            Some(_) => return Err(BadHead::Malformed("Content-Length is no number")),
        };
        if head.is_1_1 && head.header("host").is_none() {
            return Err(BadHead::Malformed("HTTP/1.1 needs a Host"));
        }
        head.keep_alive = match head.header("connection") {
            Some(said) if has_word(said, "close") => false,
            Some(said) if has_word(said, "keep-alive") => true,
            _ => head.is_1_1,
        };
        head.expects_continue =
            head.is_1_1 && head.header("expect").is_some_and(|said| said.eq_ignore_ascii_case("100-continue"));
        Ok(Some((head, length)))
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// The names of all headers, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| &**name)
    }
}

fn has_word(list: &str, word: &str) -> bool {
    list.split(',').any(|said| said.trim().eq_ignore_ascii_case(word))
}

/// A complete request.
#[derive(Debug)]
pub struct Request {
    pub head: Head,
    pub body: Vec<u8>,
    pub peer: SocketAddr,
    /// Where it was received: the other end of the connection.
    pub own: SocketAddr,
    /// It came through our own TLS.
    pub is_tls: bool,
}

impl Request {
    pub fn method(&self) -> Method {
        self.head.method
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The path, without the query, as it came.
    pub fn path(&self) -> &str {
        self.head.target.split('?').next().unwrap_or_default()
    }

    /// The query, without its question mark.
    pub fn query(&self) -> &str {
        self.head.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of `name` in the query, decoded; a `+` is a space.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_value(self.query().as_bytes(), name, Plus::IsSpace)
    }
}

/// What a `+` stands for in a form's value. Browsers write a space so; people who build addresses by hand forget that, and
/// in a telephone number a `+` is a plus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plus {
    IsSpace,
    IsPlus,
}

/// The first value of `name` in a form (or query); `None` if it is not there, or not UTF-8 once decoded.
pub fn form_value(form: &[u8], name: &str, plus: Plus) -> Option<String> {
    form.split(|b| *b == b'&').find_map(|pair| {
        let (key, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        (decode(key, Plus::IsSpace)? == name).then(|| decode(value, plus).map(Cow::into_owned))?
    })
}

/// Percent-decodes; `None` for a broken escape or what is not UTF-8.
pub fn decode(text: &[u8], plus: Plus) -> Option<Cow<'_, str>> {
    let is_plain = |b: &u8| *b != b'%' && (*b != b'+' || plus == Plus::IsPlus);
    if text.iter().all(is_plain) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit()? << 4 | digit()?
            }
            b'+' if plus == Plus::IsSpace => b' ',
            other => *other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<(Head, usize)>, BadHead> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let text = "POST /api/v1/calls?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nX-Pin-Key:  crm \r\n\r\nbody";
        for cut in 0..text.len() - 4 {
            assert_eq!(parsed(&text[..cut]), Ok(None), "{cut}");
        }
        let (head, length) = parsed(text).expect("a head").expect("complete");
        assert_eq!(&text[length..], "body");
        assert_eq!((head.method, &*head.target, head.body_length), (Method::Post, "/api/v1/calls?a=1", 12));
        assert_eq!(head.header("x-pin-key"), Some("crm"));
        assert!(head.keep_alive && head.is_1_1);
    }

    #[test]
    fn what_tiny_http_could_not_stand_is_refused() {
        for (lines, status) in [
            ("Content-Length: 9223372036854775808", 413),
            ("Content-Length: 99999999999999999999999999", 413),
            ("Content-Length: 65537", 413),
            ("Content-Length: -1", 400),
            ("Content-Length: +5", 400),
            ("Content-Length: 5, 5", 400),
            ("Content-Length:", 400),
            ("Content-Length: 5\r\nContent-Length: 5", 400),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", 411),
            ("Transfer-Encoding: chunked", 411),
            ("Host: y", 400),
            ("X-PIN-Key: a\r\nX-PIN-Key: b", 400),
            ("no colon", 400),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n");
            assert_eq!(parsed(&text).map_err(BadHead::status), Err(status), "{lines}");
        }
        assert_eq!(parsed("GET / HTTP/1.1\r\n\r\n").map_err(BadHead::status), Err(400));
        assert_eq!(parsed("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n").map_err(BadHead::status), Err(400));
        assert_eq!(parsed("GET / HTTP/2.0\r\nHost: x\r\n\r\n").map_err(BadHead::status), Err(505));
        assert_eq!(parsed("\u{16}\u{3}\u{1}").map_err(BadHead::status), Err(400));
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(parsed(&long).map_err(BadHead::status), Err(431));
        let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(70));
        assert_eq!(parsed(&many).map_err(BadHead::status), Err(431));
    }

    #[test]
    fn connections_are_kept_as_the_client_wishes() {
        for (text, kept) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(parsed(text).expect("a head").expect("complete").0.keep_alive, kept, "{text}");
        }
    }

    #[test]
    fn forms_are_decoded() {
        let form = "event=OutgoingCall&to=%2B7495&name=%D0%90+b&bad=%zz&cut=%2&latin=%FF&empty=&flag".as_bytes();
        let value = |name| form_value(form, name, Plus::IsSpace);
        assert_eq!(value("to").as_deref(), Some("+7495"));
        assert_eq!(value("name").as_deref(), Some("А b"));
        assert_eq!((value("bad"), value("cut"), value("latin"), value("no")), (None, None, None, None));
        assert_eq!((value("empty").as_deref(), value("flag").as_deref()), (Some(""), Some("")));
        assert_eq!(form_value(b"to=+7495", "to", Plus::IsPlus).as_deref(), Some("+7495"));
    }
}
