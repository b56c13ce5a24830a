//! From the text of a `log-format` to its items.

use super::{Field, Flags, Item};
use std::ops::Range;

/// HAProxy's `option httplog`.
pub const HTTPLOG: &str =
    "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
/// HAProxy's `option tcplog`.
pub const TCPLOG: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
/// HAProxy's `option httplog clf`: the Common Log Format, with HAProxy's values after it.
pub const CLF: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc \
                       %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";
/// What HAProxy's manual proposes for `unique-id-format`.
pub const UNIQUE_ID: &str = "%{+X}o %ci:%cp_%fi:%fp_%Ts_%rt:%pid";

/// What is wrong with a format, and where, in bytes of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FormatError {
    /// Where.
    pub at: Range<usize>,
    /// What.
    pub fault: Fault,
}

/// What is wrong with a format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// No such value.
    Unknown,
    /// A sample expression, `%[…]`.
    Expression,
    /// A flag that there is not, or without `+` or `-`.
    Flag,
    /// `%{` without `}`.
    Unclosed,
    /// A control character: it would end the line.
    Control,
}

impl Item {
    /// Parses a format. Every fault is reported.
    pub fn parse(format: &str) -> Result<Vec<Self>, Vec<FormatError>> {
        let mut parser = Parser { format, at: 0, items: Vec::new(), faults: Vec::new(), flags: Flags::default() };
        while let Some(character) = parser.rest().chars().next() {
            parser.take(character);
        }
        if parser.faults.is_empty() { Ok(parser.items) } else { Err(parser.faults) }
    }
}

struct Parser<'a> {
    format: &'a str,
    at: usize,
    items: Vec<Item>,
    faults: Vec<FormatError>,
    /// Those of the last `%{…}o`.
    flags: Flags,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.format.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, first: char) {
        match first {
            '%' => self.value(),
            ' ' => {
                self.items.push(Item::Separator);
                self.at += 1;
            }
            control if control.is_control() => self.fault(Fault::Control, control.len_utf8()),
            literal => self.literal(literal),
        }
    }

    fn literal(&mut self, literal: char) {
        match self.items.last_mut() {
            Some(Item::Text(text)) => text.push(literal),
            _ => self.items.push(Item::Text(literal.into())),
        }
        self.at += literal.len_utf8();
    }

    /// `%%`, `%name` or `%{flags}name`.
    fn value(&mut self) {
        let (start, mut flags) = (self.at, self.flags);
        self.at += 1;
        if self.rest().starts_with('%') {
            return self.literal('%');
        }
        if let Some(typed) = self.rest().strip_prefix('{') {
            let Some(end) = typed.find('}') else {
                self.at = start;
                return self.fault(Fault::Unclosed, self.format.len() - start);
            };
            self.at += 1;
            flags = self.flags(typed.get(..end).unwrap_or_default(), flags);
            self.at += 1;
        }
        let rest = self.rest();
        if rest.starts_with('[') {
            let length = rest.find(']').map_or(rest.len(), |end| end + 1);
            let at = self.at;
            self.at = start;
            return self.fault(Fault::Expression, at + length - start);
        }
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        if name == "o" {
            self.flags = flags;
            self.at += 1;
            return;
        }
        // All of the letters count, as with HAProxy: `%ciX` is not `%ci` and an X.
        if let Some((_, field)) = Field::ALL.iter().find(|(alias, _)| *alias == name) {
            self.items.push(Item::Field(*field, flags));
            self.at += length;
        } else {
            let end = self.at + length;
            self.at = start;
            self.fault(Fault::Unknown, end - start);
        }
    }

    /// `+Q,-X`. Leaves off at the brace.
    fn flags(&mut self, typed: &str, mut flags: Flags) -> Flags {
        for (place, flag) in typed.split(',').enumerate() {
            self.at += usize::from(place > 0);
            match flag {
                "+Q" => flags.quoted = true,
                "-Q" => flags.quoted = false,
                "+X" => flags.hexadecimal = true,
                "-X" => flags.hexadecimal = false,
                other => {
                    self.fault(Fault::Flag, other.len());
                    continue;
                }
            }
            self.at += flag.len();
        }
        flags
    }

    fn fault(&mut self, fault: Fault, length: usize) {
        self.faults.push(FormatError { at: self.at..self.at + length, fault });
        self.at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(format: &str) -> Vec<(&str, Fault)> {
        let faults = Item::parse(format).expect_err("faults");
        faults.into_iter().map(|error| (&format[error.at], error.fault)).collect()
    }

    #[test]
    fn a_format_becomes_its_items() {
        let plain = Flags::default();
        let quoted = Flags { quoted: true, hexadecimal: false };
        let both = Flags { quoted: true, hexadecimal: true };
        let items = Item::parse("a%ci:%{+Q}r  %{+Q,+X}o%{-X}cp%fp%%").expect("a format");
        let expected = [
            Item::Text("a".to_owned()),
            Item::Field(Field::ClientAddress, plain),
            Item::Text(":".to_owned()),
            Item::Field(Field::RequestLine, quoted),
            Item::Separator,
            Item::Separator,
            Item::Field(Field::ClientPort, quoted),
            Item::Field(Field::LocalPort, both),
            Item::Text("%".to_owned()),
        ];
        assert_eq!(items, expected);
    }

    #[test]
    fn every_ready_made_format_is_one() {
        for format in [HTTPLOG, TCPLOG, CLF, UNIQUE_ID] {
            Item::parse(format).expect(format);
        }
    }

    #[test]
    fn every_fault_is_found_at_its_place() {
        assert_eq!(faults("%ci %xyz"), [("%xyz", Fault::Unknown)]);
        assert_eq!(faults("%ciX %"), [("%ciX", Fault::Unknown), ("%", Fault::Unknown)]);
        assert_eq!(faults("a %[src] %{+Q}[x"), [("%[src]", Fault::Expression), ("%{+Q}[x", Fault::Expression)]);
        assert_eq!(faults("%{+Q,Q,+Z}r"), [("Q", Fault::Flag), ("+Z", Fault::Flag)]);
        assert_eq!(faults("%ci %{+Q"), [("%{+Q", Fault::Unclosed)]);
        assert_eq!(faults("a\nb\u{85}"), [("\n", Fault::Control), ("\u{85}", Fault::Control)]);
    }
}
