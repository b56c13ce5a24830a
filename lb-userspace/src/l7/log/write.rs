//! Write: values into a line, so that no value can end it or begin another: what is not printable never gets in.

use std::{io::Write, net::IpAddr};

/// How bytes are made harmless.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escape {
    /// For a request line and other texts: `"`, `#`, and what is not printable ASCII become `#XX` (HAProxy's
    /// `url_encode_map`).
    Text,
    /// For a captured field: `{`, `|` and `}` too (HAProxy's `hdr_encode_map`).
    Field,
}

impl Escape {
    const fn applies(self, byte: u8) -> bool {
        match byte {
            0..32 | 127.. | b'"' | b'#' => true,
            b'{' | b'|' | b'}' => matches!(self, Self::Field),
            _ => false,
        }
    }

    const fn table(self) -> [bool; 256] {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            #[expect(
                clippy::indexing_slicing,
                clippy::cast_possible_truncation,
                reason = "below 256, and at compile time"
            )]
            {
                table[byte] = self.applies(byte as u8);
            }
            byte += 1;
        }
        table
    }
}

/// For which bytes each applies: looked up faster than computed.
static TEXT: [bool; 256] = Escape::Text.table();
static FIELD: [bool; 256] = Escape::Field.table();

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `bytes`, escaped.
pub(super) fn escaped(line: &mut Vec<u8>, bytes: &[u8], escape: Escape) {
    let table = if escape == Escape::Text { &TEXT } else { &FIELD };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| table.get(usize::from(*byte)) == Some(&true)) {
        let (harmless, from) = rest.split_at(at);
        line.extend_from_slice(harmless);
        let Some((byte, after)) = from.split_first() else { return };
        line.push(b'#');
        hex(line, u64::from(*byte), 2);
        rest = after;
    }
    line.extend_from_slice(rest);
}

/// Appends a number.
pub(super) fn number(line: &mut Vec<u8>, number: u64) {
    // Most of a line's have one digit.
    match u8::try_from(number) {
        Ok(digit @ 0..10) => line.push(b'0' + digit),
        Ok(_) | Err(_) => padded(line, number, 1),
    }
}

/// Appends a number of at least so many digits, at most 20.
pub(super) fn padded(line: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && used >= width {
            break;
        }
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
    }
    line.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

/// Appends a number in hexadecimal, of at least so many digits, at most 16.
pub(super) fn hex(line: &mut Vec<u8>, number: u64, width: usize) {
    let needed = (64 - number.leading_zeros()).div_ceil(4) as usize;
    for place in (0..needed.max(width)).rev() {
        let digit = (number >> (4 * place)) & 15;
        line.extend(HEX.get(digit as usize));
    }
}

/// Appends an address. IPv4 by hand: the machinery of `Display` costs several times as much.
pub(super) fn ip(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(line, first.into());
            for part in rest {
                line.push(b'.');
                number(line, part.into());
            }
        }
        // Writing to a vector cannot fail.
        IpAddr::V6(address) => write!(line, "{address}").unwrap_or_default(),
    }
}

/// Appends a JSON string (RFC 8259 §7) of at most `limit` bytes of `bytes`; what is no UTF-8 becomes U+FFFD.
pub(super) fn json(line: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    line.push(b'"');
    let kept = bytes.get(..limit).unwrap_or(bytes);
    for chunk in kept.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => line.extend([b'\\', character as u8]),
                // DEL and the C1 controls are allowed there, but terminals obey some of them; the two separators end lines
                // elsewhere.
                '\0'..' ' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    line.extend_from_slice(b"\\u");
                    hex(line, character.into(), 4);
                }
                character => line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            line.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn what_haproxy_escapes_is_escaped_as_it_does() {
        let nasty = b"a\"b|c{d}e\\f\x80\xff#g\t]h";
        assert_eq!(written(|line| escaped(line, nasty, Escape::Field)), r"a#22b#7Cc#7Bd#7De\f#80#FF#23g#09]h");
        assert_eq!(written(|line| escaped(line, nasty, Escape::Text)), r"a#22b|c{d}e\f#80#FF#23g#09]h");
    }

    #[test]
    fn numbers_have_their_width() {
        for (number, width, expected) in
            [(0, 1, "0"), (7, 3, "007"), (1234, 3, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            assert_eq!(written(|line| padded(line, number, width)), expected);
        }
        for (number, width, expected) in [(0, 2, "00"), (0x1f90, 4, "1F90"), (0x12345, 4, "12345")] {
            assert_eq!(written(|line| hex(line, number, width)), expected);
        }
    }

    proptest! {
        #[test]
        fn no_byte_ends_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for escape in [Escape::Text, Escape::Field] {
                let line = written(|line| escaped(line, &bytes, escape));
                prop_assert!(line.bytes().all(|byte| (32..127).contains(&byte) && byte != b'"'));
            }
            let line = written(|line| json(line, &bytes, usize::MAX));
            prop_assert!(line.bytes().all(|byte| byte >= 32));
            let read: String = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn numbers_are_those_of_the_standard_library(number: u64) {
            prop_assert_eq!(written(|line| padded(line, number, 1)), number.to_string());
            let small = number % 1_000;
            prop_assert_eq!(written(|line| super::number(line, small)), small.to_string());
            prop_assert_eq!(written(|line| hex(line, number, 4)), format!("{number:04X}"));
        }
    }
}
