//! Takes a TOML text apart section by section and finds *every* problem in it, with its line.
//!
//! serde stops at the first thing it does not like. So a section is read again without the offending key until nothing
//! offends, and each round's complaint is kept. What a section means is its owner's business.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::Problem;

/// More complaints than this about one section help nobody.
const MAX_PROBLEMS_PER_SECTION: usize = 50;

/// Keys that may be given as `<key>_file = "path"` instead.
const SECRET_KEYS: [&str; 4] = ["secret", "previous_secret", "password", "uri"];

/// A TOML text whose sections are taken out one by one.
pub struct Document<'a> {
    text: &'a str,
    table: DeTable<'a>,
    pub problems: Vec<Problem>,
    /// Some secret stands in the file itself.
    pub holds_secrets: bool,
    /// Where each section that was read begins, for problems found later: (section, line).
    lines: Vec<(String, usize)>,
}

impl<'a> Document<'a> {
    /// Reads `text`. Relative `*_file` paths are taken from `folder`; `$NAME` values from `environment`.
    pub fn parse(text: &'a str, folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document =
            Self { text, table: table.into_inner(), problems: Vec::new(), holds_secrets: false, lines: Vec::new() };
        for error in errors {
            let problem = Problem::error("", format!("this is not TOML: {}", error.message()));
            document.problems.push(problem.at_line(error.span().map(|span| document.line_of(&span))));
        }
        let mut sources = Sources { text, folder, environment, problems: Vec::new(), holds_secrets: false };
        sources.fill(&mut document.table, "");
        document.holds_secrets = sources.holds_secrets;
        document.problems.append(&mut sources.problems);
        document
    }

    /// Takes the section `[name]`, or its default if it is not there.
    pub fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let Some(value) = self.take(name) else { return T::default() };
        if !value.get_ref().is_table() {
            self.complain(name, &value.span(), &format!("must be a section: write [{name}] on a line of its own"));
            return T::default();
        }
        self.remember(name, &value.span());
        self.read(value, &format!("[{name}]")).unwrap_or_default()
    }

    /// Takes all sections `[[name]]`, in order. A section that cannot be read at all is left out (and reported).
    pub fn sections<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let span = value.span();
        let place = format!("[[{name}]]");
        let DeValue::Array(array) = value.into_inner() else {
            self.complain(name, &span, &format!("there may be several of them: write {place} with double brackets"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for value in array {
            self.remember(name, &value.span());
            all.extend(self.read(value, &place));
        }
        all
    }

    /// As [`Document::sections`], with the section `[name.inner]` of each, which belongs to somebody else.
    pub fn sections_with<T: DeserializeOwned, U: DeserializeOwned>(
        &mut self,
        name: &str,
        inner: &str,
    ) -> Vec<(T, Option<U>)> {
        let mut inners = Vec::new();
        if let Some(key) = self.table.keys().find(|key| key.get_ref() == name).cloned()
            && let Some(DeValue::Array(array)) = self.table.get_mut(&key).map(Spanned::get_mut)
        {
            for value in array.iter_mut() {
                let DeValue::Table(table) = value.get_mut() else { continue };
                let key = table.keys().find(|key| key.get_ref() == inner).cloned();
                inners.push(key.and_then(|key| table.remove(&key)));
            }
        }
        let mut read = Vec::new();
        for value in inners {
            read.push(value.and_then(|value| self.read(value, &format!("[{name}.{inner}]"))));
        }
        let outers: Vec<T> = self.sections(name);
        outers.into_iter().zip(read.into_iter().chain(std::iter::repeat_with(|| None))).collect()
    }

    /// Takes a key that stands before all sections.
    pub fn value<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.take(name)?;
        self.remember(name, &value.span());
        self.read(value, name)
    }

    /// Complains of everything nobody took.
    pub fn finish(&mut self, known: &[&str]) {
        let rest = std::mem::take(&mut self.table);
        for (key, _) in rest {
            let remedy = match nearest(key.get_ref(), known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            };
            self.complain("", &key.span(), &format!("no such section or key: `{}`; {remedy}", key.get_ref()));
        }
        self.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
    }

    /// The line where the `nth` section of this name (from 0) begins.
    pub fn section_line(&self, name: &str, nth: usize) -> Option<usize> {
        self.lines.iter().filter(|(section, _)| section == name).map(|(_, line)| *line).nth(nth)
    }

    fn take(&mut self, name: &str) -> Option<Spanned<DeValue<'a>>> {
        let key = self.table.keys().find(|key| key.get_ref() == name)?.clone();
        self.table.remove(&key)
    }

    fn remember(&mut self, name: &str, span: &Range<usize>) {
        self.lines.push((name.to_owned(), self.line_of(span)));
    }

    fn read<T: DeserializeOwned>(&mut self, mut value: Spanned<DeValue<'a>>, place: &str) -> Option<T> {
        // Keys taken away because of their own problem: that they are missing afterwards is no second one.
        let mut taken_away = Vec::new();
        let whole = value.span();
        for _ in 0..MAX_PROBLEMS_PER_SECTION {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(settings) => return Some(settings),
                Err(error) => error,
            };
            let span = error.span().unwrap_or_else(|| whole.clone());
            let missing = error.message().strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            let known_problem = missing.is_some_and(|key| taken_away.iter().any(|taken| taken == key));
            let taken = take_away(&mut value, &span);
            if !known_problem {
                let key = taken.as_deref().filter(|_| is_about_a_value(error.message()));
                let place = key.map_or_else(|| place.to_owned(), |key| format!("{place} {key}"));
                self.complain(&place, &span, &in_words(error.message()));
            }
            taken_away.push(taken?);
        }
        None
    }

    fn complain(&mut self, place: &str, span: &Range<usize>, text: &str) {
        let line = self.line_of(span);
        self.problems.push(Problem::error(place, text).at_line(Some(line)));
    }

    fn line_of(&self, span: &Range<usize>) -> usize {
        line_at(self.text, span.start)
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The complaint is about what stands right of the `=`, so that the key must be named.
fn is_about_a_value(message: &str) -> bool {
    !message.starts_with("unknown field") && !message.starts_with("missing field")
}

/// serde's message, with the remedy where it is known.
fn in_words(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((key, expected)) = rest.split_once("`, ")
    {
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        return match nearest(key, known.iter().copied()) {
            Some(near) => format!("no such key: `{key}`; did you mean `{near}`?"),
            None => format!("no such key: `{key}`; known are {}", known.join(", ")),
        };
    }
    if let Some(rest) = message.strip_prefix("missing field `")
        && let Some(key) = rest.split('`').next()
    {
        return format!("the key `{key}` is missing and has no default: add a line `{key} = …`");
    }
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((given, expected)) = rest.split_once("`, ")
    {
        return format!("\"{given}\" is not possible here, {}", expected.replace('`', "\""));
    }
    message.to_owned()
}

/// The known name that differs least from `name`, if it is near enough to be a slip of the fingers.
fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3 + 1)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Removes the innermost key or element the span lies in and says its name; `None` if that would be everything.
fn take_away(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => {
            let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
            // A dotted section's own span is its header, so a key is looked for inside every value first.
            for entry in table.iter_mut() {
                if let Some(taken) = take_away(entry.1, span) {
                    return Some(taken);
                }
            }
            let key = table.iter().find(|(key, value)| holds(key.span()) || holds(value.span()))?.0.clone();
            table.remove(&key);
            Some(key.into_inner().into_owned())
        }
        // Only tables in the array are looked into: a bad scalar takes its whole key along.
        DeValue::Array(array) => array.iter_mut().find_map(|element| take_away(element, span)),
        _ => None,
    }
}

