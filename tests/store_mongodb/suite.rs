//! MongoDB runs the suite of every history, through the outbox.

use pinconnector::call::Record;
use pinconnector::store::Item;
use pinconnector::store::reader::CallFilter;

use crate::desk::{Office, patiently, target};
use crate::lab;
use crate::store_support::change;
use crate::store_support::contract::{History, SUITE};

struct Mongodb(Office);

impl History for Mongodb {
    fn take(&self, id: &str, open: bool, joined_into: Option<&str>, records: Vec<Record>) {
        let mut item = change(id, open, records);
        if let Item::Change(change) = &mut item {
            change.joined_into = joined_into.map(str::to_owned);
        }
        self.0.take(item);
        self.0.until_fed();
    }

    fn calls(&self, filter: &CallFilter) -> Vec<Record> {
        patiently(|| self.0.past.calls(filter))
    }

    fn conversation(&self, id: &str) -> Vec<Record> {
        patiently(|| self.0.past.conversation(id))
    }

    fn record(&self, id: &str) -> Option<Record> {
        patiently(|| self.0.past.record(id))
    }

    fn records_of_recording(&self, id: &str) -> Vec<Record> {
        patiently(|| self.0.past.records_of_recording(id))
    }

    fn forget(&self, number: &str) -> u64 {
        let count = self.0.forget(number);
        self.0.until_fed();
        count
    }
}

#[test]
fn mongodb_is_a_history() {
    let uri = lab::shared().uri.clone();
    run(&uri);
}

/// Every check on a database of its own.
pub fn run(uri: &str) {
    for (what, check) in SUITE {
        println!("{what}");
        let history = Mongodb(Office::open(target(uri)));
        check(&history);
        history.0.stop();
    }
}
