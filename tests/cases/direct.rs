//! `direct`: only the Ethernet addresses and the time to live change.

use super::{Case, Expect, world::*};
use lb_tests::packet::Frame;

pub(crate) fn cases() -> Vec<Case> {
    let syn = arrives(Frame::tcp(CLIENT, DIRECT_VIP).syn());
    let datagram = arrives(Frame::udp(CLIENT, DIRECT_VIP));
    vec![
        forward("direct: a SYN goes to the server as it is", &syn),
        forward("direct: a datagram goes to the server as it is", &datagram),
        forward("direct: a datagram without checksum goes as it is", &datagram.clone().without_checksum()),
        forward("direct: options stay", &syn.clone().options(&[1, 1, 1, 0])),
        forward("direct: a jumbo frame goes to the server", &datagram.payload(&[7; 8_900])),
        redirected(),
        nat_redirected(),
        nat_reply_redirected(),
        cannot_redirect(),
    ]
}

fn forward(name: &'static str, input: &Frame) -> Case {
    row(name, input.bytes(), Expect::Transmit(leaves_for(input.clone(), 1).bytes()))
}

fn redirected() -> Case {
    let input = arrives(Frame::tcp(CLIENT, DIRECT_VIP).syn());
    let expect = Expect::Redirect(leaves_for(input.clone(), 1).bytes());
    Case {
        name: "direct: out of the other interface",
        tables: two_armed(),
        ingress: OUTSIDE,
        input: input.bytes(),
        expect,
    }
}

fn nat_redirected() -> Case {
    let input = arrives(Frame::tcp(CLIENT, NAT_VIP).syn());
    let expect = Expect::Redirect(leaves_for(input.clone(), 1).to(SERVERS[1]).bytes());
    Case {
        name: "nat: out of the other interface",
        tables: two_armed(),
        ingress: OUTSIDE,
        input: input.bytes(),
        expect,
    }
}

fn nat_reply_redirected() -> Case {
    let input = answers(Frame::tcp(SERVERS[1], CLIENT), 1);
    let expect = Expect::Redirect(leaves_for_client(input.clone()).from(NAT_VIP).bytes());
    Case {
        name: "nat: a reply out of the other interface",
        tables: two_armed(),
        ingress: INSIDE,
        input: input.bytes(),
        expect,
    }
}

/// The interface of the next hop went away: the frame must not be half rewritten.
fn cannot_redirect() -> Case {
    let mut tables = two_armed();
    tables.devices.clear();
    let input = arrives(Frame::tcp(CLIENT, NAT_VIP));
    let expect = Expect::Stop(lb_common::Stop::NoNextHop);
    Case { name: "out of an interface that is gone", tables, ingress: OUTSIDE, input: input.bytes(), expect }
}
