//! The command line, from words to a [`Command`]. Nothing is carried out here.

use std::ffi::OsString;
use std::path::PathBuf;

use super::doctor;
use super::reconcile::Wanted;
use super::setup::Flags;

/// What the user asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// `--config FILE`; without it the usual places are tried.
    pub config: Option<PathBuf>,
    /// `--log LEVEL`, as `RUST_LOG` has it.
    pub log: Option<String>,
    pub command: Command,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    Run,
    Check { numbers: Vec<String> },
    Replay { files: Vec<PathBuf>, json: bool, per_call: bool },
    Capture { file: PathBuf, pbx: Option<String>, seconds: Option<u64>, redact: bool },
    Calls(CallsQuery),
    OutboxList { json: bool },
    OutboxRetry { record: Option<String>, crm: Option<String> },
    OutboxDrop { record: String, yes: bool },
    HistoryCopy { from: Side, to: Side, again: bool },
    Backup { file: PathBuf },
    Forget { number: String, yes: bool },
    Reconcile(Wanted),
    Password,
    Setup(Box<Flags>),
    Doctor(doctor::Options),
    Demo { fast: bool, json: bool },
    Help { topic: Option<String> },
    Version,
}

/// Where a history is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Sqlite,
    Mongodb,
}

/// Which calls `calls` shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallsQuery {
    pub json: bool,
    pub missed: bool,
    pub open: bool,
    /// A day, a moment, or a span back from now (`90m`, `2h`, `7d`), in the exchange's time zone.
    pub since: Option<String>,
    pub extension: Option<String>,
    pub client: Option<String>,
    pub conversation: Option<String>,
    pub limit: Option<u32>,
}

/// A line that cannot be understood, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine(pub String);

/// Understands the words after the program's name.
///
/// # Errors
/// If a word is unknown, or one is missing.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Line, BadLine> {
    let mut words = Words { words: words.into_iter().collect::<Vec<_>>().into_iter(), attached: None };
    let mut line = Line { config: None, log: None, command: Command::Run };
    let mut name: Option<String> = None;
    let mut options = Options::default();
    while let Some(word) = words.next_word()? {
        match word {
            Word::Option(option) => match option.as_str() {
                "--config" => line.config = Some(words.value(&option)?.into()),
                "--log" => line.log = Some(words.text(&option)?),
                "--help" | "-h" => options.help = true,
                "--version" | "-V" => name = Some("version".to_owned()),
                _ => options.take(&option, &mut words)?,
            },
            Word::Plain(word) if name.is_none() => {
                let word =
                    word.into_string().map_err(|word| BadLine(format!("no such command: {}", word.display())))?;
                name = Some(word);
            }
            Word::Plain(word) => options.plain.push(word),
        }
        words.nothing_attached()?;
    }
    // Help on nothing in particular is the list of commands, not that of the default one.
    line.command =
        if options.help { Command::Help { topic: name } } else { options.command(name.as_deref().unwrap_or("run"))? };
    Ok(line)
}

const SETUP_OPTIONS: [&str; 18] = [
    "--yes",
    "-y",
    "--pbx",
    "--crm",
    "--no-crm",
    "--no-reload",
    "--no-doctor",
    "--asterisk-root",
    "--asterisk-conf",
    "--host",
    "--port",
    "--username",
    "--ami-secret-file",
    "--region",
    "--records",
    "--crm-kind",
    "--crm-url",
    "--crm-secret-file",
];

/// Everything that any command takes; what a command does not know is complained of.
#[derive(Default)]
struct Options {
    help: bool,
    given: Vec<String>,
    numbers: Vec<String>,
    query: CallsQuery,
    per_call: bool,
    fast: bool,
    yes: bool,
    dry_run: bool,
    pbx: Option<String>,
    crm: Option<String>,
    seconds: Option<u64>,
    from: Option<Side>,
    to: Option<Side>,
    again: bool,
    no_trial: bool,
    redact: bool,
    setup: Flags,
    plain: Vec<OsString>,
}

