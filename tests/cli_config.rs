//! The shipped configuration against the program: every key is in it, at its default, and every problem is said.

mod support;

use std::os::unix::fs::PermissionsExt;

use pinconnector::config::Config;
use support::program::Place;

fn shipped() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/pinconnector.toml")).expect("the shipped file")
}

/// The shipped file with its examples taken seriously: `#key = …` and `#[[crm]]` without the `#`.
fn with_examples() -> String {
    let is_example = |line: &str| {
        line.starts_with("#[[")
            || ["#[asterisk.cdr]", "#[asterisk.numbers]"].contains(&line)
            || line.strip_prefix('#').and_then(|rest| rest.split_once(" = ")).is_some_and(|(key, _)| {
                !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            })
    };
    // Files that are not there, an environment that is not set, and keys that need another kind of section than the
    // example's are no fault of the example's form.
    let elsewhere = |line: &str| {
        line.contains("_file =")
            || line.contains('$')
            || [
                "#ca =",
                "#server_name =",
                "#lookup_digits =",
                "#tls_",
                "#default_caller_id",
                "#peers",
                "#host",
                "#port = 3306",
                "#socket",
                "#database",
                "#table",
                "#username",
            ]
            .iter()
            .any(|key| line.starts_with(key))
    };
    let mut text = String::new();
    for line in shipped().lines() {
        let line = if is_example(line) && !elsewhere(line) { &line[1..] } else { line };
        text.push_str(line);
        text.push('\n');
        if line == "[[asterisk]]" || line == "[[crm]]" {
            text.push_str("secret = \"a-secret-of-the-test\"\n");
        }
    }
    text
}

/// What an administrator must write at least.
const LEAST: &str = "[[asterisk]]\nname = \"office\"\nhost = \"127.0.0.1\"\nusername = \"pinconnector\"\n\
    secret = \"a-secret-of-the-test\"\n[numbers]\nregion = \"RU\"\n[[crm]]\nname = \"vtiger\"\nkind = \"calls\"\n\
    url = \"https://crm.example.com\"\nsecret = \"a-secret-of-the-test\"\n";

#[test]
fn the_shipped_file_is_good_once_its_examples_are_taken() {
    let config = Config::parse(&with_examples()).unwrap_or_else(|bad| panic!("{bad}"));
    assert_eq!(config.asterisk.len(), 1);
    assert_eq!(config.crm.len(), 1);
}

#[test]
fn the_shipped_file_says_the_defaults() {
    let said = Config::parse(&with_examples()).unwrap_or_else(|bad| panic!("{bad}"));
    let least = Config::parse(LEAST).unwrap_or_else(|bad| panic!("{bad}"));
    assert_eq!(format!("{:#?}", said.calls), format!("{:#?}", least.calls));
    assert_eq!((&said.hours.week, &said.hours.dates), (&least.hours.week, &least.hours.dates));
    assert_eq!(format!("{:#?}", said.log), format!("{:#?}", least.log));
    // Examples of keys without a default stand in these sections, so they are compared without them.
    for (said, least) in [
        (format!("{:#?}", said.numbers), format!("{:#?}", least.numbers)),
        (format!("{:#?}", said.store), format!("{:#?}", least.store)),
        (format!("{:#?}", said.alert), format!("{:#?}", least.alert)),
        (format!("{:#?}", said.click_to_call), format!("{:#?}", least.click_to_call)),
        (format!("{:#?}", said.http), format!("{:#?}", least.http)),
        (format!("{:#?}", said.agi), format!("{:#?}", least.agi)),
        (format!("{:#?}", said.recordings), format!("{:#?}", least.recordings)),
        (format!("{:#?}", said.asterisk), format!("{:#?}", least.asterisk)),
        (format!("{:#?}", said.crm), format!("{:#?}", least.crm)),
    ] {
        let said: Vec<&str> = said.lines().collect();
        let missing: Vec<&str> = least
            .lines()
            .filter(|line| !line.contains(": None,") && !line.trim().ends_with("[],"))
            .filter(|line| !said.contains(line))
            .collect();
        assert!(missing.is_empty(), "the shipped file says something else than the default: {missing:#?}");
    }
}

