//! Asterisk's configuration files as Asterisk reads them: sections, templates, `#include`, comments. Read only.
//!
//! What a section means is left to who asks. `#exec` is not carried out, and nothing outside the given root is read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::phone::EndpointPattern;

/// A file with everything it includes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conf {
    /// In the order of the files; a name may come several times.
    pub sections: Vec<Section>,
    /// Every file that was read, as this machine names it.
    pub files: Vec<PathBuf>,
    /// Included files that are not there (or not readable), as they are written.
    pub missing: Vec<String>,
}

/// One `[name]` with its lines; what it inherits from templates comes first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Section {
    pub name: String,
    pub is_template: bool,
    /// Keys as written, values without comments; the same key may come several times.
    pub values: Vec<(String, String)>,
    /// The file it begins in.
    pub file: PathBuf,
}

impl Section {
    /// The last value of a key: later lines win.
    pub fn get(&self, key: &str) -> Option<&str> {
        let is = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(key);
        self.values.iter().rfind(is).map(|(_, value)| value.as_str())
    }
}

/// More than this is no configuration; FreePBX's largest has some megabytes.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// Asterisk's own limit is lower.
const MAX_DEPTH: usize = 10;
const MAX_FILES: usize = 500;

/// Where Asterisk's files are, seen from this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Etc {
    /// `/`, or the folder of a chroot.
    pub root: PathBuf,
    /// Within it: `/etc/asterisk`.
    pub folder: PathBuf,
}

impl Etc {
    /// A file of it, as this machine names it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.outside(&self.folder.join(name))
    }

    /// A path that Asterisk uses, as this machine names it.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        self.root.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Reads `name` and everything it includes.
    ///
    /// # Errors
    /// If the file itself cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Conf> {
        let mut conf = Conf::default();
        let text = read_text(&self.path(name))?;
        self.add(&mut conf, &self.path(name), &text, 0);
        Ok(conf)
    }

    fn add(&self, conf: &mut Conf, file: &Path, text: &str, depth: usize) {
        conf.files.push(file.to_owned());
        let mut within_comment = false;
        for line in text.lines() {
            let line = without_comment(line, &mut within_comment);
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            if let Some(directive) = line.strip_prefix('#') {
                self.include(conf, directive, depth);
            } else if let Some(rest) = line.strip_prefix('[') {
                let (name, options) = rest.split_once(']').unwrap_or((rest, ""));
                conf.begin(name.trim(), options.trim(), file);
            } else if let Some((key, value)) = line.split_once('=')
                && let Some(section) = conf.sections.last_mut()
            {
                let value = value.strip_prefix('>').unwrap_or(value).trim();
                section.values.push((key.trim().to_owned(), value.to_owned()));
            }
        }
    }

    fn include(&self, conf: &mut Conf, directive: &str, depth: usize) {
        let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
        let name = rest.trim().trim_matches(|c| matches!(c, '"' | '<' | '>'));
        if !matches!(word, "include" | "tryinclude") || name.is_empty() || depth == MAX_DEPTH {
            return;
        }
        let inside = self.folder.join(name);
        let found = self.matching(&inside);
        if found.is_empty() && word == "include" && !name.contains('*') {
            conf.missing.push(name.to_owned());
        }
        for path in found {
            if conf.files.len() >= MAX_FILES {
                return;
            }
            match read_text(&path) {
                Ok(text) => self.add(conf, &path, &text, depth + 1),
                Err(_) => conf.missing.push(name.to_owned()),
            }
        }
    }

    /// The files a path with a `*` in its last part means, in order.
    fn matching(&self, inside: &Path) -> Vec<PathBuf> {
        let path = self.outside(inside);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.contains('*') {
            return if path.is_file() { vec![path] } else { Vec::new() };
        }
        let Ok(pattern) = EndpointPattern::parse(&name) else { return Vec::new() };
        let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
        let mut found: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.is_file() && path.file_name().is_some_and(|name| pattern.matches(&name.to_string_lossy()))
            })
            .collect();
        found.sort();
        found
    }
}

