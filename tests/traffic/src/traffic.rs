//! Frames without end: of clients, of servers that answer, of routers that complain, in fragments, mutated and truncated.

mod mutate;

use crate::{
    oracle,
    packet::{ETHERNET, Extension, Frame, Numbers, flags},
    random::Random,
    world::{INSIDE, NET4, NET6, Net, OUTSIDE, answers, arrives, at_port},
    worlds,
};
use std::net::{IpAddr, SocketAddr};

/// How many frames are remembered, to have others that concern them.
const MEMORY: usize = 32;

/// A source of frames. What comes out of the packet path is told to it, so that answers come too.
#[derive(Debug)]
pub struct Traffic {
    random: Random,
    /// Sent by clients and servers.
    sent: Vec<Frame>,
    /// Seen behind the balancer: the last ones, each in the place of the oldest.
    seen: Vec<Vec<u8>>,
    oldest: usize,
    /// Fragments on their way.
    late: Vec<Vec<u8>>,
}

impl Traffic {
    /// As these numbers have it.
    pub const fn new(random: Random) -> Self {
        Self { random, sent: Vec::new(), seen: Vec::new(), oldest: 0, late: Vec::new() }
    }

    /// The numbers that it goes by.
    pub const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The next frame, and the interface that it arrives at.
    pub fn frame(&mut self) -> (u32, Vec<u8>) {
        let mut frame = match self.random.below(32) {
            0..=12 => self.by_client(),
            13..=16 => self.again(),
            17..=20 => self.answer(),
            21..=23 => self.error(),
            24..=26 => self.fragment(),
            27 | 28 => self.ping(),
            29 => self.elsewhere(),
            30 => self.seen_again(),
            _ => mutate::garbage(&mut self.random),
        };
        if self.random.one_in(6) {
            mutate::mutate(&mut self.random, &mut frame);
        }
        if self.random.one_in(24) {
            frame.truncate(ETHERNET + self.random.below(frame.len().saturating_sub(ETHERNET) + 1));
        }
        frame.resize(frame.len().max(ETHERNET), 0);
        let ingress = if self.random.one_in(3) { INSIDE } else { OUTSIDE };
        (ingress, frame)
    }

    /// Tells of a frame that left.
    pub fn saw(&mut self, frame: &[u8]) {
        if self.seen.len() < MEMORY {
            self.seen.push(frame.to_vec());
        } else {
            self.seen[self.oldest] = frame.to_vec();
            self.oldest = (self.oldest + 1) % MEMORY;
        }
    }

    fn client(&mut self, net: &Net) -> SocketAddr {
        let clients = [
            net.client,
            net.client,
            net.client,
            net.client,
            net.client,
            net.client,
            net.client,
            net.client,
            net.unrouted_client,
            net.unresolved_client,
            net.unknown_neighbour,
            net.host,
            net.servers[1],
            net.nat,
            net.fullnat,
        ];
        let port = 40_000 + u16::from(self.random.byte() % 6);
        at_port(self.random.pick(&clients), port)
    }

    fn by_client(&mut self) -> Vec<u8> {
        let frame = self.packet();
        let place = self.random.below(MEMORY);
        match self.sent.get_mut(place) {
            Some(old) => *old = frame.clone(),
            None => self.sent.push(frame.clone()),
        }
        frame.bytes()
    }

    /// What a client, or a server of itself, may send to a VIP.
    fn packet(&mut self) -> Frame {
        let net = worlds::net(&mut self.random);
        let client = self.client(net);
        let mut vip = worlds::any_vip(&mut self.random, net);
        if self.random.one_in(12) {
            vip.set_port(u16::from(self.random.byte() % 3) * 22);
        }
        let frame = if self.random.one_in(3) { Frame::udp(client, vip) } else { Frame::tcp(client, vip) };
        self.dressed(net, arrives(frame))
    }

