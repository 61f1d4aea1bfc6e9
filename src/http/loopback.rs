//! Whose program is at the other end of a loopback connection: a person's, or a service's such as a reverse proxy's.
//!
//! Linux names the owner of every socket in `/proc/self/net/tcp` and `tcp6` (`/proc/net` is a link to it, which a service
//! that sees nothing of /proc but processes does not have). A proxy that runs under an account of its own gives
//! itself away so, whatever it passes on.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The first account that Linux distributions give to a person, and `nobody`, who is none.
const PERSON_UID_MIN: u32 = 1000;
const NOBODY_UID: u32 = 65_534;

/// Whether the peer's socket, connected with ours at `own`, belongs to root, to a person, or to whoever runs this service. No
/// where it cannot be told.
pub fn is_person(peer: SocketAddr, own: SocketAddr) -> bool {
    let look = || {
        ["/proc/self/net/tcp", "/proc/self/net/tcp6"].iter().find_map(|path| {
            let table = std::fs::read_to_string(path).ok()?;
            owner_of(&table, peer, own)
        })
    };
    // The kernel writes the table in pieces; while sockets come and go, one may be missed between two of them.
    let owner = (0..3).find_map(|_| look());
    owner.is_some_and(|uid| {
        uid == 0 || (uid >= PERSON_UID_MIN && uid != NOBODY_UID) || uid == rustix::process::geteuid().as_raw()
    })
}

/// The owner of the socket whose own address is `peer` and whose other end is `own`, by a table as the kernel writes it. Both
/// count: connections to different servers may begin at the same port.
fn owner_of(table: &str, peer: SocketAddr, own: SocketAddr) -> Option<u32> {
    let (near, far) = (spellings(peer), spellings(own));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1)?;
        let remote = fields.next()?;
        // Then state (01: established), queues, timer, retransmits, owner.
        let state = fields.next()?;
        let uid = fields.nth(3)?;
        let is = |spellings: &[String], said: &str| spellings.iter().any(|spelling| spelling == said);
        (state == "01" && is(&near, local) && is(&far, remote)).then(|| uid.parse().ok())?
    })
}

/// An address as the kernel spells it: 32-bit words as they lie in memory. An IPv4 one may stand in the table of IPv6, too.
fn spellings(address: SocketAddr) -> Vec<String> {
    let spell = |bytes: &[u8]| {
        let mut text = String::new();
        for word in bytes.chunks_exact(4) {
            let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            let _ = write!(text, "{word:08X}");
        }
        format!("{text}:{:04X}", address.port())
    };
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => vec![spell(&ip.octets()), spell(&ip.to_ipv6_mapped().octets())],
        IpAddr::V6(ip) => vec![spell(&ip.octets())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_owner_stands_in_the_kernel_s_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:20BF 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0 0 10 0\n\
             1: 0100007F:20BF 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000   107        0 12 1 0 20 4 30 10 -1\n\
             2: 0100007F:D2F0 0100007F:0CEA 01 00000000:00000000 00:00000000 00000000  1000        0 13 1 0 20 4 30 10 -1\n\
             3: 0100007F:D2F0 0100007F:20BF 01 00000000:00000000 00:00000000 00000000    33        0 14 1 0 20 4 30 10 -1\n";
        let of =
            |text: &str| owner_of(table, text.parse().expect("an address"), "127.0.0.1:8383".parse().expect("ours"));
        assert_eq!(of("127.0.0.1:54000"), Some(33));
        assert_eq!(of("[::ffff:127.0.0.1]:54000"), Some(33));
        assert_eq!(of("127.0.0.1:54001"), None);
        assert_eq!(spellings("[::1]:80".parse().expect("an address")), ["00000000000000000000000001000000:0050"]);
    }

    #[test]
    fn we_are_no_stranger_to_ourselves() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let own = listener.local_addr().expect("bound");
            let _client = std::net::TcpStream::connect(own).expect("connects");
            let (_accepted, peer) = listener.accept().expect("accepts");
            assert!(is_person(peer, own), "{peer}");
        }
    }
}
