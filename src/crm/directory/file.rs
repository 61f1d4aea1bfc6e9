//! A directory in one JSON file, for CRMs that have none of their own: read from disk or fetched, whole, when it changes.
//!
//! `{"entries": [{"number", "client": {"module", "id", "name", "user", "caller_id", "contacted_at"}}], "users": [...],
//! "groups": [...]}`: entries, users and groups are those of the Calls module (`tests/wire/calls/`), and a number may come several
//! times.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::people::People;
use super::pull::add_owner;
use crate::call::record::Moment;
use crate::client::{Client, NumberOwners};
use crate::crm::calls_module::UsersAnswer;

/// Half a million entries.
const BYTES_MAX: u64 = 128 << 20;
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Texts are borrowed from the file's own where they have no escapes, so that half a million entries are a few large pieces of
/// memory, which the system gets back, and not millions of small ones, of which holes remain.
#[derive(Deserialize)]
struct Whole<'t> {
    #[serde(default, borrow)]
    entries: Vec<Entry<'t>>,
    /// As they come, to be kept so.
    #[serde(default)]
    users: Vec<serde_json::Value>,
    #[serde(default)]
    groups: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Entry<'t> {
    #[serde(borrow)]
    number: Cow<'t, str>,
    #[serde(borrow)]
    client: Card<'t>,
}

#[derive(Debug, Deserialize)]
struct Card<'t> {
    #[serde(default, borrow)]
    module: Cow<'t, str>,
    #[serde(borrow)]
    id: Cow<'t, str>,
    #[serde(default, borrow)]
    name: Cow<'t, str>,
    #[serde(borrow)]
    user: Option<Text<'t>>,
    #[serde(borrow)]
    caller_id: Option<Text<'t>>,
    contacted_at: Option<Moment>,
}

/// An `Option` of the bare `Cow` would always be a copy.
#[derive(Debug, Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

/// What such a file says.
#[derive(Debug)]
pub struct FromFile<'t> {
    entries: Vec<Entry<'t>>,
    /// Users and groups, as an answer of the Calls module.
    pub users: String,
    pub people: People,
}

impl FromFile<'_> {
    /// Hands the numbers and whose they are to `take`, some `most` at a time, each number once. `canonical` gives a number the one
    /// form in which it is kept; what has none is left out.
    ///
    /// # Errors
    /// The first of `take`, with which it ends.
    pub fn each(
        mut self,
        canonical: impl Fn(&str) -> Option<String>,
        most: usize,
        mut take: impl FnMut(&[NumberOwners]) -> Result<(), String>,
    ) -> Result<(), String> {
        self.entries.retain_mut(|entry| {
            let Some(form) = canonical(&entry.number) else { return false };
            if form != entry.number {
                entry.number = Cow::Owned(form);
            }
            true
        });
        // Stable: what is said several times of one number stays in the order in which it was said.
        self.entries.sort_by(|one, other| one.number.cmp(&other.number));
        let mut chunk = Vec::with_capacity(most);
        for of_one in self.entries.chunk_by(|one, other| one.number == other.number) {
            let mut clients = Vec::with_capacity(of_one.len());
            for entry in of_one {
                add_owner(&mut clients, entry.client.owned());
            }
            chunk.push(NumberOwners { number: of_one[0].number.clone().into_owned(), clients });
            if chunk.len() >= most {
                take(&chunk)?;
                chunk.clear();
            }
        }
        take(&chunk)
    }
}

impl Card<'_> {
    fn owned(&self) -> Client {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.clone().into_owned());
        Client {
            module: self.module.clone().into_owned(),
            id: self.id.clone().into_owned(),
            name: self.name.clone().into_owned(),
            user: text(&self.user),
            caller_id: text(&self.caller_id),
            contacted_at_s: self.contacted_at.and_then(|at| u32::try_from(at.0 / 1000).ok()).unwrap_or(0),
        }
    }
}

/// Fetches or reads the text of the file at `from`, unless it is as `before` says; with it what to say next time.
///
/// # Errors
/// In the operator's words.
pub fn load(from: &str, before: &str) -> Result<Option<(Vec<u8>, String)>, String> {
    let is_address = from.starts_with("https://") || from.starts_with("http://");
    let said = |error: &dyn std::fmt::Display| format!("{from}: {error}");
    let (bytes, mark) = if is_address {
        let agent =
            ureq::Agent::new_with_config(ureq::Agent::config_builder().timeout_global(Some(FETCH_TIMEOUT)).build());
        let request = agent.get(from);
        let request = if before.is_empty() { request } else { request.header("If-None-Match", before) };
        let mut answer = request.call().map_err(|error| said(&error))?;
        if answer.status() == 304 {
            return Ok(None);
        }
        let mark = answer.headers().get("ETag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        let body = answer.body_mut().with_config().limit(BYTES_MAX).read_to_vec().map_err(|error| said(&error))?;
        (body, mark)
    } else {
        let path = Path::new(from);
        let about = std::fs::metadata(path).map_err(|error| said(&error))?;
        let changed = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let mark = format!("{}-{}", about.len(), changed.unwrap_or_default().as_nanos());
        if mark == before {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(|error| said(&error))?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| said(&error))?;
        (bytes, mark)
    };
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("{from} is larger than {BYTES_MAX} bytes"));
    }
    Ok(Some((bytes, mark)))
}

/// Reads the file's text.
///
/// # Errors
/// If it is no such JSON.
pub fn read(bytes: &[u8]) -> Result<FromFile<'_>, serde_json::Error> {
    let Whole { entries, users, groups } = serde_json::from_slice(bytes)?;
    let users = serde_json::json!({"users": users, "groups": groups}).to_string();
    let people = People::new(&serde_json::from_str::<UsersAnswer>(&users)?);
    Ok(FromFile { entries, users, people })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"entries": [
        {"number": "+79161234567", "client": {"id": "1", "name": "Иван", "contacted_at": "2026-11-22T10:00:00.000Z"}},
        {"number": "+74957654321", "client": {"id": "2"}},
        {"number": "+79161234567", "client": {"id": "3", "module": "Leads", "user": "5", "caller_id": "+74951234500"}}],
        "users": [{"user": "5", "active": true, "extensions": [{"extension": "101"}]}]}"#;

    #[test]
    fn a_number_may_come_several_times_and_an_unchanged_file_is_not_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clients.json");
        std::fs::write(&path, TEXT).expect("written");
        let from = path.to_str().expect("UTF-8");
        let (bytes, mark) = load(from, "").expect("good").expect("new");
        let file = read(&bytes).expect("JSON");
        assert!(!file.people.is_empty());
        let mut chunks = Vec::new();
        let form = |number: &str| Some(number.replace("+7495", "+7 495"));
        let take = |chunk: &[NumberOwners]| {
            chunks.push(chunk.to_vec());
            Ok(())
        };
        file.each(form, 2, take).expect("taken");
        assert_eq!((chunks.len(), chunks[0].len(), chunks[1].len()), (2, 2, 0));
        assert_eq!(chunks[0][0].number, "+7 4957654321");
        let both = &chunks[0][1].clients;
        assert_eq!((both[0].name.as_str(), both[0].contacted_at_s), ("Иван", 1_795_341_600));
        assert_eq!((both[1].module.as_str(), both[1].caller_id.as_deref()), ("Leads", Some("+74951234500")));
        assert!(load(from, &mark).expect("good").is_none());
        std::fs::write(&path, "{").expect("written");
        let (bytes, _) = load(from, &mark).expect("good").expect("new");
        assert!(read(&bytes).is_err());
    }
}
