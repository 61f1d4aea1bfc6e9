//! `kind = "mysql"`: a table, as FreePBX's `asteriskcdrdb.cdr`. Only reads; its user needs no more than SELECT.

use std::time::Duration;

use jiff::tz::TimeZone;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, Value};

use super::columns::{Columns, LocalMs};
use super::settings::CdrSettings;
use super::{CdrError, Lines, MAX_ROWS, local_time};

/// A server on the same machine or in the same building answers sooner, or not at all.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(15);
/// A call that ended in the period began so long before, at most; and a zone in the configuration may be wrong.
const BEFORE_MS: i64 = 30 * 3_600_000;
const AFTER_MS: i64 = 27 * 3_600_000;

/// The rows of the period.
pub(crate) fn read(settings: &CdrSettings, zone: &TimeZone, since_ms: i64, until_ms: i64) -> Result<Lines, CdrError> {
    let fault = |error: mysql::Error| CdrError::new(format!("{} cannot be read: {error}", settings.place()));
    let mut connection = Conn::new(options(settings)).map_err(fault)?;
    let table = format!("`{}`", settings.table());
    let names = names(&mut connection, &table).map_err(fault)?;
    let columns = Columns::named(&names)
        .map_err(|missing| CdrError::new(format!("{} has no column {missing}", settings.place())))?;
    let time = ["calldate", "start"].into_iter().find(|name| names.iter().any(|own| own.eq_ignore_ascii_case(name)));
    let time = time.ok_or_else(|| CdrError::new(format!("{} has no column calldate", settings.place())))?;
    let from = shown(local_time::local(since_ms, zone) - BEFORE_MS);
    let to = shown(local_time::local(until_ms, zone) + AFTER_MS);
    // By the index on the time of the call; one row too many says that there are too many.
    let query = format!(
        "SELECT * FROM {table} WHERE `{time}` BETWEEN '{from}' AND '{to}' ORDER BY `{time}` LIMIT {}",
        MAX_ROWS + 1
    );
    let mut lines = Lines::default();
    for row in connection.query_iter(query).map_err(fault)? {
        let values: Vec<String> = row.map_err(fault)?.unwrap().into_iter().map(text).collect();
        lines.push(&columns, &values)?;
    }
    Ok(lines)
}

fn options(settings: &CdrSettings) -> OptsBuilder {
    let secret = settings.secret.as_ref().map(|secret| secret.expose().to_owned());
    let options = OptsBuilder::new()
        .user(settings.username.clone())
        .pass(secret)
        .db_name(Some(settings.database()))
        // A socket of the server's is found by what the configuration says, never by what the server says.
        .prefer_socket(false)
        .tcp_connect_timeout(Some(CONNECT))
        .read_timeout(Some(ANSWER))
        .write_timeout(Some(ANSWER));
    match &settings.socket {
        Some(socket) => options.socket(Some(socket.display().to_string())),
        None => options.ip_or_hostname(Some(settings.host())).tcp_port(settings.port()),
    }
}

fn names(connection: &mut Conn, table: &str) -> mysql::Result<Vec<String>> {
    let result = connection.query_iter(format!("SELECT * FROM {table} LIMIT 0"))?;
    Ok(result.columns().as_ref().iter().map(|column| column.name_str().into_owned()).collect())
}

/// As the text protocol gives it, whatever the type of the column.
fn text(value: Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::NULL => String::new(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Date(year, month, day, hour, minute, second, _) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
        }
        Value::Time(..) => String::new(),
    }
}

fn shown(local: LocalMs) -> String {
    let at = jiff::Timestamp::from_millisecond(local.max(0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
