//! Decides which number the digits are: tries the readings that the numbering plans allow, the surest first.
//!
//! Leaves the digits to `reading.rs` and the plans to `plan.rs`. A reading is believed at once if the plan has a range
//! for it (`Assigned`), else, last, if it has the shape of its country's numbers, since ranges are younger than tables.

use super::e164::E164;
use super::plan::{CallingCode, Label, Region};
use super::reading::{Digits, NUMBER_DIGITS_MIN};

/// Digits without plus, national or exit prefix are taken for an international number from here on only.
const BARE_INTERNATIONAL_MIN: usize = 10;
/// Local numbers that an area code can complete.
const LOCAL: std::ops::RangeInclusive<usize> = 5..=8;

#[derive(Debug, Clone, Copy)]
pub struct Resolved {
    pub e164: E164,
    pub label: Label,
    pub calling_code: &'static CallingCode,
}

/// Where the exchange stands.
#[derive(Debug, Clone)]
pub struct Home {
    pub region: &'static Region,
    pub calling_code: &'static CallingCode,
    /// Completes local numbers; empty if not set.
    pub area_code: Digits,
}

/// How much a reading must prove.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// The plan has a range for the number.
    Assigned,
    /// The number has the shape of its country's numbers.
    Possible,
}

impl Proof {
    fn accepts(self, label: Label) -> bool {
        match self {
            Proof::Assigned => label.is_assigned(),
            Proof::Possible => label.is_possible(),
        }
    }
}

/// After a `+`.
pub fn after_plus(home: Option<&Home>, digits: &[u8]) -> Option<Resolved> {
    international(digits, Proof::Assigned)
        .or_else(|| international(digits, Proof::Possible))
        // "+8 916 …" and "+916 …": a plus put before a number as it is dialled at home.
        .or_else(|| home.and_then(|home| home.national(digits, Proof::Assigned)))
}

impl Home {
    /// Digits without a plus.
    pub fn resolve(&self, digits: &[u8]) -> Option<Resolved> {
        self.abroad(digits, Proof::Assigned)
            .or_else(|| self.national(digits, Proof::Assigned))
            .or_else(|| bare_international(digits))
            .or_else(|| self.abroad(digits, Proof::Possible))
            .or_else(|| self.national(digits, Proof::Possible))
    }

    /// As dialled from here to abroad: `8-10-375…`, `00375…`. 00 is understood everywhere, since numbers are stored so.
    fn abroad(&self, digits: &[u8], proof: Proof) -> Option<Resolved> {
        let own = self.region.international_prefixes(digits).find_map(|length| international(&digits[length..], proof));
        own.or_else(|| international(digits.strip_prefix(b"00")?, Proof::Assigned))
    }

    fn national(&self, digits: &[u8], proof: Proof) -> Option<Resolved> {
        if !self.region.has_national_prefix {
            // Italy, Czechia: digits are a national number before they are anything else.
            return self
                .bare(digits, proof)
                .or_else(|| self.prefixed(digits, proof))
                .or_else(|| self.local(digits))
                .or_else(|| self.with_own_code(digits, proof));
        }
        let may_be_prefixed = self.region.national_prefixes(digits).next().is_some();
        if may_be_prefixed {
            // 8916123456 in Russia has lost a digit, and is no number of a town yet unheard of.
            let bare = || self.bare(digits, Proof::Assigned);
            return self
                .prefixed(digits, proof)
                .or_else(|| self.local(digits))
                .or_else(bare)
                .or_else(|| self.with_own_code(digits, proof));
        }
        // Where numbers differ in length, 4917… is international and also a number of a place 0 49 17, which nobody
        // writes without its 0.
        self.with_own_code(digits, proof)
            .or_else(|| self.local(digits))
            .or_else(|| self.bare(digits, proof))
            .or_else(|| self.with_mobile_infix(digits, proof))
    }

    /// With national prefix or carrier selection.
    fn prefixed(&self, digits: &[u8], proof: Proof) -> Option<Resolved> {
        self.region.national_prefixes(digits).find_map(|length| {
            let national = &digits[length..];
            self.own(national, proof).or_else(|| self.with_mobile_infix(national, proof))
        })
    }

    /// Without national prefix, where that is no local number.
    fn bare(&self, digits: &[u8], proof: Proof) -> Option<Resolved> {
        self.own(digits, proof).filter(|found| {
            let label = found.label;
            let is_clear = label.is_mobile() && !label.is_fixed() || label.is_dialled_whole();
            digits.len() >= usize::from(self.region.shortest_bare) || is_clear && digits.len() >= NUMBER_DIGITS_MIN
        })
    }

    fn own(&self, national: &[u8], proof: Proof) -> Option<Resolved> {
        resolved(self.calling_code, national, proof)
    }

    /// `79161234567`: international, as exchanges give it, without its plus.
    fn with_own_code(&self, digits: &[u8], proof: Proof) -> Option<Resolved> {
        let (code, _) = CallingCode::split(digits)?;
        let is_own = code.code == self.region.code && digits.len() >= BARE_INTERNATIONAL_MIN;
        is_own.then(|| international(digits, proof))?
    }

    fn local(&self, digits: &[u8]) -> Option<Resolved> {
        if let Some(area) = self.region.area_of_local(digits) {
            return self.own(&[area.as_bytes(), digits].concat(), Proof::Assigned);
        }
        let is_local = LOCAL.contains(&digits.len()) && digits[0] != b'0' && !self.area_code.is_empty();
        let whole = || Digits::collect(self.area_code.as_bytes().iter().chain(digits).copied());
        // 118… and 116… are information and help lines nearly everywhere.
        let is_service = digits.starts_with(b"11") && digits.len() < 7;
        (is_local && !is_service).then(|| self.own(whole().as_bytes(), Proof::Assigned))?
    }

    /// Argentina: 011 15 2345-6789 is +54 9 11 2345-6789.
    fn with_mobile_infix(&self, national: &[u8], proof: Proof) -> Option<Resolved> {
        if !self.region.has_mobile_infix || national.len() < 12 {
            return None;
        }
        (2..=4).filter(|&area| &national[area..area + 2] == b"15").find_map(|area| {
            let mobile = Digits::collect([b'9'].iter().chain(&national[..area]).chain(&national[area + 2..]).copied());
            self.own(mobile.as_bytes(), proof).filter(|found| found.label.is_mobile())
        })
    }
}

/// Calling code and national number, also with the national prefix left in between: +49 (0)30 …
fn international(digits: &[u8], proof: Proof) -> Option<Resolved> {
    let (code, national) = CallingCode::split(digits)?;
    resolved(code, national, proof).or_else(|| {
        let region = code.regions().find(|region| region.has_national_prefix)?;
        region.national_prefixes(national).find_map(|length| resolved(code, &national[length..], proof))
    })
}

/// `375291234567`, as trunks give foreign callers. Only what the plan of that country surely has: a subscriber's number.
fn bare_international(digits: &[u8]) -> Option<Resolved> {
    if digits.len() < BARE_INTERNATIONAL_MIN {
        return None;
    }
    let (code, national) = CallingCode::split(digits)?;
    resolved(code, national, Proof::Assigned).filter(|found| found.label.is_subscriber())
}

fn resolved(calling_code: &'static CallingCode, national: &[u8], proof: Proof) -> Option<Resolved> {
    let label = calling_code.label(national);
    if !proof.accepts(label) {
        return None;
    }
    Some(Resolved { e164: E164::from_parts(calling_code.code, national)?, label, calling_code })
}
