//! FTP: what a client opens, and what a server opens to it, meet at one server, because the client's address alone decides.

use crate::scene::{FAST_CHECK, WEBS, Way};
use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    client::ftp,
    lab::{Family, Lab},
    origin::{
        Ftp,
        ftp::{CONTROL, LARGE, TRANSFERS},
    },
    sluice::Sluice,
    tunnel::{GUE_PORT, TunnelEnd},
};
use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Which ports of the VIP are served.
#[derive(Clone, Copy, Debug)]
enum Binds {
    /// Those of control connections, and those that servers name for transfers.
    Ranges,
    /// All.
    Every,
}

const CLIENTS: u8 = 12;

#[test]
fn by_nat_over_ranges_of_ports() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| serves(Way::within("nat", family), Binds::Ranges))
}

#[test]
fn by_nat_over_every_port() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| serves(Way::within("nat", family), Binds::Every))
}

#[test]
fn directly() -> Result<()> {
    serves(Way::within("direct", Family::V4), Binds::Ranges)?;
    serves(Way::within("direct", Family::V6), Binds::Every)
}

#[test]
fn by_tunnels() -> Result<()> {
    serves(Way::within("ipip", Family::V4), Binds::Every)?;
    serves(Way { forward: "gue", vip: Family::V6, servers: Family::V4 }, Binds::Ranges)
}

fn config(lab: &Lab, way: Way, binds: Binds) -> Result<String> {
    let vip = way.address();
    let bind = |ports: &str| {
        let shown = SocketAddr::new(vip, 0).to_string();
        format!("\"{}:{ports}\"", shown.strip_suffix(":0").unwrap_or(&shown))
    };
    let ports = |range: std::ops::RangeInclusive<u16>| format!("{}-{}", range.start(), range.end());
    let binds = match binds {
        Binds::Ranges => [ports(CONTROL), ports(TRANSFERS)].map(|range| bind(&range)).join(", "),
        Binds::Every => bind("*"),
    };
    let mut servers = String::new();
    for name in WEBS {
        let address = lab.machine(name)?.own(way.servers);
        write!(servers, "[[backend.ftp.server]]\nname = \"{name}\"\naddress = \"{}\"\n", quoted(address))?;
    }
    let check = FAST_CHECK.replace("type = \"tcp\"", "type = \"tcp\", port = 21");
    Ok(format!(
        "\n[frontend.ftp]\nmode = \"l4\"\nbind = [{binds}]\ndefault_backend = \"ftp\"\n\
         [backend.ftp]\nbalance = \"source\"\nforward = \"{}\"\ncheck = {check}\n{servers}",
        way.forward
    ))
}

/// As an address without a port is typed.
fn quoted(address: IpAddr) -> String {
    if address.is_ipv4() { address.to_string() } else { format!("[{address}]") }
}

fn serves(way: Way, binds: Binds) -> Result<()> {
    let lab = Lab::new()?;
    let vip = way.address();
    // To clients of IPv6 no address is named.
    let named = if let IpAddr::V4(vip) = vip { vip } else { Ipv4Addr::UNSPECIFIED };
    let machines = WEBS.iter().map(|name| lab.machine(name)).collect::<Result<Vec<_>>>()?;
    let _servers =
        machines.iter().map(|machine| Ftp::start(machine, named, lab.directory())).collect::<Result<Vec<_>>>()?;
    let _ends = if way.tunnel().is_some() {
        machines.iter().map(|machine| TunnelEnd::open(&lab, machine, GUE_PORT)).collect::<Result<Vec<_>>>()?
    } else {
        Vec::new()
    };
    let sluice = Sluice::start(&lab, &config(&lab, way, binds)?)?;

    let mut met = BTreeSet::new();
    for client in lab.add_clients(way.vip, CLIENTS)? {
        let client = client.to_string();
        let from = ["--interface", &client];
        let passive = [&from[..], &["--ftp-pasv"]].concat();
        let passive_old = [&from[..], &["--ftp-pasv", "--disable-epsv"]].concat();
        let active = [&from[..], &["--ftp-port", &client]].concat();
        let own =
            ftp::read(&lab.client, &passive, vip, "who").with_context(|| format!("{way:?} {binds:?}, {client}"))?;
        for arguments in [&passive, &passive_old, &active] {
            let again = ftp::read(&lab.client, arguments, vip, "who");
            let again = again.with_context(|| format!("{way:?} {binds:?}, {arguments:?}"))?;
            ensure!(again == own, "{client} met {own} and {again}");
        }
        ensure!(ftp::read(&lab.client, &passive, vip, "large")?.len() == LARGE);
        met.insert(own.trim().to_owned());
    }
    ensure!(met.iter().eq(WEBS), "{way:?}: {CLIENTS} clients met {met:?}");
    ensure!(!sluice.log().contains("panicked at"), "something in the daemon panicked");
    Ok(())
}
