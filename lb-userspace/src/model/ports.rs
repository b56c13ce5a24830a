//! The ports that an address of a frontend covers.

use std::fmt;

/// Ports of a bind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ports {
    /// One.
    One(u16),
    /// From the first to the last, 2 to 1,024 of them.
    Range(u16, u16),
    /// All (`*`): those that no other bind of the address and protocol has.
    All,
}

impl Ports {
    /// The lowest; `None` where it is any.
    pub const fn lowest(self) -> Option<u16> {
        match self {
            Self::One(port) | Self::Range(port, _) => Some(port),
            Self::All => None,
        }
    }

    /// Whether that port is among them.
    pub const fn contains(self, port: u16) -> bool {
        let (first, last) = self.bounds();
        first <= port && port <= last
    }

    /// Whether a port is among both.
    pub const fn overlap(self, other: Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.bounds(), other.bounds());
        first <= other_last && other_first <= last
    }

    const fn bounds(self) -> (u16, u16) {
        match self {
            Self::One(port) => (port, port),
            Self::Range(first, last) => (first, last),
            Self::All => (1, u16::MAX),
        }
    }
}

/// As typed.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(port) => port.fmt(f),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::All => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_overlap_where_one_is_in_both() {
        let (one, range) = (Ports::One(80), Ports::Range(80, 90));
        for (ports, other, overlap) in [
            (one, one, true),
            (one, Ports::One(81), false),
            (one, range, true),
            (Ports::One(90), range, true),
            (Ports::One(91), range, false),
            (range, Ports::Range(90, 99), true),
            (range, Ports::Range(91, 99), false),
            (range, Ports::Range(82, 83), true),
            (Ports::All, range, true),
            (Ports::All, Ports::One(u16::MAX), true),
        ] {
            assert_eq!((ports.overlap(other), other.overlap(ports)), (overlap, overlap), "{ports} and {other}");
        }
    }
}
