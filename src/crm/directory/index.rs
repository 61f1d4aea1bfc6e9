//! Numbers and whose they are, packed: two sorted tables and the cards in pieces of at most 64 KiB. Pure.
//!
//! An [`Index`] never changes; [`Index::with`] makes the next one, which shares the cards with it. So a reader is never held up,
//! and a page of changes costs one pass over the tables (12 bytes a number each).

use std::collections::HashMap;
use std::sync::Arc;

use crate::client::Client;
use crate::phone::MatchKeys;

/// Cards of one number, or of several with the same last digits, that are looked at.
pub const CLIENTS_MAX: usize = 16;
/// No number has more digits; without international form it is filed as an integer.
const EXACT_DIGITS_MAX: usize = 18;
/// Set in the keys of numbers without international form.
const NO_E164: u64 = 1 << 63;
/// Bytes of a card before its id and name.
const HEAD_BYTES: usize = 13;
const PIECE_BYTES_MAX: usize = 1 << 16;
/// Many small changes leave many small pieces.
const PIECES_MAX: usize = 4_096;
const CARD_TEXT_BYTES_MAX: usize = 255;

/// Under what a number is filed; E.164 where there is one.
pub type Key = u64;

/// A number's new owners.
#[derive(Debug)]
pub struct Change<'a> {
    pub keys: MatchKeys,
    /// None: nobody's any more.
    pub clients: &'a [Client],
}

/// The packed directory of one CRM.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// By number, several entries for several clients.
    by_number: Table,
    /// By last digits.
    by_last: Table,
    pieces: Vec<Arc<[u8]>>,
    words: Arc<Words>,
    /// Bytes of cards that no table leads to any more.
    waste_bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Table {
    keys: Vec<u64>,
    /// Where the card is: piece and place in it.
    cards: Vec<u32>,
}

/// Modules, users and caller ids: few, and on every card.
#[derive(Clone, Debug, Default)]
struct Words {
    texts: Vec<Box<str>>,
    places: HashMap<Box<str>, u16>,
}

/// The key of a number; `None` if it cannot be filed.
pub fn key(keys: &MatchKeys) -> Option<Key> {
    if let Some(e164) = keys.e164 {
        return Some(e164.as_u64());
    }
    let exact = keys.exact.as_ref()?;
    let digits = exact.as_bytes();
    let is_number = digits.len() <= EXACT_DIGITS_MAX && digits.iter().all(u8::is_ascii_digit);
    // The 1 before them keeps leading zeros apart.
    is_number.then(|| NO_E164 | digits.iter().fold(1, |value, digit| value * 10 + u64::from(digit - b'0')))
}

impl Index {
    /// How many (number, client) pairs there are.
    pub fn len(&self) -> usize {
        self.by_number.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_number.keys.is_empty()
    }

