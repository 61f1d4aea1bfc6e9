//! The sound of a call, straight from the disk: answering the part of a recording that was asked for. Where its file lies
//! is found by [`crate::recording_file`]; whose sound it is and who may hear it is decided by the desk.

use super::answer::{Answer, Body};
use super::links::escape;
use super::office::RecordingPlace;
use super::request::{Method, Request};
use super::sound::{self, Coding};
use crate::recording_file::{self, Missing, Search};

/// What of the sound a request wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    Whole,
    /// From this byte, so many.
    Part {
        from: u64,
        length: u64,
    },
    /// Nothing of what there is.
    Nothing,
}

/// Reads a `Range` header against what there is. Several ranges at once, or another unit, are answered with the whole, as
/// RFC 9110 (14.2) allows.
pub fn wanted(range: &str, length: u64) -> Wanted {
    let Some(spec) = range.trim().strip_prefix("bytes=") else { return Wanted::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| {
        let text = text.trim();
        // Beyond 64 bits is beyond every file, and not another number.
        (text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(from), None) if last.trim().is_empty() && from < length => Wanted::Part { from, length: length - from },
        (Some(from), Some(to)) if from <= to && from < length => {
            Wanted::Part { from, length: to.min(length - 1) - from + 1 }
        }
        (Some(_), None) if last.trim().is_empty() => Wanted::Nothing,
        (Some(from), Some(to)) if from <= to => Wanted::Nothing,
        (None, Some(0)) if first.trim().is_empty() => Wanted::Nothing,
        (None, Some(tail)) if first.trim().is_empty() && length > 0 => {
            let tail = tail.min(length);
            Wanted::Part { from: length - tail, length: tail }
        }
        _ => Wanted::Whole,
    }
}

/// The answer to a request for this recording.
pub fn answer(request: &Request, place: &RecordingPlace, search: &[String], download: bool) -> Answer {
    let search = Search { patterns: search.to_vec(), zone: place.zone.clone() };
    let folder = place.folder.as_deref().ok_or(Missing::Folder);
    let found = folder.and_then(|folder| recording_file::find(folder, &place.file, place.started_at.0, &search));
    let found = match found {
        Ok(found) => found,
        Err(Missing::File) => {
            let text = "the file is gone: it was deleted, or moved where the connector does not look";
            return Answer::error(404, "deleted", text);
        }
        Err(Missing::Folder) => {
            return Answer::error(503, "unavailable", "the recordings folder is not there now; is it mounted?");
        }
    };
    let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (content_type, coding) = sound::kind_of(&name);
    let length = sound::length(coding, found.bytes);
    let etag = format!("\"{:x}-{:x}\"", found.bytes, found.modified_ns);
    let shown = if coding == Coding::AsItIs { name } else { format!("{name}.wav") };
    let manner = if download { "attachment" } else { "inline" };
    let plain: String =
        shown.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' }).collect();
    let dressed = |answer: Answer| {
        answer
            .with("Accept-Ranges", "bytes")
            .with("ETag", etag.clone())
            .with("Cache-Control", "private, no-cache")
            .with("Content-Disposition", format!("{manner}; filename=\"{plain}\"; filename*=UTF-8''{}", escape(&shown)))
            // Whatever lies in that file, a browser must take it for sound or nothing.
            .with("Content-Security-Policy", "default-src 'none'; media-src 'self'; sandbox")
    };
    let names_it =
        |list: &str| list.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*");
    if request.header("if-none-match").is_some_and(names_it) {
        return dressed(Answer::empty(304));
    }
    let is_current = request.header("if-range").is_none_or(|tag| tag == etag);
    let range =
        request.header("range").filter(|_| is_current && matches!(request.method(), Method::Get | Method::Head));
    let (status, from, part) = match range.map_or(Wanted::Whole, |range| wanted(range, length)) {
        Wanted::Whole => (200, 0, length),
        Wanted::Part { from, length } => (206, from, length),
        Wanted::Nothing => {
            let text = "the file is not that long";
            return Answer::error(416, "range", text).with("Content-Range", format!("bytes */{length}"));
        }
    };
    let source = match sound::open(found.file, coding, found.bytes, from) {
        Ok(source) => source,
        Err(error) => {
            log::warn!("recording {}: {error}", found.path.display());
            return Answer::error(503, "unavailable", "the file cannot be read now");
        }
    };
    let mut answer = dressed(Answer::empty(status)).with("Content-Type", content_type);
    if status == 206 {
        answer = answer.with("Content-Range", format!("bytes {from}-{}/{length}", from + part - 1));
    }
    answer.body = Body::Source { source, length: part };
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        use Wanted::{Nothing, Part, Whole};
        for (range, found) in [
            ("bytes=0-", Part { from: 0, length: 100 }),
            ("bytes=0-0", Part { from: 0, length: 1 }),
            ("bytes=10-19", Part { from: 10, length: 10 }),
            ("bytes=90-200", Part { from: 90, length: 10 }),
            ("bytes=90-99999999999999999999999", Part { from: 90, length: 10 }),
            ("bytes=-10", Part { from: 90, length: 10 }),
            ("bytes=-1000", Part { from: 0, length: 100 }),
            ("bytes=100-", Nothing),
            ("bytes=100-200", Nothing),
            ("bytes=99999999999999999999999-", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=20-10", Whole),
            ("bytes=0-1,5-6", Whole),
            ("bytes=a-b", Whole),
            ("bytes=-", Whole),
            ("bytes=1", Whole),
            ("items=1-2", Whole),
            ("", Whole),
        ] {
            assert_eq!(wanted(range, 100), found, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Nothing);
        assert_eq!(wanted("bytes=-5", 0), Whole);
    }
}
