//! The lease: which of two connectors for one exchange may write and dial just now. Pure, but for the [`Pass`], which the
//! threads that write look at.
//!
//! The lease is one document in the shared MongoDB. It names its holder and a *term*, which grows with every change of
//! holder, and runs out [`LEASE_MS`] after it was renewed last, by the clock of the database. The holder renews it every
//! [`RENEW_MS`] and gives it up by itself [`GIVE_UP_MS`] after the last renewal *was asked for*, by a clock that also runs
//! while the process or the whole machine is paused. So there are always two seconds in which nobody writes before
//! somebody else may, whatever the clocks of the two machines say; and who slept through them writes nothing when he
//! wakes, because everybody who writes looks at his [`Pass`] right before.
//!
//! A request that was already on its way when the lease was lost can still arrive late. That is what the term is for:
//! receivers order by (term, revision), so that the word of an older term never overwrites that of a younger one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

/// `[pair]`: two connectors for one exchange.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairSettings {
    /// The name of the lease in MongoDB, the same in both; empty: this connector stands alone.
    pub lease: String,
    /// Which of the two this one is; empty: the name of the host.
    pub name: String,
}

/// For how long the database keeps the lease for its holder, in milliseconds.
pub const LEASE_MS: u64 = 6_000;
/// How often the holder renews it, and how often the other one asks for it.
pub const RENEW_MS: u64 = 2_000;
/// Nobody asks again sooner than after this.
const SOON_MS: u64 = 100;
/// After this long without a renewal the holder stops by himself.
pub const GIVE_UP_MS: u64 = 4_000;

/// What the database said to somebody who asked for the lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is ours, in this term.
    Granted { term: u64 },
    /// It is somebody else's, for `left_ms` more if he does not renew it. `caught_up`: everything that holder had to deliver stood
    /// in MongoDB when he renewed last.
    Refused { holder: String, term: u64, caught_up: bool, left_ms: u64 },
    /// The database did not answer, or not in time.
    Unknown { why: String },
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    /// We may write and dial from now on, in this term, which is new.
    Took { term: u64 },
    /// We may not any more.
    Lost { why: String },
}

/// What we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// Nobody else may write.
    Active { term: u64 },
    /// We follow. `holder` is who is active, as far as we know.
    Standby { holder: Option<String> },
}

/// The lease as one of the two sees it. All times are milliseconds of a clock that runs through every pause
/// ([`crate::clock::boot_ms`]).
#[derive(Debug)]
pub struct Lease {
    role: Role,
    /// The holder's: when he stops by himself.
    until_ms: u64,
    /// When to ask next.
    ask_ms: u64,
    /// The highest term ever seen: the database went back to an old state if it names a lower one.
    seen: u64,
    /// When the holder last said that everything he must deliver is in MongoDB.
    caught_up_ms: Option<u64>,
    pass: Pass,
}

impl Lease {
    /// Standing by, and asking at once.
    pub fn new(now_ms: u64) -> Self {
        let role = Role::Standby { holder: None };
        Self { role, until_ms: 0, ask_ms: now_ms, seen: 0, caught_up_ms: None, pass: Pass::closed() }
    }

    pub fn role(&self) -> &Role {
        &self.role
    }

    /// What those who write look at; it follows this lease.
    pub fn pass(&self) -> Pass {
        self.pass.clone()
    }

    /// Until when (by this lease's clock) what is not among the holder's undelivered records was delivered by him; `None` if
    /// that was never heard.
    pub fn caught_up_ms(&self) -> Option<u64> {
        // What he wrote down at that moment he had looked at one period before, at most.
        self.caught_up_ms.map(|at| at.saturating_sub(RENEW_MS))
    }

    /// When [`Lease::tick`] has something to say, at the latest.
    pub fn next_deadline(&self) -> u64 {
        match self.role {
            Role::Active { .. } => self.ask_ms.min(self.until_ms),
            Role::Standby { .. } => self.ask_ms,
        }
    }

