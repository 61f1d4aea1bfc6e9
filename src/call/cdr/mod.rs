//! Call detail records: what Asterisk itself wrote of calls that nobody listened to, and which records they give.
//!
//! A row says less than the events did: who called whom through which channels, when, with which application last, and
//! whether it was "answered", which a greeting is, too. [`gather`] finds the rows that belong to one conversation,
//! [`parties`] who in them is the client and who a phone of ours, [`story`] makes a [`Conversation`](super::Conversation)
//! of them, so that statuses, reasons, leads and the rest are decided where they always are ([`super::render`]), and
//! [`compare`] holds the outcome against what is known already. Where rows come from is the business of the adapter `cdr/`.
//!
//! What a row cannot tell is absent from the record: who hung up, the hang-up cause, keys pressed in a menu, and, for a client
//! who had been answered by the dialplan before, how long a phone rang.

pub mod compare;
pub mod gather;
mod parties;
mod story;

pub use gather::gather;
pub use story::{Found, found};

use super::model::Ms;
use crate::asterisk::ChannelName;

/// One row as Asterisk wrote it, its times made UTC.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Of the channel; `None` where the source has no such column.
    pub uniqueid: Option<Box<str>>,
    /// Of the whole call; `None` where the source has no such column or it is empty.
    pub linkedid: Option<Box<str>>,
    /// Orders rows that began in the same second.
    pub sequence: Option<u64>,
    /// `src`: the caller id number at the end of the call.
    pub source: Box<str>,
    /// `dst`: the extension the dialplan was at, at the end.
    pub destination: Box<str>,
    /// `dcontext`
    pub context: Box<str>,
    /// The name in `clid`.
    pub caller_name: Box<str>,
    pub channel: ChannelName,
    /// Empty if no other channel was dialled or joined.
    pub destination_channel: ChannelName,
    /// `lastapp` and `lastdata`.
    pub application: Box<str>,
    pub application_data: Box<str>,
    pub start: Ms,
    /// When `channel` was answered, by whomever: a greeting counts.
    pub answer: Option<Ms>,
    pub end: Ms,
    pub disposition: Disposition,
    /// The outside number called, where the dialplan keeps it (FreePBX does).
    pub did: Box<str>,
    /// The file of the recording, if the row names one.
    pub recording: Box<str>,
}

/// `disposition`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Disposition {
    Answered,
    NoAnswer,
    Busy,
    /// `FAILED`, `CONGESTION` and whatever comes later.
    #[default]
    Failed,
}

impl Disposition {
    pub fn parse(text: &str) -> Self {
        match text {
            "ANSWERED" => Self::Answered,
            "NO ANSWER" | "NOANSWER" => Self::NoAnswer,
            "BUSY" => Self::Busy,
            _ => Self::Failed,
        }
    }
}

impl Row {
    /// What its call is known by: the linkedid, or the uniqueid where there is none.
    pub fn call_id(&self) -> Option<&str> {
        self.linkedid.as_deref().or(self.uniqueid.as_deref())
    }

    /// The application, as one asks for it.
    fn runs(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.application.eq_ignore_ascii_case(name))
    }

    /// Whether the channel is the first one of its call.
    fn is_first_channel(&self) -> bool {
        self.linkedid.is_none() || self.linkedid == self.uniqueid
    }
}
