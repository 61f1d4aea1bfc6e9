//! `setup`: the first configuration, asked or by flags. Finds Asterisk on this machine, writes its account and our configuration,
//! changes nothing of anybody's without asking and keeps what it replaces.
//!
//! [`wishes`] is what the person wants, found by flags, by what is there already and by questions; [`plan`] turns it into files;
//! here these are shown, written and tried.

mod ask;
mod asterisk_text;
mod files;
mod plan;
mod toml_text;
mod wishes;
mod words;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::host::Host;
use super::{Failure, doctor};
use crate::config::{Config, USUAL_FILES};
use crate::daemon::process::exit;
use ask::Asker;
use files::{Change, State};

/// What the command line says. Whatever is absent is found or asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// Nothing is asked.
    pub yes: bool,
    /// Asterisk is not told to read its files again.
    pub no_reload: bool,
    pub no_doctor: bool,
    /// Calls are only kept here.
    pub no_crm: bool,
    /// The root of Asterisk's machine, where that is a folder.
    pub asterisk_root: Option<PathBuf>,
    /// Asterisk's configuration folder, within that root.
    pub asterisk_conf: Option<PathBuf>,
    /// Name of the exchange.
    pub pbx: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub username: Option<String>,
    pub ami_secret_file: Option<PathBuf>,
    pub region: Option<String>,
    pub records: Option<String>,
    /// Name of the CRM.
    pub crm: Option<String>,
    pub crm_kind: Option<String>,
    pub crm_url: Option<String>,
    pub crm_secret_file: Option<PathBuf>,
}

/// Makes the first configuration, or mends one.
///
/// # Errors
/// If something needed is not said and nobody can be asked, or a file cannot be written. What [`doctor`] finds afterwards is
/// shown, and is no failure of this.
pub fn setup(file: Option<&Path>, flags: &Flags) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !flags.yes && !stdin.is_terminal() {
        let text = "there is nobody to ask: say --yes and give the answers as options (`pinconnector help setup`)";
        return Err(Failure::new(exit::USAGE, text));
    }
    let (mut input, mut output) = (stdin.lock(), io::stdout().lock());
    let mut asker = Asker::new(&mut input, &mut output, flags.yes);
    let file = file.map_or_else(|| PathBuf::from(USUAL_FILES[0]), Path::to_owned);
    let file = std::path::absolute(&file).map_err(|error| failed("the current folder is not known", &error))?;
    let host = Host::find(flags.asterisk_root.as_deref(), flags.asterisk_conf.as_deref());
    let asked = |error: io::Error| Failure::new(exit::USAGE, error.to_string());
    if host.is_none() && (flags.asterisk_root.is_some() || flags.asterisk_conf.is_some()) {
        return Err(Failure::new(exit::NO_INPUT, "there is no Asterisk where --asterisk-root and --asterisk-conf say"));
    }
    asker.say(&words::found(host.as_ref())).map_err(asked)?;
    let before = wishes::Before::read(&file)?;
    let wishes = wishes::Wishes::gather(flags, &before, host.as_ref(), &mut asker)?;
    let changes = plan::changes(&wishes, &before, &file, host.as_ref())?;
    let written = write(&changes, &mut asker)?;
    let to_reload = plan::reloads(&written, host.as_ref());
    if let Some(host) = &host
        && !flags.no_reload
        && !to_reload.is_empty()
        && asker.confirm("Have Asterisk read its changed files again now? No call is touched by it.").map_err(asked)?
    {
        for command in &to_reload {
            let said = reload(host, command);
            asker.say(&format!("  asterisk -rx '{command}': {said}")).map_err(asked)?;
        }
    } else if !to_reload.is_empty() {
        asker.say(&words::reload_by_hand(&to_reload)).map_err(asked)?;
    }
    asker.say(&words::afterwards(&wishes, &file, host.as_ref())).map_err(asked)?;
    drop((input, output));
    if flags.no_doctor {
        return Ok(());
    }
    let options = doctor::Options {
        asterisk_root: flags.asterisk_root.clone(),
        asterisk_conf: flags.asterisk_conf.clone(),
        ..doctor::Options::default()
    };
    super::print("\nWhat `pinconnector doctor` says of it:\n\n")?;
    // Much of it is not there yet at a first setup: the CRM's side, the dialplan's two lines.
    let config = Config::load(Some(&file)).map_err(super::check::bad)?;
    let _ = doctor::doctor(&config, &options);
    Ok(())
}

/// Shows, asks and writes what differs; gives what was written.
fn write<'c>(changes: &'c [Change], asker: &mut Asker<'_>) -> Result<Vec<&'c Change>, Failure> {
    let cannot = |error: io::Error| Failure::new(exit::USAGE, error.to_string());
    let due: Vec<(&'c Change, State)> =
        changes.iter().map(|change| (change, change.state())).filter(|(_, state)| *state != State::Same).collect();
    if due.is_empty() {
        asker.say("Everything is as it should be; no file is changed.").map_err(cannot)?;
        return Ok(Vec::new());
    }
    asker.say("\nFiles:").map_err(cannot)?;
    for (change, state) in &due {
        let how = if *state == State::New { "new    " } else { "changed" };
        asker.say(&format!("  {how}  {}  ({})", change.path.display(), change.what)).map_err(cannot)?;
    }
    let question = if due.iter().any(|(_, state)| *state == State::Differs) {
        "Write them? Of those that are changed a copy is kept beside them."
    } else {
        "Write them?"
    };
    if !asker.confirm(question).map_err(cannot)? {
        return Err(Failure::new(exit::TEMPORARY, "nothing was changed"));
    }
    let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    for (change, _) in &due {
        let kept = change.apply(&stamp).map_err(|error| failed(&change.path.display().to_string(), &error))?;
        if let Some(kept) = kept {
            asker.say(&format!("  kept: {}", kept.display())).map_err(cannot)?;
        }
    }
    Ok(due.into_iter().map(|(change, _)| change).collect())
}

/// Has Asterisk's console carry out `command`; says what came of it in a line.
fn reload(host: &Host, command: &str) -> String {
    let conf = host.etc.folder.join("asterisk.conf");
    let mut line = if host.etc.root == Path::new("/") {
        Command::new("asterisk")
    } else {
        let mut line = Command::new("chroot");
        line.arg(&host.etc.root).arg("/usr/sbin/asterisk");
        line
    };
    if host.etc.folder != Path::new(super::host::USUAL_FOLDER) {
        line.arg("-C").arg(conf);
    }
    match line.args(["-rx", command]).stdin(Stdio::null()).output() {
        Ok(done) if done.status.success() => "done".to_owned(),
        Ok(done) => {
            let said = [done.stderr, done.stdout].concat();
            let said = String::from_utf8_lossy(&said);
            format!("not done ({})", said.lines().next().unwrap_or("Asterisk does not run?").trim())
        }
        Err(error) => format!("not done (asterisk cannot be started: {error})"),
    }
}

fn failed(what: &str, error: &io::Error) -> Failure {
    let remedy = if error.kind() == io::ErrorKind::PermissionDenied { "; run it as root" } else { "" };
    Failure::new(exit::IO, format!("{what}: {error}{remedy}"))
}
