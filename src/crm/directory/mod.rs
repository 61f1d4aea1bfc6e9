//! The contact directory: whose number is it, who looks after him now, which number of ours does he know. One part per CRM, in
//! memory, behind the one lock of the process.
//!
//! The lock is held for a binary search or to put a new table in the place of an old one, never while anything is fetched,
//! stored or built. [`index`] and [`people`] are pure; [`pull`] keeps the directory up to date with the CRM and on its
//! [`Shelf`](crate::client::Shelf); [`live`] asks the CRM about one number. Who is let through, and what the dialplan is told, is
//! decided in `agi/`.

pub mod file;
pub mod index;
pub mod live;
pub mod people;
pub mod pull;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use serde::Deserialize;

use crate::client::{Client, Found, Inquiry, LookUp, NumberOwners};
use crate::clock::Now;
use crate::phone::Numbers;

use index::{Change, Index, Key};
use people::{Devices, Moment, People};

/// A number that the CRM told us just now is remembered so long, until the next increment brings it.
const LEARNED_MS: u64 = 600_000;
/// That a number is nobody's is believed so long: the same caller tries again, but his card may be being written.
const NOBODY_MS: u64 = 30_000;
/// Numbers learned that way; when it is full, all of them are forgotten.
const LEARNED_MAX: usize = 1_024;
/// The CRM is asked every minute; after so long without an answer what we know counts as stale.
const STALE_AFTER_MS: u64 = 300_000;

/// `[crm.directory]`: numbers to clients, kept here so that the dialplan is answered at once.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectorySettings {
    /// For CRMs that have no directory of their own: a JSON file, or the address of one.
    pub from: Option<String>,
    /// How often the CRM is asked what has changed, in seconds: 10 to 86,400.
    pub every_s: u32,
    /// Which of several clients with one number is meant: the first rule that tells them apart. What is then still equal is
    /// decided by kind and age of the card, so that the answer is always the same.
    pub several: Vec<Preference>,
}

impl Default for DirectorySettings {
    fn default() -> Self {
        Self { from: None, every_s: 60, several: vec![Preference::OnDuty, Preference::MostRecent] }
    }
}

impl DirectorySettings {
    /// Everything that is wrong with it: key and remedy.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let is_good = (10..=86_400).contains(&self.every_s);
        let problem = || ("directory", format!("every_s = {}: 10 to 86400 are allowed", self.every_s));
        (!is_good).then(problem).into_iter().collect()
    }
}

/// A rule to choose by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preference {
    /// Whose manager, or deputy, is on duty.
    OnDuty,
    /// Whom somebody had to do with last.
    MostRecent,
    /// A person rather than a company.
    Person,
    /// A company rather than a person.
    Company,
}

/// What one CRM's part of the directory is made with.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name of the `[[crm]]` section.
    pub crm: String,
    pub several: Vec<Preference>,
    /// Whether the CRM can be asked about a number.
    pub answers_live: bool,
}

/// The directories of all CRMs.
#[derive(Debug)]
pub struct Directory {
    cache: RwLock<Cache>,
}

#[derive(Debug)]
struct Cache {
    numbers: Arc<Numbers>,
    devices: Devices,
    crms: Vec<OfCrm>,
}

#[derive(Debug)]
struct OfCrm {
    part: Part,
    index: Arc<Index>,
    people: Arc<People>,
    learned: HashMap<Key, Learned>,
    /// When the CRM answered last, monotonic milliseconds; `None`: never since the start.
    confirmed_ms: Option<u64>,
    started_ms: u64,
}

#[derive(Clone, Debug)]
struct Learned {
    client: Option<Client>,
    at_ms: u64,
}

impl Learned {
    fn is_fresh(&self, now: Now) -> bool {
        let keep_ms = if self.client.is_some() { LEARNED_MS } else { NOBODY_MS };
        now.mono_ms.saturating_sub(self.at_ms) < keep_ms
    }
}

/// How one directory stands, for the status page.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Standing {
    pub crm: String,
    /// Pairs of number and client.
    pub numbers: usize,
    pub weight_bytes: usize,
    /// Seconds since the CRM has answered.
    pub confirmed_s_ago: Option<u64>,
}

impl Directory {
    /// Empty directories, to be filled by [`pull`].
    pub fn new(numbers: Arc<Numbers>, parts: Vec<Part>, now: Now) -> Self {
        let of_crm = |part| OfCrm {
            part,
            index: Arc::default(),
            people: Arc::default(),
            learned: HashMap::new(),
            confirmed_ms: None,
            started_ms: now.mono_ms,
        };
        Self {
            cache: RwLock::new(Cache {
                numbers,
                devices: Devices::default(),
                crms: parts.into_iter().map(of_crm).collect(),
            }),
        }
    }

