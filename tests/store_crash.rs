//! Killed at any moment: whatever was acknowledged is there, whole, and still to be sent.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod store_support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use pinconnector::store::reader::CallFilter;
use pinconnector::store::{Input, Reader, Save};
use store_support::*;

const FOLDER: &str = "STORE_CRASH_FOLDER";
const FIRST: &str = "STORE_CRASH_FIRST";

/// The victim: not a test of its own, but this binary started again by the test below.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let first: u32 = std::env::var(FIRST).unwrap().parse().unwrap();
    let desk = open(&settings(folder.as_ref()), 2, 50);
    let at = now_ms();
    let printer = {
        let released = desk.released.clone();
        std::thread::spawn(move || {
            for n in released {
                println!("acknowledged {n}");
            }
        })
    };
    let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
    for n in first.. {
        let id = format!("pbx-{n}.1");
        let save =
            Save { items: vec![change(&id, true, vec![record(&id, 1, at), record(&id, 2, at)])], release: vec![n] };
        if desk.keeper.inputs.send(Input::Save(save)).is_err() {
            break;
        }
    }
    drop((printer, crm));
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = 1;
    let mut kills = 0;
    for round in 0..6 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .env(FIRST, next.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        // After a different number each time, somewhere in the middle of a commit.
        let enough = next + 37 + round * 211;
        for line in lines.by_ref() {
            // The harness prints its own words before the first, on the same line.
            let line = line.unwrap();
            if let Some((_, n)) = line.split_once("acknowledged ") {
                acknowledged = n.trim().parse().unwrap();
                if acknowledged >= enough {
                    break;
                }
            }
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        kills += 1;
        // What it still said before it died counts, too; the last line may be torn.
        for line in lines.map_while(Result::ok) {
            if let Some(n) = line.strip_prefix("acknowledged ").and_then(|n| n.parse().ok()) {
                acknowledged = std::cmp::max(acknowledged, n);
            }
        }
        assert!(acknowledged >= enough, "the victim worked");

        let desk = open(&settings(folder.path()), 1, 50);
        let reader = Reader::open(&desk.path).unwrap();
        let restored = desk.restored.iter().cloned().collect::<std::collections::HashSet<_>>();
        for n in 1..=acknowledged {
            assert!(restored.contains(&format!("pbx-{n}.1")), "{n} of {acknowledged} is restored after {kills} kills");
            for call in 1..=2 {
                assert!(reader.record(&format!("pbx-{n}.1-{call}")).unwrap().is_some(), "{n}-{call} of {acknowledged}");
            }
        }
        // A transaction is whole or not at all: two records each, as many conversations.
        let all = reader.calls(&CallFilter { limit: 1_000_000, ..CallFilter::default() }).unwrap();
        assert_eq!(all.len(), restored.len() * 2);
        next = u32::try_from(restored.len()).unwrap() + 1;
        drop(reader);
        desk.stop();
    }
    // All that was not acknowledged away by the CRM is still to be sent, and is.
    let desk = open(&settings(folder.path()), 2, 50);
    let reader = Reader::open(&desk.path).unwrap();
    let crm = obliging_crm(desk.batches.clone(), desk.keeper.outcomes.clone());
    until("the outbox is empty", || reader.destinations().unwrap()[0].waiting == 0);
    drop(reader);
    desk.stop();
    crm.join().unwrap();
}
