//! The lookup tables of a loaded object, written as the daemon writes them.

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use lb_common::{
    Be16, Family, RingId, Vip,
    lookup::{Line, LocalLine4, LocalLine6, ReturnLine4, ReturnLine6, VipLine4, VipLine6},
};
use lb_ebpf::testing::MemoryFamily;
use lb_userspace::dataplane::{
    handed::MapSource,
    lookup::{LookupMap, Named},
    rings::RingError,
    shape::MapUnusable,
};
use std::{collections::BTreeMap, io, os::fd::AsFd as _};

/// Those of both families.
pub(super) struct Lookups {
    pub(super) v4: OfFamily<VipLine4, ReturnLine4, LocalLine4>,
    pub(super) v6: OfFamily<VipLine6, ReturnLine6, LocalLine6>,
}

/// Those of a family: lines of its VIPs, its returns and the host's addresses.
pub(super) struct OfFamily<V: Line, R: Line, L: Line> {
    vips: LookupMap<V>,
    returns: LookupMap<R>,
    local: LookupMap<L>,
}

impl Lookups {
    pub(super) fn open(ebpf: &Ebpf) -> Result<Self> {
        let source = Maps(ebpf);
        Ok(Self {
            v4: OfFamily {
                vips: LookupMap::open(&source, Named::VIPS4)?,
                returns: LookupMap::open(&source, Named::RETURNS4)?,
                local: LookupMap::open(&source, Named::LOCAL4)?,
            },
            v6: OfFamily {
                vips: LookupMap::open(&source, Named::VIPS6)?,
                returns: LookupMap::open(&source, Named::RETURNS6)?,
                local: LookupMap::open(&source, Named::LOCAL6)?,
            },
        })
    }
}

impl<V: Line, R: Line, L: Line> OfFamily<V, R, L> {
    /// Writes what differs.
    pub(super) fn fill<F>(&mut self, old: &MemoryFamily<F>, new: &MemoryFamily<F>) -> Result<()>
    where
        F: Family<Endpoint = V::Key, Return = R::Value>,
        V: Line<Value = Vip>,
        R: Line<Key = V::Key>,
        L: Line<Key = V::Key, Value = u32>,
    {
        fill(&mut self.vips, &old.vips, &new.vips)?;
        fill(&mut self.returns, &old.returns, &new.returns)?;
        let local = |family: &MemoryFamily<F>| {
            family.local.iter().map(|addr| (F::endpoint(*addr, Be16::new(0), 0), 1)).collect()
        };
        fill(&mut self.local, &local(old), &local(new))
    }
}

fn fill<L: Line>(
    map: &mut LookupMap<L>,
    old: &BTreeMap<L::Key, L::Value>,
    new: &BTreeMap<L::Key, L::Value>,
) -> Result<()> {
    old.keys().filter(|key| !new.contains_key(key)).for_each(|key| map.remove(*key));
    for (key, value) in new.iter().filter(|(key, value)| old.get(key) != Some(value)) {
        map.put(*key, *value);
    }
    Ok(map.commit()?)
}

/// Maps by their names.
struct Maps<'a>(&'a Ebpf);

impl MapSource for Maps<'_> {
    fn open(&self, name: &str) -> Result<MapData, MapUnusable> {
        let Some(Map::Array(data)) = self.0.map(name) else { return Err(MapUnusable::Unknown(name.to_owned())) };
        let refused = |error| MapUnusable::Open(name.to_owned(), error);
        let fd = data.fd().as_fd().try_clone_to_owned().map_err(refused)?;
        MapData::from_fd(fd).map_err(|error| refused(io::Error::other(error)))
    }

    fn open_rings(&self) -> Result<Vec<(RingId, MapData)>, RingError> {
        Ok(Vec::new())
    }
}
