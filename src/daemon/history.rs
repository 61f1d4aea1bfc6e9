//! The history in MongoDB as the service uses it: a thread that writes what the outbox hands out, and one that is asked for
//! what the local database no longer knows. Neither is started with `[store] kind = "sqlite"`.

use std::io;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use crate::call::Record;
use crate::config::Config;
use crate::lease::Pass;
use crate::outbox::Delivered;
use crate::store::Destination;
use crate::threads::Thread;

/// Who asks for a recording does not wait longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question for the records of a recording, and where the answer goes; whoever asked may have gone.
#[derive(Debug)]
pub struct PastQuestion {
    pub recording: String,
    pub answer: Sender<Result<Vec<Record>, String>>,
}

/// The way to what MongoDB knows.
#[derive(Clone, Debug)]
pub struct Past(Sender<PastQuestion>);

impl Past {
    /// The records whose phone talked while this recording ran.
    ///
    /// # Errors
    /// If MongoDB is away, or has no time.
    pub fn records_of_recording(&self, id: &str) -> Result<Vec<Record>, String> {
        let (answer, answers) = bounded(1);
        let question = PastQuestion { recording: id.to_owned(), answer };
        self.0.try_send(question).map_err(|_| "too many questions to MongoDB at once".to_owned())?;
        answers.recv_timeout(PATIENCE).map_err(|_| "MongoDB does not answer in time".to_owned())?
    }
}

/// The ways to both threads, which end when every copy of them is dropped.
pub struct History {
    pub destination: Destination,
    pub past: Past,
}

/// Starts the threads, if the configuration wants them. MongoDB need not be there.
///
/// # Errors
/// If the system gives no threads.
pub fn start(config: &Config, outcomes: &Sender<Delivered>, pass: &Pass) -> io::Result<Option<(History, Vec<Thread>)>> {
    match config.store.kind {
        crate::store::StoreKind::Sqlite => Ok(None),
        #[cfg(feature = "mongodb")]
        crate::store::StoreKind::Mongodb => mongodb::start(config, outcomes, pass).map(Some),
        #[cfg(not(feature = "mongodb"))]
        crate::store::StoreKind::Mongodb => {
            let _ = (outcomes, pass);
            Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without MongoDB"))
        }
    }
}

#[cfg(feature = "mongodb")]
pub use mongodb::target;

#[cfg(feature = "mongodb")]
mod mongodb {
    use crossbeam_channel::Receiver;

    use super::*;
    use crate::daemon::queues;
    use crate::store::mongodb::{Target, reader, writer};
    use crate::store::settings::HISTORY;
    use crate::store::{Destination, DestinationKind};

    /// Conversations in one batch: enough for thousands a second, little enough to be held in memory.
    const BATCH: usize = 50;

    /// Where the history is, and which part of it is ours.
    pub fn target(config: &Config) -> Target {
        Target {
            settings: config.store.mongodb.clone(),
            keep_days: config.store.keep_days,
            pbxs: config.asterisk.iter().map(|section| section.name.clone()).collect(),
        }
    }

    pub fn start(config: &Config, outcomes: &Sender<Delivered>, pass: &Pass) -> io::Result<(History, Vec<Thread>)> {
        let target = target(config);
        // One batch at a time, so that an older state never overtakes a younger one.
        let (queue, work) = bounded(1);
        let (asked, questions) = bounded(queues::PAST.capacity);
        let (writing, outcomes, pass) = (target.clone(), outcomes.clone(), pass.clone());
        let threads = vec![
            Thread::start("mongodb-writer", move || writer::run(writing, &work, &outcomes, &pass))?,
            Thread::start("mongodb-reader", move || read(&target, &questions))?,
        ];
        let (name, kind) = (HISTORY.to_owned(), DestinationKind::History);
        let destination = Destination { name, kind, senders: 1, batch_max: BATCH, queue };
        Ok((History { destination, past: Past(asked) }, threads))
    }

    fn read(target: &Target, questions: &Receiver<PastQuestion>) {
        // Made with the first question: most offices never ask.
        let mut reader = None;
        for PastQuestion { recording, answer } in questions {
            let open = match &mut reader {
                Some(reader) => Ok(reader),
                empty => reader::Reader::open(target).map(|made| empty.insert(made)),
            };
            let found = open.and_then(|reader| reader.records_of_recording(&recording));
            let _ = answer.try_send(found.map_err(|error| error.to_string()));
        }
    }
}
