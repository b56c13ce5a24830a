//! Version numbers as compilers and linkers print them.

use std::fmt;

/// Major, minor, patch. What follows them (`-nightly`) does not count.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second, 0 where the text has none.
    pub minor: u32,
    /// The third, 0 where the text has none.
    pub patch: u32,
}

impl Version {
    /// Reads `1.96.0`, `22.1` or `1.97.0-nightly`; `None` where the text does not begin with a number.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split('.').map(leading_number);
        let major = numbers.next().flatten()?;
        let minor = numbers.next().flatten().unwrap_or(0);
        let patch = numbers.next().flatten().unwrap_or(0);
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The number that the text begins with.
pub(crate) fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tools_print_them() {
        assert_eq!(Version::parse("1.97.0-nightly"), Some(Version { major: 1, minor: 97, patch: 0 }));
        assert_eq!(Version::parse("22.1"), Some(Version { major: 22, minor: 1, patch: 0 }));
        assert_eq!(Version::parse("unknown"), None);
    }

    #[test]
    fn numbers_compare_as_numbers() {
        assert!(Version::parse("1.100.0") > Version::parse("1.95.2"));
    }
}
