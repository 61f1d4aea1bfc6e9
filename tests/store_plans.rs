//! The keeper's statements seek by an index and never sort or scan: every one in the sources is asked for its plan.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use pinconnector::clock::Now;
use pinconnector::store::Opened;
use store_support::*;

/// Run once at a start or when a person asks, not on the keeper's path: (part of the statement, why).
const NOT_ON_THE_PATH: &[(&str, &str)] = &[
    ("SELECT id, state, restores FROM open_conversation", "the start reads all of a small table"),
    ("UPDATE open_conversation SET restores = restores + 1", "a start after an abort"),
    ("UPDATE open_conversation SET restores = 0", "once in a process, over what is open"),
    ("DELETE FROM audit WHERE called", "`forget`"),
    ("UPDATE record SET open = 0 ", "a start, over what is open"),
    ("SELECT name FROM destination d WHERE EXISTS", "a start or a reload, over as many rows as there are CRMs"),
    ("UPDATE outbox SET state = 0, tries = 0 WHERE state > 0", "`outbox retry`"),
    ("DELETE FROM outbox\"", "`outbox drop` of everything"),
    ("DELETE FROM outbox WHERE destination", "`outbox drop` of one CRM"),
];

#[test]
fn no_statement_of_the_keeper_scans_or_sorts() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    drop(Opened::open(&settings, Now::read()).unwrap());
    let connection = rusqlite::Connection::open(&settings.path).unwrap();
    let mut checked = 0;
    for file in ["history", "outbox_rows", "upkeep"] {
        let path = format!("{}/src/store/sqlite/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap();
        for sql in statements(&source) {
            if NOT_ON_THE_PATH.iter().any(|(part, _)| format!("{sql}\"").contains(part)) || sql.contains('{') {
                continue;
            }
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(&sql);
            let parameters = vec![rusqlite::types::Value::Null; statement.parameter_count()];
            let steps = statement
                .query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3))
                .unwrap()
                .map(Result::unwrap)
                .collect::<Vec<_>>();
            for step in &steps {
                assert!(!step.starts_with("SCAN"), "{file}.rs: {sql}\n{steps:#?}");
                assert!(!step.contains("TEMP B-TREE"), "{file}.rs: {sql}\n{steps:#?}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 35, "the statements were found: {checked}");
}

/// Every string literal that is a statement.
fn statements(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in source.split('"') {
        let text = piece.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_statement = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "].iter().any(|verb| text.starts_with(verb));
        if is_statement {
            found.push(text);
        }
    }
    found
}
