//! Configurations that somebody spoiled: what editors, scripts, merges and disks make of a file that was good.

use lb_tests_traffic::random::Random;
use std::fmt::Write as _;

/// A way to spoil a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutation {
    /// Only the beginning is left, as of a disk that is full.
    Truncate,
    /// A line is there twice.
    DuplicateLine,
    /// A line is gone.
    DeleteLine,
    /// Two lines are where the other was.
    SwapLines,
    /// A few bytes are others.
    FlipBytes,
    /// A byte 0 in the midst of it.
    Nul,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// A value of another type.
    WrongType,
    /// A number that is too large, too small, or negative.
    HugeNumber,
    /// A value within brackets within brackets.
    DeepNesting,
    /// A key that does not exist.
    RenameKey,
    /// The value of another key.
    ForeignValue,
    /// A duration or size in a unit that does not exist.
    UnknownUnit,
    /// Two addresses, each in the other's place.
    SwapAddresses,
    /// A string that does not end.
    OpenString,
    /// A header of a table is gone: its keys go to the table before.
    LostHeader,
    /// A very long line.
    LongLine,
    /// The same a hundred times over.
    Hundredfold,
    /// Nothing.
    Empty,
    /// Bytes that were never a configuration.
    Garbage,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Truncate,
        Self::DuplicateLine,
        Self::DeleteLine,
        Self::SwapLines,
        Self::FlipBytes,
        Self::Nul,
        Self::InvalidUtf8,
        Self::WrongType,
        Self::HugeNumber,
        Self::DeepNesting,
        Self::RenameKey,
        Self::ForeignValue,
        Self::UnknownUnit,
        Self::SwapAddresses,
        Self::OpenString,
        Self::LostHeader,
        Self::LongLine,
        Self::Hundredfold,
        Self::Empty,
        Self::Garbage,
    ];

    /// The text, spoiled in this way. The same numbers spoil it alike.
    pub fn of(self, text: &str, random: &mut Random) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        let at = random.below(bytes.len().max(1));
        match self {
            Self::Truncate => bytes.truncate(at),
            Self::DuplicateLine | Self::DeleteLine | Self::SwapLines => return self.lines(text, random),
            Self::FlipBytes => {
                for _ in 0..=random.below(8) {
                    let at = random.below(bytes.len().max(1));
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= random.byte().max(1);
                    }
                }
            }
            Self::Nul => bytes.insert(at, 0),
            Self::InvalidUtf8 => {
                let wrong =
                    random.pick(&[&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"]);
                bytes.splice(at..at, wrong.iter().copied());
            }
            Self::Hundredfold => return text.repeat(100).into_bytes(),
            Self::Empty => return Vec::new(),
            Self::Garbage => {
                let length = random.below(4_096);
                return random.bytes(length);
            }
            Self::WrongType
            | Self::HugeNumber
            | Self::DeepNesting
            | Self::RenameKey
            | Self::ForeignValue
            | Self::UnknownUnit
            | Self::SwapAddresses
            | Self::OpenString
            | Self::LostHeader
            | Self::LongLine => return self.values(text, random).into_bytes(),
        }
        bytes
    }

    fn lines(self, text: &str, random: &mut Random) -> Vec<u8> {
        let mut lines: Vec<_> = text.lines().collect();
        let (one, other) = (random.below(lines.len().max(1)), random.below(lines.len().max(1)));
        match lines.get(one).copied() {
            Some(line) if self == Self::DuplicateLine => lines.insert(other, line),
            Some(_) if self == Self::DeleteLine => drop(lines.remove(one)),
            Some(_) => lines.swap(one, other),
            None => {}
        }
        (lines.join("\n") + "\n").into_bytes()
    }

    /// Changes a value, a key or a header, if there is one of the kind that is looked for.
    fn values(self, text: &str, random: &mut Random) -> String {
        let needs_number = [Self::HugeNumber, Self::UnknownUnit].contains(&self);
        let suits = |line: &&str| {
            if self == Self::LostHeader {
                line.starts_with('[')
            } else if self == Self::SwapAddresses {
                line.contains("address")
            } else {
                is_pair(line) && (!needs_number || line.contains(|one: char| one.is_ascii_digit()))
            }
        };
        let chosen: Vec<_> = text.lines().filter(suits).collect();
        if chosen.is_empty() {
            return text.to_owned();
        }
        let (line, other) = (random.pick(&chosen), random.pick(&chosen));
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let foreign = other.split_once('=').map_or(other, |(_, value)| value);
        let spoiled = match self {
            Self::WrongType => format!("{key}= {}", random.pick(&OTHERS)),
            Self::HugeNumber => format!("{key}={}", other_number(value, random.pick(&NUMBERS))),
            Self::DeepNesting => {
                let (depth, (open, close)) = (10_usize.pow(1 + u32::from(random.byte() % 5)), random.pick(&NESTS));
                let closed = if random.one_in(2) { close.repeat(depth) } else { String::new() };
                format!("{key}= {}{}{closed}", open.repeat(depth), value.trim())
            }
            Self::RenameKey => format!("{}x ={value}", key.trim_end()),
            Self::UnknownUnit => format!("{key}= \"{} fortnights\"", random.below(100)),
            Self::OpenString => format!("{key}= \"{}", value.trim().trim_matches('"')),
            Self::LostHeader => String::new(),
            Self::LongLine => format!("{key}= \"{}\"", "x".repeat(1 << 20)),
            Self::Truncate
            | Self::DuplicateLine
            | Self::DeleteLine
            | Self::SwapLines
            | Self::FlipBytes
            | Self::Nul
            | Self::InvalidUtf8
            | Self::ForeignValue
            | Self::SwapAddresses
            | Self::Hundredfold
            | Self::Empty
            | Self::Garbage => format!("{key}={foreign}"),
        };
        let mut whole = String::with_capacity(text.len() + spoiled.len());
        let (mut is_done, mut is_swapped) = (false, self != Self::SwapAddresses);
        for old in text.lines() {
            let new = if old == line && !is_done {
                is_done = true;
                &spoiled
            } else if old == other && !is_swapped {
                is_swapped = true;
                &format!("{}={value}", old.split_once('=').map_or(old, |(key, _)| key))
            } else {
                old
            };
            _ = writeln!(whole, "{new}");
        }
        whole
    }
}

