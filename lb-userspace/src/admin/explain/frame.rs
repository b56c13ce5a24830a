//! Frames: made of a tuple, and read back as fields with names.

use crate::dataplane::replica::Tuple;
use etherparse::{
    Icmpv4Slice, Icmpv6Slice, Ipv6ExtensionSlice, LaxIpPayloadSlice, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket,
    LinkSlice, PacketBuilder, TcpOptionElement, TcpSlice, TransportSlice,
};
use lb_common::Protocol;
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// What packets that are made have for a time to live.
const TTL: u8 = 64;
/// The same for a window.
const WINDOW: u16 = 64_240;
/// ICMP messages that quote the packet that they are about (RFC 792, RFC 4443 §2.1).
const ERRORS4: [u8; 4] = [3, 4, 11, 12];
const ERRORS6: std::ops::RangeInclusive<u8> = 1..=4;

/// A packet that is asked about by its tuple.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asked {
    /// TCP, UDP or an echo request.
    pub kind: Kind,
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// Of TCP.
    pub flags: Flags,
}

/// A kind of packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// An echo request.
    Ping,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "ping" | "icmp" => Ok(Self::Ping),
            _ => Err("one of tcp, udp, ping"),
        }
    }
}

/// Flags of TCP, as bits of the header (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flags(u8);

impl Flags {
    /// What opens a connection.
    pub const SYN: Self = Self(1 << 1);
    const KNOWN: [(&str, Self); 4] =
        [("fin", Self(1)), ("syn", Self::SYN), ("rst", Self(1 << 2)), ("ack", Self(1 << 4))];

    /// Whether the flag of that name is set.
    fn has(self, name: &str) -> bool {
        Self::KNOWN.iter().any(|(known, flag)| *known == name && self.0 & flag.0 != 0)
    }
}

impl FromStr for Flags {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let flag = |word: &str| Self::KNOWN.iter().find(|(known, _)| *known == word).map(|(_, flag)| flag.0);
        let flags = text.split([',', '+']).try_fold(0, |flags, word| Some(flags | flag(word)?));
        flags.map(Self).ok_or("flags of TCP, such as syn, ack, syn+ack, fin+ack, rst")
    }
}

/// Both ends of what is asked about are not of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("one of the addresses is of IPv4 and the other one of IPv6")]
pub struct Mixed;

impl Asked {
    /// The frame, with an Ethernet header that says nothing.
    pub fn frame(&self) -> Result<Vec<u8>, Mixed> {
        let link = PacketBuilder::ethernet2([0; 6], [0; 6]);
        let ip = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => link.ipv4(source.octets(), destination.octets(), TTL),
            (IpAddr::V6(source), IpAddr::V6(destination)) => link.ipv6(source.octets(), destination.octets(), TTL),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Err(Mixed),
        };
        let (from, to) = (self.source.port(), self.destination.port());
        let mut frame = Vec::new();
        let written = match self.kind {
            Kind::Udp => ip.udp(from, to).write(&mut frame, &[]),
            Kind::Ping if self.source.is_ipv4() => ip.icmpv4_echo_request(1, 1).write(&mut frame, &[]),
            Kind::Ping => ip.icmpv6_echo_request(1, 1).write(&mut frame, &[]),
            Kind::Tcp => {
                let mut tcp = ip.tcp(from, to, 1, WINDOW);
                if self.flags.has("syn") {
                    tcp = tcp.syn();
                }
                if self.flags.has("ack") {
                    tcp = tcp.ack(1);
                }
                if self.flags.has("fin") {
                    tcp = tcp.fin();
                }
                if self.flags.has("rst") {
                    tcp = tcp.rst();
                }
                tcp.write(&mut frame, &[])
            }
        };
        // Into memory, and of a length that any header has room for.
        drop(written);
        Ok(frame)
    }
}

/// A frame that was read, as far as it could be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Read {
    /// Names and values of the fields that may change, from the first header to the last.
    pub fields: Vec<(String, String)>,
    /// In a line: `tcp 203.0.113.7:4242 → 10.0.0.1:80 [syn]`.
    pub summary: String,
    /// Who talks to whom: of an ICMP error those whose packet it quotes, as seen by them.
    pub tuple: Option<Tuple>,
    /// It is an error about the packets of `tuple`, which go the other way.
    pub is_error: bool,
}

/// What a frame is a tunnel for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inside {
    /// Nothing.
    Nothing,
    /// IP in IP.
    Ip,
    /// IP in UDP.
    Udp,
}

