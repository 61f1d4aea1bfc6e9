//! Carries bytes to one CRM and back: signed, within a deadline, never following a redirect.
//!
//! What the bytes mean is known in [`super::webhook`] and [`super::calls_module`]; what a failure means, in
//! [`super::answer`]. A [`Client`] belongs to one thread. Connections are kept for the next request and closed by
//! [`Client::rest`]; nothing of TLS is loaded before the first request over https.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Request, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Timeout};

use super::addresses::Addresses;
use super::answer::{Answer, NoAnswer, parse_http_date, shorten};
use super::log::{ANSWER_CHARS, RequestLine, RequestLog};
use super::settings::Crm;
use crate::clock::Now;
use crate::sign;

/// Apache closes idle connections after 5 s; using one at that moment would look like a dead CRM.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Enough for the head of any answer; a body is read in pieces of this size.
const BUFFER_BYTES: usize = 16 << 10;
/// An answer's head is at most this large.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// What a record's answer may weigh; the directory's pages weigh more ([`super::calls_module`]).
pub const ANSWER_LIMIT_BYTES: u64 = 1 << 20;

/// What to post.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// For the log: `records`, `users`, `StartApp`, ...
    pub op: &'static str,
    pub content: Content,
    pub body: &'a [u8],
    /// For the whole request; `None` is the CRM's own setting.
    pub timeout: Option<Duration>,
    pub answer_limit_bytes: u64,
}

/// What a body is, and so how the sender proves who he is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// The head carries a signature over it.
    SignedJson,
    /// It carries the secret itself.
    Form,
}

impl<'a> Post<'a> {
    pub fn json(op: &'static str, body: &'a [u8]) -> Self {
        let (content, timeout, answer_limit_bytes) = (Content::SignedJson, None, ANSWER_LIMIT_BYTES);
        Self { op, content, body, timeout, answer_limit_bytes }
    }

    pub fn form(op: &'static str, body: &'a [u8]) -> Self {
        Self { content: Content::Form, ..Self::json(op, body) }
    }
}

/// One thread's way to one CRM.
#[derive(Debug)]
pub struct Client {
    crm: Arc<Crm>,
    log: RequestLog,
    agent: Agent,
    addresses: Addresses,
    /// Whether there may be connections to close.
    used: bool,
    /// The last request went well, so that the next one may go over its connection.
    kept: bool,
}

/// Ends the requests of a [`Client`] from another thread: a long poll must not hold up the end of the service.
#[derive(Debug)]
pub struct Interrupter(Agent);

impl Interrupter {
    /// The request under way fails with [`NoAnswer::Stopped`], and so does every later one of this client.
    pub fn interrupt(self) {
        self.0.shutdown();
    }
}

impl Client {
    pub fn new(crm: Arc<Crm>, log: RequestLog) -> Self {
        let addresses = Addresses::default();
        let agent = agent(&crm, &addresses);
        Self { crm, log, agent, addresses, used: false, kept: false }
    }

    pub fn crm(&self) -> &Crm {
        &self.crm
    }

