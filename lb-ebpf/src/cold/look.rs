//! A second, longer look at a packet that left the fast path: with extension headers, and with what is kept for the steps
//! that follow.

use crate::{
    Packet, Tables,
    outcome::{Early, Packed},
    parse::{self, Ip, L4, Layer3, Part},
    path::Kept,
    vip::{self, For},
};
use lb_common::{Be16, Ends, Protocol, Stop, Vip};

/// Looks at a packet and keeps what is known of it. What comes next depends on what it is.
#[inline(always)]
pub fn look<F: Layer3>(packet: &impl Packet, tables: &impl Tables<F>, offset: usize) -> Packed {
    try_look(packet, tables, offset).map_or_else(Packed::from, Packed::from)
}

#[inline(always)]
fn try_look<F: Layer3>(packet: &impl Packet, tables: &impl Tables<F>, offset: usize) -> Result<Early, Stop> {
    let ip = parse::ip::<F>(packet, offset)?;
    let Some(protocol) = Protocol::from_number(ip.protocol) else {
        if ip.protocol != F::ICMP || ip.part != Part::Whole {
            return Err(Stop::NotBalanced);
        }
        tables.keep(Kept::new(&ip, &portless(&ip, Protocol::Udp), For::Other, &Vip::default()));
        return Ok(Early::Icmp);
    };
    let l4 = if ip.part == Part::Later { portless(&ip, protocol) } else { parse::l4(packet, &ip, protocol)? };
    let (next, whom, vip) = if ip.part == Part::Whole {
        let (whom, vip) = vip::find(tables, &l4.ends)?;
        (if whom == For::Vip { Early::Kept } else { Early::Answer }, whom, vip)
    } else {
        (Early::Fragment, For::Other, Vip::default())
    };
    tables.keep(Kept::new(&ip, &l4, whom, &vip));
    Ok(next)
}

/// Of a packet without a transport header.
#[inline(always)]
fn portless<F: Layer3>(ip: &Ip<F>, protocol: Protocol) -> L4<F> {
    let (zero, source, destination) = (Be16::new(0), ip.source, ip.destination);
    let ends = Ends { source, destination, source_port: zero, destination_port: zero, protocol };
    L4 { ends, checksum: zero, opens: false, agrees: false, closes: false, flags: 0, from_zero: false }
}
