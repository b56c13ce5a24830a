//! Which VIP a packet is for, if any.

use crate::{
    Tables,
    parse::{Ipv4, L4},
};
use lb_common::{Be32, Stop, Vip, Vip4Key};

/// The VIP of a packet, or `None` if it may be a server's reply.
///
/// An address of this host comes before everything but a VIP: what the balancer itself says to servers, and what they
/// answer, is no business of the packet path. A VIP's address comes before replies: what is for a port that no frontend has
/// must not be sent anywhere, or it comes back until its time to live is used up.
#[inline(always)]
pub fn find(tables: &impl Tables, ip: &Ipv4, l4: &L4) -> Result<Option<Vip>, Stop> {
    if let Some(vip) = tables.vip4(Vip4Key::new(ip.destination, l4.destination_port, ip.protocol)) {
        return Ok(Some(vip));
    }
    if tables.is_local4(ip.destination) {
        return Err(Stop::ToHost);
    }
    if is_vip_address(tables, ip.destination) {
        return Err(Stop::UnknownPort);
    }
    Ok(None)
}

/// Why a fragment stops: nobody can tell which flow it belongs to.
#[inline(always)]
pub fn stop_fragment(tables: &impl Tables, ip: &Ipv4) -> Stop {
    if is_vip_address(tables, ip.destination) {
        Stop::Fragment
    } else if tables.is_local4(ip.destination) {
        Stop::ToHost
    } else {
        Stop::NotOurs
    }
}

#[inline(always)]
fn is_vip_address(tables: &impl Tables, addr: Be32) -> bool {
    tables.vip4(Vip4Key::address_entry(addr)).is_some()
}
