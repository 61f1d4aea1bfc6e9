//! Boils the numbering plans of the world down to the table that `src/phone/plan.rs` walks, and has the linker lay out the
//! program ([`layout`]).
//!
//! The plans are those of the `phonenumber` crate, which bundles libphonenumber's. Linked into the program they cost
//! six megabytes of resident memory; as a minimal automaton they are a hundred kilobytes of read-only data, of which
//! a run touches a few pages. The same plans are written as JSON, too (`examples/numbering-plans.rs` prints it), for
//! the CRM module, which has to normalise numbers exactly as we do and has no such crate.

#[path = "build/automaton.rs"]
mod automaton;
#[path = "build/layout.rs"]
mod layout;
#[path = "build/pattern.rs"]
mod pattern;

use std::fmt::Write as _;
use std::path::PathBuf;

use automaton::{Label, Pool};
use pattern::{Pattern, alternatives};
use phonenumber::Metadata;
use phonenumber::metadata::Descriptor;

// The labels of `src/phone/plan.rs`: what a number may be, how it is dialled at home.
const NATIONAL_PREFIX_SHIFT: u32 = 6;
const AREA_LENGTH_SHIFT: u32 = 8;
/// Tags from here on are formats: two each, for its leading digits and for its pattern.
const FIRST_FORMAT_TAG: u32 = 16;
/// More digits than any national number has.
const LONGEST: u32 = 17;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    layout::arrange(&out("often.ld"));
    let plans = &phonenumber::metadata::DATABASE;
    let mut pool = Pool::default();
    let mut codes = Vec::new();
    let mut regions = Vec::new();
    for code in 1..1000_u16 {
        // The country that gives a shared code its formats comes first.
        let Some(sharing) = plans.by_code(&code) else {
            continue;
        };
        let kinds: Vec<_> = sharing.iter().flat_map(|region| kinds(region)).collect();
        codes.push(CallingCode::read(&mut pool, code, &kinds, sharing[0]));
        // Codes that belong to no country (+800, +883) are no region to be in.
        regions
            .extend(sharing.iter().filter(|region| region.id() != "001").map(|region| Region::read(&mut pool, region)));
    }
    regions.sort_by(|one, other| one.id.cmp(&other.id));
    write_table(&pool, &codes, &regions);
    write_json(&codes, &regions);
}

/// The patterns of a region with the bit of the label each of them sets.
fn kinds(region: &Metadata) -> Vec<(String, u32)> {
    let of = region.descriptors();
    let service = [of.premium_rate(), of.shared_cost(), of.pager(), of.uan(), of.voicemail()];
    let nomadic = [of.voip(), of.personal_number()];
    let rest = service.map(|one| (one, 4)).into_iter().chain(nomadic.map(|one| (one, 5)));
    [(Some(of.general()), 0), (of.fixed_line(), 1), (of.mobile(), 2), (of.toll_free(), 3)]
        .into_iter()
        .chain(rest)
        .filter_map(|(one, bit)| Some((text(one?.national_number().as_str()), bit)))
        .collect()
}

fn text(pattern: &str) -> String {
    pattern.split_whitespace().collect()
}

/// What is known of numbers by their calling code alone.
struct CallingCode {
    code: u16,
    kinds: Vec<(String, u32)>,
    formats: Vec<Format>,
    /// What goes before a number at home, by what the label says: nothing, `0`, `8`, or in Belarus `80`.
    home_prefixes: Vec<String>,
    root: u32,
}

/// How a number is written at home, as far as it is dialled so.
struct Format {
    leading: Option<String>,
    pattern: String,
    home_prefix: usize,
    /// Argentina's mobiles: the 9 of the international form goes, and 15 comes behind the area code of this length.
    area_length: u32,
}

impl CallingCode {
    fn read(pool: &mut Pool, code: u16, kinds: &[(String, u32)], main: &Metadata) -> CallingCode {
        let mut home_prefixes = vec![String::new()];
        let formats: Vec<Format> =
            main.formats().iter().map(|one| Format::read(one, main, &mut home_prefixes)).collect();
        assert!(home_prefixes.len() <= 4, "+{code} has more kinds of national prefix than a label can tell");
        let mut patterns: Vec<_> = kinds.iter().map(|(text, bit)| (Pattern::parse(text), *bit)).collect();
        for (tag, format) in (FIRST_FORMAT_TAG..).step_by(2).zip(&formats) {
            let leading = format.leading.as_deref().map_or(Pattern::empty(), Pattern::parse);
            patterns.push((leading.then_any(LONGEST), tag));
            patterns.push((Pattern::parse(&format.pattern), tag + 1));
        }
        let root =
            pool.add(&patterns, &|tags| label(tags, &formats)).expect("some number begins with every calling code");
        CallingCode { code, kinds: kinds.to_vec(), formats, home_prefixes, root }
    }
}

