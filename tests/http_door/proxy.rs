//! nginx before us, as people set it up: it must not open what is open to this machine only.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::{Client, Stage, alone, setup};

struct Nginx {
    child: Child,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only if it is asked.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn nginx(port: u16, lines: &str) -> Option<Nginx> {
    let folder = tempfile::tempdir().expect("a folder");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound");
    let at = folder.path().display();
    let conf = format!(
        "daemon off; pid {at}/pid; error_log {at}/error.log;\nevents {{ }}\nhttp {{ access_log off;\n\
         client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u;\n\
         scgi_temp_path {at}/s;\nserver {{ listen {address}; location / {{ proxy_pass http://localhost:{port};\n{lines} }} }} }}\n"
    );
    std::fs::write(folder.path().join("nginx.conf"), conf).expect("written");
    drop(free);
    let started = Command::new("nginx")
        .args(["-p", &at.to_string(), "-c"])
        .arg(folder.path().join("nginx.conf"))
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        assert!(std::env::var_os("CI").is_none(), "a build server needs nginx for this test");
        eprintln!("no nginx here: this test is left out");
        return None;
    };
    let nginx = Nginx { child, address, _folder: folder };
    let until = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < until, "nginx does not listen");
        std::thread::yield_now();
    }
    Some(nginx)
}

#[test]
fn a_reverse_proxy_opens_nothing() {
    let _alone = alone();
    let mut with = setup();
    with.http.local_without_login = true;
    let stage = Stage::new(with);
    let direct = stage.ask("GET /api/v1/status HTTP/1.1\r\nHost: localhost:8383\r\n", b"");
    assert_eq!(direct.status, 200, "who sits here");
    let port = stage.address.port();
    // nginx gives up its account only where it has root's to give up.
    let has_account = rustix::process::geteuid().is_root();
    for (how, lines) in [
        ("as it comes", ""),
        ("with 1.1", "proxy_http_version 1.1; proxy_set_header Connection \"\";"),
        (
            "as the manuals say",
            "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        ),
        ("with localhost in it", "proxy_http_version 1.1; proxy_set_header Host localhost;"),
    ] {
        let hides = lines.contains("1.1") && !lines.contains("X-Forwarded");
        if hides && !has_account {
            continue;
        }
        let Some(nginx) = nginx(port, lines) else { return };
        for path in ["/api/v1/status", "/metrics", "/"] {
            let mut client = Client::new(nginx.address);
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: office.example.com\r\n"), b"");
            assert_eq!(client.reply_head().expect("a head").status, 401, "{path} through nginx {how}");
        }
        let mut client = Client::new(nginx.address);
        client.send("GET /health HTTP/1.1\r\nHost: office.example.com\r\n", b"");
        assert_eq!(client.reply().status, 200, "what is open is open through nginx {how}");
    }
}