    /// Whether it is time to ask the database.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.ask_ms
    }

    /// Time went by without an answer.
    pub fn tick(&mut self, now_ms: u64) -> Option<Turn> {
        let is_over = matches!(self.role, Role::Active { .. }) && now_ms >= self.until_ms;
        is_over.then(|| self.lose(None, format!("it could not be renewed for {} s", GIVE_UP_MS / 1_000)))
    }

    /// The answer to a question that was asked at `asked_ms` arrived at `now_ms`.
    pub fn answered(&mut self, asked_ms: u64, now_ms: u64, answer: Answer) -> Option<Turn> {
        // Whoever was away for long asks at once, not several times.
        self.ask_ms = asked_ms.saturating_add(RENEW_MS).max(now_ms);
        // First what the time that went by meant: an answer that arrives too late renews nothing.
        let over = self.tick(now_ms);
        match answer {
            Answer::Granted { term } if term < self.seen => {
                let why = format!("the database names term {term}, but {} has been: it is an old copy", self.seen);
                self.turn(over, why)
            }
            Answer::Granted { term } => {
                self.seen = term;
                let until_ms = asked_ms.saturating_add(GIVE_UP_MS);
                if now_ms >= until_ms {
                    return over;
                }
                self.until_ms = until_ms;
                self.pass.open(term, until_ms);
                match self.role {
                    Role::Active { term: had } if had == term => over,
                    _ => {
                        self.role = Role::Active { term };
                        Some(Turn::Took { term })
                    }
                }
            }
            Answer::Refused { holder, term, caught_up, left_ms } => {
                self.seen = self.seen.max(term);
                // He may be dead: then nobody need wait longer than for the end of his lease.
                self.ask_ms = self.ask_ms.min(now_ms.saturating_add(left_ms.max(SOON_MS)));
                if caught_up {
                    // He said so when he renewed it last.
                    let renewed_ms = asked_ms.saturating_sub(LEASE_MS.saturating_sub(left_ms));
                    self.caught_up_ms = self.caught_up_ms.max(Some(renewed_ms));
                }
                match &mut self.role {
                    Role::Active { .. } => {
                        let why = format!("{holder} has it");
                        Some(self.lose(Some(holder), why))
                    }
                    Role::Standby { holder: known } => {
                        *known = Some(holder);
                        over
                    }
                }
            }
            // The holder lives on what he has until that is used up.
            Answer::Unknown { .. } => over,
        }
    }

    /// We hand it over on purpose, or stop: nobody of us writes from here on. The database is told by the caller.
    pub fn give_up(&mut self, now_ms: u64, why: &str) -> Option<Turn> {
        // The other one gets the time to take it.
        self.ask_ms = now_ms.saturating_add(LEASE_MS + RENEW_MS);
        matches!(self.role, Role::Active { .. }).then(|| self.lose(None, why.to_owned()))
    }

    fn turn(&mut self, over: Option<Turn>, why: String) -> Option<Turn> {
        if matches!(self.role, Role::Active { .. }) { Some(self.lose(None, why)) } else { over }
    }

    fn lose(&mut self, holder: Option<String>, why: String) -> Turn {
        self.pass.close();
        self.until_ms = 0;
        self.role = Role::Standby { holder };
        Turn::Lost { why }
    }
}

/// May I write, and in which term? Looked at right before each batch and each Originate, by whoever sends them.
///
/// The one value that several threads read while one changes it: asking the owner by a queue would make the answer older
/// than the lease may be.
#[derive(Clone, Debug)]
pub struct Pass {
    term_and_end: Arc<(AtomicU64, AtomicU64)>,
}

/// The end of a pass that never ends: there is no second connector.
const FOR_EVER: u64 = u64::MAX;

impl Pass {
    /// Of a connector that stands alone. It has no term.
    pub fn alone() -> Self {
        Self { term_and_end: Arc::new((AtomicU64::new(0), AtomicU64::new(FOR_EVER))) }
    }

    fn closed() -> Self {
        Self { term_and_end: Arc::new((AtomicU64::new(0), AtomicU64::new(0))) }
    }

    /// The term to write in, if we may write now; 0 for who stands alone. `now_ms` is of [`crate::clock::boot_ms`].
    pub fn term(&self, now_ms: u64) -> Option<u64> {
        let (term, end) = &*self.term_and_end;
        // The term before and after the end: between two leases of ours the end belongs to one of them only.
        let before = term.load(Ordering::SeqCst);
        let is_ours = now_ms < end.load(Ordering::SeqCst);
        (is_ours && before == term.load(Ordering::SeqCst)).then_some(before)
    }

    fn open(&self, term: u64, until_ms: u64) {
        let (of, end) = &*self.term_and_end;
        if of.load(Ordering::SeqCst) != term {
            end.store(0, Ordering::SeqCst);
            of.store(term, Ordering::SeqCst);
        }
        end.store(until_ms, Ordering::SeqCst);
    }

