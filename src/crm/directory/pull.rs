//! The `directory-NAME` thread: keeps one CRM's part of the directory up to date, and on its shelf.
//!
//! At start it takes what was kept, so that the dialplan is answered before the CRM is. Then it asks for what has changed since
//! the cursor, every minute or as soon as it is told to. A full walk replaces entry by entry and forgets at its end what it has not
//! seen, so the directory is never empty meanwhile, and a walk that is broken off goes on where it was.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::people::People;
use super::{Directory, DirectorySettings, file, live};
use crate::client::{Client, NumberOwners, Shelf};
use crate::clock::Now;
use crate::crm::answer::Fault;
use crate::crm::calls_module::{self, DIRECTORY_PAGE, DirectoryEntry, Refresh, Users, UsersAnswer};
use crate::crm::settings::{Crm, Kind};
use crate::crm::{Client as Line, Interrupter, RequestLog};
use crate::phone::Numbers;
use crate::threads::Thread;

/// After a fault, doubled up to the usual interval or this, whichever is more.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Users are asked for with every so many pulls, and when the CRM says that they changed.
const USERS_EVERY: u32 = 5;
/// Numbers put into the directory in one go when they come from the shelf or a file.
const CHUNK: usize = 2_000;
/// A walk of more pages than this is one that turns in a circle.
const PAGES_MAX: u32 = 5_000;
/// Orders to pull that may wait; they all mean the same.
const ORDERS_MAX: usize = 4;

/// What the thread works with.
pub struct Pull {
    pub crm: Arc<Crm>,
    pub settings: DirectorySettings,
    pub directory: Arc<Directory>,
    pub shelf: Box<dyn Shelf>,
    pub log: RequestLog,
}

/// The running thread.
pub struct Puller {
    /// The CRM says that something changed (`POST /api/v1/refresh`, `commands`). Full: it is being asked anyway.
    pub orders: Sender<Refresh>,
    interrupter: Interrupter,
    thread: Thread,
}

impl Pull {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self) -> io::Result<Puller> {
        let (orders, ordered) = bounded(ORDERS_MAX);
        let line = Line::new(Arc::clone(&self.crm), self.log.clone());
        let interrupter = line.interrupter();
        let thread =
            Thread::start(&format!("directory-{}", self.crm.name), move || Pulling::new(self, line).run(&ordered))?;
        Ok(Puller { orders, interrupter, thread })
    }
}

impl Puller {
    /// Ends it, also in mid-request; says whether it ended in time.
    pub fn stop(self, until: Instant) -> bool {
        drop(self.orders);
        self.interrupter.interrupt();
        self.thread.join_until(until)
    }
}

struct Pulling {
    pull: Pull,
    line: Line,
    /// Opaque, the CRM's; of a file, what it looked like.
    cursor: String,
    /// The full walk under way.
    walk: Option<i64>,
    /// Numbers that walk has seen since the start.
    walked: usize,
    is_failing: bool,
}

impl Pulling {
    fn new(pull: Pull, line: Line) -> Self {
        Self { pull, line, cursor: String::new(), walk: None, walked: 0, is_failing: false }
    }

