//! `[agi]`: where the dialplan asks, who may, how long an answer may take, which numbers we show to clients.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::phone::Numbers;

/// `[agi]` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgiSettings {
    /// Addresses to listen on, with port: one text or a list; an empty list turns FastAGI off.
    #[serde(deserialize_with = "one_or_several")]
    pub listen: Vec<String>,
    /// Who may ask beside this machine itself: addresses or networks, as `"10.0.0.5"`, `"10.0.0.0/24"`.
    pub allow: Vec<String>,
    /// From the connection to the last word, in milliseconds: 50 to 5,000. The dialplan waits no longer.
    pub budget_ms: u32,
    /// Sessions at once, 1 to 1,000; further ones are answered `ERROR` at once.
    pub sessions: u32,
    /// Questions to CRMs at once when the directory does not know a number, 1 to 16.
    pub lookups: u8,
    /// Numbers of ours that clients may see; nothing else is ever presented, whatever a CRM says.
    pub caller_ids: Vec<String>,
    /// The one for clients that nothing is known of; must be one of `caller_ids`.
    pub default_caller_id: Option<String>,
}

impl Default for AgiSettings {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:4573".to_owned()],
            allow: Vec::new(),
            budget_ms: 300,
            sessions: 50,
            lookups: 4,
            caller_ids: Vec::new(),
            default_caller_id: None,
        }
    }
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an address, or a list of them")]
    enum Addresses {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Addresses::deserialize(deserializer)? {
        Addresses::One(address) => vec![address],
        Addresses::Several(addresses) => addresses,
    })
}

/// A setting of `[agi]` that cannot be meant so, with the remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key within `[agi]`.
    pub key: &'static str,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[agi] {}: {}", self.key, self.message)
    }
}

/// `[agi]`, checked.
#[derive(Clone, Debug)]
pub struct Limits {
    pub listen: Vec<SocketAddr>,
    pub peers: Peers,
    pub budget: Duration,
    pub sessions: usize,
    pub lookups: usize,
    pub caller_ids: CallerIds,
}

impl AgiSettings {
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, numbers: &Numbers) -> Result<Limits, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wrong = |key, message| problems.push(Problem { key, message });
        let mut listen = Vec::new();
        for text in &self.listen {
            match text.parse::<SocketAddr>() {
                Ok(address) => listen.push(address),
                Err(_) => {
                    wrong("listen", format!("{text:?} is no address with port; write it as \"127.0.0.1:4573\""));
                }
            }
        }
        let mut networks = Vec::new();
        for text in &self.allow {
            match Network::parse(text) {
                Some(network) => networks.push(network),
                None => {
                    wrong("allow", format!("{text:?} is no address or network; as \"10.0.0.5\" or \"10.0.0.0/24\""))
                }
            }
        }
        if !(50..=5_000).contains(&self.budget_ms) {
            wrong("budget_ms", format!("{} ms: 50 to 5000 are allowed", self.budget_ms));
        }
        if !(1..=1_000).contains(&self.sessions) {
            wrong("sessions", format!("{} at once: 1 to 1000 are allowed", self.sessions));
        }
        if !(1..=16).contains(&self.lookups) {
            wrong("lookups", format!("{} at once: 1 to 16 are allowed", self.lookups));
        }
        if let Some(text) = self.caller_ids.iter().find(|text| !is_presentable(text)) {
            wrong("caller_ids", format!("{text:?} is no number; write digits, with a + before them or without"));
        }
        let caller_ids = CallerIds::new(numbers, &self.caller_ids, self.default_caller_id.as_deref());
        if let (Some(default), None) = (&self.default_caller_id, caller_ids.usual()) {
            wrong("default_caller_id", format!("{default:?} must be one of caller_ids"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Limits {
            listen,
            peers: Peers { networks },
            budget: Duration::from_millis(self.budget_ms.into()),
            sessions: self.sessions as usize,
            lookups: self.lookups.into(),
            caller_ids,
        })
    }
}

