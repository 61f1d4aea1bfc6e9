//! The settings the core decides by: numbers, kind of records, routing.

use std::sync::Arc;

use crate::asterisk::PbxId;

/// One record per phone tried, or one per conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordKind {
    #[default]
    PerPhone,
    PerCall,
}

/// What a core without settings takes for an extension: two to five digits.
fn two_to_five_digits(endpoint: &str) -> bool {
    (2..=5).contains(&endpoint.len()) && endpoint.bytes().all(|b| b.is_ascii_digit())
}

/// How numbers are understood; handed in, since the core has no business with regions and patterns.
pub trait NumberPlan: Send + Sync {
    /// The endpoint is a person's.
    fn is_extension(&self, endpoint: &str) -> bool;
    /// E.164, where it can be made.
    fn normalize(&self, number: &str) -> Option<String>;
}

/// The plan of an office that has configured nothing.
#[derive(Debug, Default)]
pub struct PlainNumbers;

impl NumberPlan for PlainNumbers {
    fn is_extension(&self, endpoint: &str) -> bool {
        two_to_five_digits(endpoint)
    }

    fn normalize(&self, number: &str) -> Option<String> {
        let digits = number.strip_prefix('+')?;
        ((7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then(|| number.to_owned())
    }
}

/// Which conversations go to which CRM.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub crm: String,
    /// Empty lists match everything.
    pub pbx: Vec<String>,
    pub trunk: Vec<String>,
    pub did: Vec<String>,
    pub context: Vec<String>,
    pub extension: Vec<String>,
    pub is_default: bool,
    /// Internal calls go there, too.
    pub internal: bool,
}

/// What the core needs of the configuration.
#[derive(Clone)]
pub struct Rules {
    pub numbers: Arc<dyn NumberPlan>,
    pub records: RecordKind,
    /// Names of the exchanges, by [`PbxId`].
    pub pbxs: Vec<String>,
    pub routes: Vec<Route>,
    /// Channel variables that become part of the record.
    pub keep_variables: Vec<String>,
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
            numbers: Arc::new(PlainNumbers),
            records: RecordKind::PerPhone,
            pbxs: vec!["pbx".to_owned()],
            routes: Vec::new(),
            keep_variables: Vec::new(),
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
}
