//! A connection to Asterisk, plain or in TLS, that one thread reads while another writes.

use super::problem::Problem;
use crate::secret::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where a PBX is and how to get in.
#[derive(Clone, Debug)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub secret: Secret,
    pub tls: Option<Tls>,
    /// For each step: finding the host and connecting, TLS, greeting, login.
    pub connect_timeout: Duration,
}

/// How to trust the other end.
#[derive(Clone, Default, Debug)]
pub struct Tls {
    /// PEM file of the authority (or the self-signed certificate) to trust; none: the public authorities.
    pub ca: Option<PathBuf>,
    /// The name in the certificate, if it is not the host.
    pub server_name: Option<String>,
}

/// Ciphertext read at once.
const CIPHER_BYTES: usize = 16 * 1024;
/// Asterisk reads actions at once or is stuck.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// One end of the two that share a connection.
pub enum Wire {
    Plain(TcpStream),
    Tls {
        socket: TcpStream,
        /// The state of the TLS session is one for both directions. It is locked for the work on bytes that are there, never
        /// while the reader waits for some.
        session: Arc<Mutex<ClientConnection>>,
    },
}

impl Wire {
    /// Connects, and makes TLS where it is asked for. Takes at most the time-out for each address of the host and for TLS;
    /// finding the host is up to the system.
    ///
    /// # Errors
    /// In the operator's words.
    pub fn connect(address: &Address) -> Result<Self, Problem> {
        let socket = connect(address)?;
        // A write is a whole action; waiting to join it with the next would only delay it.
        let set = socket.set_nodelay(true).and_then(|()| socket.set_write_timeout(Some(WRITE_TIMEOUT)));
        set.map_err(|error| Problem::Ours(error.to_string()))?;
        match &address.tls {
            None => Ok(Self::Plain(socket)),
            Some(tls) => {
                let session = Arc::new(Mutex::new(handshake(&socket, tls, address)?));
                Ok(Self::Tls { socket, session })
            }
        }
    }

    /// The other end for the other thread.
    ///
    /// # Errors
    /// When there are too few file descriptors.
    pub fn split(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Plain(socket) => Self::Plain(socket.try_clone()?),
            Self::Tls { socket, session } => Self::Tls { socket: socket.try_clone()?, session: Arc::clone(session) },
        })
    }

    /// Ends the connection for both threads, also one that is blocked in a read.
    pub fn shut(&self) {
        let (Self::Plain(socket) | Self::Tls { socket, .. }) = self;
        // It may be gone already.
        let _ = socket.shutdown(Shutdown::Both);
    }

    /// How long a read may wait; then it fails with `WouldBlock` or `TimedOut`.
    ///
    /// # Errors
    /// If the system does not take it.
    pub fn read_within(&self, limit: Duration) -> io::Result<()> {
        let (Self::Plain(socket) | Self::Tls { socket, .. }) = self;
        socket.set_read_timeout(Some(limit))
    }

    /// Reads at least a byte; 0 is the end.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => read_once(socket, buffer),
            Self::Tls { socket, session } => loop {
                match locked(session).reader().read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
                let mut cipher = [0; CIPHER_BYTES];
                let bytes = read_once(socket, &mut cipher)?;
                let mut cipher = &cipher[..bytes];
                let mut session = locked(session);
                if bytes == 0 {
                    // Tell the session, so that it can tell an end from a cut.
                    session.read_tls(&mut cipher)?;
                }
                while !cipher.is_empty() {
                    session.read_tls(&mut cipher)?;
                    session.process_new_packets().map_err(io::Error::other)?;
                }
                // Key updates and alerts want an answer.
                flush(&mut session, socket)?;
            },
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// If the connection breaks or the other end does not take it in time.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls { socket, session } => {
                let mut session = locked(session);
                session.writer().write_all(bytes)?;
                flush(&mut session, socket)
            }
        }
    }
}

fn read_once(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn flush(session: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(socket)?;
    }
    Ok(())
}

fn locked(session: &Mutex<ClientConnection>) -> MutexGuard<'_, ClientConnection> {
    // A panic in the other thread ends the process anyway.
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(address: &Address) -> Result<TcpStream, Problem> {
    let timeout_s = address.connect_timeout.as_secs();
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    let found = found.map_err(|error| Problem::HostNotFound(error.to_string()))?;
    let mut problem = Problem::HostNotFound("no address".to_owned());
    for socket_address in found {
        match TcpStream::connect_timeout(&socket_address, address.connect_timeout) {
            Ok(socket) => return Ok(socket),
            Err(error) => problem = Problem::connecting(&error, timeout_s),
        }
    }
    Err(problem)
}

fn handshake(socket: &TcpStream, tls: &Tls, address: &Address) -> Result<ClientConnection, Problem> {
    let name = tls.server_name.as_deref().unwrap_or(&address.host);
    let server = ServerName::try_from(name.to_owned()).map_err(|_| {
        Problem::Ours(format!("\"{name}\" is no name that a certificate can have; set tls.server_name"))
    })?;
    let mut session = ClientConnection::new(Arc::new(client_config(tls)?), server)
        .map_err(|error| Problem::Tls(error.to_string()))?;
    let deadline = Instant::now() + address.connect_timeout;
    let timed_out = || Problem::NoGreeting { seconds: address.connect_timeout.as_secs() };
    let mut socket: &TcpStream = socket;
    while session.is_handshaking() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out());
        }
        socket.set_read_timeout(Some(left)).map_err(|error| Problem::Ours(error.to_string()))?;
        let step = if session.wants_write() {
            session.write_tls(&mut socket).map(|_| ())
        } else {
            session
                .read_tls(&mut socket)
                .and_then(|bytes| if bytes == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) })
        };
        match step {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(timed_out());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Asterisk's plain port hangs up on bytes that are no action.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                return Err(Problem::NoTlsThere);
            }
            Err(error) => return Err(Problem::Broken(error.to_string())),
        }
        if let Err(error) = session.process_new_packets() {
            // Say what is wrong to the other end, too.
            let _ = session.write_tls(&mut socket);
            return Err(tls_problem(&error, tls));
        }
    }
    let done = flush(&mut session, &mut socket.try_clone().map_err(|error| Problem::Ours(error.to_string()))?)
        .and_then(|()| socket.set_read_timeout(None));
    done.map_err(|error| Problem::Broken(error.to_string()))?;
    Ok(session)
}

fn tls_problem(error: &rustls::Error, tls: &Tls) -> Problem {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer};
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    match error {
        InvalidMessage(_) => Problem::NoTlsThere,
        InvalidCertificate(UnknownIssuer) if tls.ca.is_none() => {
            Problem::Tls("its certificate is of no public authority; set tls.ca to the authority's file".to_owned())
        }
        InvalidCertificate(UnknownIssuer) => {
            Problem::Tls("its certificate is not of the authority in tls.ca".to_owned())
        }
        InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            Problem::Tls(format!("its certificate is for another name; set tls.server_name ({error})"))
        }
        InvalidCertificate(Expired | ExpiredContext { .. }) => {
            Problem::Tls(format!("its certificate has expired ({error})"))
        }
        _ => Problem::Tls(error.to_string()),
    }
}

fn client_config(tls: &Tls) -> Result<ClientConfig, Problem> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let unusable = |error: String| Problem::Ours(format!("tls.ca, {}: {error}", file.display()));
            let certificates = CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("no certificate in it".to_owned()));
            }
        }
    }
    // Named, so that another provider pulled in by some dependency makes no ambiguity.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the default versions of TLS");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