    /// The means to stop this client from elsewhere; outdated by [`Client::rest`].
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.agent.clone())
    }

    /// Closes what is open and forgets what TLS needed; the next request begins anew.
    pub fn rest(&mut self) {
        if self.used {
            self.agent = agent(&self.crm, &self.addresses);
            (self.used, self.kept) = (false, false);
        }
    }

    /// Posts, signed with a nonce of its own, and waits for the whole answer.
    ///
    /// # Errors
    /// [`NoAnswer`] if nothing came that is HTTP and complete, in time and within bounds.
    pub fn post(&mut self, post: Post<'_>) -> Result<Answer, NoAnswer> {
        self.used = true;
        let at = Now::read();
        let started = Instant::now();
        let result = self.exchange(&post, at);
        self.kept = result.is_ok();
        if result.is_err() {
            self.addresses.forget();
        }
        let line = RequestLine {
            crm: self.crm.name.clone(),
            op: post.op,
            at_ms: at.wall_ms,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes: post.body.len(),
            status: result.as_ref().ok().map(|answer| answer.status),
            answer: match &result {
                Ok(answer) => shorten(&self.crm.mask(&answer.text()), ANSWER_CHARS),
                Err(none) => none.to_string(),
            },
        };
        log::debug!("{}: {} of {} bytes: {:?} in {} ms", line.crm, line.op, line.bytes, line.status, line.took_ms);
        self.log.tell(line);
        result
    }

    fn exchange(&self, post: &Post<'_>, at: Now) -> Result<Answer, NoAnswer> {
        let timeout = post.timeout.unwrap_or(self.crm.timeout);
        let explain = |error| explain(error, timeout, &self.crm);
        let ask = |at| {
            let request = self
                .agent
                .configure_request(self.request(post, at))
                .timeout_global(Some(timeout))
                .timeout_connect(Some(self.crm.connect_timeout.min(timeout)))
                .build();
            self.agent.run(request).map_err(explain)
        };
        let mut answered = ask(at);
        // A server may close what it kept just as the next request comes (RFC 9112, 9.3.1). That says nothing of the CRM: it is asked
        // once more, over a new connection. Everything we post may come twice.
        if self.kept && matches!(answered, Err(NoAnswer::Closed)) {
            answered = ask(Now::read());
        }
        let mut response = answered?;
        let limit_bytes = post.answer_limit_bytes;
        let body = response.body_mut().with_config().limit(limit_bytes).read_to_vec().map_err(explain)?;
        let headers = response.headers();
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: text_of(headers, header::CONTENT_TYPE),
            location: text_of(headers, header::LOCATION),
            retry_after: text_of(headers, header::RETRY_AFTER),
            date_ms: text_of(headers, header::DATE).and_then(|date| parse_http_date(&date)),
            received_ms: Now::read().wall_ms,
            body,
        })
    }

    fn request<'b>(&self, post: &Post<'b>, at: Now) -> Request<&'b [u8]> {
        let crm = &self.crm;
        let mut request = Request::post(crm.endpoint.clone());
        match post.content {
            Content::Form => request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
            Content::SignedJson => {
                let mut random = [0; 16];
                getrandom::fill(&mut random).expect("the system has random numbers: TLS and nonces cannot do without");
                let signed = sign::Signed {
                    method: "POST",
                    path: crm.endpoint.path_and_query().map_or("/", |path| path.as_str()),
                    time_s: at.wall_ms.div_euclid(1000),
                    nonce: &sign::nonce(random),
                    body: post.body,
                };
                request = request
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(sign::KEY_HEADER, &crm.name)
                    .header(sign::TIME_HEADER, signed.time_s)
                    .header(sign::NONCE_HEADER, signed.nonce)
                    .header(sign::SIGNATURE_HEADER, sign::signature(&crm.secret, &signed));
            }
        }
        if let Some((name, value)) = &crm.header {
            request = request.header(name, value);
        }
        request.body(post.body).expect("name and header were checked when the CRM was opened")
    }
}

