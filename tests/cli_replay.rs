//! `replay` and `demo`, as a person uses them.

#[path = "scenarios/compare.rs"]
mod compare;
mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::program::program;
use support::traces;

fn run(words: &[&str]) -> Output {
    Command::new(program()).args(words).output().expect("the program runs")
}

fn file(name: &str) -> String {
    traces::folder().join(name).to_str().expect("UTF-8").to_owned()
}

fn records(out: &Output) -> Vec<Value> {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = std::str::from_utf8(&out.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line, and nothing else")).collect()
}

#[test]
fn a_recording_becomes_its_records() {
    for name in ["22/h_group_answered_102", "22/e_ivr_hangs_in_waitexten", "16sip/b_in_busy", "22/i_out_busy"] {
        let out = run(&["replay", "--json", &file(&format!("{name}.ami.gz"))]);
        let expected = traces::load(name).expected.expect("expected records");
        let differences = compare::differences(&expected, &records(&out));
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(" in "), "the summary is for people");
    }
}

#[test]
fn several_files_are_one_link_after_another() {
    let name = "22/r_reconnect_midcall";
    let parts = [file(&format!("{name}_part1.ami.gz")), file(&format!("{name}_part2.ami.gz"))];
    let out = run(&["replay", "--json", &parts[0], &parts[1]]);
    let expected = traces::load(name).expected.expect("expected records");
    let differences = compare::differences(&expected, &records(&out));
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn per_call_gives_one_record_a_conversation() {
    let story = file("22/h_group_answered_102.ami.gz");
    assert_eq!(records(&run(&["replay", "--json", &story])).len(), 3);
    assert_eq!(records(&run(&["replay", "--json", "--per-call", &story])).len(), 1);
}

#[test]
fn without_json_it_is_a_table() {
    let out = run(&["replay", &file("22/h_group_answered_102.ami.gz")]);
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("WHEN "), "{text}");
    assert!(lines[1].contains("+79161234567") && lines[2].contains("completed"), "{text}");
}

#[test]
fn a_configuration_brings_its_rules() {
    let place = support::program::Place::new();
    // Here 102 is a trunk, so the call to 102 is none of an extension.
    place.write_usual(5038, "http://127.0.0.1:1/", "");
    let text = std::fs::read_to_string(place.config()).expect("written");
    place.write(&text.replace("region = \"RU\"", "region = \"RU\"\ntrunks = [\"102\"]"));
    let out = place.command(&["replay", "--json", &file("22/h_group_answered_102.ami.gz")]);
    let records = records(&out);
    assert!(records.iter().all(|record| record["pbx"] == "office"), "{records:#?}");
    assert!(records.iter().all(|record| record["extension"] != "102"), "{records:#?}");
}

#[test]
fn extensions_treated_with_discretion_show_less_or_nothing() {
    let place = support::program::Place::new();
    place.write_usual(
        5038,
        "http://127.0.0.1:1/",
        "\n[calls]\nignore_extensions = [\"103\"]\nprivate_extensions = [\"102\"]\n",
    );
    let records = |story: &str| records(&place.command(&["replay", "--json", &file(story)]));

    // A group of three: 103 makes no record, 102 talks with somebody nobody else need know.
    let group = records("22/h_group_answered_102.ami.gz");
    assert_eq!(group.len(), 2, "{group:#?}");
    let director = group.iter().find(|record| record["extension"] == "102").expect("a record");
    assert_eq!(director["status"], "completed");
    assert!(!director.to_string().contains("79161234567"), "{director:#}");
    let other = group.iter().find(|record| record["extension"] == "101").expect("a record");
    assert_eq!(other["client_number"], "+79161234567");
    assert_eq!(group.iter().filter(|record| record["lead"] == true).count(), 1);

    // Recorded from 101's talk on into 102's: the file holds the director's talk, so nobody gets it.
    let openly = run(&["replay", "--json", &file("22/n_recorded_blind.ami.gz")]);
    assert!(String::from_utf8_lossy(&openly.stdout).contains("\"recordings\""));
    let recorded = records("22/n_recorded_blind.ami.gz");
    assert!(recorded.iter().any(|record| record["extension"] == "101"), "{recorded:#?}");
    assert!(recorded.iter().all(|record| record["recordings"].is_null()), "{recorded:#?}");
}

