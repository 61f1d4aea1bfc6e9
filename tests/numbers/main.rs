//! The shared table of numbers, and what must hold for every text: no panic, no growth, the same number again.
//!
//! `tests/numbers/examples.tsv` is read by the tests of the CRM module, too: what differs there differs here.

use pinconnector::phone::{DialError, DialFormat, DialRule, E164, Kind, Numbers, NumbersSettings};

fn numbers(region: &str) -> Numbers {
    let (region, area_code) = region.split_once(':').map_or((region, None), |(region, area)| (region, Some(area)));
    let settings = NumbersSettings {
        region: (region != "-").then(|| region.to_owned()),
        area_code: area_code.map(str::to_owned),
        ..NumbersSettings::default()
    };
    Numbers::new(&settings).expect("the settings of the example are good")
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
    let rows = table.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    rows.map(|(at, line)| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [region, raw, e164, national, without_plus, extension, by_last_digits, _comment] = columns[..] else {
            panic!("line {}: {} columns", at + 1, columns.len());
        };
        let own = str::to_owned;
        Example {
            line: at + 1,
            region: own(region),
            raw: serde_json::from_str(&format!("\"{raw}\"")).expect("a JSON string"),
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
    assert!(examples.len() >= 80, "the table has lost rows: {}", examples.len());
    let mut wrong = Vec::new();
    for example in &examples {
        let numbers = numbers(&example.region);
        let number = numbers.normalize(&example.raw);
        let dialled =
            |format| numbers.to_dial(&example.raw, format, "").map_or("-".to_owned(), |dialled| dialled.number);
        let or_dash = |text: Option<String>| text.unwrap_or("-".to_owned());
        let got = [
            or_dash(number.e164.map(|e164| e164.to_string())),
            dialled(DialFormat::National),
            dialled(DialFormat::E164WithoutPlus),
            or_dash(number.extension.map(|extension| extension.as_str().to_owned())),
            (if numbers.match_keys(&example.raw).last.is_some() { "yes" } else { "no" }).to_owned(),
        ];
        let wanted =
            [&example.e164, &example.national, &example.without_plus, &example.extension, &example.by_last_digits];
        if got.iter().collect::<Vec<_>>() != wanted {
            wrong.push(format!(
                "line {}: {} {:?} {:?}\n   got {got:?}\nwanted {wanted:?}",
                example.line, example.region, example.raw, number.kind
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same every time; texts look like numbers often enough to get far.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % sides as u64) as usize
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 40] = [
            "+7",
            "8",
            "810",
            "00",
            "916",
            "495",
            "800",
            "1",
            "2",
            "3",
            "0",
            "49",
            "375",
            "+",
            "*",
            "#",
            " ",
            "-",
            "(",
            ")",
            "/",
            ".",
            ",",
            ";ext=",
            " доб. ",
            "x",
            "ext",
            "%20",
            "%2B",
            "%",
            "tel:",
            "sip:",
            "@host",
            "<",
            ">",
            "\u{a0}",
            "\u{202a}",
            "９",
            "٣",
            "я",
        ];
        (0..self.throw(24)).map(|_| PIECES[self.throw(PIECES.len())]).collect()
    }
}

#[test]
fn any_text_is_survived_and_a_number_once_normalised_stays_what_it_is() {
    let regions: Vec<Numbers> =
        ["-", "RU", "RU:495", "BY", "DE:30", "US", "AR", "IT", "AG", "BR"].map(numbers).to_vec();
    let mut dice = Dice(7);
    let mut with_e164 = 0;
    for _ in 0..60_000 {
        let text = dice.text();
        let numbers = &regions[dice.throw(regions.len())];
        let number = numbers.normalize(&text);
        if let Some(e164) = number.e164 {
            with_e164 += 1;
            let again = e164.to_string();
            assert_eq!(numbers.normalize(&again).e164, Some(e164), "{text:?}");
            assert_eq!(again.parse(), Ok(e164));
            assert!(numbers.same_client(&text, &again), "{text:?}");
        }
        assert!(!numbers.explain(&text, &[]).contains('\r'));
        for format in [DialFormat::AsGiven, DialFormat::E164, DialFormat::E164WithoutPlus, DialFormat::National] {
            let Ok(dialled) = numbers.to_dial(&text, format, "9") else {
                continue;
            };
            let plain = dialled.number.trim_start_matches('9').trim_start_matches('+');
            assert!(!dialled.number.is_empty() && dialled.number.len() <= 32, "{text:?}");
            assert!(plain.bytes().all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte)), "{text:?}: {dialled:?}");
        }
    }
    assert!(with_e164 > 1000, "the texts are too wild: {with_e164}");
}

/// Every example number of libphonenumber, as (region, E.164).
fn example_numbers() -> Vec<(String, String)> {
    let mut numbers = Vec::new();
    for code in 1..1000_u16 {
        for region in phonenumber::metadata::DATABASE.by_code(&code).into_iter().flatten() {
            let of = region.descriptors();
            let examples = [of.fixed_line(), of.mobile(), of.toll_free(), of.premium_rate(), of.voip()];
            // Shorter ones, of small islands, look like extensions: international with a plus only.
            let examples =
                examples.into_iter().flatten().filter_map(|one| one.example()).filter(|example| example.len() >= 6);
            numbers.extend(examples.map(|example| (region.id().to_owned(), format!("+{code}{example}"))));
        }
    }
    numbers
}

#[test]
fn every_country_understands_its_numbers_as_it_dials_them() {
    let mut wrong = Vec::new();
    let examples = example_numbers();
    assert!(examples.len() > 900, "{}", examples.len());
    for (region, e164) in &examples {
        let here = numbers(if region == "001" { "RU" } else { region });
        let number = here.normalize(e164);
        if number.e164.map(|one| one.to_string()).as_deref() != Some(e164) {
            wrong.push(format!("{region} {e164}: {number:?}"));
            continue;
        }
        for format in [DialFormat::AsGiven, DialFormat::E164, DialFormat::National] {
            let dialled = here.to_dial(e164, format, "").unwrap().number;
            let back = here.normalize(&dialled).e164;
            if back != number.e164 {
                wrong.push(format!("{region} {e164} is dialled {dialled}, which is read as {back:?}"));
            }
        }
        // Seen from another country, and through a trunk that drops the plus.
        let abroad = numbers("RU");
        let dialled = abroad.to_dial(e164, DialFormat::National, "").unwrap().number;
        if abroad.normalize(&dialled).e164 != number.e164 {
            wrong.push(format!("{e164} is dialled {dialled} in Russia, which is read otherwise"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), examples.len(), wrong.join("\n"));
}

#[test]
fn extensions_are_two_to_five_digits_unless_told_otherwise_and_trunks_win() {
    let usual = numbers("RU");
    for (endpoint, is_extension) in [
        ("10", true),
        ("101", true),
        ("12345", true),
        ("1", false),
        ("123456", false),
        ("mango", false),
        ("", false),
        ("10a", false),
    ] {
        assert_eq!(usual.is_extension(endpoint), is_extension, "{endpoint}");
    }
    let settings: NumbersSettings =
        toml::from_str("extensions = ['_[1-3]XX', 'reception', 'wg*']\ntrunks = ['_30X', '222']").unwrap();
    let own = Numbers::new(&settings).unwrap();
    for (endpoint, is_extension) in [
        ("101", true),
        ("301", false),
        ("310", true),
        ("222", false),
        ("401", false),
        ("reception", true),
        ("wg-7", true),
    ] {
        assert_eq!(own.is_extension(endpoint), is_extension, "{endpoint}");
    }
}

#[test]
fn settings_that_cannot_be_meant_are_all_named_with_a_remedy() {
    let settings: NumbersSettings =
        toml::from_str("region = 'RUS'\nextensions = ['_1XX', '_[12']\ntrunks = ['']\nmatch_last_digits = 5").unwrap();
    let problems: Vec<String> = Numbers::new(&settings).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "[numbers] region: `RUS` is no country; use its two letters, like \"RU\", \"KZ\" or \"DE\"",
            "[numbers] extensions: the pattern `_[12` has a `[` without its `]`",
            "[numbers] trunks: the pattern `` is empty",
            "[numbers] match_last_digits: 5 last digits would make strangers equal; use 7 to 15, or 0 for never",
        ]
    );
    for (text, key) in [
        ("area_code = '495'", "area_code"),
        ("region = 'DE'\narea_code = '030'", "area_code"),
        ("region = 'RU'\narea_code = '+7495'", "area_code"),
        ("region = 'ZZ'", "region"),
    ] {
        let problems = Numbers::new(&toml::from_str(text).unwrap()).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.key).collect::<Vec<_>>(), [key], "{text}");
    }
    assert!(toml::from_str::<NumbersSettings>("regoin = 'RU'").is_err());
    assert_eq!(toml::from_str::<NumbersSettings>("").unwrap(), NumbersSettings::default());
    let italy: NumbersSettings = toml::from_str("region = 'it'\narea_code = '06'").unwrap();
    assert_eq!(Numbers::new(&italy).unwrap().normalize("698 2123").e164, "+39066982123".parse().ok());
}

