//! Why a packet left the path early ([`Stop`]), and what else happened to packets on their way ([`Note`]). Each is a counter
//! with a name and a help text.

/// Declares an enum of counters: number, name and help of each stand in one place.
macro_rules! counted {
    ($(#[$meta:meta])* $what:ident { $($(#[$variant_meta:meta])* $variant:ident = $number:literal, $name:literal, $help:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u32)]
        pub enum $what {
            $(#[doc = $help] $(#[$variant_meta])* $variant = $number,)*
        }

        impl $what {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The one of that number.
            #[inline(always)]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in metrics and tables.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// One sentence for the operator.
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => $help,)*
                }
            }
        }
    };
}

counted! {
    /// One way out of the packet path that is not forwarding. The number is the row in `STOP_COUNTERS`.
    #[must_use = "a stop that nobody counts is a lost packet that nobody can explain"]
    Stop {
        NotIp = 0, "not_ip", "passed to the stack: neither IPv4 nor IPv6";
        Truncated = 1, "truncated", "passed to the stack: shorter than its headers say";
        BadHeader = 2, "bad_header", "passed to the stack: a header that no host may send";
        NotBalanced = 3, "not_balanced", "passed to the stack: neither TCP nor UDP nor an ICMP message for a flow";
        NotOurs = 4, "not_ours", "passed to the stack: neither to a VIP nor a server's reply";
        ToHost = 5, "to_host", "passed to the stack: to an address of this host";
        TooManyHeaders = 6, "too_many_headers", "passed to the stack: more IPv6 extension headers or VLAN tags than are followed";
        UnknownPort = 7, "unknown_port", "dropped: to a VIP's address, but no frontend has that port";
        Fragment = 8, "fragment", "dropped: a fragment, and the frontend takes none";
        FragmentUnknown = 9, "fragment_unknown", "dropped: a later fragment whose first one was not seen before it";
        NoServer = 10, "no_server", "dropped: no server of the backend is up, or none that was tried before its ring followed";
        NoNextHop = 11, "no_next_hop", "dropped: the next machine's Ethernet address is not known, or its interface is gone";
        NoRoute = 12, "no_route", "dropped: no route to the client of a reply";
        NoSource = 13, "no_source", "dropped: no address of ours for the tunnel's outer header";
        TtlExpired = 14, "ttl_expired", "dropped: time to live used up";
        TooBig = 15, "too_big", "dropped: larger than the next link takes, and the sender could not be told (fragmentation allowed, or too many such packets)";
        PortsExhausted = 16, "ports_exhausted", "dropped: no free port of the source pool was found for a new flow";
        NoConnection = 17, "no_connection", "dropped: to the source pool, but of no flow that is known";
        VipDown = 18, "vip_down", "dropped: ping of a VIP that is down";
        NoRoom = 19, "no_room", "dropped: the driver left no room in front of the packet for another header";
        BadTables = 20, "bad_tables", "dropped: the maps contradict each other; please report this";
        Answered = 21, "answered", "answered here: ping of a VIP";
        ToldTooBig = 22, "told_too_big", "answered here: the sender was told that its packet is larger than the next link takes";
        Withdrawn = 23, "withdrawn", "dropped: opens a connection to a VIP that is withdrawn, because its backend has lost its quorum or the daemon is dead";
        ServerDown = 24, "server_down", "dropped: of a connection whose server is down (on_marked_down): one that must not be answered, such as a reset or an ICMP error, or a SYN that could not be tracked beside those";
        Refused = 25, "refused", "answered here: refused by a reset or an ICMP error, because no server of the backend is up (on_empty = \"reset\")";
        Reset = 26, "reset", "answered here: a connection was reset, because its server is down (on_marked_down = \"shutdown-sessions\")";
    }
}

impl Stop {
    /// What becomes of the packet.
    #[inline(always)]
    pub const fn end(self) -> End {
        let number = self as u32;
        if number <= Self::TooManyHeaders as u32 {
            End::Pass
        } else if number <= Self::BadTables as u32 || matches!(self, Self::Withdrawn | Self::ServerDown) {
            End::Drop
        } else {
            End::Answer
        }
    }
}

/// What becomes of a packet that stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It goes on to the host's stack, untouched.
    Pass,
    /// It is dropped.
    Drop,
    /// An answer goes back in its place, out of the interface of arrival.
    Answer,
}

counted! {
    /// Something that happened to a packet that went on. The number is the row in `NOTE_COUNTERS`.
    Note {
        Tracked = 0, "flow_tracked", "a flow was taken into the flow table, because its slot changes hands";
        FlowsFull = 1, "flow_table_full", "a flow was not tracked: the flow table is full; it stays with the server that the slot had before";
        BudgetSpent = 2, "track_budget_spent", "a flow was not tracked: the budget of insertions is spent; it stays with the server that the slot had before";
        Reselected = 3, "reselected", "a packet's server is down, and another one of the backend took it";
        Connected = 4, "connection_tracked", "a flow was taken into the table of connections (track = \"full\" or fullnat), because its client or its server went on with it";
        PortTaken = 5, "source_port_taken", "a port of the source pool was taken already, and the next one tried";
        MssClamped = 6, "mss_clamped", "a connection was made to agree on smaller segments";
        Errors = 7, "icmp_forwarded", "an ICMP error was forwarded to the end of the flow that it quotes";
        HalfOpen = 8, "connection_half_open", "a flow began (track = \"full\" or fullnat) and was taken among the half-open connections, of which a flood makes the oldest forgotten";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rows_and_helps_say_the_end() {
        for (row, stop) in Stop::ALL.into_iter().enumerate() {
            assert_eq!(stop as usize, row);
            assert_eq!(Stop::from_number(stop as u32), Some(stop));
            let word = match stop.end() {
                End::Pass => "passed to the stack: ",
                End::Drop => "dropped: ",
                End::Answer => "answered here: ",
            };
            assert!(stop.help().starts_with(word), "{stop:?}");
        }
        for (row, note) in Note::ALL.into_iter().enumerate() {
            assert_eq!(note as usize, row);
        }
    }
}
