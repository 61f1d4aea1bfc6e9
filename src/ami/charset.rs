//! Caller names that are not UTF-8.
//!
//! SIP says UTF-8, but gateways and old phones send what their maker's desk used. Asterisk 16 passes such bytes through (22
//! replaces them itself). Six small tables do; a whole encoding library would be larger than the rest of the AMI adapter.

use std::borrow::Cow;

/// A one-byte character set; ASCII is the same in all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charset {
    Windows1251,
    Windows1252,
    Iso8859_5,
    Koi8R,
    Koi8U,
    Cp866,
}

impl Charset {
    /// By the names people use, in any case; `None` for what is not known here.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "windows-1251" | "cp1251" | "cp-1251" => Self::Windows1251,
            // What is labelled latin1 is windows-1252 in practice; the printable characters are the same.
            "windows-1252" | "cp1252" | "latin1" | "latin-1" | "iso-8859-1" => Self::Windows1252,
            "iso-8859-5" => Self::Iso8859_5,
            "koi8-r" => Self::Koi8R,
            "koi8-u" => Self::Koi8U,
            "cp866" | "ibm866" | "dos-866" => Self::Cp866,
            _ => return None,
        })
    }

    /// The names for an error message.
    pub const NAMES: &str = "windows-1251, windows-1252, iso-8859-1, iso-8859-5, koi8-r, koi8-u, cp866";

    fn upper_half(self) -> &'static str {
        match self {
            Self::Windows1251 => WINDOWS_1251,
            Self::Windows1252 => WINDOWS_1252,
            Self::Iso8859_5 => ISO_8859_5,
            Self::Koi8R => KOI8_R,
            Self::Koi8U => KOI8_U,
            Self::Cp866 => CP866,
        }
    }
}

/// A name as text: UTF-8 if it is, else by the charset, else with U+FFFD for what cannot be read.
///
/// UTF-8 that was cut in the middle of its last letter (pjsip cuts names at 79 bytes) is UTF-8, whatever the charset; an `é` of
/// latin1 behind nothing but ASCII is not.
pub fn decode(bytes: &[u8], charset: Option<Charset>) -> Cow<'_, str> {
    match (std::str::from_utf8(bytes), charset) {
        (Ok(text), _) => Cow::Borrowed(text),
        (Err(error), Some(charset)) if error.error_len().is_some() || bytes[..error.valid_up_to()].is_ascii() => {
            let upper: Vec<char> = charset.upper_half().chars().collect();
            bytes
                .iter()
                .map(|&byte| if byte < 128 { char::from(byte) } else { upper[usize::from(byte) - 128] })
                .collect()
        }
        (Err(_), _) => String::from_utf8_lossy(bytes),
    }
}

const WINDOWS_1251: &str = "\
    ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{fffd}™љ›њќћџ\
    \u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї\
    АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ\
    абвгдежзийклмнопрстуфхцчшщъыьэюя";
const WINDOWS_1252: &str = "\
    €\u{fffd}‚ƒ„…†‡ˆ‰Š‹Œ\u{fffd}Ž\u{fffd}\u{fffd}‘’“”•–—˜™š›œ\u{fffd}žŸ\
    \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
    ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß\
    àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";
const ISO_8859_5: &str = "\
    \u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\
    \u{a0}ЁЂЃЄЅІЇЈЉЊЋЌ\u{ad}ЎЏАБВГДЕЖЗИЙКЛМНОП\
    РСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмноп\
    рстуфхцчшщъыьэюя№ёђѓєѕіїјљњћќ§ўџ";
const KOI8_R: &str = "\
    ─│┌┐└┘├┤┬┴┼▀▄█▌▐░▒▓⌠■∙√≈≤≥\u{a0}⌡°²·÷\
    ═║╒ё╓╔╕╖╗╘╙╚╛╜╝╞╟╠╡Ё╢╣╤╥╦╧╨╩╪╫╬©\
    юабцдефгхийклмнопярстужвьызшэщчъ\
    ЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ";
const KOI8_U: &str = "\
    ─│┌┐└┘├┤┬┴┼▀▄█▌▐░▒▓⌠■∙√≈≤≥\u{a0}⌡°²·÷\
    ═║╒ёє╔ії╗╘╙╚╛ґ╝╞╟╠╡ЁЄ╣ІЇ╦╧╨╩╪Ґ╬©\
    юабцдефгхийклмнопярстужвьызшэщчъ\
    ЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ";
const CP866: &str = "\
    АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ\
    абвгдежзийклмноп░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    рстуфхцчшщъыьэюяЁёЄєЇїЎў°∙·√№¤■\u{a0}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_character_for_each_byte() {
        for name in Charset::NAMES.split(", ") {
            let charset = Charset::from_name(name).expect("a name we offer");
            assert_eq!(charset.upper_half().chars().count(), 128, "{name}");
        }
    }

    #[test]
    fn a_name_is_read_in_its_charset() {
        let ivan = "Иван №1";
        for (name, bytes) in [
            ("windows-1251", &b"\xc8\xe2\xe0\xed \xb91"[..]),
            ("iso-8859-5", b"\xb8\xd2\xd0\xdd \xf01"),
            ("cp866", b"\x88\xa2\xa0\xad \xfc1"),
        ] {
            assert_eq!(decode(bytes, Charset::from_name(name)), ivan, "{name}");
        }
        assert_eq!(decode(b"\xe9\xd7\xc1\xce", Charset::from_name("KOI8-R")), "Иван");
        assert_eq!(decode(b"Andr\xe9", Charset::from_name("latin1")), "André");
        assert_eq!(decode(ivan.as_bytes(), Charset::from_name("koi8-r")), ivan);
        assert_eq!(Charset::from_name("utf-16"), None);
    }

    #[test]
    fn a_name_cut_in_its_last_letter_stays_utf8() {
        let cut = &"Ромашка".as_bytes()[..13];
        assert_eq!(decode(cut, Charset::from_name("windows-1251")), "Ромашк\u{fffd}");
        assert_eq!(decode(cut, None), "Ромашк\u{fffd}");
        assert_eq!(decode(b"\xc8\xe2", None), "\u{fffd}\u{fffd}");
    }
}