    fn run(mut self, ordered: &Receiver<Refresh>) {
        self.take_from_shelf();
        let every = Duration::from_secs(self.pull.settings.every_s.into());
        let mut retry = RETRY_FIRST;
        let mut turn: u32 = 0;
        let mut wants_users = true;
        loop {
            let done = self.pull_everything(wants_users || turn.is_multiple_of(USERS_EVERY));
            turn = turn.wrapping_add(1);
            self.say(&done);
            let wait = if done.is_ok() {
                (retry, wants_users) = (RETRY_FIRST, false);
                every
            } else {
                retry = (retry * 2).min(RETRY_MAX.max(every));
                retry.min(every.max(RETRY_FIRST))
            };
            match ordered.recv_timeout(wait) {
                Ok(first) => {
                    let orders: Vec<Refresh> = std::iter::once(first).chain(ordered.try_iter()).collect();
                    wants_users |= orders.contains(&Refresh::Users);
                    self.pull.directory.unlearn(&self.pull.crm.name);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn say(&mut self, done: &Result<(), String>) {
        let name = &self.pull.crm.name;
        match done {
            Err(why) if !self.is_failing => {
                log::warn!(
                    "{name}: the directory of numbers is not brought up to date ({why}); answered from what is kept"
                );
            }
            Ok(()) if self.is_failing => log::info!("{name}: the directory of numbers is up to date again"),
            _ => {}
        }
        self.is_failing = done.is_err();
    }

    fn take_from_shelf(&mut self) {
        let Pull { crm, directory, shelf, settings, .. } = &mut self.pull;
        let numbers = directory.numbers();
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut count = 0;
        let kept = shelf.each(&mut |owners| {
            count += 1;
            // The region may be another one than when it was put there.
            chunk.extend(canonical(&numbers, owners));
            if chunk.len() >= CHUNK {
                directory.apply(&crm.name, &chunk);
                chunk.clear();
            }
        });
        directory.apply(&crm.name, &chunk);
        match kept {
            Ok(kept) => {
                if settings.from.is_none() {
                    (self.walk, self.cursor) = unmark(&kept.cursor);
                }
                if let Ok(answer) = serde_json::from_str::<UsersAnswer>(&kept.users) {
                    directory.put_people(&crm.name, People::new(&answer));
                }
                if count > 0 {
                    log::info!("{}: {count} numbers known from before", crm.name);
                }
            }
            // Everything is asked for again then.
            Err(why) => log::warn!("{}: the numbers kept in the database cannot be read: {why}", crm.name),
        }
    }

    fn pull_everything(&mut self, wants_users: bool) -> Result<(), String> {
        if let Some(from) = self.pull.settings.from.clone() {
            self.pull_file(&from)?;
        } else if self.pull.crm.kind == Kind::Calls {
            if wants_users {
                self.pull_users()?;
            }
            self.pull_numbers()?;
        }
        self.pull.directory.confirm(&self.pull.crm.name, Now::read());
        Ok(())
    }

    fn pull_users(&mut self) -> Result<(), String> {
        // As text, so that it can be kept as it came.
        let answer: serde_json::Value = calls_module::ask(&mut self.line, &AllOfUsers {}).map_err(words)?;
        let users: UsersAnswer = serde::Deserialize::deserialize(&answer).map_err(|error| error.to_string())?;
        let people = People::new(&users);
        if people.is_empty() {
            log::warn!("{}: the CRM names no user; those known before are kept", self.pull.crm.name);
            return Ok(());
        }
        self.pull.shelf.put_users(&answer.to_string())?;
        self.pull.directory.put_people(&self.pull.crm.name, people);
        Ok(())
    }

    fn pull_numbers(&mut self) -> Result<(), String> {
        for _ in 0..PAGES_MAX {
            let question = calls_module::Directory { cursor: self.cursor.clone(), limit: DIRECTORY_PAGE };
            let answer = calls_module::ask(&mut self.line, &question).map_err(words)?;
            if answer.reset {
                (self.walk, self.walked) = (Some(Now::read().wall_ms), 0);
            }
            if answer.more && answer.cursor == self.cursor {
                return Err(format!("its cursor {:?} does not move", self.cursor));
            }
            self.cursor = answer.cursor;
            let page = page(&self.pull.directory.numbers(), answer.entries);
            self.put(&page)?;
            if !answer.more {
                return self.end_of_walk();
            }
        }
        // Goes on at the cursor next time.
        Err(format!("it has given {PAGES_MAX} pages and no end"))
    }

    fn pull_file(&mut self, from: &str) -> Result<(), String> {
        let Some((text, mark)) = file::load(from, &self.cursor)? else { return Ok(()) };
        let file = file::read(&text).map_err(|error| format!("{from}: {error}"))?;
        (self.walk, self.walked) = (Some(Now::read().wall_ms), 0);
        // Should we be interrupted, the file counts as unread.
        self.cursor.clear();
        let numbers = self.pull.directory.numbers();
        if !file.people.is_empty() {
            self.pull.shelf.put_users(&file.users)?;
        }
        self.pull.directory.put_people(&self.pull.crm.name, file.people.clone());
        file.each(|number| one_form(&numbers, number), CHUNK, |chunk| self.put(chunk))?;
        self.cursor = mark;
        self.end_of_walk()
    }

    /// Into the directory first: that the disk is full is no reason not to know a client.
    fn put(&mut self, page: &[NumberOwners]) -> Result<(), String> {
        self.pull.directory.apply(&self.pull.crm.name, page);
        self.walked += page.len();
        self.pull.shelf.put(page, &mark(self.walk, &self.cursor), self.walk)
    }

    fn end_of_walk(&mut self) -> Result<(), String> {
        let Some(walk) = self.walk else { return Ok(()) };
        let name = self.pull.crm.name.clone();
        if self.walked == 0 {
            log::warn!("{name}: the CRM has no number at all; those known before are kept");
        } else {
            let mut gone = Vec::new();
            self.pull.shelf.sweep(walk, &mut |number| {
                gone.push(NumberOwners { number: number.to_owned(), clients: Vec::new() });
            })?;
            for chunk in gone.chunks(CHUNK) {
                self.pull.directory.apply(&name, chunk);
            }
            log::info!(
                "{name}: {} numbers in the directory, {} of before are nobody's any more",
                self.walked,
                gone.len()
            );
        }
        self.walk = None;
        self.pull.shelf.put(&[], &self.cursor, None)
    }
}

/// [`Users`], with the answer as it came.
#[derive(serde::Serialize)]
struct AllOfUsers {}

impl calls_module::Operation for AllOfUsers {
    const OP: &'static str = <Users as calls_module::Operation>::OP;
    const ANSWER_LIMIT_BYTES: u64 = <Users as calls_module::Operation>::ANSWER_LIMIT_BYTES;
    type Answer = serde_json::Value;
}

fn words(fault: Fault) -> String {
    match fault {
        Fault::Crm { why, .. } | Fault::Request { why } => why,
    }
}

/// The entries of one page, by number.
fn page(numbers: &Numbers, entries: Vec<DirectoryEntry>) -> Vec<NumberOwners> {
    together(entries.into_iter().filter_map(|DirectoryEntry { number, client }| {
        canonical(numbers, NumberOwners { number, clients: client.map(live::card).into_iter().collect() })
    }))
}

/// What is said several times of one number belongs together, in the order in which it was said.
fn together(all: impl Iterator<Item = NumberOwners>) -> Vec<NumberOwners> {
    let mut by_number: BTreeMap<String, Vec<Client>> = BTreeMap::new();
    for NumberOwners { number, clients } in all {
        let owners = by_number.entry(number).or_default();
        for client in clients {
            add_owner(owners, client);
        }
    }
    by_number.into_iter().map(|(number, clients)| NumberOwners { number, clients }).collect()
}

/// One more whose number it is; who was named before is replaced.
pub(super) fn add_owner(owners: &mut Vec<Client>, client: Client) {
    owners.retain(|other| (&other.module, &other.id) != (&client.module, &client.id));
    owners.push(client);
}

/// The number in one form only, so that who is under it is replaced however it is written; what is no number is nobody's.
fn canonical(numbers: &Numbers, owners: NumberOwners) -> Option<NumberOwners> {
    Some(NumberOwners { number: one_form(numbers, &owners.number)?, ..owners })
}

fn one_form(numbers: &Numbers, number: &str) -> Option<String> {
    let keys = numbers.match_keys(number);
    match (keys.e164, keys.exact) {
        (Some(e164), _) => Some(e164.to_string()),
        (None, Some(exact)) => Some(exact.as_str().to_owned()),
        (None, None) => None,
    }
}

/// A cursor as it is kept: with the walk it belongs to, so that the walk can go on after a restart.
fn mark(walk: Option<i64>, cursor: &str) -> String {
    walk.map_or_else(|| cursor.to_owned(), |walk| format!("walk {walk} {cursor}"))
}

fn unmark(kept: &str) -> (Option<i64>, String) {
    let parts = kept.strip_prefix("walk ").and_then(|rest| rest.split_once(' '));
    match parts.and_then(|(walk, cursor)| Some((walk.parse().ok()?, cursor))) {
        Some((walk, cursor)) => (Some(walk), cursor.to_owned()),
        None => (None, kept.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_survives_a_restart() {
        for (walk, cursor) in [(None, ""), (None, "since:733"), (Some(5), "all:731:+79161234567"), (Some(5), "")] {
            assert_eq!(unmark(&mark(walk, cursor)), (walk, cursor.to_owned()));
        }
    }
}
