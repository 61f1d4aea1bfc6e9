//! Who in the rows of one conversation is the client, who called, and which phones were tried.

use std::collections::{BTreeMap, BTreeSet};

use super::{Disposition, Row};
use crate::asterisk::{ChannelName, PbxId};
use crate::call::channels::caller_number;
use crate::call::model::{Fate, Ms, Party, PhoneKey};
use crate::call::record::Direction;
use crate::call::rules::Rules;
use crate::call::target;

/// A chain of Local channels longer than this is a loop.
const MAX_NESTING: usize = 16;

/// The rows of one conversation with what is needed to read them.
pub struct Reading<'a> {
    pub rows: Vec<&'a Row>,
    pub rules: &'a Rules,
    /// Whose rows they are.
    pub pbx: PbxId,
    /// The row of the channel that began it.
    pub root: usize,
    pub direction: Option<Direction>,
    /// The extension that called, of an outgoing or internal conversation.
    pub caller: Option<String>,
    /// Names of the client's channels.
    clients: BTreeSet<&'a str>,
    /// Names of the caller's channels, where an extension called.
    callers: BTreeSet<&'a str>,
}

/// One time a phone was tried, as one row has it.
pub struct Attempt<'a> {
    pub phone: PhoneKey,
    pub row: &'a Row,
    /// A person was joined with the other party from when to when.
    pub talk: Option<(Ms, Ms)>,
    pub fate: Fate,
    /// It was named in a Dial and got no channel.
    pub no_channel: bool,
}

impl<'a> Reading<'a> {
    /// Reads rows that stand in order of time. `None` if no channel of a party is among them.
    pub fn new(rows: Vec<&'a Row>, rules: &'a Rules, pbx: &str) -> Option<Self> {
        let mut reading = Self {
            rows,
            rules,
            pbx: rules.pbx_id(pbx),
            root: 0,
            direction: None,
            caller: None,
            clients: BTreeSet::new(),
            callers: BTreeSet::new(),
        };
        reading.root = reading.find_root()?;
        reading.find_sides();
        Some(reading)
    }

