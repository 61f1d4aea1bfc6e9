//! Who sits in front of the status page: logins, sessions, monitoring tokens, and the exception for this very machine.
//!
//! Sessions live in memory: after a restart people log in again. Passwords are verified by an errand thread; what comes of it
//! is decided here.

use std::collections::HashMap;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::request::Request;
use super::settings::{HttpSettings, Role};
use crate::clock::Now;
use crate::sign;

pub const COOKIE: &str = "pinconnector";
const SESSIONS_MAX: usize = 256;
/// So many failures of one address or one name within [`FAILURES_MS`] close the door for them.
const FAILURES_MAX: usize = 8;
const FAILURES_MS: u64 = 15 * 60_000;
/// Names and addresses whose failures are remembered at once.
const SUSPECTS_MAX: usize = 4096;

/// Somebody who may see the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visitor {
    pub name: String,
    pub role: Role,
}

#[derive(Debug)]
struct Session {
    visitor: Visitor,
    until_ms: u64,
}

#[derive(Debug)]
pub struct SignIn {
    settings: HttpSettings,
    /// By the SHA-256 of what stands in the cookie, so that memory holds nothing that opens the door.
    sessions: HashMap<[u8; 32], Session>,
    failures: HashMap<String, Vec<u64>>,
}

impl SignIn {
    pub fn new(settings: HttpSettings) -> Self {
        Self { settings, sessions: HashMap::new(), failures: HashMap::new() }
    }

    /// New settings: who is no longer a user is logged out.
    pub fn reload(&mut self, settings: HttpSettings) {
        self.settings = settings;
        let users = &self.settings.user;
        self.sessions.retain(|_, s| users.iter().any(|u| u.name == s.visitor.name && u.role == s.visitor.role));
    }

    /// Who sent this request, if he may see the page.
    pub fn visitor(&self, request: &Request, now: Now) -> Option<Visitor> {
        if let Some(bearer) = request.header("authorization").and_then(|said| said.strip_prefix("Bearer ")) {
            let mut found = None;
            for token in &self.settings.token {
                if sign::same_secret(token.secret.expose(), bearer.trim()) {
                    found = Some(Visitor { name: token.name.clone(), role: token.role });
                }
            }
            return found;
        }
        let session = cookie(request).and_then(|text| self.sessions.get(&digest(text)));
        if let Some(session) = session.filter(|session| now.mono_ms < session.until_ms) {
            return Some(session.visitor.clone());
        }
        let is_local = self.settings.local_without_login
            && is_at_this_machine(request)
            && super::loopback::is_person(request.peer, request.own);
        is_local.then(|| Visitor { name: "local".to_owned(), role: Role::Admin })
    }

    /// The hash to verify a password against, and the role it would open. Of an unknown user it is nobody's hash, so that
    /// the time does not tell who exists.
    pub fn hash_of(&self, name: &str) -> (String, Option<Role>) {
        match self.settings.user.iter().find(|user| user.name == name) {
            Some(user) => (user.password_hash.expose().to_owned(), Some(user.role)),
            None => (super::passwords::NOBODY.to_owned(), None),
        }
    }

    pub fn has_users(&self) -> bool {
        !self.settings.user.is_empty()
    }

    /// Whether a password of this name from this address may be tried now.
    pub fn may_try(&mut self, name: &str, address: IpAddr, now: Now) -> bool {
        let recent = |at: &u64| now.mono_ms.saturating_sub(*at) < FAILURES_MS;
        if self.failures.len() >= SUSPECTS_MAX {
            self.failures.retain(|_, times| times.iter().any(recent));
        }
        [format!("name {name}"), format!("address {address}")].iter().all(|suspect| {
            let failed = self.failures.get(suspect).map_or(0, |times| times.iter().filter(|at| recent(at)).count());
            failed < FAILURES_MAX
        }) && self.failures.len() < SUSPECTS_MAX
    }

