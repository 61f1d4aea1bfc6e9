//! How it ends: who hung up, where the client was lost, what was recorded.
//!
//! Rests on HangupRequest (the first one is of the party that hung up), VarSet MIXMONITOR_FILENAME, MixMonitorStart and
//! Stop, and Cdr (only for the recording's name: its disposition does not tell a person from a machine).

use super::model::{Channel, Conversation, Fate, Phone, RecordingRun, Role, Stage};
use super::record::{Direction, EndedBy, Reason, StepKind, step};
use super::resync::Identified;
use super::{Calls, Deadline, Key};
use crate::asterisk::event::Cdr;
use crate::asterisk::{Leg, PbxId, Text, Uniqueid};

/// The events of one hang-up come within this time of each other.
const TOGETHER_MS: i64 = 200;
/// A conversation that ended so soon after its last talk ended with it.
const WITH_THE_TALK_MS: i64 = 1_500;
/// Recordings of one conversation; a feature key toggles one each time.
const MAX_RECORDINGS: usize = 64;
/// Answers of FastAGI that wait for their channel's Newchannel; it is milliseconds away, or never comes (its events are
/// filtered).
const MAX_IDENTIFIED_EARLY: usize = 256;

impl Calls {
    /// Ends a conversation without live channels, unless an Originate of it may still make one.
    pub(super) fn end_if_empty(&mut self, key: Key) {
        let conversation = self.conversation(key);
        if conversation.is_over() || conversation.channels.iter().any(Channel::is_live) {
            return;
        }
        let waits = conversation.click.as_ref().is_some_and(|c| {
            let before_any_channel = conversation.channels.is_empty() && !c.failed && !c.agent_up;
            // The agent's leg is gone; OriginateResponse says whether it was a time-out.
            let before_response = !c.agent_up && !c.failed;
            before_any_channel || before_response
        });
        if !waits {
            self.finish(key);
        } else if !conversation.channels.is_empty() {
            self.remind(10_000, Deadline::Originate(key));
        }
    }

    pub(super) fn finish(&mut self, key: Key) {
        let wall = self.wall();
        let linger_ms = self.rules.linger_ms;
        let conversation = self.conversation(key);
        let acted = self.exchanges.get(&conversation.pbx_id).and_then(|e| e.acted_at);
        let guest = conversation.consulting.as_ref().and_then(|guest| self.channel(conversation.pbx_id, guest));
        let went_back = guest.is_some_and(|(_, guest)| guest.is_live());
        let conversation = self.conversation_mut(key);
        conversation.ended = Some(wall);
        for index in 0..conversation.phones.len() {
            super::bridging::end_talk(conversation, index, wall);
            let phone = &mut conversation.phones[index];
            if phone.fate == Fate::Trying {
                phone.fate = if phone.rang { Fate::RangOut } else { Fate::Unreachable };
            }
            phone.ended.get_or_insert(wall);
        }
        for recording in &mut conversation.recordings {
            recording.until.get_or_insert(wall);
        }
        if let Some(queue) = &mut conversation.queue {
            queue.left.get_or_insert(wall);
        }
        conversation.ended_by = ended_by(conversation, acted);
        // By feature code (`atxferabort`) the transferer just goes back to his client.
        if went_back && conversation.ended_by == Some(EndedBy::Pbx) && conversation.was_answered() {
            conversation.ended_by = Some(EndedBy::Us);
        }
        // A transfer nobody was tried for: the giver knows at least what he dialled.
        if let Some(transfer) = conversation.pending_transfer.take()
            && let Some(giver) = transfer.from_phone.and_then(|i| conversation.phones.get_mut(i))
            && giver.transferred_to.is_none()
        {
            giver.transferred_to = Some(transfer.exten).filter(|exten| !exten.is_empty());
            giver.transfer = Some(transfer.kind);
        }
        let how = match conversation.ended_by {
            Some(EndedBy::Client) => "client",
            Some(EndedBy::Us) => "us",
            Some(EndedBy::Pbx) => "pbx",
            None => "unknown",
        };
        conversation.step(step(StepKind::Hangup, wall).how(how));
        let (pbx, guest) = (conversation.pbx_id, conversation.consulting.take());
        if let Some(guest) = guest {
            self.exchange(pbx).consultations.remove(&guest);
        }
        self.counts.conversations += 1;
        self.remind(linger_ms, Deadline::Forget(key));
        self.touch(key);
    }