impl Options {
    fn take(&mut self, option: &str, words: &mut Words) -> Result<(), BadLine> {
        match option {
            "--json" => self.query.json = true,
            "--missed" => self.query.missed = true,
            "--open" => self.query.open = true,
            "--per-call" => self.per_call = true,
            "--fast" => self.fast = true,
            "--yes" | "-y" => self.yes = true,
            "--dry-run" => self.dry_run = true,
            "--number" => self.numbers.push(words.text(option)?),
            "--since" => self.query.since = Some(words.text(option)?),
            "--extension" => self.query.extension = Some(words.text(option)?),
            "--client" => self.query.client = Some(words.text(option)?),
            "--conversation" => self.query.conversation = Some(words.text(option)?),
            "--limit" => self.query.limit = Some(words.number(option)?),
            "--seconds" => self.seconds = Some(words.number(option)?),
            "--pbx" => self.pbx = Some(words.text(option)?),
            "--crm" => self.crm = Some(words.text(option)?),
            "--from" => self.from = Some(side(option, &words.text(option)?)?),
            "--to" => self.to = Some(side(option, &words.text(option)?)?),
            "--again" => self.again = true,
            _ => self.take_for_setup(option, words)?,
        }
        self.given.push(option.to_owned());
        Ok(())
    }

    fn take_for_setup(&mut self, option: &str, words: &mut Words) -> Result<(), BadLine> {
        let setup = &mut self.setup;
        match option {
            "--redact" => self.redact = true,
            "--no-trial" => self.no_trial = true,
            "--no-crm" => setup.no_crm = true,
            "--no-reload" => setup.no_reload = true,
            "--no-doctor" => setup.no_doctor = true,
            "--port" => setup.port = Some(words.number(option)?),
            "--asterisk-root" => setup.asterisk_root = Some(words.value(option)?.into()),
            "--asterisk-conf" => setup.asterisk_conf = Some(words.value(option)?.into()),
            "--ami-secret-file" => setup.ami_secret_file = Some(words.value(option)?.into()),
            "--crm-secret-file" => setup.crm_secret_file = Some(words.value(option)?.into()),
            "--host" => setup.host = Some(words.text(option)?),
            "--username" => setup.username = Some(words.text(option)?),
            "--region" => setup.region = Some(words.text(option)?),
            "--records" => setup.records = Some(words.text(option)?),
            "--crm-kind" => setup.crm_kind = Some(words.text(option)?),
            "--crm-url" => setup.crm_url = Some(words.text(option)?),
            _ => return Err(BadLine(format!("no such option: {option}"))),
        }
        Ok(())
    }

    fn command(mut self, name: &str) -> Result<Command, BadLine> {
        let command = match name {
            "run" => {
                self.knows(name, &[])?;
                Command::Run
            }
            "check" => {
                self.knows(name, &["--number"])?;
                Command::Check { numbers: std::mem::take(&mut self.numbers) }
            }
            "replay" => {
                self.knows(name, &["--json", "--per-call"])?;
                let files: Vec<PathBuf> = self.plain.drain(..).map(PathBuf::from).collect();
                if files.is_empty() {
                    return Err(BadLine("replay needs at least one file: pinconnector replay TRACE.ami".to_owned()));
                }
                Command::Replay { files, json: self.query.json, per_call: self.per_call }
            }
            "capture" => {
                self.knows(name, &["--pbx", "--seconds", "--redact"])?;
                let file = self.one("capture needs a file to write: pinconnector capture TRACE.ami")?.into();
                Command::Capture { file, pbx: self.pbx.take(), seconds: self.seconds, redact: self.redact }
            }
            "calls" => {
                let known =
                    ["--json", "--missed", "--open", "--since", "--extension", "--client", "--conversation", "--limit"];
                self.knows(name, &known)?;
                Command::Calls(std::mem::take(&mut self.query))
            }
            "outbox" => self.outbox()?,
            "history" => self.history()?,
            "backup" => {
                self.knows(name, &[])?;
                Command::Backup { file: self.one("backup needs a file to write: pinconnector backup FILE")?.into() }
            }
            "forget" => {
                self.knows(name, &["--yes", "-y"])?;
                let number = text(self.one("forget needs a number: pinconnector forget +79161234567")?)?;
                Command::Forget { number, yes: self.yes }
            }
            "reconcile" => {
                self.knows(name, &["--since", "--pbx", "--dry-run", "--json"])?;
                let (since, pbx) = (self.query.since.take(), self.pbx.take());
                Command::Reconcile(Wanted { since, pbx, dry_run: self.dry_run, json: self.query.json })
            }
            "password" => {
                self.knows(name, &[])?;
                Command::Password
            }
            "setup" => {
                self.knows(name, &SETUP_OPTIONS)?;
                let (yes, pbx, crm) = (self.yes, self.pbx.take(), self.crm.take());
                Command::Setup(Box::new(Flags { yes, pbx, crm, ..std::mem::take(&mut self.setup) }))
            }
            "doctor" => {
                self.knows(name, &["--json", "--no-trial", "--asterisk-root", "--asterisk-conf"])?;
                Command::Doctor(doctor::Options {
                    json: self.query.json,
                    asterisk_root: self.setup.asterisk_root.take(),
                    asterisk_conf: self.setup.asterisk_conf.take(),
                    no_trial: self.no_trial,
                })
            }
            "demo" => {
                self.knows(name, &["--fast", "--json"])?;
                Command::Demo { fast: self.fast, json: self.query.json }
            }
            "help" => {
                let topic = if self.plain.is_empty() { None } else { Some(text(self.plain.remove(0))?) };
                Command::Help { topic }
            }
            "version" => Command::Version,
            other => return Err(BadLine(format!("no such command: {other}"))),
        };
        match self.plain.first() {
            Some(word) => Err(BadLine(format!("{name} takes no more words: {}", word.display()))),
            None => Ok(command),
        }
    }

