//! A mongod of the laboratory, obeying lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// Everything it started ends with this value: its standard input is closed then.
pub struct Lab {
    child: Child,
    /// None once it is to end.
    input: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub uri: String,
}

impl Lab {
    /// `standalone` or `replica-set`; waits until it takes writes.
    pub fn start(what: &str) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/mongod");
        let mut child = Command::new(program)
            .arg(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/lab/mongod runs");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut lab = Self { child, input, answers: BufReader::new(output), uri: String::new() };
        let line = lab.line();
        lab.uri = line.strip_prefix("ready ").unwrap_or_else(|| panic!("no mongod: {line}")).to_owned();
        lab
    }

    /// Has it do something; answers what it said beside "ok".
    pub fn order(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().expect("piped"), "{line}").expect("the shell listens");
        let answer = self.line();
        answer.strip_prefix("ok").unwrap_or_else(|| panic!("{line}: {answer}")).trim().to_owned()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the shell answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// One mongod for every test that leaves it as it was; ends with the process.
pub fn shared() -> MutexGuard<'static, Lab> {
    static LAB: OnceLock<Mutex<Lab>> = OnceLock::new();
    LAB.get_or_init(|| Mutex::new(Lab::start("standalone"))).lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
