//! Lookup tables in the kernel: what is put and removed is gathered, and packets see all of it at once.

mod half;

use super::{
    batch,
    handed::MapSource,
    raw::Raw,
    shape::{MapUnusable, io_error, typed},
};
use aya::maps::{Array, IterableMap as _, MapData};
use half::{Full, Half};
use lb_common::{
    lookup::{Line, row},
    maps::{self, LIVE_HALVES, LOCAL_HALVES},
};
use std::{collections::BTreeMap, io, mem, os::fd::AsFd as _, thread, time::Duration};
use tokio::time::Instant;

/// How long a half that was live may still be read: a packet's way through the program takes microseconds.
const STILL_READ: Duration = Duration::from_millis(1);

/// Waits until no packet reads a half any more that was live until `retired`.
pub(super) fn wait_until_unread(retired: Instant) {
    thread::sleep(STILL_READ.saturating_sub(retired.elapsed()));
}

/// What a lookup table is called.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The map of its lines.
    pub lines: &'static str,
    /// The map that says which half is live, and the row of it.
    pub halves: (&'static str, u32),
}

impl Named {
    /// VIPs of IPv4.
    pub const VIPS4: Self = Self { lines: maps::VIPS4, halves: (LIVE_HALVES, row::VIPS4) };
    /// VIPs of IPv6.
    pub const VIPS6: Self = Self { lines: maps::VIPS6, halves: (LIVE_HALVES, row::VIPS6) };
    /// Returns of IPv4.
    pub const RETURNS4: Self = Self { lines: maps::RETURNS4, halves: (LIVE_HALVES, row::RETURNS4) };
    /// Returns of IPv6.
    pub const RETURNS6: Self = Self { lines: maps::RETURNS6, halves: (LIVE_HALVES, row::RETURNS6) };
    /// The host's addresses of IPv4.
    pub const LOCAL4: Self = Self { lines: maps::LOCAL4, halves: (LOCAL_HALVES, row::LOCAL4) };
    /// The host's addresses of IPv6.
    pub const LOCAL6: Self = Self { lines: maps::LOCAL6, halves: (LOCAL_HALVES, row::LOCAL6) };
}

/// One lookup table. It has one writer at a time.
pub struct LookupMap<L: Line> {
    lines: Array<MapData, Raw<L>>,
    halves: Array<MapData, u32>,
    /// Of `halves`.
    row: u32,
    known: Known<L>,
    /// When the half that is not live was live last, at the latest.
    retired: Instant,
    /// What is to come: an entry, or that it goes.
    gathered: BTreeMap<L::Key, Option<L::Value>>,
}

/// What the maps hold.
struct Known<L> {
    halves: [Half<L>; 2],
    live: u32,
}

impl<L: Line> LookupMap<L> {
    /// Opens a table, and reads it.
    pub fn open(source: &impl MapSource, named: Named) -> Result<Self, MapUnusable> {
        let (halves, row) = named.halves;
        let lines = typed(named.lines, source.open(named.lines)?)?;
        let halves = typed(halves, source.open(halves)?)?;
        let known =
            Known::read(&lines, &halves, row).map_err(|error| MapUnusable::Open(named.lines.to_owned(), error))?;
        // Nothing is known of the past: another process may have changed halves just now.
        Ok(Self { lines, halves, row, known, retired: Instant::now(), gathered: BTreeMap::new() })
    }

    /// What packets find, as of the opening and the commits since.
    pub fn entries(&self) -> impl Iterator<Item = (L::Key, L::Value)> {
        self.known.live().entries()
    }

    /// Gathers an entry, to come in the place of the one with that key.
    pub fn put(&mut self, key: L::Key, value: L::Value) {
        self.gathered.insert(key, Some(value));
    }

    /// Gathers that an entry is to go.
    pub fn remove(&mut self, key: L::Key) {
        self.gathered.insert(key, None);
    }

    /// Forgets what was gathered.
    pub fn forget(&mut self) {
        self.gathered.clear();
    }

    /// Lets packets see all that was gathered. If that fails, they see nothing of it, and it is forgotten.
    pub fn commit(&mut self) -> io::Result<()> {
        let gathered = mem::take(&mut self.gathered);
        if gathered.is_empty() {
            return Ok(());
        }
        if live(&self.halves, self.row)? != self.known.live {
            self.known = Known::read(&self.lines, &self.halves, self.row)?;
            self.retired = Instant::now();
            return Err(io::Error::other("another process has changed the table"));
        }
        let next = self.known.live().changed(&gathered).map_err(full)?;
        wait_until_unread(self.retired);
        let Known { halves: [first, second], live } = &mut self.known;
        let (idle, half, begin) = if *live == 0 { (1, second, self.lines.len() / 2) } else { (0, first, 0) };
        for ((number, there), line) in (begin..).zip(&mut half.lines).zip(next.lines) {
            if *there != line {
                self.lines.set(number, Raw(line), 0).map_err(io_error)?;
                *there = line;
            }
        }
        self.halves.set(self.row, idle, 0).map_err(io_error)?;
        (*live, self.retired) = (idle, Instant::now());
        Ok(())
    }
}

impl<L: Line> Known<L> {
    /// Reads both halves. Until they have not changed places meanwhile.
    fn read(lines: &Array<MapData, Raw<L>>, halves: &Array<MapData, u32>, row: u32) -> io::Result<Self> {
        loop {
            let before = live(halves, row)?;
            let mut all = Half::new(lines.len() as usize);
            batch::each(lines.map().fd().as_fd(), |line: u32, value: L| {
                if let Some(there) = all.lines.get_mut(line as usize) {
                    *there = value;
                }
            })?;
            if live(halves, row)? == before {
                let second = Half { lines: all.lines.split_off(all.lines.len() / 2) };
                return Ok(Self { halves: [all, second], live: before });
            }
        }
    }

    fn live(&self) -> &Half<L> {
        let [first, second] = &self.halves;
        if self.live == 0 { first } else { second }
    }
}

/// The half that packets read.
fn live(halves: &Array<MapData, u32>, row: u32) -> io::Result<u32> {
    Ok(halves.get(&row, 0).map_err(io_error)?.min(1))
}

fn full(Full: Full) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "the table is full")
}
