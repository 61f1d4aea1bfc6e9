//! What the configuration means for the core: [`Rules`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Config, RecordsKind};
use crate::ami::AsteriskSettings;
use crate::asterisk::PbxId;
use crate::call::Rules;
use crate::call::discretion::Discretion;
use crate::call::hours::Hours;
use crate::call::rules::{RecordKind, Route};
use crate::lease::{LEASE_MS, RENEW_MS};
use crate::phone::{EndpointPattern, Numbers, OwnNumbers, PbxNumbers};

impl Config {
    /// The office's rules about numbers; those of a checked configuration are good.
    pub fn numbers(&self) -> Numbers {
        Numbers::new(&self.numbers).expect("[numbers] was checked when the configuration was read")
    }

    /// The rules in force at an exchange, if it has its own.
    pub fn own_numbers(&self, section: &AsteriskSettings) -> Option<Numbers> {
        let own = &section.numbers;
        let settings = (*own != OwnNumbers::default()).then(|| self.numbers.with(own))?;
        Some(Numbers::new(&settings).expect("[asterisk.numbers] was checked when the configuration was read"))
    }

    /// Those of the office and of every exchange.
    pub fn pbx_numbers(&self) -> PbxNumbers {
        let own = (0..).zip(&self.asterisk);
        let own = own.filter_map(|(id, section)| Some((id, Arc::new(self.own_numbers(section)?))));
        PbxNumbers { office: Arc::new(self.numbers()), own: own.collect() }
    }

    /// What the core decides by.
    pub fn rules(&self) -> Rules {
        Rules {
            numbers: self.pbx_numbers(),
            records: match self.calls.records {
                RecordsKind::PerPhone => RecordKind::PerPhone,
                RecordsKind::PerCall => RecordKind::PerCall,
            },
            pbxs: self.asterisk.iter().map(|section| section.name.clone()).collect(),
            peers: self.peers(),
            routes: self.routes(),
            keep_variables: self.calls.keep_variables.clone(),
            discretion: Discretion {
                ignored: patterns(&self.calls.ignore_extensions),
                private: patterns(&self.calls.private_extensions),
            },
            hours: self.hours_of_all(),
            every_originate_is_ours: false,
            audit_ms: self.audit_ms(),
            linger_ms: self.linger_ms(),
        }
    }

    /// With two connectors what ended since the other one fell out is still known when we take over, with its time.
    fn linger_ms(&self) -> u64 {
        let usual_ms = Rules::default().linger_ms;
        if self.pair.lease.is_empty() { usual_ms } else { usual_ms + LEASE_MS + 2 * RENEW_MS }
    }

    fn hours_of_all(&self) -> Hours {
        // What is wrong with them was said when the file was read.
        let (office, groups) = self.hours.read().unwrap_or_default();
        Hours { office, groups, zones: self.asterisk.iter().map(|section| self.zone_of(section)).collect() }
    }

    /// The shortest interval that any exchange wants; one clock is enough for all.
    fn audit_ms(&self) -> u64 {
        let wanted = self.asterisk.iter().map(|section| u64::from(section.audit_s)).filter(|seconds| *seconds > 0);
        wanted.min().unwrap_or(0) * 1000
    }

    /// Which trunk of which exchange leads to which other one.
    fn peers(&self) -> BTreeMap<(PbxId, String), PbxId> {
        let id = |at: usize| PbxId(u16::try_from(at).unwrap_or(u16::MAX));
        let nth = |name: &str| self.asterisk.iter().position(|section| section.name == name).map(id);
        let of = self.asterisk.iter().enumerate().flat_map(|(at, section)| {
            section.peers.iter().filter_map(move |(trunk, other)| Some(((id(at), trunk.clone()), nth(other)?)))
        });
        of.collect()
    }

    fn routes(&self) -> Vec<Route> {
        let route = |section: &crate::crm::CrmSettings| Route {
            crm: section.name.clone(),
            pbx: patterns(&section.matching.pbx),
            trunk: patterns(&section.matching.trunk),
            did: patterns(&section.matching.did),
            context: patterns(&section.matching.context),
            extension: patterns(&section.matching.extension),
            // The only CRM takes everything without being told so.
            is_default: section.default
                || self.crm.len() == 1 && section.matching == crate::crm::settings::Match::default(),
            internal: section.internal,
        };
        self.crm.iter().map(route).collect()
    }
}

/// Patterns that were checked when the file was read.
fn patterns(texts: &[String]) -> Vec<EndpointPattern> {
    texts.iter().filter_map(|text| EndpointPattern::parse(text).ok()).collect()
}
