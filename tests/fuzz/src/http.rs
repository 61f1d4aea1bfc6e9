//! Any bytes as what a stranger sends over HTTP: heads, forms, ranges, signatures, tokens, clicks. Never a panic, never more
//! than was there, and never a number with a sign in it that means something to the dialplan.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use pinconnector::asterisk::PbxId;
use pinconnector::clock::Now;
use pinconnector::http::click_to_call::read_json;
use pinconnector::http::guard::{Guard, Scene};
use pinconnector::http::office::{Crm, Pbx};
use pinconnector::http::recordings::{Wanted, wanted};
use pinconnector::http::request::{BODY_BYTES_MAX, HEAD_BYTES_MAX, Head, Plus, decode, form_value};
use pinconnector::http::{ClickToCallSettings, LinkKey, links};
use pinconnector::phone::{DialFormat, Numbers, NumbersSettings};
use pinconnector::secret::Secret;
use pinconnector::sign::{self, Headers};

fuzz_target!(|input: &[u8]| {
    head(input);
    let text = String::from_utf8_lossy(input);
    range(&text);
    for plus in [Plus::IsPlus, Plus::IsSpace] {
        let _ = decode(input, plus);
        let _ = form_value(input, "to", plus);
    }
    let secret = Secret::new("secret");
    assert!(links::verify(&secret, &text, 1_000).is_err(), "nobody guesses a signature");
    assert_eq!(links::open_token(&LinkKey([1; 32]), 1, &text), None);
    let parts: Vec<&str> = text.split('|').collect();
    let part = |nth: usize| parts.get(nth).copied();
    let headers = Headers { time: part(0), nonce: part(1), signature: part(2) };
    assert!(sign::verify(&secret, "POST", "/", input, headers, 1_000).is_err());
    click(input);
});

fn head(input: &[u8]) {
    if let Ok(Some((head, length))) = Head::parse(input) {
        assert!(length <= input.len() && length <= HEAD_BYTES_MAX);
        assert!(head.body_length <= BODY_BYTES_MAX && head.target.starts_with('/'));
        assert!(!head.target.bytes().any(|b| b <= b' ' || b > b'~'));
        // The same head in pieces is the same head, and not complete before its end.
        assert!(matches!(Head::parse(&input[..length - 1]), Ok(None) | Err(_)));
    }
}

fn range(text: &str) {
    for length in [0, 1, 100, u64::MAX] {
        if let Wanted::Part { from, length: part } = wanted(text, length) {
            assert!(part > 0 && from < length && part <= length - from);
        }
    }
}

/// A click from whatever was sent, as the body and as the number in a good body.
fn click(input: &[u8]) {
    static NUMBERS: OnceLock<Numbers> = OnceLock::new();
    let region = || NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() };
    let numbers = NUMBERS.get_or_init(|| Numbers::new(&region()).expect("good settings"));
    let number = String::from_utf8_lossy(input);
    let good = serde_json::json!({ "from": "101", "to": number }).to_string();
    for body in [input, good.as_bytes()] {
        let Ok(asked) = read_json(body) else { continue };
        let crm = Crm {
            name: "vtiger".to_owned(),
            secret: Secret::new("secret"),
            is_stock: false,
            pbxs: vec![],
            extensions: vec![],
            contexts: vec![],
        };
        let pbx = Pbx {
            id: PbxId(0),
            name: "msk".to_owned(),
            dial_format: DialFormat::E164,
            dial_prefix: "9".to_owned(),
            channel: None,
            context: None,
        };
        let mut guard = Guard::new(ClickToCallSettings::default());
        let zone = jiff::tz::TimeZone::UTC;
        let scene = Scene { crm: &crm, pbx: &pbx, numbers, zone: &zone, under_way: 0, now: Now::default() };
        if let Ok(passed) = guard.check(&asked, &scene) {
            assert!(passed.dialled.bytes().all(|b| b.is_ascii_digit() || b == b'+'), "{}", passed.dialled);
            assert!(passed.dialled.len() <= 34);
            assert_eq!(passed.context, "from-internal");
        }
    }
}
