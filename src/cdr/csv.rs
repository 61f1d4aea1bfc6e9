//! `kind = "csv"`: Master.csv of `cdr_csv`, or a file of `cdr_custom`, with the rotated ones beside it.
//!
//! Asterisk writes a line when a call ends, so a file is in order of that time, more or less: a period is found by halving, and
//! what was compressed is read through.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::bufread::MultiGzDecoder;
use jiff::tz::TimeZone;

use super::columns::{Columns, LocalMs};
use super::settings::CdrSettings;
use super::{CdrError, Lines, local_time};

/// Lines may stand out of order by this much: batches, and a wrong zone in the configuration.
const DISORDER_MS: i64 = 27 * 3_600_000;
/// A line longer than this is none.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// Rotated files beside it that are looked at; the newest first.
const MAX_FILES: usize = 400;

/// The lines of the period from every file that may hold some.
pub(crate) fn read(settings: &CdrSettings, zone: &TimeZone, since_ms: i64, until_ms: i64) -> Result<Lines, CdrError> {
    let path = settings.path();
    let files = files(&path, since_ms)?;
    let period = (local_time::local(since_ms, zone) - DISORDER_MS, local_time::local(until_ms, zone) + DISORDER_MS);
    let mut lines = Lines::default();
    let mut columns = settings.columns();
    for file in files {
        let fault = |error: io::Error| CdrError::new(format!("{} cannot be read: {error}", file.display()));
        let opened = File::open(&file).map_err(fault)?;
        if file.extension().is_some_and(|extension| extension == "gz") {
            let mut reader = BufReader::new(MultiGzDecoder::new(BufReader::new(opened)));
            take(&mut reader, &mut columns, period, &mut lines, fault)?;
        } else {
            let mut reader = BufReader::with_capacity(64 * 1024, opened);
            learn(&mut reader, &mut columns).map_err(fault)?;
            if let Some(columns) = &columns {
                seek(&mut reader, columns, period.0).map_err(fault)?;
            }
            take(&mut reader, &mut columns, period, &mut lines, fault)?;
        }
    }
    Ok(lines)
}

/// The file and the rotated ones beside it (`Master.csv.1`, `Master.csv-20261122.gz`) that were written since, oldest first.
fn files(path: &Path, since_ms: i64) -> Result<Vec<PathBuf>, CdrError> {
    let fault = |error: io::Error| CdrError::new(format!("{} cannot be read: {error}", path.display()));
    let since = UNIX_EPOCH + Duration::from_millis(u64::try_from(since_ms.saturating_sub(DISORDER_MS)).unwrap_or(0));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let other = entry.file_name();
        let Some(rest) = other.to_str().and_then(|other| other.strip_prefix(name)) else { continue };
        let rotated = rest.is_empty() || rest.starts_with(['.', '-']);
        let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
        if let Ok(written) = metadata.modified()
            && rotated
            && metadata.is_file()
            && (written >= since || rest.is_empty())
        {
            found.push((written, entry.path()));
        }
    }
    if !found.iter().any(|(_, file)| file == path) && found.is_empty() {
        return Err(CdrError::new(format!("there is no file {}", path.display())));
    }
    // Rotated ones keep the time of their last line; the one being written is the newest, and so it is where times are equal.
    found.sort_by_key(|(written, file)| (*written, file == path, std::cmp::Reverse(file.clone())));
    let surplus = found.len().saturating_sub(MAX_FILES);
    Ok(found.into_iter().skip(surplus).map(|(_, file)| file).collect())
}

/// Learns from the first lines what the columns are; leaves the reader at the beginning.
fn learn<R: BufRead + Seek>(reader: &mut R, columns: &mut Option<Columns>) -> io::Result<()> {
    let mut line = Vec::new();
    for _ in 0..100 {
        if !next_line(reader, &mut line)? {
            break;
        }
        understand(&values(&String::from_utf8_lossy(&line)), columns);
        if columns.is_some() {
            break;
        }
    }
    reader.seek(SeekFrom::Start(0))?;
    Ok(())
}

/// A header says what follows; without one, and without names in the configuration, `cdr_csv` is recognised. Answers whether
/// this was a header.
fn understand(values: &[String], columns: &mut Option<Columns>) -> bool {
    if Columns::is_header(values) {
        if let Ok(named) = Columns::named(values) {
            *columns = Some(named);
        }
        return true;
    }
    if columns.is_none() {
        *columns = Columns::of_cdr_csv(values);
    }
    false
}

