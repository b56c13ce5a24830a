//! Sends a packet, or a part of one, where it was found to go: to a server or back to a client.

use crate::{
    Packet, Tables, Verdict,
    outcome::{Early, Outcome, Packed},
    parse::{Ip, L4, Layer3, Part},
    path::Kept,
    rewrite::{mss, translate, tunnel::Tunnel},
    transmit::{self, Way},
};
use lb_common::{
    Be16, Counters, Ends, Forward, Note, Protocol, ServerId, Stop, VipId, flow::FragmentRow, returns::ReturnRow,
};

/// Where a packet goes, and what it becomes on the way.
#[derive(Clone, Copy, Debug)]
pub struct Destination<F: Layer3> {
    /// The ends that it gets.
    pub ends: Ends<F>,
    /// Row in `SERVERS`: the server that it is for, or from.
    pub server: ServerId,
    /// Row in `VIP_COUNTERS`.
    pub vip: VipId,
    /// A [`Forward`]; 0: back to the client.
    pub forward: u16,
    /// `gue`: the UDP port that servers listen on.
    pub gue_port: Be16,
    /// Largest TCP segment; 0: as it is.
    pub mss: u16,
    /// 1: it leaves by another interface than that of arrival. Known when it was sent.
    pub redirected: u16,
    /// Bits of the flow's hash.
    pub spread: u32,
}

impl<F: Layer3> Destination<F> {
    /// Of a packet that has not been placed yet.
    #[inline(always)]
    pub fn unknown(ends: &Ends<F>) -> Self {
        Self { ends: *ends, server: 0, vip: 0, forward: 0, gue_port: Be16::new(0), mss: 0, redirected: 0, spread: 0 }
    }

    /// Whether the server sees other ends than the client.
    #[inline(always)]
    pub fn translates(&self) -> bool {
        Forward::from_byte(narrow(self.forward)).is_some_and(Forward::translates)
    }

    /// What later fragments are to know. They have no ports.
    pub fn remembered(&self, now: u32) -> F::Fragment {
        F::fragment(FragmentRow {
            vip: self.vip,
            server: self.server,
            forward: narrow(self.forward),
            gue_port: self.gue_port,
            source: self.ends.source,
            destination: self.ends.destination,
            last: now,
        })
    }

    /// Of a server's reply to the client.
    #[inline(always)]
    pub fn of_reply(reply: &ReturnRow<F::Addr>, ends: &Ends<F>) -> Self {
        let (source, source_port) = (reply.vip_addr, translate::port(reply.vip_port, ends.source_port));
        let ends = Ends { source, source_port, ..*ends };
        Self { ends, server: reply.server, vip: reply.vip, mss: reply.mss, ..Self::unknown(&ends) }
    }

    /// What a first fragment left.
    pub fn recalled(row: &FragmentRow<F::Addr>, protocol: Protocol) -> Self {
        let FragmentRow { vip, server, forward, gue_port, source, destination, .. } = *row;
        let zero = Be16::new(0);
        let ends = Ends { source, destination, source_port: zero, destination_port: zero, protocol };
        Self { ends, server, vip, forward: forward.into(), gue_port, mss: 0, redirected: 0, spread: 0 }
    }
}

/// A [`Forward`] as rows have it.
#[expect(clippy::cast_possible_truncation, reason = "it was a byte")]
const fn narrow(forward: u16) -> u8 {
    forward as u8
}

/// Sends a packet where it was found to go.
#[inline(always)]
pub fn send<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    deliver(packet, tables, kept).into()
}

#[inline(always)]
fn deliver<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, kept: &mut Kept<F>) -> Outcome {
    let Kept { l4, to, .. } = &*kept;
    let l4 = if kept.ip.part == Part::Later { None } else { Some(l4) };
    let ip = &kept.ip.bounded()?;
    let out = way(packet, tables, ip, to)?;
    if let Some(l4) = l4 {
        translate::ends(packet, ip, l4, &to.ends, out.ttl);
    } else {
        let _no_sum_covers_it = translate::addresses(packet, ip, (to.ends.source, to.ends.destination), out.ttl);
    }
    let offset = transmit::leave(packet, ip, l4, &out.way, &out.tunnel, to.spread)?;
    count(tables, ip, to, u64::from(l4.is_some_and(|l4| l4.opens)));
    if l4.is_some_and(|l4| l4.agrees) && to.mss != 0 {
        kept.ip.l4_offset = ip.l4_offset - ip.offset + offset;
        kept.to.redirected = u16::from(out.way.verdict == Verdict::Redirect);
        return Err(Early::Clamp.into());
    }
    Ok(out.way.verdict.into())
}

/// Limits the segments that a packet agrees on, which is about to leave. What is in a tunnel sums up to what it did before.
#[inline(always)]
pub fn clamp<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    if let Ok(ip) = kept.ip.bounded()
        && mss::lower(packet, &ip, kept.to.mss)
    {
        tables.note(Note::MssClamped);
    }
    if kept.to.redirected == 0 { Verdict::Transmit.into() } else { Verdict::Redirect.into() }
}

/// How a packet leaves.
pub(super) struct Out<'a> {
    pub(super) ttl: u8,
    pub(super) way: Way<'a>,
    pub(super) tunnel: Tunnel,
}

/// The way to a destination.
#[inline(always)]
pub(super) fn way<'a, F: Layer3>(
    packet: &impl Packet,
    tables: &'a impl Tables<F>,
    ip: &Ip<F>,
    to: &Destination<F>,
) -> Result<Out<'a>, Packed> {
    let ttl = transmit::ttl(ip)?;
    if to.forward == 0 {
        let client = to.ends.destination;
        let way = transmit::to_client(packet, tables, ip, (client, tables.route(client)))?;
        return Ok(Out { ttl, way, tunnel: Tunnel::NONE });
    }
    let mode = Forward::from_byte(narrow(to.forward)).ok_or(Stop::BadTables)?;
    let server = tables.server(to.server).ok_or(Stop::BadTables)?;
    let tunnel = Tunnel::to(mode, to.gue_port, server);
    let way = transmit::to_server(packet, tables, ip, server, &tunnel)?;
    Ok(Out { ttl, way, tunnel })
}

/// Counts what a server's packet answers to a SYN. Whether it reaches the client says nothing of the server: who sends SYNs in
/// others' names may have named one that nobody knows the way to.
#[inline(always)]
pub(crate) fn note_answer<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, (vip, server): (VipId, ServerId)) {
    if let Some(accepts) = l4.answers() {
        tables.count_vip(vip, |row| row.answered(accepts));
        tables.count_server(server, |row| row.answered(accepts));
    }
}

/// Counts a packet that left.
#[inline(always)]
pub(crate) fn count<F: Layer3>(tables: &impl Tables<F>, ip: &Ip<F>, to: &Destination<F>, opened: u64) {
    let bytes = ip.frame_length();
    let counted = |row: &mut Counters| {
        if to.forward == 0 { row.returned(bytes) } else { row.forwarded(bytes, opened) }
    };
    tables.count_vip(to.vip, counted);
    tables.count_server(to.server, counted);
}
