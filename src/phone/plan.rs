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
    let end = digits
        .iter()
        .try_fold(root, |state, &digit| step(state, digit));
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
    (0..31)
        .rev()
        .filter(move |at| lengths >> at & 1 == 1)
        .map(|at| at + 1)
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
            let code = code
                .iter()
                .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
            // 007 is not 7.
            (digits[0] != b'0').then_some(())?;
            Some((CallingCode::of(code)?, national))
        })
    }

    pub fn of(code: u16) -> Option<&'static CallingCode> {
        let at = CALLING_CODES
            .binary_search_by_key(&code, |one| one.code)
            .ok()?;
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

    /// Numbers without a national prefix are all there is (Italy, Czechia, Norway).
    pub fn has_national_prefix(&self) -> bool {
        self.strip != NOWHERE
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
