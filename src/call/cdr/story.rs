//! Makes a conversation of its rows, as if it had been listened to, and records of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parties::{Attempt, Reading};
use super::{Disposition, Row};
use crate::asterisk::Uniqueid;
use crate::call::channels::caller_number;
use crate::call::ending::is_recording;
use crate::call::model::{
    Channel, Conversation, DialEnd, Fate, MAX_PHONES, MAX_TALKS, Menu, Ms, Party, Phone, QueueVisit, RecordingRun,
    Role, Stage,
};
use crate::call::record::{Direction, EndedBy, Moment, Record, Source, Span, StepKind, TransferKind, step};
use crate::call::render;
use crate::call::rules::Rules;

/// Rows of one conversation that are looked at; a client in a queue of fifty agents makes a few hundred in an hour.
const MAX_ROWS: usize = 5_000;
/// The second row of a transfer begins when the first one ends; both are whole seconds.
const NEXT_MS: i64 = 1_000;
/// Where the target of an attended transfer is called beforehand, the client comes to him when he answers.
const CONSULTED_MS: i64 = 60_000;

/// A conversation as its rows tell it.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// Its own id; those that began with a channel name where the source has no ids begin with `cdr`.
    pub conversation: String,
    /// Every conversation id under which somebody who listened may know it; empty where the source has no ids.
    pub known_as: Vec<String>,
    pub began: Moment,
    pub ended: Moment,
    /// Finished records with `source = "cdr"`; empty for what is no call (a feature) or is nobody's business.
    pub records: Vec<Record>,
}

/// What the rows of one group of [`super::gather`] tell; more than one where a transfer joined two clients.
pub fn found(pbx: &str, rows: &[&Row], rules: &Rules, wall_ms: i64) -> Vec<Found> {
    let rows = &rows[..rows.len().min(MAX_ROWS)];
    let clients = Reading::clients_who_called(rows, rules, rules.pbx_id(pbx));
    let mut parts: Vec<Vec<&Row>> = vec![Vec::new(); clients.len().max(1)];
    for row in rows {
        let own = clients.iter().position(|client| *client == row.channel.as_str());
        // One client joined with another is nobody's phone.
        let of_another = clients.iter().any(|client| *client == row.destination_channel.as_str());
        if !(of_another && own.is_some()) {
            parts[own.unwrap_or(0)].push(row);
        }
    }
    let several = parts.len() > 1;
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts.filter_map(|part| story(pbx, part, several, rules, wall_ms)).collect()
}

/// `several`: the linkedid became that of another client's conversation, so that only the uniqueid names this one.
fn story(pbx: &str, rows: &[&Row], several: bool, rules: &Rules, wall_ms: i64) -> Option<Found> {
    let oldest = rows.first()?;
    let began = oldest.start;
    let ended = rows.iter().map(|row| row.end).max()?;
    let mut ids: Vec<&str> =
        rows.iter().flat_map(|row| [&row.linkedid, &row.uniqueid]).flatten().map(|id| &**id).collect();
    ids.sort_unstable();
    ids.dedup();
    let own = oldest.uniqueid.as_deref().filter(|_| several);
    let id = match own.or(oldest.call_id()) {
        Some(id) => format!("{pbx}-{id}"),
        // Always the same for the same rows, so that it is not taken for another one the next time.
        None => {
            let name: String =
                oldest.channel.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            format!("{pbx}-cdr{}-{name}", began / 1_000)
        }
    };
    let known_as = ids.into_iter().map(|id| format!("{pbx}-{id}")).collect();
    let records = Reading::new(rows.to_vec(), rules, pbx)
        .filter(|reading| !reading.comes_from_peer())
        .map(|reading| Telling::new(&reading, pbx, &id).records(wall_ms));
    let records = records.unwrap_or_default();
    Some(Found { conversation: id, known_as, began: Moment(began), ended: Moment(ended), records })
}

/// A conversation that is being put together.
struct Telling<'a> {
    reading: &'a Reading<'a>,
    conversation: Conversation,
    /// How long each phone rang, by record id, where a row tells it.
    rings: BTreeMap<String, i64>,
    /// The last row that says where the other party was.
    last: &'a Row,
    /// The dialplan went on after the phones.
    went_on: bool,
}

