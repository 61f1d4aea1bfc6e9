//! What a failure means: of one record, or of the whole CRM, and in words an operator can act on. Pure.
//!
//! 400, 413 and 422 blame the request, and so at last one record of it. Everything else (401, 403, 404, redirects, 5xx,
//! TLS, silence, an answer that is not what was agreed) is a fault of the CRM: nothing is parked, everything waits.

use std::borrow::Cow;
use std::fmt;

use crate::clock;
use crate::outbox::Outcome;
use crate::sign::MAX_CLOCK_DIFFERENCE_S;

/// An answer in HTTP, whatever it says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    /// Where a redirect points.
    pub location: Option<String>,
    /// `Retry-After` as it stands.
    pub retry_after: Option<String>,
    /// The other side's clock: its `Date` header.
    pub date_ms: Option<i64>,
    /// Our clock when the answer had come.
    pub received_ms: i64,
    pub body: Vec<u8>,
}

/// Why no answer came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoAnswer {
    /// The name has no address, or nobody to ask for it.
    Name(String),
    /// No connection: refused, unreachable.
    Connection(String),
    /// No trust, or no TLS on the other side.
    Tls(String),
    /// Connected, but silent or too slow.
    Silence(String),
    /// It ended the connection in the middle.
    Closed,
    /// It answered more than anybody could want to say.
    TooLarge { limit_bytes: u64 },
    /// It answered in something that is not HTTP.
    NotHttp(String),
    /// We are stopping.
    Stopped,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "its name cannot be resolved: {why}"),
            Self::Connection(why) => write!(f, "no connection: {why}"),
            Self::Tls(why) => write!(f, "no secure connection: {why}"),
            Self::Silence(why) => f.write_str(why),
            Self::Closed => f.write_str("it closed the connection before its answer was complete"),
            Self::TooLarge { limit_bytes } => write!(f, "its answer is larger than {limit_bytes} bytes"),
            Self::NotHttp(why) => write!(f, "its answer is not HTTP: {why}"),
            Self::Stopped => f.write_str("given up, as the connector is stopping"),
        }
    }
}

/// What went wrong, by whom it concerns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// This request cannot be taken as it is.
    Request { why: String },
    /// The CRM cannot take anything now.
    Crm { why: String, retry_after_s: Option<u32> },
}

impl Fault {
    /// A fault of the CRM without a hint when to come back.
    pub fn crm(why: impl Into<String>) -> Self {
        Self::Crm { why: why.into(), retry_after_s: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { why } | Self::Crm { why, .. } => f.write_str(why),
        }
    }
}

impl From<NoAnswer> for Fault {
    fn from(none: NoAnswer) -> Self {
        Self::crm(none.to_string())
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Request { why } => Self::BatchRefused { why },
            Fault::Crm { why, retry_after_s } => Self::CrmDown { why, retry_after_s },
        }
    }
}

/// Judges the status alone, for interfaces whose answers have no form of their own.
///
/// # Errors
/// The [`Fault`] of every status but 2xx.
pub fn judge_status(answer: &Answer) -> Result<(), Fault> {
    match answer.status {
        200..=299 => Ok(()),
        400 | 413 | 422 if !answer.is_web_servers_own() => {
            Err(Fault::Request { why: format!("{}: {}", answer.status, answer.said()) })
        }
        _ => Err(answer.fault_of_crm()),
    }
}

impl Answer {
    /// This answer as a fault of the whole CRM, explained.
    pub fn fault_of_crm(&self) -> Fault {
        let Self { status, .. } = self;
        let said = self.said();
        let why = match status {
            200..=299 => format!("it answered {status} with {said}"),
            300..=399 => match &self.location {
                Some(to) => format!("{status}: it redirects to {to}; if that is right, set url to it"),
                None => format!("{status}: it redirects, but not where to"),
            },
            400 => {
                format!("400: {said}; the web server took it for no request of its own: http:// instead of https://?")
            }
            401 => format!("401: it does not accept our signature ({said}); do name and secret agree on both sides?"),
            403 => {
                format!("403: forbidden ({said}); is this connector switched off there, or does a firewall refuse it?")
            }
            404 | 410 => format!("{status}: nothing at this address ({said}); is url right and the module installed?"),
            405 => format!("405: this address takes no POST ({said}); is url right?"),
            408 | 504 => format!("{status}: it took too long for itself ({said})"),
            429 => format!("429: we ask too much of it ({said})"),
            500 if self.body.is_empty() => {
                "500 with an empty body: PHP died, or vTiger's database refuses it; the web \
                                            server's and PHP's own logs know more"
                    .to_owned()
            }
            502 | 503 => format!("{status}: it is not there at the moment ({said})"),
            500..=599 => format!("{status}: it failed ({said})"),
            _ => format!("{status}: {said}"),
        };
        let why = match self.clocks() {
            Some(clocks) if matches!(status, 401 | 403) => format!("{why}; {clocks}"),
            _ => why,
        };
        Fault::Crm { why, retry_after_s: self.retry_after_s() }
    }

