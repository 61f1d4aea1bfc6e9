//! Which value of a line is what: by a header, by the names in the configuration, or by how many values `cdr_csv` wrote.

use crate::asterisk::ChannelName;
use crate::call::cdr::{Disposition, Row};

/// What a call detail record may hold and we read. Others are passed over by any name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    CallerId,
    Source,
    Destination,
    Context,
    Channel,
    DestinationChannel,
    Application,
    ApplicationData,
    Start,
    Answer,
    End,
    Duration,
    Billable,
    Disposition,
    Uniqueid,
    Linkedid,
    Sequence,
    UserField,
    RecordingFile,
    Did,
}

/// The order of `cdr_csv`; what follows depends on `loguniqueid`, `loguserfield` and `newcdrcolumns`.
const CDR_CSV: [&str; 16] = [
    "accountcode",
    "src",
    "dst",
    "dcontext",
    "clid",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "start",
    "answer",
    "end",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
];
/// With `newcdrcolumns = yes`, at the end.
const NEW_COLUMNS: [&str; 3] = ["peeraccount", "linkedid", "sequence"];

/// A local time without its zone, in milliseconds as if it were UTC.
pub type LocalMs = i64;

/// A row whose times are still local.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Its times are [`LocalMs`].
    pub row: Row,
}

/// What each value of a line is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns(Vec<Option<Column>>);

impl Columns {
    /// By names: those of `${CDR(name)}`, of `cdr_custom.conf`, or of FreePBX's table.
    ///
    /// # Errors
    /// Which column is missing that no row can do without.
    pub fn named<T: AsRef<str>>(names: &[T]) -> Result<Self, &'static str> {
        let columns: Vec<Option<Column>> = names.iter().map(|name| column(name.as_ref())).collect();
        for (needed, name) in [
            (Column::Channel, "channel"),
            (Column::DestinationChannel, "dstchannel"),
            (Column::Start, "start"),
            (Column::Disposition, "disposition"),
            (Column::Application, "lastapp"),
        ] {
            if !columns.contains(&Some(needed)) {
                return Err(name);
            }
        }
        if !columns.contains(&Some(Column::End)) && !columns.contains(&Some(Column::Duration)) {
            return Err("duration");
        }
        Ok(Self(columns))
    }

    /// What `cdr_csv` wrote, by one of its lines; `None` if it cannot be one of them.
    pub fn of_cdr_csv(values: &[impl AsRef<str>]) -> Option<Self> {
        let mut names = CDR_CSV.to_vec();
        let rest = values.len().checked_sub(names.len())?;
        let (own, new) = if rest >= NEW_COLUMNS.len() { (rest - NEW_COLUMNS.len(), true) } else { (rest, false) };
        match own {
            0 => {}
            1 if is_uniqueid(values[CDR_CSV.len()].as_ref()) => names.push("uniqueid"),
            1 => names.push("userfield"),
            2 => names.extend(["uniqueid", "userfield"]),
            _ => return None,
        }
        if new {
            names.extend(NEW_COLUMNS);
        }
        let columns = Self::named(&names).expect("cdr_csv writes what no row can do without");
        // A layout of somebody's own may have as many.
        local_ms(columns.value(values, Column::Start)?).map(|_| columns)
    }

    /// Whether these values are names, as a header line has them.
    pub fn is_header(values: &[impl AsRef<str>]) -> bool {
        let known = values.iter().filter(|value| column(value.as_ref()).is_some()).count();
        known >= 5 && known * 2 >= values.len()
    }

    /// When the call of this line ended (or began, if nothing says that), for finding a period in a long file.
    pub fn ended(&self, values: &[impl AsRef<str>]) -> Option<LocalMs> {
        let start = local_ms(self.value(values, Column::Start)?)?;
        Some(self.end_of(values, start))
    }

    fn end_of(&self, values: &[impl AsRef<str>], start: LocalMs) -> LocalMs {
        let end = self.value(values, Column::End).and_then(local_ms).filter(|end| *end >= start);
        end.unwrap_or_else(|| start + self.seconds(values, Column::Duration).unwrap_or(0) * 1_000)
    }

    /// A row of these values; `None` if they are none.
    pub fn line(&self, values: &[impl AsRef<str>]) -> Option<Line> {
        let text = |column| self.value(values, column).unwrap_or_default();
        let start = local_ms(text(Column::Start))?;
        let channel = ChannelName::new(text(Column::Channel));
        if channel.technology().is_empty() {
            return None;
        }
        let end = self.end_of(values, start);
        let disposition = Disposition::parse(text(Column::Disposition));
        let billable = self.seconds(values, Column::Billable).unwrap_or(0);
        let answer = match self.value(values, Column::Answer) {
            Some(answer) => local_ms(answer),
            // FreePBX's table has none.
            None if disposition == Disposition::Answered || billable > 0 => Some(end - billable * 1_000),
            None => None,
        };
        let id = |column| Some(text(column)).filter(|id| !id.is_empty()).map(Into::into);
        Some(Line {
            row: Row {
                uniqueid: id(Column::Uniqueid),
                linkedid: id(Column::Linkedid),
                sequence: text(Column::Sequence).parse().ok(),
                source: text(Column::Source).into(),
                destination: text(Column::Destination).into(),
                context: text(Column::Context).into(),
                caller_name: name_in(text(Column::CallerId)).into(),
                channel,
                destination_channel: ChannelName::new(text(Column::DestinationChannel)),
                application: text(Column::Application).into(),
                application_data: text(Column::ApplicationData).into(),
                start,
                answer: answer.filter(|answer| *answer >= start),
                end,
                disposition,
                did: text(Column::Did).into(),
                recording: recording(text(Column::RecordingFile), text(Column::UserField)).into(),
            },
        })
    }

    fn value<'v>(&self, values: &'v [impl AsRef<str>], column: Column) -> Option<&'v str> {
        let at = self.0.iter().position(|own| *own == Some(column))?;
        values.get(at).map(|value| value.as_ref().trim())
    }

    fn seconds(&self, values: &[impl AsRef<str>], column: Column) -> Option<i64> {
        let text = self.value(values, column)?;
        // `${CDR(duration,f)}` has decimals.
        text.split('.').next()?.parse().ok().filter(|seconds| (0..=10_000_000).contains(seconds))
    }
}

