//! What drivers say of their interfaces: the kind of driver, its queues, and what the card does by itself (ethtool(8)).
#![expect(unsafe_code, reason = "ioctl(2) with SIOCETHTOOL has no safe wrapper")]

use rustix::net::{AddressFamily, SocketType, socket};
use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

/// Of uapi/linux/ethtool.h.
const GET_DRIVER: u32 = 0x03;
const GET_STRINGS: u32 = 0x1b;
const COUNT_STRINGS: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const GET_CHANNELS: u32 = 0x3c;
/// `ETH_SS_FEATURES`: the names of features.
const FEATURES: u32 = 4;
/// `ETH_GSTRING_LEN`.
const NAME: usize = 32;
/// `struct ethtool_drvinfo`, and where the driver's name is in it.
const DRIVER: (usize, usize) = (196, 4);

/// An interface as its driver has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Device {
    /// The driver's name: `virtio_net`, `mlx5_core`, `veth`.
    pub driver: String,
    /// Queues that packets are received by; 0: it does not say.
    pub queues: u32,
    /// What it does, by the kernel's names: `rx-lro`, `rx-gro-hw`, `rx-vlan-hw-parse`.
    pub features: BTreeSet<String>,
}

impl Device {
    /// Asks the kernel. What a driver does not say stays empty.
    pub fn read(name: &str) -> io::Result<Self> {
        let asking = Asking { socket: socket(AddressFamily::INET, SocketType::DGRAM, None)?, name };
        let driver = match asking.driver() {
            // Some devices have none that answers.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => String::new(),
            driver => driver?,
        };
        Ok(Self {
            driver,
            queues: asking.queues().unwrap_or_default(),
            features: asking.features().unwrap_or_default(),
        })
    }
}

struct Asking<'a> {
    socket: OwnedFd,
    name: &'a str,
}

impl Asking<'_> {
    /// Sends a command, whose number stands in its first word, and gets its answer in the same place.
    fn ask(&self, command: &mut [u8]) -> io::Result<()> {
        // SAFETY: all of it may be zero.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        let name = self.name.as_bytes();
        if name.len() >= request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_data = command.as_mut_ptr().cast();
        // SAFETY: the name ends with a zero, and the command has all the room that its kind and its counts say.
        let done = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn driver(&self) -> io::Result<String> {
        let (length, at) = DRIVER;
        let mut command = with_words(&[GET_DRIVER], length);
        self.ask(&mut command)?;
        Ok(text(command.get(at..at + NAME).unwrap_or_default()))
    }

    /// `struct ethtool_channels`: at most and now of receiving, sending, other and combined ones.
    fn queues(&self) -> io::Result<u32> {
        let mut command = with_words(&[GET_CHANNELS], 36);
        self.ask(&mut command)?;
        let counts = words(&command);
        let count = |at: usize| counts.get(at).copied().unwrap_or_default();
        Ok(count(5) + count(8))
    }

    fn features(&self) -> io::Result<BTreeSet<String>> {
        // `struct ethtool_sset_info`: a mask of sets, and then the length of each.
        let mut command = with_words(&[COUNT_STRINGS, 0, 1 << FEATURES, 0, 0], 20);
        self.ask(&mut command)?;
        let count = words(&command).get(4).copied().unwrap_or_default();
        let strings = usize::try_from(count).map_err(io::Error::other)?;
        // `struct ethtool_gstrings`.
        let mut names = with_words(&[GET_STRINGS, FEATURES, count], 12 + strings * NAME);
        self.ask(&mut names)?;
        // `struct ethtool_gfeatures`: of each 32 features what is there, wanted, at work, and fixed.
        let blocks = count.div_ceil(32);
        let mut bits = with_words(&[GET_FEATURES, blocks], 8 + usize::try_from(blocks).unwrap_or_default() * 16);
        self.ask(&mut bits)?;
        let bits = words(&bits);
        let at_work =
            |feature: usize| bits.get(2 + feature / 32 * 4 + 2).is_some_and(|block| block >> (feature % 32) & 1 == 1);
        let names = names.get(12..).unwrap_or_default().chunks(NAME).enumerate();
        Ok(names.filter(|(feature, _)| at_work(*feature)).map(|(_, name)| text(name)).collect())
    }
}

/// A command of that length which begins with these words.
fn with_words(first: &[u32], length: usize) -> Vec<u8> {
    let mut command: Vec<u8> = first.iter().flat_map(|word| word.to_ne_bytes()).collect();
    command.resize(length, 0);
    command
}

fn words(command: &[u8]) -> Vec<u32> {
    command.chunks_exact(4).filter_map(|word| Some(u32::from_ne_bytes(*word.first_chunk()?))).collect()
}

/// Until the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_says_what_it_does() {
        let lo = Device::read("lo").unwrap();
        assert!(lo.features.contains("tx-scatter-gather") && !lo.features.contains("rx-lro"), "{lo:?}");
        assert!(Device::read("no-such-if0").is_err());
        assert!(Device::read("a name that is much too long").is_err());
    }
}
