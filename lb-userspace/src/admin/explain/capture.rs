//! Captured packets: files of tcpdump and the like (pcap, pcapng), and hexadecimal text.

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, traits::PcapNGPacketBlock as _};
use std::{
    borrow::Cow,
    io::{self, Read},
};

/// Bytes that are read at once; no block may be longer.
const BUFFER: usize = 1 << 20;
/// No packet is longer (65,535 bytes of IP, and its frame).
const LONGEST: usize = 65_535 + 64;
/// Ethernet addresses that say nothing, for what was captured without.
const NO_ADDRESSES: [u8; 12] = [0; 12];

/// Why no packet can be had.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no capture.
    #[error("it is no capture of packets that can be read, neither pcap nor pcapng: {0}")]
    Format(String),
    /// Other frames than those of Ethernet.
    #[error("packets of link type {0} cannot be run; capture on an Ethernet interface")]
    Link(i32),
    /// It is no text of bytes.
    #[error("bytes are written in hexadecimal, two digits each, with or without blanks and colons between them")]
    Hex,
}

/// All packets of a capture, as frames of Ethernet.
pub fn read(file: impl Read + Send + 'static) -> Result<Vec<Vec<u8>>, CaptureError> {
    let wrong = |error: &dyn std::fmt::Debug| CaptureError::Format(format!("{error:?}"));
    let mut reader = pcap_parser::create_reader(BUFFER, file).map_err(|error| wrong(&error))?;
    let (mut frames, mut links) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => links = vec![header.network],
                    PcapBlockOwned::Legacy(packet) => {
                        frames.push(ethernet(links.first(), &whole(packet.data, packet.origlen))?);
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => links.push(interface.linktype),
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let data = whole(packet.packet_data(), packet.origlen);
                        frames.push(ethernet(links.get(packet.if_id as usize), &data)?);
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                        let data = whole(packet.packet_data(), packet.origlen);
                        frames.push(ethernet(links.first(), &data)?);
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return Ok(frames),
            // A pipe gives what it has. At its end there is another error.
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| wrong(&error))?;
            }
            Err(error) => return Err(wrong(&error)),
        }
    }
}

/// A packet in its length: what a capture has left out (`tcpdump -s`) is zeros, which nothing depends on but sums, and those are
/// changed by what differs.
fn whole(captured: &[u8], length: u32) -> Cow<'_, [u8]> {
    let length = usize::try_from(length).unwrap_or(0).min(LONGEST);
    if captured.len() >= length {
        return captured.into();
    }
    let mut packet = captured.to_vec();
    packet.resize(length, 0);
    packet.into()
}

/// A packet as a frame of Ethernet.
fn ethernet(link: Option<&Linktype>, packet: &[u8]) -> Result<Vec<u8>, CaptureError> {
    let Linktype(link) = *link.ok_or_else(|| CaptureError::Format("a packet of no interface".to_owned()))?;
    let of_version = |packet: &[u8]| match packet.first().map(|byte| byte >> 4) {
        Some(6) => [0x86, 0xdd],
        _ => [0x08, 0x00],
    };
    let framed = |kind: [u8; 2], packet: &[u8]| [&NO_ADDRESSES, kind.as_slice(), packet].concat();
    let cooked = |kind: usize, length: usize| {
        let kind = packet.get(kind..kind + 2).and_then(|kind| kind.first_chunk());
        let short = || CaptureError::Format("a packet that is shorter than its header".to_owned());
        Ok(framed(*kind.ok_or_else(short)?, packet.get(length..).ok_or_else(short)?))
    };
    match link {
        1 => Ok(packet.to_vec()),
        // Packets of IP alone; those of `tcpdump -i any`, in two versions (LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2).
        12 | 101 => Ok(framed(of_version(packet), packet)),
        113 => cooked(14, 16),
        276 => cooked(0, 20),
        other => Err(CaptureError::Link(other)),
    }
}

