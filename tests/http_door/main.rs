//! HTTP from the outside: real sockets, a played office behind it.

mod clicks;
mod events;
mod page;
mod proxy;
mod recordings;
mod robust;
mod stage;
