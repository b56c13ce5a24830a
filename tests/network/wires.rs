//! The lab's stand-ins for devices of a kernel, before anything is asked of the balancer: tunnels end at servers, and VLAN
//! tags go over the wire. The balancer's place is taken by sockets of the kernel's own, which write the outer headers.

use anyhow::{Context, Result, ensure};
use etherparse::PacketBuilder;
use lb_tests::{
    client::{Flows, udp},
    lab::{Family, Lab},
    netns::Namespace,
    origin::Echo,
    tunnel::{GUE_PORT, Tunnel, TunnelEnd},
    vlan::Vlan,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

const PORT: u16 = 7;

/// A datagram as it goes into a tunnel.
fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<Vec<u8>> {
    let builder = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        _ => anyhow::bail!("two families in one packet"),
    };
    let mut packet = Vec::new();
    builder.udp(from.port(), to.port()).write(&mut packet, payload)?;
    Ok(packet)
}

/// Sends a packet through a tunnel. The kernel writes the outer header.
fn send(tunnel: Tunnel, server: IpAddr, packet: &[u8]) -> Result<()> {
    let domain = if server.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let carried = if packet.first().context("empty")? >> 4 == 4 { 4 } else { 41 };
    let (socket, to) = match tunnel {
        Tunnel::Ipip => (Socket::new(domain, Type::RAW, Some(Protocol::from(carried)))?, SocketAddr::new(server, 0)),
        Tunnel::Gue => (Socket::new(domain, Type::DGRAM, None)?, SocketAddr::new(server, GUE_PORT)),
    };
    socket.send_to(packet, &SockAddr::from(to)).map(drop).context("sending")
}

#[test]
fn a_server_opens_every_tunnel_and_answers_the_client_itself() -> Result<()> {
    let lab = Lab::new()?;
    let web1 = lab.machine("web1")?;
    let _echo = Echo::start(web1, PORT, lab.directory())?;
    let end = TunnelEnd::open(&lab, web1, GUE_PORT)?;
    for inner in Family::BOTH {
        let vip = SocketAddr::new(inner.direct_vip(), PORT);
        let client = lab.client.run(|| UdpSocket::bind((inner.client(), 0)))??;
        client.set_read_timeout(Some(Duration::from_secs(2)))?;
        for outer in Family::BOTH {
            for tunnel in [Tunnel::Ipip, Tunnel::Gue] {
                let said = format!("{tunnel:?} {outer:?}");
                let packet = datagram(client.local_addr()?, vip, said.as_bytes())?;
                lab.balancer.run(|| send(tunnel, web1.own(outer), &packet))??;
                let mut buffer = [0; 256];
                let (length, from) = client.recv_from(&mut buffer).with_context(|| format!("{said}: no answer"))?;
                let answer = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
                ensure!(answer == format!("web1 {} {said}", client.local_addr()?) && from == vip, "{from}: {answer}");
                ensure!(end.opened(tunnel, outer, inner)? == 1, "{said}: not counted");
            }
        }
    }
    ensure!((end.opened_all()?, end.damaged()?) == (8, 0));
    Ok(())
}

#[test]
fn one_tag_and_two_cross_the_wire_both_ways() -> Result<()> {
    let lab = Lab::new()?;
    let web1 = lab.machine("web1")?;
    let _echo = Echo::start(web1, PORT, lab.directory())?;
    // As if they had one link, with nobody between them.
    let neighbours = |from: &Namespace, to: IpAddr| from.ip([format!("route add {to} dev eth0")]);
    for family in Family::BOTH {
        neighbours(&lab.client, web1.own(family))?;
        neighbours(&web1.namespace, family.client())?;
    }
    for tags in [&[100][..], &[100, 7]] {
        let ends = [Vlan::lay(&lab, &lab.client, "client", tags)?, Vlan::lay(&lab, &web1.namespace, web1.name, tags)?];
        for family in Family::BOTH {
            let address = (web1.own(family), PORT).into();
            Flows::open(&lab.client, address, 10)?.exchange("with a tag")?;
            udp::ask(&lab.client, address, 10)?;
        }
        for end in ends {
            // At least four packets each way for a TCP connection, one each way for a datagram.
            ensure!(end.pushed()? >= 100 && end.popped()? >= 100 && end.wrong()? == 0, "{tags:?}");
        }
    }
    Ok(())
}