    pub fn root(&self) -> &'a Row {
        self.rows[self.root]
    }

    pub fn party(&self, name: &ChannelName) -> Option<Party> {
        self.rules.party(self.pbx, name)
    }

    /// The far end of a conversation of another exchange of ours, which tells of it.
    pub fn comes_from_peer(&self) -> bool {
        let trunk = self.party(&self.root().channel);
        matches!(trunk, Some(Party::Trunk(trunk)) if self.rules.peer(self.pbx, &trunk).is_some())
    }

    /// Whose channel was called: through a trunk between two of ours, somebody's extension there.
    fn called(&self, channel: &ChannelName) -> Option<Party> {
        match self.party(channel)? {
            Party::Trunk(trunk) if self.rules.peer(self.pbx, &trunk).is_some() => {
                let there = self.rules.extension_at_peer(self.pbx, &trunk, self.number_called(channel).as_deref());
                Some(there.map_or(Party::Trunk(trunk), Party::Extension))
            }
            party => Some(party),
        }
    }

    /// The conversations a client began: more than one where an attended transfer joined two clients.
    pub fn clients_who_called(rows: &[&'a Row], rules: &Rules, pbx: PbxId) -> Vec<&'a str> {
        let mut seen = BTreeSet::new();
        let mut called = Vec::new();
        for row in rows {
            let is_trunk = matches!(rules.party(pbx, &row.channel), Some(Party::Trunk(_)));
            // A channel that was called before it called is one of ours, or the customer of an outgoing call.
            if seen.insert(row.channel.as_str()) && is_trunk && row.is_first_side() {
                called.push(row.channel.as_str());
            }
            seen.insert(row.destination_channel.as_str());
        }
        called
    }

    /// The client's own channel goes before everybody's, a phone before a Local channel; of equals the oldest.
    fn find_root(&self) -> Option<usize> {
        let rank = |at: usize| {
            let row = self.rows[at];
            let party = self.party(&row.channel)?;
            let first = row.is_first_channel() && row.is_first_side();
            Some(match party {
                Party::Trunk(_) if first && !self.is_dialled_before(at) => 0,
                Party::Extension(_) if first && self.dials_outside(&row.channel) => 1,
                Party::Extension(_) if first => 2,
                Party::Local if first && row.channel.as_str().ends_with(";1") => 3,
                Party::Extension(_) | Party::Trunk(_) => 4,
                Party::Local => 5,
            })
        };
        (0..self.rows.len()).filter_map(|at| Some((rank(at)?, at))).min().map(|(_, at)| at)
    }

    fn is_dialled_before(&self, at: usize) -> bool {
        let name = &self.rows[at].channel;
        self.rows[..at].iter().any(|row| row.destination_channel == *name)
    }

    /// `channel`, or a Local channel it dialled, called a trunk.
    fn dials_outside(&self, channel: &ChannelName) -> bool {
        let asked = self.rows.iter().filter(|row| self.asked_by(row, channel));
        asked.into_iter().filter(|row| !row.is_meeting()).any(|row| {
            matches!(self.called(&row.destination_channel), Some(Party::Trunk(_)))
                || (row.destination_channel.as_str().is_empty()
                    && self.named(row).any(|(key, _)| matches!(key, PhoneKey::Outside(_))))
        })
    }

    /// `row`'s call was made for `channel`, maybe through Local channels.
    fn asked_by(&self, row: &Row, channel: &ChannelName) -> bool {
        let mut name = row.channel.clone();
        for _ in 0..MAX_NESTING {
            if name == *channel {
                return true;
            }
            let Some(near) = name.local_peer().filter(|_| name.as_str().ends_with(";2")) else { return false };
            match self.rows.iter().find(|row| row.destination_channel == near) {
                Some(above) => name = above.channel.clone(),
                None => return false,
            }
        }
        false
    }

    fn find_sides(&mut self) {
        let root = self.root();
        match self.party(&root.channel) {
            Some(Party::Trunk(_)) => {
                self.clients.insert(root.channel.as_str());
                self.direction = Some(Direction::Incoming);
            }
            Some(Party::Extension(extension)) => self.extension_called(extension, &root.channel),
            // An Originate through a Local channel: the agent is behind its other half.
            Some(Party::Local) => {
                let Some(peer) = root.channel.local_peer() else { return };
                let behind = self.rows.iter().filter(|row| row.channel == peer);
                let agent = behind.into_iter().find_map(|row| match self.party(&row.destination_channel) {
                    Some(Party::Extension(extension)) => Some((extension, row.destination_channel.as_str())),
                    _ => None,
                });
                if let Some((extension, name)) = agent {
                    self.callers.insert(name);
                    self.extension_called(extension, &root.channel);
                }
            }
            None => {}
        }
    }

    fn extension_called(&mut self, extension: String, channel: &'a ChannelName) {
        self.callers.insert(channel.as_str());
        let asked: Vec<&'a Row> = self.rows.iter().copied().filter(|row| self.asked_by(row, channel)).collect();
        if self.dials_outside(channel) {
            self.direction = Some(Direction::Outgoing);
            for row in asked {
                // One trunk after another is tried for the same customer.
                if !row.is_meeting() && matches!(self.called(&row.destination_channel), Some(Party::Trunk(_))) {
                    self.clients.insert(row.destination_channel.as_str());
                }
            }
        } else if asked.iter().any(|row| self.reaches_extension(row)) {
            self.direction = Some(Direction::Internal);
        }
        self.caller = Some(extension);
    }

    fn reaches_extension(&self, row: &Row) -> bool {
        match self.called(&row.destination_channel) {
            Some(Party::Extension(_)) => !row.is_meeting() && !row.runs(&["ParkedCall", "Page"]),
            Some(Party::Local) => row.runs(&["Dial", "Queue", "FollowMe"]),
            _ => row.destination_channel.as_str().is_empty() && self.named(row).next().is_some(),
        }
    }

    pub fn is_client(&self, name: &ChannelName) -> bool {
        self.clients.contains(name.as_str())
    }

    fn is_caller(&self, name: &ChannelName) -> bool {
        self.callers.contains(name.as_str())
    }

    /// The phones that the Dial of `row` names, with the channel it would have made.
    fn named(&self, row: &Row) -> impl Iterator<Item = (PhoneKey, ChannelName)> {
        let targets = if row.runs(&["Dial"]) { target::targets(&row.application_data) } else { Vec::new() };
        targets.into_iter().filter_map(|target| {
            let key = match self.party(&target.channel)? {
                Party::Extension(extension) => PhoneKey::Extension(extension),
                Party::Trunk(trunk) => match self.rules.extension_at_peer(self.pbx, &trunk, target.number.as_deref()) {
                    Some(there) => PhoneKey::Extension(there),
                    None => PhoneKey::Outside(target.number?),
                },
                Party::Local => return None,
            };
            Some((key, target.channel))
        })
    }

    /// The number that `row`, or the row that first called this channel, asked the trunk to call.
    pub fn number_called(&self, channel: &ChannelName) -> Option<String> {
        self.rows.iter().filter(|row| row.destination_channel == *channel).find_map(|row| {
            let same_trunk = |target: &target::Target| target.channel.endpoint() == channel.endpoint();
            let targets = if row.runs(&["Dial"]) { target::targets(&row.application_data) } else { Vec::new() };
            targets
                .iter()
                .find(|target| same_trunk(target))
                .or(targets.iter().find(|t| t.number.is_some()))?
                .number
                .clone()
        })
    }

    /// Every time a phone was tried, in the order in which they were named.
    pub fn attempts(&self) -> Vec<Attempt<'a>> {
        let mut attempts: Vec<Attempt<'a>> = Vec::new();
        for &row in &self.rows {
            attempts.extend(self.attempt(row));
        }
        let mut placed: BTreeSet<PhoneKey> = attempts.iter().map(|attempt| attempt.phone.clone()).collect();
        // Named in a Dial and not tried in any row: no channel came of it.
        for &row in &self.rows {
            for (phone, channel) in self.named(row) {
                let own = matches!(&phone, PhoneKey::Extension(extension) if Some(extension) == self.caller.as_ref());
                let customer = self.direction == Some(Direction::Outgoing) && matches!(phone, PhoneKey::Outside(_));
                let called = self.rows.iter().any(|row| {
                    !row.destination_channel.as_str().is_empty()
                        && row.destination_channel.endpoint() == channel.endpoint()
                });
                if customer && !self.client_was_dialled() {
                    // Outgoing: the customer's fate is that of our caller's record.
                    let caller = self.caller.clone().map(PhoneKey::Extension);
                    attempts.extend(caller.map(|phone| Attempt::without_channel(phone, row)));
                } else if !own && !customer && !called && placed.insert(phone.clone()) {
                    attempts.push(Attempt::without_channel(phone, row));
                }
            }
        }
        attempts.sort_by_key(|attempt| attempt.row.start);
        self.in_order_of_naming(attempts)
    }

    fn client_was_dialled(&self) -> bool {
        self.rows.iter().any(|row| self.is_client(&row.destination_channel))
    }

    /// Phones of one Dial in the order in which it names them; the caller of an outgoing call first.
    fn in_order_of_naming(&self, mut attempts: Vec<Attempt<'a>>) -> Vec<Attempt<'a>> {
        let mut places: BTreeMap<PhoneKey, usize> = BTreeMap::new();
        if let (Some(Direction::Outgoing), Some(caller)) = (self.direction, &self.caller) {
            places.insert(PhoneKey::Extension(caller.clone()), 0);
        }
        for attempt in &attempts {
            for (phone, _) in self.named(attempt.row) {
                let next = places.len();
                places.entry(phone).or_insert(next);
            }
            let next = places.len();
            places.entry(attempt.phone.clone()).or_insert(next);
        }
        attempts.sort_by_key(|attempt| (places.get(&attempt.phone).copied(), attempt.row.start));
        attempts
    }

    /// What one row says of a phone.
    fn attempt(&self, row: &'a Row) -> Option<Attempt<'a>> {
        let (channel, dest) = (&row.channel, &row.destination_channel);
        let outgoing = self.direction == Some(Direction::Outgoing);
        if dest.as_str().is_empty() {
            return None;
        }
        if outgoing
            && (self.is_client(dest) && !self.is_client(channel) || self.is_client(channel) && self.is_caller(dest))
        {
            let by_caller = self.is_caller(channel) || self.is_caller(dest) || self.asked_by(row, &self.root().channel);
            let caller = self.caller.clone().filter(|_| by_caller)?;
            return Some(self.tried(PhoneKey::Extension(caller), row));
        }
        if self.is_client(dest) || self.is_caller(dest) {
            return None;
        }
        let phone = match self.called(dest)? {
            Party::Extension(extension) => PhoneKey::Extension(extension),
            Party::Trunk(_) => {
                let number = self.number_called(dest).or_else(|| {
                    let own = self.rows.iter().find(|row| row.channel == *dest)?;
                    caller_number(&own.source)
                })?;
                PhoneKey::Outside(number)
            }
            // Who is behind it has rows of his own, unless nobody was found there.
            Party::Local => {
                let pair = dest.local_pair()?;
                if self.rows.iter().any(|row| row.channel.local_pair() == Some(pair)) {
                    return None;
                }
                let extension = dest.endpoint().split('@').next().unwrap_or_default();
                PhoneKey::Extension(
                    Some(extension).filter(|e| self.rules.numbers.at(self.pbx.0).is_extension(e))?.to_owned(),
                )
            }
        };
        Some(self.tried(phone, row))
    }

    fn tried(&self, phone: PhoneKey, row: &'a Row) -> Attempt<'a> {
        let talk = (row.disposition == Disposition::Answered).then(|| (self.joined_at(row), row.end));
        let fate = match row.disposition {
            Disposition::Answered => Fate::Answered,
            // A provider that turns the number away at once (404) is NO ANSWER, too; no customer rings for no time at all.
            Disposition::NoAnswer
                if self.direction == Some(Direction::Outgoing)
                    && self.is_client(&row.destination_channel)
                    && row.end == row.start =>
            {
                Fate::Unreachable
            }
            Disposition::NoAnswer => Fate::RangOut,
            Disposition::Busy => Fate::Refused,
            Disposition::Failed => Fate::Unreachable,
        };
        Attempt { phone, row, talk, fate, no_channel: false }
    }

    /// The row of the Queue that had this phone called, maybe through a Local channel.
    pub fn queue_of(&self, row: &'a Row) -> Option<&'a Row> {
        let mut row = row;
        for _ in 0..MAX_NESTING {
            if row.runs(&["Queue"]) {
                return Some(row);
            }
            let near = row.channel.local_peer().filter(|_| row.channel.as_str().ends_with(";2"))?;
            row = self.rows.iter().copied().find(|above| above.destination_channel == near)?;
        }
        None
    }

    /// When this phone was joined with the client. A queue answers its client itself, before any phone: then the phones that
    /// stopped ringing for it say when.
    fn joined_at(&self, row: &Row) -> Ms {
        let answer = row.answer.unwrap_or(row.start).max(row.start);
        if !row.runs(&["Queue"]) {
            return answer;
        }
        let others = self.rows.iter().filter(|other| {
            other.channel == row.channel
                && other.runs(&["Queue"])
                && other.disposition != Disposition::Answered
                && (row.start..=row.end).contains(&other.end)
        });
        others.map(|other| other.end).max().unwrap_or(answer).max(answer)
    }
}

impl<'a> Attempt<'a> {
    fn without_channel(phone: PhoneKey, row: &'a Row) -> Self {
        Self { phone, row, talk: None, fate: Fate::Unreachable, no_channel: true }
    }
}

impl Row {
    /// A conference, which pairs whoever is in it.
    pub fn is_meeting(&self) -> bool {
        self.runs(&["ConfBridge", "MeetMe"])
    }

    /// A channel that runs the dialplan, not one that was called and is shown as calling because of a transfer.
    fn is_first_side(&self) -> bool {
        !self.runs(&["AppDial", "AppDial2", "AppQueue"])
    }
}
