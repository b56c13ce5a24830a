//! Which VIP a packet is for, if any.

use crate::Tables;
use lb_common::{
    Be16, Ends, Family, Stop, Vip,
    vip::flags::{ANY_PORT, FRAGMENTS_HASH, FRAGMENTS_ONLY, POOL},
};

/// Whom a packet is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum For {
    /// A VIP.
    Vip,
    /// An address of a source pool: it may be a reply to a `fullnat` VIP.
    Pool,
    /// Neither: it may be a reply to a `nat` VIP.
    Other,
}

/// Whom a packet is for, and the VIP if it is one.
///
/// An address of this host comes before everything but a VIP and a pool: what the balancer itself says to servers, and what
/// they answer, is no business of the packet path. A VIP's address comes before replies: what is for a port that no frontend
/// has must not be sent anywhere, or it comes back until its time to live is used up.
#[inline(always)]
pub fn find<F: Family>(tables: &impl Tables<F>, ends: &Ends<F>) -> Result<(For, Vip), Stop> {
    if let Some(vip) = tables.vip(&ends.to())
        && !vip.has(FRAGMENTS_ONLY)
    {
        return Ok((For::Vip, vip));
    }
    let Some(address) = address_entry(tables, ends.destination) else {
        return if tables.is_local(ends.destination) { Err(Stop::ToHost) } else { Ok((For::Other, Vip::default())) };
    };
    if address.has(ANY_PORT)
        && let Some(vip) = any_port(tables, ends.destination, ends.protocol.number())
        && !vip.has(FRAGMENTS_ONLY)
    {
        return Ok((For::Vip, vip));
    }
    if address.has(POOL) {
        return Ok((For::Pool, address));
    }
    Err(if tables.is_local(ends.destination) { Stop::ToHost } else { Stop::UnknownPort })
}

/// The entry of an address that VIPs have.
#[inline(always)]
pub fn address_entry<F: Family>(tables: &impl Tables<F>, addr: F::Addr) -> Option<Vip> {
    tables.vip(&F::endpoint(addr, Be16::new(0), 0))
}

/// The VIP whose fragments go by their addresses.
#[inline(always)]
pub fn by_address<F: Family>(tables: &impl Tables<F>, addr: F::Addr, protocol: u8) -> Option<Vip> {
    any_port(tables, addr, protocol).filter(|vip| vip.has(FRAGMENTS_HASH))
}

#[inline(always)]
fn any_port<F: Family>(tables: &impl Tables<F>, addr: F::Addr, protocol: u8) -> Option<Vip> {
    tables.vip(&F::endpoint(addr, Be16::new(0), protocol))
}