    /// Whose number is it? Microseconds.
    pub fn look_up(&self, inquiry: &Inquiry, now: Now) -> LookUp {
        self.read(|cache| {
            let Some(of_crm) = cache.of(&inquiry.crm) else { return LookUp::Nobody };
            let keys = cache.numbers.match_keys(&inquiry.number);
            let mut clients = of_crm.index.find(&keys);
            if clients.is_empty() {
                match index::key(&keys).and_then(|key| of_crm.learned.get(&key)).filter(|l| l.is_fresh(now)) {
                    Some(Learned { client: Some(client), .. }) => clients.push(client.clone()),
                    Some(Learned { client: None, .. }) => return LookUp::Nobody,
                    None if of_crm.part.answers_live => return LookUp::Miss,
                    None => return LookUp::Nobody,
                }
            }
            LookUp::Found(Box::new(cache.found(of_crm, clients, inquiry, now)))
        })
    }

    /// The CRM itself said whose number it is: remembered until the next increment brings it.
    pub fn learn(&self, inquiry: &Inquiry, client: Option<&Client>, now: Now) {
        self.write(|cache| {
            let Some(key) = index::key(&cache.numbers.match_keys(&inquiry.number)) else { return };
            let Some(of_crm) = cache.of_mut(&inquiry.crm) else { return };
            of_crm.confirmed_ms = Some(now.mono_ms);
            if of_crm.learned.len() >= LEARNED_MAX {
                of_crm.learned.clear();
            }
            of_crm.learned.insert(key, Learned { client: client.cloned(), at_ms: now.mono_ms });
        });
    }

    /// What of `client`'s manager and group is known here.
    fn complete(&self, client: Client, inquiry: &Inquiry, now: Now) -> Found {
        self.read(|cache| match cache.of(&inquiry.crm) {
            Some(of_crm) => cache.found(of_crm, vec![client], inquiry, now),
            None => Found { client, ..Found::default() },
        })
    }

    /// Whether this extension rings at this exchange: fits `[numbers] extensions`, and its device is there.
    fn rings(&self, pbx: &str, extension: &str) -> bool {
        self.read(|cache| cache.numbers.is_extension(extension) && cache.devices.is_there(pbx, extension))
    }

    /// Replaces what these numbers had.
    pub fn apply(&self, crm: &str, page: &[NumberOwners]) {
        let Some((index, numbers)) =
            self.read(|cache| Some((Arc::clone(&cache.of(crm)?.index), Arc::clone(&cache.numbers))))
        else {
            return;
        };
        let changes: Vec<Change<'_>> = page
            .iter()
            .map(|owners| Change { keys: numbers.match_keys(&owners.number), clients: &owners.clients })
            .collect();
        // Built beside the lock; only the thread that pulls this CRM changes its index.
        let next = Arc::new(index.with(&changes));
        self.write(|cache| {
            if let Some(of_crm) = cache.of_mut(crm) {
                of_crm.index = next;
                for change in &changes {
                    if let Some(key) = index::key(&change.keys) {
                        of_crm.learned.remove(&key);
                    }
                }
            }
        });
    }

    /// Replaces the users. Nobody at all is never believed.
    pub fn put_people(&self, crm: &str, people: People) {
        if people.is_empty() {
            return;
        }
        let people = Arc::new(people);
        self.write(|cache| {
            if let Some(of_crm) = cache.of_mut(crm) {
                of_crm.people = people;
            }
        });
    }

    /// The CRM has answered: what we know is what it knows.
    pub fn confirm(&self, crm: &str, now: Now) {
        self.write(|cache| {
            if let Some(of_crm) = cache.of_mut(crm) {
                of_crm.confirmed_ms = Some(now.mono_ms);
            }
        });
    }

    /// The CRM says that something changed: what was learned by asking is not believed any more.
    pub fn unlearn(&self, crm: &str) {
        self.write(|cache| {
            if let Some(of_crm) = cache.of_mut(crm) {
                of_crm.learned.clear();
            }
        });
    }

    /// `DeviceStateChange` of an exchange.
    pub fn device(&self, pbx: &str, device: &str, state: &str) {
        self.write(|cache| cache.devices.changed(pbx, device, state));
    }

    /// The link to an exchange broke: its devices count as there until it speaks again.
    pub fn link_down(&self, pbx: &str) {
        self.write(|cache| cache.devices.forget(pbx));
    }