    /// The frame with whatever else a packet may have.
    fn dressed(&mut self, net: &Net, mut frame: Frame) -> Frame {
        let random = &mut self.random;
        let tcp_flags = [
            flags::SYN,
            flags::SYN,
            flags::ACK,
            flags::ACK,
            flags::ACK,
            flags::SYN | flags::ACK,
            flags::FIN | flags::ACK,
            flags::RST,
            flags::RST | flags::ACK,
        ];
        frame = frame.flags(random.pick(&tcp_flags)).tcp_options(&mutate::tcp_options(random));
        if random.one_in(4) {
            let numbers = [0, 1, 0x7fff_ffff, u32::MAX];
            let (sequence, acknowledgment) = (random.pick(&numbers), random.pick(&numbers));
            frame = frame.numbers(Numbers { sequence, acknowledgment, window: 1_024 });
        }
        if random.one_in(6) {
            frame = frame.without_checksum_of_udp();
        }
        let size = match random.below(16) {
            0..=9 => random.below(100),
            10..=12 => 450 + random.below(200),
            13 | 14 => 1_150 + random.below(400),
            _ => 2_000 + random.below(6_000),
        };
        frame = frame.payload(&random.bytes(size)).service(random.byte()).id(u16::from(random.byte() % 4));
        if random.one_in(8) {
            frame = frame.ttl(random.pick(&[0, 1, 2, 255]));
        }
        if random.one_in(4) {
            frame = frame.may_be_fragmented();
        }
        if random.one_in(5) {
            frame = frame.tags(random.pick(&[&[(0x8100, 7)][..], &[(0x88a8, 0x2064), (0x8100, 0xe007)]]));
        }
        if random.one_in(6) && net.is_v6() {
            let all = [
                Extension::hop_by_hop(),
                Extension::destination(1),
                Extension::destination(31),
                Extension::routing(0),
                Extension::routing(1),
                Extension::authentication(),
                Extension::fragment((0, false), 9),
                Extension::fragment((0, true), 9),
                Extension::fragment((5, false), 9),
            ];
            let chain: Vec<Extension> = (0..=random.below(7)).map(|_| all[random.below(all.len())].clone()).collect();
            frame = frame.extensions(&chain);
        } else if random.one_in(6) {
            frame = frame.options(&vec![1; 4 * (1 + random.below(10))]);
        }
        if random.one_in(8) { frame.padding(random.below(40)) } else { frame }
    }

    /// Another packet of a flow that was there before.
    fn again(&mut self) -> Vec<u8> {
        if self.sent.is_empty() {
            return self.by_client();
        }
        let frame = self.sent[self.random.below(self.sent.len())].clone();
        if self.random.one_in(4) {
            return frame.bytes();
        }
        frame
            .flags(self.random.pick(&[flags::ACK, flags::ACK, flags::SYN, flags::FIN | flags::ACK, flags::RST]))
            .bytes()
    }

    /// What was seen behind the balancer, from its receiver.
    fn answer(&mut self) -> Vec<u8> {
        let turned = (!self.seen.is_empty())
            .then(|| self.seen[self.random.below(self.seen.len())].clone())
            .and_then(|frame| mutate::turned_round(&mut self.random, &frame));
        if let Some(turned) = turned {
            return turned;
        }
        let net = worlds::net(&mut self.random);
        let (client, number) = (self.client(net), 1 + self.random.below(4));
        let server = net.servers[number];
        let server = if server.port() == 0 { at_port(server, net.nat.port()) } else { server };
        let frame = if self.random.one_in(3) { Frame::udp(server, client) } else { Frame::tcp(server, client) };
        self.dressed(net, answers(frame, number)).bytes()
    }

