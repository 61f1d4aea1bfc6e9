//! The guard of click-to-call: what may be dialled, by whom, when and how often. Pure; the clock is an argument.
//!
//! Every call placed here costs somebody money, so nothing is repaired: what is not plainly a number, a name or an id is
//! refused, with the reason. The order of the checks is from shape (400) over right (403) and rule (422) to rate (429).

use std::collections::{HashMap, VecDeque};

use jiff::tz::TimeZone;

use super::office::{Crm, Pbx};
use super::settings::ClickToCallSettings;
use crate::clock::Now;
use crate::phone::{DialError, EndpointPattern, Kind, Numbers};

const MINUTE_MS: u64 = 60_000;
/// Extensions whose clicks are counted at once; beyond it those of more than a minute ago are forgotten.
const COUNTED_MAX: usize = 4096;

/// Why a call is not placed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

/// What somebody asks for, its shape already checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub from: String,
    pub to: String,
    pub context: Option<String>,
    pub caller_id: Option<String>,
    pub request: Option<String>,
    pub crm_record: Option<String>,
    pub user: Option<String>,
    pub pbx: Option<String>,
    pub variables: Vec<(String, String)>,
}

/// What the guard lets through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// As the dialplan gets it.
    pub dialled: String,
    pub context: String,
    pub stripped_extension: Option<String>,
}

/// Around what is asked: who asks, of which exchange, and how things stand.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub crm: &'a Crm,
    pub pbx: &'a Pbx,
    pub numbers: &'a Numbers,
    /// The office's, for `hours`.
    pub zone: &'a TimeZone,
    /// Clicks whose customer has not answered yet.
    pub under_way: usize,
    pub now: Now,
}

/// The guard with its counters.
#[derive(Debug)]
pub struct Guard {
    settings: ClickToCallSettings,
    allow: Vec<EndpointPattern>,
    deny: Vec<EndpointPattern>,
    codes: Vec<EndpointPattern>,
    hours: Hours,
    /// Clicks of the last minute, by (PBX, extension).
    by_extension: HashMap<(String, String), VecDeque<u64>>,
    by_crm: HashMap<String, VecDeque<u64>>,
}

impl Guard {
    /// Of settings that have no problems; a pattern that is one all the same is left out of `allow` and `codes`, so that
    /// a mistake forbids instead of allowing.
    pub fn new(settings: ClickToCallSettings) -> Self {
        let patterns = |texts: &[String]| texts.iter().filter_map(|text| EndpointPattern::parse(text).ok()).collect();
        let code = |text: &String| {
            // In a feature code a star is a star.
            let text = if text.starts_with('_') { text.clone() } else { format!("_{text}") };
            EndpointPattern::parse(&text).ok()
        };
        Self {
            allow: patterns(&settings.allow),
            deny: patterns(&settings.deny),
            codes: settings.codes.iter().filter_map(code).collect(),
            hours: Hours::parse(&settings.hours).unwrap_or_default(),
            by_extension: HashMap::new(),
            by_crm: HashMap::new(),
            settings,
        }
    }

    pub fn settings(&self) -> &ClickToCallSettings {
        &self.settings
    }

    /// New settings; the counters go on.
    pub fn reload(&mut self, settings: ClickToCallSettings) {
        let fresh = Self::new(settings);
        *self = Self {
            by_extension: std::mem::take(&mut self.by_extension),
            by_crm: std::mem::take(&mut self.by_crm),
            ..fresh
        };
    }