#[test]
fn clients_are_the_same_by_e164_and_by_last_digits_only_without_it() {
    let here = numbers("RU");
    for (one, other, same) in [
        ("89161234567", "+7 916 123-45-67 доб. 12", true),
        ("+74957654321", "765-43-21", true),
        ("765-43-21", "7654321", true),
        // Two whole numbers are never the same by their end.
        ("+74957654321", "+78127654321", false),
        ("+74957654321", "+375297654321", false),
        ("8-800-765-43-21", "765-43-21", false),
        ("112", "112", true),
        ("112", "+74957654112", false),
        ("54321", "+74957654321", false),
        ("*7654321", "+74957654321", false),
        ("*11", "*11", true),
        ("anonymous", "anonymous", false),
        ("", "", false),
        ("<unknown>", "", false),
        ("Romashka", "Romashka", false),
    ] {
        assert_eq!(here.same_client(one, other), same, "{one} and {other}");
        assert_eq!(here.same_client(other, one), same, "{other} and {one}");
    }
    let ten = Numbers::new(&toml::from_str("region = 'RU'\nmatch_last_digits = 10").unwrap()).unwrap();
    assert!(!ten.same_client("+74957654321", "7654321"));
    assert!(ten.same_client("+74957654321", "000-4957654321"));
    let never = Numbers::new(&toml::from_str("region = 'RU'\nmatch_last_digits = 0").unwrap()).unwrap();
    assert!(!never.same_client("+74957654321", "7654321"));
    assert!(never.same_client("7654321", "765-43-21"), "all digits are equal");
    // Leading zeros count.
    assert_eq!(here.match_keys("0000001").last.unwrap().to_string(), "0000001");
    assert_ne!(here.match_keys("0000001").last, here.match_keys("1000001").last);
    assert_eq!(here.match_keys("+74950000001").last, here.match_keys("0000001").last);
}

