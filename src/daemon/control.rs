//! The way of the command line into the running service: a unix socket beside the database, one JSON line each way.
//!
//! Only who may write into the state folder may speak here. What is asked is the keeper's to do, so that it happens at
//! once and in order with everything else; without a running service the command line changes the database itself, at
//! [`crate::store::Desk`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde::{Deserialize, Serialize};

use super::News;
use super::queues::Released;
use super::reconcile::{self, Wish};
use crate::crm::courier::Report;
use crate::store::rows::Rows;
use crate::store::{self, Order, StoreError};
use crate::threads::Thread;

/// What the command line can ask for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Rows of the outbox are tried now: one, those of one CRM, or all.
    Retry {
        row: Option<i64>,
        crm: Option<String>,
    },
    Drop {
        row: i64,
    },
    /// A normalised number.
    Forget {
        number: String,
    },
    /// Calls of this exchange, or of all, are compared with its call detail records.
    Reconcile {
        since_ms: i64,
        pbx: Option<String>,
        import: bool,
    },
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How many rows or records it concerned.
    Done {
        count: u64,
    },
    Failed {
        why: String,
    },
    /// One for each exchange.
    Reports {
        reports: Vec<reconcile::Report>,
    },
}

/// A request is an order and a few names; nothing longer is read.
const LONGEST_REQUEST: u64 = 8 * 1024;
/// Who connects and says nothing is dropped.
const SILENCE: Duration = Duration::from_secs(5);
/// Forgetting a client of many calls takes its time.
const LONGEST_ORDER: Duration = Duration::from_secs(120);

/// Where the socket of the service with this database lies.
pub fn socket_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".control");
    path.into()
}

/// The listening end; dropping it ends the thread.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
    thread: Option<Thread>,
}

impl Control {
    /// Listens beside `database`; the lock on the database is ours already, so a socket that lies there is a dead one's.
    /// `wishes`: of whoever reads call detail records, if there are any.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn listen(
        database: &Path,
        keeper: Sender<store::Input<Released>>,
        news: News,
        wishes: Option<Sender<Wish>>,
    ) -> io::Result<Self> {
        let path = socket_path(database);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let accepting = listener.try_clone()?;
        let thread = Thread::start("control", move || {
            // One at a time: this is for people and scripts, and an order is short.
            while let Ok((stream, _)) = accepting.accept() {
                if let Err(error) = serve(&stream, &keeper, &news, wishes.as_ref()) {
                    log::debug!("control: {error}");
                }
            }
        })?;
        Ok(Self { path, listener, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        // Wakes the thread out of `accept`, which then fails.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            thread.join_until(std::time::Instant::now() + Duration::from_secs(1));
        }
    }
}

fn serve(
    stream: &UnixStream,
    keeper: &Sender<store::Input<Released>>,
    news: &News,
    wishes: Option<&Sender<Wish>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut line = String::new();
    BufReader::new(stream).take(LONGEST_REQUEST).read_line(&mut line)?;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => {
            log::info!("control: {request:?}");
            match request {
                Request::Reconcile { since_ms, pbx, import } => compared(since_ms, pbx, import, wishes),
                request => order(&request, keeper, news),
            }
        }
        Err(error) => Answer::Failed { why: format!("not understood: {error}") },
    };
    write_line(stream, &answer)
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    stream.write_all(text.as_bytes())
}

/// Has the keeper do what is asked, and waits for its answer.
fn order(request: &Request, keeper: &Sender<store::Input<Released>>, news: &News) -> Answer {
    match request.clone() {
        Request::Retry { row, crm } => ask(keeper, |answer| Order::Retry { rows: rows(row, crm), answer }),
        Request::Drop { row } => ask(keeper, |answer| Order::Drop { rows: Rows::One(row), answer }),
        Request::Forget { number } => {
            // Every CRM with our module, whether or not we still know of a call there: it keeps them longer.
            if news.send((String::new(), Report::Forget(number.clone()))).is_err() {
                return Answer::Failed { why: "the service is stopping".to_owned() };
            }
            match answer_of(keeper, |answer| Order::Forget { number, answer }) {
                Ok(forgotten) => Answer::Done { count: forgotten.records },
                Err(why) => Answer::Failed { why },
            }
        }
        Request::Reconcile { .. } => Answer::Failed { why: "the keeper reads no call detail records".to_owned() },
    }
}

fn compared(since_ms: i64, pbx: Option<String>, import: bool, wishes: Option<&Sender<Wish>>) -> Answer {
    let (answer, reports) = bounded(1);
    let wish = Wish::Check { since_ms, pbx, import, answer };
    let asked = match wishes {
        None => Err("no exchange of the running service has call detail records; does it need a restart?".to_owned()),
        Some(wishes) => wishes.try_send(wish).map_err(|_| "too much is being compared already".to_owned()),
    };
    let done = asked.and_then(|()| {
        reports.recv_timeout(LONGEST_ORDER).map_err(|_| "it takes too long: choose a shorter period".to_owned())?
    });
    match done {
        Ok(reports) => Answer::Reports { reports },
        Err(why) => Answer::Failed { why },
    }
}

/// Which rows a retry is about.
pub fn rows(row: Option<i64>, crm: Option<String>) -> Rows {
    match (row, crm) {
        (Some(row), _) => Rows::One(row),
        (None, Some(crm)) => Rows::Of(crm),
        (None, None) => Rows::All,
    }
}

fn ask(
    keeper: &Sender<store::Input<Released>>,
    order: impl FnOnce(Sender<Result<u64, StoreError>>) -> Order,
) -> Answer {
    match answer_of(keeper, order) {
        Ok(count) => Answer::Done { count },
        Err(why) => Answer::Failed { why },
    }
}

fn answer_of<T>(
    keeper: &Sender<store::Input<Released>>,
    order: impl FnOnce(Sender<Result<T, StoreError>>) -> Order,
) -> Result<T, String> {
    let (sender, receiver) = bounded(1);
    keeper.send(store::Input::Order(order(sender))).map_err(|_| "the service is stopping".to_owned())?;
    match receiver.recv_timeout(LONGEST_ORDER) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("no answer from the keeper of the database".to_owned()),
    }
}

/// Asks the running service; `None` if none runs on this database.
///
/// # Errors
/// If there is a service but it cannot be asked.
pub fn ask_service(database: &Path, request: &Request) -> io::Result<Option<Answer>> {
    let stream = match UnixStream::connect(socket_path(database)) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(LONGEST_ORDER))?;
    write_line(&stream, request)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    Ok(Some(serde_json::from_str(&line)?))
}