#[test]
fn what_was_captured_from_a_live_link_can_be_replayed() {
    let place = support::program::Place::new();
    let stage = support::office::exchange(&["22/h_group_answered_102"], 1, std::time::Duration::ZERO, 4.0);
    place.write_usual(stage.address().port(), "http://127.0.0.1:1/", "");
    let path = place.folder.path().join("live.ami");
    let path = path.to_str().expect("UTF-8");
    let out = place.command(&["capture", path, "--seconds", "3"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(!std::fs::read_to_string(path).expect("recorded").contains("a-secret-of-twenty-bytes"));
    let again = records(&run(&["replay", "--json", path]));
    assert_eq!(again.iter().filter(|record| record["status"] == "completed").count(), 1, "{again:#?}");
    assert_eq!(again.len(), 3);
    assert_eq!(place.command(&["capture", path]).status.code(), Some(64), "a recording overwrites nothing");
    drop(stage);
    let nobody = place.folder.path().join("nobody.ami");
    let out = place.command(&["capture", nobody.to_str().expect("UTF-8"), "--seconds", "1"]);
    assert_eq!(out.status.code(), Some(69), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn what_is_no_recording_gives_nothing() {
    let out = run(&["replay", "--json", &file("README.md")]);
    assert!(records(&out).is_empty());
}

#[test]
fn the_demo_delivers_every_call_over_real_sockets() {
    let out = run(&["demo", "--fast", "--json"]);
    let delivered = records(&out);
    let mut newest: std::collections::BTreeMap<String, &Value> = std::collections::BTreeMap::new();
    for record in &delivered {
        newest.insert(record["id"].as_str().expect("an id").to_owned(), record);
    }
    assert_eq!(newest.len(), 10, "{newest:#?}");
    let with = |status: &str| newest.values().filter(|record| record["status"] == status).count();
    assert_eq!((with("completed"), with("missed"), with("busy"), with("no_answer")), (4, 3, 1, 2));
    assert!(delivered.len() > newest.len(), "changes are delivered as they happen");
}

#[test]
fn the_page_of_the_demo_opens_at_the_address_it_prints() {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut demo = Command::new(program()).arg("demo").stdout(std::process::Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
    let address = lines
        .by_ref()
        .find_map(|line| Some(line.split_once("http://")?.1.split_once('/')?.0.to_owned()))
        .expect("it prints an address");
    // Once a call has arrived, the whole service is up.
    assert!(lines.by_ref().any(|line| line.contains("ringing")));
    let port = address.rsplit(':').next().expect("a port");
    let mut page = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).expect("somebody listens");
    write!(page, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    page.read_to_string(&mut answer).expect("answered");
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told to end");
    assert!(demo.wait().expect("ended").success());
    assert!(answer.starts_with("HTTP/1.1 200 "), "no login is asked for: {answer:.300}");
}

#[test]
fn calls_outside_the_hours_of_their_number_or_queue_are_marked() {
    // Recorded on a Sunday at 06:32 and 06:39 UTC; half past nine in Moscow.
    let (queue, plain, outgoing) = ("22/f_queue_ringall_answered_102", "22/h_group_answered_102", "22/i_out_answered");
    let open = "week = { mon-fri = \"09:00-18:00\", sun = \"09:00-18:00\" }";
    let holiday = "week = { mon-sun = \"09:00-18:00\" }\ndates = { 2026-11-22 = \"closed\" }";
    let sales =
        "week = { mon-fri = \"09:00-18:00\" }\nof = [{ queue = [\"sales\"], week = { sun = \"09:00-10:00\" } }]";
    let did = "of = [{ did = [\"_+74951234531\"], week = { mon = \"09:00-10:00\" } }]";
    for (story, hours, outside) in [
        (queue, "", false),
        (queue, open, false),
        (queue, holiday, true),
        (queue, sales, false),
        (plain, sales, true),
        (queue, did, true),
        (plain, did, false),
        (outgoing, holiday, false),
    ] {
        let place = support::program::Place::new();
        place.write_usual(5038, "http://127.0.0.1:1/", &format!("\n[hours]\n{hours}\n"));
        let text = std::fs::read_to_string(place.config()).expect("written");
        place.write(&format!("time_zone = \"Europe/Moscow\"\n{text}"));
        let out = place.command(&["replay", "--json", &file(&format!("{story}.ami.gz"))]);
        let records = records(&out);
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record["outside_hours"].as_bool().unwrap_or(false), outside, "{story} with {hours}: {record:#}");
        }
    }
}