    fn outbox(&mut self) -> Result<Command, BadLine> {
        let what = if self.plain.is_empty() { "list".to_owned() } else { text(self.plain.remove(0))? };
        match what.as_str() {
            "list" => {
                self.knows("outbox list", &["--json"])?;
                Ok(Command::OutboxList { json: self.query.json })
            }
            "retry" => {
                self.knows("outbox retry", &["--crm"])?;
                let record = if self.plain.is_empty() { None } else { Some(text(self.plain.remove(0))?) };
                Ok(Command::OutboxRetry { record, crm: self.crm.take() })
            }
            "drop" => {
                self.knows("outbox drop", &["--yes", "-y"])?;
                let record = text(self.one("outbox drop needs the id of a record, as `outbox list` shows it")?)?;
                Ok(Command::OutboxDrop { record, yes: self.yes })
            }
            other => Err(BadLine(format!("outbox knows list, retry and drop, not {other}"))),
        }
    }

    fn history(&mut self) -> Result<Command, BadLine> {
        let usage = "write it as: pinconnector history copy --from sqlite --to mongodb";
        let what = text(self.one(usage)?)?;
        if what != "copy" {
            return Err(BadLine(format!("history knows copy, not {what}; {usage}")));
        }
        self.knows("history copy", &["--from", "--to", "--again"])?;
        match (self.from, self.to) {
            (Some(from), Some(to)) if from != to => Ok(Command::HistoryCopy { from, to, again: self.again }),
            _ => Err(BadLine(format!("history copy needs two sides; {usage}"))),
        }
    }

    fn one(&mut self, missing: &str) -> Result<OsString, BadLine> {
        if self.plain.is_empty() { Err(BadLine(missing.to_owned())) } else { Ok(self.plain.remove(0)) }
    }

    fn knows(&self, name: &str, known: &[&str]) -> Result<(), BadLine> {
        match self.given.iter().find(|option| !known.contains(&option.as_str())) {
            Some(option) => Err(BadLine(format!("{name} has no option {option}"))),
            None => Ok(()),
        }
    }
}

fn side(option: &str, word: &str) -> Result<Side, BadLine> {
    match word {
        "sqlite" => Ok(Side::Sqlite),
        "mongodb" => Ok(Side::Mongodb),
        other => Err(BadLine(format!("{option} is sqlite or mongodb, not {other}"))),
    }
}

enum Word {
    Option(String),
    Plain(OsString),
}

/// The words, with `--option=value` taken apart.
struct Words {
    words: std::vec::IntoIter<OsString>,
    attached: Option<(String, OsString)>,
}

