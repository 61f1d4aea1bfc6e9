//! The local database is a history as the suite wants it. MongoDB's turn is in `store_mongodb/`.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use pinconnector::call::Record;
use pinconnector::store::reader::CallFilter;
use pinconnector::store::{Input, Order, Reader};
use store_support::contract::{History, SUITE};
use store_support::*;

struct Sqlite {
    desk: Desk,
    _folder: tempfile::TempDir,
}

impl Sqlite {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { desk: open(&settings(folder.path()), 1, 50), _folder: folder }
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.desk.path).unwrap()
    }
}

impl History for Sqlite {
    fn take(&self, id: &str, open: bool, joined_into: Option<&str>, records: Vec<Record>) {
        let mut item = change(id, open, records);
        if let pinconnector::store::Item::Change(change) = &mut item {
            change.joined_into = joined_into.map(str::to_owned);
        }
        self.desk.save_and_wait(vec![item], 1);
    }

    fn calls(&self, filter: &CallFilter) -> Vec<Record> {
        self.reader().calls(filter).unwrap()
    }

    fn conversation(&self, id: &str) -> Vec<Record> {
        self.reader().conversation(id).unwrap()
    }

    fn record(&self, id: &str) -> Option<Record> {
        self.reader().record(id).unwrap()
    }

    fn records_of_recording(&self, id: &str) -> Vec<Record> {
        self.reader().records_of_recording(id).unwrap()
    }

    fn forget(&self, number: &str) -> u64 {
        let (answer, answers) = crossbeam_channel::bounded(1);
        let order = Order::Forget { number: number.to_owned(), answer };
        self.desk.keeper.inputs.send(Input::Order(order)).unwrap();
        answers.recv_timeout(PATIENCE).unwrap().unwrap().records
    }
}

#[test]
fn sqlite_is_a_history() {
    for (what, check) in SUITE {
        println!("{what}");
        check(&Sqlite::new());
    }
}