#[test]
fn kinds_are_those_of_the_plan() {
    for (region, raw, kind) in [
        ("RU", "89161234567", Kind::Mobile),
        ("RU", "84957654321", Kind::Geographic),
        ("US", "2125551234", Kind::GeographicOrMobile),
        ("RU", "88005553535", Kind::TollFree),
        ("RU", "88095553535", Kind::Service),
        ("GB", "056 1234 5678", Kind::Nomadic),
        ("RU", "112", Kind::Short),
        ("RU", "*11", Kind::Code),
        ("RU", "anonymous", Kind::Withheld),
        ("RU", "Romashka", Kind::Unknown),
        ("RU", "7654321", Kind::Unknown),
    ] {
        assert_eq!(numbers(region).normalize(raw).kind, kind, "{raw}");
    }
}

#[test]
fn what_is_no_number_is_refused_and_not_cleaned() {
    let here = numbers("RU");
    for (raw, error) in [
        ("", DialError::Empty),
        (" - ", DialError::Empty),
        ("+", DialError::Empty),
        ("8+916", DialError::PlusInside),
        ("+*21", DialError::PlusInside),
        ("8916.1234567", DialError::Character('.')),
        ("89161234567\n", DialError::Character('\n')),
        ("89161234567\r\nAction: Originate", DialError::Character('\r')),
        ("89161234567 доб. 12\r\n", DialError::Character('д')),
        ("89161234567 доб.\n12", DialError::Character('д')),
        ("8916123\u{0}4567", DialError::Character('\u{0}')),
        ("89161234567,1,Hangup", DialError::Character(',')),
        ("89161234567&PJSIP/101", DialError::Character('&')),
        ("Local/101@default", DialError::Character('L')),
        ("${EXTEN}", DialError::Character('$')),
        ("８９１６", DialError::Character('８')),
        ("89161234567 доб. 12 доб. 13", DialError::Character('д')),
        ("123456789012345678901234567890123", DialError::TooLong),
    ] {
        assert_eq!(here.to_dial(raw, DialFormat::AsGiven, ""), Err(error), "{raw:?}");
    }
    // 32 digits are a number, but not with one more before them.
    assert_eq!(here.to_dial(&"1".repeat(32), DialFormat::AsGiven, "9"), Err(DialError::TooLong));
}