    /// Both clocks, if they are too far apart for a signature to be accepted.
    fn clocks(&self) -> Option<String> {
        let date_ms = self.date_ms?;
        if date_ms.abs_diff(self.received_ms) <= MAX_CLOCK_DIFFERENCE_S.unsigned_abs() * 1000 {
            return None;
        }
        let (theirs, ours) = (clock::rfc3339(date_ms), clock::rfc3339(self.received_ms));
        Some(format!("its clock says {theirs}, ours {ours}: a signature is good for {MAX_CLOCK_DIFFERENCE_S} s"))
    }

    /// When it asks us to come back, within bounds: a CRM may slow us down, but not send us away for a day.
    fn retry_after_s(&self) -> Option<u32> {
        const LONGEST_S: i64 = 3600;
        let text = self.retry_after.as_deref()?.trim();
        let wait_s = match text.parse::<i64>() {
            Ok(seconds) => seconds,
            // A date is meant on its clock.
            Err(_) => (parse_http_date(text)? - self.date_ms.unwrap_or(self.received_ms)) / 1000,
        };
        u32::try_from(wait_s.clamp(1, LONGEST_S)).ok()
    }

    /// nginx and Apache answer 400 themselves to plain HTTP on their TLS port and to a broken proxy between: that is no
    /// word about a record.
    fn is_web_servers_own(&self) -> bool {
        let text = self.text();
        self.status == 400
            && is_html(&text)
            && ["plain HTTP request was sent to HTTPS", "speaking plain HTTP to an SSL", "<hr><center>", "<address>"]
                .iter()
                .any(|mark| text.contains(mark))
    }

    /// A page that asks a person to log in: nobody read what we sent.
    pub fn is_login_page(&self) -> bool {
        let text = self.text().to_ascii_lowercase();
        is_html(&text) && ["type=\"password\"", "type='password'", "type=password"].iter().any(|m| text.contains(m))
    }

    /// What it said, short: the message of a JSON answer, the title of a page, or the first words.
    pub fn said(&self) -> String {
        let text = self.text();
        let text = text.trim();
        if text.is_empty() {
            return "an empty answer".to_owned();
        }
        if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text)
            && let Some(serde_json::Value::String(message)) =
                ["message", "error"].iter().find_map(|key| object.get(*key))
        {
            return shorten(message, 300);
        }
        if let Some(end) = text.find("Fatal error").or_else(|| text.find("Parse error")) {
            return format!("a PHP error: {}", shorten(&without_tags(&text[end..]), 200));
        }
        if is_html(text) {
            let what = if self.is_login_page() { "a login page" } else { "an HTML page" };
            return match title(text) {
                Some(title) => format!("{what} «{}»", shorten(&title, 80)),
                None => what.to_owned(),
            };
        }
        shorten(text, 160)
    }

    /// The body as text, as far as anybody would read it.
    pub fn text(&self) -> Cow<'_, str> {
        const ENOUGH: usize = 16 << 10;
        String::from_utf8_lossy(&self.body[..self.body.len().min(ENOUGH)])
    }
}

/// Milliseconds since 1970 of a time as HTTP writes it (`Sun, 22 Nov 2026 10:00:00 GMT`).
pub(super) fn parse_http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(jiff::Timestamp::as_millisecond)
}

/// At most `chars` characters on one line.
pub(super) fn shorten(text: &str, chars: usize) -> String {
    let mut short = String::with_capacity(text.len().min(4 * chars));
    for (count, character) in text.split_whitespace().flat_map(|word| word.chars().chain([' '])).enumerate() {
        if count == chars {
            short.push('…');
            return short;
        }
        short.push(character);
    }
    short.truncate(short.trim_end().len());
    short
}

fn is_html(text: &str) -> bool {
    let start: String = text.trim_start_matches('\u{feff}').trim_start().chars().take(64).collect();
    let start = start.to_ascii_lowercase();
    [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<!--",
        "<br",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><!doctype html",
    ]
    .iter()
    .any(|mark| start.starts_with(mark))
}

fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    // ASCII lower-casing keeps every byte where it is.
    let title = shorten(&html[start..end], 200);
    (!title.is_empty()).then_some(title)
}

fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut within = false;
    for character in html.chars() {
        match character {
            '<' => within = true,
            '>' => within = false,
            c if !within => text.push(c),
            _ => {}
        }
    }
    text
}
