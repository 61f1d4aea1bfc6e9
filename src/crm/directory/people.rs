//! Who looks after a client now: users, their extensions, deputies and groups, and which devices are there. Pure.

use std::collections::{HashMap, HashSet};

use crate::crm::calls_module::UsersAnswer;
use crate::phone::Numbers;

/// Of one CRM.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct People {
    users: HashMap<Box<str>, Person>,
    groups: HashMap<Box<str>, Group>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Person {
    is_active: bool,
    extensions: Vec<Extension>,
    deputy: Option<Box<str>>,
    /// Those that have something to say, the first that counts first.
    groups: Vec<Box<str>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Extension {
    /// Absent: on every exchange.
    pbx: Option<Box<str>>,
    number: Box<str>,
    /// Wall-clock milliseconds.
    until_ms: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Group {
    caller_id: Option<String>,
}

/// Devices that Asterisk says are not there: (exchange, endpoint). What it has not spoken of is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Devices {
    absent: HashMap<Box<str>, HashSet<Box<str>>>,
}

/// More are not remembered: no exchange has so many phones, and a name is not worth the memory.
const ABSENT_MAX: usize = 10_000;

impl Devices {
    /// `DeviceStateChange`: `PJSIP/101`, `UNAVAILABLE`. Only what calls a phone by its endpoint is one.
    pub fn changed(&mut self, pbx: &str, device: &str, state: &str) {
        let Some((technology, endpoint)) = device.split_once('/') else { return };
        if technology == "Local" {
            return;
        }
        let endpoints = self.absent.entry(pbx.into()).or_default();
        if matches!(state, "UNAVAILABLE" | "INVALID") {
            if endpoints.len() < ABSENT_MAX {
                endpoints.insert(endpoint.into());
            }
        } else {
            endpoints.remove(endpoint);
        }
    }

    /// The link to an exchange broke: nothing is known of its devices.
    pub fn forget(&mut self, pbx: &str) {
        self.absent.remove(pbx);
    }

    pub fn is_there(&self, pbx: &str, endpoint: &str) -> bool {
        self.absent.get(pbx).is_none_or(|endpoints| !endpoints.contains(endpoint))
    }
}

/// At which exchange and when it is asked who is on duty.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub pbx: &'a str,
    pub wall_ms: i64,
    pub devices: &'a Devices,
    pub numbers: &'a Numbers,
}

