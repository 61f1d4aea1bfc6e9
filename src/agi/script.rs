//! The scripts of the dialplan: what is asked, and which variables follow from what was found. Pure.
//!
//! | script | sets |
//! |---|---|
//! | `responsible` | `RESPONSIBLE`, `RESPONSIBLE_GROUP`, `CLIENT_NAME`, `CLIENT_ID`, `CLIENT_MODULE` |
//! | `client` | the same, and `CALLERID(name)` where the name is known |
//! | `callerid` | `OUTGOING_CALLERID` |
//!
//! and each of them `PINCONNECTOR_STATUS`, last. All of a script's variables are set each time, so that nothing of an earlier
//! question stays. What a CRM says is a stranger's text: a value keeps only what can mean nothing to a dialplan.

use super::protocol::{Prelude, VALUE_BYTES_MAX, cut};
use super::settings::CallerIds;
use crate::client::Found;
use crate::phone::Numbers;

/// Which script was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    Responsible,
    Client,
    CallerId,
}

/// What the dialplan asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub script: Script,
    /// The client's number; empty if nobody knows it.
    pub number: String,
    pub did: Option<String>,
    /// The extension that calls.
    pub from: Option<String>,
    pub crm: Option<String>,
    pub pbx: Option<String>,
}

/// How it went; the dialplan reads it in `PINCONNECTOR_STATUS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok,
    /// The number is nobody's.
    NotFound,
    /// The client is known, but neither his manager nor the deputy is on duty.
    Absent,
    /// The directory does not know the number, and the CRM did not answer in time.
    Timeout,
    Error,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NotFound => "NOTFOUND",
            Self::Absent => "ABSENT",
            Self::Timeout => "TIMEOUT",
            Self::Error => "ERROR",
        }
    }
}

/// What is known of a number when the dialplan must be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Knowledge {
    Found(Box<Found>),
    /// It is nobody's.
    Unknown,
    /// Nobody could say in time.
    NotInTime,
    /// The question could not be asked.
    Failed,
}

/// The variable that is set last, always.
pub const STATUS: &str = "PINCONNECTOR_STATUS";

/// A variable and its value.
pub type Assignment = (&'static str, String);

impl Request {
    /// Reads the script's name and arguments: `responsible?number=…&did=…`, or `AGI(agi://host/responsible,number=…)`,
    /// or in order (`responsible`, `client`: number, did; `callerid`: to, from).
    ///
    /// # Errors
    /// The name, if there is no such script.
    pub fn read(prelude: &Prelude) -> Result<Self, String> {
        let whole = prelude.script.trim_start_matches('/');
        let (name, query) = whole.split_once('?').unwrap_or((whole, ""));
        let script = match name.trim_end_matches('/') {
            "responsible" => Script::Responsible,
            "client" => Script::Client,
            "callerid" => Script::CallerId,
            other => return Err(other.to_owned()),
        };
        let mut given = Given::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            given.set(key, unescape(value));
        }
        let in_order: [&str; 2] = if script == Script::CallerId { ["to", "from"] } else { ["number", "did"] };
        for (nth, argument) in prelude.arguments.iter().enumerate() {
            match argument.split_once('=') {
                Some((key, value)) => given.set(key.trim(), value.trim().to_owned()),
                None => {
                    if let Some(key) = in_order.get(nth) {
                        given.set(key, argument.trim().to_owned());
                    }
                }
            }
        }
        let or = |given: Option<String>, known: &str| given.or_else(|| (!known.is_empty()).then(|| known.to_owned()));
        let (number, did, from) = match script {
            // In a Gosub the extension is `s`; what was dialled is in the DNID then.
            Script::CallerId => {
                let dialled = if prelude.dnid.is_empty() { &prelude.extension } else { &prelude.dnid };
                (or(given.to.or(given.number), dialled), given.did, or(given.from, &prelude.callerid))
            }
            _ => (or(given.number, &prelude.callerid), or(given.did, &prelude.dnid), given.from),
        };
        let number = number.unwrap_or_default();
        Ok(Self { script, number, did, from, crm: given.crm, pbx: given.pbx })
    }
}

#[derive(Default)]
struct Given {
    number: Option<String>,
    did: Option<String>,
    to: Option<String>,
    from: Option<String>,
    crm: Option<String>,
    pbx: Option<String>,
}

impl Given {
    /// Other keys mean nothing to us, and an empty value is none: `?to=${NOTSET}`.
    fn set(&mut self, key: &str, value: String) {
        let place = match key {
            "number" => &mut self.number,
            "did" => &mut self.did,
            "to" => &mut self.to,
            "from" => &mut self.from,
            "crm" => &mut self.crm,
            "pbx" => &mut self.pbx,
            _ => return,
        };
        *place = Some(value).filter(|value| !value.is_empty());
    }
}

