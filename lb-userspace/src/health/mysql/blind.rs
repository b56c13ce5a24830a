//! HAProxy's check of MySQL, byte for byte.

use super::packet::{Packets, complaint, packet};
use crate::{
    health::{
        Finding,
        finding::{Step, quote},
        wire::Wire,
    },
    model::check::MysqlForm,
};

/// The goodbye that HAProxy appends.
const QUIT: [u8; 5] = [1, 0, 0, 0, 1];

/// A login without a password and a goodbye, in one packet and before the greeting came.
pub(super) async fn probe(wire: &mut Wire, user: &str, form: MysqlForm) -> Step<Finding> {
    wire.send(&said(user, form)).await?;
    let mut packets = Packets::new(wire);
    let version = version(&mut packets).await?;
    passable(&packets.read("the answer to the login").await?)?;
    Ok(Finding::ok(version))
}

/// Nothing: the greeting is enough.
pub(super) async fn greeting(wire: &mut Wire) -> Step<Finding> {
    Ok(Finding::ok(version(&mut Packets::new(wire)).await?))
}

fn said(user: &str, form: MysqlForm) -> Vec<u8> {
    let (user, since) = (user.as_bytes(), [0x01, 0x21].as_slice());
    let (zeros, plugin) = ([0; 23], &b"mysql_native_password\0"[..]);
    let payload = match form {
        MysqlForm::Pre41 => [&[0x00, 0x80, 0x00, 0x00, 0x01], user, &[0, 0]].concat(),
        MysqlForm::Post41 => [&[0x00, 0x82, 0x00, 0x00, 0x00, 0x80, 0x00][..], since, &zeros, user, &[0, 0]].concat(),
        MysqlForm::Post80 => {
            [&[0x00, 0x82, 0x08, 0x00, 0x00, 0x80, 0x00][..], since, &zeros, user, &[0, 0], plugin].concat()
        }
    };
    [packet(1, &payload), QUIT.to_vec()].concat()
}

/// The version in the greeting.
async fn version(packets: &mut Packets<'_>) -> Step<String> {
    let greeting = packets.read("the greeting").await?;
    passable(&greeting)?;
    let version = greeting.get(1..).unwrap_or_default().split(|byte| *byte == 0).next();
    Ok(quote(version.unwrap_or_default()))
}

/// Whatever is no error.
fn passable(packet: &[u8]) -> Step<()> {
    match packet.first() {
        Some(0xff) => Err(complaint("refused", packet)),
        Some(_) => Ok(()),
        None => Err(Finding::strange("an empty packet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.bytes().filter(|digit| *digit != b' ').collect();
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    /// Those of `post-41` and `pre-41` as HAProxy 2.6 sends them; `post-80` is younger.
    #[test]
    fn the_bytes_are_haproxys() {
        let zeros = "00".repeat(23);
        let post41 = format!("26000001 00820000 00800001 21 {zeros} 7573657200 00 0100000001");
        assert_eq!(said("user", MysqlForm::Post41), bytes(&post41));
        assert_eq!(said("user", MysqlForm::Pre41), bytes("0b000001 0080 000001 7573657200 00 0100000001"));
        let plugin = "6d7973716c5f6e61746976655f70617373776f726400";
        let post80 = format!("3c000001 00820800 00800001 21 {zeros} 7573657200 00 {plugin} 0100000001");
        assert_eq!(said("user", MysqlForm::Post80), bytes(&post80));
    }
}
