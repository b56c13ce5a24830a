//! What the command line does not show, read from the daemon's pins.

use anyhow::Result;
use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use lb_common::{
    Note,
    flow::{Flow, FlowKey4, FlowKey6},
    maps::{FLOWS4, FLOWS6, NOTE_COUNTERS},
};
use lb_tests::{
    lab::{Family, Lab},
    raw::Raw,
};
use lb_userspace::dataplane::pins::Pins;

/// A map of the daemon that runs in a lab.
pub(crate) fn map(lab: &Lab, name: &str) -> Result<Map> {
    Ok(Map::from_map_data(MapData::from_pin(Pins::new(lab.pins()).map(name))?)?)
}

/// Flows in the table of those whose slots change hands.
pub(crate) fn tracked(lab: &Lab, family: Family) -> Result<usize> {
    Ok(match family {
        Family::V4 => HashMap::<_, Raw<FlowKey4>, Raw<Flow>>::try_from(map(lab, FLOWS4)?)?.keys().count(),
        Family::V6 => HashMap::<_, Raw<FlowKey6>, Raw<Flow>>::try_from(map(lab, FLOWS6)?)?.keys().count(),
    })
}

/// How many packets that happened to.
pub(crate) fn noted(lab: &Lab, note: Note) -> Result<u64> {
    Ok(PerCpuArray::<_, u64>::try_from(map(lab, NOTE_COUNTERS)?)?.get(&(note as u32), 0)?.iter().sum())
}
