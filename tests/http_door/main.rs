//! HTTP from the outside: real sockets, a played office behind it.

mod clicks;
mod events;
mod page;
mod recordings;
mod robust;
mod stage;
