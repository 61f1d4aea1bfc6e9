//! The settings the core decides by: numbers, kind of records, routing.

use std::collections::BTreeMap;

use crate::asterisk::{ChannelName, PbxId};
use crate::call::discretion::Discretion;
use crate::call::hours::Hours;
use crate::call::model::{Conversation, Ms, Party};
use crate::call::record::Direction;
use crate::phone::{EndpointPattern, Numbers, NumbersSettings, PbxNumbers};

/// One record per phone tried, or one per conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordKind {
    #[default]
    PerPhone,
    PerCall,
}

/// With several CRMs a call that has only come in is nobody's for so long, unless the dialplan has said whose it is: what it sets in
/// its first steps (`PINCONNECTOR_CRM`) comes milliseconds after the channel, and a number once sent cannot be called back.
pub const ROUTE_WAIT_MS: u64 = 250;

/// Which conversations go to which CRM.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub crm: String,
    /// Empty lists match everything.
    pub pbx: Vec<EndpointPattern>,
    pub trunk: Vec<EndpointPattern>,
    pub did: Vec<EndpointPattern>,
    pub context: Vec<EndpointPattern>,
    pub extension: Vec<EndpointPattern>,
    pub is_default: bool,
    /// Internal calls go there, too.
    pub internal: bool,
}

/// What the core needs of the configuration.
#[derive(Clone)]
pub struct Rules {
    pub numbers: PbxNumbers,
    pub records: RecordKind,
    /// Names of the exchanges, by [`PbxId`].
    pub pbxs: Vec<String>,
    /// Trunks between two of our exchanges: (the exchange, the endpoint's name there), and where it leads.
    pub peers: BTreeMap<(PbxId, String), PbxId>,
    pub routes: Vec<Route>,
    /// Channel variables that become part of the record.
    pub keep_variables: Vec<String>,
    /// Extensions that make no record, or one that says little.
    pub discretion: Discretion,
    /// When somebody is there.
    pub hours: Hours,
    /// In a replay every Originate answered in the recorded session counts as ours.
    pub every_originate_is_ours: bool,
    /// The open calls are compared with `CoreShowChannels` so often; 0 is off.
    pub audit_ms: u64,
    /// A finished conversation is kept so long for its late CDR.
    pub linger_ms: u64,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("records", &self.records).field("pbxs", &self.pbxs).finish_non_exhaustive()
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            numbers: PbxNumbers::from(
                Numbers::new(&NumbersSettings::default()).expect("the defaults are tested where they are defined"),
            ),
            records: RecordKind::PerPhone,
            pbxs: vec!["pbx".to_owned()],
            peers: BTreeMap::new(),
            routes: Vec::new(),
            keep_variables: Vec::new(),
            discretion: Discretion::default(),
            hours: Hours::default(),
            every_originate_is_ours: false,
            audit_ms: 30_000,
            linger_ms: 5_000,
        }
    }
}

impl Rules {
    pub fn pbx_name(&self, pbx: PbxId) -> &str {
        self.pbxs.get(usize::from(pbx.0)).map_or("pbx", String::as_str)
    }

    /// The exchange of that name; the first where none has it.
    pub fn pbx_id(&self, name: &str) -> PbxId {
        let at = self.pbxs.iter().position(|pbx| pbx == name).unwrap_or_default();
        PbxId(u16::try_from(at).unwrap_or(u16::MAX))
    }

    /// Whose channel `name` of that exchange is; `None` for channels that are no party of any call.
    pub fn party(&self, pbx: PbxId, name: &ChannelName) -> Option<Party> {
        if name.is_internal() || name.as_str().is_empty() {
            return None;
        }
        if name.is_local() {
            return Some(Party::Local);
        }
        let endpoint = name.endpoint();
        if self.numbers.at(pbx.0).is_extension(endpoint) {
            return Some(Party::Extension(endpoint.to_owned()));
        }
        // `DAHDI/i1/74951234567-5`: the trunk is the span or group, not the number called through it.
        let trunk = endpoint.split('/').next().unwrap_or(endpoint);
        Some(Party::Trunk(trunk.to_owned()))
    }

    /// The exchange of ours that this trunk leads to.
    pub fn peer(&self, pbx: PbxId, trunk: &str) -> Option<PbxId> {
        if self.peers.is_empty() { None } else { self.peers.get(&(pbx, trunk.to_owned())).copied() }
    }

    /// Whom a trunk was asked to call: an extension of another exchange of ours, as `spb/201`, where the trunk leads there and the
    /// number is one.
    pub fn extension_at_peer(&self, pbx: PbxId, trunk: &str, number: Option<&str>) -> Option<String> {
        let peer = self.peer(pbx, trunk)?;
        let number = number.filter(|number| self.numbers.at(peer.0).is_extension(number))?;
        Some(format!("{}/{number}", self.pbx_name(peer)))
    }

    /// An extension as the outside sees it: alone where one exchange is configured, else with the exchange's name.
    pub fn outside_name(&self, pbx: &str, extension: &str) -> String {
        // One behind a trunk to another exchange has that one's name already.
        if self.pbxs.len() > 1 && !extension.contains('/') {
            format!("{pbx}/{extension}")
        } else {
            extension.to_owned()
        }
    }

