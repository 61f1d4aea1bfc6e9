//! `[[crm]]` as operators write it, right and wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pinconnector::crm::settings::problems_between;
use pinconnector::crm::{Crm, CrmSettings, Kind, Problem};

use crate::scripted::{Server, tls_file};
use crate::{batch, delivery, no_links, settings, signature};

const GOOD: &str = r#"
    name = "vtiger"
    kind = "calls"
    url = "https://crm.example.com"
    secret = "b9c1b0a8f7d64e0c9a3c5d7e1f20314255667788"
"#;

/// [`GOOD`] with some keys written otherwise, or more.
fn written(changes: &str) -> CrmSettings {
    let mut section: toml::Table = toml::from_str(GOOD).expect("TOML");
    for (key, value) in toml::from_str::<toml::Table>(changes).unwrap_or_else(|e| panic!("{changes}: {e}")) {
        section.insert(key, value);
    }
    settings(&section.to_string())
}

fn problems(changes: &str) -> Vec<Problem> {
    match Crm::open(&written(changes)) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
}

fn file(name: &str, text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, text).expect("a file");
    (folder, path)
}

#[test]
fn four_lines_are_enough() {
    let (crm, warnings) = Crm::open(&settings(GOOD)).expect("good settings");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((crm.name.as_str(), crm.kind, crm.senders, crm.batch), ("vtiger", Kind::Calls, 2, 50));
    assert_eq!((crm.timeout.as_secs(), crm.connect_timeout.as_secs()), (30, 5));
    assert_eq!(crm.address(), "https://crm.example.com/modules/Calls/callbacks/Connector.php");
    let batches = ["calls", "webhook", "pbxmanager"]
        .map(|kind| Crm::open(&written(&format!("kind = \"{kind}\""))).expect("good settings").0.batch);
    assert_eq!(batches, [50, 1, 1]);
}

#[test]
fn every_key_is_understood_and_every_other_refused() {
    let all = written(
        r#"
        senders = 4
        batch = 20
        match = { pbx = ["msk"], trunk = ["t"], did = ["+7495*"], context = ["c"], extension = ["1XX"] }
        default = true
        internal = false
        header = { name = "Authorization", value = "Bearer x" }
        timeout_s = 60
        connect_timeout_s = 10
        "#,
    );
    assert!(all.default && !all.internal);
    assert_eq!(
        (all.matching.pbx.as_slice(), all.matching.extension.as_slice()),
        (&["msk".to_owned()][..], &["1XX".to_owned()][..])
    );
    let (crm, _) = Crm::open(&all).expect("good settings");
    assert_eq!((crm.senders, crm.batch, crm.timeout.as_secs(), crm.connect_timeout.as_secs()), (4, 20, 60, 10));
    for unknown in ["senders_max = 3", "match = { queue = [\"q\"] }", "header = { name = \"a\", value = \"b\", c = 1 }"]
    {
        let text = format!("{GOOD}{unknown}");
        let error = toml::from_str::<CrmSettings>(&text).expect_err(unknown).to_string();
        assert!(error.contains("unknown field"), "{error}");
    }
    assert!(toml::from_str::<CrmSettings>("name = \"a\"\nkind = \"suite\"\nurl = \"x\"").is_err());
}

#[test]
fn what_is_wrong_is_said_with_its_key_and_a_remedy() {
    for (changes, key, words) in [
        ("name = \"my crm\"", "name", "one word"),
        ("name = \"\"", "name", "one word"),
        ("url = \"crm.example.com\"", "url", "https://"),
        ("url = \"ftp://crm.example.com\"", "url", "only https:// and http://"),
        ("url = \"https://user:hunter2@crm.example.com\"", "url", "header"),
        ("url = \"https://црм.рф\"", "url", "xn--"),
        ("url = \"https://crm.example.com/a b\"", "url", "no address"),
        ("url = \"https://crm.example.com/index.php?module=Home\"", "url", "without ?"),
        ("url = \"\"", "url", ""),
        ("senders = 0", "senders", "1 to 8"),
        ("senders = 9", "senders", "1 to 8"),
        ("batch = 0", "batch", "1 to 50"),
        ("batch = 51", "batch", "1 to 50"),
        ("timeout_s = 0", "timeout_s", "1 to 300"),
        ("timeout_s = 301", "timeout_s", "1 to 300"),
        ("connect_timeout_s = 0", "connect_timeout_s", "1 to timeout_s"),
        ("connect_timeout_s = 31", "connect_timeout_s", "1 to timeout_s (30)"),
        ("lookup_digits = 10", "lookup_digits", "pbxmanager"),
        ("kind = \"pbxmanager\"\nlookup_digits = 6", "lookup_digits", "7 to 15"),
        ("secret = \"\"", "secret", "empty"),
        ("secret = \"$NO_SUCH_VARIABLE_HERE\"", "secret", "no variable NO_SUCH_VARIABLE_HERE"),
        ("secret_file = \"/etc/hostname\"", "secret_file", "both set"),
        ("ca = \"/no/such/file.pem\"", "ca", "/no/such/file.pem"),
        ("header = { name = \"a b\", value = \"c\" }", "header", "cannot stand"),
        ("header = { name = \"a\", value = \"b\\nc\" }", "header", "cannot stand"),
        ("header = { name = \"X-PIN-Key\", value = \"b\" }", "header", "by the connector itself"),
        ("header = { name = \"Content-Length\", value = \"0\" }", "header", "by the connector itself"),
    ] {
        let found = problems(changes);
        let problem = found.iter().find(|p| p.key == key).unwrap_or_else(|| panic!("{changes}: {found:?}"));
        assert!(problem.fatal && problem.message.contains(words), "{changes}: {problem}");
        assert!(found.iter().all(|p| !p.message.contains("hunter2")), "{found:?}");
    }
}