    /// Lets a call through or says why not. A call let through counts.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub fn check(&mut self, asked: &Asked, scene: &Scene<'_>) -> Result<Passed, Refusal> {
        let Scene { crm, pbx, numbers, zone, under_way, now } = *scene;
        if !self.settings.enabled {
            return Err(Refusal::new(
                403,
                "disabled",
                "click-to-call is switched off in the connector's configuration",
            ));
        }
        if !numbers.is_extension(&asked.from) {
            let text = format!("{} is no extension by [numbers] extensions", asked.from);
            return Err(Refusal::new(400, "bad_extension", text));
        }
        if !crm.extensions.is_empty() && !crm.extensions.iter().any(|pattern| pattern.matches(&asked.from)) {
            let text = format!("extension {} belongs to another CRM", asked.from);
            return Err(Refusal::new(403, "not_your_extension", text));
        }
        let usual = pbx.context.as_ref().unwrap_or(&self.settings.context);
        let context = asked.context.as_ref().unwrap_or(usual);
        let is_own = context == usual || self.settings.contexts.contains(context) || crm.contexts.contains(context);
        if !is_own {
            let text = format!("context {context} is not in [click_to_call] contexts");
            return Err(Refusal::new(403, "not_your_context", text));
        }
        for (name, _) in &asked.variables {
            if !self.settings.variables.contains(name) {
                let text = format!("variable {name} is not in [click_to_call] variables");
                return Err(Refusal::new(400, "bad_variable", text));
            }
        }
        let dialled = numbers
            .to_dial(&asked.to, pbx.dial_format, &pbx.dial_prefix)
            .map_err(|error: DialError| Refusal::new(400, "bad_number", error.to_string()))?;
        let plain = numbers
            .to_dial(&asked.to, crate::phone::DialFormat::AsGiven, "")
            .map_or_else(|_| String::new(), |d| d.number);
        if plain == asked.from {
            return Err(Refusal::new(400, "bad_number", "that is the agent's own extension"));
        }
        self.check_destination(&plain, &dialled.number, dialled.e164.map(|e| e.to_string()), dialled.kind, numbers)?;
        if !self.hours.allows(now.wall_ms, zone) {
            let text = format!("calls are placed {} only ([click_to_call] hours)", self.settings.hours);
            return Err(Refusal::new(422, "outside_hours", text));
        }
        if under_way >= self.settings.at_once as usize {
            let text = format!("{under_way} clicks are under way, no more at once ([click_to_call] at_once)");
            return Err(Refusal::new(429, "too_many_at_once", text));
        }
        let context = context.clone();
        self.count(asked, crm, pbx, now.mono_ms)?;
        Ok(Passed { dialled: dialled.number, context, stripped_extension: dialled.stripped_extension })
    }

    fn check_destination(
        &self,
        plain: &str,
        dialled: &str,
        e164: Option<String>,
        kind: Kind,
        numbers: &Numbers,
    ) -> Result<(), Refusal> {
        let forbidden = |text: String| Err(Refusal::new(422, "forbidden_number", text));
        if plain.contains(['*', '#']) {
            if self.codes.iter().any(|pattern| pattern.matches(plain)) {
                return Ok(());
            }
            return forbidden(format!("{plain} is a feature code that is not in [click_to_call] codes"));
        }
        // A number is known by many forms; a list must not be passed by writing it differently.
        let forms = [Some(plain.to_owned()), Some(dialled.to_owned()), Some(plain.trim_start_matches('+').to_owned())];
        let international = e164.as_ref().map(|e| e.trim_start_matches('+').to_owned());
        let forms: Vec<String> = forms.into_iter().chain([e164, international]).flatten().collect();
        let listed = |patterns: &[EndpointPattern]| {
            patterns.iter().any(|pattern| forms.iter().any(|form| pattern.matches(form)))
        };
        if listed(&self.deny) {
            return forbidden(format!("{plain} is in [click_to_call] deny"));
        }
        if numbers.is_extension(plain) || listed(&self.allow) {
            return Ok(());
        }
        if !self.allow.is_empty() {
            return forbidden(format!("{plain} is not in [click_to_call] allow"));
        }
        if kind == Kind::Service && !self.settings.premium {
            return forbidden(format!("{plain} is a number that costs extra; [click_to_call] premium forbids it"));
        }
        Ok(())
    }

    fn count(&mut self, asked: &Asked, crm: &Crm, pbx: &Pbx, mono_ms: u64) -> Result<(), Refusal> {
        let recent = |clicks: &mut VecDeque<u64>| {
            while clicks.front().is_some_and(|at| mono_ms.saturating_sub(*at) >= MINUTE_MS) {
                clicks.pop_front();
            }
            clicks.len()
        };
        if self.by_extension.len() >= COUNTED_MAX {
            self.by_extension.retain(|_, clicks| recent(clicks) > 0);
        }
        let of_crm = self.by_crm.entry(crm.name.clone()).or_default();
        if recent(of_crm) >= self.settings.per_crm_per_minute as usize {
            let text = format!("more than {} clicks a minute from {}", self.settings.per_crm_per_minute, crm.name);
            return Err(Refusal::new(429, "too_many", text));
        }
        let key = (pbx.name.clone(), asked.from.clone());
        let of_extension = self.by_extension.entry(key).or_default();
        if recent(of_extension) >= self.settings.per_extension_per_minute as usize {
            let limit = self.settings.per_extension_per_minute;
            let text = format!("more than {limit} clicks a minute from extension {}", asked.from);
            return Err(Refusal::new(429, "too_many", text));
        }
        of_crm.push_back(mono_ms);
        of_extension.push_back(mono_ms);
        Ok(())
    }
}

