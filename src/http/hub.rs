//! Live events: what is going on now, and who listens to it. Owned by the desk; the gate carries the bytes.
//!
//! A new listener gets the present state first and then every change after it; both come from here, so that nothing falls
//! between. Each change is written once for all listeners of a kind. A listener that does not read is dropped by the gate.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::json;

use super::gate::{Mailbox, Post, Token};
use super::office::{CrmStatus, PbxStatus};
use crate::call::Record;
use crate::call::record::Moment;
use crate::phone::{E164, Numbers};

/// Listeners at once; the next is told 503.
pub const LISTENERS_MAX: usize = 400;
/// Records held for new listeners. More calls than this at once: the oldest is shown again with its next change.
const OPEN_MAX: usize = 5000;
/// Ids of finished records that were counted, so that a later amendment is not counted again.
const COUNTED_MAX: usize = 4096;

/// What one listener wants and may see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Records of these phones only; absent: of all.
    pub phones: Option<Phones>,
    /// Records of this CRM only.
    pub crm: Option<String>,
    pub hears_recordings: bool,
    /// Links and backlog, too.
    pub sees_service: bool,
    /// When the right to listen ends, in Unix seconds; absent: it does not.
    pub until_s: Option<i64>,
}

/// Whose phones a listener hears of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Phones {
    /// Each with its exchange, if one was named.
    extensions: Vec<(Option<String>, String)>,
    /// Outside phones, as a manager's mobile that rings with his extension.
    mobiles: Vec<E164>,
}

impl Phones {
    /// From lists with commas, of which each may be absent: `101`, `msk/101`; `+79161234567`. `None` if neither is there: no filter. What
    /// is no number is nobody's phone.
    pub fn parse(extensions: Option<&str>, mobiles: Option<&str>, numbers: &Numbers) -> Option<Self> {
        let each = |list: Option<&str>| -> Vec<String> {
            let list = list.unwrap_or_default();
            list.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
        };
        let (extensions, mobiles) = (each(extensions), each(mobiles));
        (!extensions.is_empty() || !mobiles.is_empty()).then(|| Self {
            extensions: extensions.iter().map(|one| place(one)).collect(),
            mobiles: mobiles.iter().filter_map(|one| numbers.normalize(one).e164).collect(),
        })
    }

    fn include(&self, record: &Record, numbers: &Numbers) -> bool {
        let is_ours = |written: &String| {
            let (of, extension) = place(written);
            let of = of.as_deref().unwrap_or(&record.pbx);
            self.extensions.iter().any(|(pbx, own)| *own == extension && pbx.as_deref().is_none_or(|pbx| pbx == of))
        };
        let internal = record.direction == crate::call::record::Direction::Internal;
        record.extension.as_ref().is_some_and(is_ours)
            || internal && record.from.as_ref().is_some_and(is_ours)
            || !self.mobiles.is_empty()
                && record
                    .phone
                    .as_ref()
                    .and_then(|phone| numbers.normalize(phone).e164)
                    .is_some_and(|phone| self.mobiles.contains(&phone))
    }
}

/// `msk/101` as exchange and extension; a connector of several exchanges writes both, one of a single exchange `101`.
fn place(written: &str) -> (Option<String>, String) {
    match written.rsplit_once('/') {
        Some((pbx, extension)) => (Some(pbx.to_owned()), extension.to_owned()),
        None => (None, written.to_owned()),
    }
}

impl Filter {
    fn wants(&self, record: &Record, numbers: &Numbers) -> bool {
        self.crm.as_ref().is_none_or(|crm| record.crm.as_ref() == Some(crm))
            && self.phones.as_ref().is_none_or(|phones| phones.include(record, numbers))
    }
}

/// What is going on, and who listens.
#[derive(Debug, Default)]
pub struct Hub {
    listeners: HashMap<Token, Filter>,
    /// Records that are not final, by id, and the final ones of conversations that go on.
    open: BTreeMap<String, Arc<Record>>,
    /// Ids of those of each conversation.
    of_conversation: HashMap<String, Vec<String>>,
    pbxs: BTreeMap<String, PbxStatus>,
    crms: BTreeMap<String, CrmStatus>,
    counted: VecDeque<String>,
    /// Finished records by (pbx, direction, status).
    pub finished: BTreeMap<(String, &'static str, &'static str), u64>,
}

impl Hub {
    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Adds a listener, who is first told what is going on; false if there are too many.
    pub fn join(
        &mut self,
        token: Token,
        filter: Filter,
        origin: Option<String>,
        numbers: &Numbers,
        gate: &Mailbox,
    ) -> bool {
        if self.listeners.len() >= LISTENERS_MAX {
            return false;
        }
        let calls: Vec<Record> =
            self.open.values().filter(|r| filter.wants(r, numbers)).map(|r| shown(r, &filter)).collect();
        let mut state = json!({ "calls": calls });
        if filter.sees_service {
            state["pbxs"] = json!(self.pbxs.values().collect::<Vec<_>>());
            state["crms"] = json!(self.crms.values().collect::<Vec<_>>());
        }
        let mut answer = super::answer::Answer::events();
        if let Some(origin) = origin {
            answer = answer.with("Access-Control-Allow-Origin", origin).with("Vary", "Origin");
        }
        gate.send(Post::Answer(token, answer));
        gate.send(Post::Event(token, event("state", &state)));
        self.listeners.insert(token, filter);
        true
    }

    pub fn leave(&mut self, token: Token) {
        self.listeners.remove(&token);
    }

