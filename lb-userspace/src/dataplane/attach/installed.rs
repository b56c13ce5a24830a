//! What XDP program an interface runs now. Netlink says so without privilege, and for links that were adopted too.

use super::Mode;
use rtnetlink::{
    packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};
use rustix::io::Errno;
use std::io;

/// An interface and its program.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Interface {
    pub(super) ifindex: u32,
    /// The kernel's id of the program, if it runs one.
    pub(super) program: Option<u32>,
    /// Meaningless without a program.
    pub(super) mode: Option<Mode>,
}

/// Looks at an interface. `None`: there is none of that name.
pub(super) fn look(interface: &str) -> io::Result<Option<Interface>> {
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::IfName(interface.to_owned()));
    let answer = ask(RouteNetlinkMessage::GetLink(question))?.payload;
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = &answer {
        return Ok(Some(read(link)));
    }
    let error = if let NetlinkPayload::Error(error) = &answer {
        error.to_io()
    } else {
        io::Error::other(format!("unexpected answer: {answer:?}"))
    };
    if Errno::from_io_error(&error) == Some(Errno::NODEV) { Ok(None) } else { Err(error) }
}

fn ask(question: RouteNetlinkMessage) -> io::Result<NetlinkMessage<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    NetlinkMessage::deserialize(&answer).map_err(io::Error::other)
}

fn read(link: &LinkMessage) -> Interface {
    let mut interface = Interface { ifindex: link.header.index, ..Interface::default() };
    for attribute in &link.attributes {
        if let LinkAttribute::Xdp(xdp) = attribute {
            for attribute in xdp {
                read_xdp(attribute, &mut interface);
            }
        }
    }
    interface
}

fn read_xdp(attribute: &LinkXdp, interface: &mut Interface) {
    if let LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) = attribute {
        interface.program.get_or_insert(*id);
    }
    if let LinkXdp::Attached(attached) = attribute {
        interface.mode = if matches!(attached, XdpAttached::Driver | XdpAttached::Hardware) {
            Some(Mode::Native)
        } else {
            Some(Mode::Generic)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_exists_and_a_name_nobody_gave_does_not() {
        assert_eq!(look("lo").unwrap().map(|found| found.ifindex), Some(1));
        assert_eq!(look("no-such-if0").unwrap(), None);
    }
}
