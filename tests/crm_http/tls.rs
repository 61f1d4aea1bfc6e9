//! TLS towards a CRM: whom we trust, and what the operator reads when we do not.

use pinconnector::outbox::{Outcome, Verdict};

use crate::scripted::{Reply, Server, tls_file};
use crate::{batch, client, crm, delivery, down, no_links, send, signature};
use pinconnector::crm::sender;

fn ca(name: &str) -> String {
    format!("ca = {:?}", tls_file(name).to_str().expect("a path in UTF-8"))
}

fn url(server: &Server, host: &str) -> String {
    format!("https://{host}:{}/hook", server.address.port())
}

#[test]
fn an_authority_of_ones_own_is_trusted_on_a_senders_small_stack() {
    let server = Server::start_tls("server", []);
    for host in ["localhost", "127.0.0.1"] {
        let (_, outcome) = send(&crm("webhook", &url(&server, host), &ca("ca.pem")), batch(vec![delivery("a-1-1", 1)]));
        assert_eq!(outcome, Outcome::Answered(vec![Verdict::Saved]));
        signature::check(&server.next());
    }
}

#[test]
fn a_secure_connection_is_kept_for_the_next_request_and_closed_at_rest() {
    let server = Server::start_tls("server", []);
    let crm = crm("webhook", &url(&server, "localhost"), &ca("ca.pem"));
    let mut client = client(&crm);
    let connection = |client: &mut pinconnector::crm::Client| {
        sender::send(client, &mut batch(vec![delivery("a-1-1", 1)]), &no_links(), 0);
        server.next().connection
    };
    assert_eq!([connection(&mut client), connection(&mut client), connection(&mut client)], [0, 0, 0]);
    client.rest();
    assert_eq!([connection(&mut client), connection(&mut client)], [1, 1]);
}

#[test]
fn who_is_not_trusted_is_told_why() {
    let refused = |certificate: &str, host: &str, more: &str| {
        let server = Server::start_tls(certificate, []);
        let why = down(send(&crm("webhook", &url(&server, host), more), batch(vec![delivery("a-1-1", 1)])).1);
        assert!(server.asked.is_empty(), "nothing is said to one we do not trust");
        assert!(why.starts_with("no secure connection: "), "{why}");
        why
    };
    let why = refused("server", "localhost", "");
    assert!(why.contains("certificate of no public authority") && why.contains("ca = FILE"), "{why}");
    let why = refused("pinned", "localhost", &ca("ca.pem"));
    assert!(why.contains("not signed by an authority in our ca file"), "{why}");
    let why = refused("selfsigned", "localhost", &ca("selfsigned.pem"));
    assert!(why.contains("of an authority as its own") && why.contains("CA:FALSE"), "{why}");
    let why = refused("expired", "localhost", &ca("ca.pem"));
    assert!(why.contains("expired at 2021-01-01T00:00:00Z; our clock says 20"), "{why}");
    let why = refused("othername", "localhost", &ca("ca.pem"));
    assert!(why.contains("not for localhost but for") && why.contains("crm.example.com"), "{why}");
}

#[test]
fn a_self_signed_certificate_can_be_trusted_by_itself() {
    let server = Server::start_tls("pinned", []);
    let crm = crm("webhook", &url(&server, "localhost"), &ca("pinned.pem"));
    assert_eq!(send(&crm, batch(vec![delivery("a-1-1", 1)])).1, Outcome::Answered(vec![Verdict::Saved]));
}

#[test]
fn plain_http_behind_an_https_address_is_told_so() {
    let server = Server::start([Reply::new(200, "")]);
    // Of TLS's first bytes an HTTP server makes a bad request or waits for more: both end in words about TLS or silence.
    let why = down(
        send(
            &crm("webhook", &url(&server, "localhost"), "timeout_s = 2\nconnect_timeout_s = 1"),
            batch(vec![delivery("a-1-1", 1)]),
        )
        .1,
    );
    assert!(why.contains("TLS") || why.contains("closed") || why.contains("within"), "{why}");
}

#[test]
fn an_https_port_asked_in_plain_http_is_told_so() {
    let server = Server::start_tls("server", []);
    let why = down(send(&crm("webhook", &server.url("/hook"), ""), batch(vec![delivery("a-1-1", 1)])).1);
    assert!(why.contains("HTTP") || why.contains("closed"), "{why}");
}
