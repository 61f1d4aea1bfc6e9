//! Telephone numbers: whose they are, how they are compared, how they are dialled.
//!
//! `Numbers` holds what `[numbers]` sets and answers every question about a number. It owns its rules and nothing
//! else: no I/O, no clock, no lock; it can be shared and replaced freely.
//!
//! ```text
//! raw text ─ reading ─▶ digits ─ resolve (with plan) ─▶ E164 + kind ─▶ compared here, dialled by `dial`
//! ```
//!
//! Leaves to others: what a channel's endpoint is (`asterisk`), who may be called (the guard of click-to-call).

mod dial;
mod e164;
mod endpoint_pattern;
mod explain;
mod plan;
mod reading;
mod resolve;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

pub use dial::{DialError, DialFormat, Dialled};
pub use e164::{E164, NotE164};
pub use endpoint_pattern::{BadPattern, EndpointPattern};
pub use explain::DialRule;
pub use reading::Digits;

use plan::{CallingCode, Label, Region};
use reading::{NUMBER_DIGITS_MIN, Reading, Shape};
use resolve::{Home, Resolved};

/// `[numbers]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumbersSettings {
    /// Country of the exchange, two letters (ISO 3166): `"RU"`, `"KZ"`, `"DE"`. Without it, only numbers that begin
    /// with `+` have an international form.
    pub region: Option<String>,
    /// Area code of the office, without national prefix: `"495"`. With it, local numbers (five to eight digits) have
    /// an international form, too. Set it only where calls from the own town arrive without area code.
    pub area_code: Option<String>,
    /// Which endpoints are people's extensions; the syntax is that of [`EndpointPattern`]. Two to five digits.
    pub extensions: Vec<String>,
    /// Which endpoints are trunks although `extensions` matches them.
    pub trunks: Vec<String>,
    /// Numbers without an international form are compared by this many last digits: 7 to 15, or 0 for never.
    pub match_last_digits: u32,
}

/// `[asterisk.numbers]`: what one exchange has otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnNumbers {
    pub region: Option<String>,
    pub area_code: Option<String>,
    pub extensions: Option<Vec<String>>,
    pub trunks: Option<Vec<String>>,
}

impl NumbersSettings {
    /// Those of an exchange. An area code of the office means nothing in another country.
    #[must_use]
    pub fn with(&self, own: &OwnNumbers) -> NumbersSettings {
        let elsewhere = own.region.is_some() && own.region != self.region;
        NumbersSettings {
            region: own.region.clone().or_else(|| self.region.clone()),
            area_code: own.area_code.clone().or_else(|| self.area_code.clone().filter(|_| !elsewhere)),
            extensions: own.extensions.clone().unwrap_or_else(|| self.extensions.clone()),
            trunks: own.trunks.clone().unwrap_or_else(|| self.trunks.clone()),
            match_last_digits: self.match_last_digits,
        }
    }
}

impl Default for NumbersSettings {
    fn default() -> NumbersSettings {
        NumbersSettings {
            region: None,
            area_code: None,
            extensions: ["_XX", "_XXX", "_XXXX", "_XXXXX"].map(str::to_owned).to_vec(),
            trunks: Vec::new(),
            match_last_digits: 7,
        }
    }
}

/// A setting of `[numbers]` that cannot be meant so, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key within `[numbers]`.
    pub key: &'static str,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[numbers] {}: {}", self.key, self.message)
    }
}

/// The rules about numbers in force.
#[derive(Debug, Clone)]
pub struct Numbers {
    home: Option<Home>,
    extensions: Vec<EndpointPattern>,
    trunks: Vec<EndpointPattern>,
    /// 0 for never.
    match_last_digits: u32,
}

/// The rules about numbers of the office, and those of exchanges that stand in another country or name their phones otherwise.
/// Clients of all are compared by E.164; cheap to clone.
#[derive(Debug, Clone)]
pub struct PbxNumbers {
    pub office: Arc<Numbers>,
    /// By the number of the exchange (`PbxId`); one that is not in it has those of the office.
    pub own: BTreeMap<u16, Arc<Numbers>>,
}

impl From<Numbers> for PbxNumbers {
    fn from(office: Numbers) -> PbxNumbers {
        PbxNumbers { office: Arc::new(office), own: BTreeMap::new() }
    }
}

impl PbxNumbers {
    /// Those in force at an exchange.
    pub fn at(&self, pbx: u16) -> &Arc<Numbers> {
        self.own.get(&pbx).unwrap_or(&self.office)
    }
}

/// What a number is, as far as its plan tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Mobile,
    Geographic,
    /// North America does not tell them apart.
    GeographicOrMobile,
    /// Internet telephony and personal numbers: a subscriber, but no place.
    Nomadic,
    /// Free for the caller: 8-800, +1 800, +49 800.
    TollFree,
    /// Premium rate, shared cost, voting, voicemail access.
    Service,
    /// Fewer than seven digits and no international form: 112, an extension, a number within a small town.
    Short,
    /// A feature code: `*11`, `#31#`.
    Code,
    /// The caller withheld it, or nobody knew it.
    Withheld,
    /// A number that no plan explains.
    Unknown,
}