/// Fills in what stands elsewhere: `secret_file = "path"` and `key = "$NAME"`.
struct Sources<'a> {
    text: &'a str,
    folder: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
    holds_secrets: bool,
}

impl Sources<'_> {
    fn fill(&mut self, table: &mut DeTable<'_>, place: &str) {
        let from_files = self.read_secret_files(table, place);
        for (key, value) in table.iter_mut() {
            let key_name = key.get_ref().to_string();
            if from_files.contains(&key_name.as_str()) {
                continue;
            }
            let inner = if place.is_empty() { format!("[{key_name}]") } else { format!("{place} {key_name}") };
            self.fill_value(value, &key_name, &inner);
        }
    }

    fn fill_value(&mut self, value: &mut Spanned<DeValue<'_>>, key: &str, place: &str) {
        let span = value.span();
        match value.get_mut() {
            DeValue::Table(table) => self.fill(table, place),
            DeValue::Array(array) => {
                for element in array.iter_mut() {
                    self.fill_value(element, key, place);
                }
            }
            DeValue::String(text) => match environment_name(text) {
                Some(name) => match (self.environment)(name) {
                    Some(found) => *text = found.into(),
                    None => {
                        let what = format!("the environment has no {name}: set it for the service, or write the value");
                        self.problems.push(Problem::error(place, what).at_line(Some(line_at(self.text, span.start))));
                    }
                },
                None => self.holds_secrets |= SECRET_KEYS.contains(&key) && !text.is_empty(),
            },
            _ => {}
        }
    }

    /// Returns the keys that were filled so.
    fn read_secret_files(&mut self, table: &mut DeTable<'_>, place: &str) -> Vec<&'static str> {
        let mut filled = Vec::new();
        for secret in SECRET_KEYS {
            let file_key = format!("{secret}_file");
            let Some(key) = table.keys().find(|key| *key.get_ref() == file_key).cloned() else { continue };
            let Some(value) = table.remove(&key) else { continue };
            let line = Some(line_at(self.text, key.span().start));
            let Some(path) = value.get_ref().as_str().map(|path| self.folder.join(path)) else {
                self.problems
                    .push(Problem::error(place, format!("`{file_key}` must be a path in quotes")).at_line(line));
                continue;
            };
            if table.keys().any(|key| key.get_ref() == secret) {
                let both = format!("both `{secret}` and `{file_key}` are given: remove one");
                self.problems.push(Problem::error(place, both).at_line(line));
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(content) => {
                    let content = content.trim_end_matches(['\n', '\r']).to_owned();
                    let key = Spanned::new(key.span(), secret.to_owned().into());
                    table.insert(key, Spanned::new(value.span(), DeValue::String(content.into())));
                    filled.push(secret);
                }
                Err(error) => {
                    let what = format!("cannot read `{file_key}` {}: {error}", path.display());
                    self.problems.push(Problem::error(place, what).at_line(line));
                }
            }
        }
        filled
    }
}