    pub fn failed(&mut self, name: &str, address: IpAddr, now: Now) {
        for suspect in [format!("name {name}"), format!("address {address}")] {
            let times = self.failures.entry(suspect).or_default();
            times.retain(|at| now.mono_ms.saturating_sub(*at) < FAILURES_MS);
            times.push(now.mono_ms);
        }
    }

    /// They knew the password in the end: the failures before it are forgotten.
    pub fn forgive(&mut self, name: &str, address: IpAddr) {
        self.failures.remove(&format!("name {name}"));
        self.failures.remove(&format!("address {address}"));
    }

    /// Opens a session; gives the cookie.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn open(&mut self, name: &str, role: Role, is_tls: bool, now: Now) -> Result<String, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let text = sign::hex(&random);
        let hours = u64::from(self.settings.login_hours.clamp(1, 24 * 366));
        self.sessions.retain(|_, session| now.mono_ms < session.until_ms);
        if self.sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = self.sessions.iter().min_by_key(|(_, s)| s.until_ms).map(|(key, _)| *key)
        {
            self.sessions.remove(&oldest);
        }
        let visitor = Visitor { name: name.to_owned(), role };
        let until_ms = now.mono_ms.saturating_add(hours * 3_600_000);
        self.sessions.insert(digest(&text), Session { visitor, until_ms });
        let secure = if is_tls { "; Secure" } else { "" };
        Ok(format!("{COOKIE}={text}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", hours * 3600))
    }

    pub fn close(&mut self, request: &Request) {
        if let Some(text) = cookie(request) {
            self.sessions.remove(&digest(text));
        }
    }
}

/// What takes the cookie away again.
pub fn no_cookie() -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// The address a person comes from: behind a proxy on this machine, what the proxy says.
pub fn address_of(request: &Request) -> IpAddr {
    let peer = request.peer.ip().to_canonical();
    let forwarded = request.header("x-forwarded-for").and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
    forwarded.filter(|_| peer.is_loopback()).unwrap_or(peer)
}

/// The browser's connection is TLS, ours or a proxy's.
pub fn is_secure(request: &Request) -> bool {
    let proxied = request.peer.ip().to_canonical().is_loopback()
        && request.header("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    request.is_tls || proxied
}

/// Whoever sends this sits at this machine, as far as a request can tell. A reverse proxy comes from loopback, too: it
/// gives itself away by a forwarding header, by the Host it passes on, or (nginx, where nobody told it otherwise) by
/// HTTP/1.0 and the address in its `proxy_pass` as Host; one that hides all that, by the account it runs under
/// ([`super::loopback`]). A browser's page from elsewhere gives itself away by its origin.
pub fn is_at_this_machine(request: &Request) -> bool {
    const PROXY: [&str; 7] =
        ["forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-host"];
    let is_localhost = |authority: &str| {
        let name = authority.rsplit_once(':').map_or(authority, |(name, port)| {
            if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) { name } else { authority }
        });
        name.eq_ignore_ascii_case("localhost")
    };
    let of_url = |url: &str| {
        let rest = url.split_once("://").map(|(_, rest)| rest);
        rest.is_some_and(|rest| is_localhost(rest.split('/').next().unwrap_or_default()))
    };
    request.peer.ip().to_canonical().is_loopback()
        && request.head.is_1_1
        && request.header("host").is_some_and(is_localhost)
        && request.head.names().all(|name| !name.starts_with("x-forwarded") && !PROXY.contains(&name))
        && ["origin", "referer"].iter().all(|name| request.header(name).is_none_or(of_url))
}

