//! Questions to the person at the keyboard, with defaults; or, where nobody is to be asked, the defaults.

use std::io::{self, BufRead, Write};

/// Somebody who answers.
pub struct Asker<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
    /// Nobody is asked: every question has its default as the answer.
    silent: bool,
}

/// After so many answers that will not do, whoever answers is no person.
const TRIES: usize = 5;

impl<'a> Asker<'a> {
    pub fn new(input: &'a mut dyn BufRead, output: &'a mut dyn Write, silent: bool) -> Self {
        Self { input, output, silent }
    }

    /// Says something, whether anybody is asked or not.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.output, "{text}")
    }

    /// An answer that `good` finds no fault with; `None` where there is no default and nobody to ask.
    ///
    /// # Errors
    /// If nothing can be read or written, or no answer will do.
    pub fn ask(
        &mut self,
        question: &str,
        default: Option<&str>,
        good: &dyn Fn(&str) -> Result<(), String>,
    ) -> io::Result<Option<String>> {
        if self.silent {
            return Ok(default.map(str::to_owned));
        }
        for _ in 0..TRIES {
            match default {
                Some(default) => write!(self.output, "{question} [{default}]: ")?,
                None => write!(self.output, "{question}: ")?,
            }
            self.output.flush()?;
            let line = self.line()?;
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            match good(answer) {
                Ok(()) => return Ok(Some(answer.to_owned())),
                Err(why) => writeln!(self.output, "  {why}")?,
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "no answer would do; nothing was changed"))
    }

    /// Yes or no.
    ///
    /// # Errors
    /// If nothing can be read or written.
    pub fn confirm(&mut self, question: &str) -> io::Result<bool> {
        if self.silent {
            return Ok(true);
        }
        write!(self.output, "{question} [Y/n]: ")?;
        self.output.flush()?;
        let line = self.line()?;
        Ok(matches!(line.trim(), "" | "y" | "Y" | "yes" | "д" | "да"))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nobody answers; nothing was changed"));
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_answer_is_asked_again_and_silence_takes_the_default() {
        let (mut input, mut output) = (&b"maybe\n\n7\n"[..], Vec::new());
        let mut asker = Asker::new(&mut input, &mut output, false);
        let digit = |answer: &str| answer.parse::<u8>().map(|_| ()).map_err(|_| "a digit, please".to_owned());
        assert_eq!(asker.ask("How many", None, &digit).expect("asked").as_deref(), Some("7"));
        assert!(asker.confirm("More").is_err(), "the input is over");
        let said = String::from_utf8(output).expect("text");
        assert_eq!(said.matches("a digit, please").count(), 2, "{said}");

        let (mut input, mut output) = (&b""[..], Vec::new());
        let mut asker = Asker::new(&mut input, &mut output, true);
        assert_eq!(asker.ask("How many", Some("3"), &digit).expect("default").as_deref(), Some("3"));
        assert_eq!(asker.ask("How many", None, &digit).expect("nothing"), None);
        assert!(output.is_empty());
    }
}