/// Reads a frame.
pub fn read(frame: &[u8], inside: Inside) -> Read {
    let mut read = Read { summary: format!("{} bytes of no kind that is known", frame.len()), ..Read::default() };
    let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) else { return read };
    if let Some(LinkSlice::Ethernet2(link)) = &packet.link {
        read.field("", "Ethernet destination", mac(link.destination()));
        read.field("", "Ethernet source", mac(link.source()));
    }
    for (number, tag) in (1..).zip(&packet.link_exts) {
        if let LaxLinkExtSlice::Vlan(tag) = tag {
            read.field("", &format!("VLAN tag {number}"), tag.vlan_identifier().value().to_string());
        }
    }
    match &packet.net {
        Some(LaxNetSlice::Arp(_)) => "ARP".clone_into(&mut read.summary),
        Some(net) => read.ip(net, packet.transport.as_ref(), "", inside),
        None => {}
    }
    read
}

impl Read {
    fn field(&mut self, before: &str, name: &str, value: String) {
        self.fields.push((format!("{before}{name}"), value));
    }

    fn ip(&mut self, net: &LaxNetSlice<'_>, transport: Option<&TransportSlice<'_>>, before: &str, inside: Inside) {
        let Some(header) = Header::of(net) else { return };
        let outer = if inside == Inside::Nothing { before.to_owned() } else { format!("{before}outer ") };
        let version = if header.source.is_ipv4() { "IPv4" } else { "IPv6" };
        let name = |what: &str| format!("{version} {what}");
        self.field(&outer, &name("source"), header.source.to_string());
        self.field(&outer, &name("destination"), header.destination.to_string());
        self.field(&outer, &name(if version == "IPv4" { "time to live" } else { "hop limit" }), header.ttl.to_string());
        let payload = header.payload.payload;
        match inside {
            Inside::Nothing => self.transport(&header, transport, before),
            Inside::Ip => self.inner(payload, before),
            Inside::Udp => {
                let [from, to] = ports(payload).unwrap_or_default();
                self.field(&outer, "UDP source port", from.to_string());
                self.field(&outer, "UDP destination port", to.to_string());
                self.inner(payload.get(8..).unwrap_or_default(), before);
            }
        }
    }

    /// The packet inside of another one.
    fn inner(&mut self, packet: &[u8], before: &str) {
        if let Ok(packet) = LaxSlicedPacket::from_ip(packet)
            && let Some(net) = &packet.net
        {
            self.ip(net, packet.transport.as_ref(), before, Inside::Nothing);
        }
    }

    fn transport(&mut self, header: &Header<'_>, transport: Option<&TransportSlice<'_>>, before: &str) {
        let Header { source, destination, fragment, is_later, number, .. } = *header;
        self.summary = format!("protocol {number} {source} → {destination}");
        if let Some(protocol) = Protocol::from_number(number) {
            // Of a packet that is quoted, or cut off, there may be no more than its ports.
            let [from, to] = if is_later { [0; 2] } else { ports(header.payload.payload).unwrap_or_default() };
            let (source, destination) = (SocketAddr::new(source, from), SocketAddr::new(destination, to));
            let word = if protocol == Protocol::Tcp { "TCP" } else { "UDP" };
            if is_later {
                self.summary = format!("later fragment of {protocol} {} → {}", source.ip(), destination.ip());
            } else {
                self.field(before, &format!("{word} source port"), from.to_string());
                self.field(before, &format!("{word} destination port"), to.to_string());
                self.summary = format!("{protocol} {source} → {destination}");
            }
            self.tuple = Some(Tuple { source, destination, protocol, fragment });
        }
        match transport {
            Some(TransportSlice::Tcp(tcp)) => self.tcp(tcp, before),
            Some(TransportSlice::Icmpv4(message)) => self.icmp4(message, header),
            Some(TransportSlice::Icmpv6(message)) => self.icmp6(message, header),
            Some(TransportSlice::Udp(_) | TransportSlice::Igmp(_)) | None => {}
        }
        if fragment.is_some() && !is_later {
            self.summary += ", first fragment";
        }
    }

    fn tcp(&mut self, tcp: &TcpSlice<'_>, before: &str) {
        let flags = [(tcp.syn(), "syn"), (tcp.ack(), "ack"), (tcp.fin(), "fin"), (tcp.rst(), "rst")];
        let flags: Vec<_> = flags.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect();
        let flags = if flags.is_empty() { "none".to_owned() } else { flags.join("+") };
        _ = write!(self.summary, " [{flags}]");
        self.field(before, "TCP flags", flags);
        for option in tcp.options_iterator().flatten() {
            if let TcpOptionElement::MaximumSegmentSize(most) = option {
                self.field(before, "TCP segments at most", most.to_string());
            }
        }
    }

