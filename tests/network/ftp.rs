//! FTP: what a client opens, and what a server opens to it, meet at one server, because the client's address alone decides.

use crate::scene::{FAST_CHECK, SOON, WEBS, Way};
use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    client::ftp,
    lab::{Family, Lab, Machine},
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
    net::{IpAddr, SocketAddr},
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
fn control_and_transfers_of_a_client_meet_at_one_server() -> Result<()> {
    let lab = Lab::beside_others()?;
    let machines = WEBS.iter().map(|name| lab.machine(name)).collect::<Result<Vec<_>>>()?;
    let _ends = machines.iter().map(|machine| TunnelEnd::open(&lab, machine, GUE_PORT)).collect::<Result<Vec<_>>>()?;
    let clients = [lab.add_clients(Family::V4, CLIENTS)?, lab.add_clients(Family::V6, CLIENTS)?];
    let [four, six] = Family::BOTH;
    let mut sluice = None;
    for (way, binds) in [
        (Way::within("nat", four), Binds::Ranges),
        (Way::within("nat", six), Binds::Ranges),
        (Way::within("nat", four), Binds::Every),
        (Way::within("nat", six), Binds::Every),
        (Way::within("direct", four), Binds::Ranges),
        (Way::within("direct", six), Binds::Every),
        (Way::within("ipip", four), Binds::Every),
        (Way { forward: "gue", vip: six, servers: four }, Binds::Ranges),
    ] {
        let vip = way.address();
        let start = |machine: &&Machine| Ftp::start(machine, vip, lab.directory());
        let _servers = machines.iter().map(start).collect::<Result<Vec<_>>>()?;
        let config = config(&lab, way, binds)?;
        let running = match sluice.take() {
            None => Sluice::start(&lab, &config)?,
            Some(running) => turn(running, &lab, &config)?,
        };
        running.wait_shares("ftp", SOON, |shares| shares.keys().eq(WEBS))?;
        serves(&lab, vip, if way.vip == four { &clients[0] } else { &clients[1] })
            .with_context(|| format!("{way:?} {binds:?}\n{}", running.log()))?;
        sluice = Some(running);
    }
    Ok(())
}

fn turn(sluice: Sluice, lab: &Lab, config: &str) -> Result<Sluice> {
    sluice.write_config(lab, config)?;
    sluice.command(&["reload"])?;
    Ok(sluice)
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

fn serves(lab: &Lab, vip: IpAddr, clients: &[IpAddr]) -> Result<()> {
    let mut met = BTreeSet::new();
    for client in clients {
        let client = client.to_string();
        let read = |more: &[&str], file: &str| {
            ftp::read(&lab.client, &[&["--interface", &client], more].concat(), vip, file)
                .with_context(|| format!("{file}, {more:?}, from {client}"))
        };
        let own = read(&[], "who")?;
        // The server names a port; the server names an address too, and the client believes it; the server connects.
        for way in [&[][..], &["--disable-epsv", "--no-ftp-skip-pasv-ip"], &["--ftp-port", &client]] {
            let again = read(way, "who")?;
            ensure!(again == own, "{client} met {own} and {again}, {way:?}");
        }
        ensure!(read(&[], "large")?.len() == LARGE);
        met.insert(own.trim().to_owned());
    }
    ensure!(met.iter().eq(WEBS), "{} clients met {met:?}", clients.len());
    Ok(())
}
