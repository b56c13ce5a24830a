//! A copy of the kernel half that this process alone has, to run packets through: the same program with the same constants. What
//! others write (VIPs, rings, servers, next hops) it shares with the program that runs; what the packet path writes (flows,
//! counters, buckets) it has for itself, with what was in there a moment before. So a packet meets what it would meet, and
//! nothing remembers it.
//!
//! It needs root: other processes' programs and their constants are shown to CAP_SYS_ADMIN alone.

mod known;

pub use known::{Known, Tuple};

use super::{
    attach::{AttachError, program_of},
    batch,
    counters::{KernelCounters, Totals},
    handed::MapSource,
    load::{Frozen, HASH_KEY, LoadError, PROGRAM, TRACK_BUDGET, verify},
    object::NoObject,
    pins::Pins,
    raw::Raw,
    rings::RingError,
    shape::{MapUnusable, io_error, typed, unusable},
};
use crate::plan::Tables;
use ::object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, LpmTrie, Map, MapData, MapInfo, PerCpuArray, RingBuf, lpm_trie::Key},
    programs::{ProgramError, ProgramInfo, TestRun as _, TestRunOptions, Xdp, loaded_programs},
    util::nr_cpus,
};
use bytemuck::Pod;
use lb_common::{
    Be128, Bucket, Connection4, Connection6, Family as _, Flow, FlowKey4, FlowKey6, Fragment4, Fragment6, FragmentKey4,
    FragmentKey6, NextHop, RingId, Unresolved, V4, V6, bucket,
    maps::{
        BUCKETS, CONNECTIONS4, CONNECTIONS6, EVENTS, FLOWS4, FLOWS6, FRAGMENTS4, FRAGMENTS6, HALF_OPEN4, HALF_OPEN6,
        MAX_CONNECTIONS4, MAX_CONNECTIONS6, MAX_FRAGMENTS, MAX_HALF_OPEN, NEXT_HOPS, NOTE_COUNTERS, ROUTES4, ROUTES6,
        SCRATCH, SERVER_COUNTERS, STOP_COUNTERS, VIP_COUNTERS, names,
    },
};
use std::{io, net::IpAddr, ops::RangeInclusive, os::fd::AsFd as _, path::PathBuf};

/// What the packet path writes: the only maps that are copied.
const OWN: [&str; 15] = [
    FLOWS4,
    FLOWS6,
    CONNECTIONS4,
    CONNECTIONS6,
    HALF_OPEN4,
    HALF_OPEN6,
    FRAGMENTS4,
    FRAGMENTS6,
    BUCKETS,
    SCRATCH,
    VIP_COUNTERS,
    SERVER_COUNTERS,
    STOP_COUNTERS,
    NOTE_COUNTERS,
    EVENTS,
];
/// Those of them that forget the oldest when they are full.
const FORGETFUL: [(&str, u32); 6] = [
    (CONNECTIONS4, MAX_CONNECTIONS4),
    (CONNECTIONS6, MAX_CONNECTIONS6),
    (HALF_OPEN4, MAX_HALF_OPEN),
    (HALF_OPEN6, MAX_HALF_OPEN),
    (FRAGMENTS4, MAX_FRAGMENTS),
    (FRAGMENTS6, MAX_FRAGMENTS),
];
/// How many free entries of such a table each CPU may keep for itself, twice over: a copy has so many more, to lose nothing.
const KEPT_BY_A_CPU: u32 = 256;
/// Entries that are copied at once.
const AT_ONCE: usize = 4_096;
/// Room behind a frame for what the program may add.
const ROOM: usize = 256;
/// Frames that the kernel runs, in bytes: an Ethernet header at least; at most the largest packet of IP in one.
pub const FRAME: RangeInclusive<usize> = 14..=14 + 65_535;
/// What a page of 4 KiB holds beside the room before and behind a frame: not all kernels run more.
const PAGE: usize = 3_520;

/// A copy of the kernel half.
pub struct Replica {
    object: Ebpf,
    frozen: Frozen,
    ifindex: u32,
    counters: Option<KernelCounters>,
}