#[test]
fn the_prefix_goes_before_outside_numbers_only() {
    let here = numbers("RU");
    for (raw, format, dialled) in [
        ("8 (916) 123-45-67 доб. 12", DialFormat::AsGiven, "989161234567"),
        ("+79161234567", DialFormat::National, "989161234567"),
        ("89161234567", DialFormat::E164, "9+79161234567"),
        ("89161234567", DialFormat::E164WithoutPlus, "979161234567"),
        ("7654321", DialFormat::E164, "97654321"),
        ("102", DialFormat::E164, "102"),
        ("*11", DialFormat::National, "*11"),
    ] {
        assert_eq!(here.to_dial(raw, format, "9").unwrap().number, dialled, "{raw}");
    }
    let dialled = here.to_dial("8 (916) 123-45-67 доб. 12", DialFormat::AsGiven, "").unwrap();
    assert_eq!(dialled.stripped_extension.as_deref(), Some("12"));
    assert_eq!(dialled.e164.unwrap().to_string(), "+79161234567");
    let format: DialFormat = serde_json::from_str("\"e164-without-plus\"").unwrap();
    assert_eq!(format, DialFormat::E164WithoutPlus);
}

#[test]
fn check_number_explains_what_the_rules_make_of_it() {
    let text = numbers("RU").explain("8 (916) 123-45-67 доб. 12", &[]);
    assert_eq!(
        text,
        "\
given                8 (916) 123-45-67 доб. 12
international        +79161234567
kind                 mobile
calling code         +7 (KZ, RU)
extension behind it  12 (shown, not dialled)
clients found by     +79161234567; with numbers that have no international form, last digits 1234567
dialled as-given     89161234567
e164                 +79161234567
e164-without-plus    79161234567
national             89161234567
"
    );
    let rule = DialRule { place: "msk", format: DialFormat::National, prefix: "9" };
    let text = numbers("RU").explain("765-43-21", &[rule]);
    assert!(text.contains("none: a local number, perhaps; [numbers] area_code would complete it"), "{text}");
    assert!(text.contains("dialled, msk         97654321\n"), "{text}");
    let text = numbers("RU").explain("8916\u{1b}[2J", &[rule]);
    assert!(text.contains("refused: '\\u{1b}' is no part of a number") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn e164_is_read_and_shown_with_its_plus() {
    let number: E164 = "+79161234567".parse().unwrap();
    assert_eq!(
        (number.to_string(), number.digits(), number.as_u64()),
        ("+79161234567".into(), "79161234567".into(), 79161234567)
    );
    assert_eq!(size_of::<Option<E164>>(), 8);
    for text in ["", "+", "79161234567", "+0916", "+7 916", "+1234567890123456", "+７９"] {
        assert!(text.parse::<E164>().is_err(), "{text}");
    }
}
