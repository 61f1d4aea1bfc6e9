//! One conversation with Asterisk as a state machine: bytes, answers and time in, bytes and questions out. No I/O.
//!
//! ```text
//! Prelude ─▶ (NamingCrm) ─▶ (Asking) ─▶ Setting ─▶ over
//!    └──────────┴───────────────┴─────────┴─▶ Leaving: one last word, then only waiting for the other side to close
//! ```

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::clerks::{Said, What};
use super::protocol::{self, ANSWER_BYTES_MAX, Answer, PRELUDE_BYTES_MAX, Prelude, PreludeReader};
use super::script::{self, Assignment, Knowledge, Request, STATUS, Script, Status};
use super::settings::CallerIds;
use super::{Identified, Office, Place};
use crate::asterisk::{PbxId, Uniqueid};
use crate::client::{Inquiry, LookUp};

/// The last word goes out this much before the budget is over.
const RESERVE_PER_CENT: u32 = 5;

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The dialplan was told.
    Told(Status),
    /// Asterisk or the caller was gone first.
    HungUp,
    /// Whoever it was spoke no AGI.
    NotAgi,
    /// Asterisk said too little in time.
    Unheard,
    /// Refused at once.
    Busy,
}

/// What a session wants after it was told something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    /// To hear more.
    Wait,
    /// To have this asked, until [`Session::answer_by`].
    Ask(Vec<(What, Inquiry)>),
    /// To send what is in `out` and to be closed once the other side has closed, or at the deadline.
    Leave(End),
    /// To be closed now.
    Over(End),
}

/// A connection's conversation.
#[derive(Debug)]
pub struct Session {
    /// To be sent.
    pub out: Vec<u8>,
    /// The beginning of a line whose end has not come.
    tail: Vec<u8>,
    phase: Phase,
    peer: IpAddr,
    began: Instant,
    budget: Duration,
    /// For the log: which call.
    call: String,
}

#[derive(Debug)]
enum Phase {
    Prelude(PreludeReader),
    /// Which CRM, says the variable.
    NamingCrm(Box<(Request, Prelude)>),
    Asking(Box<Asking>),
    Setting {
        left: std::vec::IntoIter<Assignment>,
        status: Status,
    },
    Leaving(End),
}

#[derive(Debug)]
struct Asking {
    pbx: PbxId,
    uniqueid: String,
    script: Script,
    /// `None` while the CRM is being asked.
    known: Option<Knowledge>,
    /// `None` while the history is being asked.
    presented: Option<Vec<String>>,
}

impl Session {
    /// A connection was accepted.
    pub fn new(peer: IpAddr, now: Instant, budget: Duration) -> Self {
        let phase = Phase::Prelude(PreludeReader::default());
        Self { out: Vec::new(), tail: Vec::new(), phase, peer, began: now, budget, call: String::new() }
    }

    /// A connection too many.
    pub fn refused(peer: IpAddr, now: Instant, budget: Duration) -> Self {
        let mut session = Self::new(peer, now, budget);
        let _leave = session.last_word(Status::Error, End::Busy);
        session
    }

    /// Whether Asterisk has not yet said all it says by itself.
    pub fn is_in_prelude(&self) -> bool {
        matches!(self.phase, Phase::Prelude(_))
    }

    /// When it is over, whatever happens.
    pub fn deadline(&self) -> Instant {
        self.began + self.budget - self.budget * RESERVE_PER_CENT / 100
    }

    /// Until when a question may take.
    pub fn answer_by(&self) -> Instant {
        self.began + self.budget / 2
    }

    /// When [`Session::time`] wants to be called.
    pub fn next_deadline(&self) -> Instant {
        if matches!(self.phase, Phase::Asking(_)) { self.answer_by() } else { self.deadline() }
    }

