//! Everything that talks to a CRM.
//!
//! One [`Crm`] is one `[[crm]]` section of the configuration, checked and opened. Three kinds of interface, each a file
//! that turns our types into bytes and the answer's bytes into our types: [`webhook`], [`calls_module`], [`pbxmanager`].
//! [`client`] carries the bytes over HTTP, [`answer`] says what a failure means, [`sender`] is what the `crm-sender-N`
//! threads run: batch in, outcome out; [`courier`] is the conversation beside the records: commands in, reports out;
//! [`trial`] tries a CRM out.
//!
//! What is left to others: which record goes to which CRM (`call/`), when and in which order it is sent, and what becomes
//! of a refused one (`outbox/`, `store/`).

mod addresses;
pub mod answer;
pub mod calls_module;
pub mod client;
pub mod courier;
pub mod directory;
pub mod log;
pub mod pbxmanager;
pub mod sender;
pub mod settings;
pub mod trial;
pub mod webhook;

pub use client::{Client, Interrupter};
pub use log::{LastRequests, RequestLine, RequestLog};
pub use settings::{Crm, CrmSettings, Kind, Problem};