    /// New rules about numbers. What is filed already stays filed as it was until it is pulled again.
    pub fn reload(&self, numbers: Arc<Numbers>) {
        self.write(|cache| cache.numbers = numbers);
    }

    pub fn standing(&self, now: Now) -> Vec<Standing> {
        self.read(|cache| {
            let standing = |of_crm: &OfCrm| Standing {
                crm: of_crm.part.crm.clone(),
                numbers: of_crm.index.len(),
                weight_bytes: of_crm.index.weight_bytes(),
                confirmed_s_ago: of_crm.confirmed_ms.map(|at| now.mono_ms.saturating_sub(at) / 1000),
            };
            cache.crms.iter().map(standing).collect()
        })
    }

    fn numbers(&self) -> Arc<Numbers> {
        self.read(|cache| Arc::clone(&cache.numbers))
    }

    fn read<T>(&self, work: impl FnOnce(&Cache) -> T) -> T {
        work(&self.cache.read().expect("a panic ends the process, so nobody sees a lock that was left by one"))
    }

    fn write<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        work(&mut self.cache.write().expect("a panic ends the process, so nobody sees a lock that was left by one"))
    }
}

impl Cache {
    fn of(&self, crm: &str) -> Option<&OfCrm> {
        self.crms.iter().find(|of_crm| of_crm.part.crm == crm)
    }

    fn of_mut(&mut self, crm: &str) -> Option<&mut OfCrm> {
        self.crms.iter_mut().find(|of_crm| of_crm.part.crm == crm)
    }

    /// The client that is meant, and who looks after him. `clients` is not empty.
    fn found(&self, of_crm: &OfCrm, clients: Vec<Client>, inquiry: &Inquiry, now: Now) -> Found {
        let moment = Moment { pbx: &inquiry.pbx, wall_ms: now.wall_ms, devices: &self.devices, numbers: &self.numbers };
        let responsible = |client: &Client| of_crm.people.responsible(client.user.as_deref()?, &moment);
        let others = u32::try_from(clients.len() - 1).unwrap_or(u32::MAX);
        let rank = |client: &Client| rank(client, &of_crm.part.several, || responsible(client).is_some());
        let client = if others == 0 { clients.into_iter().next() } else { clients.into_iter().min_by_key(rank) };
        let client = client.expect("there is at least one");
        let (group, group_caller_id) = client.user.as_deref().map_or((None, None), |user| of_crm.people.group(user));
        let confirmed_ms = of_crm.confirmed_ms.unwrap_or(of_crm.started_ms);
        let silent_ms = now.mono_ms.saturating_sub(confirmed_ms);
        Found {
            others,
            responsible: responsible(&client).map(str::to_owned),
            group: group.map(str::to_owned),
            group_caller_id: group_caller_id.map(str::to_owned),
            stale_s: if silent_ms >= STALE_AFTER_MS { silent_ms / 1000 } else { 0 },
            client,
        }
    }
}