/// One number, read. `Copy`, without a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalized {
    /// `client_number_normalized`.
    pub e164: Option<E164>,
    pub kind: Kind,
    /// The digits as given, without plus and signs; of a code, its `*` and `#`, too.
    pub digits: Digits,
    /// `доб. 12`, `ext 12`, `;ext=12`, `x12`, `#12` behind the number.
    pub extension: Option<Digits>,
    /// May be compared by its last digits with a number that has no international form.
    pub may_match_last_digits: bool,
}

/// Under which keys a number is filed and found. See [`MatchKeys::same_client`] for what agreeing means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchKeys {
    pub e164: Option<E164>,
    /// All digits; only of numbers without international form.
    pub exact: Option<Digits>,
    pub last: Option<LastDigits>,
}

/// So many last digits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LastDigits(u64);

impl Numbers {
    /// # Errors
    /// Every setting that cannot be meant so.
    pub fn new(settings: &NumbersSettings) -> Result<Numbers, Vec<Problem>> {
        let mut problems = Vec::new();
        let home = home(settings, &mut problems);
        let extensions = patterns("extensions", &settings.extensions, &mut problems);
        let trunks = patterns("trunks", &settings.trunks, &mut problems);
        let last = settings.match_last_digits;
        if last != 0 && !(7..=15).contains(&last) {
            let message = format!("{last} last digits would make strangers equal; use 7 to 15, or 0 for never");
            problems.push(Problem { key: "match_last_digits", message });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Numbers { home, extensions, trunks, match_last_digits: last })
    }

    /// The country, if set.
    pub fn region(&self) -> Option<&str> {
        self.home.as_ref().map(|home| home.region.id())
    }

    /// Whether the endpoint in a channel's name (`PJSIP/101-0000005e`: `101`) is a person's. Trunks win.
    pub fn is_extension(&self, endpoint: &str) -> bool {
        let matches = |patterns: &[EndpointPattern]| patterns.iter().any(|pattern| pattern.matches(endpoint));
        matches(&self.extensions) && !matches(&self.trunks)
    }

    pub fn normalize(&self, raw: &str) -> Normalized {
        self.recognise(raw).0
    }

    /// Whether both are numbers of the same client: by E.164; by last digits only where one has no E.164.
    pub fn same_client(&self, one: &str, other: &str) -> bool {
        self.match_keys(one).same_client(&self.match_keys(other))
    }

    pub fn match_keys(&self, raw: &str) -> MatchKeys {
        self.keys_of(&self.normalize(raw))
    }

    pub fn keys_of(&self, number: &Normalized) -> MatchKeys {
        let is_number = !matches!(number.kind, Kind::Withheld) && !number.digits.is_empty();
        let last = (number.may_match_last_digits && self.match_last_digits > 0)
            .then(|| match number.e164 {
                Some(e164) => LastDigits::of_e164(e164, self.match_last_digits),
                None => LastDigits::of(number.digits.as_bytes(), self.match_last_digits),
            })
            .flatten();
        MatchKeys { e164: number.e164, exact: number.digits.some_if(is_number && number.e164.is_none()), last }
    }

    fn recognise(&self, raw: &str) -> (Normalized, Option<Resolved>) {
        let reading = Reading::of(raw);
        let mut digits = reading.digits;
        let mut found = None;
        if reading.shape == Shape::Number {
            found = self.resolve(&reading, digits.as_bytes());
            if let (None, Some(first)) = (found, reading.before_slash.filter(|&first| first >= NUMBER_DIGITS_MIN)) {
                found = self.resolve(&reading, &digits.as_bytes()[..first]);
                digits =
                    if found.is_some() { Digits::collect(digits.as_bytes()[..first].iter().copied()) } else { digits };
            }
        }
        let kind = match (reading.shape, found) {
            (_, Some(found)) => kind_of(found.label),
            (Shape::Withheld, _) => Kind::Withheld,
            (Shape::Code, _) => Kind::Code,
            (Shape::Words | Shape::Unreadable, _) => Kind::Unknown,
            (Shape::Number, None) if digits.len() < NUMBER_DIGITS_MIN => Kind::Short,
            (Shape::Number, None) if self.home.is_none() && looks_toll_free(digits.as_bytes()) => Kind::TollFree,
            (Shape::Number, None) => Kind::Unknown,
        };
        let number = Normalized {
            e164: found.map(|found| found.e164),
            kind,
            digits,
            extension: reading.extension,
            may_match_last_digits: may_match_last_digits(kind, &reading, found.is_some()),
        };
        (number, found)
    }

    fn resolve(&self, reading: &Reading, digits: &[u8]) -> Option<Resolved> {
        let found = match &self.home {
            home if reading.plus => resolve::after_plus(home.as_ref(), digits),
            Some(home) => home.resolve(digits),
            None => None,
        };
        // What has more digits behind it without a reason must be beyond doubt.
        found.filter(|found| !reading.doubtful || found.label.is_assigned())
    }
}

impl Digits {
    fn some_if(self, condition: bool) -> Option<Digits> {
        condition.then_some(self)
    }
}

