//! Sets keys in the text of a configuration and leaves every other line as it is: comments are what administrators read.
//! Pure. Whether the result is good is for [`crate::config`] to say.

/// Sets `key` of `section` (`[numbers]`, `[[crm]]`; of several the first) to `value`, which is written as it is given.
///
/// A line that is there is replaced, one that stands as an example (`#key = …`) comes to life, else the key is put below the
/// section's other keys; the section is made if there is none.
pub fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = format!("{key} = {value}");
    let Some(start) = header(&lines, section) else {
        if lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(String::new());
        }
        lines.extend([section.to_owned(), line]);
        return joined(&lines);
    };
    lines[start] = lines[start].trim_start_matches('#').to_owned();
    let end = (start + 1..lines.len()).find(|at| is_header(&lines[*at])).unwrap_or(lines.len());
    let is = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    let alive = (start + 1..end).find(|at| is(&lines[*at]));
    let example = || (start + 1..end).find(|at| lines[*at].strip_prefix('#').is_some_and(is));
    match alive.or_else(example) {
        Some(at) => lines[at] = line,
        None => {
            let last = (start..end).rev().find(|at| lines[*at].contains(" = ")).unwrap_or(start);
            lines.insert(last + 1, line);
        }
    }
    joined(&lines)
}

/// Turns a key that is set into an example.
pub fn unset(text: &str, section: &str, key: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(start) = header(&lines, section) {
        let end = (start + 1..lines.len()).find(|at| is_header(&lines[*at])).unwrap_or(lines.len());
        for line in &mut lines[start + 1..end] {
            if line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
                // Not its value: what is unset may be a secret.
                *line = format!("#{key} = \"...\"");
            }
        }
    }
    joined(&lines)
}

/// A text as TOML writes it.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The line of the section that is set, else of the one that stands as an example.
fn header(lines: &[String], section: &str) -> Option<usize> {
    let is = |line: &String| line.split_once(" #").map_or(line.as_str(), |(head, _)| head).trim() == section;
    lines.iter().position(is).or_else(|| lines.iter().position(|line| *line == format!("#{section}")))
}

/// Of a section or of an example of one; arrays that go over several lines are indented.
fn is_header(line: &str) -> bool {
    let line = line.strip_prefix('#').unwrap_or(line);
    line.starts_with('[') && line.trim_end().ends_with(']')
}

fn joined(lines: &[String]) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_replaced_woken_or_added_and_nothing_else_changes() {
        let text = "# top\n[numbers]\n# country\n#region = \"RU\"\nmatch = 7\n\n[calls]\nrecords = \"per-phone\"\n\n\
                    # crm\n#[[crm]]\n#name = \"vtiger\"\n";
        let set_all = [
            ("[numbers]", "region", "\"KZ\""),
            ("[calls]", "records", "\"per-call\""),
            ("[calls]", "days", "3"),
            ("[[crm]]", "name", "\"shop\""),
            ("[log]", "level", "\"debug\""),
        ]
        .iter()
        .fold(text.to_owned(), |text, (section, key, value)| set(&text, section, key, value));
        assert_eq!(
            set_all,
            "# top\n[numbers]\n# country\nregion = \"KZ\"\nmatch = 7\n\n[calls]\nrecords = \"per-call\"\ndays = 3\n\n\
             # crm\n[[crm]]\nname = \"shop\"\n\n[log]\nlevel = \"debug\"\n"
        );
        assert_eq!(set(&set_all, "[calls]", "days", "3"), set_all, "again changes nothing");
        assert!(unset(&set_all, "[[crm]]", "name").contains("\n#name = \"...\"\n"));
        assert_eq!(quoted("a\"b\\c"), "'a\"b\\c'");
    }

    #[test]
    fn the_first_section_of_several_is_meant() {
        let text = "[[asterisk]]\nname = \"a\"\n[[asterisk]]\nname = \"b\"\n";
        assert_eq!(
            set(text, "[[asterisk]]", "port", "1"),
            "[[asterisk]]\nname = \"a\"\nport = 1\n[[asterisk]]\nname = \"b\"\n"
        );
    }
}