    /// A recording began, and its file is known (VarSet `MIXMONITOR_FILENAME`).
    pub(super) fn recording_started(&mut self, key: Key, uniqueid: &Uniqueid, file: &Text) {
        let wall = self.wall();
        let conversation = self.conversation_mut(key);
        let known = conversation.recordings.iter().any(|r| r.file == **file);
        if file.is_empty() || known || conversation.recordings.len() >= MAX_RECORDINGS {
            return;
        }
        conversation.unnamed_recording = None;
        let id = format!("{}-r{}", conversation.birth_id, conversation.recordings.len() + 1);
        conversation.recordings.push(RecordingRun {
            id,
            file: file.to_string(),
            from: wall,
            until: None,
            channel: Some(uniqueid.clone()),
        });
        conversation.step(step(StepKind::Recording, wall).place(base_name(file).to_owned()));
        self.touch(key);
    }

    /// MixMonitorStart and Stop name only the channel.
    pub(super) fn mixmonitor(&mut self, pbx: PbxId, leg: &Leg, started: bool) {
        let wall = self.wall();
        let Some(key) = self.known(pbx, &leg.uniqueid) else { return };
        let conversation = self.conversation_mut(key);
        let running = conversation
            .recordings
            .iter_mut()
            .filter(|r| r.channel.as_ref() == Some(&leg.uniqueid) && r.until.is_none());
        if started {
            if running.count() == 0 {
                conversation.unnamed_recording.get_or_insert(wall);
            }
        } else {
            // On a hang-up this comes with the end of the talk.
            for recording in running {
                recording.until = Some(wall);
            }
        }
    }

    /// Cdr: where neither class `dialplan` nor MixMonitor named the file, its mapping or user field may.
    pub(super) fn cdr(&mut self, pbx: PbxId, cdr: &Cdr) {
        if !is_recording(&cdr.recording_file) {
            return;
        }
        let Some(key) = self.find(pbx, &cdr.uniqueid).or_else(|| self.find(pbx, &cdr.linkedid)) else { return };
        let conversation = self.conversation_mut(key);
        let name = base_name(&cdr.recording_file);
        let stem =
            |file: &str| base_name(file).rsplit_once('.').map_or(base_name(file).to_owned(), |(s, _)| s.to_owned());
        let known = conversation.recordings.iter().any(|r| stem(&r.file) == stem(name));
        if known || conversation.recordings.len() >= MAX_RECORDINGS {
            return;
        }
        let from = conversation.unnamed_recording.unwrap_or(conversation.born);
        let id = format!("{}-r{}", conversation.birth_id, conversation.recordings.len() + 1);
        conversation.recordings.push(RecordingRun {
            id,
            file: cdr.recording_file.to_string(),
            from,
            until: conversation.ended,
            channel: None,
        });
        self.touch(key);
    }

    /// FastAGI found out who the caller is.
    pub(super) fn caller_identified(
        &mut self,
        pbx: PbxId,
        uniqueid: &Uniqueid,
        client_id: Option<Text>,
        client_name: Option<Text>,
    ) {
        let Some(key) = self.find(pbx, uniqueid) else {
            // AMI and FastAGI are two lines: the script may be done before its channel's Newchannel is here.
            let early = &mut self.exchange(pbx).identified_early;
            if early.len() == MAX_IDENTIFIED_EARLY {
                early.pop_front();
            }
            early.push_back(Identified { uniqueid: uniqueid.clone(), client_id, client_name });
            return;
        };
        let conversation = self.conversation_mut(key);
        conversation.client_id = client_id.map(String::from).or(conversation.client_id.take());
        conversation.client_name = client_name.map(String::from).or(conversation.client_name.take());
        self.touch(key);
    }

    /// What FastAGI said of this channel before it was known.
    pub(super) fn identified_early(&mut self, pbx: PbxId, uniqueid: &Uniqueid) {
        let early = &mut self.exchange(pbx).identified_early;
        let at = early.iter().position(|i| i.uniqueid == *uniqueid);
        if let Some(Identified { uniqueid, client_id, client_name }) = at.and_then(|at| early.remove(at)) {
            self.caller_identified(pbx, &uniqueid, client_id, client_name);
        }
    }
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// A user field may hold anything: only what looks like a sound file is one.
pub(super) fn is_recording(file: &str) -> bool {
    const SOUNDS: [&str; 14] =
        ["wav", "wav49", "mp3", "ogg", "opus", "gsm", "ulaw", "alaw", "sln", "sln16", "g722", "g729", "flac", "m4a"];
    base_name(file)
        .rsplit_once('.')
        .is_some_and(|(name, end)| !name.is_empty() && SOUNDS.contains(&end.to_ascii_lowercase().as_str()))
}

/// Whose request to hang up a channel stands for.
fn side(channel: &Channel) -> EndedBy {
    if channel.is_client { EndedBy::Client } else { EndedBy::Us }
}

/// The first request to hang up among `channels` between two moments.
fn first_request<'a>(channels: impl Iterator<Item = &'a Channel>, from: i64, until: i64) -> Option<EndedBy> {
    channels
        .filter(|c| !c.is_local())
        .filter_map(|c| Some((c.asked_hangup?, side(c))))
        .filter(|((at, _), _)| (from..=until).contains(at))
        .min_by_key(|((_, order), _)| *order)
        .map(|(_, side)| side)
}

