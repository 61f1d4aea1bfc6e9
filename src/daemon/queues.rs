//! Every queue between threads: from, to, what it carries, how much, and what happens when it is full.
//!
//! There is no cycle of blocking sends: a reader may wait for `call-state`, `call-state` for the keeper, and the keeper
//! for nobody. Whatever else sends, tries, and has an answer to being refused.

use crate::asterisk::{Action, ActionId, PbxId};
use crate::call::Progress;
use crate::lease;
use crate::store;

/// One queue between threads.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    pub from: &'static str,
    pub to: &'static str,
    pub carries: &'static str,
    pub capacity: usize,
    pub when_full: &'static str,
}

/// What Asterisk says.
pub const HEARD: Queue = Queue {
    from: "ami-reader",
    to: "call-state",
    carries: "ami::FromPbx, one read of at most 32 kB each",
    // For each exchange: 32 MB as Asterisk said it, about 65,536 events.
    capacity: crate::ami::reader::QUEUE_READS,
    when_full: "the reader waits, then TCP holds Asterisk back until its writetimeout",
};

/// What everybody else says.
pub const TOLD: Queue = Queue {
    from: "http, agi, main",
    to: "call-state",
    carries: "Told",
    capacity: 256,
    when_full: "the request is refused (503), the caller is not identified, the reload waits",
};

/// What must be stored.
pub const SAVES: Queue = Queue {
    from: "call-state, control, reconcile, main",
    to: "store-keeper",
    carries: "store::Input",
    // A commit takes at most 256; a longer queue would only be memory, touched from the start.
    capacity: 512,
    when_full: "call-state waits until the disk has caught up",
};

/// What Asterisk is asked.
pub const ASKED: Queue = Queue {
    from: "call-state, store-keeper (after a commit)",
    to: "ami-link",
    carries: "(ActionId, Action)",
    capacity: crate::ami::link::ACTIONS_WAITING,
    when_full: "the question is dropped and logged: a list is asked again at the next audit, a click-to-call fails",
};

/// What becomes of batches.
pub const OUTCOMES: Queue = Queue {
    from: "crm-sender, mongodb-writer",
    to: "store-keeper",
    carries: "outbox::Delivered",
    capacity: 64,
    when_full: "never: there are at most as many as batches under way, and a sender waits",
};

/// What whoever watches must hear of.
pub const ALARMS: Queue = Queue {
    from: "store-keeper",
    to: "main",
    carries: "store::Alarm",
    capacity: 256,
    when_full: "the alarm is dropped; it is in the log",
};

/// Links and signs of life.
pub const NOTICES: Queue = Queue {
    from: "call-state, store-keeper",
    to: "main",
    carries: "Notice",
    capacity: 256,
    when_full: "dropped: it is in the log, and the next change of the link or the next probe says it again",
};

/// The last requests to the CRMs.
pub const REQUESTS: Queue = Queue {
    from: "crm-sender",
    to: "main",
    carries: "crm::RequestLine",
    capacity: 256,
    when_full: "the line is dropped: the list of last requests has a hole",
};

/// What is to be looked for in call detail records.
pub const WISHES: Queue = Queue {
    from: "store-keeper (after a commit), control, main",
    to: "reconcile",
    carries: "reconcile::Wish",
    capacity: 16,
    when_full: "the wish is dropped: the next night, or the next new link, looks through the same period; an order is refused",
};

/// What the window wants to know of the main thread.
pub const QUESTIONS: Queue = Queue {
    from: "http-errand",
    to: "main",
    carries: "Sender<Watched>",
    capacity: 16,
    when_full: "the page says that it cannot be shown now",
};

/// What the window wants to know of MongoDB.
pub const PAST: Queue = Queue {
    from: "http-errand",
    to: "mongodb-reader",
    carries: "PastQuestion",
    capacity: 16,
    when_full: "the recording is not served now (503); it can be asked for again",
};

/// What CRMs want done.
pub const COMMANDS: Queue = Queue {
    from: "crm-NAME-fetch",
    to: "crm-orders",
    carries: "crm::courier::Fetched",
    capacity: 100,
    when_full: "the fetcher waits and asks for no more; what expires meanwhile is not dialled",
};

/// What CRMs are to be told at once.
pub const NEWS: Queue = Queue {
    from: "store-keeper (after a commit), crm-orders, http-desk, control",
    to: "main",
    carries: "(name of the CRM, crm::courier::Report)",
    capacity: 1024,
    when_full: "dropped: the next state of that call overtakes it, and a command without an answer expires",
};

/// The same, on to each CRM.
pub const REPORTS: Queue = Queue {
    from: "main",
    to: "crm-NAME-tell",
    carries: "crm::courier::Report",
    capacity: 256,
    when_full: "dropped and logged: the CRM is too slow for its own clicks",
};

/// What CRMs answer to that.
pub const WORDS: Queue = Queue {
    from: "crm-NAME-tell",
    to: "main",
    carries: "(name of the CRM, crm::courier::Word)",
    capacity: 64,
    when_full: "dropped: the next heartbeat's answer says the same; who was forgotten is forgotten again at the next start",
};

/// Recordings that are over.
pub const RECORDED: Queue = Queue {
    from: "call-state, main",
    to: "recordings",
    carries: "recordings::Told",
    capacity: 1024,
    when_full: "dropped: the watcher's next round through the history finds it",
};

/// Which recordings are complete, and which CRMs fetch them.
pub const PUSHED: Queue = Queue {
    from: "recordings, main",
    to: "recordings-push",
    carries: "pusher::Told",
    capacity: 256,
    when_full: "dropped: it stands in the database and is pushed after the next start",
};

/// All of them, for the documentation and the status page.
pub const TABLE: [Queue; 17] = [
    HEARD, TOLD, SAVES, ASKED, OUTCOMES, ALARMS, NOTICES, REQUESTS, WISHES, QUESTIONS, PAST, COMMANDS, NEWS, REPORTS,
    WORDS, RECORDED, PUSHED,
];

/// Something other than Asterisk happened, and what must be committed together with what follows from it.
pub struct Told {
    pub input: TellCalls,
    /// Rows of the teller's own: a request and its answer, a line of the audit log.
    pub items: Vec<store::Item>,
    /// Let go once that is committed.
    pub release: Vec<Released>,
}

/// What the call-state thread can be told.
#[derive(Debug)]
pub enum TellCalls {
    /// For the core.
    Input(Box<crate::call::Input>),
    /// For nobody; comes out of the other end of the commit as [`Released::Alive`], to prove that everything moves.
    Probe(u64),
}

/// What had to wait for a commit and may now leave.
pub enum Released {
    Ask {
        pbx: PbxId,
        action_id: ActionId,
        action: Action,
    },
    Progress(Box<Progress>),
    /// A click-to-call of this CRM is stored and on its way.
    Placed {
        crm: String,
        done: crate::http::office::Done,
    },
    /// All that a new link could tell is stored; the rest may stand in the exchange's call detail records.
    Resynced(PbxId),
    /// A [`TellCalls::Probe`] has come all the way.
    Alive(u64),
}

/// What the main thread hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A probe of this number went through call-state and a commit.
    Alive(u64),
    LinkUp {
        pbx: String,
    },
    /// What an exchange runs, as `20.11.0`.
    Version {
        pbx: String,
        asterisk: String,
    },
    /// A click-to-call of this CRM was placed.
    Placed {
        crm: String,
    },
    /// Which of two connectors we are now, and what changed.
    Lease {
        role: lease::Role,
        turn: Option<lease::Turn>,
    },
    LinkDown {
        pbx: String,
        why: String,
    },
}
