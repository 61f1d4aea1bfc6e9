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
    let shown = by_crm.or_else(by_history).or(caller_ids.usual()).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::phone::NumbersSettings;

    fn numbers() -> Numbers {
        Numbers::new(&NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() }).expect("good")
    }

    fn asked(script: &str, arguments: &[&str]) -> Result<Request, String> {
        Request::read(&Prelude {
            script: script.to_owned(),
            callerid: "+79161234567".to_owned(),
            dnid: "+74951234531".to_owned(),
            extension: "s".to_owned(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            ..Prelude::default()
        })
    }

    #[test]
    fn arguments_come_in_the_query_or_behind_it_or_from_the_channel() {
        let parts =
            |request: Request| (request.number, request.did.unwrap_or_default(), request.from.unwrap_or_default());
        let of = |script: &str, arguments: &[&str]| parts(asked(script, arguments).expect("a script"));
        let want = |number: &str, did: &str, from: &str| (number.to_owned(), did.to_owned(), from.to_owned());
        assert_eq!(of("responsible", &[]), want("+79161234567", "+74951234531", ""));
        assert_eq!(of("/responsible?number=%2B7916&did=12", &[]), want("+7916", "12", ""));
        assert_eq!(of("responsible?number=+7916", &[]), want("+7916", "+74951234531", ""));
        // A variable that was not set.
        assert_eq!(of("client?number=&did=", &[]), want("+79161234567", "+74951234531", ""));
        assert_eq!(of("client", &["89160000000"]), want("89160000000", "+74951234531", ""));
        assert_eq!(of("client", &["did=5", "number=89160000000"]), want("89160000000", "5", ""));
        assert_eq!(of("callerid?to=89165559004&from=284", &[]), want("89165559004", "", "284"));
        assert_eq!(of("callerid", &["89165559004", "284"]), want("89165559004", "", "284"));
        assert_eq!(of("callerid", &[]), want("+74951234531", "", "+79161234567"));
        assert_eq!(of("callerid?to=%zz%4&x=y&&=", &[]), want("%zz%4", "", "+79161234567"));
        assert_eq!(asked("dance?x", &[]), Err("dance".to_owned()));
        assert_eq!(asked("", &[]), Err(String::new()));
        let crm = asked("responsible?crm=second&pbx=msk", &[]).expect("a script");
        assert_eq!((crm.crm.as_deref(), crm.pbx.as_deref()), (Some("second"), Some("msk")));
    }

    fn found() -> Found {
        let client = Client {
            module: "Contacts".to_owned(),
            id: "4012".to_owned(),
            name: "ООО \"Ромашка\" & Ко".to_owned(),
            user: Some("5".to_owned()),
            caller_id: Some("+74951234500".to_owned()),
            contacted_at_s: 0,
        };
        let text = |text: &str| Some(text.to_owned());
        Found {
            client,
            responsible: text("101"),
            group: text("3"),
            group_caller_id: text("+74951234531"),
            ..Found::default()
        }
    }

    fn value<'a>(set: &'a [Assignment], name: &str) -> Option<&'a str> {
        set.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_status_is_the_last_word_whatever_is_known() {
        let numbers = numbers();
        let known = |change: fn(&mut Found)| {
            let mut found = found();
            change(&mut found);
            Knowledge::Found(Box::new(found))
        };
        for (known, want, extension) in [
            (known(|_| {}), Status::Ok, "101"),
            (known(|f| f.responsible = None), Status::Absent, ""),
            // No extension by the office's patterns, or worse.
            (known(|f| f.responsible = Some("9161234567".to_owned())), Status::Absent, ""),
            (known(|f| f.responsible = Some("10,tT)1".to_owned())), Status::Absent, ""),
            (Knowledge::Unknown, Status::NotFound, ""),
            (Knowledge::NotInTime, Status::Timeout, ""),
            (Knowledge::Failed, Status::Error, ""),
        ] {
            for script in [Script::Responsible, Script::Client] {
                let (status, set) = responsible(script, &known, &numbers);
                assert_eq!((status, set.last()), (want, Some(&(STATUS, want.word().to_owned()))));
                assert_eq!(value(&set, "RESPONSIBLE"), Some(extension));
                let names: Vec<_> =
                    set.iter().map(|(name, _)| *name).filter(|name| *name != "CALLERID(name)").collect();
                let all = ["RESPONSIBLE", "RESPONSIBLE_GROUP", "CLIENT_ID", "CLIENT_MODULE", "CLIENT_NAME", STATUS];
                assert_eq!(names, all, "whatever is known, all of them are set");
                let shows_name = script == Script::Client && matches!(known, Knowledge::Found(_));
                assert_eq!(value(&set, "CALLERID(name)").is_some(), shows_name);
            }
        }
        let (_, set) = responsible(Script::Client, &known(|_| {}), &numbers);
        assert_eq!(value(&set, "CALLERID(name)"), Some("ООО ”Ромашка” + Ко"));
        assert_eq!(value(&set, "CLIENT_ID"), Some("4012"));
        assert_eq!(value(&set, "RESPONSIBLE_GROUP"), Some("3"));
    }

    #[test]
    fn the_number_to_show_is_the_cards_the_groups_the_last_ones_or_the_default() {
        let numbers = numbers();
        let listed = ["+74951234500", "+74951234531", "+74951234599", "+78121111111"].map(str::to_owned);
        let ids = CallerIds::new(&numbers, &listed, Some("+74951234599"));
        let shown = |change: fn(&mut Found), presented: &[&str]| {
            let mut found = found();
            change(&mut found);
            let presented: Vec<_> = presented.iter().map(|&p| p.to_owned()).collect();
            let (status, set) = caller_id(&Knowledge::Found(Box::new(found)), &presented, &ids, &numbers);
            assert_eq!(status, Status::Ok);
            value(&set, "OUTGOING_CALLERID").expect("always set").to_owned()
        };
        assert_eq!(shown(|_| {}, &["+78121111111"]), "+74951234500");
        assert_eq!(shown(|f| f.client.caller_id = None, &["+78121111111"]), "+74951234531");
        // A CRM cannot make us show a foreign number.
        assert_eq!(shown(|f| f.client.caller_id = Some("+79990000000".to_owned()), &[]), "+74951234531");
        let neither = |f: &mut Found| (f.client.caller_id, f.group_caller_id) = (None, Some("102".to_owned()));
        assert_eq!(shown(neither, &["+79990000000", "88121111111"]), "+78121111111");
        assert_eq!(shown(neither, &[]), "+74951234599");
        let (status, set) = caller_id(&Knowledge::NotInTime, &[], &ids, &numbers);
        assert_eq!((status, value(&set, "OUTGOING_CALLERID")), (Status::Timeout, Some("+74951234599")));
        let (status, set) = caller_id(&Knowledge::Unknown, &[], &CallerIds::default(), &numbers);
        assert_eq!((status, value(&set, "OUTGOING_CALLERID")), (Status::NotFound, Some("")));
    }

    #[test]
    fn no_name_means_anything_to_a_dialplan_or_a_shell() {
        for (name, want) in [
            ("Иван Петров-Водкин", "Иван Петров-Водкин"),
            ("O'Brien & Co.", "O’Brien + Co."),
            ("${SHELL(rm -rf /)}", "SHELL rm -rf /"),
            ("x):System(touch /tmp/x", "x System touch /tmp/x"),
            ("a\",1)\r\nAction: Originate", "a” 1 Action Originate"),
            ("`id`; $[1+1] | <b>", "’id’ 1+1 b"),
            ("  many   \t spaces ", "many spaces"),
            ("и\u{306}\u{202e}\u{200b}x", "и\u{306} x"),
            ("\\\\", ""),
        ] {
            assert_eq!(plain(name), want, "{name:?}");
        }
        assert!(plain(&"я".repeat(10_000)).len() <= VALUE_BYTES_MAX);
        assert_eq!(
            (token("4012"), token("12x4012"), token("1 2"), token(""), token("1\"2")),
            (Some("4012"), Some("12x4012"), None, None, None)
        );
        assert_eq!(token(&"1".repeat(65)), None);
    }
}