/// Since when the talk of this phone that ended at `until` went on: a request to hang up in it ended it, however slowly.
fn talk_began(phone: &Phone, until: i64) -> i64 {
    phone.talks.last().filter(|(_, end)| *end == until).map_or(until - TOGETHER_MS, |(from, _)| *from)
}

/// Whose channel was gone before the talk was over did not end it.
fn was_there(channel: &Channel, until: i64) -> bool {
    channel.hung_up.is_none_or(|at| at >= until - TOGETHER_MS)
}

/// Nobody asked to hang up, and somebody pressed a key just then: the feature code that ends a talk.
fn feature_code<'a>(channels: impl Iterator<Item = &'a Channel>, from: i64, until: i64) -> Option<EndedBy> {
    channels.filter(|c| c.pressed_key.is_some_and(|at| (from..=until).contains(&at))).map(side).next()
}

/// Who ended the whole conversation.
fn ended_by(conversation: &Conversation, acted: Option<i64>) -> Option<EndedBy> {
    let end = conversation.ended?;
    let over = conversation.over_at()?;
    if conversation.lost {
        return conversation.restarted.then_some(EndedBy::Pbx);
    }
    let last_talk = conversation.phones.iter().filter_map(|p| Some((p.talk_until?, p))).max_by_key(|(until, _)| *until);
    let parties = conversation.channels.iter();
    let found = match last_talk {
        Some((talk, phone)) if over - talk <= WITH_THE_TALK_MS => {
            let parties = parties.filter(|c| was_there(c, talk));
            first_request(parties.clone(), talk_began(phone, talk), end)
                .or_else(|| feature_code(parties, talk - TOGETHER_MS, talk))
        }
        // After the last talk, or without one, only who called can end it; what rings is called off.
        _ => first_request(
            parties.filter(|c| c.is_client || matches!(c.role, Role::Caller | Role::Originated)),
            conversation.born,
            end,
        ),
    };
    let by_guest = conversation.guest_asked_hangup.is_some_and(|at| (end - TOGETHER_MS..=end).contains(&at));
    let found = found.or(by_guest.then_some(EndedBy::Us));
    let by_action = acted.is_some_and(|at| (end - TOGETHER_MS..=end).contains(&at));
    let cancelled = conversation.click.as_ref().is_some_and(|c| c.cancelled);
    Some(found.unwrap_or(if by_action || cancelled { EndedBy::Us } else { EndedBy::Pbx }))
}

/// Who ended the talk of the phone `index`.
pub(super) fn talk_ended_by(conversation: &Conversation, index: usize) -> Option<EndedBy> {
    let phone = &conversation.phones[index];
    let until = phone.talk_until?;
    if phone.gave_away {
        return Some(EndedBy::Us);
    }
    let parties = conversation
        .channels
        .iter()
        .filter(|c| c.phone == Some(index) || c.is_client || matches!(c.role, Role::Caller | Role::Originated))
        .filter(|c| was_there(c, until));
    let together = until - TOGETHER_MS..=until + TOGETHER_MS;
    let by_guest = conversation.guest_asked_hangup.is_some_and(|at| together.contains(&at)).then_some(EndedBy::Us);
    first_request(parties, talk_began(phone, until), *together.end()).or(by_guest).or(phone.ended_by).or_else(|| {
        let with_the_end = conversation.over_at().is_some_and(|over| over - until <= WITH_THE_TALK_MS);
        if with_the_end { conversation.ended_by } else { Some(EndedBy::Pbx) }
    })
}

/// Where the client of a conversation nobody answered was lost.
pub(super) fn reason(conversation: &Conversation) -> Reason {
    let client_left = conversation.client_channels().any(|c| c.asked_hangup.is_some());
    if conversation.lost && !client_left && conversation.stage != Stage::Voicemail {
        return Reason::Lost;
    }
    if conversation.agi_runs && matches!(conversation.stage, Stage::None | Stage::Greeting) {
        return Reason::Lookup;
    }
    match conversation.stage {
        Stage::Voicemail => Reason::Voicemail,
        Stage::Menu => Reason::Menu,
        Stage::DialplanError => Reason::DialplanError,
        Stage::Greeting => Reason::Greeting,
        Stage::Queue => queue_reason(conversation, client_left),
        Stage::Dial if conversation.has_phones() => phones_reason(conversation, client_left),
        Stage::None | Stage::Dial if conversation.has_phones() => phones_reason(conversation, client_left),
        Stage::None | Stage::Dial => nowhere_reason(conversation, client_left),
    }
}

