//! Makes records of a conversation, and finds those that changed.
//!
//! Everything here is derived: it may be done again at any time and gives the same records, so nothing is lost if a
//! record is not sent at once.

use std::sync::Arc;

use super::Calls;
use super::ending;
use super::model::{Conversation, Fate, Phone, PhoneKey, QueueVisit, RecordingRun, Role};
use super::record::{
    Direction, EndedBy, FollowUp, Moment, Reason, Record, Recording, RecordingState, Source, Span, Status, Step,
};
use super::rules::{RecordKind, Rules};

/// The parts of one conversation's hang-up come within this time.
const TOGETHER_MS: i64 = 1_000;

/// The records of `conversation` that differ from what was published (`anew`: all of them), with new revisions; remembers them as
/// published.
pub(super) fn changed(conversation: &mut Conversation, rules: &Rules, wall: i64, anew: bool) -> Vec<Arc<Record>> {
    let records = rules.discretion.apply(records(conversation, rules, wall));
    let lead = records.iter().find(|r| r.lead).or(records.first()).map(|r| r.id.clone());
    let mut changed = Vec::new();
    for mut record in records {
        match conversation.published.iter_mut().find(|p| p.id == record.id) {
            Some(published) => {
                record.revision = published.revision;
                if anew || **published != record {
                    record.revision = Record::next_revision(published.revision, wall);
                    *published = Arc::new(record);
                    changed.push(Arc::clone(published));
                }
            }
            None => {
                record.revision = Record::next_revision(0, wall);
                let record = Arc::new(record);
                conversation.published.push(Arc::clone(&record));
                changed.push(record);
            }
        }
    }
    retire(conversation, lead.as_deref(), wall, &mut changed);
    changed
}

/// Records that nobody continues are told so, once: a place kept for a Local channel behind which nobody was found, and
/// what per-call records no longer count.
fn retire(conversation: &mut Conversation, lead: Option<&str>, wall: i64, changed: &mut Vec<Arc<Record>>) {
    let Some(lead) = lead else { return };
    let over = conversation.is_over();
    let nobody: Vec<String> = conversation
        .phones
        .iter()
        .filter(|p| over && p.key.is_none())
        .map(|p| p.id.clone())
        .chain(conversation.phoneless.clone().filter(|_| over && conversation.has_phones()))
        .collect();
    for record in &mut conversation.published {
        let unnamed = record.superseded_by.as_deref() == Some("");
        let orphan = record.superseded_by.is_none() && nobody.contains(&record.id);
        if (unnamed || orphan) && record.id != lead {
            let retired = Arc::make_mut(record);
            retired.superseded_by = Some(lead.to_owned());
            retired.conversation.clone_from(&conversation.id);
            retired.lead = false;
            retired.revision = Record::next_revision(retired.revision, wall);
            changed.push(Arc::clone(record));
        }
    }
}

/// The records as they stand, revision 0.
fn records(conversation: &mut Conversation, rules: &Rules, wall: i64) -> Vec<Record> {
    // The exchange that called tells of it; unless a transfer has put a conversation of ours into this one.
    if conversation.told_by_peer && conversation.published.is_empty() {
        return Vec::new();
    }
    let numbers = rules.numbers.at(conversation.pbx_id.0);
    let refused = ending::refused_direction(conversation, |number| numbers.is_extension(number));
    if refused.is_some() && conversation.phoneless.is_none() {
        let (id, _) = conversation.next_id();
        conversation.phoneless = Some(id);
    }
    let Some(direction) = conversation.direction.or(refused) else { return Vec::new() };
    if rules.records == RecordKind::PerCall && conversation.only_id.is_none() {
        let first = conversation.phones.iter().min_by_key(|p| p.order).map(|p| p.id.clone());
        conversation.only_id = conversation.phoneless.clone().or(first);
    }
    // Known once the number and the queue are; the queue is the one he came to first.
    if direction == Direction::Incoming {
        let queue = conversation.past_queues.first().or(conversation.queue.as_deref()).map(|queue| queue.name.as_str());
        conversation.outside_hours =
            rules.hours.is_outside(conversation.pbx_id, conversation.born, conversation.did.as_deref(), queue);
    }
    let conversation = &*conversation;
    let is_early = rules.route_wait_ms(conversation, wall).is_some();
    let crm = conversation.crm.clone().or_else(|| if is_early { None } else { rules.route(conversation) });
    let view = View { conversation, rules, direction, crm, refused: refused.is_some() };
    let superseded = |id: &str| conversation.published.iter().any(|p| p.id == id && p.superseded_by.is_some());
    match rules.records {
        RecordKind::PerCall => view.per_call().into_iter().filter(|r| !superseded(&r.id)).collect(),
        RecordKind::PerPhone if conversation.has_phones() => {
            conversation.tried().filter(|(_, p)| !superseded(&p.id)).map(|(index, _)| view.of_phone(index)).collect()
        }
        RecordKind::PerPhone => view.without_phone().into_iter().collect(),
    }
}

