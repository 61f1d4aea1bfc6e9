//! `pinconnector setup`, the real program on layouts of Asterisk's files as they are found in the field. What a live Asterisk
//! makes of them is tried in tests/lab.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::program::program;

/// A machine: its files, and our configuration.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self { folder: tempfile::tempdir().expect("a folder") };
        for (name, text) in files {
            let path = machine.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    fn ours(&self, name: &str) -> PathBuf {
        self.folder.path().join("pinconnector").join(name)
    }

    fn text(&self, name: &str) -> String {
        read(&self.path(name))
    }

    fn setup(&self, words: &[&str]) -> Output {
        Command::new(program())
            .arg("--config")
            .arg(self.ours("pinconnector.toml"))
            .arg("setup")
            .args(["--yes", "--no-reload", "--no-doctor", "--asterisk-root"])
            .arg(self.folder.path().join("root"))
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    }

    fn set_up(&self, words: &[&str]) -> String {
        let out = self.setup(words);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        String::from_utf8(out.stdout).expect("UTF-8")
    }

    /// The configuration's lines that say something.
    fn configuration(&self) -> Vec<String> {
        let text = read(&self.ours("pinconnector.toml"));
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    }

    /// Everything under the folder, by name.
    fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.clone(), fs::read(path).expect("read")));
                }
            }
        }
        found.sort();
        found
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

const DEBIAN: [(&str, &str); 4] = [
    ("etc/asterisk/asterisk.conf", "[directories]\nastspooldir => /var/spool/asterisk\n"),
    (
        "etc/asterisk/manager.conf",
        "[general]\nenabled = no\nport = 5038\nbindaddr = 127.0.0.1\n\n#include \"manager.d/*.conf\"\n",
    ),
    ("etc/asterisk/manager.d/README.conf", "; put accounts here\n"),
    ("etc/asterisk/cdr_manager.conf", ";\n[general]\nenabled = no\n"),
];

const FREEPBX: [(&str, &str); 9] = [
    ("etc/freepbx.conf", "<?php\n"),
    ("etc/asterisk/asterisk.conf", "[directories]\nastspooldir => /var/spool/asterisk\n"),
    (
        "etc/asterisk/manager.conf",
        "[general]\nenabled = yes\nport = 5038\nbindaddr = 0.0.0.0\n[admin]\nsecret = x\n#include manager_additional.conf\n\
         #include manager_custom.conf\n",
    ),
    ("etc/asterisk/manager_additional.conf", ""),
    ("etc/asterisk/manager_custom.conf", "; the administrator's\n[mine]\nsecret = y\n"),
    ("etc/asterisk/cdr_manager.conf", "[general]\nenabled = no\n"),
    (
        "etc/asterisk/extensions.conf",
        "[from-trunk]\ninclude => from-pstn\n[from-pstn]\ninclude => ext-did\n#include extensions_additional.conf\n",
    ),
    (
        "etc/asterisk/extensions_additional.conf",
        "[ext-did]\nexten => 74951234567,1,Goto(ext-queues,600,1)\n[ext-queues]\nexten => 600,1,Queue(600)\n\
         [from-did-direct]\nexten => _XXX,1,Dial(PJSIP/${EXTEN})\n",
    ),
    (
        "etc/asterisk/pjsip.conf",
        "[mango]\ntype = endpoint\ncontext = from-pstn\n[101]\ntype = endpoint\ncontext = from-internal\n",
    ),
];

const WEBHOOK: [&str; 6] = ["--region", "RU", "--crm-kind", "webhook", "--crm-url", "http://127.0.0.1:9/calls"];

