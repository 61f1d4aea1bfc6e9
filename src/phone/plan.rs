//! The numbering plans of the world: a table made by `build.rs`, walked in place, nothing of it copied.
//!
//! A number is read digit by digit through an automaton; where it ends stands what it may be. Leaves to
//! `resolve.rs`: which digits to try, and which reading of them to believe.

/// What a state of the automaton says about the number that ends in it; 0 is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(u16);

impl Label {
    const GENERAL: u16 = 1;
    const FIXED: u16 = 1 << 1;
    const MOBILE: u16 = 1 << 2;
    const TOLL_FREE: u16 = 1 << 3;
    const SERVICE: u16 = 1 << 4;
    const NOMADIC: u16 = 1 << 5;
    const KINDS: u16 = 0x3e;

    /// The plan has a range for this very number.
    pub fn is_assigned(self) -> bool {
        self.0 & Label::KINDS != 0
    }

    /// The number has the shape of its country's numbers, which may be a range younger than our table.
    pub fn is_possible(self) -> bool {
        self.0 & (Label::KINDS | Label::GENERAL) != 0
    }

    /// Belongs to somebody who can be called back for the usual price.
    pub fn is_subscriber(self) -> bool {
        self.0 & (Label::FIXED | Label::MOBILE | Label::NOMADIC) != 0
    }

    pub fn is_fixed(self) -> bool {
        self.0 & Label::FIXED != 0
    }

    pub fn is_mobile(self) -> bool {
        self.0 & Label::MOBILE != 0
    }

    pub fn is_toll_free(self) -> bool {
        self.0 & Label::TOLL_FREE != 0
    }

    pub fn is_service(self) -> bool {
        self.0 & Label::SERVICE != 0
    }

    pub fn is_nomadic(self) -> bool {
        self.0 & Label::NOMADIC != 0
    }

    /// Dialled at home as it stands, as mobiles in China, in a country that has a national prefix.
    pub fn is_dialled_whole(self) -> bool {
        self.is_assigned() && self.home_prefix() == 0
    }

    fn home_prefix(self) -> usize {
        usize::from(self.0 >> 6 & 3)
    }

    /// Digits of the area code behind which a mobile number dialled at home has 15 (Argentina), or 0.
    fn infix_after(self) -> usize {
        match usize::from(self.0 >> 8 & 3) {
            0 => 0,
            length => length + 1,
        }
    }
}

/// What is known of a number by its calling code alone.
#[derive(Debug)]
pub struct CallingCode {
    pub code: u16,
    root: u32,
    /// Packed digits: what goes before a number at home, chosen by the label.
    home_prefixes: [u32; 4],
}

/// What is known of the country the exchange stands in.
#[derive(Debug)]
pub struct Region {
    id: [u8; 2],
    pub code: u16,
    /// Below this many digits, a number without national prefix is a local one.
    pub shortest_bare: u8,
    pub has_mobile_infix: bool,
    /// Else numbers without one are all there is (Italy, Czechia, Norway).
    pub has_national_prefix: bool,
    strip: u32,
    complete: u32,
    complete_with: u32,
    international: u32,
    dialled_abroad: u32,
}

static WORDS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/numbering_plans.bin"));

include!(concat!(env!("OUT_DIR"), "/numbering_plans.rs"));

/// No state: the table has no such pattern.
const NOWHERE: u32 = u32::MAX;

fn word(at: u32) -> u32 {
    let at = at as usize * 2;
    u32::from(u16::from_le_bytes([WORDS[at], WORDS[at + 1]]))
}

/// Head: bits 0 to 9 the label, 12 to 15 the number of moves. A move: ten bits of digits, 22 bits of target.
fn step(state: u32, digit: u8) -> Option<u32> {
    let mut at = state + 1;
    let end = at + 2 * (word(state) >> 12);
    while at < end {
        let digits = word(at);
        if digits >> (digit - b'0') & 1 == 1 {
            return Some((digits >> 10) << 16 | word(at + 1));
        }
        at += 2;
    }
    None
}

fn label_at(state: u32) -> Label {
    Label((word(state) & 0x3ff) as u16)
}

/// The label of the whole of `digits` (ASCII digits).
fn walk(root: u32, digits: &[u8]) -> Label {
    let end = digits.iter().try_fold(root, |state, &digit| step(state, digit));
    end.map_or(Label(0), label_at)
}

