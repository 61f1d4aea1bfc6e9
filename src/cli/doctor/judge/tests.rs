//! The judgement in tables: what is the case, and which finding it makes. That the facts are found is tried in tests/lab.

use super::super::facts::{
    Account, CdrSource, Crm, Exchange, Facts, Files, Here, Port, Recordings, Seen, Trials, Tried,
};
use super::super::finding::{Finding, Level, text};
use super::judge;
use crate::call::Rules;
use crate::cdr::Tells;
use crate::cli::host::Dialplan;
use crate::cli::host::dialplan::{Context, Step};
use crate::cli::host::endpoints::Endpoint;
use crate::crm::Kind;
use crate::crm::trial::{Taken, Trial, Trouble};

/// An office in which everything is well.
fn well() -> Facts {
    let context = |exten: &str| Context {
        steps: vec![Step { exten: exten.to_owned(), application: "Dial".to_owned(), arguments: String::new() }],
        ..Context::default()
    };
    let contexts = [("from-trunk".to_owned(), context("_X.")), ("from-internal".to_owned(), context("_XXX"))];
    let dialplan = Dialplan { contexts: contexts.into() };
    let endpoint = |name: &str, context: &str| Endpoint {
        technology: "PJSIP",
        name: name.to_owned(),
        context: context.to_owned(),
    };
    let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let seen = Seen {
        version: Some("22.10.1".to_owned()),
        originate: Tried::Allowed,
        reporting: Tried::Allowed,
        hangup: Tried::Denied,
        trial: Trials::Made {
            has_channels: true,
            has_steps: true,
            variables: words("DIALSTATUS,PINCONNECTOR_DOCTOR"),
            has_cdr: true,
        },
        dialplan: Some(dialplan.clone()),
        devices: Some(words("PJSIP/101,PJSIP/102,PJSIP/mango,Queue:sales")),
        queues: words("sales"),
        has_cdr: Some(true),
    };
    let files = Files {
        manager_enabled: true,
        account: Some(Account { read: words("call,cdr,dialplan,agent"), write: words("originate,reporting") }),
        cdr_manager: Some(true),
        cdr_unanswered: true,
        endpoints: vec![
            endpoint("101", "from-internal"),
            endpoint("102", "from-internal"),
            endpoint("mango", "from-trunk"),
        ],
        dialplan: Some(dialplan),
        ..Files::default()
    };
    let users = serde_json::from_str(
        r#"{"users":[{"user":"1","user_name":"anna","active":true,"extensions":[{"extension":"101"}]},
            {"user":"2","user_name":"boris","active":true,"extensions":[{"extension":"102","pbx":"office"}]},
            {"user":"3","user_name":"gone","active":false}]}"#,
    );
    let taken = Taken { users: Some(users.expect("users")), finds_fault: None };
    Facts {
        exchanges: vec![Exchange {
            name: "office".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 5038,
            username: "pinconnector".to_owned(),
            seen: Some(Ok(seen)),
            files: Some(files),
            cdr_source: Some(CdrSource {
                place: "Master.csv".to_owned(),
                read: Ok((7, Tells { uniqueid: true, linkedid: true, unanswered: true, ..Tells::default() })),
            }),
            recordings: Some(Recordings { folder: "/monitor".into(), listed: Ok(3) }),
            click_context: Some("from-internal".to_owned()),
            ..Exchange::default()
        }],
        crms: vec![Crm {
            name: "vtiger".to_owned(),
            kind: Kind::Calls,
            address: "https://crm".to_owned(),
            trial: Some(Trial { clock_ahead_ms: Some(-900), result: Ok(taken), takes_anybody: false }),
        }],
        here: Here {
            is_running: true,
            database: "/var/lib/pinconnector/pinconnector.db".into(),
            database_folder: Some(Ok(())),
            mongodb: Some(Ok(12)),
            free_mb: Some(10_000),
            alarm_below_mb: 200,
            agi: vec![("127.0.0.1:4573".to_owned(), Port::Answers)],
        },
        rules: Rules::default(),
    }
}

fn bad(findings: &[Finding]) -> Vec<(&str, Level)> {
    findings.iter().filter(|f| f.level != Level::Ok).map(|f| (f.check, f.level)).collect()
}

#[test]
fn where_all_is_well_nothing_is_complained_of() {
    let findings = judge(&well());
    assert_eq!(bad(&findings), [], "{findings:#?}");
    let text = text(&findings);
    assert!(text.contains("exchange office:\n  ok") && text.contains("\n\nCRM vtiger:\n"), "{text}");
    assert!(text.ends_with(" good\n") && text.contains("0 failures, 0 warnings, "), "{text}");
}

