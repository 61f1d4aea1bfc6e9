//! A replica set of three: the suite, a primary that is killed under load, a member that takes no writes.

use pinconnector::store::Alarm;
use pinconnector::store::settings::HISTORY;

use crate::alone::{Calls, same_as_here};
use crate::desk::{ELECTION, Office, target};
use crate::lab::Lab;
use crate::store_support::*;
use crate::suite::run;

#[test]
fn a_replica_set_is_a_history_and_outlives_its_primary() {
    let mut lab = Lab::start("replica-set");
    run(&lab.uri);

    let office = Office::open(target(&lab.uri));
    let mut calls = Calls::default();
    calls.some(&office, 100);
    let killed = lab.order("kill-primary");
    // Into the outbox at once, whatever MongoDB does.
    calls.some(&office, 300);
    lab.order("primary");
    calls.some(&office, 50);
    office.until_fed();
    same_as_here(&office, calls.conversations);
    lab.order(&format!("start {killed}"));
    lab.order("freeze-primary");
    calls.some(&office, 100);
    office.until_fed();
    same_as_here(&office, calls.conversations);
    for n in 0..3 {
        lab.order(&format!("thaw {n}"));
    }
    office.stop();

    // Only one that takes no writes: everything waits, nothing is refused.
    let primary = lab.order("primary");
    let members = lab.uri.strip_prefix("mongodb://").unwrap().split('/').next().unwrap().to_owned();
    let secondary = members.split(',').enumerate().find(|(n, _)| n.to_string() != primary).unwrap().1;
    let office = Office::open(target(&format!("mongodb://{secondary}/?directConnection=true")));
    office.desk.save(vec![change("pbx-1.1", false, vec![record("pbx-1.1", 1, now_ms())])]);
    let mut said = None;
    until_within(ELECTION, "it is known to take nothing", || {
        said = office.desk.alarms.try_recv().ok().or(said.take());
        matches!(said, Some(Alarm::DestinationDown { .. }))
    });
    let rows = office.reader().outbox(Some(HISTORY), 10).unwrap();
    assert_eq!((rows.len(), rows[0].parked.as_ref()), (1, None), "{said:?}");
    office.stop();
}