impl Conf {
    /// Sections that are no templates.
    pub fn live(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| !section.is_template)
    }

    /// The first live section of this name, as Asterisk takes it.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.live().find(|section| section.name == name)
    }

    /// A key of a section.
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.section(section)?.get(key)
    }

    fn begin(&mut self, name: &str, options: &str, file: &Path) {
        let options = options.trim_start_matches('(');
        let options = options.split(')').next().unwrap_or_default();
        let words: Vec<&str> = options.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.contains(&"+")
            && let Some(at) = self.sections.iter().position(|section| section.name == name)
        {
            // Goes on with a section that is there: it becomes the last one, which lines are added to.
            let section = self.sections.remove(at);
            self.sections.push(section);
            return;
        }
        let mut section = Section { name: name.to_owned(), file: file.to_owned(), ..Section::default() };
        for word in words {
            match word {
                "!" => section.is_template = true,
                parent => {
                    let inherited = self.sections.iter().rev().find(|section| section.name == parent);
                    section.values.extend(inherited.iter().flat_map(|section| section.values.clone()));
                }
            }
        }
        self.sections.push(section);
    }
}

/// Whether a value means yes, as `ast_true` has it.
pub fn is_true(value: &str) -> bool {
    ["yes", "true", "y", "t", "1", "on"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The line up to a `;` that no backslash protects; block comments are `;-- ... --;`.
fn without_comment(line: &str, within: &mut bool) -> String {
    let mut rest = line;
    let mut kept = String::new();
    loop {
        if *within {
            match rest.split_once("--;") {
                Some((_, after)) => (rest, *within) = (after, false),
                None => return kept,
            }
        }
        let Some(at) = rest.find(';') else {
            kept.push_str(rest);
            return kept;
        };
        let (before, comment) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('\\') {
            kept.push_str(before);
            kept.push(';');
            rest = &comment[1..];
            continue;
        }
        kept.push_str(before);
        if comment.starts_with(";--") && !comment.starts_with(";---") {
            *within = true;
            rest = &comment[3..];
        } else {
            return kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etc(files: &[(&str, &str)]) -> (tempfile::TempDir, Etc) {
        let root = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = root.path().join("etc/asterisk").join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let etc = Etc { root: root.path().to_owned(), folder: "/etc/asterisk".into() };
        (root, etc)
    }

    #[test]
    fn sections_templates_includes_and_comments_are_read_as_asterisk_does() {
        let (_root, etc) = etc(&[
            (
                "manager.conf",
                "; [none]\n[general]\nenabled = no ; for now\n;-- [gone]\nx = 1 --;\nport=5038\n[all](!)\nread = all\n\
                 [admin](all)\nsecret = a\\;b\n#include \"manager.d/*.conf\"\n#include missing.conf\n\
                 #tryinclude never.conf\n[general](+)\nenabled = yes\n",
            ),
            ("manager.d/b.conf", "[second]\nsecret => two\n"),
            ("manager.d/a.conf", "[first]\nsecret = one\n"),
            ("manager.d/README", "[no]\n"),
        ]);
        let conf = etc.read("manager.conf").expect("read");
        assert_eq!(conf.get("general", "enabled"), Some("yes"));
        assert_eq!(conf.get("general", "port"), Some("5038"));
        assert_eq!(conf.get("admin", "read"), Some("all"));
        assert_eq!(conf.get("admin", "secret"), Some("a;b"));
        assert_eq!(conf.get("first", "secret"), Some("one"));
        assert_eq!(conf.get("second", "secret"), Some("two"));
        let names: Vec<&str> = conf.live().map(|section| section.name.as_str()).collect();
        assert_eq!(names, ["admin", "first", "second", "general"], "templates, comments and READMEs are no sections");
        assert_eq!(conf.missing, ["missing.conf"]);
        assert_eq!(conf.files.len(), 3);
    }

    #[test]
    fn a_file_that_includes_itself_comes_to_an_end() {
        let (_root, etc) = etc(&[("a.conf", "[x]\n#include a.conf\n")]);
        assert_eq!(etc.read("a.conf").expect("read").sections.len(), MAX_DEPTH + 1);
    }
}