#[test]
fn all_problems_are_said_at_once() {
    let keys: Vec<&str> = problems("senders = 0\nbatch = 0\nurl = \"nowhere\"").iter().map(|p| p.key).collect();
    assert_eq!(keys, ["senders", "batch", "url"]);
}

#[test]
fn what_is_unwise_is_a_warning() {
    let warned = |changes: &str| {
        let found = problems(changes);
        assert!(found.len() == 1 && !found[0].fatal, "{changes}: {found:?}");
        found[0].to_string()
    };
    assert!(warned("url = \"http://crm.example.com\"").contains("use https://"));
    assert!(warned("secret = \"short\"").contains("32 random ones"));
    for harmless in ["http://127.0.0.1/", "http://localhost:8080/crm", "http://[::1]/", "https://crm.example.com/"] {
        assert_eq!(problems(&format!("url = {harmless:?}")), [], "{harmless}");
    }
}

#[test]
fn the_secret_may_lie_in_a_file() {
    let (_folder, path) = file("secret", b"  with spaces and 16+ characters \r\n");
    let server = Server::start([]);
    let mut section: toml::Table = toml::from_str(GOOD).expect("TOML");
    section.remove("secret");
    section.insert("secret_file".to_owned(), path.to_str().expect("UTF-8").into());
    section.insert("url".to_owned(), server.url("").into());
    section.insert("kind".to_owned(), "webhook".into());
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    mode(0o644);
    let (_, warnings) = Crm::open(&settings(&section.to_string())).expect("good settings");
    assert!(warnings.len() == 1 && warnings[0].message.contains("chmod 640"), "{warnings:?}");
    mode(0o640);
    let (crm, warnings) = Crm::open(&settings(&section.to_string())).expect("good settings");
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut client = pinconnector::crm::Client::new(crm.into(), pinconnector::crm::RequestLog::none());
    pinconnector::crm::sender::send(&mut client, &mut batch(vec![delivery("a-1-1", 1)]), &no_links(), 0);
    let asked = server.next();
    let header = |name| asked.header(name).expect("a header");
    let signed = signature::independent(
        "  with spaces and 16+ characters ",
        "POST",
        "/",
        header("x-pin-time"),
        header("x-pin-nonce"),
        &asked.body,
    );
    assert_eq!(header("x-pin-signature"), signed, "only the line's end is no part of it");

    let (_folder, empty) = file("secret", b"\n");
    section.insert("secret_file".to_owned(), empty.to_str().expect("UTF-8").into());
    assert!(Crm::open(&settings(&section.to_string())).expect_err("empty").iter().any(|p| p.message == "is empty"));
    let (_folder, huge) = file("secret", &[b'x'; 5000]);
    section.insert("secret_file".to_owned(), huge.to_str().expect("UTF-8").into());
    let problems = Crm::open(&settings(&section.to_string())).expect_err("huge");
    assert!(problems.iter().any(|p| p.key == "secret_file" && p.message.contains("larger than 4096")), "{problems:?}");
    section.remove("secret_file");
    let problems = Crm::open(&settings(&section.to_string())).expect_err("none");
    assert!(problems.iter().any(|p| p.key == "secret" && p.message.contains("missing")), "{problems:?}");
}

#[test]
fn a_ca_file_holds_certificates() {
    let fine = |path: PathBuf| problems(&format!("ca = {:?}", path.to_str().expect("UTF-8")));
    assert_eq!(fine(tls_file("ca.pem")), []);
    let key_only = fine(tls_file("server.key"));
    assert!(key_only[0].message.contains("no certificate"), "{key_only:?}");
    // Bundles come with comments in any charset.
    let pem = fs::read(tls_file("ca.pem")).expect("a certificate");
    let (_folder, bundle) = file("ca.pem", &[&b"# Autorit\xe9 de certification\n"[..], &pem].concat());
    assert_eq!(fine(bundle), []);
    let (_folder, text) = file("ca.pem", b"hello");
    assert!(fine(text)[0].message.contains("no certificate in PEM form"));
}

#[test]
fn several_crms_must_not_be_mixed_up() {
    let named = |name: &str, more: &str| written(&format!("name = \"{name}\"\n{more}"));
    let keys = |sections: &[CrmSettings]| -> Vec<(String, &'static str, bool)> {
        problems_between(sections).into_iter().map(|(name, p)| (name, p.key, p.fatal)).collect()
    };
    assert!(keys(&[named("a", "")]).is_empty(), "a single one needs no rule");
    assert!(keys(&[named("a", "default = true"), named("b", "match = { pbx = [\"spb\"] }")]).is_empty());
    assert_eq!(
        keys(&[named("a", "default = true"), named("b", "default = true")]),
        [("b".to_owned(), "default", true)]
    );
    assert_eq!(
        keys(&[named("a", "default = true"), named("a", "match = { pbx = [\"spb\"] }")]),
        [("a".to_owned(), "name", true)]
    );
    assert_eq!(keys(&[named("a", "default = true"), named("b", "")]), [("b".to_owned(), "match", false)]);
}

#[test]
fn secrets_are_not_shown() {
    let all = written("header = { name = \"Authorization\", value = \"Bearer hunter2\" }");
    let (crm, _) = Crm::open(&all).expect("good settings");
    for shown in [format!("{all:?}"), format!("{crm:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("b9c1b0a8"), "{shown}");
    }
}
