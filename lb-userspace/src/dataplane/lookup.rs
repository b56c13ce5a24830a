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
    lookup::{Line, Table},
    maps::LIVE_HALVES,
};
use std::{io, os::fd::AsFd as _, thread, time::Duration};
use tokio::time::Instant;

/// How long a half that was live may still be read: a packet's way through the program takes microseconds.
pub(super) const STILL_READ: Duration = Duration::from_millis(1);

/// One lookup table.
pub struct LookupMap<L: Line> {
    table: Table,
    lines: Array<MapData, Raw<L>>,
    live_halves: Array<MapData, u32>,
    /// What the map holds.
    halves: [Half<L>; 2],
    live: usize,
    /// When the half that is not live was live last, at the latest.
    retired: Instant,
    /// What the live half is to become.
    next: Option<Half<L>>,
}

impl<L: Line> LookupMap<L> {
    /// The map called `name`, which is that table.
    pub fn open(source: &impl MapSource, name: &'static str, table: Table) -> Result<Self, MapUnusable> {
        let unusable = |error| MapUnusable::Open(name.to_owned(), error);
        let lines: Array<MapData, Raw<L>> = typed(name, source.open(name)?)?;
        let live_halves: Array<_, u32> = typed(LIVE_HALVES, source.open(LIVE_HALVES)?)?;
        let mut all = Half::new(lines.len() as usize);
        let number = |line: u32| line as usize;
        batch::each(lines.map().fd().as_fd(), |line: u32, value: L| {
            if let Some(there) = all.lines.get_mut(number(line)) {
                *there = value;
            }
        })
        .map_err(unusable)?;
        let second = Half { lines: all.lines.split_off(all.lines.len() / 2) };
        let live = live_halves.get(&(table as u32), 0).map_err(io_error).map_err(unusable)?;
        Ok(Self {
            table,
            lines,
            live_halves,
            halves: [all, second],
            live: usize::from(live != 0),
            // Nothing is known of the past: another process may have changed halves just now.
            retired: Instant::now(),
            next: None,
        })
    }

    /// What packets find, as of the opening and the commits since.
    pub fn entries(&self) -> impl Iterator<Item = (L::Key, L::Value)> {
        self.halves.iter().skip(self.live).take(1).flat_map(Half::entries)
    }

    /// Gathers an entry, to come in the place of the one with that key.
    pub fn put(&mut self, key: L::Key, value: L::Value) -> io::Result<()> {
        let full = |Full| io::Error::new(io::ErrorKind::StorageFull, "the table is full");
        self.next().insert(key, value).map_err(full)
    }

    /// Gathers that an entry is to go.
    pub fn remove(&mut self, key: &L::Key) {
        self.next().remove(key);
    }

    /// Lets packets see all that was gathered. If that fails, they see nothing of it, and it is forgotten.
    pub fn commit(&mut self) -> io::Result<()> {
        let Some(next) = self.next.take() else { return Ok(()) };
        thread::sleep(STILL_READ.saturating_sub(self.retired.elapsed()));
        let idle = 1 - self.live;
        let (mut number, lines) = (self.lines.len() / 2 * u32::from(idle != 0), self.halves.get_mut(idle));
        for (there, line) in lines.into_iter().flat_map(|half| &mut half.lines).zip(next.lines) {
            if *there != line {
                self.lines.set(number, Raw(line), 0).map_err(io_error)?;
                *there = line;
            }
            number += 1;
        }
        self.live_halves.set(self.table as u32, u32::from(idle != 0), 0).map_err(io_error)?;
        (self.live, self.retired) = (idle, Instant::now());
        Ok(())
    }

    fn next(&mut self) -> &mut Half<L> {
        let live = self.live;
        let [first, second] = &self.halves;
        self.next.get_or_insert_with(|| if live == 0 { first.clone() } else { second.clone() })
    }
}
