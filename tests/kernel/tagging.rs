//! The lab's VLAN links put tags on and take them off, those that were agreed on and no others.

use anyhow::{Result, ensure};
use etherparse::{PacketBuilder, PacketBuilderStep, UdpHeader};
use lb_tests::{
    lab::{CLIENT, CLIENT6, DIRECT_VIP, DIRECT_VIP6, SERVER_GATEWAY, SERVER_GATEWAY6},
    vlan::Vlan,
};

const DROP: u32 = 1;
const PASS: u32 = 2;
const ADDRESSES: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);

fn write(builder: PacketBuilderStep<UdpHeader>) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    builder.write(&mut frame, b"to be, or not")?;
    Ok(frame)
}

/// A frame of each family, to a VIP.
fn frames() -> Result<[Vec<u8>; 2]> {
    let ethernet = || PacketBuilder::ethernet2(ADDRESSES.0, ADDRESSES.1);
    Ok([
        write(ethernet().ipv4(CLIENT.octets(), DIRECT_VIP.octets(), 64).udp(40_000, 80))?,
        write(ethernet().ipv6(CLIENT6.octets(), DIRECT_VIP6.octets(), 64).udp(40_000, 80))?,
    ])
}

#[test]
fn one_tag_or_two_go_on_as_others_write_them_and_come_off_again() -> Result<()> {
    // Priority 5 and VLAN 100, then VLAN 7.
    for (tags, bytes) in
        [(&[0xa064][..], &[0x81, 0x00, 0xa0, 0x64][..]), (&[0xa064, 7], &[0x88, 0xa8, 0xa0, 0x64, 0x81, 0, 0, 7])]
    {
        let vlan = Vlan::load(tags)?;
        for frame in frames()? {
            let tagged = [&frame[..12], bytes, &frame[12..]].concat();
            ensure!(vlan.run_push(&frame)? == (PASS, tagged.clone()));
            ensure!(vlan.run_pop(&tagged)? == (PASS, frame));
        }
        ensure!((vlan.pushed()?, vlan.popped()?, vlan.plain()?, vlan.wrong()?) == (2, 2, 0, 0));
    }
    Ok(())
}

#[test]
fn other_tags_are_dropped_and_counted() -> Result<()> {
    let [frame, _] = frames()?;
    let tagged = |bytes: &[u8]| [&frame[..12], bytes, &frame[12..]].concat();
    let one = Vlan::load(&[100])?;
    for wrong in [&[0x81, 0, 0, 101][..], &[0x88, 0xa8, 0, 100]] {
        ensure!(one.run_pop(&tagged(wrong))?.0 == DROP, "{wrong:x?}");
    }
    ensure!(one.wrong()? == 2);
    let two = Vlan::load(&[100, 7])?;
    for wrong in [
        &[0x81, 0, 0, 100][..],
        &[0x88, 0xa8, 0, 100],
        &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 8],
        &[0x81, 0, 0, 7, 0x81, 0, 0, 100],
    ] {
        ensure!(two.run_pop(&tagged(wrong))?.0 == DROP, "{wrong:x?}");
    }
    ensure!(two.wrong()? == 4);
    Ok(())
}

#[test]
fn what_the_balancers_stack_must_have_gets_no_tag() -> Result<()> {
    let vlan = Vlan::load(&[100])?;
    let ethernet = || PacketBuilder::ethernet2(ADDRESSES.0, ADDRESSES.1);
    let mut discovery = Vec::new();
    ethernet()
        .ipv6(CLIENT6.octets(), DIRECT_VIP6.octets(), 255)
        .icmpv6_raw(135, 0, [0; 4])
        .write(&mut discovery, &[0; 16])?;
    let to_many = write(
        PacketBuilder::ethernet2(ADDRESSES.0, [0x33, 0x33, 0, 0, 0, 0x16])
            .ipv6(CLIENT6.octets(), DIRECT_VIP6.octets(), 1)
            .udp(40_000, 80),
    )?;
    let arp = [&[0xff; 6][..], &ADDRESSES.1, &[0x08, 0x06], &[0; 28]].concat();
    for frame in [
        write(ethernet().ipv4(CLIENT.octets(), SERVER_GATEWAY.octets(), 64).udp(40_000, 80))?,
        write(ethernet().ipv6(CLIENT6.octets(), SERVER_GATEWAY6.octets(), 64).udp(40_000, 80))?,
        discovery,
        to_many,
        arp,
    ] {
        ensure!(vlan.run_push(&frame)? == (PASS, frame.clone()), "{frame:02x?}");
        ensure!(vlan.run_pop(&frame)? == (PASS, frame));
    }
    ensure!((vlan.pushed()?, vlan.plain()?) == (0, 5));
    Ok(())
}