#[test]
fn plain_asterisk_gets_an_account_call_records_and_the_pieces_of_dialplan() {
    let machine = Machine::new(&DEBIAN);
    fs::create_dir_all(machine.path("var/spool/asterisk/monitor")).expect("made");
    let said = machine.set_up(&WEBHOOK);
    let secret = read(&machine.ours("asterisk.secret"));
    let secret = secret.trim_end();
    assert!(secret.len() >= 32, "{secret}");
    let account = machine.text("etc/asterisk/manager.d/pinconnector.conf");
    assert!(account.contains("\n[pinconnector]\n") && account.contains(&format!("\nsecret = {secret}\n")));
    assert!(!account.contains("CHANGE-ME"));
    assert!(machine.text("etc/asterisk/manager.conf").starts_with("[general]\nenabled = yes\nport = 5038\n"));
    let records = machine.text("etc/asterisk/cdr_manager.conf");
    assert!(records.contains("enabled = yes") && records.contains("recordingfile => RecordingFile"), "{records}");
    assert!(machine.text("etc/asterisk/extensions-pinconnector.conf").contains("[pinconnector-catch-all]"));
    let configuration = machine.configuration();
    let recordings = format!("recordings = \"{}\"", machine.path("var/spool/asterisk/monitor").display());
    for line in
        ["host = \"127.0.0.1\"", "region = \"RU\"", "kind = \"webhook\"", "records = \"per-phone\"", &recordings]
    {
        assert!(configuration.iter().any(|said| said == line), "{line} is not in {configuration:#?}");
    }
    for (path, wanted) in [
        (machine.ours("pinconnector.toml"), 0o640),
        (machine.ours("asterisk.secret"), 0o640),
        (machine.ours("webhook.secret"), 0o640),
        (machine.path("etc/asterisk/manager.d/pinconnector.conf"), 0o640),
        // It was so before.
        (machine.path("etc/asterisk/manager.conf"), 0o644),
    ] {
        assert_eq!(mode(&path), wanted, "{}", path.display());
    }
    assert!(
        said.contains("#include \"extensions-pinconnector.conf\"")
            && said.contains("include => pinconnector-catch-all")
    );
    assert!(said.contains("asterisk -rx 'manager reload'"), "{said}");
    // What was there is kept, under names that no include takes.
    let kept: Vec<_> =
        machine.everything().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "bak")).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let check = Command::new(program()).arg("--config").arg(machine.ours("pinconnector.toml")).arg("check").output();
    let check = check.expect("the program runs");
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(!String::from_utf8_lossy(&check.stdout).contains("warning"), "{check:?}");
}

#[test]
fn once_more_changes_nothing_and_keeps_what_people_wrote() {
    let machine = Machine::new(&DEBIAN);
    machine.set_up(&WEBHOOK);
    let before = machine.everything();
    let said = machine.set_up(&[]);
    assert!(said.contains("no file is changed") && !said.contains("manager reload"), "{said}");
    assert_eq!(machine.everything(), before);

    // Somebody's own words in the configuration, and rights of his own in the account.
    let file = machine.ours("pinconnector.toml");
    let mine = read(&file).replace("follow_up_days = 7", "follow_up_days = 3 # as the boss wants");
    fs::write(&file, &mine).expect("written");
    let account = machine.path("etc/asterisk/manager.d/pinconnector.conf");
    let rights = read(&account).replace("write = originate,reporting\n", "write = originate,reporting,call\n");
    fs::write(&account, &rights).expect("written");
    machine.set_up(&["--region", "KZ"]);
    assert_eq!(read(&file), mine.replace("region = \"RU\"", "region = \"KZ\""));
    assert_eq!(read(&account), rights);
}

