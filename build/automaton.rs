//! All numbering plans as one pool of states, in which equal endings exist once: a minimal acyclic automaton over
//! the ten digits, written as bytes that the program walks in place.
//!
//! Leaves to `build.rs`: what the patterns and labels mean; to `src/phone/plan.rs`: walking it.

use std::collections::HashMap;

use crate::pattern::{Digits, Nfa, Pattern};

/// What a number means that ends in a state; 0 is "no number". Ten bits, see `src/phone/plan.rs`.
pub type Label = u16;

pub type StateId = u32;

#[derive(PartialEq, Eq, Hash, Clone)]
struct State {
    label: Label,
    /// Disjoint sets of digits, ordered by their lowest digit.
    moves: Vec<(Digits, StateId)>,
}

#[derive(Default)]
pub struct Pool {
    states: Vec<State>,
    known: HashMap<State, StateId>,
}

impl Pool {
    /// Adds the patterns side by side; `label` turns the tags of those that match the whole into the meaning.
    /// `None` if nothing at all matches.
    pub fn add(&mut self, patterns: &[(Pattern, u32)], label: &dyn Fn(&[u32]) -> Label) -> Option<StateId> {
        let mut nfa = Nfa::default();
        let starts: Vec<u32> = patterns.iter().map(|(pattern, tag)| nfa.add(pattern, *tag)).collect();
        let start = nfa.closure(starts);
        self.reduce(&nfa, start, label, &mut HashMap::new())
    }

    /// One pattern that either matches or not.
    pub fn add_one(&mut self, pattern: &Pattern) -> Option<StateId> {
        self.add(&[(pattern.clone(), 0)], &|tags| Label::from(!tags.is_empty()))
    }

    fn reduce(
        &mut self,
        nfa: &Nfa,
        set: Vec<u32>,
        label: &dyn Fn(&[u32]) -> Label,
        done: &mut HashMap<Vec<u32>, Option<StateId>>,
    ) -> Option<StateId> {
        if let Some(&known) = done.get(&set) {
            return known;
        }
        let tags: Vec<u32> = nfa.tags(&set).collect();
        let mut state = State { label: label(&tags), moves: Vec::new() };
        for digit in 0..10 {
            let next = nfa.after(&set, digit);
            if next.is_empty() {
                continue;
            }
            let Some(target) = self.reduce(nfa, next, label, done) else {
                continue;
            };
            match state.moves.iter_mut().find(|(_, known)| *known == target) {
                Some((digits, _)) => *digits |= 1 << digit,
                None => state.moves.push((1 << digit, target)),
            }
        }
        let id = (state.label != 0 || !state.moves.is_empty()).then(|| self.intern(state));
        done.insert(set, id);
        id
    }

    fn intern(&mut self, state: State) -> StateId {
        if let Some(&known) = self.known.get(&state) {
            return known;
        }
        let id = StateId::try_from(self.states.len()).expect("there are some thousand states");
        self.states.push(state.clone());
        self.known.insert(state, id);
        id
    }

    /// The states as 16-bit words, and where each of them begins.
    ///
    /// A state is a head word (bits 0 to 9 the label, bits 12 to 15 the number of moves), then two words a move: the
    /// digits with the high six bits of the target above them, and the low sixteen bits of the target.
    pub fn words(&self) -> (Vec<u16>, Vec<u32>) {
        let mut starts = Vec::new();
        let mut at = 0;
        for state in &self.states {
            starts.push(at);
            at += 1 + 2 * u32::try_from(state.moves.len()).expect("at most ten");
        }
        assert!(at < 1 << 22, "the table outgrew its 22-bit references");
        let mut words = Vec::new();
        for state in &self.states {
            assert!(state.label < 1 << 10, "a label has ten bits");
            words.push(state.label | (u16::try_from(state.moves.len()).expect("at most ten") << 12));
            for (digits, target) in &state.moves {
                let start = starts[*target as usize];
                words.push(digits | ((start >> 16) as u16) << 10);
                words.push(start as u16);
            }
        }
        (words, starts)
    }
}