fn agent(crm: &Crm, addresses: &Addresses) -> Agent {
    // The built-in list of public authorities lies in the program's read-only memory; a list read from a file is copied
    // and parsed once for every client.
    let roots = if crm.trusted.is_empty() { RootCerts::WebPki } else { RootCerts::Specific(crm.trusted.clone()) };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // A proxy in the environment of whoever started us is no proxy for us.
        .proxy(None)
        .user_agent(concat!("PINconnector/", env!("CARGO_PKG_VERSION")))
        .accept("")
        .accept_encoding("")
        .max_response_header_size(MAX_HEAD_BYTES)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(KEEP_ALIVE)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build();
    Agent::with_parts(config, DefaultConnector::default(), addresses.clone())
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// `error` in the operator's words.
fn explain(error: ureq::Error, timeout: Duration, crm: &Crm) -> NoAnswer {
    match error {
        ureq::Error::Io(error) => explain_io(&error, crm),
        ureq::Error::Rustls(error) => explain_tls(&error, crm),
        ureq::Error::Tls(why) => NoAnswer::Tls(why.to_owned()),
        ureq::Error::HostNotFound => NoAnswer::Name(format!("{} has no address", host(crm))),
        ureq::Error::Timeout(Timeout::Resolve) => NoAnswer::Name("no name server answers".to_owned()),
        ureq::Error::Timeout(Timeout::Connect) => NoAnswer::Connection(format!(
            "{} does not answer within {} s",
            host(crm),
            crm.connect_timeout.as_secs_f32()
        )),
        ureq::Error::Timeout(_) => NoAnswer::Silence(format!("no whole answer within {} s", timeout.as_secs_f32())),
        ureq::Error::BodyExceedsLimit(limit_bytes) => NoAnswer::TooLarge { limit_bytes },
        ureq::Error::LargeResponseHeader(..) => NoAnswer::TooLarge { limit_bytes: MAX_HEAD_BYTES as u64 },
        ureq::Error::ConnectionFailed => NoAnswer::Connection("it could not be made".to_owned()),
        other => NoAnswer::NotHttp(other.to_string()),
    }
}

fn explain_io(error: &io::Error, crm: &Crm) -> NoAnswer {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return explain_tls(tls, crm);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            NoAnswer::Connection(format!("nothing listens at {}", crm.endpoint.authority().map_or("", |a| a.as_str())))
        }
        io::ErrorKind::NotConnected => NoAnswer::Stopped,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => NoAnswer::Closed,
        // getaddrinfo's errors have no kind of their own.
        _ if error.to_string().contains("lookup address") => NoAnswer::Name(format!("{}: {error}", host(crm))),
        _ => NoAnswer::Connection(error.to_string()),
    }
}

fn explain_tls(error: &rustls::Error, crm: &Crm) -> NoAnswer {
    use rustls::{CertificateError as Certificate, Error};
    let host = host(crm);
    let date = |at: &rustls::pki_types::UnixTime| {
        i64::try_from(at.as_secs()).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).unwrap_or_default()
    };
    NoAnswer::Tls(match error {
        Error::InvalidCertificate(Certificate::UnknownIssuer) if crm.trusted.is_empty() => {
            format!(
                "{host} shows a certificate of no public authority; if it is your own, name its authority in ca = FILE"
            )
        }
        Error::InvalidCertificate(Certificate::UnknownIssuer) => {
            format!("the certificate of {host} is not signed by an authority in our ca file")
        }
        Error::InvalidCertificate(Certificate::Expired) => format!("the certificate of {host} has expired"),
        Error::InvalidCertificate(Certificate::ExpiredContext { time, not_after }) => {
            format!("the certificate of {host} expired at {}; our clock says {}", date(not_after), date(time))
        }
        Error::InvalidCertificate(Certificate::NotValidYet) => format!("the certificate of {host} is not valid yet"),
        Error::InvalidCertificate(Certificate::NotValidYetContext { time, not_before }) => {
            format!("the certificate of {host} begins at {}; our clock says {}", date(not_before), date(time))
        }
        Error::InvalidCertificate(Certificate::NotValidForName) => {
            format!("the certificate shown is not for {host}; url must have the name it was made for")
        }
        Error::InvalidCertificate(Certificate::NotValidForNameContext { presented, .. }) => {
            format!("the certificate shown is not for {host} but for {}", presented.join(", "))
        }
        // What `openssl req -x509` makes: a self-signed certificate that is an authority, too. rustls lets no authority
        // speak for itself, not even where its certificate is the one we were told to trust.
        Error::InvalidCertificate(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => format!(
            "{host} shows the certificate of an authority as its own; make one with `-addext \
             basicConstraints=critical,CA:FALSE`, or let an authority of yours sign one, and name it in ca = FILE"
        ),
        Error::InvalidCertificate(other) => format!("the certificate of {host} is not good: {other:?}"),
        Error::InvalidMessage(_) => format!("{host} does not speak TLS at this port; is it http:// there?"),
        Error::AlertReceived(alert) => format!("{host} refused: {alert:?}"),
        Error::PeerIncompatible(_) => format!("{host} has no TLS newer than 1.1 or no cipher in common ({error})"),
        other => other.to_string(),
    })
}

fn host(crm: &Crm) -> &str {
    crm.endpoint.host().unwrap_or_default()
}
