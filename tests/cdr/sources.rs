//! Reading rows: rotated and compressed files, layouts of all kinds, and FreePBX's table in a real MariaDB.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use pinconnector::cdr::{CdrSettings, Rows, Source};

use crate::traces;

const DAY_MS: i64 = 86_400_000;
/// 2026-11-22 06:29:50 UTC, when the first of the recorded calls began.
const RECORDED_MS: i64 = 1_795_328_990_000;

fn settings(text: &str) -> CdrSettings {
    toml::from_str(text).expect("good settings")
}

fn read(text: &str, since_ms: i64, until_ms: i64) -> Rows {
    Source::new(settings(text), TimeZone::UTC).read(since_ms, until_ms).expect("readable")
}

/// A line as `cdr_csv` writes it with everything on.
fn line(second: i64, zone: &TimeZone) -> String {
    let at = |second: i64| {
        let zoned = jiff::Timestamp::from_second(second).expect("a time").to_zoned(zone.clone());
        zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    format!(
        "\"\",\"101\",\"102\",\"from-internal\",\"\"\"A, B\"\" <101>\",\"PJSIP/101-{second:08x}\",\"PJSIP/102-{second:08x}\",\"Dial\",\
         \"PJSIP/102,8\",\"{}\",\"{}\",\"{}\",5,3,\"ANSWERED\",\"DOCUMENTATION\",\"{second}.7\",\"\",\"\",\"{second}.7\",9\n",
        at(second),
        at(second + 2),
        at(second + 5)
    )
}

fn write(path: &Path, seconds: impl Iterator<Item = i64>) {
    let text: String = seconds.map(|second| line(second, &TimeZone::UTC)).collect();
    std::fs::write(path, text).expect("written");
}

/// As `gzip` would: one member, with the file's name in its head.
fn compress(path: &Path) -> PathBuf {
    let bytes = std::fs::read(path).expect("there");
    let named = flate2::GzBuilder::new().filename("Master.csv.2");
    let mut packed = named.write(Vec::new(), flate2::Compression::default());
    packed.write_all(&bytes).expect("memory");
    let packed = packed.finish().expect("memory");
    let to = path.with_extension("2.gz");
    std::fs::write(&to, packed).expect("written");
    std::fs::remove_file(path).expect("removed");
    to
}

#[test]
fn a_period_is_read_from_the_file_and_the_rotated_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Master.csv");
    let day = |nth: i64| 1_790_000_000 + nth * 86_400;
    write(&folder.path().join("Master.csv.2"), (0..200).map(|n| day(0) + n * 60));
    compress(&folder.path().join("Master.csv.2"));
    write(&folder.path().join("Master.csv.1"), (0..200).map(|n| day(10) + n * 60));
    write(&path, (0..200).map(|n| day(20) + n * 60));
    std::fs::write(folder.path().join("Masterpiece.csv"), "not ours").expect("written");
    // Asterisk is writing a line just now.
    let mut open = std::fs::OpenOptions::new().append(true).open(&path).expect("there");
    open.write_all(b"\"\",\"101\",\"102\",\"from-int").expect("written");
    let text = format!("kind = \"csv\"\npath = {path:?}");
    let count = |since: i64, until: i64| read(&text, since * 1_000, until * 1_000).rows.len();
    assert_eq!(count(0, day(30)), 600, "all of them");
    assert_eq!(count(day(8), day(12)), 200, "the rotated one");
    assert_eq!(count(day(-2), day(2)), 200, "the compressed one");
    assert_eq!(count(day(40), day(50)), 0);
    let rows = read(&text, 0, day(30) * 1_000);
    assert!(rows.tells.uniqueid && rows.tells.linkedid && !rows.tells.unanswered);
    assert_eq!((rows.tells.zone_off_minutes, rows.tells.skipped), (0, 0));
    assert_eq!(&*rows.rows[0].caller_name, "A, B");
}

