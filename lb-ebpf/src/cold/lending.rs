//! Source ports of `fullnat`: lent to a connection, and reserved by its way back, which nobody else may have.

use super::{connection::way_back, deliver::Destination};
use crate::{
    Tables,
    parse::{L4, Layer3},
    tables::{Stage, Touch},
};
use lb_common::{
    Be16, Ends, Note, Stop, Vip,
    flow::{BACK, ConnectionRow, HALF_OPEN_LIVES, seconds},
};

/// Ports of a source pool that are tried for a new connection.
const TRIES: u32 = 8;
/// Source ports of a pool: those below Linux' own range for connections of the host (`ip_local_port_range`), in case the
/// host uses the address too.
const FIRST_PORT: u32 = 1_024;
const PORTS: u32 = 31_744;
/// Bits of the flow's hash that tell how far it is from one port to the next one tried. With the same step for all flows ports
/// that are taken would gather, and all that are tried would be among them long before most are taken.
const STEPS: u32 = (1 << 14) - 1;

/// Finds a source for a connection: an address of the pool by the flow's hash, and a port of it that is free towards that
/// server.
#[inline(always)]
pub(super) fn lend<F: Layer3>(
    tables: &impl Tables<F>,
    (l4, vip): (&L4<F>, &Vip),
    to: &mut Destination<F>,
    now: u32,
) -> Result<(), Stop> {
    let scaled = |range: u32, hash: u32| ((u64::from(hash) * u64::from(range)) >> 32) as u32;
    let row = u32::from(vip.sources_first) + scaled(vip.sources_count.into(), to.spread);
    let source = tables.source(row).filter(|_| vip.sources_count > 0).ok_or(Stop::BadTables)?;
    to.ends.source = F::narrow(source);
    let mut port = scaled(PORTS, to.spread.wrapping_mul(0x9e37_79b1));
    // Odd: then it takes a thousand steps, at least, to come back to a port (there are 2^10 times 31).
    let step = to.spread & STEPS | 1;
    let back = way_back(&l4.ends, to, now);
    for _ in 0..TRIES {
        #[expect(clippy::cast_possible_truncation, reason = "below 32,768")]
        let source_port = Be16::new((FIRST_PORT + port) as u16);
        to.ends.source_port = source_port;
        if reserve(tables, &F::flow_key(&to.ends.swapped()), &back, &l4.ends) {
            return Ok(());
        }
        tables.note(Note::PortTaken);
        port += step;
        if port >= PORTS {
            port -= PORTS;
        }
    }
    Err(Stop::PortsExhausted)
}

/// Reserves a port for a connection by its way back, if nobody else has it, or had it for long without going on.
#[inline(always)]
pub(super) fn reserve<F: Layer3>(
    tables: &impl Tables<F>,
    key: &F::FlowKey,
    row: &F::Connection,
    ends: &Ends<F>,
) -> bool {
    if !own(tables, Stage::HalfOpen, key, row, ends) {
        let now = seconds(tables.now());
        let there = tables.connection(Stage::HalfOpen, key, Touch::No);
        if there.is_some_and(|row| now.wrapping_sub(row.last) < HALF_OPEN_LIVES) {
            return false;
        }
        tables.put_connection(Stage::HalfOpen, key, row);
    }
    // In this order: what becomes established is taken out of the half-open ones only afterwards.
    let is_free = tables.connection(Stage::Established, key, Touch::No).is_none_or(|row| is_back_to(&row, ends));
    if !is_free {
        tables.remove_half_open(key);
    }
    is_free
}

/// Puts a connection's way back into a table, if no other's is there.
#[inline(always)]
pub(super) fn own<F: Layer3>(
    tables: &impl Tables<F>,
    stage: Stage,
    key: &F::FlowKey,
    row: &F::Connection,
    ends: &Ends<F>,
) -> bool {
    tables.add_connection(stage, key, row)
        || tables.connection(stage, key, Touch::No).is_some_and(|row| is_back_to(&row, ends))
}

/// Whether a row is the way back of the connection with these ends.
#[inline(always)]
pub(super) fn is_back_to<F: Layer3>(row: &ConnectionRow<F::Addr>, ends: &Ends<F>) -> bool {
    row.marks & BACK != 0
        && row.destination == ends.source
        && row.destination_port == ends.source_port
        && row.source == ends.destination
        && row.source_port == ends.destination_port
}
