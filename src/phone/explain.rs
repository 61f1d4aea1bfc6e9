//! What `check --number` prints: what the rules in force make of one number.

use std::fmt::Write as _;

use super::dial::DialFormat;
use super::{Kind, Numbers, countries};

/// How one place dials, for [`Numbers::explain`].
#[derive(Debug, Clone, Copy)]
pub struct DialRule<'a> {
    /// As the administrator knows it: the name of the PBX, or of the PBX and a context.
    pub place: &'a str,
    pub format: DialFormat,
    pub prefix: &'a str,
}

impl Numbers {
    /// Several lines, each ending in a line feed. Without rules, every format is shown.
    pub fn explain(&self, raw: &str, rules: &[DialRule<'_>]) -> String {
        let (number, found) = self.recognise(raw);
        let mut text = String::new();
        let mut line = |name: &str, value: &str| writeln!(text, "{name:<20} {value}").expect("a string takes all");
        line("given", &shown(raw));
        match number.e164 {
            Some(e164) => line("international", &e164.to_string()),
            None => line("international", &format!("none: {}", self.why_no_e164(number.kind, number.digits.len()))),
        }
        line("kind", number.kind.name());
        if let Some(found) = found {
            line("calling code", &countries(found.calling_code));
        }
        if let Some(extension) = number.extension {
            line("extension behind it", &format!("{} (shown, not dialled)", extension.as_str()));
        }
        line("clients found by", &self.found_by(raw));
        for rule in rules {
            line(&format!("dialled, {}", rule.place), &self.dialled(raw, rule.format, rule.prefix));
        }
        if rules.is_empty() {
            for (name, format) in [
                ("dialled as-given", DialFormat::AsGiven),
                ("e164", DialFormat::E164),
                ("e164-without-plus", DialFormat::E164WithoutPlus),
                ("national", DialFormat::National),
            ] {
                line(name, &self.dialled(raw, format, ""));
            }
        }
        text
    }

    fn dialled(&self, raw: &str, format: DialFormat, prefix: &str) -> String {
        match self.to_dial(raw, format, prefix) {
            Ok(dialled) => dialled.number,
            Err(refusal) => format!("refused: {refusal}"),
        }
    }

    fn found_by(&self, raw: &str) -> String {
        let keys = self.match_keys(raw);
        match (keys.e164, keys.last, keys.exact) {
            (Some(e164), Some(last), _) => {
                format!("{e164}; with numbers that have no international form, last digits {last}")
            }
            (Some(e164), None, _) => format!("{e164} only, never by last digits"),
            (None, Some(last), _) => format!("last digits {last}"),
            (None, None, Some(exact)) => format!("{} only", exact.as_str()),
            (None, None, None) => "nothing: no client is looked for".to_owned(),
        }
    }

    fn why_no_e164(&self, kind: Kind, digits: usize) -> &'static str {
        match kind {
            Kind::Withheld => "the caller's number is not known",
            Kind::Code => "a feature code of the exchange",
            Kind::Short => "a short number",
            _ if self.home.is_none() => "[numbers] region is not set, and the number has no +",
            _ if digits <= 8 => "a local number, perhaps; [numbers] area_code would complete it",
            _ => "no numbering plan has such a number",
        }
    }
}

/// Control characters would play with the terminal; a long text is cut.
fn shown(raw: &str) -> String {
    let mut text: String = raw.chars().filter(|character| !character.is_control()).take(80).collect();
    if raw.chars().count() > 80 {
        text.push('…');
    }
    text
}
