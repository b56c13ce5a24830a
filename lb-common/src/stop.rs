//! Stop: why a packet left the path early. Each is a counter with a name and a help text.

/// One way out of the packet path that is not forwarding. The number is the row in `STOP_COUNTERS`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u32)]
#[must_use = "a stop that nobody counts is a lost packet that nobody can explain"]
pub enum Stop {
    /// Passed: not IPv4 by its EtherType.
    NotIpv4 = 0,
    /// Passed: shorter than its headers say.
    Truncated = 1,
    /// Passed: an IPv4 header that no host may send.
    BadHeader = 2,
    /// Passed: neither TCP nor UDP.
    NotBalanced = 3,
    /// Passed: neither to a VIP nor a server's reply.
    NotOurs = 4,
    /// Passed: to an address of this host that is no VIP's port.
    ToHost = 5,
    /// Dropped: to a VIP's address, but to a port that no frontend has.
    UnknownPort = 6,
    /// Dropped: a fragment to a VIP, whose ports cannot be known.
    Fragment = 7,
    /// Dropped: no server of the backend can take it.
    NoServer = 8,
    /// Dropped: the Ethernet address of the next machine is not known, or the interface to it is gone.
    NoNextHop = 9,
    /// Dropped: no route leads to the client of a reply.
    NoRoute = 10,
    /// Dropped: time to live used up.
    TtlExpired = 11,
    /// Dropped: the maps contradict each other; a defect of ours.
    BadTables = 12,
}

impl Stop {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::NotIpv4,
        Self::Truncated,
        Self::BadHeader,
        Self::NotBalanced,
        Self::NotOurs,
        Self::ToHost,
        Self::UnknownPort,
        Self::Fragment,
        Self::NoServer,
        Self::NoNextHop,
        Self::NoRoute,
        Self::TtlExpired,
        Self::BadTables,
    ];

    /// The name in metrics and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIpv4 => "not_ipv4",
            Self::Truncated => "truncated",
            Self::BadHeader => "bad_header",
            Self::NotBalanced => "not_balanced",
            Self::NotOurs => "not_ours",
            Self::ToHost => "to_host",
            Self::UnknownPort => "unknown_port",
            Self::Fragment => "fragment",
            Self::NoServer => "no_server",
            Self::NoNextHop => "no_next_hop",
            Self::NoRoute => "no_route",
            Self::TtlExpired => "ttl_expired",
            Self::BadTables => "bad_tables",
        }
    }

    /// One sentence for the operator.
    pub const fn help(self) -> &'static str {
        match self {
            Self::NotIpv4 => "passed to the stack: not IPv4",
            Self::Truncated => "passed to the stack: shorter than its headers say",
            Self::BadHeader => "passed to the stack: malformed IPv4 header",
            Self::NotBalanced => "passed to the stack: neither TCP nor UDP",
            Self::NotOurs => "passed to the stack: neither to a VIP nor a server's reply",
            Self::ToHost => "passed to the stack: to an address of this host",
            Self::UnknownPort => "dropped: to a VIP's address, but no frontend has that port",
            Self::Fragment => "dropped: a fragment, its ports cannot be known",
            Self::NoServer => "dropped: no server of the backend is up",
            Self::NoNextHop => "dropped: the next machine's Ethernet address is not known, or its interface is gone",
            Self::NoRoute => "dropped: no route to the client of a reply",
            Self::TtlExpired => "dropped: time to live used up",
            Self::BadTables => "dropped: the maps contradict each other; please report this",
        }
    }

    /// Whether the packet goes on to the host's stack, untouched; otherwise it is dropped.
    #[inline(always)]
    pub const fn passes(self) -> bool {
        (self as u32) <= Self::ToHost as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rows() {
        for (row, stop) in Stop::ALL.into_iter().enumerate() {
            assert_eq!(stop as usize, row);
            assert_eq!(stop.passes(), stop.help().starts_with("passed"), "{stop:?}");
        }
    }
}
