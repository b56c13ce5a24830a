//! Outcome: what became of a packet, or what the next step with it is.

use lb_common::Stop;

/// Where a rewritten packet goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Out of the interface it came from.
    Transmit,
    /// Out of the interface named in [`Shared::redirect`](crate::Shared::redirect).
    Redirect,
}

/// Why a step ends before the packet left, and another one follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Early {
    /// It is larger than what the next link takes of it: so many bytes.
    TooBig(u16),
    /// It is an ICMP message; its header was [`Kept`](crate::path::Kept).
    Icmp,
    /// It is an ICMP error for an end of a flow; [`About`](crate::cold::icmp::About) that more was kept.
    Error,
    /// It is a fragment, and what is known of it was [`Kept`](crate::path::Kept).
    Fragment,
    /// It takes more than the fast path: a look into a table of connections, or a flow that is to be remembered.
    Look,
    /// It is for a VIP, and what is known of it was [`Kept`](crate::path::Kept).
    Kept,
    /// It is for none: what is known of it was [`Kept`](crate::path::Kept).
    Answer,
    /// It may be of a connection that is tracked by itself: what is known of it was kept as [`Connected`](crate::path::Connected).
    Connected,
    /// It goes into a tunnel: the [`Entrance`](crate::path::Entrance) was kept.
    Enter,
    /// It was found out where it goes, and what is known was [`Kept`](crate::path::Kept).
    Send,
    /// It is about to leave, but for the limit of its segments.
    Clamp,
    /// The table of connections does not know it: the ring decides.
    ByRing,
    /// The ring has decided, and its connection is to be made.
    Make,
    /// No server takes it, and its sender is to be told so. What is known of it was [`Kept`](crate::path::Kept).
    Refuse,
    /// Its server is down, and its sender is to be told that the connection is over. What is known of it was
    /// [`Kept`](crate::path::Kept).
    Reset,
}

/// What became of a packet, in one register: where it leaves, or why it does not. As an enum with data it would have bytes
/// that nobody wrote, which the verifier does not let pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
#[must_use]
pub struct Packed(u64);

/// What became of a packet, while it is found out: `Ok` if it leaves.
pub type Outcome = Result<Packed, Packed>;

const STOP: u64 = 1 << 32;
const TOO_BIG: u64 = 2 << 32;

impl From<Verdict> for Packed {
    #[inline(always)]
    fn from(verdict: Verdict) -> Self {
        Self(match verdict {
            Verdict::Transmit => 0,
            Verdict::Redirect => 1,
        })
    }
}

impl From<Stop> for Packed {
    #[inline(always)]
    fn from(stop: Stop) -> Self {
        Self(STOP | stop as u64)
    }
}

impl From<Early> for Packed {
    #[inline(always)]
    fn from(early: Early) -> Self {
        Self(match early {
            Early::Icmp => 2,
            Early::Error => 3,
            Early::Fragment => 4,
            Early::Kept => 5,
            Early::ByRing => 6,
            Early::Make => 7,
            Early::Send => 8,
            Early::Look => 9,
            Early::Enter => 10,
            Early::Clamp => 11,
            Early::Connected => 12,
            Early::Refuse => 13,
            Early::Reset => 14,
            Early::Answer => 15,
            Early::TooBig(mtu) => TOO_BIG | u64::from(mtu),
        })
    }
}

impl From<Outcome> for Packed {
    #[inline(always)]
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(packed) | Err(packed) => packed,
        }
    }
}

impl Packed {
    /// From the register.
    #[inline(always)]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// For the register.
    #[inline(always)]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Whether the step ended early, for that reason.
    #[inline(always)]
    pub fn is(self, early: Early) -> bool {
        self == Self::from(early)
    }

    /// Whether the packet leaves, and no other step is needed.
    #[inline(always)]
    pub fn leaves(self) -> bool {
        self == Self::from(Verdict::Transmit) || self == Self::from(Verdict::Redirect)
    }

    /// How large the packet may be, if it is larger.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub fn too_big(self) -> Option<u16> {
        if self.0 >> 32 == TOO_BIG >> 32 { Some(self.0 as u16) } else { None }
    }

    /// What became of the packet in the end. What has no end is a defect of ours.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub fn end(self) -> Result<Verdict, Stop> {
        match self.0 {
            0 => Ok(Verdict::Transmit),
            1 => Ok(Verdict::Redirect),
            number if number >> 32 == STOP >> 32 => Err(Stop::from_number(number as u32).unwrap_or(Stop::BadTables)),
            _ => Err(Stop::BadTables),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_back_as_they_were() {
        for verdict in [Verdict::Transmit, Verdict::Redirect] {
            assert_eq!(Packed::from(verdict).end(), Ok(verdict));
        }
        for stop in Stop::ALL {
            assert_eq!(Packed::from(stop).end(), Err(stop));
            assert_eq!(Packed::from(stop).too_big(), None);
        }
        for mtu in [0, 1, 1_280, u16::MAX] {
            assert_eq!(Packed::from(Early::TooBig(mtu)).too_big(), Some(mtu));
        }
        let early = [
            Early::Icmp,
            Early::Error,
            Early::Fragment,
            Early::Look,
            Early::Kept,
            Early::Enter,
            Early::ByRing,
            Early::Make,
            Early::Clamp,
            Early::Connected,
            Early::Send,
            Early::Refuse,
            Early::Reset,
            Early::Answer,
        ];
        for (a, one) in early.iter().enumerate() {
            for (b, other) in early.iter().enumerate() {
                assert_eq!(Packed::from(*one).is(*other), a == b);
            }
        }
    }
}
