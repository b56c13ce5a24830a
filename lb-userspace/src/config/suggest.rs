//! "Did you mean …": the nearest of the words that would have been right.

/// Longest word in bytes that may be a slip: comparing takes time and memory by its length.
const LONGEST: usize = 64;

/// A help line naming the word of `known` that `typed` was probably meant to be; `None` if nothing is near.
pub(crate) fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(typed, known).map(|word| format!("did you mean `{word}`?"))
}

/// The word of `known` within a third of its length in edits, as rustc does; the first of equals.
fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > LONGEST {
        return None;
    }
    let typed = typed.to_lowercase();
    let distance = |word: &'a str| (strsim::damerau_levenshtein(&typed, &word.to_lowercase()), word);
    let (edits, word) = known.into_iter().map(distance).min_by_key(|(edits, _)| *edits)?;
    (edits <= typed.chars().count().max(3) / 3).then_some(word)
}

/// "`a`, `b`, `c`", for "supported: …".
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_keyboard_are_recognised_and_other_words_are_not() {
        let known = ["balance", "forward", "check"];
        assert_eq!(nearest("blance", known), Some("balance"));
        assert_eq!(nearest("froward", known), Some("forward"));
        assert_eq!(nearest("Check", known), Some("check"));
        assert_eq!(nearest("retries", known), None);
        assert_eq!(nearest(&"balance".repeat(1 << 20), known), None);
    }
}