/// A phone was being called for the client when he left: it rang, or it had been taken off and was asked for a key, or told
/// who calls, before it was joined with him.
fn rang_at_the_end(conversation: &Conversation) -> bool {
    let end = conversation.ended.unwrap_or(i64::MAX);
    let left = conversation.client_channels().filter_map(|c| c.asked_hangup.map(|(at, _)| at)).min().unwrap_or(end);
    conversation.channels.iter().any(|c| {
        let until = if c.up_at.is_some() { c.hung_up } else { c.ring_until };
        c.decides.is_some()
            && !c.refused()
            && c.ring_from.is_some_and(|from| from <= left)
            && until.is_none_or(|until| until >= left)
    })
}

fn queue_reason(conversation: &Conversation, client_left: bool) -> Reason {
    let Some(queue) = &conversation.queue else { return Reason::Queue };
    let thrown_out = queue
        .status
        .as_deref()
        .is_some_and(|s| matches!(s, "JOINEMPTY" | "FULL" | "LEAVEEMPTY" | "JOINUNAVAIL" | "LEAVEUNAVAIL"));
    if client_left && rang_at_the_end(conversation) {
        return Reason::Abandoned;
    }
    // He may have waited to its end and hung up in what the dialplan played then.
    let asked = conversation.client_channels().filter_map(|c| c.asked_hangup.map(|(at, _)| at)).min();
    let in_queue = queue.left.is_none_or(|left| asked.is_some_and(|at| at <= left + TOGETHER_MS));
    if client_left && in_queue {
        return Reason::Queue;
    }
    if queue.rang && !thrown_out { Reason::NoAnswer } else { Reason::Queue }
}

/// Rang out goes before busy, busy before unreachable.
fn phones_reason(conversation: &Conversation, client_left: bool) -> Reason {
    if client_left && rang_at_the_end(conversation) {
        return Reason::Abandoned;
    }
    let fates: Vec<Fate> = conversation.tried().map(|(_, p)| p.fate).collect();
    if fates.iter().any(|f| matches!(f, Fate::RangOut | Fate::Answered)) {
        Reason::NoAnswer
    } else if fates.contains(&Fate::Refused) {
        Reason::Busy
    } else if fates.iter().all(|f| *f == Fate::Forwarded) && !fates.is_empty() {
        Reason::NoAnswer
    } else {
        Reason::Unreachable
    }
}

/// No stage was seen at all: the dialplan refused, is wrong, or is hidden from us.
fn nowhere_reason(conversation: &Conversation, client_left: bool) -> Reason {
    // FollowMe and the like that found nobody ran as a Dial; a Hangup after that is no stage of its own.
    if conversation.dialplan_seen && !client_left && conversation.stage == Stage::Dial {
        return Reason::Unreachable;
    }
    if conversation.dialplan_refused {
        return Reason::Rejected;
    }
    if conversation.dialplan_seen && !client_left {
        return Reason::DialplanError;
    }
    let was_up = conversation.client_channels().any(|c| c.up_at.is_some());
    if was_up || client_left {
        return Reason::Greeting;
    }
    // Without any `Newexten` only the cause is left: 17, 21 and 34 are Busy, Hangup(21) and Congestion; 0 is a dialplan
    // that ran into nothing (a missing application in its first step announces none).
    match conversation.client_channels().find_map(|c| c.cause) {
        Some(17 | 21 | 34) => Reason::Rejected,
        Some(0) => Reason::DialplanError,
        _ => Reason::Unreachable,
    }
}

/// The dialplan turned our own caller's number away before any dial.
pub(super) fn is_refused_number(conversation: &Conversation) -> bool {
    let Some(caller) = conversation.channels.iter().find(|c| c.role == Role::Caller) else { return false };
    let feature = conversation.to.as_deref().is_none_or(|to| to.starts_with(['*', '#']));
    let by_us = caller.asked_hangup.is_some();
    let refused = conversation.invalid || (caller.up_at.is_none() && conversation.dialplan_refused);
    let fell_off = caller.up_at.is_none() && conversation.dialplan_seen && conversation.stage == Stage::DialplanError;
    // Without any `Newexten` only the cause of the hang-up says so: no route, subscriber absent, congestion and the like.
    let unseen = caller.up_at.is_none()
        && !conversation.dialplan_seen
        && matches!(caller.cause, Some(1..=3 | 20 | 21 | 27 | 34 | 38 | 66));
    conversation.direction.is_none()
        && !feature
        && !by_us
        && !conversation.has_phones()
        && (refused || fell_off || unseen)
}

/// A refused number gets its direction at the end: outgoing if it does not look like an extension.
pub(super) fn refused_direction(
    conversation: &Conversation,
    looks_internal: impl Fn(&str) -> bool,
) -> Option<Direction> {
    if !conversation.is_over() || !is_refused_number(conversation) {
        return None;
    }
    let to = conversation.to.as_deref()?;
    Some(if looks_internal(to) { Direction::Internal } else { Direction::Outgoing })
}
