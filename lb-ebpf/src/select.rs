//! Which server a flow goes to: hash → slot → server, and the flow table where a slot changes hands.

use crate::{Tables, parse::L4};
use core::hint::black_box;
use lb_common::{
    Be16, Ends, Family, Flow, Note, Protocol, RingId, SLOTS, ServerEntry, ServerId, ServerState, Slot, Stop, Vip,
    bucket,
    flow::{CLOSING, REFRESH, seconds},
    slots::{next_slot, slot_of},
    vip::flags::{AFFINITY, FRAGMENTS_HASH, KEEPS, RESETS},
};

/// Slots that are tried before a packet is dropped. Only the time between a server's failure and the rewritten ring needs
/// more than one.
pub const TRIES: usize = 8;

/// What a packet tells about its flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs {
    /// It opens a connection.
    pub opens: bool,
    /// It closes one.
    pub closes: bool,
    /// It is about the flow, but not of it: nothing may be remembered.
    pub stranger: bool,
}

/// Where a flow goes.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// Row in `SERVERS`.
    pub id: ServerId,
    /// That row.
    pub server: &'a ServerEntry,
    /// The flow's hash, which also spreads tunnels over the server's queues.
    pub hash: u32,
}

/// The hash that places a flow on the ring of its VIP.
#[inline(always)]
pub fn hash<F: Family>(tables: &impl Tables<F>, ends: &Ends<F>, vip: &Vip) -> u32 {
    if vip.has(AFFINITY) {
        F::source_hash(tables.hash_key(), ends.source)
    } else if vip.has(FRAGMENTS_HASH) {
        F::flow_hash(tables.hash_key(), &portless(ends))
    } else {
        F::flow_hash(tables.hash_key(), ends)
    }
}

#[inline(always)]
fn portless<F: Family>(ends: &Ends<F>) -> Ends<F> {
    Ends { source_port: Be16::new(0), destination_port: Be16::new(0), ..*ends }
}

/// The server of a flow on the fast path, which remembers nothing new. `None`: there is something to remember, or the slot's
/// server is down.
#[inline(always)]
pub fn settled<'a, F: Family>(tables: &'a impl Tables<F>, l4: &L4<F>, vip: &Vip) -> Result<Option<Chosen<'a>>, Stop> {
    let hash = hash(tables, &l4.ends, vip);
    let slots = live_half(tables, vip.ring)?;
    let slot = *slots.get(black_box(slot_of(hash))).ok_or(Stop::BadTables)?;
    let mut id = slot.current();
    if slot.is_tracked() || slot.changes_hands() {
        if l4.opens || l4.closes || is_grouped(vip) {
            return Ok(None);
        }
        match touch(tables, &F::flow_key(&l4.ends), Signs::default(), seconds(tables.now())) {
            Some(known) => id = known,
            None if slot.changes_hands() => return Ok(None),
            None => {}
        }
    }
    let server = tables.server(id).ok_or(Stop::BadTables)?;
    Ok(if forwards(server) { Some(Chosen { id, server, hash }) } else { None })
}

/// The server of a flow: the same for all its packets, whatever happens to other servers.
#[inline(always)]
pub fn server<'a, F: Family>(
    tables: &'a impl Tables<F>,
    ends: &Ends<F>,
    signs: Signs,
    vip: &Vip,
) -> Result<Chosen<'a>, Stop> {
    let hash = hash(tables, ends, vip);
    let slots = live_half(tables, vip.ring)?;
    let at = black_box(slot_of(hash));
    let slot = *slots.get(at).ok_or(Stop::BadTables)?;
    // Where the ports do not count, no packet begins or ends what the table knows.
    let signs = if is_grouped(vip) { Signs { stranger: signs.stranger, ..Signs::default() } } else { signs };
    let place = Place { ring: vip.ring, at, slot, signs, flags: vip.flags, protocol: ends.protocol };
    let found = tracked(tables, &place, &known_as(ends, vip));
    #[expect(clippy::cast_possible_truncation, reason = "a server id has 14 bits")]
    let id = match found {
        NO_SERVER => return Err(Stop::NoServer),
        SERVER_DOWN => return Err(Stop::ServerDown),
        found => found as ServerId,
    };
    Ok(Chosen { id, server: tables.server(id).ok_or(Stop::BadTables)?, hash })
}

