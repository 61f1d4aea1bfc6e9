//! Which Asterisk it is, by the text it gives as its version. Pure.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Good,
    /// Older than anything this program was tried with.
    Old,
    /// CVE-2024-42365, by the number.
    Vulnerable {
        /// Built by a distribution, which may have mended it.
        is_packaged: bool,
    },
    Unreadable,
}

/// `22.10.1+dfsg+~cs6.17-1`, `16.28.0~dfsg-0+deb11u10`, `certified/18.9-cert11`, `20.7-cert2`, `GIT-master-1a2b3c`.
pub fn judge(text: &str) -> Verdict {
    let number =
        text.trim().trim_start_matches("Asterisk ").trim_start_matches("certified/").trim_start_matches("certified-");
    let end = number.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(number.len());
    let (digits, rest) = number.split_at(end);
    let mut parts = digits.split('.').map(str::parse::<u32>);
    let Some(Ok(major)) = parts.next() else { return Verdict::Unreadable };
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    let release = (next(), next());
    let is_packaged = ["+deb", "dfsg", "ubuntu", ".el", ".fc"].iter().any(|mark| rest.contains(mark));
    let cert: Option<u32> =
        rest.strip_prefix("-cert").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    let vulnerable = match (major, cert) {
        // The certified releases that mended it: 18.9-cert11, 20.7-cert2.
        (18, Some(cert)) => cert < 11,
        (20, Some(cert)) => cert < 2,
        (18, None) => release < (24, 2),
        (20, None) => release < (9, 2),
        (21, _) => release < (4, 2),
        (22.., _) => false,
        _ => true,
    };
    match (vulnerable, major) {
        (true, 13..) => Verdict::Vulnerable { is_packaged },
        (_, ..13) => Verdict::Old,
        (false, _) => Verdict::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_is_sorted() {
        let open = Verdict::Vulnerable { is_packaged: false };
        for (text, verdict) in [
            ("22.10.1+dfsg+~cs6.17.60671434-1", Verdict::Good),
            ("16.28.0~dfsg-0+deb11u10", Verdict::Vulnerable { is_packaged: true }),
            ("16.30.1", open),
            ("18.24.1", open),
            ("18.24.2", Verdict::Good),
            ("18.9-cert10", open),
            ("certified/18.9-cert11", Verdict::Good),
            ("certified-20.7-cert1", open),
            ("20.7-cert2", Verdict::Good),
            ("20.9.1", open),
            ("20.9.2", Verdict::Good),
            ("21.4.1", open),
            ("21.10.0", Verdict::Good),
            ("19.8.1", open),
            ("11.25.3", Verdict::Old),
            ("22.0.0-rc1", Verdict::Good),
            ("GIT-master-1a2b3c", Verdict::Unreadable),
            ("", Verdict::Unreadable),
        ] {
            assert_eq!(judge(text), verdict, "{text}");
        }
    }
}
