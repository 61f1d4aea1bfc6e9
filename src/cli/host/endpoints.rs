//! The endpoints that Asterisk's files name, with the contexts their calls come into. Pure but for reading those files.

use super::Host;
use super::conf::Section;

/// One SIP or PJSIP endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// `PJSIP`, `SIP`
    pub technology: &'static str,
    pub name: String,
    /// Where its calls begin in the dialplan.
    pub context: String,
}

impl Host {
    /// Every endpoint of `pjsip.conf` and `sip.conf`, in the order of the files. What a database holds is not seen.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let mut found = Vec::new();
        if let Ok(conf) = self.etc.read("pjsip.conf") {
            let is_endpoint = |section: &&Section| section.get("type").is_some_and(|kind| kind == "endpoint");
            found.extend(conf.live().filter(is_endpoint).map(|section| endpoint("PJSIP", section, None)));
        }
        if let Ok(conf) = self.etc.read("sip.conf") {
            let usual = conf.get("general", "context").map(str::to_owned);
            let is_peer = |section: &&Section| {
                section.name != "general"
                    && section.get("type").is_some_and(|kind| matches!(kind, "friend" | "peer" | "user"))
            };
            found.extend(conf.live().filter(is_peer).map(|section| endpoint("SIP", section, usual.as_deref())));
        }
        found
    }
}

fn endpoint(technology: &'static str, section: &Section, usual_context: Option<&str>) -> Endpoint {
    let context = section.get("context").or(usual_context).unwrap_or("default").to_owned();
    Endpoint { technology, name: section.name.clone(), context }
}