/// How many digits at the beginning match, longest first.
fn beginnings(root: u32, digits: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let mut lengths = 0_u32;
    let mut state = root;
    for (at, &digit) in digits.iter().enumerate().take(31) {
        if state == NOWHERE {
            break;
        }
        let Some(next) = step(state, digit) else {
            break;
        };
        state = next;
        lengths |= u32::from(label_at(state).is_possible()) << at;
    }
    (0..31).rev().filter(move |at| lengths >> at & 1 == 1).map(|at| at + 1)
}

/// Packed digits, as text; the leading 1 only keeps zeros.
fn push_packed(packed: u32, to: &mut String) {
    let start = to.len();
    to.push_str(itoa(packed, &mut [0; 10]));
    to.remove(start);
}

fn itoa(mut number: u32, buffer: &mut [u8; 10]) -> &str {
    let mut at = buffer.len();
    while number > 0 {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    std::str::from_utf8(&buffer[at..]).expect("digits are ASCII")
}

impl CallingCode {
    /// Splits an international number (digits only) into calling code and national number.
    pub fn split(digits: &[u8]) -> Option<(&'static CallingCode, &[u8])> {
        // No code is the beginning of another.
        (1..=3.min(digits.len())).find_map(|length| {
            let (code, national) = digits.split_at(length);
            let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
            // 007 is not 7.
            (digits[0] != b'0').then_some(())?;
            Some((CallingCode::of(code)?, national))
        })
    }

    pub fn of(code: u16) -> Option<&'static CallingCode> {
        let at = CALLING_CODES.binary_search_by_key(&code, |one| one.code).ok()?;
        Some(&CALLING_CODES[at])
    }

    pub fn label(&self, national: &[u8]) -> Label {
        walk(self.root, national)
    }

    /// The countries that share the code; none for +800 and the like.
    pub fn regions(&self) -> impl Iterator<Item = &'static Region> {
        let code = self.code;
        REGIONS.iter().filter(move |region| region.code == code)
    }

    /// The number as it is dialled within its own country.
    pub fn at_home(&self, national: &str) -> String {
        let label = self.label(national.as_bytes());
        let mut dialled = String::with_capacity(national.len() + 4);
        push_packed(self.home_prefixes[label.home_prefix()], &mut dialled);
        match (label.infix_after(), national.strip_prefix('9')) {
            (area, Some(behind)) if area > 0 && area < behind.len() => {
                dialled.push_str(&behind[..area]);
                dialled.push_str("15");
                dialled.push_str(&behind[area..]);
            }
            _ => dialled.push_str(national),
        }
        dialled
    }
}