/// Why there is no copy, or why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// Built without the kernel half.
    #[error(transparent)]
    NoObject(#[from] NoObject),
    /// The copy is not taken by the kernel.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A map is not pinned, or not one of ours.
    #[error(transparent)]
    Map(#[from] MapUnusable),
    /// The interface cannot be looked at.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// Packets that come in there are balanced by nobody.
    #[error("interface {0} runs no XDP program: packets that come in there are the host's affair")]
    NotAttached(String),
    /// Programs are not shown.
    #[error("the program of interface {0} cannot be looked at; that takes CAP_SYS_ADMIN: try as root")]
    Unseen(String),
    /// Somebody else's, or another daemon's.
    #[error(
        "the XDP program of interface {0} works with other maps than those pinned below {1}; is it another daemon's?"
    )]
    NotOurs(String, PathBuf),
    /// Not the same program: what it does cannot be said by running this one.
    #[error(
        "interface {interface} runs another build of the kernel half (tag {running:016x}) than this binary has ({own:016x}); \
         use the binary that the daemon runs"
    )]
    Another {
        /// The interface.
        interface: String,
        /// The kernel's tag of the program that runs.
        running: u64,
        /// The tag of the one in this binary.
        own: u64,
    },
    /// Its constants cannot be read.
    #[error("cannot read the constants of the program that runs")]
    Constants(#[source] io::Error),
    /// What flows are remembered cannot be copied.
    #[error("cannot copy {0}")]
    Copy(&'static str, #[source] io::Error),
    /// The kernel runs no such frame.
    #[error(
        "a frame of {0} bytes cannot be run: of less than {least} none, and of more than {PAGE} not with this kernel, or none; was \
         it captured after the kernel had merged packets (GRO)?",
        least = FRAME.start()
    )]
    Length(usize),
    /// The kernel does not run it.
    #[error("the kernel does not run the packet")]
    Run(#[source] io::Error),
}

/// What the program did with a packet.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What it answered.
    pub action: Action,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// What was counted.
    pub totals: Totals,
    /// Addresses whose Ethernet addresses nobody knows, and which the daemon would have asked for.
    pub unresolved: Vec<IpAddr>,
}

/// What an XDP program answers (`enum xdp_action`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Dropped as an error.
    Aborted,
    /// Dropped.
    Drop,
    /// On to the host's stack.
    Pass,
    /// Out of the interface of arrival.
    Transmit,
    /// Out of another one.
    Redirect,
}

impl Action {
    const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Transmit,
            4 => Self::Redirect,
            _ => Self::Aborted,
        }
    }

    /// The kernel's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "XDP_ABORTED",
            Self::Drop => "XDP_DROP",
            Self::Pass => "XDP_PASS",
            Self::Transmit => "XDP_TX",
            Self::Redirect => "XDP_REDIRECT",
        }
    }
}

impl Replica {
    /// Copies what runs on an interface. `object`: that of this binary.
    pub fn open(object: &[u8], pins: &Pins, interface: &str) -> Result<Self, ReplicaError> {
        if object.is_empty() {
            return Err(NoObject.into());
        }
        let (ifindex, program) = program_of(interface)?;
        let id = program.ok_or_else(|| ReplicaError::NotAttached(interface.to_owned()))?;
        let unseen = || ReplicaError::Unseen(interface.to_owned());
        let running = loaded_programs().flatten().find(|program| program.id() == id).ok_or_else(unseen)?;
        let maps = running.map_ids().ok().flatten().ok_or_else(unseen)?;
        if !uses_ours(&maps, pins)? {
            return Err(ReplicaError::NotOurs(interface.to_owned(), pins.root().to_owned()));
        }
        let frozen = frozen(&maps, object).map_err(ReplicaError::Constants)?;
        let mut replica = Self { object: load(object, pins, frozen)?, frozen, ifindex, counters: None };
        let own = replica.info()?.tag();
        if own != running.tag() {
            return Err(ReplicaError::Another { interface: interface.to_owned(), running: running.tag(), own });
        }
        replica.copy(pins)?;
        replica.counters = Some(KernelCounters::open(&replica)?);
        Ok(replica)
    }

    /// The constants of the program.
    pub fn frozen(&self) -> Frozen {
        self.frozen
    }

    /// The number of the interface.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The kernel's tag of the program.
    pub fn tag(&self) -> Result<u64, ReplicaError> {
        Ok(self.info()?.tag())
    }

