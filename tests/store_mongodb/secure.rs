//! A mongod that wants TLS and a password: who is let in, who may only read, and what the operator is told.

use pinconnector::outbox::{Delivery, Outcome, Verdict};
use pinconnector::store::mongodb::Target;
use pinconnector::store::mongodb::reader::Reader;
use pinconnector::store::mongodb::writer::Writer;

use crate::desk::target;
use crate::lab::Lab;
use crate::store_support::record;

#[test]
fn tls_and_credentials_come_from_the_uri_and_what_is_wrong_with_them_is_said() {
    let lab = Lab::start("secure");
    let hosts = lab.uri.strip_prefix("mongodb://").unwrap().split('/').next().unwrap().to_owned();
    let authority = |name: &str| format!("{}/tests/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let with = |account: &str, authority: &str| {
        target(&format!("mongodb://{account}{hosts}/?directConnection=true&tls=true&tlsCAFile={authority}"))
    };
    let body = serde_json::json!({"conversation": "pbx-1.1", "calls": [record("pbx-1.1", 1, 1_000)]}).to_string();
    let delivery =
        Delivery { record_id: "pbx-1.1".to_owned(), revision: 1, body: body.into(), changed_at_ms: 0, told: None };
    let deliver = |target: &Target| Writer::new(target.clone()).deliver(std::slice::from_ref(&delivery));

    let good = with("writer:writer@", &authority("ca"));
    assert_eq!(deliver(&good), Outcome::Answered(vec![Verdict::Saved]));
    let longer = Target { keep_days: 90, ..good.clone() };
    assert_eq!(
        deliver(&longer),
        Outcome::Answered(vec![Verdict::Unchanged]),
        "retention is changed with readWrite alone"
    );
    assert_eq!(Reader::open(&good).unwrap().conversation("pbx-1.1").unwrap().len(), 1);

    for (account, by, expected) in [
        ("writer:wrong@", "ca", "refuses the login of [store.mongodb] uri"),
        ("looker:looker@", "ca", "the account of [store.mongodb] uri may not do this"),
        ("", "ca", "the account of [store.mongodb] uri may not do this"),
        ("writer:writer@", "other-ca", "no MongoDB answers"),
    ] {
        let outcome = deliver(&with(account, &authority(by)));
        let Outcome::CrmDown { why, .. } = &outcome else { panic!("{account} {by}: {outcome:?}") };
        assert!(why.contains(expected), "{account} {by}: {why}");
        assert!(!why.contains("writer:wrong"), "no secret in it: {why}");
    }
    let plain = target(&format!("mongodb://writer:writer@{hosts}/?directConnection=true"));
    assert!(matches!(deliver(&plain), Outcome::CrmDown { .. }));
    let nonsense = target("mongodb://:::/?x=y");
    assert!(matches!(deliver(&nonsense), Outcome::CrmDown { .. }));
}
