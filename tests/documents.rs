//! The documents say what is true: examples give what they print, links lead somewhere, commands, keys and files exist.
//!
//! `UPDATE_DOCUMENTS=1 cargo test --test documents` writes what the program prints now into the examples.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything people read, but for the tests' own notes.
fn documents() -> Vec<PathBuf> {
    let mut found =
        vec![root().join("README.md"), root().join("README.ru.md"), root().join("packaging/vtiger/README.md")];
    for entry in std::fs::read_dir(root().join("packaging/doc")).expect("the folder of documents") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    assert!(found.len() > 5, "only {} documents", found.len());
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// What `pinconnector WORDS` prints on standard output, with the clock of the recordings.
fn printed(words: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_pinconnector"))
        .args(words)
        .current_dir(root())
        .env("TZ", "UTC")
        .output()
        .expect("the program runs");
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8").trim_end().to_owned()
}

#[test]
fn the_examples_give_what_they_print() {
    let update = std::env::var_os("UPDATE_DOCUMENTS").is_some();
    let mut played = 0;
    for path in documents() {
        let text = read(&path);
        let mut as_it_is = String::new();
        for (nth, part) in text.split("```").enumerate() {
            if nth > 0 {
                as_it_is.push_str("```");
            }
            let example = part.strip_prefix("\n$ pinconnector replay ").filter(|_| nth % 2 == 1);
            let Some((words, _)) = example.and_then(|example| example.split_once('\n')) else {
                as_it_is.push_str(part);
                continue;
            };
            played += 1;
            let arguments: Vec<&str> = std::iter::once("replay").chain(words.split(' ')).collect();
            as_it_is.push_str(&format!("\n$ pinconnector replay {words}\n{}\n", printed(&arguments)));
        }
        if update && as_it_is != text {
            std::fs::write(&path, &as_it_is).expect("written");
        }
        let as_it_was = read(&path);
        let differs = as_it_was.lines().zip(as_it_is.lines()).find(|(was, is)| was != is);
        assert!(as_it_was == as_it_is, "{}: {differs:#?}; UPDATE_DOCUMENTS=1 writes it anew", name(&path));
    }
    assert!(played > 15, "only {played} examples were found");
}

#[test]
fn every_reason_has_an_example() {
    let page = read(&root().join("packaging/doc/how-a-call-becomes-a-record.md"));
    // The reasons of missed calls, as the records have them.
    for reason in [
        "greeting",
        "menu",
        "queue",
        "abandoned",
        "no_answer",
        "busy",
        "unreachable",
        "rejected",
        "dialplan_error",
        "voicemail",
        "lookup",
    ] {
        let section = page.split(&format!("(`{reason}`)")).nth(1).unwrap_or_else(|| panic!("no word on {reason}"));
        let example = section.split("```").nth(1).unwrap_or_default();
        // The table has words for people.
        let shown = reason.replace('_', " ");
        assert!(example.contains("missed") && example.contains(&shown), "{reason}: {example}");
    }
}

/// What stands between `[` and `](` has an end in `)`: the targets of links and pictures.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut counted = 0;
    for path in documents() {
        let text = read(&path);
        for link in links(&text) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("http") {
                continue;
            }
            counted += 1;
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", name(&path));
            if !part.is_empty() {
                let there = read(&target).lines().filter(|line| line.starts_with('#')).map(anchor).any(|a| a == part);
                assert!(there, "{}: {link}: there is no such heading", name(&path));
            }
        }
    }
    assert!(counted > 8, "only {counted} links were found");
}

/// The name by which a heading is linked.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

/// Inline code and code blocks of a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn commands_and_options_that_are_named_exist() {
    let overview = printed(&["help"]);
    let commands: BTreeSet<&str> =
        overview.lines().filter_map(|line| line.strip_prefix("  ")).filter_map(|line| line.split(' ').next()).collect();
    let mut counted = 0;
    for path in documents() {
        let text = read(&path).replace("```", "`");
        for piece in code(&text).flat_map(str::lines) {
            for told in piece.split("pinconnector ").skip(1) {
                let mut words = told.split_whitespace().skip_while(|word| word.starts_with("--config"));
                let Some(command) = words.next().filter(|word| word.chars().all(|c| c.is_ascii_lowercase())) else {
                    continue;
                };
                // `systemctl reload pinconnector` and the like have no command behind the name.
                if !piece.trim_start_matches("$ ").trim_start_matches("sudo ").starts_with("pinconnector ") {
                    continue;
                }
                counted += 1;
                assert!(commands.contains(command), "{}: there is no `pinconnector {command}`", name(&path));
                let help = printed(&["help", command]) + &printed(&["help", "options"]);
                for option in words.filter(|word| word.starts_with("--")) {
                    let option = option.trim_end_matches([',', ';', '.']);
                    assert!(help.contains(option), "{}: `{command}` knows no {option}", name(&path));
                }
            }
        }
    }
    assert!(counted > 10, "only {counted} commands were found");
}

#[test]
fn keys_that_are_named_exist() {
    let shipped = read(&root().join("conf/pinconnector.toml"));
    let mut counted = 0;
    for path in documents() {
        let text = read(&path);
        // `[section] key` in running text.
        for piece in code(&text.replace("```", "`")) {
            let Some((section, rest)) = piece.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
                continue;
            };
            let section = section.trim_matches(['[', ']']);
            let Some(key) = rest.split([' ', ',']).next() else { continue };
            let key = key.trim_start_matches("] ");
            if !key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') || key.is_empty() {
                continue;
            }
            counted += 1;
            let start = [format!("\n[{section}]"), format!("\n[[{section}]]"), format!("\n#[[{section}]]")];
            let start = start.iter().find_map(|head| shipped.find(head.as_str()));
            let start = start.unwrap_or_else(|| panic!("{}: there is no section {section}", name(&path)));
            let body = &shipped[start + 2..];
            let end = ["\n[", "\n#["].iter().filter_map(|next| body.find(next)).min().unwrap_or(body.len());
            let known = body[..end].lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{key} = ")));
            assert!(known, "{}: there is no key {key} in [{section}]", name(&path));
        }
    }
    assert!(counted > 5, "only {counted} keys were found");
}

#[test]
fn both_languages_tell_the_same_chapters() {
    let headings = |file: &str| read(&root().join(file)).lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(headings("README.md"), headings("README.ru.md"), "chapters of README.md and README.ru.md");
}
