//! The outbox's decisions as tables: what is looked for, what an answer means, how long to wait. No database, no clock.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use pinconnector::clock::Now;
use pinconnector::outbox::policy::{
    BACKOFF_MAX_MS, Backlog, Fate, Lane, RETRY_AFTER_MAX_MS, RowState, Spread, Turn, Want, backoff_ms,
};
use pinconnector::outbox::{Outcome, Verdict};

fn at(ms: u64) -> Now {
    Now { wall_ms: 1_795_000_000_000 + ms as i64, mono_ms: ms }
}

fn row(newest: u64, tries: u32) -> Option<RowState> {
    Some(RowState { newest, tries, ours: true })
}

fn down(why: &str) -> Outcome {
    Outcome::CrmDown { why: why.to_owned(), retry_after_s: None }
}

fn stale(has: u64) -> Verdict {
    Verdict::Stale { has }
}

fn retry() -> Verdict {
    Verdict::Retry { why: "locked".to_owned() }
}

fn rejected() -> Verdict {
    Verdict::Rejected { reason: "no".to_owned() }
}

/// Hands one batch of these items to the lane and settles it.
fn deliver(
    lane: &mut Lane,
    now: Now,
    sent: &[(&str, u64)],
    rows: &[Option<RowState>],
    outcome: Outcome,
) -> (Vec<Fate>, Turn) {
    lane.take(sent.iter().map(|(item, _)| (*item).to_owned()), Backlog::No);
    lane.settle(sent, rows, &outcome, Backlog::No, now, &mut Spread::new(1))
}

#[test]
fn what_a_verdict_means_for_a_row() {
    const SENT: u64 = 100;
    let park = || Fate::Park { reason: "no".to_owned() };
    let raise = |revision| Fate::Raise { revision, delay_ms: 0 };
    let table = [
        // verdict, newest revision that waits, tries, fate
        (Verdict::Saved, row(100, 0), Fate::Delete),
        (Verdict::Saved, row(101, 0), Fate::SendNewer),
        (Verdict::Saved, None, Fate::Delete),
        (Verdict::Unchanged, row(100, 3), Fate::Delete),
        (Verdict::Unchanged, row(105, 0), Fate::SendNewer),
        (rejected(), row(100, 0), park()),
        (rejected(), row(101, 0), Fate::SendNewer),
        (rejected(), None, Fate::Delete),
        (retry(), row(101, 0), Fate::SendNewer),
        (retry(), None, Fate::Delete),
        // It has what we sent.
        (stale(100), row(100, 0), Fate::Delete),
        (stale(100), row(101, 0), Fate::SendNewer),
        // A later one that we never sent: go on above it.
        (stale(101), row(100, 0), raise(102)),
        (stale(5_000), row(100, 0), raise(5_001)),
        (stale(5_000), row(200, 2), raise(5_001)),
        (stale(200), row(200, 0), raise(201)),
        // Ours is later still.
        (stale(150), row(200, 0), Fate::SendNewer),
        // Nonsense, but something newer waits.
        (stale(99), row(101, 0), Fate::SendNewer),
        (stale(5_000), None, Fate::Delete),
    ];
    for (verdict, row, fate) in table {
        let mut lane = Lane::new(1, 50);
        let outcome = Outcome::Answered(vec![verdict.clone()]);
        let (fates, turn) = deliver(&mut lane, at(0), &[("a", SENT)], &[row], outcome);
        assert_eq!((fates, turn), (vec![fate], Turn::Same), "{verdict:?} with {row:?}");
        assert!(!lane.holds("a"));
    }
}

#[test]
fn a_state_from_an_old_copy_of_the_database_does_not_overtake_a_younger_one() {
    let found = |newest| Some(RowState { newest, tries: 0, ours: false });
    let table = [
        (stale(500), found(100), Fate::Overtaken { revision: 500 }),
        // Something came since: that is the truth of today.
        (stale(500), row(101, 0), Fate::Raise { revision: 501, delay_ms: 0 }),
        (stale(100), found(100), Fate::Delete),
        (Verdict::Saved, found(100), Fate::Delete),
    ];
    for (verdict, row, fate) in table {
        let outcome = Outcome::Answered(vec![verdict.clone()]);
        let (fates, _) = deliver(&mut Lane::new(1, 50), at(0), &[("a", 100)], &[row], outcome);
        assert_eq!(fates, [fate], "{verdict:?} with {row:?}");
    }
}

