//! A directory in one JSON file, for CRMs that have none of their own: read from disk or fetched, whole, when it changes.
//!
//! `{"entries": [{"number", "client": {"module", "id", "name", "user", "caller_id", "contacted_at"}}], "users": [...],
//! "groups": [...]}`: entries, users and groups are those of the Calls module (`tests/wire/calls/`), and a number may come several
//! times.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::people::People;
use crate::call::record::Moment;
use crate::client::{Client, NumberOwners};
use crate::crm::calls_module::UsersAnswer;

/// Half a million entries.
const BYTES_MAX: u64 = 128 << 20;
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    entries: Vec<Entry>,
    /// As they come, to be kept so.
    #[serde(default)]
    users: Vec<serde_json::Value>,
    #[serde(default)]
    groups: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    number: String,
    client: Card,
}

#[derive(Deserialize)]
struct Card {
    #[serde(default)]
    module: String,
    id: String,
    #[serde(default)]
    name: String,
    user: Option<String>,
    caller_id: Option<String>,
    contacted_at: Option<Moment>,
}

/// What such a file says.
#[derive(Debug)]
pub struct FromFile {
    pub numbers: Vec<NumberOwners>,
    /// Users and groups, as an answer of the Calls module.
    pub users: String,
    pub people: People,
}

/// Fetches or reads the file at `from`, unless it is as `before` says; with it what to say next time.
///
/// # Errors
/// In the operator's words.
pub fn load(from: &str, before: &str) -> Result<Option<(FromFile, String)>, String> {
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
    Ok(Some((read(&bytes).map_err(|error| said(&error))?, mark)))
}

/// Reads the file's text.
///
/// # Errors
/// If it is no such JSON.
pub fn read(bytes: &[u8]) -> Result<FromFile, serde_json::Error> {
    let Whole { entries, users, groups } = serde_json::from_slice(bytes)?;
    let users = serde_json::json!({"users": users, "groups": groups}).to_string();
    let people = People::new(&serde_json::from_str::<UsersAnswer>(&users)?);
    let mut numbers: BTreeMap<String, Vec<Client>> = BTreeMap::new();
    for Entry { number, client: Card { module, id, name, user, caller_id, contacted_at } } in entries {
        let contacted_at_s = contacted_at.and_then(|at| u32::try_from(at.0 / 1000).ok()).unwrap_or(0);
        let client = Client { module, id, name, user, caller_id, contacted_at_s };
        numbers.entry(number).or_default().push(client);
    }
    Ok(FromFile {
        numbers: numbers.into_iter().map(|(number, clients)| NumberOwners { number, clients }).collect(),
        users,
        people,
    })
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
        let (file, mark) = load(from, "").expect("good").expect("new");
        assert_eq!(file.numbers.len(), 2);
        let both = &file.numbers.iter().find(|owners| owners.number == "+79161234567").expect("there").clients;
        assert_eq!((both[0].contacted_at_s, both[1].module.as_str()), (1_795_341_600, "Leads"));
        assert!(!file.people.is_empty());
        assert!(load(from, &mark).expect("good").is_none());
        std::fs::write(&path, "{").expect("written");
        assert!(load(from, &mark).expect_err("no JSON").contains("clients.json"));
    }
}
