//! The yardstick of `bench kernel`: loads the program `reference` and fills its maps.

use super::{load, loaded, object};
use crate::raw::Raw;
use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, HashMap, Map, MapData, PerCpuArray, PerCpuValues},
    programs::Xdp,
    util::nr_cpus,
};
use lb_common::{Mac, Protocol, hash::mix};
use lb_ebpf_tools::rows::reference::{
    COUNTS, CPU_FLOWS, Count, FLOWS, Flow, FlowKey, GATEWAY, Gateway, MAX_CPUS, MAX_SERVERS, MAX_VIPS, MOST_NEW,
    PROGRAM, Row, SERVER_COUNTS, SERVERS, SLOTS, SLOTS_OF_ALL, Server, VIPS, Vip, VipKey,
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

/// Flows that a CPU remembers.
pub const FLOWS_OF_CPU: u32 = 100_000;

/// The program with one VIP.
pub struct Reference {
    object: Ebpf,
}

impl Reference {
    /// Loads it with a TCP VIP, these servers behind it, and the next machine on the way to them.
    pub fn load(vip: SocketAddr, servers: &[IpAddr], gateway: Mac) -> Result<Self> {
        let mut object = EbpfLoader::new()
            .map_max_entries(VIPS, MAX_VIPS)
            .map_max_entries(CPU_FLOWS, FLOWS_OF_CPU)
            .map_max_entries(SLOTS_OF_ALL, SLOTS)
            .map_max_entries(SERVERS, MAX_SERVERS)
            .map_max_entries(SERVER_COUNTS, MAX_SERVERS)
            .load(object()?)?;
        load(&mut object, PROGRAM)?;
        let mut vips: HashMap<_, Raw<_>, Raw<_>> = HashMap::try_from(map(&mut object, VIPS)?)?;
        let (address, port) = (words(vip.ip()), vip.port().to_be());
        let key = VipKey { address, port, protocol: Protocol::Tcp.number(), reserved: 0 };
        vips.insert(Raw(key), Raw(Vip { flags: 0, number: 0 }), 0)?;
        let mut rows: Array<_, Raw<_>> = Array::try_from(map(&mut object, SERVERS)?)?;
        for (row, server) in (1..).zip(servers) {
            rows.set(row, Raw(Server { address: words(*server), flags: 0 }), 0)?;
        }
        let mut slots: Array<_, u32> = Array::try_from(map(&mut object, SLOTS_OF_ALL)?)?;
        for slot in 0..SLOTS {
            let server = mix(slot.into()) % servers.len() as u64 + 1;
            slots.set(slot, u32::try_from(server)?, 0)?;
        }
        let mut gateways: Array<_, Raw<_>> = Array::try_from(map(&mut object, GATEWAY)?)?;
        let mut address = [0; 8];
        address.iter_mut().zip(gateway).for_each(|(byte, of_gateway)| *byte = of_gateway);
        gateways.set(0, Raw(Gateway { address: bytemuck::cast(address) }), 0)?;
        give_table_of_flows(&mut object)?;
        Ok(Self { object })
    }

    /// The program.
    pub fn program(&self) -> Result<&Xdp> {
        loaded(&self.object, PROGRAM)
    }

    /// Puts the program where other programs find it.
    pub fn pin(&mut self, path: &Path) -> Result<()> {
        let program: &mut Xdp = self.object.program_mut(PROGRAM).context("no reference")?.try_into()?;
        Ok(program.pin(path)?)
    }

    /// Lets the guard against floods find that this second has seen no new flow yet, or as many as it takes.
    pub fn set_flooded(&mut self, flooded: bool) -> Result<()> {
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::new(now.tv_sec.try_into()?, now.tv_nsec.try_into()?);
        let count = Count { first: if flooded { MOST_NEW } else { 0 }, second: u64::try_from(now.as_nanos())? };
        let cpus = nr_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))?;
        let mut counts: PerCpuArray<_, Raw<Count>> = PerCpuArray::try_from(map(&mut self.object, COUNTS)?)?;
        Ok(counts.set(Row::New as u32, PerCpuValues::try_from(vec![Raw(count); cpus])?, 0)?)
    }

    /// What all CPUs have counted in a row.
    pub fn count(&self, row: Row) -> Result<Count> {
        let counts = self.object.map(COUNTS).context("no counts")?;
        let counts: PerCpuArray<_, Raw<Count>> = PerCpuArray::try_from(counts)?;
        let mut sum = Count::default();
        for cpu in counts.get(&(row as u32), 0)?.iter() {
            sum.first += cpu.0.first;
            sum.second += cpu.0.second;
        }
        Ok(sum)
    }
}

/// Puts the one table of flows into the row of every CPU. Each would have its own; but who is timed stays on one CPU, and
/// two tables would only take memory.
fn give_table_of_flows(object: &mut Ebpf) -> Result<()> {
    let table = object.take_map(CPU_FLOWS).context("no table of flows")?;
    let table: HashMap<MapData, Raw<FlowKey>, Raw<Flow>> = HashMap::try_from(table)?;
    let mut tables: ArrayOfMaps<_, HashMap<MapData, Raw<FlowKey>, Raw<Flow>>> =
        ArrayOfMaps::try_from(map(object, FLOWS)?)?;
    let cpus = nr_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))?;
    for cpu in 0..u32::try_from(cpus)?.min(MAX_CPUS) {
        tables.set(cpu, &table, 0)?;
    }
    Ok(())
}

fn map<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Map> {
    object.map_mut(name).with_context(|| format!("no map {name}"))
}

/// An address as it lies in a packet, an IPv4 one in the first word.
fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [u32::from_ne_bytes(address.octets()), 0, 0, 0],
        IpAddr::V6(address) => bytemuck::cast(address.octets()),
    }
}