#[test]
fn a_receiver_at_odds_with_itself_is_not_asked_for_ever() {
    let mut lane = Lane::new(1, 50);
    let mut fate = |verdict, tries| {
        let outcome = Outcome::Answered(vec![verdict]);
        deliver(&mut lane, at(0), &[("a", 100)], &[row(100, tries)], outcome).0.remove(0)
    };
    assert!(matches!(fate(stale(99), 0), Fate::Delay { delay_ms: 1_000..=1_250, .. }));
    assert!(matches!(fate(stale(99), 4), Fate::Delay { delay_ms: 16_000..=20_000, .. }));
    assert!(matches!(fate(retry(), 1), Fate::Delay { delay_ms: 2_000..=2_500, .. }));
    assert!(matches!(fate(stale(200), 2), Fate::Raise { delay_ms: 0, .. }));
    assert!(matches!(fate(stale(200), 3), Fate::Raise { delay_ms: 4_000..=5_000, .. }));
    assert!(matches!(fate(stale(u64::MAX), 0), Fate::Park { .. }));
}

#[test]
fn backoff_doubles_from_one_second_to_five_minutes() {
    let waits = (1..=12).map(backoff_ms).collect::<Vec<_>>();
    assert_eq!(
        waits,
        [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000, 300_000]
    );
    assert_eq!(backoff_ms(u32::MAX), BACKOFF_MAX_MS);
    let mut spread = Spread::new(7);
    let spread_waits = (0..1_000).map(|_| spread.add_to(1_000)).collect::<Vec<_>>();
    assert!(spread_waits.iter().all(|ms| (1_000..1_250).contains(ms)));
    assert!(spread_waits.iter().any(|ms| *ms < 1_050) && spread_waits.iter().any(|ms| *ms > 1_200));
    assert_eq!(Spread::new(7).add_to(1_000), spread_waits[0], "equal seeds, equal waits");
}

#[test]
fn a_destination_that_is_down_is_probed_one_at_a_time() {
    let mut lane = Lane::new(2, 50);
    let rows = [row(1, 0), row(1, 0)];
    // Two batches are under way when it fails; both say so, one fault is counted.
    lane.take(["a".to_owned(), "b".to_owned()], Backlog::No);
    lane.take(["c".to_owned(), "d".to_owned()], Backlog::No);
    let mut spread = Spread::new(1);
    let (fates, turn) = lane.settle(&[("a", 1), ("b", 1)], &rows, &down("401"), Backlog::No, at(10), &mut spread);
    assert_eq!(turn, Turn::WentDown { why: "401".to_owned() });
    assert_eq!(fates, vec![Fate::Wait { why: "401".to_owned() }; 2], "nothing is parked");
    assert_eq!(lane.want(at(10)), None);
    assert_eq!(lane.want(at(100_000)), None, "not while a batch is under way");
    let (_, turn) = lane.settle(&[("c", 1), ("d", 1)], &rows, &down("401"), Backlog::No, at(20), &mut spread);
    assert_eq!(turn, Turn::StillDown { why: "401".to_owned() });
    assert_eq!(lane.down().unwrap().tries, 1);
    let until = lane.next_deadline().unwrap();
    assert!((1_010..=1_260).contains(&until), "{until}");
    assert_eq!(lane.want(at(until - 1)), None);
    assert_eq!(lane.want(at(until)), Some(Want::Probe));
    // The probe fails: twice the wait, and its record stands back so that the next probe is another one.
    let (fates, _) = deliver(&mut lane, at(until), &[("a", 1)], &[row(1, 1)], down("500"));
    assert!(matches!(fates[0], Fate::Delay { delay_ms: 2_000..=2_500, .. }), "{fates:?}");
    assert_eq!(lane.down().unwrap().tries, 2);
    assert!((2_000..=2_500).contains(&(lane.next_deadline().unwrap() - until)));
    // It is back: small batches first, so that it is not drowned.
    let (_, turn) = deliver(&mut lane, at(60_000), &[("b", 1)], &[row(1, 1)], Outcome::Answered(vec![Verdict::Saved]));
    assert_eq!(turn, Turn::CameBack { down_for_ms: 59_990 });
    let mut sizes = Vec::new();
    for _ in 0..6 {
        match lane.want(at(60_000)).unwrap() {
            Want::NewestFirst { max, .. } | Want::Oldest { max } => sizes.push(max),
            other => panic!("{other:?}"),
        }
        deliver(&mut lane, at(60_000), &[("x", 1)], &[row(1, 0)], Outcome::Answered(vec![Verdict::Saved]));
    }
    assert_eq!(sizes, [2, 4, 8, 16, 32, 50]);
}