fn label(tags: &[u32], formats: &[Format]) -> Label {
    let kinds: Label = tags.iter().filter(|&&tag| tag < FIRST_FORMAT_TAG).fold(0, |bits, tag| bits | 1 << tag);
    // Formats also match strings that are no number: those mean nothing.
    if kinds == 0 {
        return 0;
    }
    let format =
        (FIRST_FORMAT_TAG..).step_by(2).zip(formats).find(|(tag, _)| tags.contains(tag) && tags.contains(&(tag + 1)));
    let Some((_, format)) = format else {
        return kinds;
    };
    let home_prefix = Label::try_from(format.home_prefix).expect("at most three");
    let area = Label::try_from(format.area_length.saturating_sub(1)).expect("at most three");
    kinds | home_prefix << NATIONAL_PREFIX_SHIFT | area << AREA_LENGTH_SHIFT
}

impl Format {
    fn read(format: &phonenumber::metadata::Format, region: &Metadata, home_prefixes: &mut Vec<String>) -> Format {
        let rule = format.national_prefix().unwrap_or("").replace("$NP", region.national_prefix().unwrap_or(""));
        let prefix: String = rule.split("$FG").next().unwrap_or("").chars().filter(char::is_ascii_digit).collect();
        let home_prefix = home_prefixes.iter().position(|known| *known == prefix).unwrap_or_else(|| {
            home_prefixes.push(prefix);
            home_prefixes.len() - 1
        });
        let pattern = text(format.pattern().as_str());
        // `$2 15-$3-$4`: the second group is the area code.
        let area_length = match format.format().starts_with("$2 15-") {
            true => Pattern::parse(pattern.split(')').nth(1).expect("a format has groups").trim_start_matches('('))
                .least()
                .len(),
            false => 0,
        };
        Format {
            leading: format.leading_digits().last().map(|leading| text(leading.as_str())),
            pattern,
            home_prefix,
            area_length: u32::try_from(area_length).expect("a few digits"),
        }
    }
}

/// What is known where the program stands.
struct Region {
    id: String,
    code: u16,
    /// What may stand before a national number and is no part of it: national prefix, carrier selection.
    strip: Vec<String>,
    /// A local number of an island as a whole, and the area code that makes it a national one.
    complete: Option<(String, String)>,
    /// What begins an international number, and the form of it that is dialled.
    international: Option<(String, String)>,
    /// Digits below which a number without national prefix is read as a local one.
    shortest_bare: usize,
    /// Argentina's mobile numbers hold 15 behind the area code, for which the international form has a leading 9.
    has_mobile_infix: bool,
    /// Else numbers are dialled whole, and what `strip` knows is carrier selection.
    has_national_prefix: bool,
    roots: [u32; 3],
}

impl Region {
    fn read(pool: &mut Pool, region: &Metadata) -> Region {
        let mut strip = Vec::new();
        let mut complete = None;
        let mut has_mobile_infix = false;
        let transform = region.national_prefix_transform_rule();
        let rule = region.national_prefix_for_parsing().map(|rule| text(rule.as_str()));
        let rule = rule.or_else(|| region.national_prefix().map(str::to_owned)).unwrap_or_default();
        for part in alternatives(&rule) {
            if let Some(whole) = part.strip_suffix('$') {
                let prefix = transform.unwrap_or_default().replace("$1", "");
                // An empty one says "this is no prefix" (Japan), which the validity of the rest tells as well.
                if !prefix.is_empty() {
                    complete = Some((whole.to_owned(), prefix));
                }
            } else if part.ends_with(")15)?") {
                has_mobile_infix = true;
                strip.push("0".to_owned());
            } else if let Some(carrier) = part.strip_suffix("(\\d{10,11}))?") {
                strip.push(format!("{carrier})?"));
            } else if transform == Some("$1") && part.starts_with("0(") {
                strip.push("0".to_owned());
            } else if !part.is_empty() {
                strip.push(part);
            }
        }
        let international = region.international_prefix().map(|prefix| {
            let pattern = text(prefix.as_str());
            let dialled = match region.preferred_international_prefix() {
                Some(preferred) => preferred.chars().filter(char::is_ascii_digit).collect(),
                None => Pattern::parse(&pattern).least(),
            };
            (pattern, dialled)
        });
        let mut root = |text: &str| match text {
            "" => 0,
            text => pool.add_one(&Pattern::parse(text)).expect("a prefix is a string of digits"),
        };
        let roots = [
            root(&strip.join("|")),
            root(complete.as_ref().map_or("", |(whole, _)| whole)),
            root(international.as_ref().map_or("", |(pattern, _)| pattern)),
        ];
        let has_national_prefix = region.national_prefix().is_some();
        let shortest_bare = if has_national_prefix { shortest_bare(region) } else { 6 };
        Region {
            id: region.id().to_owned(),
            code: region.country_code(),
            strip,
            complete,
            international,
            shortest_bare,
            has_mobile_infix,
            has_national_prefix,
            roots,
        }
    }
}