/// Whether the slot of a flow names nobody, as all do where no server of the backend is up. While it names one that is down,
/// others may be up beyond the slots that were tried.
#[inline(always)]
pub fn is_empty<F: Family>(tables: &impl Tables<F>, ends: &Ends<F>, vip: &Vip) -> bool {
    let at = black_box(slot_of(hash(tables, ends, vip)));
    live_half(tables, vip.ring).is_ok_and(|slots| slots.get(at).is_some_and(|slot| slot.current() == 0))
}

/// Where a flow stands on a ring.
#[derive(Clone, Copy, Debug)]
struct Place {
    ring: RingId,
    at: usize,
    slot: Slot,
    signs: Signs,
    /// Those of the VIP.
    flags: u16,
    protocol: Protocol,
}

impl Place {
    /// What becomes of its flows when their server is down. To be asked only then.
    #[inline(always)]
    fn when_down(&self) -> Down {
        // Of these nothing tells which packets go on with what the failed server has; of datagrams neither.
        let grouped = self.flags & (AFFINITY | FRAGMENTS_HASH) != 0;
        if self.flags & (KEEPS | RESETS) == 0 || grouped || self.protocol != Protocol::Tcp {
            Down::Moves
        } else if self.flags & KEEPS != 0 {
            Down::Keeps
        } else {
            Down::Resets
        }
    }
}

/// What becomes of connections to a server that is down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
enum Down {
    /// Others take them.
    Moves,
    /// They stay.
    Keeps,
    /// They are reset.
    Resets,
}

/// The slots of a ring.
#[inline(always)]
fn live_half<F: Family>(tables: &impl Tables<F>, ring: RingId) -> Result<&[Slot; SLOTS], Stop> {
    let head = tables.ring_head(ring).ok_or(Stop::BadTables)?;
    tables.ring_half(ring, head.half).ok_or(Stop::BadTables)
}

/// Whether a server takes packets.
#[inline(always)]
pub const fn forwards(server: &ServerEntry) -> bool {
    ServerState::from_byte(server.state).forwards()
}

/// Whether a server is down; a row that no server has is not.
#[inline(always)]
pub const fn is_down(server: &ServerEntry) -> bool {
    matches!(ServerState::from_byte(server.state), ServerState::Down)
}

/// Whether a packet goes on with a connection that may be there already: of TCP, and not the first one.
#[inline(always)]
pub fn goes_on<F: Family>(ends: &Ends<F>, opens: bool) -> bool {
    ends.protocol == Protocol::Tcp && !opens
}

/// The last of the states, from [`ServerState::Up`] on, in which a server takes a packet of a connection that it has.
#[inline(always)]
pub fn last_state<F: Family>(ends: &Ends<F>, opens: bool, vip: &Vip) -> u8 {
    if vip.has(KEEPS) && goes_on(ends, opens) { u8::MAX } else { ServerState::Drain as u8 }
}

/// Whether a server takes a packet of a connection that it has.
#[inline(always)]
pub const fn keeps(server: &ServerEntry, last_state: u8) -> bool {
    server.state != ServerState::Free as u8 && server.state <= last_state
}

/// The server of a flow whose slot changes hands or did so lately, or whose server is down; of any other flow too.
///
/// A flow that the table knows stays where it is. Of the others those that open go to the new owner and into the table,
/// and the rest belongs to the old one and goes into the table too, so that they are known when the old one has gone. What
/// finds no place in the table goes to the old owner: that is where all flows belong that the table does not know.
///
/// Where flows stay with a server that is down, or are reset, all this holds of such a server too, but for packets that open:
/// they go to another one, and must be known then, or what follows them would be taken for flows of the server that is down.
#[inline(never)]
fn tracked<F: Family>(tables: &impl Tables<F>, place: &Place, key: &F::FlowKey) -> u32 {
    let signs = place.signs;
    let now = seconds(tables.now());
    let closing = if signs.closes { CLOSING } else { 0 };
    let new = signs.opens;
    let asked = place.slot.is_tracked() || place.slot.changes_hands() || !takes(tables, place.slot.current());
    let known = if asked { touch(tables, key, signs, now) } else { None };
    if let Some(known) = known
        && let Some(server) = tables.server(known)
        && forwards(server)
        // Old ports that are used again make a new flow, which a server that is being drained need not take.
        && !(new && ServerState::from_byte(server.state) == ServerState::Drain)
    {
        return known.into();
    }
    let owner = known.unwrap_or(place.slot.previous);
    let when_down = if !new && lies_down(tables, owner) { place.when_down() } else { Down::Moves };
    let chosen = match when_down {
        Down::Resets => return SERVER_DOWN,
        Down::Keeps if known.is_some() => return owner.into(),
        Down::Keeps => Some(owner),
        Down::Moves => choose(tables, place, new),
    };
    let Some(id) = chosen else { return NO_SERVER };
    let settled = !place.slot.changes_hands() && id == place.slot.current();
    if signs.stranger || (settled && known.is_none()) {
        return id.into();
    }
    let flow = Flow { server: id, ring: place.ring, slot: narrow(place.at), marks: closing, reserved: 0, last: now };
    if !remember(tables, key, &flow) && new {
        // The flow stays where its next packets will be sent.
        let stays = known.unwrap_or(place.slot.previous);
        if takes(tables, stays) {
            return stays.into();
        }
        if lies_down(tables, stays) && place.when_down() != Down::Moves {
            return SERVER_DOWN;
        }
        if takes(tables, place.slot.previous) {
            return place.slot.previous.into();
        }
    }
    id.into()
}