impl Region {
    /// By its two letters (ISO 3166), in either case.
    pub fn of(id: &str) -> Option<&'static Region> {
        let id: [u8; 2] = id.to_ascii_uppercase().as_bytes().try_into().ok()?;
        let at = REGIONS.binary_search_by_key(&id, |one| one.id).ok()?;
        Some(&REGIONS[at])
    }

    pub fn id(&self) -> &str {
        std::str::from_utf8(&self.id).expect("two letters")
    }

    pub fn calling_code(&self) -> &'static CallingCode {
        CallingCode::of(self.code).expect("build.rs writes the code of every region")
    }

    /// Lengths of what may be national prefix or carrier selection, longest first.
    pub fn national_prefixes(&self, digits: &[u8]) -> impl Iterator<Item = usize> + use<> {
        beginnings(self.strip, digits)
    }

    /// Lengths of what may begin an international number, longest first.
    pub fn international_prefixes(&self, digits: &[u8]) -> impl Iterator<Item = usize> + use<> {
        beginnings(self.international, digits)
    }

    /// The area code that a local number of this island lacks.
    pub fn area_of_local(&self, digits: &[u8]) -> Option<String> {
        if self.complete == NOWHERE || !walk(self.complete, digits).is_possible() {
            return None;
        }
        let mut area = String::new();
        push_packed(self.complete_with, &mut area);
        Some(area)
    }

    /// What is dialled here before an international number (calling code and on).
    pub fn dial_abroad(&self, international: &str) -> String {
        let mut dialled = String::with_capacity(international.len() + 4);
        push_packed(self.dialled_abroad, &mut dialled);
        dialled.push_str(international);
        dialled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phonenumber::metadata::DATABASE;
    use phonenumber::{Mode, country};
    use regex::Regex;

    /// Small, and the same every time.
    struct Dice(u64);

    impl Dice {
        fn throw(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) % sides
        }
    }

    /// Every example number of every country, as (calling code, region, national number).
    fn examples() -> Vec<(u16, String, String)> {
        let mut examples = Vec::new();
        for code in 1..1000_u16 {
            for region in DATABASE.by_code(&code).into_iter().flatten() {
                let of = region.descriptors();
                let all = [
                    of.fixed_line(),
                    of.mobile(),
                    of.toll_free(),
                    of.premium_rate(),
                    of.shared_cost(),
                    of.personal_number(),
                    of.voip(),
                    of.pager(),
                    of.uan(),
                    of.voicemail(),
                ];
                let numbers = all.into_iter().flatten().filter_map(|one| one.example());
                examples.extend(numbers.map(|number| (code, region.id().to_owned(), number.to_owned())));
            }
        }
        examples
    }

    /// The patterns of libphonenumber, with the bit that each of them means in our label.
    fn patterns(code: u16) -> Vec<(Regex, u16)> {
        let mut patterns = Vec::new();
        for region in DATABASE.by_code(&code).into_iter().flatten() {
            let of = region.descriptors();
            let kinds = [
                (Some(of.general()), Label::GENERAL),
                (of.fixed_line(), Label::FIXED),
                (of.mobile(), Label::MOBILE),
                (of.toll_free(), Label::TOLL_FREE),
                (of.premium_rate(), Label::SERVICE),
                (of.shared_cost(), Label::SERVICE),
                (of.pager(), Label::SERVICE),
                (of.uan(), Label::SERVICE),
                (of.voicemail(), Label::SERVICE),
                (of.voip(), Label::NOMADIC),
                (of.personal_number(), Label::NOMADIC),
            ];
            let kinds = kinds.into_iter().filter_map(|(kind, bit)| Some((kind?, bit)));
            patterns.extend(kinds.map(|(kind, bit)| {
                let whole = format!("(?x)^(?:{})$", kind.national_number().as_str());
                (Regex::new(&whole).unwrap(), bit)
            }));
        }
        patterns
    }

    #[test]
    fn the_table_says_what_the_patterns_say_of_examples_and_of_numbers_near_them() {
        let mut dice = Dice(1);
        let mut assigned = 0;
        let mut known = (0, Vec::new());
        for (code, _, example) in examples() {
            if known.0 != code {
                known = (code, patterns(code));
            }
            for _ in 0..8 {
                let mut number = example.clone().into_bytes();
                match dice.throw(5) {
                    0 => drop(number.pop()),
                    1 => number.push(b'0' + dice.throw(10) as u8),
                    _ => {
                        let at = dice.throw(number.len() as u64) as usize;
                        number[at] = b'0' + dice.throw(10) as u8;
                    }
                }
                let number = String::from_utf8(number).unwrap();
                let label = CallingCode::of(code).unwrap().label(number.as_bytes());
                let matching = known.1.iter().filter(|(pattern, _)| pattern.is_match(&number));
                let expected = matching.fold(0, |bits, (_, bit)| bits | bit);
                assert_eq!(label.0 & 0x3f, expected, "+{code} {number}");
                assigned += u32::from(label.is_assigned());
            }
        }
        assert!(assigned > 4000, "numbers near examples are mostly numbers: {assigned}");
    }

    #[test]
    fn numbers_are_dialled_at_home_as_libphonenumber_formats_them() {
        let mut wrong = Vec::new();
        let mut compared = 0;
        for (code, region, number) in examples() {
            let Ok(id) = region.parse::<country::Id>() else {
                continue;
            };
            let Ok(parsed) = phonenumber::parse(Some(id), format!("+{code}{number}")) else {
                continue;
            };
            // It takes the 8 of +7 800 for the national prefix.
            if Ok(parsed.national().value()) != number.parse() {
                continue;
            }
            let formatted = parsed.format().mode(Mode::National).to_string();
            let digits: String = formatted.chars().filter(char::is_ascii_digit).collect();
            let ours = CallingCode::of(code).unwrap().at_home(&number);
            compared += 1;
            if ours != digits {
                wrong.push(format!("{region} +{code} {number}: {ours} here, {formatted} there"));
            }
        }
        assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(compared > 1000, "{compared}");
    }

    #[test]
    fn the_table_is_small() {
        let all = WORDS.len() + size_of_val(&CALLING_CODES) + size_of_val(&REGIONS);
        assert!(all < 150_000, "{all} bytes");
    }
}
