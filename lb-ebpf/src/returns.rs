//! Whether a packet is the reply of a server that was reached by `nat`.

use crate::{
    Tables,
    parse::{Ipv4, L4},
};
use lb_common::{Return4, Return4Key, Stop};

/// Whose reply it is: what the client must see as its source.
#[inline(always)]
pub fn find(tables: &impl Tables, ip: &Ipv4, l4: &L4) -> Result<Return4, Stop> {
    let key = Return4Key { addr: ip.source, port: l4.source_port, protocol: ip.protocol.number(), reserved: 0 };
    tables.return4(key).ok_or(Stop::NotOurs)
}
