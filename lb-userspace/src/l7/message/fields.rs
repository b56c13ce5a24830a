//! The fields of a message, in their order: one allocation for all names and values, one for where they are. A message has
//! about ten, so that looking through all of them is faster than any table.

use std::{fmt, ops::Range};

/// Header fields, or trailers. Names compare without regard to case and are kept as they came.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    /// Names and values; also some that are no longer used.
    text: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
struct Line {
    name: Part,
    value: Part,
}

/// A part of the text. A message is far smaller than 4 GiB.
#[derive(Clone, Copy)]
struct Part {
    start: u32,
    end: u32,
}

impl Part {
    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Fields {
    /// None yet; room for `lines` of `bytes` in all.
    pub(crate) fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines) }
    }

    /// None yet; `text` is copied, so that fields that are parts of it need no copy of their own. Room for `lines`, and for a
    /// few more.
    pub(crate) fn of_text(text: &[u8], lines: usize) -> Self {
        let mut fields = Self::with_capacity(lines + 4, text.len() + 128);
        fields.text.extend_from_slice(text);
        fields
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.lines.len()
    }

    /// Names and values, in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (self.text(line.name), self.text(line.value)))
    }

    /// The values of all fields of that name, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let named = self.lines.iter().filter(move |line| self.is(line, name));
        named.map(|line| self.text(line.value))
    }

    /// The first value of that name.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The elements of lists of that name, over all its fields, as HAProxy's `hdr()` sees them: split at commas outside
    /// of quotes, without the spaces around.
    pub(crate) fn elements<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.all(name).flat_map(elements)
    }

    /// Whether a list of that name has this word (without regard to case).
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Adds a field at the end. Name and value must be valid ones.
    pub(crate) fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = self.keep(name.as_ref());
        let value = self.keep(value.as_ref());
        self.lines.push(Line { name, value });
    }

    /// Adds a field at the end, of which these are the places in the text that all began with.
    #[expect(clippy::cast_possible_truncation, reason = "a message is far smaller than 4 GiB")]
    pub(crate) fn push_part(&mut self, name: Range<usize>, value: Range<usize>) {
        let part = |range: Range<usize>| Part { start: range.start as u32, end: range.end as u32 };
        self.lines.push(Line { name: part(name), value: part(value) });
    }

    /// Makes it the only field of that name: in the place of the first one, else at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let Some(first) = self.lines.iter().position(|line| self.is(line, name)) else {
            return self.push(name, value);
        };
        let value = self.keep(value.as_ref());
        if let Some(line) = self.lines.get_mut(first) {
            line.value = value;
        }
        let mut index = 0;
        self.retain_lines(|fields, line| {
            index += 1;
            index - 1 <= first || !fields.is(line, name)
        });
    }

    /// Removes all fields of that name. Whether there were any.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        self.retain_lines(|fields, line| !fields.is(line, name));
        self.lines.len() < before
    }

    /// Removes what is not to be kept, by name and value.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        self.retain_lines(|fields, line| keep(fields.text(line.name), fields.text(line.value)));
    }

    /// Changes values: `None` leaves one as it is.
    pub(crate) fn map_values(&mut self, mut change: impl FnMut(&[u8], &[u8]) -> Option<Vec<u8>>) {
        for index in 0..self.lines.len() {
            let Some(line) = self.lines.get(index).copied() else { return };
            let Some(value) = change(self.text(line.name), self.text(line.value)) else { continue };
            let value = self.keep(&value);
            if let Some(line) = self.lines.get_mut(index) {
                line.value = value;
            }
        }
    }

    fn retain_lines(&mut self, mut keep: impl FnMut(&Self, &Line) -> bool) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.retain(|line| keep(self, line));
        self.lines = lines;
    }

    fn is(&self, line: &Line, name: &str) -> bool {
        self.text(line.name).eq_ignore_ascii_case(name.as_bytes())
    }

    fn text(&self, part: Part) -> &[u8] {
        self.text.get(part.range()).unwrap_or_default()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a message is far smaller than 4 GiB")]
    fn keep(&mut self, bytes: &[u8]) -> Part {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        Part { start, end: self.text.len() as u32 }
    }
}

/// The elements of one list.
pub(crate) fn elements(list: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let is_comma = move |byte: &u8| match *byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' if quoted => {
            escaped = true;
            false
        }
        b'"' => {
            quoted = !quoted;
            false
        }
        byte => byte == b',' && !quoted,
    };
    // Collected, because what is quoted can only be told from the front.
    let elements: Vec<_> = list.split(is_comma).map(<[u8]>::trim_ascii).collect();
    elements.into_iter()
}

/// Names and values, with what is secret left out: messages end up in logs of errors.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |name: &[u8]| {
            ["authorization", "proxy-authorization", "cookie", "set-cookie"]
                .iter()
                .any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
        };
        let shown = self.iter().map(|(name, value)| {
            let value = if secret(name) { "…".into() } else { String::from_utf8_lossy(value) };
            (String::from_utf8_lossy(name), value)
        });
        f.debug_list().entries(shown).finish()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut new = Self::default();
        fields.into_iter().for_each(|(name, value)| new.push(name, value));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &Fields) -> Vec<String> {
        let shown = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        fields.iter().map(|(name, value)| format!("{}={}", shown(name), shown(value))).collect()
    }

    #[test]
    fn fields_keep_their_order_and_names_their_case() {
        let mut fields: Fields = [("Host", "a"), ("X-A", "1"), ("x-b", "2"), ("x-a", "3")].into_iter().collect();
        assert_eq!(fields.get("host"), Some(&b"a"[..]));
        assert_eq!(fields.all("X-a").collect::<Vec<_>>(), [b"1", b"3"]);
        fields.set("x-A", "longer");
        assert_eq!(shown(&fields), ["Host=a", "X-A=longer", "x-b=2"]);
        fields.set("new", "n");
        assert!(fields.remove("HOST") && !fields.remove("host"));
        assert_eq!(shown(&fields), ["X-A=longer", "x-b=2", "new=n"]);
        fields.retain(|_, value| value != b"2");
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn lists_are_split_at_commas_that_are_not_quoted() {
        let fields: Fields = [("a", r#" x , "y,\",z" ,"#), ("a", "w")].into_iter().collect();
        let elements: Vec<_> = fields.elements("a").map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        assert_eq!(elements, ["x", r#""y,\",z""#, "", "w"]);
        assert!(fields.lists("A", "W") && !fields.lists("a", "y"));
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let fields: Fields =
            [("Authorization", "Basic c2VjcmV0"), ("cookie", "s=secret"), ("a", "b")].into_iter().collect();
        let shown = format!("{fields:?}");
        assert!(!shown.contains("c2VjcmV0") && !shown.contains("s=secret") && shown.contains("\"b\""), "{shown}");
    }
}