fn column(name: &str) -> Option<Column> {
    Some(match name.trim().to_ascii_lowercase().as_str() {
        "clid" | "callerid" => Column::CallerId,
        "src" | "source" => Column::Source,
        "dst" | "destination" => Column::Destination,
        "dcontext" | "destinationcontext" => Column::Context,
        "channel" => Column::Channel,
        "dstchannel" | "destinationchannel" => Column::DestinationChannel,
        "lastapp" | "lastapplication" => Column::Application,
        "lastdata" => Column::ApplicationData,
        "start" | "calldate" | "starttime" => Column::Start,
        "answer" | "answertime" => Column::Answer,
        "end" | "endtime" => Column::End,
        "duration" => Column::Duration,
        "billsec" | "billableseconds" => Column::Billable,
        "disposition" => Column::Disposition,
        "uniqueid" => Column::Uniqueid,
        "linkedid" => Column::Linkedid,
        "sequence" => Column::Sequence,
        "userfield" => Column::UserField,
        "recordingfile" => Column::RecordingFile,
        "did" => Column::Did,
        _ => return None,
    })
}

/// The names in a line of `cdr_custom.conf`: `${CSV_QUOTE(${CDR(clid)})},${CDR(src)}`.
pub fn names_in_mapping(text: &str) -> Vec<String> {
    text.split("CDR(").skip(1).filter_map(|rest| rest.split([')', ',']).next()).map(str::to_owned).collect()
}

/// `[systemname-]EPOCH.COUNTER`
fn is_uniqueid(text: &str) -> bool {
    super::local_time::epoch_s(text).is_some()
}

