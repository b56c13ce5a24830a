//! Knob: what the doc comment of a key says, taken apart: its meaning, default and bounds.

use super::read::KnobDoc;

impl KnobDoc {
    /// All of it on one line, without what only the source understands.
    pub fn text(&self) -> String {
        let line = self.doc.split_whitespace().collect::<Vec<_>>().join(" ");
        // A link to the table that may stand there names a type.
        let mut parts = line.split(" of [`super::");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once("`]").map_or(part, |(_, rest)| rest))
    }

    /// The sentences but for those that say the default, and that it is required.
    pub fn meaning(&self) -> String {
        let is_meaning = |sentence: &&str| !is_default(sentence) && !is_required(sentence);
        sentences(&self.text()).into_iter().filter(is_meaning).collect::<Vec<_>>().join(" ")
    }

    /// The first sentence of its meaning, and the others.
    pub fn summary(&self) -> (String, String) {
        let meaning = self.meaning();
        let mut all = sentences(&meaning).into_iter();
        (all.next().unwrap_or_default().to_owned(), all.collect::<Vec<_>>().join(" "))
    }

    /// What holds where it is not given.
    pub fn default(&self) -> Option<String> {
        let text = self.text();
        let all = sentences(&text);
        let said = all.iter().find(|sentence| is_default(sentence))?;
        let (_, default) = said.split_once(": ")?;
        Some(default.strip_suffix('.').unwrap_or(default).to_owned())
    }

    /// Whether it must be given, whatever else is.
    pub fn is_required(&self) -> bool {
        sentences(&self.text()).iter().any(|sentence| is_required(sentence))
    }

    /// The least and the most that a number or a duration may be, as typed.
    pub fn bounds(&self) -> Option<(String, String)> {
        let meaning = self.meaning();
        let words: Vec<_> = meaning.split([' ', '(']).collect();
        let plain = |word: &str| word.trim_end_matches(['.', ',', ';', ':', ')']).to_owned();
        let is_amount = |word: &str| {
            let digits = word.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        (0..words.len()).find_map(|at| {
            let [from, to, most] = [0, 1, 2].map(|next| words.get(at + next).copied().unwrap_or_default());
            // The end of a list, "200, 500 to 504", is no bound of it.
            let is_listed = at
                .checked_sub(1)
                .and_then(|before| words.get(before).copied())
                .is_some_and(|word| is_amount(&plain(word)));
            let most = plain(most);
            (to == "to" && is_amount(from) && is_amount(&most) && !is_listed).then(|| (from.to_owned(), most))
        })
    }
}

fn is_default(sentence: &str) -> bool {
    sentence.starts_with("Default: ") || sentence.starts_with("Default of ")
}

/// "Required by …" and the like say when.
fn is_required(sentence: &str) -> bool {
    sentence == "Required." || sentence.starts_with("Required: ")
}

/// Text in its sentences: each ends with a full stop before something that can begin another.
fn sentences(text: &str) -> Vec<&str> {
    let (mut found, mut start) = (Vec::new(), 0);
    for (end, _) in text.match_indices(". ") {
        let begins = |next: char| next.is_uppercase() || next == '`' || next == '"';
        let rest = text.get(end + 2..).unwrap_or_default();
        if rest.starts_with(begins) && !text.get(..end).unwrap_or_default().ends_with('.') {
            found.extend(text.get(start..=end));
            start = end + 2;
        }
    }
    found.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knob(doc: &'static str) -> KnobDoc {
        KnobDoc { key: "key", doc }
    }

    #[test]
    fn a_comment_is_taken_apart_into_what_tables_show() {
        let said =
            knob(" Threads that serve, 1 to 1024, as\n HAProxy's `nbthread`. More later.\n Default: one a CPU.\n");
        assert_eq!(
            said.summary(),
            ("Threads that serve, 1 to 1024, as HAProxy's `nbthread`.".into(), "More later.".into())
        );
        assert_eq!(said.default().as_deref(), Some("one a CPU"));
        assert_eq!(said.bounds(), Some(("1".to_owned(), "1024".to_owned())));
        assert!(!said.is_required());
        let said = knob(" Where it listens, or a table of [`super::Bind`]; one or an array. Required.\n");
        assert_eq!(said.meaning(), "Where it listens, or a table; one or an array.");
        assert!(said.is_required() && said.default().is_none() && said.bounds().is_none());
        assert!(knob(" `l4` or not. Required: it differs.\n").is_required());
        assert!(!knob(" Its type. Required with a body.\n").is_required());
        let said = knob(" A socket, 1s to 7d; see above. Default: \"/run/sluice/sluice.sock\".\n");
        assert_eq!(said.default().as_deref(), Some("\"/run/sluice/sluice.sock\""));
        assert_eq!(said.bounds(), Some(("1s".to_owned(), "7d".to_owned())));
        assert_eq!(knob(" A status: 200, 431, 500 to 504.\n").bounds(), None);
    }
}
