//! Texts for Asterisk's configuration: the account, and careful changes of files that are somebody else's. Pure.

/// The shipped account, as `conf/asterisk` has it.
pub const ACCOUNT: &str = include_str!("../../../conf/asterisk/manager.d-pinconnector.conf");
/// The shipped pieces of dialplan.
pub const DIALPLAN: &str = include_str!("../../../conf/asterisk/extensions-pinconnector.conf");
/// The shipped settings for call records over AMI.
pub const CDR_MANAGER: &str = include_str!("../../../conf/asterisk/cdr_manager.conf");
/// What stands in [`ACCOUNT`] until somebody writes a password.
pub const PLACEHOLDER: &str = "CHANGE-ME-to-a-long-random-password";

const BEGIN: &str = "; ---- PINconnector begins: written by `pinconnector setup`; change it there or by hand ----";
const END: &str = "; ---- PINconnector ends ----";

/// The account with this name and secret, for a connector at `from` (an address; `None`: on the same machine).
pub fn account(name: &str, secret: &str, from: Option<&str>, variables: &[String]) -> String {
    let mut text = ACCOUNT.replace("[pinconnector]\n", &format!("[{name}]\n")).replace(PLACEHOLDER, secret);
    if let Some(from) = from {
        let mask = if from.contains(':') { "" } else { "/255.255.255.255" };
        text = text.replace("permit = 127.0.0.1/255.255.255.255", &format!("permit = {from}{mask}"));
    }
    if !variables.is_empty() {
        let line = format!("eventfilter = ^Event: VarSet.*Variable: _?_?({})[^A-Za-z0-9_]", variables.join("|"));
        text =
            text.replace(";eventfilter = ^Event: VarSet.*Variable: _?_?(MY_VARIABLE|ANOTHER_ONE)[^A-Za-z0-9_]", &line);
    }
    text
}

/// `text` with our block at its end, or in the place where our block is already.
pub fn with_block(text: &str, block: &str) -> String {
    let ours = format!("{BEGIN}\n{}\n{END}\n", block.trim_end());
    if let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END))
        && begin < end
    {
        let after = &text[end + END.len()..];
        return format!("{}{ours}{}", &text[..begin], after.strip_prefix('\n').unwrap_or(after));
    }
    let gap = if text.is_empty() || text.ends_with("\n\n") {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    format!("{text}{gap}{ours}")
}

/// `text` with `key = value` in its first `[section]`: the lines of that name there are replaced, else one is added below the
/// section's head; without the section both are added.
pub fn with_key(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let head =
        |line: &str| line.trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next().map(str::to_owned));
    let Some(start) = lines.iter().position(|line| head(line).as_deref() == Some(section)) else {
        let gap = if text.is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
        return format!("{text}{gap}[{section}]\n{key} = {value}\n");
    };
    let end = (start + 1..lines.len()).find(|at| head(&lines[*at]).is_some()).unwrap_or(lines.len());
    let is = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case(key));
    let there: Vec<usize> = (start + 1..end).filter(|at| is(&lines[*at])).collect();
    match there.last() {
        Some(last) => lines[*last] = format!("{key} = {value}"),
        None => lines.insert(start + 1, format!("{key} = {value}")),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_has_the_secret_the_address_and_the_variables() {
        assert_eq!(ACCOUNT.matches(PLACEHOLDER).count(), 1);
        let here = account("pinconnector", "s3cret", None, &[]);
        assert!(here.contains("\nsecret = s3cret\n") && here.contains("\npermit = 127.0.0.1/255.255.255.255\n"));
        let there = account("crm", "s", Some("192.0.2.7"), &["CAMPAIGN".to_owned(), "SOURCE".to_owned()]);
        assert!(there.contains("\n[crm]\n") && there.contains("\npermit = 192.0.2.7/255.255.255.255\n"));
        assert!(
            there.contains("\neventfilter = ^Event: VarSet.*Variable: _?_?(CAMPAIGN|SOURCE)[^A-Za-z0-9_]\n"),
            "{there}"
        );
        assert!(account("x", "s", Some("2001:db8::1"), &[]).contains("\npermit = 2001:db8::1\n"));
    }

    #[test]
    fn a_block_is_put_once_and_replaced_in_place() {
        let once = with_block("[admin]\nsecret = x\n", "[pin]\nsecret = 1\n");
        assert_eq!(once, format!("[admin]\nsecret = x\n\n{BEGIN}\n[pin]\nsecret = 1\n{END}\n"));
        let more = format!("{once}[later]\n");
        let again = with_block(&more, "[pin]\nsecret = 2\n");
        assert_eq!(again, format!("[admin]\nsecret = x\n\n{BEGIN}\n[pin]\nsecret = 2\n{END}\n[later]\n"));
        assert_eq!(with_block("", "a"), format!("{BEGIN}\na\n{END}\n"));
    }

    #[test]
    fn a_key_is_changed_where_it_stands() {
        let debian = ";\n[general]\nenabled = no\nport = 5038\n[x]\nenabled = no\n";
        assert_eq!(with_key(debian, "general", "enabled", "yes"), debian.replacen("enabled = no", "enabled = yes", 1));
        assert_eq!(
            with_key("[general]\n;enabled=yes\n", "general", "enabled", "yes"),
            "[general]\nenabled = yes\n;enabled=yes\n"
        );
        assert_eq!(with_key("", "mappings", "did", "Did"), "[mappings]\ndid = Did\n");
    }
}
