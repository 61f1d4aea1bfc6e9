//! The small closed sets of Asterisk: channel states, dial statuses, hang-up causes.

use std::fmt;

/// `ChannelState` of an event: what a channel is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ChannelState {
    /// 0: exists, nothing has happened. Also the first state of an incoming chan_sip channel.
    #[default]
    Down,
    /// 4 (`Ring`): an incoming channel before its answer.
    Ring,
    /// 5 (`Ringing`): the phone behind this channel rings.
    Ringing,
    /// 6: answered.
    Up,
    /// 7: the phone behind this channel is busy.
    Busy,
    /// Every other number (reserved, off-hook, dialling, pre-ring ...).
    Other(u8),
}

impl ChannelState {
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Down,
            4 => Self::Ring,
            5 => Self::Ringing,
            6 => Self::Up,
            7 => Self::Busy,
            other => Self::Other(other),
        }
    }
}

/// `DialStatus` of a `DialEnd` or `DialState`, or the value of the channel variable `DIALSTATUS`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DialStatus {
    Answer,
    NoAnswer,
    Busy,
    Cancel,
    Congestion,
    ChanUnavail,
    InvalidArgs,
    Ringing,
    Progress,
    Proceeding,
    /// `ABORT`, `GOTO`, `CONTINUE`, `DONTCALL`, `TORTURE` and whatever comes later.
    Other,
}

impl DialStatus {
    pub fn parse(text: &str) -> Self {
        match text {
            "ANSWER" | "ANSWERED" => Self::Answer,
            "NOANSWER" | "NO ANSWER" => Self::NoAnswer,
            "BUSY" => Self::Busy,
            "CANCEL" => Self::Cancel,
            "CONGESTION" => Self::Congestion,
            "CHANUNAVAIL" => Self::ChanUnavail,
            "INVALIDARGS" => Self::InvalidArgs,
            "RINGING" => Self::Ringing,
            "PROGRESS" => Self::Progress,
            "PROCEEDING" => Self::Proceeding,
            _ => Self::Other,
        }
    }
}

/// A Q.850 hang-up cause as Asterisk gives it in `Cause`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct HangupCause(pub u16);

impl HangupCause {
    /// 0: Asterisk does not know; also for a caller who left before an answer (chan_sip, Asterisk 22).
    pub const UNKNOWN: Self = Self(0);
    pub const UNALLOCATED: Self = Self(1);
    pub const NORMAL: Self = Self(16);
    pub const USER_BUSY: Self = Self(17);
    pub const NO_USER_RESPONSE: Self = Self(18);
    /// 19: also what SIP 480 becomes.
    pub const NO_ANSWER: Self = Self(19);
    /// 21: SIP 603 and 403, and `Hangup(21)`.
    pub const REJECTED: Self = Self(21);
    /// 26: another phone of the group took the call.
    pub const ANSWERED_ELSEWHERE: Self = Self(26);

    /// The phone itself turned the call away (486, 480, 600, 603).
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::USER_BUSY | Self::NO_ANSWER | Self::REJECTED)
    }
}

impl fmt::Display for HangupCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