#[test]
fn a_probe_with_something_newer_behind_it_is_not_held_back() {
    let mut lane = Lane::new(1, 50);
    let (fates, _) = deliver(&mut lane, at(0), &[("a", 1)], &[row(2, 0)], down("500"));
    assert_eq!(fates, [Fate::Wait { why: "500".to_owned() }]);
}

#[test]
fn a_destination_may_ask_for_a_longer_wait_within_bounds() {
    for (asked_s, at_least_ms, at_most_ms) in
        [(0, 1_000, 1_250), (1, 1_000, 1_250), (90, 90_000, 90_000), (u32::MAX, RETRY_AFTER_MAX_MS, RETRY_AFTER_MAX_MS)]
    {
        let mut lane = Lane::new(1, 50);
        let outcome = Outcome::CrmDown { why: "503".to_owned(), retry_after_s: Some(asked_s) };
        deliver(&mut lane, at(0), &[("a", 1)], &[row(1, 0)], outcome);
        let until = lane.next_deadline().unwrap();
        assert!((at_least_ms..=at_most_ms).contains(&until), "{asked_s} s: {until}");
        lane.try_now(at(5));
        assert_eq!(lane.want(at(5)), Some(Want::Probe), "by hand it is tried at once");
    }
}

#[test]
fn an_answer_for_the_wrong_number_of_records_is_a_fault_of_the_crm() {
    let mut lane = Lane::new(1, 50);
    let outcome = Outcome::Answered(vec![Verdict::Saved]);
    let (fates, turn) = deliver(&mut lane, at(0), &[("a", 1), ("b", 1)], &[row(1, 0), row(1, 0)], outcome);
    let why = "it answered for 1 of 2 records".to_owned();
    assert_eq!((fates, turn), (vec![Fate::Wait { why: why.clone() }; 2], Turn::WentDown { why }));
}

#[test]
fn one_batch_in_four_is_the_oldest() {
    let mut lane = Lane::new(3, 50);
    let mut wants = Vec::new();
    for _ in 0..8 {
        wants.push(lane.want(at(0)).unwrap());
        deliver(&mut lane, at(0), &[("x", 1)], &[row(1, 0)], Outcome::Answered(vec![Verdict::Saved]));
    }
    let newest = Want::NewestFirst { max: 50, backlog: true };
    let oldest = Want::Oldest { max: 50 };
    let four = [newest.clone(), newest.clone(), newest, oldest];
    assert_eq!(wants, [four.clone(), four].concat());
}

#[test]
fn the_backlog_leaves_one_sender_for_calls_of_now() {
    for (senders, backlog_senders) in [(1, 1), (2, 1), (4, 3)] {
        let mut lane = Lane::new(senders, 50);
        for n in 0..backlog_senders {
            assert!(matches!(lane.want(at(0)), Some(Want::NewestFirst { backlog: true, .. } | Want::Oldest { .. })));
            lane.take([format!("old-{n}")], Backlog::Yes);
        }
        let left = lane.want(at(0));
        if senders == 1 {
            assert_eq!(left, None);
        } else {
            assert_eq!(left, Some(Want::NewestFirst { max: 50, backlog: false }), "{senders}");
            lane.take(["now".to_owned()], Backlog::No);
            assert_eq!(lane.want(at(0)), None, "all are busy");
        }
    }
}