    fn icmp4(&mut self, message: &Icmpv4Slice<'_>, header: &Header<'_>) {
        let (kind, code) = (message.type_u8(), message.code_u8());
        self.icmp(kind, code, header);
        if ERRORS4.contains(&kind) {
            self.quoted(message.payload());
        }
    }

    fn icmp6(&mut self, message: &Icmpv6Slice<'_>, header: &Header<'_>) {
        let (kind, code) = (message.type_u8(), message.code_u8());
        self.icmp(kind, code, header);
        if ERRORS6.contains(&kind) {
            self.quoted(message.payload());
        }
    }

    fn icmp(&mut self, kind: u8, code: u8, header: &Header<'_>) {
        self.field("", "ICMP type", kind.to_string());
        self.field("", "ICMP code", code.to_string());
        self.summary = format!("icmp {} → {} [type {kind}, code {code}]", header.source, header.destination);
    }

    /// What an error quotes: who sent that hears of it, so the flow is the other direction.
    fn quoted(&mut self, packet: &[u8]) {
        let mut quoted = Self::default();
        if let Ok(packet) = LaxSlicedPacket::from_ip(packet)
            && let Some(net) = &packet.net
        {
            quoted.ip(net, packet.transport.as_ref(), "quoted ", Inside::Nothing);
        }
        self.fields.append(&mut quoted.fields);
        if let Some(tuple) = quoted.tuple {
            _ = write!(self.summary, " about {}", quoted.summary);
            (self.tuple, self.is_error) = (Some(tuple.swapped()), true);
        }
    }
}

/// What matters of a header of IP.
struct Header<'a> {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    /// IANA number of what follows.
    number: u8,
    /// Of a fragment: the identification.
    fragment: Option<u32>,
    /// It is none with the ports.
    is_later: bool,
    payload: LaxIpPayloadSlice<'a>,
}

impl<'a> Header<'a> {
    fn of(net: &LaxNetSlice<'a>) -> Option<Self> {
        match net {
            LaxNetSlice::Ipv4(slice) => {
                let (header, payload) = (slice.header(), slice.payload().clone());
                let offset = header.fragments_offset().value();
                let is_fragment = header.more_fragments() || offset > 0;
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    ttl: header.ttl(),
                    number: payload.ip_number.0,
                    // As it stands in memory, like the packet path has it.
                    fragment: is_fragment.then(|| header.identification().to_be().into()),
                    is_later: offset > 0,
                    payload,
                })
            }
            LaxNetSlice::Ipv6(slice) => {
                let (header, payload) = (slice.header(), slice.payload().clone());
                let mut extensions = slice.extensions().clone().into_iter();
                let fragment = extensions.find_map(|extension| {
                    if let Ipv6ExtensionSlice::Fragment(fragment) = extension { Some(fragment) } else { None }
                });
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    ttl: header.hop_limit(),
                    number: payload.ip_number.0,
                    fragment: fragment.as_ref().map(|fragment| fragment.identification().to_be()),
                    is_later: fragment.is_some_and(|fragment| fragment.fragment_offset().value() > 0),
                    payload,
                })
            }
            LaxNetSlice::Arp(_) => None,
        }
    }
}

