//! The demo's CRM: takes records over HTTP on the loopback address and hands them on. It believes its one client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crossbeam_channel::Sender;
use serde::Deserialize;

use crate::call::Record;
use crate::threads::Thread;

/// A batch is far smaller.
const LARGEST_BODY: usize = 1 << 20;
/// Connections of a service that has gone away.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Body {
    records: Vec<Record>,
}

/// Listens; every record goes to `taken`. Ends with the process.
///
/// # Errors
/// If the system gives no port or no thread.
pub fn start(taken: Sender<Record>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Thread::start("demo-crm", move || {
        for stream in listener.incoming().flatten() {
            let taken = taken.clone();
            // One per sender of the service, which are two.
            let started = Thread::start("demo-crm-peer", move || {
                // What goes wrong here, the service says in its log.
                let _ = serve(&stream, &taken);
            });
            if started.is_err() {
                return;
            }
        }
    })?;
    Ok(address)
}

fn serve(mut stream: &TcpStream, taken: &Sender<Record>) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader)? {
        let answer = match serde_json::from_slice::<Body>(&body) {
            Ok(body) => {
                for record in body.records {
                    if taken.send(record).is_err() {
                        return Ok(());
                    }
                }
                "204 No Content"
            }
            Err(_) => "400 Bad Request",
        };
        stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
    }
    Ok(())
}

/// The body of the next request; `None` when the client has gone.
fn request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.by_ref().take(8192).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    if length > LARGEST_BODY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}