struct View<'a> {
    conversation: &'a Conversation,
    rules: &'a Rules,
    direction: Direction,
    crm: Option<String>,
    /// A number the dialplan turned away.
    refused: bool,
}

impl View<'_> {
    fn without_phone(&self) -> Option<Record> {
        let c = self.conversation;
        let id =
            c.only_id.clone().or_else(|| c.phoneless.clone()).or_else(|| c.phones.first().map(|p| p.id.clone()))?;
        let mut record = self.common(id);
        record.lead = true;
        record.status = self.status_without_phone();
        record.reason = (record.status == Status::Missed).then(|| ending::reason(c));
        if self.refused {
            let own = if self.direction == Direction::Internal { c.to.clone() } else { c.caller_extension.clone() };
            record.extension = own.map(|e| self.rules.outside_name(&c.pbx, &e));
        }
        record.started_at = Moment(c.born);
        record.answered_at = c.answered.map(Moment);
        record.ended_at = c.ended.map(Moment);
        record.hangup_cause = c.channels.first().and_then(|channel| channel.cause);
        record.ended_by = if record.status == Status::Failed { None } else { c.ended_by };
        if let Some(queue) = &c.queue {
            self.waited(&mut record, queue);
        }
        record.timeline.clone_from(&c.timeline);
        self.close(&mut record);
        Some(record)
    }

    fn status_without_phone(&self) -> Status {
        let c = self.conversation;
        match (self.refused, c.is_over(), c.answered) {
            (true, ..) => Status::Failed,
            (_, true, Some(_)) => Status::Completed,
            (_, true, None) if self.direction == Direction::Incoming => Status::Missed,
            // A dialler called the customer first, and nobody of ours was found for him.
            (_, true, None) => match c.client_channels().find(|channel| channel.role == Role::Originated) {
                Some(channel) if channel.refused() => Status::Busy,
                Some(channel) if !channel.rang() && channel.up_at.is_none() => Status::Failed,
                _ => Status::NoAnswer,
            },
            (_, false, Some(_)) => Status::InProgress,
            (_, false, None) => Status::Ringing,
        }
    }

    fn of_phone(&self, index: usize) -> Record {
        let c = self.conversation;
        let phone = &c.phones[index];
        let mut record = self.common(phone.id.clone());
        record.lead = self.lead() == Some(index);
        record.status = self.status(index);
        record.reason = self.reason(record.status);
        self.name(&mut record, phone);
        record.started_at = Moment(phone.started);
        record.answered_at = phone.answered.map(Moment);
        record.ended_at = record.status.is_final().then(|| self.ended(index, &record)).flatten().map(Moment);
        record.ring_seconds = self.ring_ms(index).map(Span);
        record.talk_seconds = phone.answered.map(|_| Span(phone.talk_ms));
        record.hangup_cause = phone.cause.or_else(|| {
            c.channels.iter().find(|channel| channel.phone == Some(index)).and_then(|channel| channel.cause)
        });
        record.ended_by = record.status.is_final().then(|| self.ended_by(index, &record)).flatten();
        let queue = phone.queue.as_ref().and_then(|name| {
            c.queue.as_deref().into_iter().chain(c.past_queues.iter().rev()).find(|q| q.name == *name)
        });
        if let Some(queue) = queue {
            self.waited(&mut record, queue);
        }
        record.transferred_from.clone_from(&phone.transferred_from);
        record.transferred_to.clone_from(&phone.transferred_to);
        record.transfer = phone.transfer;
        record.picked_up_from.clone_from(&phone.picked_up_from);
        record.recordings = self.recordings(|run| talked_during(phone, run));
        record.timeline = if record.lead { c.timeline.clone() } else { self.steps_of(phone) };
        self.close(&mut record);
        record
    }

    fn per_call(&self) -> Option<Record> {
        let c = self.conversation;
        if !c.has_phones() {
            return self.without_phone();
        }
        let lead = self.lead()?;
        let id = c.only_id.clone()?;
        let mut record = self.common(id);
        record.lead = true;
        record.status = self.status_of_all(lead);
        record.reason = self.reason(record.status);
        let phone = &c.phones[lead];
        if phone.answered.is_some() || self.direction != Direction::Incoming {
            self.name(&mut record, phone);
        }
        record.started_at = Moment(c.born.min(c.phones.iter().map(|p| p.started).min().unwrap_or(c.born)));
        record.answered_at = c.phones.iter().filter_map(|p| p.answered).min().map(Moment);
        record.ended_at = if record.status.is_final() { c.ended.map(Moment) } else { None };
        record.ring_seconds = self.ring_ms(lead).map(Span);
        record.talk_seconds = record.answered_at.map(|_| Span(self.union_of_talks()));
        record.hangup_cause = phone.cause.or_else(|| c.channels.first().and_then(|channel| channel.cause));
        record.ended_by = match record.status {
            Status::Failed => None,
            Status::Busy => self.ended_by(lead, &record),
            _ => c.ended_by,
        };
        if let Some(queue) = &c.queue {
            self.waited(&mut record, queue);
        }
        if phone.answered.is_some() {
            record.picked_up_from.clone_from(&phone.picked_up_from);
        }
        record.recordings = self.recordings(|run| c.phones.iter().any(|p| talked_during(p, run)));
        record.timeline.clone_from(&c.timeline);
        self.close(&mut record);
        Some(record)
    }

    /// What every record of the conversation says alike.
    fn common(&self, id: String) -> Record {
        let c = self.conversation;
        let outside = self.direction != Direction::Internal;
        let number = c.client_number.clone().filter(|_| outside);
        Record {
            id,
            conversation: c.id.clone(),
            pbx: c.pbx.clone(),
            revision: 0,
            source: Source::Ami,
            direction: self.direction,
            status: Status::Ringing,
            reason: None,
            lead: false,
            client_number_normalized: number
                .as_deref()
                .and_then(|n| self.rules.numbers.at(c.pbx_id.0).normalize(n).e164)
                .map(|n| n.to_string()),
            client_number: number,
            client_name: c.client_name.clone().filter(|_| outside),
            client_id: c.client_id.clone().filter(|_| outside),
            from: c.from.clone(),
            to: c.to.clone(),
            did: c.did.clone(),
            presented: c.presented.clone().filter(|_| self.direction == Direction::Outgoing),
            extension: None,
            phone: None,
            trunk: c.trunk.clone(),
            started_at: Moment(c.born),
            answered_at: None,
            ended_at: None,
            ring_seconds: None,
            talk_seconds: None,
            total_seconds: None,
            hangup_cause: None,
            ended_by: None,
            queue: None,
            menu: c.menu.as_ref().map(|m| {
                let mut text = m.context.clone();
                for key in &m.keys {
                    text.push(' ');
                    text.push_str(key);
                }
                text
            }),
            wait_seconds: None,
            voicemail: c.voicemail.clone(),
            transferred_from: None,
            transferred_to: None,
            transfer: None,
            picked_up_from: None,
            recordings: Vec::new(),
            click_to_call: c.click.is_some(),
            request: c.click.as_ref().map(|k| k.request.clone()).filter(|r| !r.is_empty()),
            crm_record: c.click.as_ref().and_then(|k| k.crm_record.clone()),
            user: c.click.as_ref().and_then(|k| k.user.clone()),
            follow_up: None,
            follow_up_tries: None,
            follow_up_call: None,
            followed_up_at: None,
            outside_hours: c.outside_hours,
            crm: self.crm.clone(),
            variables: c.variables.clone(),
            timeline: Vec::new(),
            superseded_by: None,
        }
    }

    fn name(&self, record: &mut Record, phone: &Phone) {
        match &phone.key {
            Some(PhoneKey::Extension(extension)) => {
                record.extension = Some(self.rules.outside_name(&self.conversation.pbx, extension));
            }
            Some(PhoneKey::Outside(number)) => record.phone = Some(number.clone()),
            None => {}
        }
    }

    fn waited(&self, record: &mut Record, queue: &QueueVisit) {
        record.queue = Some(queue.name.clone());
        let until = queue.answered.or(queue.left).or(self.conversation.ended);
        record.wait_seconds = until.map(|until| Span(queue.waited_before + (until - queue.joined).max(0)));
    }

    /// What follows from the other fields.
    fn close(&self, record: &mut Record) {
        record.total_seconds = record.ended_at.map(|end| Span((end.0 - record.started_at.0).max(0)));
        if record.lead && record.status == Status::Missed && record.client_number.is_some() {
            record.follow_up = Some(FollowUp::Open);
        }
    }

    /// The phone answered first, else the one named first.
    fn lead(&self) -> Option<usize> {
        let answered = self.conversation.tried().filter_map(|(i, p)| Some((p.answered?, p.order, i))).min();
        let first = || self.conversation.tried().map(|(i, p)| (p.order, i)).min().map(|(_, i)| i);
        answered.map(|(.., i)| i).or_else(first)
    }

    /// Rings that are over; one that goes on would change the record every time it is looked at.
    fn ring_ms(&self, index: usize) -> Option<i64> {
        let c = self.conversation;
        // A phone may be several devices, which ring at once.
        let over = c
            .channels
            .iter()
            .filter(|channel| channel.decides == Some(index))
            .filter_map(|channel| Some((channel.ring_from?, channel.ring_until?)));
        let rang = c.phones[index].rang;
        rang.then(|| union(over.collect()) + c.phones[index].ring_ms)
    }

    fn status(&self, index: usize) -> Status {
        let c = self.conversation;
        let phone = &c.phones[index];
        if phone.talk_from.is_some() {
            return Status::InProgress;
        }
        if phone.answered.is_some() {
            let stays = c.channels.iter().any(|channel| channel.phone == Some(index) && channel.is_live());
            let rings_again = c.channels.iter().any(|channel| channel.decides == Some(index) && channel.rings());
            return if c.is_over() || !(stays || rings_again) || (phone.gave_away && !rings_again) {
                Status::Completed
            } else {
                Status::InProgress
            };
        }
        if c.click.is_some() && c.is_over() && self.agent_failed() {
            return Status::Cancelled;
        }
        // Named after the end (an OriginateResponse that came last): nobody will try it any more.
        let fate = match phone.fate {
            Fate::Trying if c.is_over() && phone.rang => Fate::RangOut,
            Fate::Trying if c.is_over() => Fate::Unreachable,
            fate => fate,
        };
        if self.direction == Direction::Incoming {
            if c.is_over() && !c.was_answered() {
                return Status::Missed;
            }
            return by_fate(fate);
        }
        let origin = self.direction == Direction::Outgoing && self.is_callers(phone);
        if !c.is_over() && (origin || fate == Fate::Trying) {
            return Status::Ringing;
        }
        if fate != Fate::Refused && self.caller_gave_up(index) {
            return Status::Cancelled;
        }
        by_fate(fate)
    }

    fn status_of_all(&self, lead: usize) -> Status {
        let c = self.conversation;
        if c.phones.iter().any(|p| p.talk_from.is_some()) {
            return Status::InProgress;
        }
        if c.phones.iter().any(|p| p.answered.is_some()) {
            return if c.is_over() { Status::Completed } else { Status::InProgress };
        }
        if !c.is_over() {
            return Status::Ringing;
        }
        // The best that happened to anybody: rang out before busy, busy before unreachable.
        let statuses: Vec<Status> = c.tried().map(|(i, _)| self.status(i)).collect();
        [Status::Missed, Status::Cancelled, Status::NoAnswer, Status::Busy, Status::Failed]
            .into_iter()
            .find(|s| statuses.contains(s))
            .unwrap_or_else(|| self.status(lead))
    }

    fn agent_failed(&self) -> bool {
        !matches!(Calls::agents_fate(self.conversation), Fate::Answered)
    }

    fn reason(&self, status: Status) -> Option<Reason> {
        match status {
            Status::Missed => Some(ending::reason(self.conversation)),
            Status::Cancelled
                if self.conversation.click.as_ref().is_some_and(|c| !c.cancelled) && self.agent_failed() =>
            {
                Some(match Calls::agents_fate(self.conversation) {
                    Fate::Refused => Reason::AgentBusy,
                    Fate::Unreachable | Fate::Trying => Reason::AgentUnreachable,
                    Fate::Answered | Fate::RangOut | Fate::Forwarded => Reason::AgentNoAnswer,
                })
            }
            _ => None,
        }
    }

    fn is_callers(&self, phone: &Phone) -> bool {
        let caller = self.conversation.caller_extension.as_deref();
        matches!(&phone.key, Some(PhoneKey::Extension(e)) if Some(e.as_str()) == caller)
    }

    /// The caller hung up while this phone was still being called.
    fn caller_gave_up(&self, index: usize) -> bool {
        let c = self.conversation;
        let caller = c.channels.iter().filter(|channel| {
            !channel.is_client
                && channel.decides.is_none()
                && matches!(channel.role, Role::Caller | Role::Originated | Role::Dialled)
        });
        let Some(asked) = caller.filter_map(|channel| channel.asked_hangup).map(|(at, _)| at).min() else {
            return c.click.as_ref().is_some_and(|k| k.cancelled);
        };
        c.channels
            .iter()
            .filter(|channel| channel.decides == Some(index))
            .any(|channel| channel.hung_up.is_none_or(|at| at >= asked - 100))
    }

    fn ended(&self, index: usize, record: &Record) -> Option<i64> {
        let c = self.conversation;
        let phone = &c.phones[index];
        if let Some(talked) = phone.talk_until.filter(|_| phone.answered.is_some()) {
            return self.called_back(index).or(Some(talked));
        }
        if record.lead && matches!(record.status, Status::Missed | Status::Cancelled) {
            return c.ended;
        }
        phone.ended.or(c.ended)
    }

    /// Called back after the talk (out of a parking lot) without an answer: the record ends with that ring.
    fn called_back(&self, index: usize) -> Option<i64> {
        let talked = self.conversation.phones[index].talk_until?;
        let again = self.conversation.channels.iter().filter(|channel| {
            channel.decides == Some(index)
                && channel.up_at.is_none()
                && channel.ring_from.is_some_and(|at| at >= talked)
        });
        again.filter_map(|channel| channel.hung_up).max()
    }

    fn ended_by(&self, index: usize, record: &Record) -> Option<EndedBy> {
        let c = self.conversation;
        let phone = &c.phones[index];
        if phone.answered.is_some() {
            if c.lost && c.is_over() && !phone.gave_away && phone.talk_until == c.ended {
                return c.ended_by;
            }
            let last = self.called_back(index).zip(c.over_at());
            if last.is_some_and(|(ring, end)| end - ring <= TOGETHER_MS) {
                return c.ended_by;
            }
            return ending::talk_ended_by(c, index);
        }
        if phone.fate == Fate::Refused {
            let client = self.direction == Direction::Outgoing && self.is_callers(phone);
            return Some(if client { EndedBy::Client } else { EndedBy::Us });
        }
        match record.status {
            Status::Failed => None,
            Status::Missed | Status::Cancelled if record.lead => c.ended_by,
            _ => {
                // It stopped ringing while the conversation went on: nobody ended anything.
                let end = c.over_at()?;
                let own = phone.ended?;
                let others_talked = c.phones.iter().any(|p| p.talk_until.is_some_and(|until| until > own));
                (end - own <= TOGETHER_MS && !others_talked).then_some(c.ended_by).flatten()
            }
        }
    }

    fn recordings(&self, heard: impl Fn(&RecordingRun) -> bool) -> Vec<Recording> {
        self.conversation
            .recordings
            .iter()
            .filter(|run| heard(run))
            .map(|run| Recording {
                id: run.id.clone(),
                file: run.file.clone(),
                started_at: Moment(run.from),
                // What becomes of the file afterwards is not seen in events.
                state: run.until.is_none().then_some(RecordingState::Recording),
                size: None,
            })
            .collect()
    }

    fn steps_of(&self, phone: &Phone) -> Vec<Arc<Step>> {
        let Some(name) = phone.key.as_ref().map(PhoneKey::name) else { return Vec::new() };
        let own = |step: &&Arc<Step>| step.who.as_deref() == Some(name) || step.to.as_deref() == Some(name);
        self.conversation.timeline.iter().filter(own).cloned().collect()
    }

    /// The time the client was with any person, each moment counted once.
    fn union_of_talks(&self) -> i64 {
        union(self.conversation.phones.iter().flat_map(|p| p.talks.iter().copied()).collect())
    }
}

/// How long these spans last, each moment counted once.
fn union(mut spans: Vec<(i64, i64)>) -> i64 {
    spans.sort_unstable();
    let (mut total, mut reached) = (0, i64::MIN);
    for (from, until) in spans {
        total += (until - from.max(reached)).max(0);
        reached = reached.max(until);
    }
    total
}

fn by_fate(fate: Fate) -> Status {
    match fate {
        Fate::Trying => Status::Ringing,
        Fate::Answered => Status::InProgress,
        Fate::RangOut | Fate::Forwarded => Status::NoAnswer,
        Fate::Refused => Status::Busy,
        Fate::Unreachable => Status::Failed,
    }
}

fn talked_during(phone: &Phone, run: &RecordingRun) -> bool {
    let until = run.until.unwrap_or(i64::MAX);
    let now = phone.talk_from.map(|from| (from, i64::MAX));
    phone.talks.iter().copied().chain(now).any(|(from, to)| from < until && to > run.from)
}