#[test]
fn of_freepbx_only_custom_files_are_touched() {
    let machine = Machine::new(&FREEPBX);
    let said = machine.set_up(&WEBHOOK);
    let before: Vec<PathBuf> = FREEPBX.iter().map(|(name, _)| machine.path(name)).collect();
    for ((name, text), path) in FREEPBX.iter().zip(&before) {
        if !name.ends_with("_custom.conf") {
            assert_eq!(read(path), *text, "{name} was touched");
        }
    }
    let new: Vec<PathBuf> = machine
        .everything()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            path.starts_with(machine.path(""))
                && !before.contains(path)
                && path.extension().is_some_and(|e| e == "conf")
        })
        .collect();
    assert!(new.iter().all(|path| path.to_string_lossy().ends_with("_custom.conf")), "{new:?}");
    let account = machine.text("etc/asterisk/manager_custom.conf");
    assert!(
        account.starts_with("; the administrator's\n[mine]\nsecret = y\n") && account.contains("\n[pinconnector]\n")
    );
    let configuration = machine.configuration();
    assert!(
        configuration.iter().any(|line| line == "channel = \"Local/{extension}@from-internal/n\""),
        "{configuration:#?}"
    );
    assert!(configuration.iter().any(|line| line == "records = \"per-call\""), "only queues: {configuration:#?}");
    assert!(configuration.iter().any(|line| line == "host = \"127.0.0.1\""), "{configuration:#?}");
    assert!(said.contains("Apply Config") && said.contains("extensions_custom.conf"), "{said}");
    let all = machine.everything();
    machine.set_up(&[]);
    assert_eq!(machine.everything(), all, "once more changes nothing");
}

#[test]
fn the_secret_that_an_account_has_already_is_taken_over() {
    let mut files = DEBIAN.to_vec();
    files.push(("etc/asterisk/manager.d/crm.conf", "[crm]\nsecret = their-old-secret\nread = call\n"));
    let machine = Machine::new(&files);
    machine.set_up(&[&WEBHOOK[..], &["--username", "crm"]].concat());
    assert_eq!(read(&machine.ours("asterisk.secret")), "their-old-secret\n");
    assert!(!machine.path("etc/asterisk/manager.d/pinconnector.conf").exists());
    assert_eq!(machine.text("etc/asterisk/manager.d/crm.conf"), "[crm]\nsecret = their-old-secret\nread = call\n");
}

#[test]
fn for_an_asterisk_elsewhere_its_files_are_put_aside() {
    if Path::new("/etc/asterisk/manager.conf").exists() {
        // A machine with an Asterisk of its own, which must not be touched by a test: but then it is not elsewhere.
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("pinconnector.toml");
    let out = Command::new(program())
        .arg("--config")
        .arg(&config)
        .args(["setup", "--yes", "--no-doctor", "--host", "192.0.2.1", "--no-crm", "--region", "de"])
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let account = read(&folder.path().join("for-asterisk/manager.d-pinconnector.conf"));
    let secret = read(&folder.path().join("asterisk.secret"));
    assert!(account.contains(&format!("\nsecret = {}\n", secret.trim_end())), "{account}");
    assert!(read(&config).contains("\nhost = \"192.0.2.1\"\n") && read(&config).contains("\nregion = \"DE\"\n"));
    assert!(read(&config).contains("\n#[[crm]]\n"));
}

#[test]
fn what_is_missing_or_wrong_is_said_and_nothing_is_written() {
    let machine = Machine::new(&DEBIAN);
    let before = machine.everything();
    for (words, code, why) in [
        (&["--no-crm"][..], 64, "--region is needed"),
        (&["--region", "QQ", "--no-crm"], 64, "--region: "),
        (&["--region", "RU", "--crm-kind", "calls"], 64, "--crm-url is needed"),
        (&["--region", "RU", "--crm-kind", "sugar", "--crm-url", "http://x"], 64, "--crm-kind: "),
        (&["--region", "RU", "--no-crm", "--asterisk-conf", "/nowhere"], 66, "there is no Asterisk"),
        (&["--region", "RU", "--no-crm", "--ami-secret-file", "/nowhere"], 74, "/nowhere"),
    ] {
        let out = machine.setup(words);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
        assert_eq!(machine.everything(), before, "{words:?}");
    }
    let out = Command::new(program()).args(["setup"]).stdin(Stdio::null()).output().expect("the program runs");
    assert_eq!(out.status.code(), Some(64), "{out:?}");
}