impl<'a> Telling<'a> {
    fn new(reading: &'a Reading<'a>, pbx: &str, id: &str) -> Self {
        let born = reading.rows.iter().map(|row| row.start).min().unwrap_or_default();
        let conversation = Conversation::new(id.to_owned(), pbx.to_owned(), crate::asterisk::PbxId::default(), born, 1);
        let (last, went_on) = last_place(reading);
        Self { reading, conversation, rings: BTreeMap::new(), last, went_on }
    }

    fn records(mut self, wall_ms: i64) -> Vec<Record> {
        let root = self.reading.root();
        self.conversation.ended = self.reading.rows.iter().map(|row| row.end).max();
        self.conversation.last_place = Some((root.context.to_string(), root.destination.to_string()));
        self.parties();
        let attempts = self.reading.attempts();
        self.phones(&attempts);
        self.transfers();
        self.pickups();
        self.stages();
        self.give_up();
        self.recordings();
        self.timeline();
        if self.conversation.direction.is_none() && !self.refused_number() {
            return Vec::new();
        }
        let changed = render::changed(&mut self.conversation, self.reading.rules, wall_ms, false);
        let mut records: Vec<Record> = changed.into_iter().map(Arc::unwrap_or_clone).collect();
        for record in &mut records {
            record.source = Source::Cdr;
            // Who hung up stands in no row; a transfer says who gave the call away.
            record.ended_by = record.transferred_to.is_some().then_some(EndedBy::Us);
            record.ring_seconds = self.rings.get(&record.id).copied().map(Span);
        }
        records
    }

    fn parties(&mut self) {
        let (reading, root) = (self.reading, self.reading.root());
        let dialled = dialled(reading, root);
        let c = &mut self.conversation;
        c.direction = reading.direction;
        match reading.direction {
            Some(Direction::Incoming) => {
                let number = caller_number(&root.source);
                c.client_number.clone_from(&number);
                c.from = number;
                c.client_name = caller_number(&root.caller_name).filter(|name| Some(name) != c.client_number.as_ref());
                c.did = did(reading);
                c.to.clone_from(&c.did);
                let (id, _) = c.next_id();
                c.phoneless = Some(id);
            }
            Some(Direction::Outgoing) => {
                let client = reading.rows.iter().find(|row| reading.is_client(&row.destination_channel));
                c.client_number =
                    client.and_then(|row| reading.number_called(&row.destination_channel)).or(dialled.clone());
                c.to = dialled;
            }
            _ => c.to = dialled,
        }
        c.trunk = reading
            .rows
            .iter()
            .flat_map(|row| [&row.channel, &row.destination_channel])
            .find(|name| reading.is_client(name))
            .and_then(|name| match reading.party(name) {
                Some(Party::Trunk(trunk)) => Some(trunk),
                _ => None,
            });
        if reading.direction != Some(Direction::Incoming) {
            c.caller_extension.clone_from(&reading.caller);
            c.from.clone_from(&reading.caller);
        }
        let party = reading.party(&root.channel).unwrap_or_default();
        c.channels.push(Channel {
            uniqueid: Uniqueid::new(root.uniqueid.as_deref().unwrap_or_default()),
            name: root.channel.clone(),
            is_client: reading.direction == Some(Direction::Incoming),
            party,
            role: Role::Caller,
            born: root.start,
            hung_up: c.ended,
            ..Channel::default()
        });
    }