/// Resolves `%2B`. A plus stays a plus: in a query about telephone numbers it never means a space.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).expect("two hex digits are a byte"));
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// What to set for `responsible` and `client`, the status last.
pub fn responsible(script: Script, known: &Knowledge, numbers: &Numbers) -> (Status, Vec<Assignment>) {
    let found = match known {
        Knowledge::Found(found) => Some(&**found),
        Knowledge::Unknown | Knowledge::NotInTime | Knowledge::Failed => None,
    };
    let extension = found.and_then(|f| f.responsible.as_deref()).and_then(token).filter(|e| numbers.is_extension(e));
    let status = match (known, &extension) {
        (Knowledge::Found(_), Some(_)) => Status::Ok,
        (Knowledge::Found(_), None) => Status::Absent,
        _ => status_of(known),
    };
    let name = found.map(|found| plain(&found.client.name)).unwrap_or_default();
    let word = |text: Option<&str>| text.and_then(token).unwrap_or_default().to_owned();
    let mut variables = vec![
        ("RESPONSIBLE", word(extension)),
        ("RESPONSIBLE_GROUP", word(found.and_then(|f| f.group.as_deref()))),
        ("CLIENT_ID", word(found.map(|f| f.client.id.as_str()))),
        ("CLIENT_MODULE", word(found.map(|f| f.client.module.as_str()))),
    ];
    if script == Script::Client && !name.is_empty() {
        variables.push(("CALLERID(name)", name.clone()));
    }
    variables.push(("CLIENT_NAME", name));
    variables.push((STATUS, status.word().to_owned()));
    (status, variables)
}

/// What to set for `callerid`, the status last. `presented` are the numbers of ours in earlier calls with this
/// client, the latest first.
pub fn caller_id(
    known: &Knowledge,
    presented: &[String],
    caller_ids: &CallerIds,
    numbers: &Numbers,
) -> (Status, Vec<Assignment>) {
    let listed = |wanted: &str| caller_ids.listed(numbers, wanted);
    let by_crm = by_crm(known, caller_ids, numbers);
    let by_history = || presented.iter().find_map(|number| listed(number));
    let shown = by_crm.or_else(by_history).or(caller_ids.default()).unwrap_or_default();
    let status = match known {
        Knowledge::Found(_) => Status::Ok,
        _ if !presented.is_empty() => Status::Ok,
        _ => status_of(known),
    };
    (status, vec![("OUTGOING_CALLERID", shown.to_owned()), (STATUS, status.word().to_owned())])
}

/// The number that the client's card, else his manager's group, asks for, if it is one of ours.
pub fn by_crm<'a>(known: &Knowledge, caller_ids: &'a CallerIds, numbers: &Numbers) -> Option<&'a str> {
    let Knowledge::Found(found) = known else { return None };
    let wanted = [found.client.caller_id.as_deref(), found.group_caller_id.as_deref()];
    wanted.into_iter().flatten().find_map(|wanted| caller_ids.listed(numbers, wanted))
}

fn status_of(known: &Knowledge) -> Status {
    match known {
        Knowledge::Found(_) => Status::Ok,
        Knowledge::Unknown => Status::NotFound,
        Knowledge::NotInTime => Status::Timeout,
        Knowledge::Failed => Status::Error,
    }
}

/// A name for a display, in letters that mean nothing to a dialplan, wherever it puts them.
///
/// Substitution comes before parsing there: `,` `(` `)` `?` `:` would begin another argument or application
/// (`ExecIf(…?Set(N=${CLIENT_NAME}))`), quotes and brackets end an expression, `$`, `;`, `|`, `` ` ``, `<`, `>` are for the
/// shell behind `System()`. They become spaces, `&` a `+`, a straight apostrophe a curved one.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len().min(VALUE_BYTES_MAX));
    for c in text.chars().take(VALUE_BYTES_MAX) {
        let kept = match c {
            '&' => '+',
            '\'' | '`' => '’',
            '"' => '”',
            _ if c.is_alphanumeric() || ".-_+/@#*%№«»“”„–—’".contains(c) || is_combining(c) => c,
            _ => ' ',
        };
        if kept != ' ' || (!plain.is_empty() && !plain.ends_with(' ')) {
            plain.push(kept);
        }
    }
    cut(&plain, VALUE_BYTES_MAX).trim_end().to_owned()
}

/// `й` may be written as `и` and a breve.
fn is_combining(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

/// An id or extension as it is; one that holds anything strange is no value at all, since a part of it is another one.
fn token(text: &str) -> Option<&str> {
    let is_token =
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.+*#".contains(&b));
    is_token.then_some(text)
}