/// The lowest is meant. Equal for no two different cards.
fn rank(client: &Client, several: &[Preference], is_on_duty: impl Fn() -> bool) -> (Vec<u32>, u8, usize, String) {
    let is_company = client.module == "Accounts";
    let by_rule = |rule: &Preference| match rule {
        Preference::OnDuty => u32::from(!is_on_duty()),
        Preference::MostRecent => u32::MAX - client.contacted_at_s,
        Preference::Person => u32::from(is_company),
        Preference::Company => u32::from(!is_company),
    };
    let by_module = match client.module.as_str() {
        "Contacts" => 0,
        "Accounts" => 1,
        "Leads" => 2,
        _ => 3,
    };
    // Ids are numbers in vTiger: the older card has the shorter, then the lower one.
    (several.iter().map(by_rule).collect(), by_module, client.id.len(), client.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::NumbersSettings;

    const T0: Now = Now { wall_ms: 1_795_341_600_000, mono_ms: 1_000_000 };

    fn directory(several: &[Preference]) -> Directory {
        let settings = NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() };
        let part = Part { crm: "vtiger".to_owned(), several: several.to_vec(), answers_live: true };
        let directory = Directory::new(Arc::new(Numbers::new(&settings).expect("good")), vec![part], T0);
        let users = include_str!("../../../tests/wire/calls/users.answer.json");
        directory.put_people("vtiger", People::new(&serde_json::from_str(users).expect("the example of the wire")));
        directory
    }

    fn client(module: &str, id: &str, user: &str, contacted_at_s: u32) -> Client {
        let (module, id, user) = (module.to_owned(), id.to_owned(), Some(user.to_owned()));
        Client { module, id, user, contacted_at_s, name: "Имя".to_owned(), caller_id: None }
    }

    fn owned(clients: &[Client]) -> [NumberOwners; 1] {
        [NumberOwners { number: "+79161234567".to_owned(), clients: clients.to_vec() }]
    }

    fn inquiry() -> Inquiry {
        let (crm, pbx, number) = ("vtiger".to_owned(), "msk".to_owned(), "8 916 123-45-67".to_owned());
        Inquiry { crm, pbx, number, ..Inquiry::default() }
    }

    fn chosen(directory: &Directory) -> String {
        match directory.look_up(&inquiry(), T0) {
            LookUp::Found(found) => found.client.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_several_clients_the_rules_choose_one_and_always_the_same() {
        use Preference::{Company, MostRecent, OnDuty, Person};
        // User 7 may not log in any more.
        let clients = [
            client("Contacts", "20", "7", 500),
            client("Accounts", "9", "5", 100),
            client("Contacts", "100", "6", 100),
        ];
        for (several, want) in [
            (&[OnDuty, MostRecent][..], "100"),
            (&[MostRecent], "20"),
            (&[MostRecent, OnDuty], "20"),
            (&[OnDuty, Company], "9"),
            (&[Company], "9"),
            (&[Person, OnDuty], "100"),
            (&[], "20"),
        ] {
            let mut order = clients.to_vec();
            for _ in 0..3 {
                order.rotate_left(1);
                let directory = directory(several);
                directory.apply("vtiger", &owned(&order));
                assert_eq!(chosen(&directory), want, "{several:?}");
            }
        }
    }

    #[test]
    fn the_rule_of_duty_follows_the_phones() {
        let directory = directory(&[Preference::OnDuty]);
        directory.apply("vtiger", &owned(&[client("Contacts", "1", "6", 0), client("Leads", "2", "5", 0)]));
        assert_eq!(chosen(&directory), "1");
        directory.device("msk", "PJSIP/102", "UNAVAILABLE");
        assert_eq!(chosen(&directory), "2");
        directory.link_down("msk");
        assert_eq!(chosen(&directory), "1");
    }

    #[test]
    fn what_the_crm_said_is_remembered_for_a_while() {
        let directory = directory(&[]);
        assert_eq!(directory.look_up(&inquiry(), T0), LookUp::Miss);
        directory.learn(&inquiry(), None, T0);
        assert_eq!(directory.look_up(&inquiry(), T0.plus_ms(NOBODY_MS - 1)), LookUp::Nobody);
        assert_eq!(directory.look_up(&inquiry(), T0.plus_ms(NOBODY_MS)), LookUp::Miss);
        directory.learn(&inquiry(), Some(&client("Leads", "3", "5", 0)), T0);
        assert!(matches!(directory.look_up(&inquiry(), T0.plus_ms(LEARNED_MS - 1)), LookUp::Found(_)));
        directory.unlearn("vtiger");
        assert_eq!(directory.look_up(&inquiry(), T0), LookUp::Miss);
        for n in 0..LEARNED_MAX * 3 {
            let number = format!("+7916{n:07}");
            directory.learn(&Inquiry { number, ..inquiry() }, None, T0);
        }
        directory.read(|cache| assert!(cache.crms[0].learned.len() <= LEARNED_MAX));
    }

    #[test]
    fn a_stale_answer_is_given_and_says_so() {
        let directory = directory(&[]);
        directory.apply("vtiger", &owned(&[client("Leads", "3", "5", 0)]));
        let stale_s = |now| match directory.look_up(&inquiry(), now) {
            LookUp::Found(found) => found.stale_s,
            other => panic!("{other:?}"),
        };
        assert_eq!(stale_s(T0.plus_ms(STALE_AFTER_MS - 1)), 0);
        assert_eq!(stale_s(T0.plus_ms(3_600_000)), 3_600);
        directory.confirm("vtiger", T0.plus_ms(3_600_000));
        assert_eq!(stale_s(T0.plus_ms(3_600_000)), 0);
    }

    #[test]
    fn an_answer_without_users_changes_nothing() {
        let directory = directory(&[]);
        directory.apply("vtiger", &owned(&[client("Leads", "3", "5", 0)]));
        directory.put_people("vtiger", People::default());
        let LookUp::Found(found) = directory.look_up(&inquiry(), T0) else { panic!("not found") };
        assert_eq!((found.responsible.as_deref(), found.group.as_deref()), (Some("107"), Some("3")));
    }
}
