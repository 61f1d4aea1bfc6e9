//! An Asterisk that asks, played over a real socket, and an office that answers.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use pinconnector::agi::{self, Agi, AgiSettings, Clerk, Identified, Limits, Office, Pbx};
use pinconnector::asterisk::PbxId;
use pinconnector::client::{Client, Found, Inquiry, LookUp};
use pinconnector::phone::{Numbers, NumbersSettings, PbxNumbers};

pub const OURS: [&str; 2] = ["+74951234500", "+74951234531"];

pub fn numbers() -> Arc<Numbers> {
    let settings = NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() };
    Arc::new(Numbers::new(&settings).expect("good"))
}

pub fn pbx_numbers() -> PbxNumbers {
    PbxNumbers { office: numbers(), own: BTreeMap::new() }
}

pub fn settings() -> AgiSettings {
    AgiSettings {
        listen: vec!["127.0.0.1:0".to_owned()],
        caller_ids: OURS.map(str::to_owned).to_vec(),
        default_caller_id: Some(OURS[1].to_owned()),
        ..AgiSettings::default()
    }
}

pub fn limits(settings: &AgiSettings) -> Limits {
    settings.check(&numbers()).expect("good settings")
}

pub fn ivan() -> Found {
    let text = |text: &str| Some(text.to_owned());
    let client = Client {
        module: "Contacts".to_owned(),
        id: "4012".to_owned(),
        name: "Иван Петров".to_owned(),
        user: text("5"),
        caller_id: text(OURS[0]),
        contacted_at_s: 0,
    };
    Found { client, responsible: text("101"), group: text("3"), ..Found::default() }
}

/// What the CRM does when it is asked live.
#[derive(Clone)]
pub enum Crm {
    Says(Option<Found>),
    /// Answers once the receiver is disconnected, if ever.
    Hangs(Receiver<()>),
    Fails,
}

pub struct Played {
    pub crm: Crm,
    pub presented: Vec<String>,
}

impl Clerk for Played {
    fn ask_crm(&mut self, _: &Inquiry, _: Duration) -> Result<Option<Found>, String> {
        match &self.crm {
            Crm::Says(found) => Ok(found.clone()),
            Crm::Hangs(until) => {
                let _ = until.recv();
                Ok(Some(ivan()))
            }
            Crm::Fails => Err("connection refused".to_owned()),
        }
    }

    fn presented(&mut self, _: &Inquiry) -> Vec<String> {
        self.presented.clone()
    }
}

/// An office whose directory knows +7 916 123-45-67, the live CRM whatever `crm` says.
pub fn office(crm: Crm) -> (Office, Receiver<Identified>) {
    let (told, identified): (Sender<Identified>, _) = unbounded();
    let office = Office {
        numbers: pbx_numbers(),
        crms: vec!["vtiger".to_owned()],
        pbxs: vec![Pbx { id: PbxId(0), name: "msk".to_owned(), hosts: Vec::new() }],
        route: Box::new(|_| None),
        look_up: Box::new(|inquiry| {
            if numbers().same_client(&inquiry.number, "+79161234567") {
                LookUp::Found(Box::new(ivan()))
            } else {
                LookUp::Miss
            }
        }),
        clerk: Box::new(move || Box::new(Played { crm: crm.clone(), presented: vec!["+74951234500".to_owned()] })),
        identified: Box::new(move |who| drop(told.send(who))),
    };
    (office, identified)
}

pub fn start(settings: &AgiSettings, crm: Crm) -> (Agi, Receiver<Identified>) {
    let (office, identified) = office(crm);
    (agi::spawn(limits(settings), office).expect("it listens"), identified)
}

/// One channel in the dialplan's `AGI()`.
pub struct Asterisk {
    pub stream: TcpStream,
    lines: BufReader<TcpStream>,
    /// What was set, in order.
    pub set: Vec<(String, String)>,
    /// Asked by `GET VARIABLE PINCONNECTOR_CRM`.
    pub crm: Option<String>,
}

pub fn prelude(script: &str, callerid: &str) -> String {
    format!(
        "agi_network: yes\nagi_network_script: {script}\nagi_request: agi://127.0.0.1:4573/{script}\n\
         agi_channel: PJSIP/trunk-msk-00000000\nagi_language: en\nagi_type: PJSIP\nagi_uniqueid: 1763805700.21\n\
         agi_version: 22.5.2\nagi_callerid: {callerid}\nagi_calleridname: unknown\nagi_callingpres: 0\nagi_callingani2: 0\n\
         agi_callington: 0\nagi_callingtns: 0\nagi_dnid: +74951234531\nagi_rdnis: unknown\nagi_context: from-trunk\n\
         agi_extension: s\nagi_priority: 2\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 140046\n\n"
    )
}

impl Asterisk {
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let lines = BufReader::new(stream.try_clone().expect("a socket"));
        Self { stream, lines, set: Vec::new(), crm: None }
    }

    pub fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("it listens");
    }

    /// The next command; `None` at the end.
    pub fn command(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end_matches('\n').to_owned()),
        }
    }

    /// Obeys until the other side closes.
    pub fn obey(&mut self) {
        while let Some(command) = self.command() {
            self.note(&command);
            let answer = match (&self.crm, command.starts_with("GET VARIABLE")) {
                (Some(crm), true) => format!("200 result=1 ({crm})\n"),
                (None, true) => "200 result=0\n".to_owned(),
                _ => "200 result=1\n".to_owned(),
            };
            // The last command may not be waited for.
            let _ = self.stream.write_all(answer.as_bytes());
        }
    }

    pub fn note(&mut self, command: &str) {
        if let Some((name, value)) = command.strip_prefix("SET VARIABLE ").and_then(|rest| rest.split_once(' ')) {
            self.set.push((name.to_owned(), value.trim_matches('"').to_owned()));
        }
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.set.iter().rev().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    pub fn status(&self) -> Option<&str> {
        self.value("PINCONNECTOR_STATUS")
    }

    /// Everything until the end, as bytes.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        let _ = self.lines.read_to_string(&mut rest);
        rest
    }
}

/// A whole session.
pub fn ask(to: SocketAddr, script: &str, callerid: &str) -> Asterisk {
    let mut asterisk = Asterisk::connect(to);
    asterisk.say(&prelude(script, callerid));
    asterisk.obey();
    asterisk
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "{what}: not within 20 s");
        std::thread::yield_now();
    }
}