/// `NAME` of a value that is exactly `$NAME`.
fn environment_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (!name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Default, Debug, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Oven {
        degrees: u32,
        door: bool,
        trays: Vec<u8>,
        secret: String,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Cake {
        name: String,
    }

    fn document(text: &str) -> Document<'_> {
        Document::parse(text, Path::new("/"), &|name| (name == "KEY").then(|| "from outside".to_owned()))
    }

    fn texts(document: &Document<'_>) -> Vec<String> {
        document.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_problem_is_found_with_its_line() {
        let mut document = document(
            "time = 1\n[oven]\ndegres = 180\ndoor = \"open\"\ntrays = [1, 300, 2]\n\n[[cake]]\nname = 3\n[[cake]]\n[oveen]\n",
        );
        document.section::<Oven>("oven");
        assert_eq!(document.sections::<Cake>("cake"), []);
        document.finish(&["oven", "cake"]);
        let found = texts(&document);
        assert_eq!(found.len(), 7, "{found:#?}");
        assert!(found[0].starts_with("line 1: no such section or key: `time`"), "{}", found[0]);
        assert_eq!(found[1], "line 3: [oven]: no such key: `degres`; did you mean `degrees`?");
        assert!(found[2].starts_with("line 4: [oven] door: invalid type"), "{}", found[2]);
        assert!(found[3].starts_with("line 5: [oven] trays: invalid value"), "{}", found[3]);
        assert!(found[4].starts_with("line 8: [[cake]] name: invalid type"), "{}", found[4]);
        assert!(found[5].starts_with("line 9: [[cake]]: the key `name` is missing"), "{}", found[5]);
        assert_eq!(found[6], "line 10: no such section or key: `oveen`; did you mean `oven`?");
    }

    #[test]
    fn what_is_right_in_a_bad_section_is_still_read() {
        let mut document = document("[oven]\ndegrees = 200\ndor = true\n");
        assert_eq!(document.section::<Oven>("oven").degrees, 200);
        assert_eq!(document.problems.len(), 1);
    }

    #[test]
    fn text_that_is_no_toml_says_where() {
        let document = document("[oven]\ndegrees = = 3\n");
        assert!(texts(&document)[0].starts_with("line 2: this is not TOML"), "{:?}", texts(&document));
    }

    #[test]
    fn secrets_come_from_the_environment_and_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), "from a file\n").expect("written");
        let environment = |name: &str| (name == "KEY").then(|| "from outside".to_owned());
        let read = |text: &str| {
            let mut document = Document::parse(text, folder.path(), &environment);
            let oven: Oven = document.section("oven");
            (oven.secret, document.holds_secrets, texts(&document))
        };
        assert_eq!(read("[oven]\nsecret = \"$KEY\"\n"), ("from outside".to_owned(), false, vec![]));
        assert_eq!(read("[oven]\nsecret_file = \"key\"\n"), ("from a file".to_owned(), false, vec![]));
        assert_eq!(read("[oven]\nsecret = \"open\"\n"), ("open".to_owned(), true, vec![]));
        assert!(read("[oven]\nsecret = \"$NO\"\n").2[0].contains("line 2: [oven] secret: the environment has no NO"));
        assert!(read("[oven]\nsecret_file = \"gone\"\n").2[0].contains("cannot read `secret_file`"));
        assert!(read("[oven]\nsecret = \"a\"\nsecret_file = \"key\"\n").2[0].contains("both `secret` and"));
    }
}