#[test]
fn a_wrong_time_zone_is_seen_and_allowed_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Master.csv");
    let moscow = TimeZone::get("Europe/Moscow").expect("known");
    let text: String = (0..10).map(|n| line(1_790_000_000 + n * 60, &moscow)).collect();
    std::fs::write(&path, text).expect("written");
    let of = |more: &str| read(&format!("kind = \"csv\"\npath = {path:?}\n{more}"), 0, 1_800_000_000_000);
    let (wrong, right) = (of(""), of("time_zone = \"Europe/Moscow\""));
    assert_eq!((wrong.tells.zone_off_minutes, right.tells.zone_off_minutes), (180, 0));
    assert_eq!(wrong.rows, right.rows);
    assert_eq!(right.rows[0].start, 1_790_000_000_000);
}

#[test]
fn layouts_of_ones_own_are_read_by_header_and_by_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = traces::load("22/l_blind_refer").cdr_csv.expect("rows");
    let with_header = folder.path().join("header.csv");
    std::fs::write(&with_header, &csv).expect("written");
    let all = read(&format!("kind = \"csv\"\npath = {with_header:?}"), 0, 1_800_000_000_000);
    assert_eq!(all.rows.len(), 2);
    let text = String::from_utf8(csv).expect("UTF-8");
    let (header, body) = text.split_once('\n').expect("lines");
    let bare = folder.path().join("bare.csv");
    std::fs::write(&bare, body).expect("written");
    let names: Vec<String> = header.split(',').map(|name| format!("{name:?}")).collect();
    let named = format!("kind = \"csv\"\npath = {bare:?}\ncolumns = [{}]", names.join(", "));
    assert_eq!(read(&named, 0, 1_800_000_000_000), all);
    let mapping: Vec<String> = header.split(',').map(|name| format!("${{CSV_QUOTE(${{CDR({name})}})}}")).collect();
    let mapped = format!("kind = \"csv\"\npath = {bare:?}\ncolumns = ['{}']", mapping.join(","));
    assert_eq!(read(&mapped, 0, 1_800_000_000_000), all);
    // A layout that nobody explains is no rows, and that is said.
    let unknown = read(&format!("kind = \"csv\"\npath = {bare:?}"), 0, 1_800_000_000_000);
    assert_eq!((unknown.rows.len(), unknown.tells.skipped), (0, 2));
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let missing = Source::new(settings("kind = \"csv\"\npath = \"/nowhere/Master.csv\""), TimeZone::UTC);
    let why = missing.read(0, DAY_MS).expect_err("nothing there").to_string();
    assert!(why.contains("/nowhere/Master.csv"), "{why}");
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    for (text, key) in [
        ("kind = \"csv\"\nusername = \"a\"", "cdr.username"),
        ("kind = \"mysql\"\nusername = \"a\"\npath = \"/x\"", "cdr.path"),
        ("kind = \"mysql\"", "cdr.username"),
        ("kind = \"mysql\"\nusername = \"a\"\ntable = \"cdr; DROP\"", "cdr.table"),
        ("kind = \"mysql\"\nusername = \"a\"\nsocket = \"/x\"\nport = 1", "cdr.socket"),
        ("kind = \"csv\"\ncolumns = [\"src\", \"dst\"]", "cdr.columns"),
        ("kind = \"csv\"\ntime_zone = \"Mars\"", "cdr.time_zone"),
    ] {
        let problems = settings(text).problems();
        assert!(problems.iter().any(|problem| problem.key == key && problem.fatal), "{text}: {problems:?}");
    }
}

/// A MariaDB of our own, without network; ends when dropped.
struct MariaDb {
    folder: tempfile::TempDir,
    child: Child,
}

