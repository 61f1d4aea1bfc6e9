//! PINconnector joins an Asterisk telephone exchange to vTiger CRM: every call becomes a record, and none is lost.
//!
//! # The way of the data
//!
//! ```text
//! Asterisk ─AMI bytes─▶ ami/codec ─Message─▶ ami/parse ─asterisk::Event─┐
//!                                                                       ▼ daemon/call_state: the one thread with state
//!                              asterisk::Action ◀─ Effect::Ask ─ call::Calls::handle(now, Input) -> Vec<Effect>
//!                                     │                                 │ Effect::Save
//!                    ami/link ◀───────┘                                 ▼
//!                                  outbox decides ─ store/keeper: committed, then ─Batch─▶ crm/sender ─HTTP─▶ CRM
//! ```
//!
//! # Reading order
//!
//! 1. [`asterisk`], the vocabulary: ids, channel names, statuses, events, actions.
//! 2. [`call`], the core: what is going on and what follows. [`call::record`] is what everybody else sees of a call.
//! 3. [`outbox`]: what must reach whom, when to try again, when to give up.
//! 4. The adapters, which never know each other: [`ami`] (Asterisk), [`cdr`] (what Asterisk itself wrote of its calls), [`store`] (the database), [`crm`] (the CRMs),
//!    [`recordings`] (the files of what was said).
//! 5. The shell: [`config`] puts the settings together, [`daemon`] wires threads and queues ([`daemon::queues`] has all of
//!    them in a table), [`cli`] has the commands.
//!
//! [`clock`], [`lease`] (who of two connectors may write), [`phone`] (numbers), [`recording_file`] (where one lies), [`secret`],
//! [`sign`] and [`threads`] are leaves, which everybody may use.
//!
//! # What always holds
//!
//! - The core has no I/O, no clock, no thread and no lock; time comes in, effects go out. `replay` and the tests run the very
//!   same code as the service.
//! - What must arrive is committed before it is sent. Sending twice is harmless: receivers keep the highest revision.
//! - Every piece of state has one owner thread; stopping is dropping a sender; nobody waits in a circle.
//! - Everything has a limit, and an answer to "and when it is reached?".
//!
//! `tests/architecture.rs` holds who may import whom, and that what is called pure is.

pub mod agi;
pub mod ami;
pub mod asterisk;
pub mod call;
pub mod cdr;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod crm;
pub mod daemon;
pub mod http;
pub mod lease;
pub mod outbox;
pub mod phone;
pub mod recording_file;
pub mod recordings;
pub mod secret;
pub mod sign;
pub mod store;
pub mod threads;
