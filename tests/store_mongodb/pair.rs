//! The lease and the relay of two connectors, on a real mongod.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pinconnector::clock::boot_ms;
use pinconnector::lease::{Answer, LEASE_MS, Lease, Pass};
use pinconnector::outbox::{Outcome, Verdict};
use pinconnector::store::mongodb::Target;
use pinconnector::store::mongodb::pair::{LeaseDocument, Place, relay};
use pinconnector::store::relay::RelayChange;

use crate::desk::target;
use crate::lab::shared;
use crate::store_support::*;

fn place(target: &Target, me: &str) -> Place {
    Place { settings: target.settings.clone(), lease: "office".to_owned(), me: format!("{me}#0001") }
}

/// Asks until the database answers at all, which on a busy machine takes more than one try.
fn ask(document: &mut LeaseDocument, caught_up: bool) -> Answer {
    let mut answer = None;
    until("the database answers", || {
        answer = Some(document.ask(caught_up)).filter(|answer| !matches!(answer, Answer::Unknown { .. }));
        answer.is_some()
    });
    answer.unwrap()
}

#[test]
fn the_lease_has_one_holder_and_a_new_term_with_each() {
    let lab = shared();
    let target = target(&lab.uri);
    let [mut a, mut b] = ["a", "b"].map(|me| LeaseDocument::new(place(&target, me)));
    assert_eq!(ask(&mut a, true), Answer::Granted { term: 1 });
    assert_eq!(ask(&mut a, true), Answer::Granted { term: 1 });
    match ask(&mut b, false) {
        Answer::Refused { holder, term, caught_up, left_ms } => {
            assert_eq!((holder.as_str(), term, caught_up), ("a", 1, true));
            assert!(left_ms <= LEASE_MS, "{left_ms}");
        }
        // It may have run out meanwhile, on a machine that does something else for six seconds.
        other => assert_eq!(other, Answer::Granted { term: 2 }),
    }
    a.release();
    let Answer::Granted { term } = ask(&mut b, false) else { panic!("given back") };
    assert_eq!(term, 2);
    b.release();
    assert_eq!(ask(&mut a, false), Answer::Granted { term: 3 });
}

/// Of one who believes, for as long as the test takes, to hold the lease.
fn pass(term: u64) -> Pass {
    let mut lease = Lease::new(0);
    let now_ms = boot_ms();
    lease.answered(now_ms + 3_600_000, now_ms, Answer::Granted { term });
    lease.pass()
}

/// Leaves in MongoDB what changed in this database; back when it is there.
fn leave(target: &Target, database: &Path, term: u64, changes: impl IntoIterator<Item = RelayChange>) {
    let (told, relayed) = pinconnector::store::relay::relay();
    told.tell(changes);
    drop(told);
    relay(&place(target, "a"), &relayed, database, &pass(term), &Arc::new(AtomicBool::new(false)));
}

#[test]
fn what_an_old_holder_had_on_its_way_is_nobodys() {
    let lab = shared();
    let target = target(&lab.uri);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [old, young] = folders.each_ref().map(|folder| open(&settings(folder.path()), 1, 50));
    for desk in [&old, &young] {
        desk.keeper.inputs.send(pinconnector::store::Input::Deliver(false)).unwrap();
    }
    let at = now_ms();
    let save = |desk: &Desk, n: &str| desk.save_and_wait(vec![change(n, true, vec![record(n, 1, at)])], 1);
    let item = |n: &str| RelayChange::Item(format!("{n}-1"));
    let left = || {
        let left = LeaseDocument::new(place(&target, "b")).left().unwrap();
        left.undelivered.into_iter().map(|(_, record)| record.conversation).collect::<BTreeSet<_>>()
    };
    let are = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<BTreeSet<_>>();

    save(&old, "pbx-1.1");
    leave(&target, &old.path, 1, [RelayChange::Everything]);
    assert_eq!(left(), are(&["pbx-1.1"]));
    // The next one has that, too, and something of its own; the old one's late words find a younger term there.
    save(&young, "pbx-1.1");
    save(&young, "pbx-2.1");
    leave(&target, &young.path, 2, [RelayChange::Everything]);
    save(&old, "pbx-3.1");
    leave(&target, &old.path, 1, [item("pbx-1.1"), item("pbx-2.1"), item("pbx-3.1")]);
    assert_eq!(left(), are(&["pbx-1.1", "pbx-2.1"]), "the second was not dropped, the third is of a term that is over");

    // Delivered: gone. And the next whole sweeps away what nobody owns.
    young.keeper.inputs.send(pinconnector::store::Input::Deliver(true)).unwrap();
    let batch = young.batch();
    let verdicts = vec![Verdict::Saved; batch.deliveries.len()];
    let delivered = batch.deliveries.iter().map(|d| d.record_id.clone()).collect::<Vec<_>>();
    young.report(batch, Outcome::Answered(verdicts));
    let reader = pinconnector::store::Reader::open(&young.path).unwrap();
    until("it is acknowledged", || delivered.iter().all(|id| reader.waiting(id).unwrap().is_empty()));
    leave(&target, &young.path, 2, delivered.iter().map(|id| RelayChange::Item(id.clone())));
    let rest =
        ["pbx-1.1", "pbx-2.1"].into_iter().filter(|n| !delivered.contains(&format!("{n}-1"))).collect::<Vec<_>>();
    assert_eq!(left(), are(&rest));
    leave(&target, &young.path, 3, [RelayChange::Everything]);
    assert_eq!(left(), are(&rest));
    old.stop();
    young.stop();
}
