//! Writes down what a link reads, so that [`super::replay`] can play it: every byte, and when each message came.

use super::redact::{Redacting, Redactor};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Opens the recording of the connection with this number, counted from 1. Called by the link at every new connection.
pub type OpenCapture = Box<dyn FnMut(u32) -> io::Result<Capture> + Send>;

/// The recording of one connection.
pub struct Capture {
    ami: Box<dyn Write + Send>,
    timing: Box<dyn Write + Send>,
    /// When the first connection was made; the clock of later ones runs on.
    begun: Instant,
}

impl Capture {
    pub fn new(ami: Box<dyn Write + Send>, timing: Box<dyn Write + Send>, begun: Instant) -> Self {
        Self { ami, timing, begun }
    }

    /// Recordings beside each other: `NAME.ami` and `NAME.timing` for the first connection, `NAME_part2.ami` … for those
    /// that came after the link broke. Files that are there already are not overwritten. With a redactor nothing reaches the
    /// disk that it takes out.
    pub fn into_files(ami: &Path, redactor: Option<Redactor>) -> OpenCapture {
        let stem = ami.with_extension("");
        let mut begun = None;
        Box::new(move |connection| {
            let begun = *begun.get_or_insert_with(Instant::now);
            let mut name = stem.clone().into_os_string();
            if connection > 1 {
                name.push(format!("_part{connection}"));
            }
            let open = |ending: &str| {
                let mut path = name.clone();
                path.push(ending);
                let path = PathBuf::from(path);
                let file = File::create_new(&path);
                file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            };
            let (ami, timing) = (BufWriter::new(open(".ami")?), BufWriter::new(open(".timing")?));
            let ami: Box<dyn Write + Send> = match &redactor {
                Some(redactor) => Box::new(Redacting::new(redactor.clone(), ami)),
                None => Box::new(ami),
            };
            Ok(Self::new(ami, Box::new(timing), begun))
        })
    }

    /// Bytes as they were read.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ami.write_all(bytes)
    }

    /// A message (or the greeting) that begins at `offset` has come.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn message_at(&mut self, offset: u64) -> io::Result<()> {
        let ms = self.begun.elapsed().as_secs_f64() * 1000.0;
        writeln!(self.timing, "{ms:.1}\t{offset}")
    }

    /// Everything is on its way to the disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.ami.flush()?;
        self.timing.flush()
    }
}