/// No server is up.
const NO_SERVER: u32 = 1 << 16;
/// The server is down, and no other one may have the packet.
const SERVER_DOWN: u32 = 1 << 17;

/// The server that the flow table knows for a flow. The flow is marked as seen.
#[inline(always)]
fn touch<F: Family>(tables: &impl Tables<F>, key: &F::FlowKey, signs: Signs, now: u32) -> Option<ServerId> {
    let closing = if signs.closes { CLOSING } else { 0 };
    tables.flow(key, |flow| {
        if !signs.stranger && (now.wrapping_sub(flow.last) >= REFRESH || closing & !flow.marks != 0 || signs.opens) {
            flow.last = now;
            // Old ports that are used again make a new flow, which is not closing.
            flow.marks = if signs.opens { 0 } else { flow.marks | closing };
        }
        flow.server
    })
}

/// Whether what goes by one slot of a VIP may be more than one connection, which the flow table knows as one.
#[inline(always)]
fn is_grouped(vip: &Vip) -> bool {
    vip.has(AFFINITY) || vip.has(FRAGMENTS_HASH)
}

/// What the flow table knows a flow as: just as much of it as its hash has.
#[inline(always)]
fn known_as<F: Family>(ends: &Ends<F>, vip: &Vip) -> F::FlowKey {
    if vip.has(AFFINITY) {
        F::group_key(&Ends { destination: F::Addr::default(), ..portless(ends) }, vip.ring)
    } else if vip.has(FRAGMENTS_HASH) {
        F::group_key(&portless(ends), vip.ring)
    } else {
        F::flow_key(ends)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a slot has 14 bits")]
const fn narrow(slot: usize) -> u16 {
    slot as u16
}

/// A server for a flow that the table does not know.
#[inline(always)]
fn choose<F: Family>(tables: &impl Tables<F>, place: &Place, new: bool) -> Option<ServerId> {
    let owner = if new { place.slot.current() } else { place.slot.previous };
    if takes(tables, owner) {
        return Some(owner);
    }
    let slots = live_half(tables, place.ring).ok()?;
    let mut slot = place.at;
    for _ in 0..TRIES {
        // The compiler could prove that the slot exists and drop the check of `get`; the verifier cannot, and needs it. An
        // empty slot names row 0, which is free and so takes nothing.
        let id = slots.get(black_box(slot))?.current();
        if takes(tables, id) {
            tables.note(Note::Reselected);
            return Some(id);
        }
        slot = next_slot(slot);
    }
    None
}

#[inline(always)]
fn takes<F: Family>(tables: &impl Tables<F>, id: ServerId) -> bool {
    tables.server(id).is_some_and(forwards)
}

#[inline(always)]
fn lies_down<F: Family>(tables: &impl Tables<F>, id: ServerId) -> bool {
    tables.server(id).is_some_and(is_down)
}

/// Puts a flow into the table, if the budget allows.
#[inline(always)]
fn remember<F: Family>(tables: &impl Tables<F>, key: &F::FlowKey, flow: &Flow) -> bool {
    let (now, budget) = (tables.now(), tables.track_budget());
    if !tables.bucket(bucket::INSERTS, |bucket| bucket.take(now, budget)) {
        tables.note(Note::BudgetSpent);
        return false;
    }
    let there = tables.put_flow(key, flow);
    tables.note(if there { Note::Tracked } else { Note::FlowsFull });
    there
}
