//! Looks at this machine: database, disk, our own ports.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::cli::doctor::facts::{Here, Port};
use crate::config::Config;
use crate::daemon::control;
#[cfg(feature = "mongodb")]
use crate::{daemon::history::target, store::StoreKind, store::mongodb::reader::Reader};

/// A service of ours on this machine answers within its budget of 0.3 s.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn look(config: &Config) -> Here {
    let database = &config.store.path;
    let folder = database.parent().unwrap_or(Path::new("."));
    let writable = rustix::fs::access(folder, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
        .map_err(|error| format!("{}: {error}", folder.display()));
    Here {
        is_running: UnixStream::connect(control::socket_path(database)).is_ok(),
        database: database.clone(),
        database_folder: Some(writable),
        mongodb: mongodb(config),
        free_mb: rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >> 20),
        alarm_below_mb: config.alert.disk_free_mb,
        agi: config.agi.listen.iter().map(|address| (address.to_string(), talk(&address.to_string()))).collect(),
    }
}

/// Asks the MongoDB that keeps the history, where one does. It answers or is given up within the driver's time-outs.
#[cfg(feature = "mongodb")]
fn mongodb(config: &Config) -> Option<Result<u64, String>> {
    (config.store.kind == StoreKind::Mongodb).then(|| {
        let reader = Reader::open(&target(config)).map_err(|error| error.to_string())?;
        reader.about().map_err(|error| error.to_string())
    })
}

/// Without the feature a configuration that wants it is not good.
#[cfg(not(feature = "mongodb"))]
fn mongodb(_: &Config) -> Option<Result<u64, String>> {
    None
}

/// Asks as a dialplan would, of a caller without a number.
fn talk(address: &str) -> Port {
    let Some(at) = address.to_socket_addrs().ok().and_then(|mut all| all.next()) else {
        return Port::Unreachable("it is no address".to_owned());
    };
    // Listening everywhere includes here.
    let at = match at.ip() {
        ip if ip.is_unspecified() => (std::net::Ipv4Addr::LOCALHOST, at.port()).into(),
        _ => at,
    };
    let mut socket = match TcpStream::connect_timeout(&at, PATIENCE) {
        Ok(socket) => socket,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Port::Free,
        Err(error) => return Port::Unreachable(error.to_string()),
    };
    let question = format!(
        "agi_network: yes\nagi_network_script: responsible\nagi_request: agi://{address}/responsible\n\
         agi_channel: Local/pinconnector-doctor\nagi_uniqueid: pinconnector-doctor\nagi_callerid: unknown\n\n"
    );
    let asked = socket
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| socket.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| socket.write_all(question.as_bytes()));
    let mut first = [0; 3];
    match asked.and_then(|()| socket.read_exact(&mut first)) {
        Ok(()) if matches!(&first, b"SET" | b"GET") => Port::Answers,
        _ => Port::Silent,
    }
}

/// Whether something on this machine listens at this port on every address, where `host` is this machine.
pub fn listens_everywhere(host: &str, port: u16) -> bool {
    let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // `  0: 00000000:13AE 00000000:0000 0A ...`: local address and port in hex, state 0A is listening.
    let wanted = format!(":{port:04X}");
    is_here
        && ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.lines().skip(1).any(|line| {
                let mut words = line.split_whitespace().skip(1);
                let (local, state) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
                state == "0A" && local.strip_suffix(&wanted).is_some_and(|ip| ip.bytes().all(|byte| byte == b'0'))
            })
        })
}
