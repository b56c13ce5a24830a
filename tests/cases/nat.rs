//! `nat`: forward to the server, back to the client.

use super::{Case, Expect, world::*};
use lb_tests::packet::Frame;

/// Router alert (RFC 2113) and three no-operations: two words of options.
const OPTIONS: [u8; 8] = [0x94, 0x04, 0x00, 0x00, 0x01, 0x01, 0x01, 0x00];

pub(crate) fn cases() -> Vec<Case> {
    let syn = arrives(Frame::tcp(CLIENT, NAT_VIP).syn());
    let data = arrives(Frame::tcp(CLIENT, NAT_VIP));
    let datagram = arrives(Frame::udp(CLIENT, NAT_VIP));
    let other = arrives(Frame::tcp(CLIENT, OTHER_VIP));
    let reply = answers(Frame::tcp(SERVERS[1], CLIENT), 1);
    let syn_ack = reply.clone().syn_ack();
    let answer = answers(Frame::udp(SERVERS[1], CLIENT), 1);
    let options = data.clone().options(&OPTIONS);
    let all_options = datagram.clone().options(&[1; 40]);
    let reply_options = reply.clone().options(&OPTIONS);
    let padded = arrives(Frame::udp(CLIENT, NAT_VIP).payload(b"x").padding(17));
    let jumbo = data.clone().payload(&[0x5a; 8_900]);
    let odd = data.clone().payload(&[0xff; 1_399]);
    vec![
        forward("a SYN goes to the server", &syn, 1),
        forward("a SYN-ACK of a client goes to the server", &syn.clone().syn_ack(), 1),
        forward("a segment goes to the server", &data, 1),
        forward("a segment of odd length goes to the server", &odd, 1),
        forward("a datagram goes to the server", &datagram, 1),
        forward("a datagram without checksum gets none", &datagram.clone().without_checksum(), 1),
        forward("a datagram without payload goes to the server", &datagram.clone().payload(b""), 1),
        back("a reply gets the VIP as its source", &reply, NAT_VIP),
        back("a SYN-ACK gets the VIP as its source", &syn_ack, NAT_VIP),
        back("a datagram's answer gets the VIP as its source", &answer, NAT_VIP),
        back("an answer without checksum gets none", &answer.without_checksum(), NAT_VIP),
        // glb-director reads ports from the options.
        forward("glb: ports are read after the options", &options, 1),
        forward("glb: ports are read after the longest options", &all_options, 1),
        back("glb: a reply's ports are read after the options", &reply_options, NAT_VIP),
        forward("padding after the packet stays", &padded, 1),
        // Katran's largest packet is a compile-time constant of 1514 bytes.
        forward("katran: a jumbo frame goes to the server", &jumbo, 1),
        // blixt keys replies without the VIP: two VIPs used from one client port collide there.
        forward("blixt: one client port at two VIPs reaches both servers", &other, 4),
        back(
            "blixt: one client port at two VIPs gets both replies",
            &answers(Frame::tcp(SERVERS[4], CLIENT), 4),
            OTHER_VIP,
        ),
        keeps_port(),
        longest_prefix(),
        default_route(),
        sums_to_zero(),
        unset_checksum_is_not_touched_by_zero_rule(),
    ]
}

fn forward(name: &'static str, input: &Frame, id: u16) -> Case {
    let output = leaves_for(input.clone(), id).to(SERVERS[usize::from(id)]);
    row(name, input.bytes(), Expect::Transmit(output.bytes()))
}

fn back(name: &'static str, input: &Frame, vip: std::net::SocketAddrV4) -> Case {
    let output = leaves_for_client(input.clone()).from(vip);
    row(name, input.bytes(), Expect::Transmit(output.bytes()))
}

/// The default route leads to nobody, the client's own to the router.
fn longest_prefix() -> Case {
    let name = "a reply takes the longest prefix of its client";
    let mut case = back(name, &answers(Frame::tcp(SERVERS[1], CLIENT), 1), NAT_VIP);
    case.tables.routes.insert(prefix(CLIENT, 0), UNRESOLVED);
    case
}

fn default_route() -> Case {
    let name = "a reply takes the default route where there is no other";
    let mut case = back(name, &answers(Frame::tcp(SERVERS[1], UNROUTED_CLIENT), 1), NAT_VIP);
    case.tables.routes.insert(prefix(UNROUTED_CLIENT, 0), ROUTER);
    case
}

/// Server 3 has port 0.
fn keeps_port() -> Case {
    let mut tables = tables();
    tables.rings.insert(NAT_RING, ring_of(|_| 3));
    let input = arrives(Frame::tcp(CLIENT, NAT_VIP));
    let mut server = SERVERS[3];
    server.set_port(NAT_VIP.port());
    let output = leaves_for(input.clone(), 3).to(server);
    let expect = Expect::Transmit(output.bytes());
    Case { name: "a server without a port gets the VIP's", tables, ingress: OUTSIDE, input: input.bytes(), expect }
}

/// The datagram to the server whose sum comes out as 0: it must be sent as 0xffff.
fn sums_to_zero() -> Case {
    let frame = |word: u16| arrives(Frame::udp(CLIENT, NAT_VIP).payload(&word.to_be_bytes()));
    let output = |word: u16| leaves_for(frame(word), 1).to(SERVERS[1]).bytes();
    // etherparse writes 0xffff for a sum of 0; no other sum gives it.
    let word = (0..=u16::MAX).find(|word| output(*word)[40..42] == [0xff, 0xff]).expect("one in 65536");
    row("a datagram whose checksum comes out as 0 says 0xffff", frame(word).bytes(), Expect::Transmit(output(word)))
}

/// The datagram whose checksum is 0xffff on arrival: a sum of 0, not "none".
fn unset_checksum_is_not_touched_by_zero_rule() -> Case {
    let frame = |word: u16| arrives(Frame::udp(CLIENT, NAT_VIP).payload(&word.to_be_bytes()));
    let word = (0..=u16::MAX).find(|word| frame(*word).bytes()[40..42] == [0xff, 0xff]).expect("one in 65536");
    forward("a datagram that arrives with 0xffff gets a new checksum", &frame(word), 1)
}