/// Where numbers differ in length (Germany: 5 to 15 digits), seven digits are a local number and not one of a village
/// whose area code they happen to begin with; where they do not, a local number is shorter than a national one.
fn shortest_bare(region: &Metadata) -> usize {
    let lengths = |of: Option<&Descriptor>| of.map(|one| one.possible_length().to_vec()).unwrap_or_default();
    let fixed = lengths(region.descriptors().fixed_line());
    let mobile = lengths(region.descriptors().mobile());
    let shortest = fixed.iter().chain(&mobile).min().copied().unwrap_or(7);
    let (least, most) = (fixed.iter().min().copied().unwrap_or(0), fixed.iter().max().copied().unwrap_or(0));
    usize::from(if most - least >= 2 { most.min(10) } else { shortest.max(6) })
}

fn out(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join(name)
}

/// Digits as a number that keeps leading zeros: a 1 before them.
fn packed(digits: &str) -> u32 {
    format!("1{digits}").parse().expect("a prefix is a few digits")
}

fn write_table(pool: &Pool, codes: &[CallingCode], regions: &[Region]) {
    let (words, starts) = pool.words();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    std::fs::write(out("numbering_plans.bin"), bytes).expect("OUT_DIR can be written");
    let start = |state: u32| starts[state as usize];
    let mut source = format!("pub static CALLING_CODES: [CallingCode; {}] = [\n", codes.len());
    for one in codes {
        let mut prefixes = [packed(""); 4];
        for (slot, prefix) in prefixes.iter_mut().zip(&one.home_prefixes) {
            *slot = packed(prefix);
        }
        let (code, root) = (one.code, start(one.root));
        writeln!(source, "CallingCode {{ code: {code}, root: {root}, home_prefixes: {prefixes:?} }},")
            .expect("a string");
    }
    writeln!(source, "];\npub static REGIONS: [Region; {}] = [", regions.len()).expect("a string");
    for one in regions {
        let id = one.id.as_bytes();
        let [strip, complete, international] = one.roots.map(|root| if root == 0 { u32::MAX } else { start(root) });
        let area = packed(one.complete.as_ref().map_or("", |(_, area)| area));
        let dialled = packed(one.international.as_ref().map_or("", |(_, dialled)| dialled));
        writeln!(
            source,
            "Region {{ id: {id:?}, code: {}, shortest_bare: {}, has_mobile_infix: {}, has_national_prefix: {}, strip: {strip}, complete: {complete}, \
             complete_with: {area}, international: {international}, dialled_abroad: {dialled} }},",
            one.code, one.shortest_bare, one.has_mobile_infix, one.has_national_prefix
        )
        .expect("a string");
    }
    source.push_str("];\n");
    std::fs::write(out("numbering_plans.rs"), source).expect("OUT_DIR can be written");
}

/// The patterns hold digits, brackets and backslashes only.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\"))
}

fn write_json(codes: &[CallingCode], regions: &[Region]) {
    const NAMES: [&str; 6] = ["general", "fixed", "mobile", "toll_free", "service", "nomadic"];
    let mut json = String::from("{\n\"codes\": {");
    for (n, one) in codes.iter().enumerate() {
        write!(json, "{}\n\"{}\": {{", if n == 0 { "" } else { "," }, one.code).expect("a string");
        for (bit, name) in (0_u32..).zip(NAMES) {
            let mut patterns: Vec<&str> =
                one.kinds.iter().filter(|(_, of)| *of == bit).map(|(text, _)| text.as_str()).collect();
            patterns.sort_unstable();
            patterns.dedup();
            if !patterns.is_empty() {
                write!(json, "\"{name}\": {}, ", quoted(&patterns.join("|"))).expect("a string");
            }
        }
        json.push_str("\"formats\": [");
        for (n, format) in one.formats.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let leading = quoted(format.leading.as_deref().unwrap_or(""));
            let home = quoted(&one.home_prefixes[format.home_prefix]);
            write!(json, "{comma}[{leading}, {}, {home}, {}]", quoted(&format.pattern), format.area_length)
                .expect("a string");
        }
        json.push_str("]}");
    }
    json.push_str("\n},\n\"regions\": {");
    for (n, one) in regions.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let (whole, area) = one.complete.clone().unwrap_or_default();
        let (international, dialled) = one.international.clone().unwrap_or_default();
        write!(
            json,
            "{comma}\n\"{}\": {{\"code\": {}, \"strip\": {}, \"complete\": {}, \"complete_with\": {}, \"international\": {}, \
             \"dialled_abroad\": {}, \"shortest_bare\": {}, \"mobile_infix\": {}, \"national_prefix\": {}}}",
            one.id,
            one.code,
            quoted(&one.strip.join("|")),
            quoted(&whole),
            quoted(&area),
            quoted(&international),
            quoted(&dialled),
            one.shortest_bare,
            one.has_mobile_infix,
            one.has_national_prefix
        )
        .expect("a string");
    }
    json.push_str("\n}\n}\n");
    std::fs::write(out("numbering_plans.json"), json).expect("OUT_DIR can be written");
}