/// The bytes of a text: `ffff ffff ffff`, `ff:ff:ff`, also with the offsets and the letters of `xxd`, `tcpdump -xx` or `hexdump -C`
/// beside them.
pub fn hex(text: &str) -> Result<Vec<u8>, CaptureError> {
    let mut bytes = Vec::new();
    let is_of_hexdump = text.lines().any(|line| line.contains("  |"));
    for line in text.lines() {
        let line = line.trim();
        let line = if is_of_hexdump {
            // An offset without a colon, bytes in two halves, letters between bars; the last offset stands alone.
            let (line, _) = line.split_once('|').unwrap_or((line, ""));
            line.split_once(' ').map_or("", |(_, bytes)| bytes)
        } else {
            // An offset ends with a colon and a blank; two blanks end the bytes.
            let line = line.split_once(": ").map_or(line, |(_, rest)| rest.trim_start());
            line.split_once("  ").map_or(line, |(bytes, _)| bytes)
        };
        let digits: Vec<u8> = line.bytes().filter(|byte| !matches!(byte, b' ' | b':' | b'\t')).collect();
        for two in digits.chunks(2) {
            let [high, low] = *two else { return Err(CaptureError::Hex) };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (high, low) = digit(high).zip(digit(low)).ok_or(CaptureError::Hex)?;
            bytes.push(high << 4 | low);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A capture in the old format, as a machine of that byte order writes it.
    fn pcap(link: u32, packets: &[&[u8]], big: bool) -> Vec<u8> {
        let word = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let half = |number: u16| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let mut file = [word(0xa1b2_c3d4).as_slice(), &half(2), &half(4)].concat();
        file.extend([0, 0, 65_535, link].map(word).concat());
        for packet in packets {
            let length = u32::try_from(packet.len()).unwrap();
            file.extend([7, 8, length, length].map(word).concat());
            file.extend_from_slice(packet);
        }
        file
    }

    #[test]
    fn packets_of_a_capture_are_frames_of_ethernet() {
        let (one, two) = ([1_u8; 60].as_slice(), [2_u8; 70].as_slice());
        for big in [false, true] {
            assert_eq!(read(Cursor::new(pcap(1, &[one, two], big))).unwrap(), [one, two]);
        }
        let bare = read(Cursor::new(pcap(101, &[&[0x60, 1], &[0x45, 2]], false))).unwrap();
        assert_eq!(
            bare,
            [[&[0; 12], [0x86, 0xdd, 0x60, 1].as_slice()].concat(), [&[0; 12], [8, 0, 0x45, 2].as_slice()].concat()]
        );
        let cooked = [[0_u8; 14].as_slice(), &[8, 0, 0x45]].concat();
        assert_eq!(
            read(Cursor::new(pcap(113, &[&cooked], false))).unwrap(),
            [[&[0; 12], [8, 0, 0x45].as_slice()].concat()]
        );
        let cooked = [[8, 0].as_slice(), &[0; 18], &[0x45]].concat();
        assert_eq!(
            read(Cursor::new(pcap(276, &[&cooked], false))).unwrap(),
            [[&[0; 12], [8, 0, 0x45].as_slice()].concat()]
        );
        assert!(read(Cursor::new(pcap(1, &[], false))).unwrap().is_empty());
    }

    #[test]
    fn what_a_capture_has_left_out_is_there_all_the_same() {
        let mut file = pcap(1, &[&[1; 60]], false);
        file[24 + 12..24 + 16].copy_from_slice(&90_u32.to_le_bytes());
        let frames = read(Cursor::new(file)).unwrap();
        assert_eq!(frames, [[[1; 60].as_slice(), &[0; 30]].concat()]);
    }

    /// Gives as many bytes at a time as the header of a file has.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let most = to.len().min(24);
            self.0.read(&mut to[..most])
        }
    }

    #[test]
    fn a_pipe_may_be_slow() {
        let frames = read(Trickle(Cursor::new(pcap(1, &[&[1; 60], &[2; 70]], false)))).unwrap();
        assert_eq!(frames.len(), 2);
    }

    #[test]
    fn what_is_no_capture_says_so() {
        assert!(matches!(read(Cursor::new(b"GET / HTTP/1.1\r\n\r\n".repeat(9))), Err(CaptureError::Format(_))));
        assert!(matches!(read(Cursor::new(pcap(105, &[&[1; 60]], false))), Err(CaptureError::Link(105))));
        let cut = pcap(1, &[&[1; 60]], false);
        assert!(read(Cursor::new(cut[..cut.len() - 9].to_vec())).is_err(), "the last packet is cut off");
    }

    #[test]
    fn bytes_are_typed_in_the_forms_that_tools_print() {
        let expected = [0xde, 0xad, 0xbe, 0xef];
        for text in [
            "deadbeef",
            "de:ad:be:ef\n",
            "DE AD\nBE EF",
            "\t0x0000:  dead beef  ....\n",
            "00000000: dead beef                                ....",
            "00000000  de ad  be ef                                      |....|\n00000004\n",
        ] {
            assert_eq!(hex(text).unwrap(), expected, "{text}");
        }
        assert!(hex("abc").is_err() && hex("zz").is_err());
    }
}
