//! What `pinconnector help` says: one entry per command, which the man page is tested against.

/// A command as the help shows it.
pub struct Topic {
    pub name: &'static str,
    /// The words and options it takes.
    pub synopsis: &'static str,
    /// One line for the list of commands.
    pub brief: &'static str,
    /// The rest, for `help NAME`.
    pub details: &'static str,
}

/// Every command, in the order of the list.
pub const TOPICS: [Topic; 17] = [
    Topic {
        name: "run",
        synopsis: "run",
        brief: "the service (also without any command)",
        details: "Connects to every [[asterisk]] of the configuration, keeps the calls in the local database and delivers \
them to every [[crm]].
SIGTERM ends it in order, SIGHUP makes it read its configuration again without dropping a call; SIGUSR1 hands over to the other \
connector, where there are two ([pair]).",
    },
    Topic {
        name: "setup",
        synopsis: "setup [OPTIONS]",
        brief: "makes the first configuration, and Asterisk's side of it",
        details: "Asks what it cannot find out. Finds Asterisk on this machine, writes its manager account with a new secret, switches \
call records over the manager interface on, puts the pieces of dialplan beside, writes the configuration, has Asterisk read \
its files again and says what is left to do. Files that are there are only changed where needed, after asking, and a copy is \
kept. Of FreePBX only files that end in _custom.conf are touched. Where Asterisk runs elsewhere, its files are put into \
for-asterisk/ beside the configuration. Once more, it keeps what it finds and changes what is said.
--yes                   ask nothing: what is not said is found, or kept as it is
--region RU             the country whose numbers you dial; has no default
--host HOST --port N    where Asterisk's manager interface is (127.0.0.1, or as manager.conf says)
--username NAME         its account (pinconnector)
--ami-secret-file FILE  the account's secret, instead of the one that is there or a new one
--pbx NAME              name of the exchange (office)
--records KIND          per-phone or per-call
--crm-kind KIND         calls (vTiger with our module), pbxmanager (vTiger as it is), webhook, none
--crm-url URL           where it is
--crm-secret-file FILE  the secret it has; else one is made, to be entered there
--crm NAME              its name (vtiger)
--no-crm                leave the CRM out of it
--no-reload             do not have Asterisk read its files again
--no-doctor             do not try everything afterwards
--asterisk-root DIR     Asterisk's machine is this folder (a chroot, a container)
--asterisk-conf DIR     its configuration is there, within that root (/etc/asterisk)",
    },
    Topic {
        name: "doctor",
        synopsis: "doctor [--json] [--no-trial] [--asterisk-root DIR] [--asterisk-conf DIR]",
        brief: "tries everything against the live systems, and says what to do",
        details: "A line per check: ok, warning, FAILURE, or ? for what cannot be found out from here; below it what to do. The exit \
code is 69 if anything fails, else 0. Each exchange: login, every right, which events arrive, call records, version, secrets, \
recordings, what counts as extension and trunk, contexts without a catch-all. Each CRM: reachable, secret, clock, users and \
extensions. This machine: service, database, disk, the dialplan's port. Nothing is changed anywhere.
To see which events arrive, a call from nowhere to nowhere is placed: nobody's phone rings, no record is made; Asterisk may \
write two CDRs with the result FAILED.
--json                one finding a line: about, check, level, text, remedy
--no-trial            do without that call
--asterisk-root DIR   Asterisk's machine is this folder (a chroot, a container)
--asterisk-conf DIR   its configuration is there, within that root (/etc/asterisk)",
    },
    Topic {
        name: "check",
        synopsis: "check [--number TEXT]...",
        brief: "says everything that is wrong with the configuration",
        details: "Each problem comes with its line and what to do about it; the exit code is 78 if there is one, else 0.
--number TEXT   instead show how a number as people write it, '8 (916) 123-45-67 доб. 12', is compared and dialled",
    },
    Topic {
        name: "replay",
        synopsis: "replay FILE... [--json] [--per-call]",
        brief: "turns recorded AMI sessions into call records",
        details: "Needs no configuration; with --config the rules and numbers of that file are used. Several files are one \
link after another. Times come from FILE's .timing beside it, or from Timestamp headers.
--json       one record a line on standard output, everything else on standard error
--per-call   one record per conversation instead of one per phone",
    },
    Topic {
        name: "capture",
        synopsis: "capture FILE [--redact] [--pbx NAME] [--seconds N]",
        brief: "records the live AMI session, for a bug report",
        details: "Logs in as configured and writes every byte that Asterisk says to FILE, with the time of each message in \
FILE's .timing, until Ctrl-C. `replay FILE` shows what the connector makes of it.
The file holds numbers and names of real people. The login is not in it.
--redact      replaces numbers (their last six digits), names, secrets and the values of channel variables before anything \
reaches the disk, the same always by the same; the calls that come out are the same. Extensions, trunks, queues and \
contexts stay as they are
--pbx NAME    which [[asterisk]], where there are several
--seconds N   end by itself",
    },
    Topic {
        name: "calls",
        synopsis: "calls [--missed] [--open] [--since WHEN] [--extension N] [--client N] [--limit N] [--json]
pinconnector calls --conversation ID",
        brief: "calls, the newest last",
        details: "--missed          clients nobody answered
--open            what is going on now
--since WHEN      90m, 2h, 7d, 2026-11-22 or '2026-11-22 14:30', in the configured time zone
--extension N     calls of this extension
--client N        calls with this number, in any form it is written
--limit N         at most so many (50)
--json            one record a line
--conversation ID the whole conversation with its timeline, as a tree
They come from the local database; with [store] kind = \"mongodb\" those before its last days from MongoDB. If that is away, what \
is here is shown, and the exit code is 69.",
    },
    Topic {
        name: "outbox",
        synopsis: "outbox [list [--json] | retry [RECORD] [--crm NAME] | drop RECORD [--yes]]",
        brief: "what waits for a CRM, since when, and why",
        details: "list            everything that waits or was refused
retry           try now what waits or was refused: one record, those of one CRM, or all
drop RECORD     never deliver this one (asks first)
All work whether the service runs or not.",
    },
    Topic {
        name: "history",
        synopsis: "history copy --from sqlite|mongodb --to mongodb|sqlite [--again]",
        brief: "moves the history between the local database and MongoDB",
        details: "Copies every call of the configured exchanges; what is there in a younger state stays, and nothing is removed. The \
service may run. Broken off, the same command goes on where it was.
Where to is [store.mongodb]; first set kind = \"mongodb\" and restart, then copy: so there is no gap.
--again   from the beginning, whatever was copied before",
    },
    Topic {
        name: "reconcile",
        synopsis: "reconcile [--since WHEN] [--pbx NAME] [--dry-run] [--json]",
        brief: "compares the calls with Asterisk's own records and imports what is missing",
        details: "Reads the call detail records that [asterisk.cdr] names, and says for each exchange that all calls are \
present, or which were missing, and what cannot be checked. The service does the same after every broken link and each night \
([reconcile] at).
--since WHEN  how far back, as in `calls`; a day by default
--pbx NAME    only this exchange
--dry-run     import nothing
--json        one report a line",
    },
    Topic {
        name: "backup",
        synopsis: "backup FILE",
        brief: "a consistent copy of the database while the service runs",
        details: "FILE must not exist. To restore, stop the service and put the copy where `[store] path` says.",
    },
    Topic {
        name: "forget",
        synopsis: "forget NUMBER [--yes]",
        brief: "removes a client's number and name from history and outbox",
        details: "Asks first. The calls stay as figures, without number, name and recordings.",
    },
    Topic {
        name: "demo",
        synopsis: "demo [--fast] [--json]",
        brief: "shows the whole service at work, without Asterisk and CRM",
        details: "Plays recorded sessions of a real Asterisk as a live exchange on this machine; the service turns them into \
call records and delivers them over HTTP to a small CRM of the demo's own. Nothing is left behind.
--fast   twenty times as fast
--json   the delivered records, one a line",
    },
    Topic {
        name: "help",
        synopsis: "help [COMMAND]",
        brief: "this list, or one command in detail",
        details: "",
    },
    Topic {
        name: "password",
        synopsis: "password",
        brief: "makes the hash of a password for the status page",
        details: "Reads the password from the keyboard (unseen) or standard input, and prints the line for [[http.user]]:
    [[http.user]]
    name = \"anna\"
    role = \"viewer\"        (or \"admin\", who hears recordings and settles missed calls)
    password_hash = ...",
    },
    Topic { name: "version", synopsis: "version", brief: "the version of this program", details: "" },
    Topic {
        name: "options",
        synopsis: "[--config FILE] [--log LEVEL] COMMAND",
        brief: "what every command takes",
        details: "--config FILE   default /etc/pinconnector/pinconnector.toml, then ./pinconnector.toml
--log LEVEL     error, warn, info, debug, trace, or by module as RUST_LOG has it (pinconnector::ami=trace)

Exit codes: 0 good, 64 bad command line, 65 bad data, 66 file not found, 69 something needed is not there,
74 input or output failed, 78 bad configuration.",
    },
];

/// The list of commands.
pub fn overview() -> String {
    let mut text = String::from(
        "PINconnector joins an Asterisk telephone exchange to a CRM: every call becomes a record, and none is lost.

usage: pinconnector [--config FILE] [--log LEVEL] [COMMAND]

",
    );
    for topic in &TOPICS {
        text.push_str(&format!("  {:<9} {}\n", topic.name, topic.brief));
    }
    text.push_str("\nNew here? `pinconnector demo` shows it at work. `pinconnector help COMMAND` says more.\n");
    text
}

/// One command in detail.
pub fn topic(name: &str) -> Option<String> {
    let topic = TOPICS.iter().find(|topic| topic.name == name)?;
    let gap = if topic.details.is_empty() { "" } else { "\n" };
    Some(format!(
        "usage: pinconnector {}\n\n{}\n{gap}{}{}",
        topic.synopsis,
        topic.brief,
        topic.details,
        if gap.is_empty() { "" } else { "\n" }
    ))
}