/// `"08:00-21:00"` as minutes of the day; the end is excluded, and a span over midnight is meant so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hours(Option<(u16, u16)>);

impl Hours {
    /// `None` if the text is not of this form; empty is always.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(None));
        }
        let minutes = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour <= 24 && minute < 60 && hour * 60 + minute <= 1440).then_some(hour * 60 + minute)
        };
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        (from != to).then_some(Self(Some((from, to))))
    }

    pub fn allows(self, wall_ms: i64, zone: &TimeZone) -> bool {
        let Some((from, to)) = self.0 else { return true };
        let Ok(at) = jiff::Timestamp::from_millisecond(wall_ms) else { return false };
        let local = at.to_zoned(zone.clone());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

/// A name as Asterisk knows channel variables, with up to two underscores before it (inheritance).
pub fn is_variable_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An id, context or user: what stands in a header of AMI, an argument of the dialplan and a log line without meaning
/// anything there.
pub fn is_word(text: &str, most: usize) -> bool {
    !text.is_empty()
        && text.len() <= most
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'))
}

/// A value of a channel variable: letters of any language, digits, and signs that mean nothing to the dialplan.
pub fn is_variable_value(text: &str) -> bool {
    text.len() <= 256
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | ':' | '/' | '+' | '#' | '*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asterisk::PbxId;
    use crate::phone::{DialFormat, NumbersSettings};
    use crate::secret::Secret;

    fn numbers() -> Numbers {
        let settings = NumbersSettings { region: Some("RU".into()), ..NumbersSettings::default() };
        Numbers::new(&settings).expect("good settings")
    }

    fn pbx() -> Pbx {
        Pbx {
            id: PbxId(0),
            name: "msk".into(),
            dial_format: DialFormat::E164WithoutPlus,
            dial_prefix: "9".into(),
            channel: None,
            context: None,
        }
    }

    fn crm() -> Crm {
        Crm {
            name: "vtiger".into(),
            secret: Secret::new("s"),
            is_stock: false,
            pbxs: vec![],
            extensions: vec![],
            contexts: vec![],
        }
    }

    fn asked(from: &str, to: &str) -> Asked {
        Asked {
            from: from.into(),
            to: to.into(),
            context: None,
            caller_id: None,
            request: None,
            crm_record: None,
            user: None,
            pbx: None,
            variables: vec![],
        }
    }

    fn check(guard: &mut Guard, asked: &Asked, crm: &Crm) -> Result<Passed, (u16, &'static str)> {
        let (pbx, numbers, now) = (pbx(), numbers(), Now::default());
        let scene = Scene { crm, pbx: &pbx, numbers: &numbers, zone: &TimeZone::UTC, under_way: 0, now };
        guard.check(asked, &scene).map_err(|refusal| (refusal.status, refusal.code))
    }

    #[test]
    fn a_number_passes_in_the_form_the_dialplan_wants() {
        let mut guard = Guard::new(ClickToCallSettings::default());
        let passed = check(&mut guard, &asked("101", "8 (495) 765-43-21"), &crm()).expect("passes");
        assert_eq!((&*passed.dialled, &*passed.context), ("974957654321", "from-internal"));
        assert_eq!(check(&mut guard, &asked("101", "102"), &crm()).expect("passes").dialled, "102");
    }

    #[test]
    fn what_is_no_number_is_refused_and_not_cleaned() {
        let mut guard = Guard::new(ClickToCallSettings::default());
        for to in [
            "",
            "+",
            "7495\r\nAction: Command",
            "7495\n1",
            "7495\0",
            "7495&SIP/101",
            "7495|1",
            "7495,1",
            "${EXTEN}",
            "7495@evil",
            "101",
            "tel:7495",
            "7495;ext=1;x",
            "SIP/101",
            "7495 7495 7495 7495 7495 7495 7495 7495 7495 7495",
            "７４９５",
            "+7+495",
            "Local/1@x/n",
        ] {
            let refused = check(&mut guard, &asked("101", to), &crm()).expect_err(to);
            assert!(refused.0 == 400, "{to:?}: {refused:?}");
        }
    }

    #[test]
    fn a_crm_acts_for_its_own_extensions_and_contexts() {
        let mut guard = Guard::new(ClickToCallSettings { contexts: vec!["sales".into()], ..Default::default() });
        let own = Crm { extensions: vec![EndpointPattern::parse("_1XX").expect("a pattern")], ..crm() };
        assert!(check(&mut guard, &asked("101", "+74957654321"), &own).is_ok());
        assert_eq!(check(&mut guard, &asked("201", "+74957654321"), &own), Err((403, "not_your_extension")));
        assert_eq!(check(&mut guard, &asked("trunk", "+74957654321"), &own), Err((400, "bad_extension")));
        let within = |context: &str| Asked { context: Some(context.into()), ..asked("102", "+74957654321") };
        assert!(check(&mut guard, &within("sales"), &own).is_ok());
        assert_eq!(check(&mut guard, &within("admin"), &own), Err((403, "not_your_context")));
        let variables = Asked { variables: vec![("SHELL".into(), "x".into())], ..asked("102", "+74957654321") };
        assert_eq!(check(&mut guard, &variables, &own), Err((400, "bad_variable")));
    }

    #[test]
    fn lists_hold_whatever_way_a_number_is_written() {
        let settings = ClickToCallSettings { deny: vec!["+7809*".into(), "_810.".into()], ..Default::default() };
        let mut guard = Guard::new(settings);
        for to in ["+78091234567", "8 809 123-45-67", "78091234567", "810 44 20 7946 0000"] {
            assert_eq!(check(&mut guard, &asked("101", to), &crm()), Err((422, "forbidden_number")), "{to}");
        }
        let mut guard = Guard::new(ClickToCallSettings { allow: vec!["+7495*".into()], ..Default::default() });
        assert!(check(&mut guard, &asked("101", "84957654321"), &crm()).is_ok());
        assert_eq!(check(&mut guard, &asked("101", "+442079460000"), &crm()), Err((422, "forbidden_number")));
        assert!(check(&mut guard, &asked("101", "102"), &crm()).is_ok());
        let mut guard = Guard::new(ClickToCallSettings { codes: vec!["*98".into()], ..Default::default() });
        assert!(check(&mut guard, &asked("101", "*98"), &crm()).is_ok());
        assert_eq!(check(&mut guard, &asked("101", "*7298"), &crm()), Err((422, "forbidden_number")));
        assert_eq!(check(&mut guard, &asked("101", "*72"), &crm()), Err((422, "forbidden_number")));
    }

    #[test]
    fn who_clicks_too_often_waits_a_minute() {
        let mut guard = Guard::new(ClickToCallSettings { per_extension_per_minute: 2, ..Default::default() });
        let at = |ms| Now { wall_ms: 0, mono_ms: ms };
        let mut click = |from: &str, ms| {
            let (asked, crm, pbx, numbers) = (asked(from, "+74957654321"), crm(), pbx(), numbers());
            let scene =
                Scene { crm: &crm, pbx: &pbx, numbers: &numbers, zone: &TimeZone::UTC, under_way: 0, now: at(ms) };
            guard.check(&asked, &scene).map_err(|r| r.status).map(|_| ())
        };
        assert_eq!((click("101", 0), click("101", 10), click("101", 20)), (Ok(()), Ok(()), Err(429)));
        assert_eq!((click("102", 30), click("101", 59_999), click("101", 60_000)), (Ok(()), Err(429), Ok(())));
        assert_eq!(click("101", 60_005), Err(429));
    }

    #[test]
    fn there_are_hours() {
        let hours = Hours::parse("08:00-21:00").expect("hours");
        let moscow = TimeZone::fixed(jiff::tz::offset(3));
        let at = |hour: i64| hour * 3_600_000;
        assert!(!hours.allows(at(4), &moscow) && hours.allows(at(5), &moscow));
        assert!(hours.allows(at(18) - 1, &moscow) && !hours.allows(at(18), &moscow));
        let night = Hours::parse("22:00-06:00").expect("hours");
        assert!(night.allows(at(23), &TimeZone::UTC) && night.allows(at(5), &TimeZone::UTC));
        assert!(!night.allows(at(12), &TimeZone::UTC));
        assert!(
            ["8-9", "25:00-26:00", "08:00", "08:00-08:00", "08:60-09:00"].iter().all(|t| Hours::parse(t).is_none())
        );
    }
}