    /// What it occupies, in bytes.
    pub fn weight_bytes(&self) -> usize {
        let tables = (self.by_number.keys.capacity() + self.by_last.keys.capacity()) * 12;
        tables + self.pieces.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// The clients of a number: of this very number, else of one whose last digits agree where one of both has no
    /// international form.
    pub fn find(&self, keys: &MatchKeys) -> Vec<Client> {
        if let Some(key) = key(keys) {
            let found: Vec<Client> = self.by_number.get(key).map(|at| self.card(at).1).take(CLIENTS_MAX).collect();
            if !found.is_empty() {
                return found;
            }
        }
        let Some(last) = keys.last else { return Vec::new() };
        let may_agree = |has_e164: bool| keys.e164.is_none() || !has_e164;
        let cards = self.by_last.get(last.as_u64()).map(|at| self.card(at));
        cards.filter(|(has_e164, _)| may_agree(*has_e164)).map(|(_, client)| client).take(CLIENTS_MAX).collect()
    }

    /// The directory after these changes, of which each replaces all that its number had.
    #[must_use]
    pub fn with(&self, changes: &[Change<'_>]) -> Self {
        let mut next = Self { words: Arc::clone(&self.words), waste_bytes: self.waste_bytes, ..Self::default() };
        next.pieces.clone_from(&self.pieces);
        let mut touched: Vec<u64> = changes.iter().filter_map(|change| key(&change.keys)).collect();
        touched.sort_unstable();
        let mut removed: Vec<u32> = Vec::new();
        for &key in &touched {
            removed.extend(self.by_number.get(key));
        }
        removed.sort_unstable();
        removed.dedup();
        next.waste_bytes += removed.iter().map(|&at| self.card_bytes(at).len()).sum::<usize>();

        let mut piece = Vec::new();
        let (mut numbers, mut lasts) = (Vec::new(), Vec::new());
        for change in changes {
            let Some(key) = key(&change.keys) else { continue };
            for client in change.clients.iter().take(CLIENTS_MAX) {
                let card = next.pack(client, change.keys.e164.is_some());
                if piece.len() + card.len() > PIECE_BYTES_MAX {
                    next.pieces.push(std::mem::take(&mut piece).into());
                }
                let at = u32::try_from(next.pieces.len() << 16 | piece.len()).expect("fewer than 65,536 pieces");
                piece.extend_from_slice(&card);
                numbers.push((key, at));
                if let Some(last) = change.keys.last {
                    lasts.push((last.as_u64(), at));
                }
            }
        }
        if !piece.is_empty() {
            next.pieces.push(piece.into());
        }
        next.by_number = self.by_number.with(numbers, &removed);
        next.by_last = self.by_last.with(lasts, &removed);
        let bytes: usize = next.pieces.iter().map(|piece| piece.len()).sum();
        if next.pieces.len() > PIECES_MAX || next.waste_bytes > bytes / 3 { next.packed_anew() } else { next }
    }

    /// The same without waste.
    fn packed_anew(&self) -> Self {
        let mut next = Self { words: Arc::clone(&self.words), ..Self::default() };
        let mut piece = Vec::with_capacity(PIECE_BYTES_MAX);
        let mut moved: Vec<(u32, u32)> = Vec::with_capacity(self.len());
        for &old in &self.by_number.cards {
            let card = self.card_bytes(old);
            if piece.len() + card.len() > PIECE_BYTES_MAX {
                next.pieces.push(piece.as_slice().into());
                piece.clear();
            }
            moved.push((old, u32::try_from(next.pieces.len() << 16 | piece.len()).expect("fewer than before")));
            piece.extend_from_slice(card);
        }
        if !piece.is_empty() {
            next.pieces.push(piece.as_slice().into());
        }
        moved.sort_unstable();
        let anew = |table: &Table| Table {
            keys: table.keys.clone(),
            cards: table
                .cards
                .iter()
                .map(|old| moved[moved.binary_search_by_key(old, |(old, _)| *old).expect("every card was moved")].1)
                .collect(),
        };
        (next.by_number, next.by_last) = (anew(&self.by_number), anew(&self.by_last));
        next
    }

    fn pack(&mut self, client: &Client, has_e164: bool) -> Vec<u8> {
        let id = &client.id.as_bytes()[..client.id.len().min(CARD_TEXT_BYTES_MAX)];
        let mut end = client.name.len().min(CARD_TEXT_BYTES_MAX);
        while !client.name.is_char_boundary(end) {
            end -= 1;
        }
        let name = &client.name.as_bytes()[..end];
        let mut card = Vec::with_capacity(HEAD_BYTES + id.len() + name.len());
        let user = client.user.as_deref().map_or(0, |user| self.word(user));
        let caller_id = client.caller_id.as_deref().map_or(0, |number| self.word(number));
        for word in [user, caller_id, self.word(&client.module)] {
            card.extend_from_slice(&word.to_le_bytes());
        }
        card.extend_from_slice(&client.contacted_at_s.to_le_bytes());
        card.push(u8::from(has_e164));
        card.push(u8::try_from(id.len()).expect("cut"));
        card.push(u8::try_from(name.len()).expect("cut"));
        card.extend_from_slice(id);
        card.extend_from_slice(name);
        card
    }

    /// The word's number; 0 is none, also for the 65,536th word.
    fn word(&mut self, text: &str) -> u16 {
        if text.is_empty() {
            return 0;
        }
        if let Some(place) = self.words.places.get(text) {
            return *place;
        }
        let words = Arc::make_mut(&mut self.words);
        let Ok(place) = u16::try_from(words.texts.len() + 1) else { return 0 };
        words.texts.push(text.into());
        words.places.insert(text.into(), place);
        place
    }

    fn card_bytes(&self, at: u32) -> &[u8] {
        let piece = &self.pieces[(at >> 16) as usize][(at & 0xffff) as usize..];
        &piece[..HEAD_BYTES + usize::from(piece[11]) + usize::from(piece[12])]
    }

    /// Whether its number has an international form, and the card.
    fn card(&self, at: u32) -> (bool, Client) {
        let bytes = self.card_bytes(at);
        let (head, texts) = bytes.split_at(HEAD_BYTES);
        let (id, name) = texts.split_at(usize::from(head[11]));
        let word = |nth: usize| {
            let place = usize::from(u16::from_le_bytes([head[nth * 2], head[nth * 2 + 1]]));
            place.checked_sub(1).and_then(|place| self.words.texts.get(place)).map(|text| text.to_string())
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let client = Client {
            module: word(2).unwrap_or_default(),
            id: text(id),
            name: text(name),
            user: word(0),
            caller_id: word(1),
            contacted_at_s: u32::from_le_bytes([head[6], head[7], head[8], head[9]]),
        };
        (head[10] == 1, client)
    }
}

impl Table {
    fn get(&self, key: u64) -> impl Iterator<Item = u32> + '_ {
        let from = self.keys.partition_point(|&other| other < key);
        self.keys[from..]
            .iter()
            .zip(&self.cards[from..])
            .take_while(move |(other, _)| **other == key)
            .map(|(_, &at)| at)
    }

    /// The table without `removed`, which is sorted, and with `added`.
    fn with(&self, mut added: Vec<(u64, u32)>, removed: &[u32]) -> Self {
        added.sort_unstable();
        let most = self.keys.len() - removed.len().min(self.keys.len()) + added.len();
        let mut next = Self { keys: Vec::with_capacity(most), cards: Vec::with_capacity(most) };
        let mut push = |key, at| {
            next.keys.push(key);
            next.cards.push(at);
        };
        let mut added = added.into_iter().peekable();
        for (&key, &at) in self.keys.iter().zip(&self.cards) {
            while let Some((first, new)) = added.next_if(|(first, _)| *first < key) {
                push(first, new);
            }
            if removed.is_empty() || removed.binary_search(&at).is_err() {
                push(key, at);
            }
        }
        for (key, at) in added {
            push(key, at);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::{Numbers, NumbersSettings};

    fn numbers() -> Numbers {
        Numbers::new(&NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() }).expect("good")
    }

    fn client(id: u32) -> Client {
        Client {
            module: "Contacts".to_owned(),
            id: id.to_string(),
            name: format!("Клиент {id}"),
            user: Some(format!("{}", id % 7)),
            caller_id: id.is_multiple_of(2).then(|| "+74951234500".to_owned()),
            contacted_at_s: id,
        }
    }

    fn filled(count: u32, numbers: &Numbers) -> Index {
        let mut index = Index::default();
        for from in (0..count).step_by(1_000) {
            let some: Vec<_> = (from..count.min(from + 1_000))
                .map(|n| (numbers.match_keys(&format!("+7916{n:07}")), [client(n)]))
                .collect();
            let changes: Vec<_> = some.iter().map(|(keys, clients)| Change { keys: *keys, clients }).collect();
            index = index.with(&changes);
        }
        index
    }

    #[test]
    fn every_number_is_found_however_it_is_written() {
        let numbers = numbers();
        let index = filled(5_000, &numbers);
        assert_eq!(index.len(), 5_000);
        for n in [0, 1, 999, 1_000, 2_345, 4_999] {
            for written in [format!("+7916{n:07}"), format!("8916{n:07}"), format!("916{n:07}"), format!("7916{n:07}")]
            {
                assert_eq!(index.find(&numbers.match_keys(&written)), [client(n)], "{written}");
            }
        }
        assert_eq!(index.find(&numbers.match_keys("+79169999999")), []);
        // Last digits count only where one of both has no international form.
        assert_eq!(index.find(&numbers.match_keys("+79260001000")), []);
    }

    #[test]
    fn numbers_without_international_form_are_found_by_all_or_by_their_last_digits() {
        let numbers = numbers();
        let clients = [client(1)];
        let index = Index::default().with(&[Change { keys: numbers.match_keys("1234567"), clients: &clients }]);
        assert_eq!(index.find(&numbers.match_keys("1234567")), clients);
        assert_eq!(index.find(&numbers.match_keys("+74951234567")), clients);
        assert_eq!(index.find(&numbers.match_keys("234567")), []);
        assert_eq!(index.find(&numbers.match_keys("")), []);
        assert_eq!(index.find(&numbers.match_keys("112")), []);
    }

    #[test]
    fn a_change_replaces_all_that_the_number_had() {
        let numbers = numbers();
        let index = filled(3_000, &numbers);
        let keys = numbers.match_keys("+79160000007");
        let two = [client(50_001), client(50_002)];
        let changed = index.with(&[Change { keys, clients: &two }]);
        assert_eq!(changed.find(&keys), two);
        assert_eq!(changed.len(), 3_001);
        // Who holds the old one still sees it.
        assert_eq!(index.find(&keys), [client(7)]);
        let gone = changed.with(&[Change { keys, clients: &[] }]);
        assert_eq!(gone.find(&keys), []);
        assert_eq!((gone.len(), gone.by_last.keys.len()), (2_999, 2_999));
    }

    #[test]
    fn what_is_replaced_again_and_again_does_not_pile_up() {
        let numbers = numbers();
        let mut index = filled(2_000, &numbers);
        let weight_bytes = index.weight_bytes();
        for round in 0..10_000 {
            let keys = numbers.match_keys(&format!("+7916{:07}", round % 2_000));
            index = index.with(&[Change { keys, clients: &[client(round % 2_000)] }]);
        }
        assert!(index.weight_bytes() < weight_bytes * 2, "{} of {weight_bytes}", index.weight_bytes());
        assert!(index.pieces.len() <= PIECES_MAX + 1);
        for n in [0, 77, 1_999] {
            assert_eq!(index.find(&numbers.match_keys(&format!("+7916{n:07}"))), [client(n)]);
        }
    }

    #[test]
    fn a_number_with_a_crowd_of_clients_shows_some_of_them() {
        let numbers = numbers();
        let keys = numbers.match_keys("+74951111111");
        let crowd: Vec<_> = (0..1_000).map(client).collect();
        let index = Index::default().with(&[Change { keys, clients: &crowd }]);
        assert_eq!(index.find(&keys).len(), CLIENTS_MAX);
    }
}