impl People {
    pub fn new(answer: &UsersAnswer) -> Self {
        let priority: HashMap<&str, u32> =
            answer.groups.iter().map(|group| (group.group.as_str(), group.priority.unwrap_or(u32::MAX))).collect();
        let person = |user: &crate::crm::calls_module::User| {
            let mut groups: Vec<Box<str>> = user
                .groups
                .iter()
                .filter(|group| priority.contains_key(group.as_str()))
                .map(|g| (**g).into())
                .collect();
            groups.sort_by_key(|group| (priority[&**group], group.clone()));
            let extensions = user.extensions.iter().map(|extension| Extension {
                pbx: extension.pbx.as_deref().map(Into::into),
                number: extension.extension.as_str().into(),
                until_ms: extension.until.map(|until| until.0),
            });
            Person {
                is_active: user.active,
                extensions: extensions.filter(|extension| !extension.number.is_empty()).collect(),
                deputy: user.deputy.as_deref().map(Into::into),
                groups,
            }
        };
        Self {
            users: answer.users.iter().map(|user| (user.user.as_str().into(), person(user))).collect(),
            groups: answer
                .groups
                .iter()
                .map(|group| (group.group.as_str().into(), Group { caller_id: group.caller_id.clone() }))
                .collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The extension that rings the user now, if he is on duty himself: may log in, has an extension at this exchange, and its
    /// device is there.
    pub fn on_duty(&self, user: &str, moment: &Moment<'_>) -> Option<&str> {
        let person = self.users.get(user).filter(|person| person.is_active)?;
        let rings = |extension: &&Extension| {
            extension.pbx.as_deref().is_none_or(|pbx| pbx == moment.pbx)
                && extension.until_ms.is_none_or(|until| moment.wall_ms < until)
                && moment.numbers.is_extension(&extension.number)
                && moment.devices.is_there(moment.pbx, &extension.number)
        };
        person.extensions.iter().find(rings).map(|extension| &*extension.number)
    }

    /// The extension of the user, else of his deputy. A deputy's deputy is nobody's: somebody would have to say who.
    pub fn responsible(&self, user: &str, moment: &Moment<'_>) -> Option<&str> {
        self.on_duty(user, moment).or_else(|| {
            let deputy = self.users.get(user)?.deputy.as_deref()?;
            self.on_duty(deputy, moment)
        })
    }

    /// The user's group that counts, and the number it presents: his first group's that has one.
    pub fn group(&self, user: &str) -> (Option<&str>, Option<&str>) {
        let Some(person) = self.users.get(user) else { return (None, None) };
        let caller_id = person.groups.iter().find_map(|group| self.groups.get(group)?.caller_id.as_deref());
        (person.groups.first().map(|group| &**group), caller_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::NumbersSettings;

    fn people() -> People {
        let answer = include_str!("../../../tests/wire/calls/users.answer.json");
        People::new(&serde_json::from_str(answer).expect("the example of the wire"))
    }

    fn numbers() -> Numbers {
        Numbers::new(&NumbersSettings::default()).expect("good")
    }

    /// 2026-11-22T10:00Z; the example's extension of today ends at 20:00.
    const MORNING_MS: i64 = 1_795_341_600_000;
    const NIGHT_MS: i64 = MORNING_MS + 11 * 3_600_000;

    #[test]
    fn the_manager_rings_where_he_sits_today() {
        let (people, numbers, devices) = (people(), numbers(), Devices::default());
        let at = |pbx, wall_ms| Moment { pbx, wall_ms, devices: &devices, numbers: &numbers };
        assert_eq!(people.responsible("5", &at("msk", MORNING_MS)), Some("107"));
        assert_eq!(people.responsible("5", &at("msk", NIGHT_MS)), Some("101"));
        // 107 is in Moscow only.
        assert_eq!(people.responsible("5", &at("spb", MORNING_MS)), Some("101"));
        assert_eq!(people.responsible("7", &at("msk", MORNING_MS)), None);
        assert_eq!(people.responsible("99", &at("msk", MORNING_MS)), None);
    }

    #[test]
    fn who_is_not_there_is_stood_in_for() {
        let (people, numbers) = (people(), numbers());
        let mut devices = Devices::default();
        devices.changed("msk", "PJSIP/107", "UNAVAILABLE");
        fn at<'a>(devices: &'a Devices, numbers: &'a Numbers) -> Moment<'a> {
            Moment { pbx: "msk", wall_ms: MORNING_MS, devices, numbers }
        }
        assert_eq!(people.responsible("5", &at(&devices, &numbers)), Some("101"));
        devices.changed("msk", "PJSIP/101", "UNAVAILABLE");
        assert_eq!(people.responsible("5", &at(&devices, &numbers)), Some("102"));
        devices.changed("msk", "PJSIP/102", "INVALID");
        assert_eq!(people.responsible("5", &at(&devices, &numbers)), None);
        devices.changed("msk", "PJSIP/101", "NOT_INUSE");
        devices.changed("msk", "Queue:sales", "UNAVAILABLE");
        devices.changed("msk", "Local/101@x", "UNAVAILABLE");
        assert_eq!(people.responsible("5", &at(&devices, &numbers)), Some("101"));
        // Another exchange's 101 is another phone.
        devices.changed("spb", "PJSIP/101", "UNAVAILABLE");
        assert_eq!(people.responsible("5", &at(&devices, &numbers)), Some("101"));
    }

    #[test]
    fn the_first_group_counts_and_gives_its_number() {
        let people = people();
        assert_eq!(people.group("5"), (Some("3"), Some("+74951234500")));
        assert_eq!(people.group("7"), (None, None));
        assert_eq!(people.group("99"), (None, None));
    }
}