fn cookie(request: &Request) -> Option<&str> {
    request.header("cookie")?.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Head;
    use crate::http::settings::{TokenSettings, UserSettings};
    use crate::secret::Secret;

    const OWN: std::net::SocketAddr =
        std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8383));

    fn request(peer: &str, lines: &str) -> Request {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n");
        let (head, _) = Head::parse(text.as_bytes()).expect("a head").expect("complete");
        Request {
            head,
            body: vec![],
            peer: format!("{peer}:5000").parse().expect("an address"),
            own: OWN,
            is_tls: false,
        }
    }

    #[test]
    fn a_proxy_does_not_open_what_is_local() {
        assert!(is_at_this_machine(&request("127.0.0.1", "Host: localhost:8383")));
        assert!(is_at_this_machine(&request("[::1]", "Host: LOCALHOST")));
        assert!(is_at_this_machine(&request("127.0.0.1", "Host: localhost:1\r\nReferer: http://localhost:1/")));
        for (peer, lines) in [
            ("10.0.0.5", "Host: localhost"),
            ("127.0.0.1", "Host: 127.0.0.1:8383"),
            ("127.0.0.1", "Host: pbx.example.com"),
            ("127.0.0.1", "Host: localhost.evil.com"),
            ("127.0.0.1", "Host: localhost:x"),
            ("127.0.0.1", "Host: localhost\r\nX-Forwarded-For: 1.2.3.4"),
            ("127.0.0.1", "Host: localhost\r\nX-Forwarded-Proto: https"),
            ("127.0.0.1", "Host: localhost\r\nX-Real-IP: 1.2.3.4"),
            ("127.0.0.1", "Host: localhost\r\nForwarded: for=1.2.3.4"),
            ("127.0.0.1", "Host: localhost\r\nVia: 1.1 proxy"),
            ("127.0.0.1", "Host: localhost\r\nOrigin: https://evil.com"),
            ("127.0.0.1", "Host: localhost\r\nReferer: https://pbx.example.com/"),
        ] {
            assert!(!is_at_this_machine(&request(peer, lines)), "{peer} {lines}");
        }
        let text = b"GET / HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (head, _) = Head::parse(text).expect("a head").expect("complete");
        let peer = "127.0.0.1:1".parse().expect("an address");
        assert!(
            !is_at_this_machine(&Request { head, body: vec![], peer, own: OWN, is_tls: false }),
            "nginx as it comes"
        );
    }

    #[test]
    fn sessions_tokens_and_failures() {
        let settings = HttpSettings {
            user: vec![UserSettings { name: "boss".into(), password_hash: Secret::new("h"), role: Role::Admin }],
            token: vec![TokenSettings {
                name: "prometheus".into(),
                secret: Secret::new("0123456789abcdefghij"),
                role: Role::Viewer,
            }],
            ..HttpSettings::default()
        };
        let mut door = SignIn::new(settings.clone());
        let at = |ms| Now { wall_ms: 0, mono_ms: ms };
        let cookie = door.open("boss", Role::Admin, true, at(0)).expect("randomness");
        assert!(cookie.contains("HttpOnly; SameSite=Strict") && cookie.ends_with("; Secure"), "{cookie}");
        let value = cookie.split(';').next().expect("a value");
        let with = request("10.0.0.5", &format!("Host: x\r\nCookie: a=b; {value}"));
        assert_eq!(door.visitor(&with, at(1)).map(|v| (v.name, v.role)), Some(("boss".into(), Role::Admin)));
        assert_eq!(door.visitor(&with, at(12 * 3_600_000)), None);
        assert_eq!(door.visitor(&request("127.0.0.1", "Host: localhost"), at(1)), None);
        let bearer = request("10.0.0.5", "Host: x\r\nAuthorization: Bearer 0123456789abcdefghij");
        assert_eq!(door.visitor(&bearer, at(1)).map(|v| v.role), Some(Role::Viewer));
        door.close(&with);
        assert_eq!(door.visitor(&with, at(1)), None);

        let address = "10.0.0.9".parse().expect("an address");
        for _ in 0..FAILURES_MAX {
            assert!(door.may_try("boss", address, at(10)));
            door.failed("boss", address, at(10));
        }
        assert!(!door.may_try("boss", "10.0.0.10".parse().expect("an address"), at(20)), "by name");
        assert!(!door.may_try("other", address, at(20)), "by address");
        assert!(door.may_try("boss", address, at(10 + FAILURES_MS)));
    }
}
