//! What Dial was told to call: the names in its arguments, before any channel exists.
//!
//! Needed because a phone that got no channel (CHANUNAVAIL) stands nowhere else (`AppData` of `Newexten`).

use crate::asterisk::ChannelName;

/// One of the things a Dial calls at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// A channel name without suffix, as [`super::rules::Rules::party`] understands it.
    pub channel: ChannelName,
    /// The number asked for, where the endpoint is not itself the destination.
    pub number: Option<String>,
}

/// The targets in the arguments of `Dial` (`PJSIP/101&SIP/trunk/8916…,20,tT`), in order; at most 64. Local channels and
/// empty ones are left out: the first show themselves, the others are an error of the dialplan.
pub fn targets(arguments: &str) -> Vec<Target> {
    let list = arguments.split(',').next().unwrap_or_default();
    list.split('&').take(64).filter_map(target).collect()
}

fn target(text: &str) -> Option<Target> {
    let (technology, rest) = text.trim().split_once('/')?;
    if technology == "Local" || rest.is_empty() {
        return None;
    }
    let (endpoint, number) = match technology {
        // PJSIP/101, PJSIP/8916…@trunk, PJSIP/trunk/sip:8916…@host, PJSIP/101/sip:101@10.0.0.5:5060
        "PJSIP" => match rest.split_once('/') {
            Some((endpoint, uri)) => (endpoint, uri.split_once(':').and_then(|(_, uri)| uri.split('@').next())),
            None => number_at(rest),
        },
        // SIP/101, SIP/trunk/8916…, SIP/8916…@trunk, IAX2/user:secret@trunk/8916…
        "IAX2" => {
            let rest = rest.split_once('@').map_or(rest, |(_, peer)| peer);
            rest.split_once('/').map_or((rest, None), |(peer, number)| (peer, Some(number)))
        }
        "SIP" => match rest.split_once('/') {
            Some((peer, number)) => (peer, Some(number)),
            None => number_at(rest),
        },
        // DAHDI/g0/8916…, DAHDI/i1/8916…, Dongle/dongle0/+7916…
        _ => rest.split_once('/').map_or((rest, None), |(line, number)| (line, Some(number))),
    };
    if endpoint.is_empty() {
        return None;
    }
    Some(Target {
        channel: ChannelName::new(&format!("{technology}/{endpoint}")),
        number: number.map(plain_number).filter(|n| !n.is_empty()),
    })
}

fn number_at(rest: &str) -> (&str, Option<&str>) {
    rest.split_once('@').map_or((rest, None), |(number, endpoint)| (endpoint, Some(number)))
}

/// The number in a `DialString`, given the endpoint of the channel it made: `89161234567@trunk-msk`,
/// `trunk-msk/89161234567`, `g0/8916…`.
pub fn dialled_number(dial_string: &str, endpoint: &str) -> Option<String> {
    let rest = dial_string.strip_prefix("PJSIP/").or_else(|| dial_string.strip_prefix("SIP/")).unwrap_or(dial_string);
    let number = match rest.split_once('/') {
        Some((_, uri)) if uri.starts_with("sip:") || uri.starts_with("sips:") => {
            uri.split_once(':').and_then(|(_, uri)| uri.split('@').next())
        }
        Some((_, number)) => Some(number),
        None => match rest.split_once('@') {
            Some((number, _)) => Some(number),
            None => (rest != endpoint).then_some(rest),
        },
    }?;
    let number = plain_number(number);
    (!number.is_empty()).then_some(number)
}

/// Dial options may follow a number after a slash or semicolon (`8916…;user=phone`).
fn plain_number(text: &str) -> String {
    text.split(['/', ';', '?']).next().unwrap_or_default().chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &str) -> Vec<(String, Option<String>)> {
        targets(arguments).into_iter().map(|t| (t.channel.to_string(), t.number)).collect()
    }

    #[test]
    fn the_arguments_of_dial_name_phones_and_numbers() {
        for (arguments, expected) in [
            ("PJSIP/101&PJSIP/102,8,tT", vec![("PJSIP/101", None), ("PJSIP/102", None)]),
            ("PJSIP/89161234567@trunk-msk,10,tT", vec![("PJSIP/trunk-msk", Some("89161234567"))]),
            ("SIP/trunk-msk/89161234567", vec![("SIP/trunk-msk", Some("89161234567"))]),
            ("PJSIP/101/sip:101@10.0.0.5:5060&SIP/102,20", vec![("PJSIP/101", Some("101")), ("SIP/102", None)]),
            ("DAHDI/g0/89161234567,60", vec![("DAHDI/g0", Some("89161234567"))]),
            ("IAX2/u:p@office/200", vec![("IAX2/office", Some("200"))]),
            ("PJSIP/,8,tT", vec![]),
            ("Local/101@from-queue/n,8", vec![]),
            ("", vec![]),
            ("&&/", vec![]),
        ] {
            let expected: Vec<(String, Option<String>)> =
                expected.into_iter().map(|(c, n)| (c.to_owned(), n.map(str::to_owned))).collect();
            assert_eq!(names(arguments), expected, "{arguments}");
        }
    }

    #[test]
    fn a_dial_string_holds_the_number_that_went_to_the_trunk() {
        for (dial_string, endpoint, number) in [
            ("89161234567@trunk-msk", "trunk-msk", Some("89161234567")),
            ("trunk-msk/89161234567", "trunk-msk", Some("89161234567")),
            ("PJSIP/89161234567@trunk-msk", "trunk-msk", Some("89161234567")),
            ("trunk-msk/sip:+79161234567@sip.example.org", "trunk-msk", Some("+79161234567")),
            ("g0/89161234567", "i1", Some("89161234567")),
            ("101", "101", None),
            ("", "trunk", None),
        ] {
            assert_eq!(dialled_number(dial_string, endpoint).as_deref(), number, "{dial_string}");
        }
    }
}
