//! stub
use serde::Deserialize;
use crate::phone::DialFormat;
use crate::secret::Secret;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsteriskSettings {
    pub name: String,
    pub host: String,
    #[serde(default)]
    pub port: Option<u16>,
    pub username: String,
    pub secret: Secret,
    #[serde(default)]
    pub audit_s: u32,
    #[serde(default)]
    pub dial_format: DialFormat,
    #[serde(default)]
    pub dial_prefix: String,
}
pub struct Problem { pub key: &'static str, pub message: String }
impl AsteriskSettings {
    pub fn problems(&self) -> Vec<Problem> { Vec::new() }
}
pub struct Link {}
impl Link {
    pub fn start(_: crate::asterisk::PbxId, _: &AsteriskSettings, _: Vec<String>, _: crossbeam_channel::Sender<super::FromPbx>, _: crossbeam_channel::Receiver<(crate::asterisk::ActionId, crate::asterisk::Action)>) -> std::io::Result<Self> { Ok(Self {}) }
    pub fn stop(self, _until: std::time::Instant) {}
}
