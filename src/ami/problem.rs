//! Why there is no link, in the operator's words: what happened, and where to look.

use std::fmt;
use std::io;

/// What keeps us from an AMI link, or ended one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    HostNotFound(String),
    Refused,
    Unreachable(String),
    ConnectTimedOut {
        seconds: u64,
    },
    /// Our own side: the CA file, too few descriptors.
    Ours(String),
    NoTlsThere,
    TlsThere,
    Tls(String),
    NotAsterisk {
        first_line: String,
    },
    WebServer {
        first_line: String,
    },
    ClosedAtOnce,
    NoGreeting {
        seconds: u64,
    },
    LoginRefused {
        user: String,
    },
    LoginInUse {
        user: String,
    },
    LoginAnswer(String),
    LoginUnanswered {
        seconds: u64,
    },
    Silent {
        seconds: u64,
    },
    Closed,
    Broken(String),
}

impl Problem {
    /// Asterisk waits a second before it refuses a login, and guards like fail2ban count: no hurry to be refused again.
    pub fn retry_slowly(&self) -> bool {
        matches!(self, Self::LoginRefused { .. } | Self::LoginInUse { .. } | Self::LoginAnswer(_))
    }

    /// A login was refused with this message.
    pub(super) fn refused(message: &str, user: &str) -> Self {
        match message {
            "Authentication failed" | "Permission denied" => Self::LoginRefused { user: user.to_owned() },
            "Login Already In Use" => Self::LoginInUse { user: user.to_owned() },
            other => Self::LoginAnswer(other.to_owned()),
        }
    }

    /// A connection could not be made.
    pub(super) fn connecting(error: &io::Error, timeout_s: u64) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::ConnectTimedOut { seconds: timeout_s },
            _ => Self::Unreachable(error.to_string()),
        }
    }

    /// The first line was not Asterisk's.
    pub(super) fn foreign(seen: &[u8]) -> Self {
        let shown: String = String::from_utf8_lossy(&seen[..seen.len().min(80)]).trim_end().escape_debug().collect();
        if matches!(seen, [0x15 | 0x16, 3, ..]) {
            Self::TlsThere
        } else if seen.starts_with(b"HTTP/") || seen.starts_with(b"<") {
            Self::WebServer { first_line: shown }
        } else {
            Self::NotAsterisk { first_line: shown }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNotFound(error) => write!(f, "the host is not found ({error})"),
            Self::Refused => f.write_str(
                "connection refused: nobody listens there. Is Asterisk running, and are enabled = yes, port and bindaddr \
                 in manager.conf right?",
            ),
            Self::Unreachable(error) => write!(f, "the host cannot be reached ({error})"),
            Self::ConnectTimedOut { seconds } => {
                write!(f, "no connection within {seconds} s: a firewall, or the host is down")
            }
            Self::Ours(error) => f.write_str(error),
            Self::NoTlsThere => f.write_str(
                "no TLS is spoken there. The plain AMI port is usually 5038, the one with TLS 5039 (tlsenable, tlsbindaddr in \
                 manager.conf); remove the tls settings or change the port",
            ),
            Self::TlsThere => f.write_str("TLS is spoken there; add tls settings, or use the plain AMI port, usually 5038"),
            Self::Tls(error) => write!(f, "TLS fails: {error}"),
            Self::WebServer { first_line } => write!(
                f,
                "a web server answers there (\"{first_line}\"), not the manager interface; AMI is usually port 5038, while 8088 \
                 and 8089 are Asterisk's HTTP"
            ),
            Self::NotAsterisk { first_line } => {
                write!(f, "something else answers there: \"{first_line}\"; AMI is usually port 5038")
            }
            Self::ClosedAtOnce => f.write_str(
                "the connection is closed before any greeting: too many connections that have not logged in yet \
                 (authlimit in manager.conf), or something in between refuses",
            ),
            Self::NoGreeting { seconds } => {
                write!(f, "no greeting within {seconds} s: it accepts the connection and says nothing")
            }
            Self::LoginRefused { user } => write!(
                f,
                "Asterisk refuses the login of \"{user}\": wrong secret, unknown user, or this address is not allowed \
                 (permit, deny, acl in manager.conf); it does not say which, its log does"
            ),
            Self::LoginInUse { user } => write!(
                f,
                "\"{user}\" is logged in already and manager.conf has allowmultiplelogin = no; give this program an account \
                 of its own"
            ),
            Self::LoginAnswer(message) => write!(f, "the login is answered by \"{message}\""),
            Self::LoginUnanswered { seconds } => write!(f, "the login is not answered within {seconds} s"),
            Self::Silent { seconds } => write!(f, "nothing was heard for {seconds} s, not even the answer to a ping"),
            Self::Closed => f.write_str("Asterisk closed the connection (it stops, restarts, or a manager was told to)"),
            Self::Broken(error) => write!(f, "the connection broke ({error})"),
        }
    }
}

/// Which right of manager.conf an action needs, for the answer `Permission denied`.
pub(super) fn needed_right(action: &str) -> &'static str {
    match action {
        "Originate" => "write = originate",
        "CoreShowChannels" | "CoreSettings" | "CoreStatus" | "Status" | "DeviceStateList" => "write = reporting",
        "Hangup" => "write = call",
        "Filter" => "write = system",
        _ => "a write class that its account lacks",
    }
}