impl MatchKeys {
    /// Two numbers with E.164 are one client's if those are equal; else if all digits, or the last digits that may be
    /// compared, are.
    pub fn same_client(&self, other: &MatchKeys) -> bool {
        if let (Some(one), Some(other)) = (self.e164, other.e164) {
            return one == other;
        }
        let equal_exact = self.exact.is_some() && self.exact == other.exact;
        let equal_last = self.last.is_some() && self.last == other.last;
        equal_exact || equal_last
    }
}

impl LastDigits {
    fn of(digits: &[u8], count: u32) -> Option<LastDigits> {
        let start = digits.len().checked_sub(count as usize)?;
        // The 1 before them keeps leading zeros apart.
        let value = digits[start..].iter().fold(1, |value, digit| value * 10 + u64::from(digit - b'0'));
        Some(LastDigits(value))
    }

    fn of_e164(e164: E164, count: u32) -> Option<LastDigits> {
        let above = 10_u64.pow(count);
        (e164.as_u64() >= above / 10).then(|| LastDigits(above + e164.last_digits(count)))
    }

    /// As an integer, a 1 before the digits.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LastDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string()[1..])
    }
}

impl Kind {
    /// For people who read English.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mobile => "mobile",
            Kind::Geographic => "fixed line",
            Kind::GeographicOrMobile => "fixed line or mobile",
            Kind::Nomadic => "internet telephony or personal number",
            Kind::TollFree => "toll-free",
            Kind::Service => "service number",
            Kind::Short => "short number",
            Kind::Code => "feature code",
            Kind::Withheld => "withheld or unknown",
            Kind::Unknown => "unknown to its numbering plan",
        }
    }
}

fn kind_of(label: Label) -> Kind {
    match label {
        label if label.is_toll_free() => Kind::TollFree,
        label if label.is_service() => Kind::Service,
        label if label.is_fixed() && label.is_mobile() => Kind::GeographicOrMobile,
        label if label.is_mobile() => Kind::Mobile,
        label if label.is_fixed() => Kind::Geographic,
        label if label.is_nomadic() => Kind::Nomadic,
        _ => Kind::Unknown,
    }
}

/// 8-800 is many clients' number of the other side, never one client's own; short numbers and codes are no client's.
fn may_match_last_digits(kind: Kind, reading: &Reading, has_e164: bool) -> bool {
    match kind {
        Kind::Mobile | Kind::Geographic | Kind::GeographicOrMobile | Kind::Nomadic => true,
        Kind::Unknown => has_e164 || reading.shape == Shape::Number && !reading.doubtful,
        Kind::TollFree | Kind::Service | Kind::Short | Kind::Code | Kind::Withheld => false,
    }
}

/// Where no region is set: 800…, 8800…, 1800…, 0800….
fn looks_toll_free(digits: &[u8]) -> bool {
    let behind = digits.strip_prefix(b"8").or(digits.strip_prefix(b"1")).or(digits.strip_prefix(b"0"));
    digits.starts_with(b"800") || behind.is_some_and(|behind| behind.starts_with(b"800"))
}

fn home(settings: &NumbersSettings, problems: &mut Vec<Problem>) -> Option<Home> {
    let area_code = settings.area_code.as_deref().unwrap_or("");
    let Some(id) = &settings.region else {
        if !area_code.is_empty() {
            let message = "an area code needs its country: set region, too".to_owned();
            problems.push(Problem { key: "area_code", message });
        }
        return None;
    };
    let Some(region) = Region::of(id) else {
        let message = format!("`{id}` is no country; use its two letters, like \"RU\", \"KZ\" or \"DE\"");
        problems.push(Problem { key: "region", message });
        return None;
    };
    let is_area = area_code.len() <= 6
        && area_code.bytes().all(|byte| byte.is_ascii_digit())
        // Russian area codes may begin with 8, the national prefix; a 0 is always the prefix where there is one.
        && !(area_code.starts_with('0') && region.national_prefixes(b"0").next().is_some());
    if !is_area {
        let message = format!(
            "`{area_code}` is no area code; write its digits without the national prefix, like \"495\" or \"30\""
        );
        problems.push(Problem { key: "area_code", message });
    }
    Some(Home { region, calling_code: region.calling_code(), area_code: Digits::collect(area_code.bytes()) })
}

fn patterns(key: &'static str, texts: &[String], problems: &mut Vec<Problem>) -> Vec<EndpointPattern> {
    let mut patterns = Vec::with_capacity(texts.len());
    for text in texts {
        match EndpointPattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(bad) => problems.push(Problem { key, message: format!("the pattern `{text}` {bad}") }),
        }
    }
    patterns
}

/// A calling code with the countries that share it: `+7 (KZ, RU)`.
fn countries(code: &CallingCode) -> String {
    let regions: Vec<&str> = code.regions().take(4).map(Region::id).collect();
    match (regions.as_slice(), code.regions().count()) {
        ([], _) => format!("+{} (international)", code.code),
        (some, all) if all > some.len() => {
            format!("+{} ({} and {} more)", code.code, some.join(", "), all - some.len())
        }
        (some, _) => format!("+{} ({})", code.code, some.join(", ")),
    }
}
