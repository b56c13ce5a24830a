//! Words: a line of the runtime API, taken apart. Pure; any line is some commands.

/// A line, taken apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Line {
    /// The words of each command; a command may have none.
    pub commands: Vec<Vec<String>>,
    /// The last of them ends with `<<`: what it is about follows, until an empty line.
    pub has_payload: bool,
}

/// Takes a line apart: `;` is between commands and blanks are between words, unless a backslash is before them. The end of the
/// line is not part of it.
pub fn split(line: &[u8]) -> Line {
    let text = String::from_utf8_lossy(line);
    let (text, has_payload) = match text.trim_end().strip_suffix("<<") {
        Some(before) if before.is_empty() || before.ends_with([' ', '\t']) => (before, true),
        Some(_) | None => (&*text, false),
    };
    let (mut commands, mut words, mut word, mut escaped) = (Vec::new(), Vec::new(), None::<String>, false);
    for c in text.chars() {
        match c {
            _ if escaped => {
                word.get_or_insert_default().push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            ';' => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            ' ' | '\t' | '\r' => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    Line { commands, has_payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(line: &str) -> Vec<Vec<String>> {
        split(line.as_bytes()).commands
    }

    #[test]
    fn commands_and_words_are_taken_apart_as_haproxy_does() {
        assert_eq!(
            commands("show  stat\tjson;show version\r"),
            [vec!["show", "stat", "json"], vec!["show", "version"]]
        );
        assert_eq!(commands(r"add map #2 a\;b c\ d\\"), [["add", "map", "#2", "a;b", r"c d\"]]);
        assert_eq!(commands(""), [Vec::<String>::new()]);
        assert_eq!(commands(" ;"), [Vec::<String>::new(), Vec::new()]);
    }

    #[test]
    fn a_payload_is_announced_at_the_end_of_a_line() {
        let line = split(b"show version; set ssl cert a.pem <<\r");
        assert!(line.has_payload);
        assert_eq!(line.commands, [vec!["show", "version"], vec!["set", "ssl", "cert", "a.pem"]]);
        assert!(!split(b"set ssl cert a<<").has_payload && !split(b"a << b").has_payload);
    }

    #[test]
    fn any_line_is_some_commands() {
        let lines = if std::env::var_os("SLUICE_LONG").is_some() { 10_000_000 } else { 20_000 };
        fastrand::seed(7);
        let some: [&[u8]; 12] =
            [b"show", b"set", b" ", b";", b"\\", b"<<", b"server", b"\xff\xfe", b"\0", b"be/s1", b"\r", b"\t"];
        let mut line = Vec::new();
        for _ in 0..lines {
            line.clear();
            for _ in 0..fastrand::usize(0..12) {
                line.extend_from_slice(some[fastrand::usize(0..some.len())]);
                line.push(fastrand::u8(..));
            }
            let apart = split(&line);
            assert!(!apart.commands.is_empty());
            for words in &apart.commands {
                assert!(words.iter().all(|word| !word.is_empty()));
                if let Some((verb, rest)) = super::super::command::find(words) {
                    assert!(rest.len() <= words.len());
                    let _ = verb.level(rest);
                }
            }
        }
    }
}
