//! An exchange at the socket: recorded stories, played as if they happened now.

use std::net::SocketAddr;
use std::time::Duration;

use pinconnector::ami::stage::{Pace, Programme, Stage};

use super::traces;

/// Plays these stories in turn, a new one every `every`, `pace` times as fast as they were recorded.
pub fn exchange(stories: &[&str], plays: u32, every: Duration, pace: f64) -> Stage {
    exchange_at(SocketAddr::from(([127, 0, 0, 1], 0)), stories, plays, every, pace)
}

/// The same at a known address.
pub fn exchange_at(listen: SocketAddr, stories: &[&str], plays: u32, every: Duration, pace: f64) -> Stage {
    let recordings = stories.iter().flat_map(|name| traces::load(name).parts).collect();
    let programme = Programme {
        recordings,
        plays,
        start_every: every,
        pace: Pace::Times(pace),
        distinct: true,
        user: "pinconnector".to_owned(),
        secret: pinconnector::secret::Secret::new("a-secret-of-twenty-bytes"),
    };
    Stage::open(listen, programme).expect("a port of our own")
}
