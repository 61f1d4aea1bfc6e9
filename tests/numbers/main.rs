//! The shared table of numbers, and what must hold for every text: no panic, no growth, the same number again.
//!
//! `tests/numbers/examples.tsv` is read by the tests of the CRM module, too: what differs there differs here.

use pinconnector::phone::{DialError, DialFormat, DialRule, E164, Kind, Numbers, NumbersSettings};

fn numbers(region: &str) -> Numbers {
    let (region, area_code) = region
        .split_once(':')
        .map_or((region, None), |(region, area)| (region, Some(area)));
    let settings = NumbersSettings {
        region: (region != "-").then(|| region.to_owned()),
        area_code: area_code.map(str::to_owned),
        ..NumbersSettings::default()
    };
    Numbers::new(&settings).unwrap()
}

struct Example {
    line: usize,
    region: String,
    raw: String,
    e164: String,
    national: String,
    without_plus: String,
    extension: String,
    by_last_digits: String,
}

fn examples() -> Vec<Example> {
    let table = include_str!("examples.tsv");
    let rows = table
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'));
    rows.map(|(at, line)| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [
            region,
            raw,
            e164,
            national,
            without_plus,
            extension,
            by_last_digits,
            _comment,
        ] = columns[..]
        else {
            panic!("line {}: {} columns", at + 1, columns.len());
        };
        let own = str::to_owned;
        Example {
            line: at + 1,
            region: own(region),
            raw: serde_json::from_str(&format!("\"{raw}\"")).unwrap(),
            e164: own(e164),
            national: own(national),
            without_plus: own(without_plus),
            extension: own(extension),
            by_last_digits: own(by_last_digits),
        }
    })
    .collect()
}

#[test]
fn every_example_of_the_shared_table_holds() {
    let examples = examples();
    assert!(
        examples.len() >= 80,
        "the table has lost rows: {}",
        examples.len()
    );
    let mut wrong = Vec::new();
    for example in &examples {
        let numbers = numbers(&example.region);
        let number = numbers.normalize(&example.raw);
        let dialled = |format| {
            numbers
                .to_dial(&example.raw, format, "")
                .map_or("-".to_owned(), |dialled| dialled.number)
        };
        let or_dash = |text: Option<String>| text.unwrap_or("-".to_owned());
        let got = [
            or_dash(number.e164.map(|e164| e164.to_string())),
            dialled(DialFormat::National),
            dialled(DialFormat::E164WithoutPlus),
            or_dash(
                number
                    .extension
                    .map(|extension| extension.as_str().to_owned()),
            ),
            (if numbers.match_keys(&example.raw).last.is_some() {
                "yes"
            } else {
                "no"
            })
            .to_owned(),
        ];
        let wanted = [
            &example.e164,
            &example.national,
            &example.without_plus,
            &example.extension,
            &example.by_last_digits,
        ];
        if got.iter().collect::<Vec<_>>() != wanted {
            wrong.push(format!(
                "line {}: {} {:?} {:?}\n   got {got:?}\nwanted {wanted:?}",
                example.line, example.region, example.raw, number.kind
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
