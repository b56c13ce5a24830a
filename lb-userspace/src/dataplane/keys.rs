//! From what userspace says of either family to the keys and rows of each, and back.

use super::lookup::Named;
use crate::{model::Endpoint, plan::tables::Return};
use lb_common::{
    Be16, Be128, Endpoint4, Endpoint6, Family, Protocol, Return4, Return6, V4, V6, Vip,
    lookup::{Line, LocalLine4, LocalLine6, ReturnLine4, ReturnLine6, VipLine4, VipLine6},
    returns::ReturnRow,
};
use std::net::IpAddr;

/// A family whose rows the planner writes.
pub(super) trait Rows: Family {
    /// The tables of VIPs, of returns and of the host's addresses.
    const TABLES: [Named; 3];
    /// An element of the table of VIPs.
    type VipLine: Line<Key = Self::Endpoint, Value = Vip>;
    /// An element of the table of returns.
    type ReturnLine: Line<Key = Self::Endpoint, Value = Self::Return>;
    /// An element of the table of the host's addresses.
    type LocalLine: Line<Key = Self::Endpoint, Value = u32>;

    /// Address, port and protocol of a key; 0: none.
    fn unpack_endpoint(key: Self::Endpoint) -> (Self::Addr, Be16, u8);
    /// A row of returns.
    fn return_row(row: &Return) -> Self::Return;
}

macro_rules! rows {
    ($family:ident, $endpoint:ident, $return:ident, $vip_line:ident, $return_line:ident, $local_line:ident, $vips:ident, $returns:ident, $local:ident) => {
        impl Rows for $family {
            const TABLES: [Named; 3] = [Named::$vips, Named::$returns, Named::$local];
            type VipLine = $vip_line;
            type ReturnLine = $return_line;
            type LocalLine = $local_line;

            fn unpack_endpoint($endpoint { addr, port, protocol, .. }: $endpoint) -> (Self::Addr, Be16, u8) {
                (addr, port, protocol)
            }

            fn return_row(&Return { vip, address, port, server, mss }: &Return) -> $return {
                let vip_addr = Self::narrow(Be128::from(address));
                $return { vip_addr, vip_port: Be16::new(port), vip, server, mss }
            }
        }
    };
}

rows!(V4, Endpoint4, Return4, VipLine4, ReturnLine4, LocalLine4, VIPS4, RETURNS4, LOCAL4);
rows!(V6, Endpoint6, Return6, VipLine6, ReturnLine6, LocalLine6, VIPS6, RETURNS6, LOCAL6);

/// The key of an endpoint of that family.
pub(super) fn key<F: Rows>(endpoint: Endpoint) -> F::Endpoint {
    let protocol = endpoint.protocol.map_or(0, Protocol::number);
    F::endpoint(F::narrow(Be128::from(endpoint.address)), Be16::new(endpoint.port), protocol)
}

/// What a key stands for. A protocol that we do not balance is none of ours; its entry is shown as an address entry.
pub(super) fn endpoint<F: Rows>(key: F::Endpoint) -> Endpoint {
    let (address, port, protocol) = F::unpack_endpoint(key);
    Endpoint { address: ip::<F>(address), port: port.host(), protocol: Protocol::from_number(protocol) }
}

/// A row of returns, read.
pub(super) fn returned<F: Rows>(row: &F::Return) -> Return {
    let ReturnRow { vip_addr, vip_port, vip, server, mss } = F::unpack_return(row);
    Return { vip, address: ip::<F>(vip_addr), port: vip_port.host(), server, mss }
}

/// An address of that family.
pub(super) fn ip<F: Family>(address: F::Addr) -> IpAddr {
    F::widen(address).ip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_rows_of_both_families_come_back_as_they_were() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let of = |address| [Endpoint::address_entry(address), Endpoint::new(address, 53, Protocol::Udp)];
        for known in of(v4) {
            assert_eq!(endpoint::<V4>(key::<V4>(known)), known);
        }
        for known in of(v6) {
            assert_eq!(endpoint::<V6>(key::<V6>(known)), known);
        }
        let row = |address| Return { vip: 1, address, port: 80, server: 2, mss: 1_400 };
        assert_eq!(returned::<V4>(&V4::return_row(&row(v4))), row(v4));
        assert_eq!(returned::<V6>(&V6::return_row(&row(v6))), row(v6));
    }
}