/// `2026-11-22 06:29:50`, also with decimals or a `T`.
pub fn local_ms(text: &str) -> Option<LocalMs> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 {
        return None;
    }
    let spaced = text.get(..19)?.replacen('T', " ", 1);
    let at = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", spaced).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// The name of `"Ivan Petrov" <101>`.
fn name_in(clid: &str) -> String {
    let name = clid.rsplit_once('<').map_or(clid, |(name, _)| name).trim();
    name.trim_matches('"').replace("\\\"", "\"").trim().to_owned()
}

/// A user field may name the file behind a label (`audio:in-7495….wav`).
fn recording<'t>(file: &'t str, user_field: &'t str) -> &'t str {
    if file.is_empty() { user_field.strip_prefix("audio:").unwrap_or(user_field) } else { file }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = ",101,102,from-internal,\"\"\"Ivan\"\" <101>\",PJSIP/101-00000001,PJSIP/102-00000002,Dial,PJSIP/102,\
                        2026-11-22 06:29:50,2026-11-22 06:29:51,2026-11-22 06:29:54,4,3,ANSWERED,DOCUMENTATION";

    fn values(text: &str) -> Vec<String> {
        super::super::csv::values(text)
    }

    #[test]
    fn cdr_csv_is_told_by_the_number_of_its_columns() {
        for (more, uniqueid, linkedid, recording) in [
            ("", None, None, ""),
            (",1795328990.0", Some("1795328990.0"), None, ""),
            (",audio:a.wav", None, None, "a.wav"),
            (",1795328990.0,audio:a.wav", Some("1795328990.0"), None, "a.wav"),
            (",,1795328990.0,7", None, Some("1795328990.0"), ""),
            (",pbx-1795328990.0,,1795328990.0,7", Some("pbx-1795328990.0"), Some("1795328990.0"), ""),
            (",1795328990.0,x.wav,,1795328990.0,7", Some("1795328990.0"), Some("1795328990.0"), "x.wav"),
        ] {
            let values = values(&format!("{BASE}{more}"));
            let row = Columns::of_cdr_csv(&values).expect("known").line(&values).expect("a row").row;
            assert_eq!(
                (row.uniqueid.as_deref(), row.linkedid.as_deref(), &*row.recording),
                (uniqueid, linkedid, recording),
                "{more}"
            );
            assert_eq!(&*row.caller_name, "Ivan");
            assert_eq!(row.answer, Some(row.start + 1_000));
        }
        assert_eq!(Columns::of_cdr_csv(&values("a,b,c")), None);
        assert_eq!(Columns::of_cdr_csv(&values(&format!("{BASE},1,2,3,4,5,6"))), None, "a layout of somebody's own");
    }

    #[test]
    fn a_layout_of_ones_own_is_read_by_names() {
        let names = names_in_mapping(
            "${CSV_QUOTE(${CDR(clid)})},${CDR(channel)},${CDR(dstchannel)},${CDR(lastapp)},${CDR(start)},${CDR(duration,f)},${CDR(disposition)}",
        );
        assert_eq!(names, ["clid", "channel", "dstchannel", "lastapp", "start", "duration", "disposition"]);
        let columns = Columns::named(&names).expect("enough");
        let values = values("\"\"\"A\"\" <1>\",SIP/101-00000001,,Playback,2026-11-22 06:29:50,4.25,ANSWERED");
        let row = columns.line(&values).expect("a row").row;
        assert_eq!(row.end - row.start, 4_000);
        assert_eq!(Columns::named(&["channel", "start"]), Err("dstchannel"));
    }

    #[test]
    fn what_is_no_row_is_none() {
        let columns = Columns::named(&CDR_CSV).expect("all there");
        for text in [
            "",
            "a,b",
            ",1,2,c,x,NotAChannel,,Dial,,2026-11-22 06:29:50,,,0,0,FAILED,",
            ",1,2,c,x,SIP/1-1,,Dial,,yesterday,,,0,0,FAILED,",
        ] {
            assert_eq!(columns.line(&values(text)), None, "{text}");
        }
    }
}
