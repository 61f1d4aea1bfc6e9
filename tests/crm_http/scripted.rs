//! An HTTP server at the socket that does exactly what a test wrote down, and tells what it was asked.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the server does about one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A whole answer; the connection stays open.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// Exactly these bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// The body in these pieces, chunked; the connection stays open.
    Chunked(Vec<Vec<u8>>),
    /// Not a word until the client goes away.
    Hang,
    /// A whole answer, a byte at a time, with this pause before each.
    Slowly(Duration, Vec<u8>),
    /// A declared length of this many bytes, sent until the client has enough.
    Huge(usize),
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// What the server was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Request line and headers, LF at the end of each line, as they came.
    pub head: String,
    pub body: Vec<u8>,
    /// 0 for the first connection, 1 for the next, ...
    pub connection: usize,
}

impl Asked {
    pub fn line(&self) -> &str {
        self.head.lines().next().expect("a request line")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// Ends with the test: the listener's thread is a daemon of the test process.
pub struct Server {
    pub address: SocketAddr,
    pub asked: Receiver<Asked>,
    script: Arc<Mutex<VecDeque<Reply>>>,
}

impl Server {
    /// Answers its requests in the order of `script`, then with 200 and `{"ok":true}`.
    pub fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::listen(script, None)
    }

    /// The same over TLS, with `NAME.pem` and `NAME.key` of `tls/`.
    pub fn start_tls(name: &str, script: impl IntoIterator<Item = Reply>) -> Self {
        let certificate = CertificateDer::from_pem_file(tls_file(&format!("{name}.pem"))).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(tls_file(&format!("{name}.key"))).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key fits the certificate");
        Self::listen(script, Some(Arc::new(config)))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Appends to the script.
    pub fn then(&self, reply: Reply) {
        self.script.lock().expect("no connection panicked with the script in hand").push_back(reply);
    }

    /// The next request; the test fails if none comes.
    pub fn next(&self) -> Asked {
        self.asked.recv_timeout(Duration::from_secs(10)).expect("a request within 10 s")
    }

    fn listen(script: impl IntoIterator<Item = Reply>, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("an address");
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let (tell, asked) = unbounded();
        let connections = AtomicUsize::new(0);
        let shared = Arc::clone(&script);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = connections.fetch_add(1, Ordering::Relaxed);
                let (script, tell, tls) = (Arc::clone(&shared), tell.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => serve(stream, &script, &tell, number),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).expect("a server's side");
                        serve(rustls::StreamOwned::new(connection, stream), &script, &tell, number);
                    }
                });
            }
        });
        Self { address, asked, script }
    }
}

pub fn tls_file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crm_http/tls").join(name)
}

trait Connection: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Connection for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

fn serve(stream: impl Connection, script: &Mutex<VecDeque<Reply>>, tell: &Sender<Asked>, connection: usize) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read_request(&mut stream, connection) {
        let reply = script
            .lock()
            .expect("no connection panicked with the script in hand")
            .pop_front()
            .unwrap_or_else(|| Reply::new(200, r#"{"ok":true}"#));
        if tell.send(asked).is_err() {
            return;
        }
        if !answer(&mut stream, reply) {
            let _ = stream.get_mut().flush();
            let _ = stream.get_ref().socket().shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_request(stream: &mut impl BufRead, connection: usize) -> Option<Asked> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        head.push_str(line);
        head.push('\n');
    }
    let mut asked = Asked { head, body: Vec::new(), connection };
    let length =
        asked.header("content-length").expect("a length: chunks are not for old PHP").parse().expect("a number");
    asked.body.resize(length, 0);
    stream.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// False ends the connection.
fn answer<C: Connection>(stream: &mut BufReader<C>, reply: Reply) -> bool {
    match reply {
        Reply::Answer { status, headers, body } => {
            let mut bytes = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len()).into_bytes();
            for (name, value) in headers {
                bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&body);
            stream.get_mut().write_all(&bytes).and_then(|()| stream.get_mut().flush()).is_ok()
        }
        Reply::Raw(bytes) => {
            let _ = stream.get_mut().write_all(&bytes);
            false
        }
        Reply::Chunked(pieces) => {
            let mut sent = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in pieces.iter().chain([&Vec::new()]) {
                let size = format!("{:x}\r\n", piece.len());
                sent = sent.and_then(|()| stream.get_mut().write_all(&[size.as_bytes(), piece, b"\r\n"].concat()));
                sent = sent.and_then(|()| stream.get_mut().flush());
            }
            sent.is_ok()
        }
        Reply::Hang => {
            // Ends when the client closes: that it does is what such a test is about.
            let _ = stream.read(&mut [0]);
            false
        }
        Reply::Slowly(pause, bytes) => {
            for byte in bytes {
                let next = Instant::now() + pause;
                // A client that goes away ends the pause early.
                let _ = stream.get_ref().socket().set_read_timeout(Some(pause));
                while Instant::now() < next {
                    match stream.read(&mut [0]) {
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        _ => return false,
                    }
                }
                if stream.get_mut().write_all(&[byte]).is_err() {
                    return false;
                }
            }
            false
        }
        Reply::Huge(length) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let mut sent = stream.get_mut().write_all(head.as_bytes());
            for _ in 0..length / 65536 {
                sent = sent.and_then(|()| stream.get_mut().write_all(&[b'x'; 65536]));
                if sent.is_err() {
                    break;
                }
            }
            false
        }
    }
}
