//! Patterns for names of endpoints: which of them are people's extensions, which are trunks.
//!
//! The syntax is the one an Asterisk administrator knows from the dialplan, and a `*` for names:
//!
//! | written | means |
//! |---|---|
//! | `101`, `reception` | this very name |
//! | `mango*`, `*-trunk` | `*` stands for any run of characters, also none |
//! | `_1XX` | from `_` on as in `extensions.conf`: `X` a digit, `Z` 1 to 9, `N` 2 to 9 (also `x z n`) |
//! | `_[2-5]XX`, `_[a-f1]X` | one of the characters or ranges in brackets |
//! | `_1X.`, `_1X!` | `.` one or more characters of any kind, `!` any number of them; only at the end |
//! | `_1-XX` | `-` outside brackets is ignored, as Asterisk does |

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointPattern {
    Name(String),
    Dialplan { places: Vec<Place>, rest: Rest },
}

/// What may stand at one place of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    One(char),
    Range(char, char),
    AnyOf(Vec<(char, char)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Nothing,
    OneOrMore,
    Anything,
}

/// What is wrong with a pattern, as a sentence for the administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPattern(&'static str);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl EndpointPattern {
    pub fn parse(text: &str) -> Result<EndpointPattern, BadPattern> {
        let Some(pattern) = text.strip_prefix('_') else {
            return match text {
                "" => Err(BadPattern("is empty")),
                name if name.len() > 80 => Err(BadPattern("is longer than the 80 characters Asterisk allows a name")),
                name => Ok(EndpointPattern::Name(name.to_owned())),
            };
        };
        let mut places = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            let rest = match character {
                'X' | 'x' => {
                    places.push(Place::Range('0', '9'));
                    continue;
                }
                'Z' | 'z' => {
                    places.push(Place::Range('1', '9'));
                    continue;
                }
                'N' | 'n' => {
                    places.push(Place::Range('2', '9'));
                    continue;
                }
                '-' => continue,
                '[' => {
                    places.push(Place::AnyOf(class(&mut characters)?));
                    continue;
                }
                '.' => Rest::OneOrMore,
                '!' => Rest::Anything,
                other => {
                    places.push(Place::One(other));
                    continue;
                }
            };
            return match characters.next() {
                None => Ok(EndpointPattern::Dialplan { places, rest }),
                Some(_) => Err(BadPattern("has something behind `.` or `!`, which match all the rest")),
            };
        }
        match places.is_empty() {
            true => Err(BadPattern("has nothing behind its `_`")),
            false => Ok(EndpointPattern::Dialplan { places, rest: Rest::Nothing }),
        }
    }

    pub fn matches(&self, name: &str) -> bool {
        match self {
            EndpointPattern::Name(pattern) => matches_glob(pattern, name),
            EndpointPattern::Dialplan { places, rest } => {
                let mut characters = name.chars();
                let fits = places.iter().all(|place| characters.next().is_some_and(|one| place.holds(one)));
                fits && match rest {
                    Rest::Nothing => characters.next().is_none(),
                    Rest::OneOrMore => characters.next().is_some(),
                    Rest::Anything => true,
                }
            }
        }
    }
}

impl Place {
    fn holds(&self, character: char) -> bool {
        match self {
            Place::One(one) => *one == character,
            Place::Range(first, last) => (*first..=*last).contains(&character),
            Place::AnyOf(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)),
        }
    }
}

fn class(characters: &mut std::str::Chars<'_>) -> Result<Vec<(char, char)>, BadPattern> {
    const NOT_CLOSED: BadPattern = BadPattern("has a `[` without its `]`");
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut is_range = false;
    loop {
        match characters.next().ok_or(NOT_CLOSED)? {
            ']' if is_range => {
                return Err(BadPattern("has a range in brackets without an end, like `[2-]`"));
            }
            ']' if ranges.is_empty() => return Err(BadPattern("has empty brackets")),
            ']' => return Ok(ranges),
            '-' if !ranges.is_empty() && !is_range => is_range = true,
            character if is_range => {
                let last = ranges.last_mut().expect("a range begins with a character");
                if last.1 > character {
                    return Err(BadPattern("has a range in brackets that runs backwards, like `[5-2]`"));
                }
                last.1 = character;
                is_range = false;
            }
            character => ranges.push((character, character)),
        }
    }
}

/// `*` stands for any run of characters. Takes the last star back when stuck, so the time is at most the product of
/// both lengths, which are those of names.
fn matches_glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            p += 1;
            n += 1;
        } else if let Some((star_p, star_n)) = star {
            p = star_p + 1;
            n = star_n + 1;
            star = Some((star_p, n));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        EndpointPattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_name_matches_itself_and_stars_match_runs() {
        assert!(matches("101", "101"));
        assert!(!matches("101", "1010"));
        assert!(matches("mango*", "mango-msk"));
        assert!(matches("*trunk*", "sip-trunk-2"));
        assert!(matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a*b*c", "aXbYbZ"));
        assert!(matches("*", ""));
        assert!(!matches("Mango*", "mango"), "names of endpoints differ by case");
    }

    #[test]
    fn dialplan_patterns_mean_what_they_mean_in_extensions_conf() {
        assert!(matches("_1XX", "199") && !matches("_1XX", "1999") && !matches("_1XX", "19"));
        assert!(matches("_NX", "20") && !matches("_NX", "10"));
        assert!(matches("_Z", "1") && !matches("_Z", "0"));
        assert!(matches("_[2-59]XX", "902") && !matches("_[2-59]XX", "602"));
        assert!(matches("_1.", "10") && !matches("_1.", "1"));
        assert!(matches("_1!", "1") && matches("_1!", "1abc"));
        assert!(matches("_1-2", "12"));
        assert!(matches("_ma[n]go.", "mango7"));
    }

    #[test]
    fn a_bad_pattern_says_what_is_wrong() {
        for (pattern, part) in [
            ("", "empty"),
            ("_", "nothing"),
            ("_1.2", "behind"),
            ("_[12", "without its"),
            ("_[]", "empty brackets"),
            ("_[5-2]", "backwards"),
            ("_[2-]", "without an end"),
        ] {
            let said = EndpointPattern::parse(pattern).unwrap_err().to_string();
            assert!(said.contains(part), "{pattern}: {said}");
        }
    }
}
