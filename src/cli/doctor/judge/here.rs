//! This machine: database, disk, the port the dialplan asks at.

use super::super::facts::{Here, Port};
use super::super::finding::{Finding, Findings};

pub fn judge(here: &Here, found: &mut Vec<Finding>) {
    let mut say = Findings::about("this machine".to_owned(), found);
    if here.is_running {
        say.ok("service", "it runs");
    } else {
        say.warning("service", "it does not run: no calls are recorded now", "systemctl start pinconnector");
    }
    match &here.database_folder {
        Some(Ok(())) => say.ok("database", format!("{}: its folder can be written to", here.database.display())),
        Some(Err(why)) => say.failure(
            "database",
            format!("no database can be kept: {why}"),
            "make the folder and give it to the service's user (chown pinconnector:), or set [store] path",
        ),
        None => {}
    }
    match &here.mongodb {
        None => {}
        Some(Ok(count)) => say.ok("mongodb", format!("it answers and keeps about {count} conversations")),
        Some(Err(why)) => say.failure(
            "mongodb",
            format!("the history cannot be reached: {why}"),
            "check [store.mongodb] uri, the server and its users; nothing is lost meanwhile, it is all kept here and goes there later",
        ),
    }
    if let Some(free_mb) = here.free_mb {
        if free_mb < here.alarm_below_mb {
            say.warning(
                "disk",
                format!("{free_mb} MB are free where the database lies"),
                "make room: old recordings, logs",
            );
        } else {
            say.ok("disk", format!("{free_mb} MB are free"));
        }
    }
    for (address, port) in &here.agi {
        match (port, here.is_running) {
            (Port::Answers, _) => say.ok("agi", format!("the dialplan is answered at {address}")),
            (Port::Free, false) => say.ok("agi", format!("{address} is free for the service")),
            (Port::Free, true) => say.failure(
                "agi",
                format!("the service runs, but nobody listens at {address}"),
                "it runs with another configuration: restart it",
            ),
            (Port::Silent, _) => say.failure(
                "agi",
                format!("somebody listens at {address} and does not answer as we do"),
                "another program has the port (ss -ltnp), or the peer is not in [agi] allow; set [agi] listen to a free one",
            ),
            (Port::Unreachable(why), _) => {
                say.failure("agi", format!("{address}: {why}"), "[agi] listen must name addresses of this machine");
            }
        }
    }
}