fn is_presentable(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The numbers of ours that a client may see.
#[derive(Clone, Debug, Default)]
pub struct CallerIds {
    /// As the configuration writes them, which is as the provider wants them; and what they are compared by.
    listed: Vec<(String, Compared)>,
    default: Option<usize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Compared {
    E164(u64),
    Digits(String),
}

impl CallerIds {
    pub fn new(numbers: &Numbers, listed: &[String], default: Option<&str>) -> Self {
        let listed: Vec<_> = listed.iter().map(|text| (text.clone(), compared(numbers, text))).collect();
        let mut caller_ids = Self { listed, default: None };
        caller_ids.default = default.and_then(|text| caller_ids.place(numbers, text));
        caller_ids
    }

    /// The number as it is to be presented, if it is one of ours. Never by its last digits.
    pub fn listed(&self, numbers: &Numbers, wanted: &str) -> Option<&str> {
        self.place(numbers, wanted).map(|at| self.listed[at].0.as_str())
    }

    fn place(&self, numbers: &Numbers, wanted: &str) -> Option<usize> {
        let wanted = compared(numbers, wanted);
        self.listed.iter().position(|(_, listed)| *listed == wanted)
    }

    pub fn usual(&self) -> Option<&str> {
        self.default.map(|at| self.listed[at].0.as_str())
    }

    /// Whether there is anything to choose.
    pub fn has_choice(&self) -> bool {
        self.listed.len() > 1 || (self.listed.len() == 1 && self.default.is_none())
    }
}

fn compared(numbers: &Numbers, text: &str) -> Compared {
    let number = numbers.normalize(text);
    match number.e164 {
        Some(e164) => Compared::E164(e164.as_u64()),
        None => Compared::Digits(number.digits.as_str().to_owned()),
    }
}

/// Who may ask: this machine, and whom `allow` names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Peers {
    networks: Vec<Network>,
}

impl Peers {
    pub fn allows(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.networks.iter().any(|network| network.holds(peer))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = address.trim().parse::<IpAddr>().ok()?.to_canonical();
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.trim().parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    fn holds(&self, peer: IpAddr) -> bool {
        let differs = match (self.address, peer) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => u128::from(own.to_bits() ^ peer.to_bits()) << 96,
            (IpAddr::V6(own), IpAddr::V6(peer)) => own.to_bits() ^ peer.to_bits(),
            _ => return false,
        };
        differs.leading_zeros() >= self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::NumbersSettings;

    fn numbers() -> Numbers {
        Numbers::new(&NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() }).expect("good")
    }

    #[test]
    fn the_defaults_are_good_and_unknown_keys_are_errors() {
        let limits = AgiSettings::default().check(&numbers()).expect("good");
        assert_eq!((limits.sessions, limits.budget), (50, Duration::from_millis(300)));
        assert!(limits.listen[0].ip().is_loopback());
        assert_eq!(toml::from_str::<AgiSettings>("").expect("empty"), AgiSettings::default());
        assert!(toml::from_str::<AgiSettings>("budget = 3").is_err());
        assert!(toml::from_str::<AgiSettings>("listen = 3").is_err());
        let one = toml::from_str::<AgiSettings>("listen = \"[::1]:4573\"").expect("one address");
        assert_eq!(one.listen, ["[::1]:4573"]);
        assert!(toml::from_str::<AgiSettings>("listen = []").expect("off").listen.is_empty());
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let bad = AgiSettings {
            listen: vec!["localhost".to_owned()],
            allow: vec!["10.0.0.0/33".to_owned(), "x".to_owned()],
            budget_ms: 10,
            sessions: 0,
            lookups: 0,
            caller_ids: vec!["74951234567".to_owned(), "Sales".to_owned()],
            default_caller_id: Some("+74950000000".to_owned()),
        };
        let keys: Vec<_> = bad.check(&numbers()).expect_err("bad").iter().map(|p| p.key).collect();
        let want = ["listen", "allow", "allow", "budget_ms", "sessions", "lookups", "caller_ids", "default_caller_id"];
        assert_eq!(keys, want);
    }

    #[test]
    fn peers_are_this_machine_and_whom_the_list_names() {
        let allow = ["10.1.2.0/23", "192.168.0.7", "2001:db8::/32", "0.0.0.0/0"].map(str::to_owned);
        let peers = |texts: &[String]| Peers { networks: texts.iter().filter_map(|t| Network::parse(t)).collect() };
        let some = peers(&allow[..3]);
        for (peer, is_allowed) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.1.3.255", true),
            ("::ffff:10.1.2.1", true),
            ("10.1.4.0", false),
            ("192.168.0.7", true),
            ("192.168.0.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(some.allows(peer.parse().expect("an address")), is_allowed, "{peer}");
        }
        assert!(peers(&allow[3..]).allows("8.8.8.8".parse().expect("an address")));
    }

    #[test]
    fn only_listed_numbers_are_presented_and_as_they_are_listed() {
        let numbers = numbers();
        let listed = ["84951234500", "+74951234531", "200"].map(str::to_owned);
        let ids = CallerIds::new(&numbers, &listed, Some("+7 (495) 123-45-31"));
        assert_eq!(ids.listed(&numbers, "+74951234500"), Some("84951234500"));
        assert_eq!(ids.listed(&numbers, "4951234531"), Some("+74951234531"));
        assert_eq!(ids.usual(), Some("+74951234531"));
        assert_eq!(ids.listed(&numbers, "200"), Some("200"));
        // Neither a foreign number, nor one that only ends like ours, nor a word.
        for foreign in ["+74959999999", "1234500", "+499511234500", "anonymous", "", "x"] {
            assert_eq!(ids.listed(&numbers, foreign), None, "{foreign}");
        }
    }
}