    /// For how long it is too early to say whose a conversation is; `now_ms` is wall-clock time.
    pub fn route_wait_ms(&self, conversation: &Conversation, now_ms: Ms) -> Option<u64> {
        let is_told = conversation.published.iter().any(|record| record.crm.is_some());
        let came_in = conversation.direction == Some(Direction::Incoming) && !conversation.has_phones();
        let is_named = conversation.crm.is_some() || conversation.variables.contains_key("PINCONNECTOR_CRM");
        if self.routes.len() < 2 || is_told || !came_in || is_named || conversation.is_over() {
            return None;
        }
        // Of a call that began before us nothing is waited for.
        let age_ms = u64::try_from(now_ms - conversation.born).ok()?;
        ROUTE_WAIT_MS.checked_sub(age_ms).filter(|wait_ms| *wait_ms > 0)
    }

    /// Which CRM a conversation belongs to: the one the dialplan named, else the first whose rules fit, else the default.
    pub fn route(&self, conversation: &Conversation) -> Option<String> {
        if let Some(named) = conversation.variables.get("PINCONNECTOR_CRM")
            && self.routes.iter().any(|r| r.crm == *named)
        {
            return Some(named.clone());
        }
        let fits = |patterns: &[EndpointPattern], value: Option<&str>| {
            patterns.is_empty() || value.is_some_and(|value| patterns.iter().any(|p| p.matches(value)))
        };
        let extensions: Vec<&str> = conversation
            .channels
            .iter()
            .filter_map(|c| c.extension())
            .chain(conversation.caller_extension.as_deref())
            .collect();
        let context = conversation.last_place.as_ref().map(|(context, _)| context.as_str());
        let found = self.routes.iter().filter(|r| !r.is_default).find(|r| {
            fits(&r.pbx, Some(&conversation.pbx))
                && fits(&r.trunk, conversation.trunk.as_deref())
                && fits(&r.did, conversation.did.as_deref())
                && fits(&r.context, context)
                && (r.extension.is_empty() || extensions.iter().any(|e| fits(&r.extension, Some(e))))
        });
        let route = found.or_else(|| self.routes.iter().find(|r| r.is_default));
        let route = route.filter(|r| r.internal || conversation.direction != Some(Direction::Internal));
        route.map(|r| r.crm.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_decides_who_a_party_is() {
        let rules = Rules::default();
        for (name, party) in [
            ("PJSIP/101-0000005e", Some(Party::Extension("101".into()))),
            ("PJSIP/trunk-msk-0000005e", Some(Party::Trunk("trunk-msk".into()))),
            ("DAHDI/i1/74951234567-5", Some(Party::Trunk("i1".into()))),
            ("Local/101@from-queue-00000001;1", Some(Party::Local)),
            ("CBAnn/600-00000001;2", None),
            ("", None),
        ] {
            assert_eq!(rules.party(PbxId(0), &ChannelName::new(name)), party, "{name}");
        }
    }

    #[test]
    fn an_exchange_may_name_its_phones_otherwise() {
        let mut rules = Rules { pbxs: vec!["office".into(), "branch".into()], ..Rules::default() };
        let own = NumbersSettings { extensions: vec!["boss".into(), "_2XX".into()], ..NumbersSettings::default() };
        rules.numbers.own.insert(1, std::sync::Arc::new(Numbers::new(&own).expect("good")));
        rules.peers.insert((PbxId(0), "to-branch".into()), PbxId(1));
        for (pbx, name, party) in [
            ("office", "PJSIP/101-1", Party::Extension("101".into())),
            ("branch", "PJSIP/101-1", Party::Trunk("101".into())),
            ("office", "PJSIP/boss-1", Party::Trunk("boss".into())),
            ("branch", "PJSIP/boss-1", Party::Extension("boss".into())),
        ] {
            assert_eq!(rules.party(rules.pbx_id(pbx), &ChannelName::new(name)), Some(party), "{pbx} {name}");
        }
        let at_peer = |number| rules.extension_at_peer(PbxId(0), "to-branch", Some(number));
        assert_eq!(at_peer("201").as_deref(), Some("branch/201"), "an extension there");
        assert_eq!(at_peer("101"), None, "one here only");
    }

    #[test]
    fn a_conversation_goes_where_the_dialplan_or_the_first_rule_that_fits_says() {
        let did = |text: &str| vec![EndpointPattern::parse(text).expect("a pattern")];
        let route = |crm: &str, did: Vec<EndpointPattern>, is_default: bool| Route {
            crm: crm.to_owned(),
            did,
            is_default,
            internal: true,
            ..Route::default()
        };
        let rules = Rules {
            routes: vec![
                route("rest", Vec::new(), true),
                route("moscow", did("_+7495."), false),
                route("petersburg", did("_+7812."), false),
            ],
            ..Rules::default()
        };
        let mut call = Conversation::default();
        for (did, crm) in [("+74951234567", "moscow"), ("+78121234567", "petersburg"), ("+73431234567", "rest")] {
            call.did = Some(did.to_owned());
            assert_eq!(rules.route(&call).as_deref(), Some(crm), "{did}");
        }
        call.variables.insert("PINCONNECTOR_CRM".to_owned(), "petersburg".to_owned());
        assert_eq!(rules.route(&call).as_deref(), Some("petersburg"));
        call.variables.insert("PINCONNECTOR_CRM".to_owned(), "nobody's".to_owned());
        assert_eq!(rules.route(&call).as_deref(), Some("rest"), "an unknown name is no rule");
    }
}