    /// Runs the program over a frame that comes in now. What it remembers of it here, the next frame meets.
    pub fn run(&self, frame: &[u8], tables: &Tables) -> Result<Ran, ReplicaError> {
        if !FRAME.contains(&frame.len()) {
            return Err(ReplicaError::Length(frame.len()));
        }
        let before = self.totals(tables)?;
        let mut output = vec![0; frame.len() + ROOM];
        let context = context(self.ifindex, frame.len());
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut output),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let result = self.program()?.test_run(options).map_err(|error| {
            let error = run_error(error);
            let refused = matches!(&error, ReplicaError::Run(error) if error.kind() == io::ErrorKind::InvalidInput);
            if refused && frame.len() > PAGE { ReplicaError::Length(frame.len()) } else { error }
        })?;
        output.truncate(result.data_size_out as usize);
        Ok(Ran {
            action: Action::from_number(result.return_value),
            frame: output,
            totals: self.totals(tables)?.since(&before),
            unresolved: self.unresolved()?,
        })
    }

    /// What was counted here.
    fn totals(&self, tables: &Tables) -> Result<Totals, ReplicaError> {
        Ok(self.counters.as_ref().map_or_else(|| Ok(Totals::default()), |counters| counters.totals(tables))?)
    }

    /// How frames to the next machine of that row leave.
    pub fn next_hop(&self, row: u32) -> Result<NextHop, ReplicaError> {
        let rows: Array<MapData, Raw<NextHop>> = typed(NEXT_HOPS, self.map(NEXT_HOPS)?)?;
        Ok(rows.get(&row, 0).map_err(|error| unusable(NEXT_HOPS, error))?.0)
    }

    /// The row of the next hop of what goes to a client. `None`: no route leads there; 0: on a link of ours, but nobody knows its
    /// Ethernet address.
    pub fn route(&self, client: IpAddr) -> Result<Option<u32>, ReplicaError> {
        let address = Be128::from(client);
        let found = if client.is_ipv4() {
            let routes: LpmTrie<MapData, Raw<lb_common::Be32>, u32> = typed(ROUTES4, self.map(ROUTES4)?)?;
            routes.get(&Key::new(32, Raw(V4::narrow(address))), 0)
        } else {
            let routes: LpmTrie<MapData, Raw<Be128>, u32> = typed(ROUTES6, self.map(ROUTES6)?)?;
            routes.get(&Key::new(128, Raw(V6::narrow(address))), 0)
        };
        match found {
            Ok(row) => Ok(Some(row)),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(unusable(if client.is_ipv4() { ROUTES4 } else { ROUTES6 }, error).into()),
        }
    }

    /// Takes what the program said since it was asked last.
    fn unresolved(&self) -> Result<Vec<IpAddr>, ReplicaError> {
        let map = self.object.map(EVENTS).ok_or_else(|| MapUnusable::Unknown(EVENTS.to_owned()))?;
        let mut buffer = RingBuf::try_from(map).map_err(|error| unusable(EVENTS, error))?;
        let mut all = Vec::new();
        while let Some(record) = buffer.next() {
            all.extend(bytemuck::try_pod_read_unaligned::<Unresolved>(&record).ok().map(|event| event.address.ip()));
        }
        Ok(all)
    }

    fn program(&self) -> Result<&Xdp, ReplicaError> {
        let program = self.object.program(PROGRAM).ok_or(LoadError::NoProgram)?;
        program.try_into().map_err(run_error)
    }

    fn info(&self) -> Result<ProgramInfo, ReplicaError> {
        self.program()?.info().map_err(run_error)
    }

    /// A map of this copy, shared or its own.
    fn map(&self, name: &str) -> Result<MapData, MapUnusable> {
        let unknown = || MapUnusable::Unknown(name.to_owned());
        let data = data(self.object.map(name).ok_or_else(unknown)?).ok_or_else(unknown)?;
        let fd = data.fd().as_fd().try_clone_to_owned().map_err(|error| MapUnusable::Open(name.to_owned(), error))?;
        MapData::from_fd(fd).map_err(|error| unusable(name, error))
    }

    /// Fills what the packet path writes with what it has written. Counters begin at zero: they decide nothing.
    fn copy(&self, pins: &Pins) -> Result<(), ReplicaError> {
        self.copy_hash::<FlowKey4, Flow>(pins, FLOWS4)?;
        self.copy_hash::<FlowKey6, Flow>(pins, FLOWS6)?;
        self.copy_hash::<FlowKey4, Connection4>(pins, CONNECTIONS4)?;
        self.copy_hash::<FlowKey6, Connection6>(pins, CONNECTIONS6)?;
        self.copy_hash::<FlowKey4, Connection4>(pins, HALF_OPEN4)?;
        self.copy_hash::<FlowKey6, Connection6>(pins, HALF_OPEN6)?;
        self.copy_hash::<FragmentKey4, Fragment4>(pins, FRAGMENTS4)?;
        self.copy_hash::<FragmentKey6, Fragment6>(pins, FRAGMENTS6)?;
        let failed = |error| ReplicaError::Copy(BUCKETS, io_error(error));
        let from: PerCpuArray<MapData, Raw<Bucket>> = typed(BUCKETS, pins.open(BUCKETS)?)?;
        let mut to: PerCpuArray<MapData, Raw<Bucket>> = typed(BUCKETS, self.map(BUCKETS)?)?;
        for row in 0..bucket::BUCKETS {
            to.set(row, from.get(&row, 0).map_err(failed)?, 0).map_err(failed)?;
        }
        Ok(())
    }

    fn copy_hash<K: Pod, V: Pod>(&self, pins: &Pins, name: &'static str) -> Result<(), ReplicaError> {
        let failed = |error| ReplicaError::Copy(name, error);
        let (from, to) = (pins.open(name)?, self.map(name)?);
        let mut entries = Vec::new();
        batch::each(from.fd().as_fd(), |key: K, value: V| entries.push((key, value))).map_err(failed)?;
        // A table that changes under the reading may be read in more entries than it has.
        let room = to.info().map_or(u32::MAX, |info| info.max_entries());
        entries.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        entries.chunks(AT_ONCE).try_for_each(|some| batch::insert(to.fd().as_fd(), some)).map_err(failed)
    }
}