    fn phones(&mut self, attempts: &[Attempt<'_>]) {
        let c = &mut self.conversation;
        for attempt in attempts {
            let index = match c.phone_index(&attempt.phone) {
                Some(index) => index,
                None if c.phones.len() >= MAX_PHONES => continue,
                None => {
                    let (id, order) = match c.phoneless.take() {
                        Some(id) => (id, (c.born, 1)),
                        None => c.next_id(),
                    };
                    let key = Some(attempt.phone.clone());
                    c.phones.push(Phone { id, order, key, started: attempt.row.start, ..Phone::default() });
                    c.phones.len() - 1
                }
            };
            let phone = &mut c.phones[index];
            phone.started = phone.started.min(attempt.row.start);
            phone.rang |= !attempt.no_channel && attempt.fate != Fate::Unreachable;
            if phone.fate != Fate::Answered {
                phone.fate = attempt.fate;
            }
            phone.ended = phone.ended.max(Some(attempt.row.end));
            if phone.queue.is_none() {
                phone.queue = self.reading.queue_of(attempt.row).and_then(queue_name);
            }
            if let Some(talk) = attempt.talk
                && phone.talks.len() < MAX_TALKS
            {
                phone.talks.push(talk);
            }
            let ring = ring_ms(attempt);
            if let Some(ring) = ring {
                *self.rings.entry(phone.id.clone()).or_default() += ring;
            }
            let ring_until = attempt.talk.map_or(attempt.row.end, |(from, _)| from);
            c.channels.push(Channel {
                // No uniqueid of it is known.
                name: attempt.row.destination_channel.clone(),
                party: self.reading.party(&attempt.row.destination_channel).unwrap_or_default(),
                role: Role::Dialled,
                decides: Some(index),
                born: attempt.row.start,
                ring_from: phone.rang.then_some(attempt.row.start),
                ring_until: phone.rang.then_some(ring_until),
                up_at: attempt.talk.map(|(from, _)| from),
                hung_up: Some(attempt.row.end),
                dial_end: (attempt.fate == Fate::Refused).then_some(DialEnd::Busy),
                ..Channel::default()
            });
        }
        // Answered for no time at all and then somebody else's: it was picked up, or forwarded.
        let others_talk: Vec<bool> = (0..c.phones.len())
            .map(|own| {
                c.phones.iter().enumerate().any(|(at, p)| at != own && p.talks.iter().any(|(from, to)| to > from))
            })
            .collect();
        for (phone, others_talk) in c.phones.iter_mut().zip(others_talk) {
            if phone.fate == Fate::Answered && others_talk && phone.talks.iter().all(|(from, to)| to <= from) {
                phone.fate = Fate::RangOut;
                phone.talks.clear();
            }
            settle_talks(phone);
        }
        c.answered = c.phones.iter().filter_map(|phone| phone.answered).min();
    }

    /// Who left off where another one began gave the call away, unless it was parked between or met in a conference.
    fn transfers(&mut self) {
        let rows = &self.reading.rows;
        let between = |from: Ms, to: Ms| {
            rows.iter().any(|row| {
                (row.is_meeting() || row.runs(&["Park", "ParkedCall"])) && row.start <= to && row.end >= from
            })
        };
        let outgoing = self.reading.direction == Some(Direction::Outgoing);
        let mut pairs: Vec<(usize, usize, TransferKind)> = Vec::new();
        let phones = &self.conversation.phones;
        for (giver, phone) in phones.iter().enumerate() {
            let (Some(_), Some(until)) = (phone.answered, phone.talk_until) else { continue };
            for (taker, other) in phones.iter().enumerate().filter(|(taker, _)| *taker != giver) {
                let consulted = rows.iter().find(|row| self.is_consultation(row, giver, taker));
                let takes_over = other.answered.is_none_or(|at| at >= until - NEXT_MS || consulted.is_some());
                let at = other
                    .talks
                    .iter()
                    .map(|(from, _)| *from)
                    .find(|from| *from >= until - NEXT_MS)
                    .unwrap_or(other.started);
                let attended = consulted.is_some() && self.meets_client(taker) && at - until <= CONSULTED_MS;
                // Dial's option `g` goes on after a talk, too, but at the number the client called.
                let sent_on = !self.is_at_did(taker);
                let blind = sent_on
                    && (until - NEXT_MS..=until + NEXT_MS).contains(&other.started)
                    && other.started > phone.started;
                // A consultation that never reached the client was none of his.
                let apart = consulted.is_some() && !self.meets_client(taker);
                if takes_over && !apart && (attended || blind) && !between(until - NEXT_MS, at.max(until)) {
                    let kind = if attended { TransferKind::Attended } else { TransferKind::Blind };
                    pairs.push((giver, taker, kind));
                }
            }
        }
        for (giver, taker, kind) in pairs {
            let name = |index: usize| phones_name(&self.conversation.phones[index]);
            let (from, to) = (name(giver), name(taker));
            let taken = self.conversation.phones[taker].answered.is_some();
            let first = self.conversation.phones[giver].transferred_to.is_none();
            let giving = &mut self.conversation.phones[giver];
            if first || taken {
                giving.transferred_to = to;
                giving.transfer = giving.transfer.or(Some(kind));
                giving.gave_away = true;
            }
            let taking = &mut self.conversation.phones[taker];
            taking.transferred_from = from;
            taking.transfer = taking.transfer.or(Some(kind));
        }
        self.transfer_to_nobody(outgoing);
    }

    /// This phone was called by the dialplan of the number that the client called.
    fn is_at_did(&self, phone: usize) -> bool {
        let channel = self.channel_of(phone);
        let did = self.conversation.did.as_deref();
        did.is_some()
            && self.reading.rows.iter().any(|row| row.destination_channel == *channel && Some(&*row.destination) == did)
    }

    /// Sent on to a number where nothing could be called: the row after the talk says which.
    fn transfer_to_nobody(&mut self, outgoing: bool) {
        let reading = self.reading;
        let c = &mut self.conversation;
        let Some(giver) = c.phones.iter().position(|phone| phone.answered.is_some() && phone.transferred_to.is_none())
        else {
            return;
        };
        let Some(until) = c.phones[giver].talk_until else { return };
        let after = reading.rows.iter().find(|row| {
            let by_client =
                if outgoing { reading.is_client(&row.channel) } else { row.channel == reading.root().channel };
            by_client
                && row.destination_channel.as_str().is_empty()
                && (until - NEXT_MS..=until + NEXT_MS).contains(&row.start)
                && row.runs(&["Hangup", "Dial", ""])
                && reading.rules.numbers.at(reading.pbx.0).is_extension(&row.destination)
        });
        let Some(row) = after else { return };
        let target = super::super::model::PhoneKey::Extension(row.destination.to_string());
        if c.phone_index(&target).is_some() {
            return;
        }
        let (id, order) = c.next_id();
        let from = phones_name(&c.phones[giver]);
        c.phones.push(Phone {
            id,
            order,
            key: Some(target),
            started: row.start,
            ended: Some(row.end),
            fate: Fate::Unreachable,
            transferred_from: from,
            transfer: Some(TransferKind::Blind),
            ..Phone::default()
        });
        let giving = &mut c.phones[giver];
        giving.transferred_to = Some(row.destination.to_string());
        giving.transfer = Some(TransferKind::Blind);
        giving.gave_away = true;
    }

    /// A call of the giver's own (on another line, or through a Local channel by feature code) to the taker.
    fn is_consultation(&self, row: &Row, giver: usize, taker: usize) -> bool {
        let phones = &self.conversation.phones;
        let is = |name: &crate::asterisk::ChannelName, index: usize| {
            let key = phones[index].key.as_ref().map(crate::call::model::PhoneKey::name);
            matches!(self.reading.party(name), Some(Party::Extension(extension)) if Some(extension.as_str()) == key)
        };
        if is(&row.channel, giver) {
            return row.destination_channel == *self.channel_of(taker)
                || self.leads_to(&row.destination_channel, taker);
        }
        // By feature code from an outgoing call: the caller's own channel shows the Local one as its other side.
        row.runs(&["Dial"])
            && row.channel == self.reading.root().channel
            && self.reading.direction == Some(Direction::Outgoing)
            && giver == 0
            && self.leads_to(&row.destination_channel, taker)
    }

    fn channel_of(&self, phone: usize) -> &crate::asterisk::ChannelName {
        let channel = self.conversation.channels.iter().find(|channel| channel.decides == Some(phone));
        channel.map_or(&self.conversation.channels[0].name, |channel| &channel.name)
    }

    /// Whether the Local channel `near` was made to call this phone.
    fn leads_to(&self, near: &crate::asterisk::ChannelName, phone: usize) -> bool {
        let Some(far) = near.local_peer() else { return false };
        let channel = self.channel_of(phone);
        self.reading.rows.iter().any(|row| row.channel == far && row.destination_channel == *channel)
    }

    /// The client and this phone stand in one row.
    fn meets_client(&self, phone: usize) -> bool {
        let own: Vec<&str> = self
            .conversation
            .channels
            .iter()
            .filter(|channel| channel.decides == Some(phone))
            .map(|channel| channel.name.as_str())
            .collect();
        let root = &self.reading.root().channel;
        self.reading.rows.iter().any(|row| {
            let client = row.channel == *root || self.reading.is_client(&row.channel);
            client && own.contains(&row.destination_channel.as_str())
        })
    }

    /// A phone that no Dial named and nobody consulted took the call of the one that rang.
    fn pickups(&mut self) {
        let rows = &self.reading.rows;
        let mut picked: Vec<(usize, String)> = Vec::new();
        for (index, phone) in self.conversation.phones.iter().enumerate() {
            let own = phone.key.as_ref().filter(|key| matches!(key, crate::call::model::PhoneKey::Extension(_)));
            let (Some(_), Some(own), None) = (phone.answered, own, &phone.transferred_from) else { continue };
            let channel = self.channel_of(index);
            let Some(row) = rows.iter().find(|row| row.destination_channel == *channel) else { continue };
            let named = crate::call::target::targets(&row.application_data);
            let stranger =
                row.runs(&["Dial"]) && !named.is_empty() && named.iter().all(|t| t.channel.endpoint() != own.name());
            let rang = self.conversation.phones.iter().find(|other| {
                let until = other.ended.unwrap_or_default();
                other.answered.is_none()
                    && named.iter().any(|target| phones_name(other).as_deref() == Some(target.channel.endpoint()))
                    && (row.start - NEXT_MS..=row.start + NEXT_MS).contains(&until)
            });
            if let Some(from) = rang.and_then(phones_name).filter(|_| stranger) {
                picked.push((index, from));
            }
        }
        for (index, from) in picked {
            self.conversation.phones[index].picked_up_from = Some(from);
        }
    }

    /// Where the client was last.
    fn stages(&mut self) {
        let (last, rows) = (self.last, &self.reading.rows);
        let c = &mut self.conversation;
        c.dialplan_seen = true;
        let has_phones = c.has_phones();
        c.stage = if has_phones { Stage::Dial } else { Stage::None };
        if let Some(row) = rows.iter().rev().find(|row| row.runs(&["BackGround", "WaitExten", "Read"])) {
            c.menu = Some(menu(row).into());
        }
        if let Some(row) = rows.iter().rev().find(|row| row.runs(&["Queue"])) {
            c.queue = visit(rows, &c.phones, row).map(Box::new);
            let mut seen: Vec<Option<String>> = vec![queue_name(row)];
            for row in rows.iter().rev().filter(|row| row.runs(&["Queue"])) {
                if !seen.contains(&queue_name(row)) && seen.len() < 8 {
                    seen.push(queue_name(row));
                    c.past_queues.extend(visit(rows, &c.phones, row));
                }
            }
        }
        if last.runs(&["VoiceMail", "VoiceMailMain", "Voicemail"]) {
            c.stage = Stage::Voicemail;
            c.voicemail = voicemail(last);
        } else if last.runs(&["BackGround", "WaitExten", "Read"]) {
            c.stage = Stage::Menu;
        } else if last.runs(&["Queue"]) {
            c.stage = Stage::Queue;
        } else if !has_phones {
            self.stage_without_phone();
        }
    }

    fn stage_without_phone(&mut self) {
        let last = self.last;
        let c = &mut self.conversation;
        let answered = last.disposition == Disposition::Answered;
        if last.runs(&["AGI", "EAGI", "FastAGI"]) {
            c.agi_runs = true;
        } else if matches!(&*last.destination, "i" | "t") && answered {
            // A wrong key, or none: the menu itself left no row.
            c.menu = Some(menu(last).into());
            c.stage = Stage::Menu;
        } else if last.runs(&["Busy", "Congestion"]) {
            c.dialplan_refused = true;
        } else if last.runs(&["Goto", "GotoIf"]) {
            c.stage = Stage::DialplanError;
        } else if answered
            || last.runs(&["Playback", "Wait", "Answer", "Ringing", "Progress", "MusicOnHold", "SayDigits"])
        {
            c.stage = Stage::Greeting;
        } else {
            // FAILED without a channel: whatever was to be called could not be.
            c.stage = Stage::Dial;
        }
    }

    /// Who called gave up while a phone rang, if neither the time ran out nor the dialplan went on.
    fn give_up(&mut self) {
        let last = self.last;
        let rang = !last.destination_channel.as_str().is_empty() && last.disposition == Disposition::NoAnswer;
        let waited = last.runs(&["Queue"]) && last.destination_channel.as_str().is_empty();
        let timed_out = timeout_s(last).is_some_and(|timeout| (last.end - last.start) / 1_000 >= timeout);
        // Nobody gives up before it rings: in no time at all it was refused.
        let at_once = rang && last.end == last.start;
        if (rang || waited)
            && !self.went_on
            && !timed_out
            && !at_once
            && let Some(caller) = self.conversation.channels.first_mut()
        {
            caller.asked_hangup = Some((last.end, 1));
        }
    }

    fn recordings(&mut self) {
        let c = &mut self.conversation;
        for row in self.reading.rows.iter().filter(|row| is_recording(&row.recording)) {
            match c.recordings.iter_mut().find(|run| run.file == *row.recording) {
                Some(run) => run.until = run.until.max(Some(row.end)),
                None => {
                    let id = format!("{}-r{}", c.birth_id, c.recordings.len() + 1);
                    let (file, from, until) = (row.recording.to_string(), row.start, Some(row.end));
                    c.recordings.push(RecordingRun { id, file, from, until, channel: None });
                }
            }
        }
    }

    fn timeline(&mut self) {
        let c = &mut self.conversation;
        let mut steps = Vec::new();
        if c.direction == Some(Direction::Incoming) {
            steps.push(step(StepKind::Enter, c.born).place(c.did.clone()));
        }
        if let Some(queue) = &c.queue {
            steps.push(step(StepKind::Queue, queue.joined).place(queue.name.clone()));
        }
        for phone in &c.phones {
            let who = phones_name(phone);
            if phone.rang {
                steps.push(step(StepKind::Ring, phone.started).who(who.clone()));
            }
            if let Some(at) = phone.answered {
                steps.push(step(StepKind::Answer, at).who(who.clone()));
            }
            if let (Some(to), Some(at), Some(kind)) = (&phone.transferred_to, phone.talk_until, phone.transfer) {
                let how = if kind == TransferKind::Blind { "blind" } else { "attended" };
                steps.push(step(StepKind::Transfer, at).who(who).to(to.clone()).how(how));
            }
        }
        if let Some(place) = &c.voicemail {
            steps.push(step(StepKind::Voicemail, self.last.start).place(place.clone()));
        }
        steps.extend(c.ended.map(|at| step(StepKind::Hangup, at)));
        steps.sort_by_key(|step| step.at);
        for step in steps {
            c.step(step);
        }
    }

    /// A number of ours that the dialplan turned away: the one kind of call without direction that makes a record.
    fn refused_number(&mut self) -> bool {
        let root = self.reading.root();
        let refused = matches!(self.reading.party(&root.channel), Some(Party::Extension(_)))
            && root.destination_channel.as_str().is_empty()
            && matches!(root.disposition, Disposition::Failed | Disposition::Busy)
            && root.runs(&["Congestion", "Busy", "Hangup", "Playback", "Playtones", ""]);
        self.conversation.invalid = refused;
        refused
    }
}

fn phones_name(phone: &Phone) -> Option<String> {
    phone.key.as_ref().map(|key| key.name().to_owned())
}

/// The last row of the side that called that says something, and whether the dialplan went on after the last phone.
fn last_place<'a>(reading: &Reading<'a>) -> (&'a Row, bool) {
    let root = reading.root();
    let own: Vec<&'a Row> = reading.rows.iter().copied().filter(|row| row.channel == root.channel).collect();
    let says = |row: &Row| {
        !row.destination_channel.as_str().is_empty()
            || row.runs(&["Queue", "VoiceMail", "VoiceMailMain", "BackGround", "WaitExten", "Read", "AGI"])
    };
    let phones = own.iter().any(|row| !row.destination_channel.as_str().is_empty());
    let last = own.iter().rev().find(|row| !phones || says(row)).or(own.last()).copied().unwrap_or(root);
    let went_on = own.iter().any(|row| {
        !std::ptr::eq(*row, last)
            && row.destination_channel.as_str().is_empty()
            && row.start >= last.end
            && row.sequence >= last.sequence
    });
    (last, went_on)
}