/// The keys a section knows, as its complaint about an unknown one lists them.
fn known_keys(section: &str, rest: &str) -> Vec<String> {
    let text = format!("{section}\nno_such_key_at_all = 1\n{rest}");
    let bad = Config::parse(&text).expect_err("an unknown key is an error");
    let all = bad.to_string();
    let list = all
        .lines()
        .find_map(|line| line.split("no such key: `no_such_key_at_all`; known are ").nth(1))
        .unwrap_or_else(|| panic!("no list of keys in: {all}"));
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_is_in_the_shipped_file() {
    let shipped = shipped();
    let mut counted = 0;
    for section in [
        "[[asterisk]]",
        "[numbers]",
        "[calls]",
        "[hours]",
        "[[crm]]",
        "[click_to_call]",
        "[http]",
        "[agi]",
        "[recordings]",
        "[store]",
        "[store.mongodb]",
        "[alert]",
        "[log]",
    ] {
        let start = shipped.find(&format!("\n{section}")).or_else(|| shipped.find(&format!("\n#{section}")));
        let body = &shipped[start.unwrap_or_else(|| panic!("no {section}")) + 2..];
        let end = body.find("\n[").into_iter().chain(body.find("\n#[")).min().unwrap_or(body.len());
        let body = &body[..end];
        for key in known_keys(section, "") {
            let written = |line: &str| {
                let line = line.strip_prefix('#').unwrap_or(line);
                line.strip_prefix(&key).is_some_and(|rest| rest.starts_with(" = "))
                    // A secret is shown as its file.
                    || key == "secret" && line.starts_with("secret_file = ")
                    || ["", "#"].iter().any(|mark| {
                        shipped.contains(&format!("\n{mark}[{}.{key}]\n", section.trim_matches(['[', ']'])))
                    })
            };
            assert!(body.lines().any(written), "{section} {key} is not in conf/pinconnector.toml");
            counted += 1;
        }
    }
    assert!(counted > 80, "only {counted} keys were looked for");
}

#[test]
fn every_key_is_explained() {
    let shipped = shipped();
    let lines: Vec<&str> = shipped.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let line = line.strip_prefix('#').unwrap_or(line);
        let Some((key, _)) = line.split_once(" = ") else { continue };
        if key.contains(' ') || key.is_empty() {
            continue;
        }
        // A comment above it, or above the keys it stands together with.
        let above = lines[..at]
            .iter()
            .rev()
            .find(|line| !line.trim_start_matches('#').contains(" = ") || line.starts_with("# "));
        assert!(above.is_some_and(|line| line.starts_with("# ")), "{key} (line {}) has no word of explanation", at + 1);
    }
}

#[test]
fn check_says_every_problem_and_exits_78() {
    let place = Place::new();
    place.write("[calls]\nfollow_up_day = 3\nrecords = \"per-moon\"\n[loog]\n[[asterisk]]\nname = \"a\"\n");
    let out = place.command(&["check"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(78), "{said}");
    for expected in [
        "line 2: [calls]: no such key: `follow_up_day`; did you mean `follow_up_days`?",
        "line 3: [calls] records: \"per-moon\" is not possible here",
        "line 4: no such section or key: `loog`; did you mean `log`?",
        "line 5: [[asterisk]]: the key `",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
}

#[test]
fn check_is_content_with_a_good_file_and_warns_of_readable_secrets() {
    let place = Place::new();
    place.write(LEAST);
    let out = place.command(&["check"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("good; 1 exchange and 1 CRM"), "{said}");
    assert!(!said.contains("warning"), "{said}");

    std::fs::set_permissions(place.config(), std::fs::Permissions::from_mode(0o644)).expect("mode set");
    let said = String::from_utf8_lossy(&place.command(&["check"]).stdout).into_owned();
    assert!(said.contains("everybody on this machine may read it"), "{said}");

    std::fs::set_permissions(place.config(), std::fs::Permissions::from_mode(0o666)).expect("mode set");
    let out = place.command(&["check"]);
    assert_eq!(out.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&out.stderr).contains("everybody on this machine may change it"));
}

#[test]
fn check_explains_a_number() {
    let place = Place::new();
    place.write(LEAST);
    let out = place.command(&["check", "--number", "8 (916) 123-45-67 доб. 12"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("+79161234567"), "{said}");
}

#[test]
fn an_exchange_may_have_numbers_of_its_own() {
    let place = Place::new();
    let own = |keys: &str| LEAST.replacen("[[crm]]", &format!("[asterisk.numbers]\n{keys}\n[[crm]]"), 1);
    place.write(&own("region = \"DE\"\nextensions = [\"_2XX\"]"));
    let out = place.command(&["check", "--number", "030 23125 100"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("+493023125100"), "{said}{}", String::from_utf8_lossy(&out.stderr));

    place.write(&own("region = \"Germany\""));
    let out = place.command(&["check"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(78));
    assert!(said.contains("numbers.region"), "{said}");

    place.write(&own("match_last_digits = 9"));
    let out = place.command(&["check"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("match_last_digits") && said.contains("known are"), "{said}");
}

#[test]
fn without_a_configuration_the_places_are_named() {
    let place = Place::new();
    let out = place.command(&["check"]);
    assert_eq!(out.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&out.stderr).contains("cannot be read"), "{out:?}");
}