    fn close(&self) {
        self.term_and_end.1.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(term: u64) -> Answer {
        Answer::Granted { term }
    }

    fn refused() -> Answer {
        left(LEASE_MS - 500, true)
    }

    fn left(left_ms: u64, caught_up: bool) -> Answer {
        Answer::Refused { holder: "b".to_owned(), term: 1, caught_up, left_ms }
    }

    #[test]
    fn the_first_to_ask_becomes_active_and_stays_so_by_renewing() {
        let mut lease = Lease::new(100);
        let pass = lease.pass();
        assert!(lease.is_due(100) && pass.term(100).is_none());
        assert_eq!(lease.answered(100, 130, granted(7)), Some(Turn::Took { term: 7 }));
        assert_eq!(lease.next_deadline(), 2_100);
        assert_eq!(pass.term(4_099), Some(7));
        assert_eq!(pass.term(4_100), None, "from the question on, not from the answer");
        assert_eq!(lease.answered(2_100, 2_110, granted(7)), None);
        assert_eq!(pass.term(6_099), Some(7));
    }

    #[test]
    fn a_database_that_is_away_costs_the_lease_after_four_seconds() {
        let mut lease = Lease::new(0);
        lease.answered(0, 10, granted(1));
        let unknown = || Answer::Unknown { why: "timeout".to_owned() };
        assert_eq!(lease.answered(2_000, 3_000, unknown()), None);
        assert_eq!(lease.role(), &Role::Active { term: 1 });
        assert_eq!(lease.next_deadline(), 4_000);
        assert!(matches!(lease.tick(4_000), Some(Turn::Lost { .. })));
        assert_eq!(lease.tick(4_001), None, "lost once");
        // It comes back before anybody else took it: the same term goes on.
        assert_eq!(lease.answered(4_500, 4_510, granted(1)), Some(Turn::Took { term: 1 }));
    }

    #[test]
    fn who_was_paused_may_write_nothing_when_he_wakes() {
        let mut lease = Lease::new(0);
        lease.answered(0, 10, granted(1));
        let pass = lease.pass();
        // Stopped from 100 to 60,000; a sender wakes first.
        assert_eq!(pass.term(60_000), None);
        // The answer to the question asked before the pause lay in the socket all the time.
        assert!(matches!(lease.answered(50, 60_000, granted(1)), Some(Turn::Lost { .. })));
        assert_eq!(pass.term(60_000), None);
        assert!(lease.is_due(60_000));
        assert_eq!(lease.answered(60_000, 60_010, refused()), None);
        assert_eq!(lease.role(), &Role::Standby { holder: Some("b".to_owned()) });
    }

    #[test]
    fn who_is_told_that_another_has_it_stops_at_once() {
        let mut lease = Lease::new(0);
        lease.answered(0, 10, granted(1));
        assert_eq!(lease.answered(2_000, 2_010, refused()), Some(Turn::Lost { why: "b has it".to_owned() }));
        assert_eq!(lease.pass().term(2_010), None);
        assert_eq!(lease.answered(4_000, 4_010, granted(3)), Some(Turn::Took { term: 3 }), "a new term is a new turn");
    }

    #[test]
    fn what_the_holder_had_delivered_is_known_up_to_his_last_word() {
        let mut lease = Lease::new(0);
        assert_eq!(lease.caught_up_ms(), None);
        lease.answered(10_000, 10_010, refused());
        assert_eq!(lease.caught_up_ms(), Some(7_500), "he renewed half a second ago");
        lease.answered(12_000, 12_010, left(LEASE_MS - 500, false));
        assert_eq!(lease.caught_up_ms(), Some(7_500));
        // He has died meanwhile: what he said last is not younger for being heard again.
        lease.answered(20_000, 20_010, left(LEASE_MS - 500, true));
        lease.answered(24_000, 24_010, left(1_500, true));
        assert_eq!(lease.caught_up_ms(), Some(17_500));
        assert_eq!(lease.next_deadline(), 24_010 + 1_500, "his lease is over then");
        assert_eq!(lease.answered(25_510, 25_520, left(3, true)), None);
        assert_eq!(lease.next_deadline(), 25_520 + SOON_MS);
        assert_eq!(lease.answered(25_620, 25_630, granted(2)), Some(Turn::Took { term: 2 }));
        assert_eq!(lease.caught_up_ms(), Some(17_513));
    }

    #[test]
    fn an_old_copy_of_the_database_grants_nothing() {
        let mut lease = Lease::new(0);
        lease.answered(0, 10, granted(5));
        assert!(matches!(lease.answered(2_000, 2_010, granted(4)), Some(Turn::Lost { .. })));
        assert_eq!(lease.pass().term(2_010), None);
    }

    #[test]
    fn giving_up_leaves_the_other_one_time_to_take_it() {
        let mut lease = Lease::new(0);
        lease.answered(0, 10, granted(1));
        assert_eq!(lease.give_up(500, "switched over"), Some(Turn::Lost { why: "switched over".to_owned() }));
        assert!(!lease.is_due(500 + LEASE_MS));
        assert_eq!(lease.give_up(600, "again"), None);
    }

    #[test]
    fn standing_alone_has_no_end_and_no_term() {
        assert_eq!(Pass::alone().term(u64::MAX - 1), Some(0));
    }
}