impl MapSource for Replica {
    fn open(&self, name: &str) -> Result<MapData, MapUnusable> {
        self.map(name)
    }

    fn open_rings(&self) -> Result<Vec<(RingId, MapData)>, RingError> {
        Ok(Vec::new()) // those of the pins
    }
}

/// Loads the object with maps of its own for what the packet path writes.
fn load(object: &[u8], pins: &Pins, frozen: Frozen) -> Result<Ebpf, ReplicaError> {
    let other = |error: aya::EbpfError| LoadError::Other(Box::new(error));
    let cpus = nr_cpus().ok().and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1);
    let mut loader = EbpfLoader::new();
    loader.override_global(HASH_KEY, &frozen.hash_key, true);
    loader.override_global(TRACK_BUDGET, &frozen.track_budget, true);
    for name in names().filter(|name| !OWN.contains(name)) {
        pins.open(name)?; // it is there and looks as it must; the loader would make and pin one that is missing
        loader.map_pin_path(name, pins.map(name));
    }
    for (name, entries) in FORGETFUL {
        loader.map_max_entries(name, entries + KEPT_BY_A_CPU * cpus);
    }
    let mut object = loader.load(object).map_err(other)?;
    let program: &mut Xdp = object
        .program_mut(PROGRAM)
        .ok_or(LoadError::NoProgram)?
        .try_into()
        .map_err(|error: ProgramError| LoadError::Other(Box::new(error)))?;
    verify(program).map_err(|error| LoadError::Other(Box::new(error)))?;
    Ok(object)
}

/// Whether maps of these ids are the pinned ones.
fn uses_ours(maps: &[u32], pins: &Pins) -> Result<bool, MapUnusable> {
    let vips = pins.open(lb_common::maps::VIPS4)?;
    let info = vips.info().map_err(|error| unusable(lb_common::maps::VIPS4, error))?;
    Ok(maps.contains(&info.id()))
}

/// The constants of a program that has maps of these ids, by their places in the object.
fn frozen(maps: &[u32], object: &[u8]) -> io::Result<Frozen> {
    let unread = |error: ::object::Error| io::Error::other(error.to_string());
    let file = ::object::File::parse(object).map_err(unread)?;
    let bytes = |name: &str| -> io::Result<Vec<u8>> {
        let missing = || io::Error::other(format!("{name} is missing"));
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).ok_or_else(missing)?;
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok()).ok_or_else(missing)?;
        let section = section.name().map_err(unread)?;
        let of_program = maps.iter().filter_map(|id| MapInfo::from_id(*id).ok());
        let mut named = of_program.filter(|map| map.name_as_str().is_some_and(|name| name == section));
        let map = named.next().ok_or_else(missing)?;
        let fd = map.fd().map_err(io_error)?;
        let all = batch::first(fd.as_fd(), map.value_size().try_into().map_err(io::Error::other)?)?;
        let (start, length) = (usize::try_from(symbol.address()).ok(), usize::try_from(symbol.size()).ok());
        let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
        range.and_then(|range| all.get(range)).map(<[u8]>::to_vec).ok_or_else(missing)
    };
    let wrong = |error| io::Error::other(format!("a constant of another size: {error}"));
    Ok(Frozen {
        hash_key: bytemuck::try_pod_read_unaligned(&bytes(HASH_KEY)?).map_err(wrong)?,
        track_budget: bytemuck::try_pod_read_unaligned(&bytes(TRACK_BUDGET)?).map_err(wrong)?,
    })
}

/// The map inside of aya's, of the kinds that are asked for here.
fn data(map: &Map) -> Option<&MapData> {
    if let Map::Array(data)
    | Map::PerCpuArray(data)
    | Map::HashMap(data)
    | Map::LruHashMap(data)
    | Map::LpmTrie(data)
    | Map::RingBuf(data) = map
    {
        return Some(data);
    }
    None
}

/// `struct xdp_md`: the frame's bounds, its metadata (none), interface and queue of arrival, and no interface of departure.
fn context(ifindex: u32, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    [0, length, 0, ifindex, 0, 0].map(u32::to_ne_bytes).concat()
}

fn run_error(error: ProgramError) -> ReplicaError {
    if let ProgramError::SyscallError(error) = error {
        return ReplicaError::Run(error.io_error);
    }
    ReplicaError::Run(io::Error::other(error))
}
