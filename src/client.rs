//! Who has a number: the words in which the dialplan's questions, the contact directory and its place in the database
//! speak of clients. Types only; who answers, from where and how fast is decided by those who use them.

use serde::{Deserialize, Serialize};

/// A client's card, as far as the dialplan needs it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Client {
    /// Kind of card, as vTiger names it: `Contacts`, `Leads`, `Accounts`.
    #[serde(default)]
    pub module: String,
    pub id: String,
    #[serde(default)]
    pub name: String,
    /// The client's manager: a user of the CRM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The number of ours to present to this client, by his card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<String>,
    /// When somebody last had to do with him, unix seconds; 0 is unknown.
    #[serde(default)]
    pub contacted_at_s: u32,
}

/// All clients of one number as they stand now; none: it is nobody's any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberOwners {
    /// E.164 with `+`, or whatever digits the CRM has.
    pub number: String,
    pub clients: Vec<Client>,
}

/// A question of the dialplan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inquiry {
    /// Name of the `[[crm]]` section that is asked.
    pub crm: String,
    /// Name of the `[[asterisk]]` section that asks.
    pub pbx: String,
    /// The client's number, as Asterisk gave it.
    pub number: String,
    /// The number of ours he called.
    pub did: Option<String>,
    /// The extension that calls him.
    pub from: Option<String>,
}

/// What is known of a number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    pub client: Client,
    /// How many more clients have the number.
    pub others: u32,
    /// The extension to ring: the manager's, else his deputy's, if one of them is on duty.
    pub responsible: Option<String>,
    /// The manager's group.
    pub group: Option<String>,
    /// The number that group presents.
    pub group_caller_id: Option<String>,
    /// For so many seconds the CRM has confirmed nothing; 0 while it answers.
    pub stale_s: u64,
}

/// What the directory says of a number, at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LookUp {
    Found(Box<Found>),
    /// It is nobody's, as the CRM said a moment ago, or there is nobody to ask.
    Nobody,
    /// Not known here; the CRM itself may know it.
    Miss,
}

/// Where the directory outlives a restart. One per CRM; every method is one short piece of work.
pub trait Shelf: Send {
    /// What was kept, a number at a time.
    ///
    /// # Errors
    /// In the operator's words.
    fn each(&mut self, take: &mut dyn FnMut(NumberOwners)) -> Result<Kept, String>;

    /// Replaces the owners of these numbers and the cursor. `walk` marks them as seen in a full walk.
    ///
    /// # Errors
    /// In the operator's words; nothing of it is kept then.
    fn put(&mut self, page: &[NumberOwners], cursor: &str, walk: Option<i64>) -> Result<(), String>;

    /// A full walk is over: forgets the numbers it has not seen, and names them.
    ///
    /// # Errors
    /// In the operator's words.
    fn sweep(&mut self, walk: i64, gone: &mut dyn FnMut(&str)) -> Result<(), String>;

    /// Replaces what is known of the users, opaque here.
    ///
    /// # Errors
    /// In the operator's words.
    fn put_users(&mut self, users: &str) -> Result<(), String>;
}

/// What a [`Shelf`] holds beside the numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// Where to go on asking the CRM; empty: from the beginning.
    pub cursor: String,
    /// The users as they were put, or empty.
    pub users: String,
}