    /// A record changed.
    pub fn record(&mut self, record: Arc<Record>, numbers: &Numbers, now_s: i64, gate: &Mailbox) {
        self.send_away_expired(now_s, gate);
        // One event for those who hear recordings, one for those who do not; made when the first listener wants it.
        let mut with: Option<Arc<[u8]>> = None;
        let mut without: Option<Arc<[u8]>> = None;
        for (token, filter) in self.listeners.iter().filter(|(_, filter)| filter.wants(&record, numbers)) {
            let made = if filter.hears_recordings { &mut with } else { &mut without };
            let bytes = made.get_or_insert_with(|| event("call", &shown(&record, filter)));
            gate.send(Post::Event(*token, Arc::clone(bytes)));
        }
        let was_open = self.open.get(&record.id).is_some_and(|known| is_open(known));
        let before = self.take(&record.id).map(|old| old.conversation.clone());
        let conversation = record.conversation.clone();
        if !is_open(&record) {
            self.count(&record, was_open);
        }
        if record.superseded_by.is_none() {
            self.keep(record);
        }
        // Where nobody rings or talks any more, the phones that had their turn go, too.
        for conversation in before.into_iter().chain([conversation]) {
            let of_it = self.of_conversation.get(&conversation).map_or(&[][..], Vec::as_slice);
            if of_it.iter().any(|id| self.open.get(id).is_some_and(|record| is_open(record))) {
                continue;
            }
            for id in self.of_conversation.remove(&conversation).unwrap_or_default() {
                self.open.remove(&id);
            }
        }
    }

    /// A record that was open before anything was told; what was told meanwhile is newer.
    pub fn note(&mut self, record: Record) {
        if is_open(&record) && !self.open.contains_key(&record.id) {
            self.keep(Arc::new(record));
        }
    }

    fn keep(&mut self, record: Arc<Record>) {
        if self.open.len() >= OPEN_MAX
            && let Some(first) = self.open.keys().next().cloned()
        {
            self.take(&first);
        }
        self.of_conversation.entry(record.conversation.clone()).or_default().push(record.id.clone());
        self.open.insert(record.id.clone(), record);
    }

    fn take(&mut self, id: &str) -> Option<Arc<Record>> {
        let record = self.open.remove(id)?;
        if let Some(ids) = self.of_conversation.get_mut(&record.conversation) {
            ids.retain(|one| one != id);
            if ids.is_empty() {
                self.of_conversation.remove(&record.conversation);
            }
        }
        Some(record)
    }

    /// Records that still count as open here.
    pub fn open_calls(&self) -> usize {
        self.open.values().filter(|record| is_open(record)).count()
    }

    /// A link came up or went down. Who tells it may not know since when; then it is since it was told first.
    pub fn link(&mut self, mut pbx: PbxStatus, now: Moment, gate: &Mailbox) {
        if pbx.since.is_none() {
            let before = self.pbxs.get(&pbx.name).filter(|before| before.up == pbx.up);
            pbx.since = before.and_then(|before| before.since).or(Some(now));
        }
        self.tell_service(&event("link", &pbx), gate);
        self.pbxs.insert(pbx.name.clone(), pbx);
    }

    pub fn backlog(&mut self, crm: CrmStatus, gate: &Mailbox) {
        let changed = self.crms.get(&crm.name) != Some(&crm);
        if changed {
            self.tell_service(&event("backlog", &crm), gate);
            self.crms.insert(crm.name.clone(), crm);
        }
    }

    pub fn pbx(&self, name: &str) -> Option<&PbxStatus> {
        self.pbxs.get(name)
    }

    pub fn pbxs(&self) -> impl Iterator<Item = &PbxStatus> {
        self.pbxs.values()
    }

    /// Keeps proxies from closing quiet connections, finds out who is gone, and sends away whose right has ended.
    pub fn heartbeat(&mut self, now_s: i64, gate: &Mailbox) {
        self.send_away_expired(now_s, gate);
        // An event with a name and not a comment: a page hears no comments, and this is how it knows that we are still there.
        let beat = event("beat", &json!({}));
        for token in self.listeners.keys() {
            gate.send(Post::Event(*token, Arc::clone(&beat)));
        }
    }

    fn send_away_expired(&mut self, now_s: i64, gate: &Mailbox) {
        self.listeners.retain(|token, filter| {
            let goes_on = filter.until_s.is_none_or(|until_s| now_s < until_s);
            if !goes_on {
                gate.send(Post::End(*token));
            }
            goes_on
        });
    }

    fn tell_service(&self, bytes: &Arc<[u8]>, gate: &Mailbox) {
        for (token, _) in self.listeners.iter().filter(|(_, filter)| filter.sees_service) {
            gate.send(Post::Event(*token, Arc::clone(bytes)));
        }
    }

    fn count(&mut self, record: &Record, was_open: bool) {
        if !was_open && self.counted.contains(&record.id) {
            return;
        }
        if self.counted.len() >= COUNTED_MAX {
            self.counted.pop_front();
        }
        self.counted.push_back(record.id.clone());
        let key = (record.pbx.clone(), record.direction.as_str(), record.status.as_str());
        *self.finished.entry(key).or_default() += 1;
    }
}

fn is_open(record: &Record) -> bool {
    !record.status.is_final() && record.superseded_by.is_none()
}

/// A record as this listener may see it.
pub fn shown(record: &Record, filter: &Filter) -> Record {
    let mut record = record.clone();
    if !filter.hears_recordings {
        record.recordings.clear();
    }
    record
}

/// One Server-Sent Event. JSON has no line feeds of its own, so one `data` line holds it.
fn event(name: &str, value: &impl serde::Serialize) -> Arc<[u8]> {
    let mut bytes = format!("event: {name}\ndata: ").into_bytes();
    serde_json::to_writer(&mut bytes, value).expect("our own types have an image in JSON");
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}
