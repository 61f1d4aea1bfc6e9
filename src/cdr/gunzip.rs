//! Reads a rotated file that was compressed (RFC 1952), a piece at a time.

use std::io::{self, BufRead, Read};

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// What a gzip file holds; reading ends with its first member, which is all that `gzip` writes.
pub struct Gunzip<R> {
    source: R,
    state: Box<InflateState>,
    over: bool,
}

impl<R: BufRead> Gunzip<R> {
    /// # Errors
    /// If `source` does not begin as a gzip file does.
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut head = [0; 10];
        source.read_exact(&mut head)?;
        if head[..3] != [0x1f, 0x8b, 8] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a gzip file"));
        }
        let flags = head[3];
        if flags & 4 != 0 {
            let mut length = [0; 2];
            source.read_exact(&mut length)?;
            io::copy(&mut source.by_ref().take(u16::from_le_bytes(length).into()), &mut io::sink())?;
        }
        for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
            // A file name or a comment, ended by zero.
            let mut text = Vec::new();
            source.by_ref().take(64 * 1024).read_until(0, &mut text)?;
        }
        if flags & 2 != 0 {
            source.read_exact(&mut [0; 2])?;
        }
        Ok(Self { source, state: InflateState::new_boxed(DataFormat::Raw), over: false })
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.over && !into.is_empty() {
            let available = self.source.fill_buf()?;
            let ended = available.is_empty();
            let done = inflate(&mut self.state, available, into, MZFlush::None);
            self.source.consume(done.bytes_consumed);
            match done.status {
                Ok(MZStatus::StreamEnd) => self.over = true,
                Ok(_) => {}
                Err(_) if done.bytes_written > 0 => {}
                Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged gzip file")),
            }
            if done.bytes_written > 0 {
                return Ok(done.bytes_written);
            }
            if ended && !self.over {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}