impl MariaDb {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let user = "--user=root";
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", user, "--skip-test-db", "--auth-root-authentication-method=normal"])
            .arg(format!("--datadir={}", data.display()))
            .output();
        let made = made.expect("mariadb-install-db is installed (Debian: mariadb-server; tests/run does it)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let child = Command::new("mariadbd")
            .args(["--no-defaults", user, "--skip-networking", "--innodb-buffer-pool-size=16M"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join("sock").display()))
            .arg(format!("--pid-file={}", folder.path().join("pid").display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a log"))
            .spawn()
            .expect("mariadbd starts");
        let server = Self { folder, child };
        let until = Instant::now() + Duration::from_secs(120);
        while !server.client().args(["-e", "SELECT 1"]).output().is_ok_and(|done| done.status.success()) {
            assert!(
                Instant::now() < until,
                "no MariaDB: {:?}",
                std::fs::read_to_string(server.folder.path().join("log"))
            );
            std::thread::yield_now();
        }
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-u", "root"]).arg(format!("--socket={}", self.socket().display()));
        command
    }

    fn run(&self, sql: &str) {
        let done = self.client().args(["-e", sql]).output().expect("the client runs");
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As FreePBX 16 and 17 make it.
const FREEPBX: &str = "CREATE DATABASE asteriskcdrdb; USE asteriskcdrdb;
    CREATE TABLE cdr (
        calldate datetime NOT NULL DEFAULT '0000-00-00 00:00:00', clid varchar(80) NOT NULL DEFAULT '',
        src varchar(80) NOT NULL DEFAULT '', dst varchar(80) NOT NULL DEFAULT '', dcontext varchar(80) NOT NULL DEFAULT '',
        channel varchar(80) NOT NULL DEFAULT '', dstchannel varchar(80) NOT NULL DEFAULT '', lastapp varchar(80) NOT NULL DEFAULT '',
        lastdata varchar(80) NOT NULL DEFAULT '', duration int(11) NOT NULL DEFAULT 0, billsec int(11) NOT NULL DEFAULT 0,
        disposition varchar(45) NOT NULL DEFAULT '', amaflags int(11) NOT NULL DEFAULT 0, accountcode varchar(20) NOT NULL DEFAULT '',
        uniqueid varchar(32) NOT NULL DEFAULT '', userfield varchar(255) NOT NULL DEFAULT '', did varchar(50) NOT NULL DEFAULT '',
        recordingfile varchar(255) NOT NULL DEFAULT '', cnum varchar(80) NOT NULL DEFAULT '', cnam varchar(80) NOT NULL DEFAULT '',
        outbound_cnum varchar(80) NOT NULL DEFAULT '', outbound_cnam varchar(80) NOT NULL DEFAULT '',
        dst_cnam varchar(80) NOT NULL DEFAULT '', linkedid varchar(32) NOT NULL DEFAULT '', peeraccount varchar(80) NOT NULL DEFAULT '',
        sequence int(11) NOT NULL DEFAULT 0,
        KEY calldate (calldate), KEY dst (dst), KEY uniqueid (uniqueid), KEY did (did)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
    CREATE USER reader@localhost IDENTIFIED BY 'a-secret'; GRANT SELECT ON asteriskcdrdb.cdr TO reader@localhost;";

/// The rows of a story, as FreePBX's Asterisk puts them into that table.
fn insert(story: &str) -> String {
    let csv = String::from_utf8(traces::load(story).cdr_csv.expect("rows")).expect("UTF-8");
    let mut lines = csv.lines().map(pinconnector::cdr::csv::values);
    let header = lines.next().expect("a header");
    let mut sql = "USE asteriskcdrdb;".to_owned();
    for values in lines {
        let (mut names, mut texts) = (Vec::new(), Vec::new());
        for (name, value) in header.iter().zip(&values) {
            // FreePBX has no answer and no end, and amaflags as a number.
            match name.as_str() {
                "answer" | "end" | "amaflags" => continue,
                "start" => names.push("calldate".to_owned()),
                name => names.push(name.to_owned()),
            }
            texts.push(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")));
        }
        sql.push_str(&format!("INSERT INTO cdr ({}) VALUES ({});", names.join(","), texts.join(",")));
    }
    sql
}

#[test]
fn freepbx_table_is_read_by_a_user_who_may_only_read() {
    let server = MariaDb::start();
    server.run(FREEPBX);
    const STORIES: [&str; 4] =
        ["22/h_group_answered_102", "22/l_att_refer_completed", "22/q_freepbx_queue", "22/n_recorded"];
    for story in STORIES {
        server.run(&insert(story));
    }
    let text =
        format!("kind = \"mysql\"\nsocket = {:?}\nusername = \"reader\"\nsecret = \"a-secret\"", server.socket());
    let table = read(&text, RECORDED_MS, RECORDED_MS + DAY_MS);
    assert!(table.tells.uniqueid && table.tells.linkedid);
    assert_eq!(table.tells.zone_off_minutes, 0);
    let outline = |rows: &[pinconnector::call::cdr::Row]| {
        let mut lines: Vec<String> = crate::recorded::records(rows)
            .iter()
            .map(|r| {
                format!(
                    "{} {:?} {:?} {:?} {:?} {:?}",
                    r.id,
                    r.status,
                    r.extension,
                    r.did,
                    r.transfer,
                    r.recordings.len()
                )
            })
            .collect();
        lines.sort();
        lines
    };
    let files: Vec<_> =
        STORIES.iter().flat_map(|story| crate::recorded::rows(&traces::load(story).cdr_csv.expect("rows"))).collect();
    assert_eq!(outline(&table.rows), outline(&files), "the table tells what the file tells");
    assert_eq!(read(&text, RECORDED_MS + 30 * DAY_MS, RECORDED_MS + 31 * DAY_MS).rows.len(), 0);

    // Nothing but reading: the account of the documentation cannot do more.
    let as_reader = |sql: &str| {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-u", "reader", "-pa-secret", "-e", sql, "asteriskcdrdb"]);
        command
            .arg(format!("--socket={}", server.socket().display()))
            .output()
            .expect("the client runs")
            .status
            .success()
    };
    assert!(as_reader("SELECT COUNT(*) FROM cdr") && !as_reader("DELETE FROM cdr"));
    let refused = Source::new(settings(&text.replace("a-secret", "a-guess")), TimeZone::UTC);
    let why = refused.read(RECORDED_MS, RECORDED_MS + DAY_MS).expect_err("a wrong secret").to_string();
    assert!(why.contains("asteriskcdrdb.cdr") && !why.contains("a-guess"), "{why}");

    // What the doctor says of that table.
    let says = |secret: &str| {
        let file = server.folder.path().join("pinconnector.toml");
        let text = format!(
            "[numbers]\nregion = \"RU\"\n[store]\npath = {:?}\n[[asterisk]]\nname = \"office\"\nhost = \"127.0.0.1\"\n\
             port = 1\nusername = \"pinconnector\"\nsecret = \"a-secret-of-the-test\"\n[asterisk.cdr]\n{}\n\
             time_zone = \"UTC\"\n[[crm]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n\
             secret = \"a-secret-of-the-test\"\n",
            server.folder.path().join("pinconnector.db"),
            text.replace("a-secret", secret),
        );
        std::fs::write(&file, text).expect("written");
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_pinconnector"));
        let out = doctor.arg("--config").arg(&file).args(["doctor", "--json", "--no-trial"]).output().expect("it runs");
        let said = String::from_utf8(out.stdout).expect("UTF-8");
        let line = said.lines().find(|line| line.contains("\"cdr-source\""));
        line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&out.stderr))).to_owned()
    };
    // The recorded calls may be of today or of long ago.
    server.run("DELETE FROM asteriskcdrdb.cdr");
    let none = says("a-secret");
    assert!(none.contains("\"unknown\"") && none.contains("no rows of the last day"), "{none}");
    // A call of a moment ago that reached nobody.
    server.run(
        "USE asteriskcdrdb; INSERT INTO cdr (calldate, src, dst, dcontext, channel, lastapp, duration, disposition, uniqueid, \
         linkedid) SELECT now, '+79161234567', '+74951234567', 'from-trunk', 'PJSIP/trunk-00000001', 'Hangup', 3, 'NO ANSWER', \
         CONCAT(UNIX_TIMESTAMP(), '.1'), CONCAT(UNIX_TIMESTAMP(), '.1') FROM (SELECT UTC_TIMESTAMP() AS now) AS clock;",
    );
    let well = says("a-secret");
    assert!(well.contains("\"ok\"") && well.contains("1 rows of the last day"), "{well}");
    let refused = says("a-guess");
    assert!(refused.contains("\"failure\"") && !refused.contains("a-guess"), "{refused}");
}