/// Halves the file until the first line that ended at `from` or later is near; leaves the reader at the beginning of a line.
fn seek<R: BufRead + Seek>(reader: &mut R, columns: &Columns, from: LocalMs) -> io::Result<()> {
    let (mut low, mut high) = (0, reader.seek(SeekFrom::End(0))?);
    let mut line = Vec::new();
    while high - low > 2 * MAX_LINE_BYTES {
        let middle = low + (high - low) / 2;
        reader.seek(SeekFrom::Start(middle))?;
        // The rest of a line; the next ones are whole.
        next_line(reader, &mut line)?;
        let mut ended = None;
        for _ in 0..16 {
            if ended.is_some() || !next_line(reader, &mut line)? {
                break;
            }
            ended = columns.ended(&values(&String::from_utf8_lossy(&line)));
        }
        match ended {
            Some(ended) if ended >= from => high = middle,
            Some(_) => low = middle,
            None => break,
        }
    }
    reader.seek(SeekFrom::Start(low))?;
    if low > 0 {
        next_line(reader, &mut line)?;
    }
    Ok(())
}

fn take<R: BufRead>(
    reader: &mut R,
    columns: &mut Option<Columns>,
    period: (LocalMs, LocalMs),
    lines: &mut Lines,
    fault: impl Fn(io::Error) -> CdrError,
) -> Result<(), CdrError> {
    let mut line = Vec::new();
    while next_line(reader, &mut line).map_err(&fault)? {
        let values = values(&String::from_utf8_lossy(&line));
        if understand(&values, columns) {
            continue;
        }
        match columns.as_ref().and_then(|columns| Some((columns, columns.ended(&values)?))) {
            Some((columns, ended)) if ended >= period.0 && ended <= period.1 => lines.push(columns, &values)?,
            Some(_) => {}
            None => lines.skipped += 1,
        }
    }
    Ok(())
}

/// One line without its end. A line that Asterisk is still writing (without an end) is no line yet; one that is too long is cut.
fn next_line<R: BufRead>(reader: &mut R, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        return Ok(true);
    }
    if (line.len() as u64) < MAX_LINE_BYTES {
        return Ok(false);
    }
    // The rest of a line that cannot be one.
    let mut rest = Vec::new();
    while reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut rest)? > 0 && rest.last() != Some(&b'\n') {
        rest.clear();
    }
    Ok(true)
}

/// The values of a line (RFC 4180): quoted ones hold commas, and quotes twice.
pub fn values(line: &str) -> Vec<String> {
    let mut values = Vec::with_capacity(24);
    let mut value = String::new();
    let mut letters = line.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                value.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if value.is_empty() => quoted = true,
            ',' if !quoted => values.push(std::mem::take(&mut value)),
            letter => value.push(letter),
        }
    }
    values.push(value);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_apart_as_asterisk_quotes_them() {
        for (line, expected) in [
            (r#""a","b,c","d""e""#, vec!["a", "b,c", "d\"e"]),
            (r#""""Ivan"" <101>",101,"#, vec!["\"Ivan\" <101>", "101", ""]),
            ("", vec![""]),
            (r#""open"#, vec!["open"]),
        ] {
            assert_eq!(values(line), expected, "{line}");
        }
    }

    #[test]
    fn a_period_is_found_in_a_long_file() {
        let columns =
            Columns::named(&["channel", "dstchannel", "lastapp", "start", "duration", "disposition"]).expect("enough");
        let mut text = String::new();
        for minute in 0..60_000_i64 {
            let at = jiff::Timestamp::from_second(1_790_000_000 + minute * 60).expect("a time");
            text.push_str(&format!("SIP/1-{minute:08x},,Dial,{},5,ANSWERED\n", at.strftime("%Y-%m-%d %H:%M:%S")));
        }
        let mut reader = BufReader::new(io::Cursor::new(text.as_bytes()));
        for from in [0, 1_790_000_000_000, 1_792_000_000_000, 1_793_599_000_000, 1_800_000_000_000] {
            seek(&mut reader, &columns, from).expect("readable");
            let at = reader.stream_position().expect("a place");
            let mut line = Vec::new();
            let first = next_line(&mut reader, &mut line)
                .expect("readable")
                .then(|| columns.ended(&values(&String::from_utf8_lossy(&line))).expect("a row"));
            // Before the first row or after the last one there is nothing nearer.
            let wanted = from.clamp(1_790_000_005_000, 1_793_599_945_000);
            assert!(first.is_none_or(|first| first <= wanted), "{from}: began after it");
            let skipped_too_little = first.is_some_and(|first| wanted - first > 3 * 60_000 * 2_000);
            assert!(at == 0 || !skipped_too_little, "{from}: {at}");
        }
    }
}