/// Those of TCP or UDP, which begin with them.
fn ports(payload: &[u8]) -> Option<[u16; 2]> {
    let [a, b, c, d] = *payload.first_chunk()?;
    Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// What differs between two frames: a field, and its values before and after; `None`: it was not there.
pub type Change = (String, Option<String>, Option<String>);

/// What differs, in the order of the frame afterwards; at last what is gone.
pub fn changes(before: &Read, after: &Read) -> Vec<Change> {
    let find =
        |read: &Read, name: &str| read.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let changed = after.fields.iter().map(|(name, value)| (name.clone(), find(before, name), Some(value.clone())));
    let changed = changed.filter(|(_, before, after)| before != after);
    let gone = before.fields.iter().filter(|(name, _)| find(after, name).is_none());
    changed.chain(gone.map(|(name, value)| (name.clone(), Some(value.clone()), None))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str, source: &str, destination: &str) -> Asked {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Asked { kind: kind.parse().unwrap(), source, destination, flags: Flags::SYN }
    }

    #[test]
    fn a_frame_of_a_tuple_reads_back_as_that_tuple() {
        for (kind, protocol, summary) in [("tcp", Protocol::Tcp, " [syn]"), ("udp", Protocol::Udp, "")] {
            for (source, destination) in
                [("203.0.113.7:4242", "10.0.0.1:80"), ("[2001:db8::7]:4242", "[2001:db8::80]:80")]
            {
                let asked = asked(kind, source, destination);
                let read = read(&asked.frame().unwrap(), Inside::Nothing);
                assert_eq!(read.summary, format!("{kind} {source} → {destination}{summary}"));
                let Asked { source, destination, .. } = asked;
                assert_eq!(read.tuple, Some(Tuple { source, destination, protocol, fragment: None }));
            }
        }
        let ping = asked("ping", "203.0.113.7:0", "10.0.0.1:0").frame().unwrap();
        assert_eq!(read(&ping, Inside::Nothing).summary, "icmp 203.0.113.7 → 10.0.0.1 [type 8, code 0]");
        assert_eq!(asked("tcp", "203.0.113.7:1", "[::1]:1").frame(), Err(Mixed));
    }

    #[test]
    fn of_fragments_the_later_ones_have_no_ports() {
        let mut frame = asked("udp", "203.0.113.7:4242", "10.0.0.1:80").frame().unwrap();
        frame[14 + 4..14 + 6].copy_from_slice(&[0x12, 0x34]);
        frame[14 + 6] = 0x20;
        let first = read(&frame, Inside::Nothing);
        assert_eq!(first.summary, "udp 203.0.113.7:4242 → 10.0.0.1:80, first fragment");
        assert_eq!(first.tuple.unwrap().fragment, Some(u32::from(u16::from_ne_bytes([0x12, 0x34]))));
        frame[14 + 6..14 + 8].copy_from_slice(&[0, 3]);
        let later = read(&frame, Inside::Nothing);
        assert_eq!(later.summary, "later fragment of udp 203.0.113.7 → 10.0.0.1");
        assert_eq!(later.tuple.unwrap().source.port(), 0);
    }

    #[test]
    fn an_error_is_about_what_it_quotes_seen_from_the_other_end() {
        let quoted = asked("tcp", "10.0.0.1:80", "203.0.113.7:4242").frame().unwrap();
        let mut frame = Vec::new();
        let link = PacketBuilder::ethernet2([0; 6], [0; 6]).ipv4([192, 0, 2, 9], [10, 0, 0, 1], 9);
        // Too big; and of what it is about no more than RFC 792 asks for.
        link.icmpv4_raw(3, 4, [0, 0, 5, 120]).write(&mut frame, &quoted[14..14 + 28]).unwrap();
        let read = read(&frame, Inside::Nothing);
        let tuple = read.tuple.unwrap();
        assert!(read.is_error);
        assert_eq!(
            (tuple.source.to_string(), tuple.destination.to_string()),
            ("203.0.113.7:4242".into(), "10.0.0.1:80".into())
        );
        assert!(read.summary.contains("[type 3, code 4] about tcp 10.0.0.1:80 → 203.0.113.7:4242"), "{}", read.summary);
    }

    #[test]
    fn what_a_tunnel_adds_is_new_and_what_is_inside_is_compared() {
        let before = asked("udp", "203.0.113.7:4242", "10.0.0.1:80").frame().unwrap();
        let mut inner = before[14..].to_vec();
        inner[8] -= 1;
        let mut after = Vec::new();
        let outer = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 1, 1, 1], [10, 1, 1, 2], 64);
        outer.udp(40_000, 6_080).write(&mut after, &inner).unwrap();
        let changes = changes(&read(&before, Inside::Nothing), &read(&after, Inside::Udp));
        let shown: Vec<_> =
            changes.iter().map(|(name, before, after)| format!("{name}: {before:?} {after:?}")).collect();
        assert_eq!(shown.len(), 8, "{shown:#?}");
        assert!(shown.contains(&"outer IPv4 destination: None Some(\"10.1.1.2\")".to_owned()), "{shown:#?}");
        assert!(shown.contains(&"outer UDP destination port: None Some(\"6080\")".to_owned()), "{shown:#?}");
        assert!(shown.contains(&"IPv4 time to live: Some(\"64\") Some(\"63\")".to_owned()), "{shown:#?}");
    }

    #[test]
    fn whatever_bytes_come_they_are_read_without_harm() {
        let frame = asked("tcp", "203.0.113.7:4242", "10.0.0.1:80").frame().unwrap();
        for length in 0..frame.len() {
            for inside in [Inside::Nothing, Inside::Ip, Inside::Udp] {
                drop(read(&frame[..length], inside));
            }
        }
    }

    #[test]
    fn flags_are_typed_as_words() {
        assert_eq!("syn".parse(), Ok(Flags::SYN));
        assert_eq!("syn,ack".parse::<Flags>(), "syn+ack".parse());
        assert!("".parse::<Flags>().is_err() && "urg".parse::<Flags>().is_err());
    }
}