fn is_pair(line: &str) -> bool {
    !line.trim_start().starts_with('#') && line.contains('=')
}

/// `value` with its first number exchanged.
fn other_number(value: &str, number: &str) -> String {
    let digit = |one: char| one.is_ascii_digit();
    let start = value.find(digit).unwrap_or(value.len());
    let (before, rest) = value.split_at(start);
    format!("{before}{number}{}", rest.trim_start_matches(digit))
}

/// A value of each type.
const OTHERS: [&str; 9] = ["true", "1.5", "7", "[]", "{}", "\"\"", "1979-05-27", "[[1]]", "{ a = { b = [{}] } }"];
/// Numbers that nothing is made for.
const NUMBERS: [&str; 7] =
    ["0", "-1", "4294967296", "18446744073709551616", "99999999999999999999999999999999", "1e400", "00"];
/// What can be within itself.
const NESTS: [(&str, &str); 2] = [("[", "]"), ("{a=", "}")];

#[cfg(test)]
mod tests {
    use super::*;
    use lb_userspace::config::{Bundle, ConfigFile, Format, collect, load};
    use std::{fs, path::Path, time::Duration};
    use tokio::time::Instant;

    /// Far more than the slowest takes, on a machine that is busy.
    const BOUND: Duration = Duration::from_secs(10);

    /// Every example: each key of the configuration is in one of them.
    fn examples() -> Vec<(String, String)> {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../lb-userspace/examples"));
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
        paths.sort();
        paths.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
    }

    /// Whether a message of the short form begins with a place that the file has.
    fn is_placed(message: &str, path: &str, text: &str) -> bool {
        let place = message.strip_prefix(path).and_then(|rest| rest.strip_prefix(':'));
        let mut numbers = place.into_iter().flat_map(|rest| rest.splitn(3, ':')).map(str::parse::<usize>);
        let (Some(Ok(line)), Some(Ok(column))) = (numbers.next(), numbers.next()) else { return false };
        // What is missing at the end is said of the place behind it.
        let length = text.split('\n').nth(line.wrapping_sub(1)).map(|line| line.chars().count());
        length.is_some_and(|length| (1..=length + 1).contains(&column))
    }

    #[test]
    fn no_spoiled_configuration_is_taken_for_something_it_does_not_say() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sluice.toml");
        let (examples, mut random) = (examples(), Random::new(1));
        let (mut taken, mut refused, mut slowest) = (0, 0, Duration::ZERO);
        let rounds = if std::env::var_os("SLUICE_LONG").is_some() { 2_000 } else { 400 };
        for round in 0..rounds {
            let mutation = Mutation::ALL[round % Mutation::ALL.len()];
            let (name, text) = &examples[round / Mutation::ALL.len() % examples.len()];
            // A hundred times the reference is for optimised builds.
            let most = if mutation == Mutation::Hundredfold { 8 << 10 } else { text.len() };
            let bytes = mutation.of(&text[..text.floor_char_boundary(most)], &mut random);
            let (begun, shown) = (Instant::now(), path.display().to_string());
            let said = match String::from_utf8(bytes) {
                Ok(text) => {
                    let file = ConfigFile { path: shown.clone(), text: text.clone() };
                    let found = load(&Bundle { files: vec![file], cpus: 1, ..Bundle::default() });
                    found.map_err(|errors| (errors.render(Format::Full), errors.render(Format::Short), text))
                }
                Err(wrong) => {
                    let text = String::from_utf8_lossy(wrong.as_bytes()).into_owned();
                    fs::write(&path, wrong.into_bytes()).unwrap();
                    let error = collect(&path).expect_err("a text must be UTF-8").to_string();
                    Err((error.clone(), error, text))
                }
            };
            let took = begun.elapsed();
            slowest = slowest.max(took);
            assert!(took < BOUND, "{mutation:?} of {name}: {took:?}");
            match said {
                Ok(_) => taken += 1,
                Err((full, short, text)) => {
                    refused += 1;
                    assert!(full.len() > 20, "{mutation:?} of {name}: {full}");
                    for line in short.lines() {
                        assert!(is_placed(line, &shown, &text), "{mutation:?} of {name}: no place: {line}");
                    }
                }
            }
        }
        assert!(taken > rounds / 20 && refused > rounds / 2, "{taken} taken, {refused} refused");
        println!("{taken} taken, {refused} refused, the slowest within {slowest:?}");
    }
}