    /// Of a receiver or a router on the way, about a packet that was seen, or one that a server sent past the balancer.
    fn error(&mut self) -> Vec<u8> {
        let net = worlds::net(&mut self.random);
        let seen = (!self.seen.is_empty()).then(|| self.seen[self.random.below(self.seen.len())].clone());
        let past = Frame::tcp(worlds::any_vip(&mut self.random, net), self.client(net)).packet();
        let about = match seen.as_deref().and_then(oracle::payload) {
            Some(packet) if !self.random.one_in(3) => packet.to_vec(),
            _ => past,
        };
        let Some((source, destination)) = mutate::ends(&about) else { return mutate::garbage(&mut self.random) };
        let of = if source.is_ipv6() { &NET6 } else { &NET4 };
        let from = self.random.pick(&[destination, destination, of.hop, of.unresolved_client.ip()]);
        let to = if self.random.one_in(16) { of.nat.ip() } else { source };
        let kinds: &[(u8, u8)] = if of.is_v6() {
            &[(1, 4), (2, 0), (3, 0), (4, 1), (137, 0), (128, 0)]
        } else {
            &[(3, 3), (3, 4), (11, 0), (12, 0), (5, 1), (8, 0), (4, 0)]
        };
        let length = self.random.pick(&[7, 28, 40, 48, 60, 200, 548, 1_232]).min(about.len());
        let frame = Frame::icmp(from, to, self.random.pick(kinds), [0, 0, 5, 120]).payload(&about[..length]);
        let frame = arrives(frame).ttl(self.random.pick(&[64, 64, 64, 1]));
        if self.random.one_in(6) { frame.tags(&[(0x8100, 9)]).bytes() } else { frame.bytes() }
    }

    /// One part of a packet now, the other one later, or the other way round.
    fn fragment(&mut self) -> Vec<u8> {
        if let Some(late) = if self.random.one_in(2) { self.late.pop() } else { None } {
            return late;
        }
        let net = worlds::net(&mut self.random);
        let whole = match self.random.below(4) {
            0 => {
                let server = net.servers[self.random.pick(&[1, 2, 4])];
                let client = self.client(net);
                self.dressed(net, answers(Frame::udp(server, client), 1))
            }
            _ => self.packet(),
        };
        let at = self.random.pick(&[8, 16, 24, 64, 512]);
        let [first, second] = whole.fragments(at);
        let (now, late) = if self.random.one_in(4) { (second, first) } else { (first, second) };
        self.late.push(late);
        self.late.truncate(MEMORY);
        now
    }

    fn ping(&mut self) -> Vec<u8> {
        let net = worlds::net(&mut self.random);
        let addresses: [IpAddr; 4] = [
            worlds::any_vip(&mut self.random, net).ip(),
            worlds::any_vip(&mut self.random, net).ip(),
            net.host.ip(),
            net.pool[0],
        ];
        let (client, address) = (self.client(net), self.random.pick(&addresses));
        let kind = if net.is_v6() { 128 } else { 8 };
        let code = u8::from(self.random.one_in(8));
        let rest = [self.random.byte(), self.random.byte(), 0, 1];
        let frame = arrives(Frame::icmp(client.ip(), address, (kind, code), rest));
        let size = self.random.below(80);
        let frame = frame.payload(&self.random.bytes(size));
        if self.random.one_in(4) { frame.tags(&[(0x8100, 9)]).bytes() } else { frame.bytes() }
    }

    /// Of others, or for the host.
    fn elsewhere(&mut self) -> Vec<u8> {
        let net = worlds::net(&mut self.random);
        let to =
            self.random.pick(&[net.host, net.unknown_neighbour, net.servers[1], SocketAddr::new(net.pool[1], 5_000)]);
        let from = self.client(net);
        let frame = if self.random.one_in(2) { Frame::udp(from, to) } else { Frame::tcp(from, to) };
        self.dressed(net, arrives(frame)).bytes()
    }

    /// What left comes in again, as in a loop; also what is in a tunnel.
    fn seen_again(&mut self) -> Vec<u8> {
        if self.seen.is_empty() {
            return self.ping();
        }
        self.seen[self.random.below(self.seen.len())].clone()
    }
}
