//! The patterns of numbering plans: the small part of regular expressions they are written in, read into a tree
//! and unfolded into a nondeterministic automaton over the ten digits.
//!
//! Leaves to `automaton.rs`: making it deterministic and small.

/// A set of digits: bit `n` stands for the digit `n`.
pub type Digits = u16;

pub const ANY_DIGIT: Digits = 0x3ff;

#[derive(Debug, Clone)]
pub enum Pattern {
    Set(Digits),
    Sequence(Vec<Pattern>),
    Choice(Vec<Pattern>),
    Repeat(Box<Pattern>, u32, u32),
}

impl Pattern {
    /// Reads digits, `\d`, classes, groups, `|`, `?`, `{n}` and `{n,m}`. White space does not count.
    ///
    /// # Panics
    /// On anything else: the plans would then mean something this table cannot say, and the build must tell.
    pub fn parse(text: &str) -> Pattern {
        let text: String = text.split_whitespace().collect();
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let pattern = reader.choice();
        assert!(reader.at == text.len(), "numbering plan pattern `{text}` is not understood at {}", reader.at);
        pattern
    }

    pub fn empty() -> Pattern {
        Pattern::Sequence(Vec::new())
    }

    /// This pattern, followed by at most `max` digits of any kind.
    pub fn then_any(self, max: u32) -> Pattern {
        Pattern::Sequence(vec![self, Pattern::Repeat(Box::new(Pattern::Set(ANY_DIGIT)), 0, max)])
    }

    /// The shortest, then lowest, string of digits that the pattern accepts.
    pub fn least(&self) -> String {
        match self {
            Pattern::Set(digits) => digits.trailing_zeros().to_string(),
            Pattern::Sequence(parts) => parts.iter().map(Pattern::least).collect(),
            Pattern::Choice(parts) => {
                let all = parts.iter().map(Pattern::least);
                all.min_by_key(|one| (one.len(), one.clone())).unwrap_or_default()
            }
            Pattern::Repeat(part, min, _) => part.least().repeat(*min as usize),
        }
    }
}

/// Splits `a|b(c|d)` into `a` and `b(c|d)`.
pub fn alternatives(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for character in text.chars().filter(|character| !character.is_whitespace()) {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if character == '|' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("it is never empty").push(character);
        }
    }
    parts
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.text[self.at..].starts_with(wanted.as_bytes());
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn choice(&mut self) -> Pattern {
        let mut parts = vec![self.sequence()];
        while self.take("|") {
            parts.push(self.sequence());
        }
        if parts.len() == 1 { parts.remove(0) } else { Pattern::Choice(parts) }
    }

    fn sequence(&mut self) -> Pattern {
        let mut parts = Vec::new();
        while let Some(part) = self.one() {
            parts.push(self.repeated(part));
        }
        Pattern::Sequence(parts)
    }

    fn one(&mut self) -> Option<Pattern> {
        if self.take("(?:") || self.take("(") {
            let inner = self.choice();
            assert!(self.take(")"), "a group of a numbering plan pattern is not closed");
            return Some(inner);
        }
        if self.take("\\d") {
            return Some(Pattern::Set(ANY_DIGIT));
        }
        if self.take("[") {
            let mut digits: Digits = 0;
            while !self.take("]") {
                let first = self.digit();
                let last = if self.take("-") { self.digit() } else { first };
                for digit in first..=last {
                    digits |= 1 << digit;
                }
            }
            return Some(Pattern::Set(digits));
        }
        self.peek().is_ascii_digit().then(|| Pattern::Set(1 << self.digit()))
    }

    fn repeated(&mut self, part: Pattern) -> Pattern {
        if self.take("?") {
            return Pattern::Repeat(Box::new(part), 0, 1);
        }
        if !self.take("{") {
            return part;
        }
        let min = self.number();
        let max = if self.take(",") { self.number() } else { min };
        assert!(self.take("}"), "a repetition of a numbering plan pattern is not closed");
        Pattern::Repeat(Box::new(part), min, max)
    }

    fn digit(&mut self) -> u32 {
        let byte = self.peek();
        assert!(byte.is_ascii_digit(), "a numbering plan pattern has {byte:?} where a digit belongs");
        self.at += 1;
        u32::from(byte - b'0')
    }

    fn number(&mut self) -> u32 {
        let mut number = 0;
        while self.peek().is_ascii_digit() {
            number = number * 10 + self.digit();
        }
        number
    }
}

/// A nondeterministic automaton; several patterns may start in it, each ending in a tag of its own.
#[derive(Default)]
pub struct Nfa {
    states: Vec<State>,
}

#[derive(Default)]
struct State {
    free: Vec<u32>,
    on_digit: Option<(Digits, u32)>,
    tag: Option<u32>,
}

impl Nfa {
    /// Adds a pattern; its end is marked with `tag`. Returns its start.
    pub fn add(&mut self, pattern: &Pattern, tag: u32) -> u32 {
        let end = self.state();
        self.states[end as usize].tag = Some(tag);
        self.unfold(pattern, end)
    }

    /// Follows the moves that read nothing; sorted, without doubles.
    pub fn closure(&self, starts: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut found = Vec::new();
        let mut todo: Vec<u32> = starts.into_iter().collect();
        let mut passed = std::collections::HashSet::new();
        while let Some(at) = todo.pop() {
            if !passed.insert(at) {
                continue;
            }
            let state = &self.states[at as usize];
            // States that only lead on say nothing of their own.
            if state.on_digit.is_some() || state.tag.is_some() {
                found.push(at);
            }
            todo.extend(&state.free);
        }
        found.sort_unstable();
        found
    }

    pub fn after(&self, states: &[u32], digit: u32) -> Vec<u32> {
        self.closure(states.iter().filter_map(|&at| match self.states[at as usize].on_digit {
            Some((digits, next)) if digits & (1 << digit) != 0 => Some(next),
            _ => None,
        }))
    }

    pub fn tags<'a>(&'a self, states: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        states.iter().filter_map(|&at| self.states[at as usize].tag)
    }

    fn state(&mut self) -> u32 {
        self.states.push(State::default());
        u32::try_from(self.states.len() - 1).expect("a numbering plan has few states")
    }

    /// Builds backwards: returns the state from which `pattern` leads to `end`.
    fn unfold(&mut self, pattern: &Pattern, end: u32) -> u32 {
        match pattern {
            Pattern::Set(digits) => {
                let start = self.state();
                self.states[start as usize].on_digit = Some((*digits, end));
                start
            }
            Pattern::Sequence(parts) => parts.iter().rev().fold(end, |end, part| self.unfold(part, end)),
            Pattern::Choice(parts) => {
                let starts = parts.iter().map(|part| self.unfold(part, end)).collect();
                let start = self.state();
                self.states[start as usize].free = starts;
                start
            }
            Pattern::Repeat(part, min, max) => {
                let mut at = end;
                for _ in *min..*max {
                    let inside = self.unfold(part, at);
                    let start = self.state();
                    self.states[start as usize].free = vec![inside, end];
                    at = start;
                }
                (0..*min).fold(at, |end, _| self.unfold(part, end))
            }
        }
    }
}
