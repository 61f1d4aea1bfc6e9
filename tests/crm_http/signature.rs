//! The signature once more, written from its description and not from `sign.rs`, and the examples of `wire/`.

use pinconnector::secret::Secret;
use pinconnector::sign::{self, Headers, Refusal, Signed};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::SECRET;
use crate::scripted::Asked;

/// HMAC-SHA256 as RFC 2104 has it: H((K ^ opad) || H((K ^ ipad) || text)).
pub fn independent(secret: &str, method: &str, path: &str, time: &str, nonce: &str, body: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut key = [0u8; 64];
    if secret.len() > 64 {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret.as_bytes());
    }
    let text = [method, path, time, nonce, &hex(&Sha256::digest(body))].join("\n");
    let inner = Sha256::digest([&key.map(|b| b ^ 0x36)[..], text.as_bytes()].concat());
    hex(&Sha256::digest([&key.map(|b| b ^ 0x5c)[..], &inner[..]].concat()))
}

/// Fails unless `asked` carries the four headers and a right signature over exactly what came.
pub fn check(asked: &Asked) {
    let mut line = asked.line().split(' ');
    let (method, path) = (line.next().expect("a method"), line.next().expect("a path"));
    let header = |name| asked.header(name).unwrap_or_else(|| panic!("{name} in {}", asked.head));
    assert_eq!(header("x-pin-key"), "vtiger");
    let (time, nonce) = (header("x-pin-time"), header("x-pin-nonce"));
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    assert!(time.parse::<u64>().expect("seconds").abs_diff(now_s) < 60, "{time} is now");
    assert!(nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit()), "{nonce}");
    assert_eq!(header("x-pin-signature"), independent(SECRET, method, path, time, nonce, &asked.body));
}

#[derive(Deserialize)]
struct Example {
    why: String,
    secret: String,
    method: String,
    path: String,
    time: i64,
    nonce: String,
    body: String,
    signature: String,
}

fn examples() -> Vec<Example> {
    serde_json::from_str(include_str!("../wire/calls/signature.json")).expect("examples")
}

#[test]
fn the_examples_of_the_wire_are_signed_so() {
    for example in examples() {
        let Example { why, secret, method, path, time, nonce, body, signature } = example;
        let body = body.as_bytes();
        assert_eq!(independent(&secret, &method, &path, &time.to_string(), &nonce, body), signature, "{why}");
        let signed = Signed { method: &method, path: &path, time_s: time, nonce: &nonce, body };
        assert_eq!(sign::signature(&Secret::new(secret.clone()), &signed), signature, "{why}");
        let (time_text, capitals) = (time.to_string(), signature.to_uppercase());
        let headers = Headers { time: Some(&time_text), nonce: Some(&nonce), signature: Some(&capitals) };
        let verified = sign::verify(&Secret::new(secret), &method, &path, body, headers, time + 300);
        assert_eq!(verified, Ok(nonce.as_str()), "{why}");
    }
}

#[test]
fn a_request_that_is_not_exactly_what_was_signed_is_refused() {
    let Example { secret, method, path, time, nonce, body, signature, .. } = examples().remove(0);
    let secret = Secret::new(secret);
    let time_text = time.to_string();
    let verify = |secret: &Secret, path: &str, body: &[u8], time: &str, nonce: &str, signature: &str, now_s: i64| {
        let headers = Headers { time: Some(time), nonce: Some(nonce), signature: Some(signature) };
        sign::verify(secret, &method, path, body, headers, now_s).map(str::to_owned)
    };
    let body = body.as_bytes();
    let good = |now_s| verify(&secret, &path, body, &time_text, &nonce, &signature, now_s);
    assert_eq!(good(time), Ok(nonce.clone()));
    assert_eq!(good(time - 300), Ok(nonce.clone()));
    assert_eq!(good(time + 301), Err(Refusal::Clock { theirs_s: time, ours_s: time + 301 }));
    assert_eq!(good(time - 301), Err(Refusal::Clock { theirs_s: time, ours_s: time - 301 }));
    let other = Secret::new("another secret");
    assert_eq!(verify(&other, &path, body, &time_text, &nonce, &signature, time), Err(Refusal::Signature));
    assert_eq!(verify(&secret, "/x", body, &time_text, &nonce, &signature, time), Err(Refusal::Signature));
    assert_eq!(verify(&secret, &path, b"{}", &time_text, &nonce, &signature, time), Err(Refusal::Signature));
    let shifted = (time + 1).to_string();
    assert_eq!(verify(&secret, &path, body, &shifted, &nonce, &signature, time), Err(Refusal::Signature));
    for (bad_time, bad_nonce, bad_signature, header) in [
        ("soon", &*nonce, &*signature, "X-PIN-Time"),
        (&*time_text, "short", &*signature, "X-PIN-Nonce"),
        (&*time_text, &*nonce, "", "X-PIN-Signature"),
        (&*time_text, &*nonce, &signature[1..], "X-PIN-Signature"),
        (&*time_text, &*nonce, &signature.replace(['a', 'b', 'c', 'd', 'e', 'f'], "g"), "X-PIN-Signature"),
    ] {
        let refused = verify(&secret, &path, body, bad_time, bad_nonce, bad_signature, time);
        assert_eq!(refused, Err(Refusal::Malformed(header)));
    }
    let nothing = Headers { time: None, nonce: Some(&nonce), signature: Some(&signature) };
    let refused = sign::verify(&secret, &method, &path, body, nothing, time);
    assert_eq!(refused, Err(Refusal::Malformed("X-PIN-Time")));
}

#[test]
fn the_refusal_of_a_time_says_both_clocks() {
    assert_eq!(
        Refusal::Clock { theirs_s: 1_763_805_000, ours_s: 1_763_805_600 }.to_string(),
        "your clock says 2025-11-22T09:50:00Z, ours 2025-11-22T10:00:00Z: more than 300 s apart"
    );
}

#[test]
fn secrets_are_the_same_only_if_every_byte_is() {
    assert!(sign::same_secret("abc", "abc"));
    assert!(sign::same_secret("", ""));
    for (ours, theirs) in [("abc", "abd"), ("abc", "ab"), ("abc", "abcd"), ("abc", ""), ("", "abc")] {
        assert!(!sign::same_secret(ours, theirs), "{ours} {theirs}");
    }
}
