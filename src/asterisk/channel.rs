//! Channel names, uniqueids and bridge ids: what Asterisk calls its things.

use std::fmt;
use std::sync::Arc;

/// The name of a channel, `TECH/endpoint-suffix` or `Local/exten@context-number;half`.
///
/// Names are reused after a restart of Asterisk (`PJSIP/trunk-00000000` comes again), so a channel is identified by
/// its [`Uniqueid`]; the name says what it *is*.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ChannelName(Box<str>);

/// Which end of a Local pair a channel is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Half {
    /// `;1`, the end that is dialled.
    One,
    /// `;2`, the end that runs the dialplan.
    Two,
}

impl ChannelName {
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `PJSIP`, `SIP`, `Local`, `DAHDI` ...; empty if there is no slash.
    pub fn technology(&self) -> &str {
        self.0.split_once('/').map_or("", |(technology, _)| technology)
    }

    /// The endpoint: `101` of `PJSIP/101-0000005e`, `trunk-msk` of `SIP/trunk-msk-00000003`, `i1/7495...` of a
    /// DAHDI channel's first piece. For a Local channel the dialled `exten@context`.
    pub fn endpoint(&self) -> &str {
        let rest = self.0.split_once('/').map_or(&*self.0, |(_, rest)| rest);
        let rest = rest.split(';').next().unwrap_or(rest);
        // The suffix is a counter in hex (`-0000005e`) or decimal (`DAHDI/1-1`); an endpoint may itself hold dashes.
        match rest.rfind('-') {
            Some(at) if is_suffix(&rest[at + 1..]) => &rest[..at],
            _ => rest,
        }
    }

    pub fn is_local(&self) -> bool {
        self.0.starts_with("Local/")
    }

    /// Names that Asterisk gives to channels which are no party of any call: conference announcers and recorders,
    /// `Surrogate/` (the double of a channel in mid-transfer), `Message/`, and the like.
    pub fn is_internal(&self) -> bool {
        const INTERNAL: [&str; 9] =
            ["Message", "CBAnn", "CBRec", "Announcer", "Recorder", "Surrogate", "Bridge", "MulticastRTP", "AsyncGoto"];
        let technology = self.technology();
        INTERNAL.contains(&technology) || self.0.contains("<ZOMBIE>")
    }

    /// The half of a Local pair, `None` for every other channel.
    pub fn local_half(&self) -> Option<Half> {
        if !self.is_local() {
            return None;
        }
        if self.0.ends_with(";1") {
            Some(Half::One)
        } else if self.0.ends_with(";2") {
            Some(Half::Two)
        } else {
            None
        }
    }

    /// The name both halves of a Local pair share (`Local/102@ctx-00000001`), `None` for every other channel.
    pub fn local_pair(&self) -> Option<&str> {
        self.local_half().map(|_| &self.0[..self.0.len() - 2])
    }

    /// The other half's name.
    pub fn local_peer(&self) -> Option<ChannelName> {
        let pair = self.local_pair()?;
        let other = match self.local_half()? {
            Half::One => 2,
            Half::Two => 1,
        };
        Some(ChannelName(format!("{pair};{other}").into()))
    }
}

fn is_suffix(text: &str) -> bool {
    !text.is_empty() && text.len() <= 8 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl From<&str> for ChannelName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Asterisk's id of a channel, `EPOCH.COUNTER` or what an Originate's `ChannelId` asked for.
///
/// An opaque text: `…​.1` and `….10` are different channels, and never a number. Cheap to clone, since it is the key of
/// everything the core keeps.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uniqueid(Arc<str>);

impl Uniqueid {
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Uniqueid {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl Default for Uniqueid {
    fn default() -> Self {
        Self::new("")
    }
}

impl fmt::Display for Uniqueid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uniqueid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Asterisk's id of a bridge, a UUID as text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BridgeId(Arc<str>);

impl BridgeId {
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for BridgeId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_technology_endpoint_and_half() {
        for (name, technology, endpoint) in [
            ("PJSIP/101-0000005e", "PJSIP", "101"),
            ("SIP/trunk-msk-00000003", "SIP", "trunk-msk"),
            ("DAHDI/1-1", "DAHDI", "1"),
            ("DAHDI/i1/74951234567-5", "DAHDI", "i1/74951234567"),
            ("IAX2/office-beef", "IAX2", "office"),
            ("Local/102@from-queue-00000004;2", "Local", "102@from-queue"),
            ("PJSIP/a-trunk", "PJSIP", "a-trunk"),
            ("garbage", "", "garbage"),
            ("", "", ""),
        ] {
            let channel = ChannelName::new(name);
            assert_eq!((channel.technology(), channel.endpoint()), (technology, endpoint), "{name}");
        }
    }

    #[test]
    fn the_halves_of_a_local_pair_find_each_other() {
        let one = ChannelName::new("Local/102@from-queue-00000004;1");
        assert_eq!(one.local_half(), Some(Half::One));
        assert_eq!(one.local_peer().map(|c| c.to_string()).as_deref(), Some("Local/102@from-queue-00000004;2"));
        assert_eq!(ChannelName::new("PJSIP/101-0000005e").local_peer(), None);
    }
}