/// A change for the worse, and the findings it makes, all of them.
type Case = (&'static str, fn(&mut Facts), &'static [(&'static str, Level)]);

fn seen(facts: &mut Facts) -> &mut Seen {
    facts.exchanges[0].seen.as_mut().expect("asked").as_mut().expect("let in")
}

fn files(facts: &mut Facts) -> &mut Files {
    facts.exchanges[0].files.as_mut().expect("here")
}

fn source(facts: &mut Facts) -> &mut CdrSource {
    facts.exchanges[0].cdr_source.as_mut().expect("set")
}

fn tells(facts: &mut Facts) -> &mut (usize, Tells) {
    source(facts).read.as_mut().expect("read")
}

fn trial(facts: &mut Facts) -> &mut Trial {
    facts.crms[0].trial.as_mut().expect("tried")
}

fn heard(facts: &mut Facts, change: fn(&mut bool, &mut bool, &mut Vec<String>, &mut bool)) {
    let Trials::Made { has_channels, has_steps, variables, has_cdr } = &mut seen(facts).trial else { panic!("made") };
    change(has_channels, has_steps, variables, has_cdr);
}

use Level::{Failure, Unknown, Warning};

const CASES: [Case; 41] = [
    ("nobody lets us in", |f| f.exchanges[0].seen = Some(Err("refused".to_owned())), &[("login", Failure)]),
    ("an open hole", |f| seen(f).version = Some("20.9.1".to_owned()), &[("version", Warning)]),
    ("may not ask", |f| seen(f).reporting = Tried::Denied, &[("reporting", Failure)]),
    ("may not place calls", |f| seen(f).originate = Tried::Denied, &[("originate", Failure)]),
    ("a right without use", |f| f.exchanges[0].click_context = None, &[("originate", Warning)]),
    ("clicks go nowhere", |f| f.exchanges[0].click_context = Some("x".to_owned()), &[("click-context", Failure)]),
    ("no events", |f| heard(f, |channels, _, _, _| *channels = false), &[("events", Failure)]),
    ("no steps", |f| heard(f, |_, steps, _, _| *steps = false), &[("dialplan-events", Warning)]),
    ("no variables", |f| heard(f, |_, _, variables, _| variables.clear()), &[("dialplan-events", Warning)]),
    (
        "a kept variable is hidden",
        |f| f.exchanges[0].keep_variables = vec!["X".to_owned()],
        &[("keep-variables", Warning)],
    ),
    (
        "a kept variable is heard",
        |f| {
            f.exchanges[0].keep_variables = vec!["X".to_owned()];
            heard(f, |_, _, variables, _| variables.push("X".to_owned()));
        },
        &[],
    ),
    ("no trial", |f| seen(f).trial = Trials::NotMade, &[("events", Unknown), ("cdr", Unknown)]),
    ("no CDR of the trial", |f| heard(f, |_, _, _, cdr| *cdr = false), &[("cdr", Warning)]),
    ("no CDR at all", |f| seen(f).has_cdr = Some(false), &[("cdr", Warning)]),
    ("queues unheard", |f| files(f).account = Some(Account::default()), &[("queue-events", Warning)]),
    ("a known secret", |f| f.exchanges[0].weak_secret = Some("amp"), &[("secret", Failure)]),
    ("another's known secret", |f| files(f).weak_accounts = vec![("admin".to_owned(), "amp")], &[("secret", Warning)]),
    ("open to the world", |f| f.exchanges[0].is_bound_to_world = true, &[("bound", Warning)]),
    ("over the network in clear", |f| f.exchanges[0].host = "192.0.2.1".to_owned(), &[("tls", Warning)]),
    ("no sound", |f| f.exchanges[0].recordings = None, &[]),
    (
        "sound away",
        |f| f.exchanges[0].recordings.as_mut().expect("set").listed = Err("gone".to_owned()),
        &[("recordings", Failure)],
    ),
    (
        "files that only root may read",
        |f| {
            *files(f) = Files { unreadable: Some("manager.conf: no".to_owned()), ..Files::default() };
        },
        &[("queue-events", Unknown), ("files", Unknown)],
    ),
    ("CDRs away", |f| source(f).read = Err("gone".to_owned()), &[("cdr-source", Failure)]),
    ("no CDRs of the day", |f| tells(f).0 = 0, &[("cdr-source", Unknown)]),
    (
        "CDRs that tell nothing",
        |f| tells(f).1 = Tells { zone_off_minutes: 180, ..Tells::default() },
        &[("cdr-source", Warning), ("cdr-source", Warning), ("cdr-source", Warning), ("cdr-source", Warning)],
    ),
    ("files elsewhere", |f| f.exchanges[0].files = None, &[("queue-events", Unknown), ("catch-all", Unknown)]),
    (
        "no catch-all",
        |f| {
            let dialplan = seen(f).dialplan.as_mut().expect("listed");
            dialplan.contexts.get_mut("from-trunk").expect("there").steps[0].exten = "74951234567".to_owned();
        },
        &[("catch-all", Warning)],
    ),
    ("a trunk's context is missing", |f| files(f).endpoints[2].context = "x".to_owned(), &[("catch-all", Failure)]),
    (
        "a trunk among the phones",
        |f| files(f).endpoints[2].context = "from-internal".to_owned(),
        &[("classification", Warning), ("catch-all", Warning)],
    ),
    (
        "no phones",
        |f| {
            seen(f).devices = Some(vec!["PJSIP/mango".to_owned()]);
            files(f).endpoints.clear();
        },
        &[("extensions", Warning), ("extensions", Warning)],
    ),
    (
        "the CRM is dead",
        |f| trial(f).result = Err(Trouble { why: "no connection".to_owned(), remedy: "start it" }),
        &[("reachable", Failure)],
    ),
    ("its clock is ten minutes off", |f| trial(f).clock_ahead_ms = Some(600_000), &[("clock", Failure)]),
    ("its clock is two minutes off", |f| trial(f).clock_ahead_ms = Some(-120_000), &[("clock", Warning)]),
    (
        "a clock that no signature hangs on",
        |f| {
            f.crms[0].kind = Kind::PbxManager;
            trial(f).clock_ahead_ms = Some(600_000);
        },
        &[("clock", Warning)],
    ),
    ("it takes anybody", |f| trial(f).takes_anybody = true, &[("secret", Failure)]),
    (
        "an extension that is nobody's",
        |f| seen(f).devices.as_mut().expect("listed").push("PJSIP/103".to_owned()),
        &[("extensions", Warning)],
    ),
    (
        "a user without extension, an extension without phone",
        |f| {
            let users = trial(f).result.as_mut().expect("taken").users.as_mut().expect("named");
            users.users[2].active = true;
            users.users[0].extensions[0].extension = "199".to_owned();
        },
        &[("users", Warning), ("extensions", Warning), ("extensions", Warning)],
    ),
    ("the history is away", |f| f.here.mongodb = Some(Err("no server".to_owned())), &[("mongodb", Failure)]),
    ("the service stands still", |f| f.here.is_running = false, &[("service", Warning)]),
    (
        "no room, no folder",
        |f| {
            f.here.free_mb = Some(10);
            f.here.database_folder = Some(Err("gone".to_owned()));
        },
        &[("database", Failure), ("disk", Warning)],
    ),
    (
        "another at our ports",
        |f| {
            f.here.agi = vec![
                ("a".to_owned(), Port::Silent),
                ("b".to_owned(), Port::Free),
                ("c".to_owned(), Port::Unreachable(String::new())),
            ]
        },
        &[("agi", Failure), ("agi", Failure), ("agi", Failure)],
    ),
];

#[test]
fn each_fault_makes_its_finding_and_no_other() {
    for (what, change, expected) in CASES {
        let mut facts = well();
        change(&mut facts);
        let findings = judge(&facts);
        assert_eq!(bad(&findings), expected, "{what}: {findings:#?}");
        for finding in findings.iter().filter(|finding| matches!(finding.level, Warning | Failure)) {
            assert!(finding.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{what}: {finding:?}");
        }
    }
}

#[test]
fn a_login_that_fails_is_explained_by_the_files() {
    for (change, remedy) in [
        ((|f: &mut Files| f.manager_enabled = false) as fn(&mut Files), "enabled = yes"),
        (|f| f.account = None, "no account [pinconnector]"),
        (|_| {}, "compare secret and permit"),
    ] {
        let mut facts = well();
        facts.exchanges[0].seen = Some(Err("refused".to_owned()));
        change(files(&mut facts));
        let findings = judge(&facts);
        let said = findings[0].remedy.as_deref().unwrap_or_default();
        assert!(findings[0].check == "login" && said.contains(remedy), "{said}");
    }
    let mut facts = well();
    facts.exchanges[0].seen = Some(Err("refused".to_owned()));
    facts.exchanges[0].files = None;
    assert!(judge(&facts)[0].remedy.as_deref().unwrap_or_default().contains("firewall"));
}