/// The talks of a phone in order, with their sum, each moment counted once.
fn settle_talks(phone: &mut Phone) {
    phone.talks.sort_unstable();
    let (mut total, mut reached) = (0, i64::MIN);
    for (from, to) in &phone.talks {
        total += (to - from.max(&reached)).max(0);
        reached = reached.max(*to);
    }
    phone.talk_ms = total;
    phone.answered = phone.talks.first().map(|(from, _)| *from);
    phone.talk_until = phone.talks.iter().map(|(_, to)| *to).max();
}

/// How long a phone rang: not told where the client had been answered before it did.
fn ring_ms(attempt: &Attempt<'_>) -> Option<i64> {
    let row = attempt.row;
    if attempt.no_channel || attempt.fate == Fate::Unreachable || row.end == row.start {
        return None;
    }
    match attempt.talk {
        Some((from, _)) if from > row.start => Some(from - row.start),
        Some(_) => None,
        None => Some(row.end - row.start),
    }
}

fn queue_name(row: &Row) -> Option<String> {
    let name = row.application_data.split(',').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The client's stay in the queue of `row`.
fn visit(rows: &[&Row], phones: &[Phone], row: &Row) -> Option<QueueVisit> {
    let name = queue_name(row)?;
    let own = || rows.iter().filter(|other| other.runs(&["Queue"]) && queue_name(other).as_ref() == Some(&name));
    let joined = own().map(|row| row.start).min()?;
    let left = own().map(|row| row.end).max()?;
    let in_it = || phones.iter().filter(|phone| phone.queue.as_ref() == Some(&name));
    let answered = in_it().filter_map(|phone| phone.answered).min();
    let rang = in_it().any(|phone| phone.rang);
    let left = Some(answered.unwrap_or(left));
    Some(QueueVisit { name, joined, left, answered, status: None, rang, waited_before: 0 })
}

fn voicemail(row: &Row) -> Option<String> {
    let name = row.application_data.split([',', '&']).next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

fn menu(row: &Row) -> Menu {
    Menu {
        context: row.context.to_string(),
        exten: row.destination.to_string(),
        keys: Vec::new(),
        open: false,
        heard: String::new(),
        heard_at: 0,
        reads: false,
    }
}

/// The time-out in the arguments of Dial (the second) or Queue (the fifth), seconds.
fn timeout_s(row: &Row) -> Option<i64> {
    let nth = if row.runs(&["Queue"]) { 4 } else { 1 };
    row.application_data.split(',').nth(nth)?.trim().parse().ok()
}

/// The number an extension asked for.
fn dialled(reading: &Reading<'_>, root: &Row) -> Option<String> {
    let asked = reading.rows.iter().filter(|row| row.channel == root.channel).map(|row| row.destination.to_string());
    let place =
        |text: &str| text.is_empty() || matches!(text, "s" | "h" | "i" | "t") || text.chars().all(char::is_alphabetic);
    asked.into_iter().find(|text| !place(text)).or_else(|| {
        let client = reading.rows.iter().find(|row| reading.is_client(&row.destination_channel))?;
        reading.number_called(&client.destination_channel)
    })
}

/// The outside number the client called: what the dialplan kept, else the first destination that is no place of the dialplan and
/// nobody's phone. A blind transfer overwrites it in every row.
fn did(reading: &Reading<'_>) -> Option<String> {
    let kept = reading.rows.iter().map(|row| &row.did).find(|did| !did.is_empty());
    if let Some(did) = kept {
        return Some(did.to_string());
    }
    let root = reading.root();
    let own = reading.rows.iter().filter(|row| row.channel == root.channel);
    own.map(|row| &*row.destination)
        .find(|text| {
            let digits = text.trim_start_matches('+');
            let called_by_us = reading.rows.iter().any(|row| {
                row.runs(&["Dial"])
                    && crate::call::target::targets(&row.application_data)
                        .iter()
                        .any(|t| t.number.as_deref() == Some(*text))
            });
            digits.len() >= 5
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !reading.rules.numbers.at(reading.pbx.0).is_extension(text)
                && !called_by_us
        })
        .map(str::to_owned)
}