impl Words {
    fn next_word(&mut self) -> Result<Option<Word>, BadLine> {
        let Some(word) = self.words.next() else { return Ok(None) };
        if word.to_str().is_none_or(|text| !text.starts_with('-') || text == "-") {
            return Ok(Some(Word::Plain(word)));
        }
        let text = text(word)?;
        match text.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                self.attached = Some((option.to_owned(), value.into()));
                Ok(Some(Word::Option(option.to_owned())))
            }
            _ => Ok(Some(Word::Option(text))),
        }
    }

    fn value(&mut self, option: &str) -> Result<OsString, BadLine> {
        let value = self.attached.take().map(|(_, value)| value).or_else(|| self.words.next());
        value.ok_or_else(|| BadLine(format!("{option} needs a value")))
    }

    fn text(&mut self, option: &str) -> Result<String, BadLine> {
        text(self.value(option)?)
    }

    fn number<T: std::str::FromStr>(&mut self, option: &str) -> Result<T, BadLine> {
        let text = self.text(option)?;
        text.parse().map_err(|_| BadLine(format!("{option} needs a number, not {text}")))
    }

    /// Complains of a value given to an option that takes none.
    fn nothing_attached(&self) -> Result<(), BadLine> {
        match &self.attached {
            Some((option, _)) => Err(BadLine(format!("{option} takes no value"))),
            None => Ok(()),
        }
    }
}

fn text(word: OsString) -> Result<String, BadLine> {
    word.into_string().map_err(|word| BadLine(format!("not UTF-8: {}", word.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Result<Line, String> {
        parse(words.split_whitespace().map(OsString::from)).map_err(|bad| bad.0)
    }

    fn command(words: &str) -> Command {
        line(words).expect("a good line").command
    }

    #[test]
    fn without_a_word_the_service_runs() {
        assert_eq!(command(""), Command::Run);
        assert_eq!(line("--config /x.toml").expect("good").config, Some("/x.toml".into()));
        assert_eq!(line("check --config=/x.toml --log debug").expect("good").log, Some("debug".to_owned()));
    }

    #[test]
    fn commands_take_their_words_and_options() {
        let files = vec!["a.ami".into(), "b.ami".into()];
        assert_eq!(command("replay a.ami --per-call b.ami"), Command::Replay { files, json: false, per_call: true });
        let number = "+79161234567".to_owned();
        assert_eq!(command("forget -y +79161234567"), Command::Forget { number, yes: true });
        let back = Command::HistoryCopy { from: Side::Mongodb, to: Side::Sqlite, again: true };
        assert_eq!(command("history copy --from mongodb --to=sqlite --again"), back);
        assert_eq!(command("outbox"), Command::OutboxList { json: false });
        assert_eq!(command("outbox retry"), Command::OutboxRetry { record: None, crm: None });
        let query = CallsQuery { missed: true, since: Some("2h".to_owned()), ..CallsQuery::default() };
        assert_eq!(command("calls --missed --since 2h"), Command::Calls(query));
        let Command::Setup(flags) = command("setup --yes --region RU --port 5039 --asterisk-root /srv/pbx") else {
            panic!("setup")
        };
        assert!(flags.yes && flags.region.as_deref() == Some("RU") && flags.port == Some(5039));
        assert_eq!(flags.asterisk_root, Some("/srv/pbx".into()));
        let doctor = doctor::Options { json: true, no_trial: true, ..doctor::Options::default() };
        assert_eq!(command("doctor --json --no-trial"), Command::Doctor(doctor));
        assert_eq!(command("demo --help"), Command::Help { topic: Some("demo".to_owned()) });
        assert_eq!(command("--help"), Command::Help { topic: None });
        assert_eq!(command("--version"), Command::Version);
    }

    #[test]
    fn a_bad_line_says_what_is_bad() {
        for (words, why) in [
            ("dance", "no such command: dance"),
            ("run --fast", "run has no option --fast"),
            ("demo --faster", "no such option: --faster"),
            ("run --region RU", "run has no option --region"),
            ("demo --fast=yes", "--fast takes no value"),
            ("calls --since", "--since needs a value"),
            ("calls --limit many", "--limit needs a number, not many"),
            ("replay", "replay needs at least one file: pinconnector replay TRACE.ami"),
            ("check it", "check takes no more words: it"),
            ("history", "write it as: pinconnector history copy --from sqlite --to mongodb"),
            ("history copy --from here", "--from is sqlite or mongodb, not here"),
            ("outbox burn", "outbox knows list, retry and drop, not burn"),
        ] {
            assert_eq!(line(words), Err(why.to_owned()), "{words}");
        }
    }
}