#[test]
fn a_refused_batch_is_sent_singly_and_held_meanwhile() {
    let mut lane = Lane::new(1, 50);
    let refused = || Outcome::BatchRefused { why: "422".to_owned() };
    // `c` was dropped by hand meanwhile.
    let rows = [row(1, 0), row(1, 0), None];
    let (fates, turn) = deliver(&mut lane, at(0), &[("a", 1), ("b", 1), ("c", 1)], &rows, refused());
    assert_eq!((fates, turn), (vec![Fate::Held; 3], Turn::Same));
    assert!(lane.holds("a") && lane.holds("b") && !lane.holds("c"));
    assert_eq!(lane.want(at(0)), Some(Want::Alone { item: "a".to_owned() }));
    let (fates, _) = deliver(&mut lane, at(0), &[("a", 1)], &[row(1, 0)], refused());
    assert_eq!(fates, [Fate::Park { reason: "422".to_owned() }]);
    assert_eq!(lane.want(at(0)), Some(Want::Alone { item: "b".to_owned() }));
    deliver(&mut lane, at(0), &[("b", 1)], &[row(1, 0)], Outcome::Answered(vec![Verdict::Saved]));
    assert_eq!(lane.want(at(0)), Some(Want::Oldest { max: 50 }), "the size was not the matter");
    assert_eq!(lane.held(), 0);
}

#[test]
fn a_batch_refused_for_its_size_makes_batches_smaller() {
    let mut lane = Lane::new(1, 50);
    let items = (0..40).map(|n| format!("r{n}")).collect::<Vec<_>>();
    let sent = items.iter().map(|item| (item.as_str(), 1)).collect::<Vec<_>>();
    deliver(&mut lane, at(0), &sent, &[row(1, 0); 40], Outcome::BatchRefused { why: "413".to_owned() });
    for item in &items {
        assert_eq!(lane.want(at(0)), Some(Want::Alone { item: item.clone() }));
        deliver(&mut lane, at(0), &[(item, 1)], &[row(1, 0)], Outcome::Answered(vec![Verdict::Saved]));
    }
    for _ in 0..8 {
        let (Want::NewestFirst { max, .. } | Want::Oldest { max }) = lane.want(at(0)).unwrap() else { panic!() };
        assert_eq!(max, 20);
        deliver(&mut lane, at(0), &[("x", 1)], &[row(1, 0)], Outcome::Answered(vec![Verdict::Saved]));
    }
}

#[test]
fn a_destination_that_goes_down_while_singles_wait_goes_on_with_them() {
    let mut lane = Lane::new(2, 50);
    deliver(
        &mut lane,
        at(0),
        &[("a", 1), ("b", 1)],
        &[row(1, 0), row(1, 0)],
        Outcome::BatchRefused { why: "400".to_owned() },
    );
    deliver(&mut lane, at(0), &[("a", 1)], &[row(1, 0)], down("silence"));
    assert!(!lane.holds("a"), "it waits in its row");
    assert_eq!(lane.want(at(100)), None);
    let until = lane.next_deadline().unwrap();
    assert_eq!(lane.want(at(until)), Some(Want::Alone { item: "b".to_owned() }));
    // Its row was dropped meanwhile.
    lane.let_go("b");
    assert_eq!(lane.want(at(until)), Some(Want::Probe));
    assert_eq!(lane.held(), 0);
}

#[test]
fn what_another_connector_delivers_waits_untouched() {
    let mut lane = Lane::new(2, 50);
    let (fates, turn) = deliver(&mut lane, at(0), &[("a", 1)], &[row(1, 0)], Outcome::NotOurs);
    assert_eq!((fates, turn), (vec![Fate::SendNewer], Turn::Same), "its row stays as it is");
    assert!(!lane.holds("a"));
    assert_eq!(lane.want(at(1)), None);
    assert_eq!(lane.next_deadline(), None);
    lane.deliver();
    assert!(lane.want(at(2)).is_some());
    // A destination that was down stays so meanwhile, and is tried when it is ours again.
    deliver(&mut lane, at(3), &[("a", 1)], &[row(1, 0)], down("no"));
    lane.withhold();
    assert_eq!((lane.want(at(60_000)), lane.next_deadline()), (None, None));
    lane.deliver();
    assert_eq!(lane.want(at(60_000)), Some(Want::Probe));
}