    /// Bytes came.
    pub fn received(&mut self, mut bytes: &[u8], office: &Office, caller_ids: &CallerIds) -> Turn {
        let mut turn = Turn::Wait;
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            let line = &bytes[..end];
            bytes = &bytes[end + 1..];
            let whole;
            let line = if self.tail.is_empty() {
                line
            } else {
                self.tail.extend_from_slice(line);
                whole = std::mem::take(&mut self.tail);
                &whole
            };
            match self.line(line.strip_suffix(b"\r").unwrap_or(line), office, caller_ids) {
                Turn::Wait => {}
                Turn::Ask(questions) => turn = Turn::Ask(questions),
                last => return last,
            }
        }
        let room = if matches!(self.phase, Phase::Prelude(_)) { PRELUDE_BYTES_MAX } else { ANSWER_BYTES_MAX };
        if matches!(self.phase, Phase::Leaving(_)) {
            return turn;
        }
        if self.tail.len() + bytes.len() > room {
            return self.last_word(Status::Error, End::NotAgi);
        }
        self.tail.extend_from_slice(bytes);
        turn
    }

    fn line(&mut self, line: &[u8], office: &Office, caller_ids: &CallerIds) -> Turn {
        if let Phase::Prelude(reader) = &mut self.phase {
            return match reader.line(line) {
                Ok(None) => Turn::Wait,
                Ok(Some(prelude)) => self.requested(prelude, office, caller_ids),
                Err(_) => self.last_word(Status::Error, End::NotAgi),
            };
        }
        if matches!(self.phase, Phase::Leaving(_)) {
            return Turn::Wait;
        }
        let answer = match protocol::answer(line) {
            Ok(Answer::More) => return Turn::Wait,
            Ok(Answer::Gone) => return Turn::Over(End::HungUp),
            Ok(Answer::Refused) => {
                log::warn!("{}: Asterisk does not take a command: {}", self.call, String::from_utf8_lossy(line));
                None
            }
            Ok(Answer::Done(value)) => value,
            Err(_) => return self.last_word(Status::Error, End::NotAgi),
        };
        match std::mem::replace(&mut self.phase, Phase::Leaving(End::NotAgi)) {
            Phase::NamingCrm(asked) => {
                let (request, prelude) = *asked;
                let named = answer.filter(|name| !name.is_empty());
                self.routed(request, &prelude, named, office, caller_ids)
            }
            Phase::Setting { left, status } => self.set_next(left, status),
            // Nobody has asked Asterisk anything now; it may say what it likes.
            other => {
                self.phase = other;
                Turn::Wait
            }
        }
    }

    fn requested(&mut self, prelude: Prelude, office: &Office, caller_ids: &CallerIds) -> Turn {
        self.call = prelude.uniqueid.clone();
        let request = match Request::read(&prelude) {
            Ok(request) => request,
            Err(name) => {
                let name = script::plain(&name);
                log::warn!("{}: the dialplan asks for {name:?}; there are responsible, client and callerid", self.call);
                return self.set_all(Status::Error, vec![(STATUS, Status::Error.word().to_owned())]);
            }
        };
        if request.crm.is_none() && office.crms.len() > 1 {
            protocol::get_variable(&mut self.out, "PINCONNECTOR_CRM");
            self.phase = Phase::NamingCrm(Box::new((request, prelude)));
            return Turn::Wait;
        }
        let named = request.crm.clone();
        self.routed(request, &prelude, named, office, caller_ids)
    }

    /// Everything about the question is known; now the answer.
    fn routed(
        &mut self,
        request: Request,
        prelude: &Prelude,
        named: Option<String>,
        office: &Office,
        caller_ids: &CallerIds,
    ) -> Turn {
        let pbx = request.pbx.as_ref().map_or_else(
            || office.pbxs.iter().find(|pbx| pbx.hosts.contains(&self.peer)).or(office.pbxs.first()),
            |name| office.pbxs.iter().find(|pbx| pbx.name == *name),
        );
        let (pbx, pbx_name) = pbx.map_or((PbxId::default(), ""), |pbx| (pbx.id, pbx.name.as_str()));
        self.call = format!("{pbx_name}-{}", prelude.uniqueid);
        let mut asking = Asking {
            pbx,
            uniqueid: prelude.uniqueid.clone(),
            script: request.script,
            known: None,
            presented: Some(Vec::new()),
        };
        let crm = match named {
            Some(name) if office.crms.contains(&name) => Some(name),
            Some(name) => {
                log::warn!("{}: the dialplan names a CRM {:?} that is not configured", self.call, script::plain(&name));
                return self.decide(asking, Knowledge::Failed, office, caller_ids);
            }
            None if office.crms.len() == 1 => Some(office.crms[0].clone()),
            None => {
                let did = request.did.as_deref();
                (office.route)(&Place { pbx: pbx_name, did, context: &prelude.context })
            }
        };
        let inquiry = Inquiry {
            crm: crm.clone().unwrap_or_default(),
            pbx: pbx_name.to_owned(),
            // The directory is the office's: a number as another country writes it is put into international form first.
            number: match office.numbers.own.get(&pbx.0).and_then(|own| own.normalize(&request.number).e164) {
                Some(e164) => e164.to_string(),
                None => request.number,
            },
            did: request.did,
            from: request.from,
        };
        let keys = office.numbers.office.match_keys(&inquiry.number);
        if keys.e164.is_none() && keys.exact.is_none() {
            // Withheld, or no number at all: nobody's, and no CRM is asked for it.
            return self.decide(asking, Knowledge::Unknown, office, caller_ids);
        }
        let mut questions = Vec::new();
        // A call that belongs to no CRM is nobody's.
        let looked_up = if crm.is_some() { (office.look_up)(&inquiry) } else { LookUp::Nobody };
        match looked_up {
            LookUp::Found(found) => {
                if found.stale_s > 0 {
                    let (stale_s, crm) = (found.stale_s, &inquiry.crm);
                    log::info!("{}: answered from the directory; {crm} confirms nothing since {stale_s} s", self.call);
                }
                asking.known = Some(Knowledge::Found(found));
            }
            LookUp::Nobody => asking.known = Some(Knowledge::Unknown),
            LookUp::Miss => questions.push((What::Client, inquiry.clone())),
        }
        if request.script == Script::CallerId && caller_ids.has_choice() {
            let by_crm =
                asking.known.as_ref().and_then(|known| script::by_crm(known, caller_ids, &office.numbers.office));
            if by_crm.is_none() {
                asking.presented = None;
                questions.push((What::Presented, inquiry));
            }
        }
        if questions.is_empty() {
            let known = asking.known.take().unwrap_or(Knowledge::Unknown);
            return self.decide(asking, known, office, caller_ids);
        }
        self.phase = Phase::Asking(Box::new(asking));
        Turn::Ask(questions)
    }

    /// The other side has closed: what that means for how it ended.
    pub fn end_if_closed(&self) -> End {
        match self.phase {
            Phase::Leaving(end) => end,
            _ => End::HungUp,
        }
    }

    /// A clerk has answered. Late answers to a session that went on mean nothing.
    pub fn answered(&mut self, said: Said, office: &Office, caller_ids: &CallerIds) -> Turn {
        let Phase::Asking(asking) = &mut self.phase else { return Turn::Wait };
        match said {
            Said::Client(answer) => {
                asking.known = Some(match answer {
                    Ok(Some(found)) => Knowledge::Found(found),
                    Ok(None) => Knowledge::Unknown,
                    Err(why) => {
                        log::info!("{}: the directory does not know the caller, and the CRM: {why}", self.call);
                        Knowledge::NotInTime
                    }
                });
            }
            Said::Presented(numbers) => asking.presented = Some(numbers),
        }
        if asking.known.is_none() || asking.presented.is_none() {
            return Turn::Wait;
        }
        self.go_on(office, caller_ids)
    }

    /// A question found no clerk.
    pub fn not_asked(&mut self, what: What, office: &Office, caller_ids: &CallerIds) -> Turn {
        let said = match what {
            What::Client => Said::Client(Err("too many questions at once".to_owned())),
            What::Presented => Said::Presented(Vec::new()),
        };
        self.answered(said, office, caller_ids)
    }

    /// Time has come to [`Session::next_deadline`].
    pub fn time(&mut self, now: Instant, office: &Office, caller_ids: &CallerIds) -> Turn {
        if now >= self.deadline() {
            return match self.phase {
                Phase::Leaving(end) => Turn::Over(end),
                Phase::Prelude(_) | Phase::NamingCrm(_) | Phase::Setting { .. } | Phase::Asking(_) => {
                    let _leave = self.last_word(Status::Timeout, End::Unheard);
                    Turn::Over(End::Unheard)
                }
            };
        }
        if matches!(self.phase, Phase::Asking(_)) && now >= self.answer_by() {
            log::info!("{}: no answer in time; the dialplan goes on with what is known", self.call);
            return self.go_on(office, caller_ids);
        }
        Turn::Wait
    }

    /// With what is known by now.
    fn go_on(&mut self, office: &Office, caller_ids: &CallerIds) -> Turn {
        match std::mem::replace(&mut self.phase, Phase::Leaving(End::NotAgi)) {
            Phase::Asking(mut asking) => {
                let known = asking.known.take().unwrap_or(Knowledge::NotInTime);
                self.decide(*asking, known, office, caller_ids)
            }
            other => {
                self.phase = other;
                Turn::Wait
            }
        }
    }

    fn decide(&mut self, asking: Asking, known: Knowledge, office: &Office, caller_ids: &CallerIds) -> Turn {
        if let Knowledge::Found(found) = &known {
            let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(Into::into);
            (office.identified)(Identified {
                pbx: asking.pbx,
                uniqueid: Uniqueid::new(&asking.uniqueid),
                client_id: text(&found.client.id),
                client_name: text(&found.client.name),
            });
        }
        let (status, variables) = match asking.script {
            Script::CallerId => {
                let presented = asking.presented.unwrap_or_default();
                script::caller_id(&known, &presented, caller_ids, &office.numbers.office)
            }
            script => script::responsible(script, &known, office.numbers.at(asking.pbx.0)),
        };
        log::debug!("{}: {:?} is answered {}", self.call, asking.script, status.word());
        self.set_all(status, variables)
    }

    fn set_all(&mut self, status: Status, variables: Vec<Assignment>) -> Turn {
        self.set_next(variables.into_iter(), status)
    }

    fn set_next(&mut self, mut left: std::vec::IntoIter<Assignment>, status: Status) -> Turn {
        match left.next() {
            Some((name, value)) => {
                protocol::set_variable(&mut self.out, name, &value);
                self.phase = Phase::Setting { left, status };
                Turn::Wait
            }
            None => Turn::Over(End::Told(status)),
        }
    }

    /// Asterisk is not waited for any more; the status must be set all the same.
    fn last_word(&mut self, status: Status, end: End) -> Turn {
        self.tail = Vec::new();
        let is_status_out = matches!(&self.phase, Phase::Setting { left, .. } if left.len() == 0);
        if !is_status_out {
            protocol::set_variable(&mut self.out, STATUS, status.word());
        }
        self.phase = Phase::Leaving(end);
        Turn::Leave(end)
    }
}
