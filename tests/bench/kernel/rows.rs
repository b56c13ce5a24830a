//! What is measured: a way of forwarding is one row of [`MODES`], and is measured in both families under every load.

use super::network::{Net, Segment};
use crate::bars::Bar;
use anyhow::{Context, Result};
use lb_common::{Forward, vip::flags::TRACK_FULL};
use lb_ebpf_tools::rows::rearm::Varies;
use lb_tests::tools::rearm::Packets;
use std::{fmt, slice};

/// The first of the flows that are seen before they are timed.
pub(crate) const FIRST: u32 = 1_024;
/// How many there are at most.
pub(crate) const MOST: u32 = 60_000;
/// Flows that nobody has seen, before they begin anew: far more than anybody remembers.
const NEW: u32 = 1 << 24;

/// How many flows there are.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Load {
    /// This many, all of which have sent before.
    Known(u32),
    /// Every packet opens one.
    New,
}

/// Every load, in the order of a round. New flows come last: they fill tables with what the others do not look for.
pub(crate) const LOADS: [Load; 5] =
    [Load::Known(1), Load::Known(100), Load::Known(10_000), Load::Known(MOST), Load::New];

impl Load {
    /// Flows at a time.
    pub(crate) fn flows(self) -> u32 {
        match self {
            Self::Known(flows) => flows,
            Self::New => 0,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(1) => formatter.write_str("1 flow"),
            Self::Known(flows) => write!(formatter, "{flows} flows"),
            Self::New => formatter.write_str("new flows"),
        }
    }
}

/// A way of forwarding: a VIP, a ring and servers of its own.
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) forward: Forward,
    /// Flags of the VIP.
    pub(crate) flags: u16,
    /// Every slot changes hands, and all flows that were seen before are in the flow table.
    pub(crate) changing: bool,
    /// The ring has one server, so that replies of all flows come from there.
    pub(crate) one_server: bool,
    pub(crate) cost: Cost,
    /// Servers' replies are measured too.
    pub(crate) replies: Option<Replies>,
}

/// How replies of servers are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Replies {
    /// By the server that they come from.
    ByServer,
    /// By the connection, which must have been opened.
    ByConnection,
}

const PLAIN: Mode = Mode {
    name: "direct",
    forward: Forward::Direct,
    flags: 0,
    changing: false,
    one_server: false,
    cost: Cost::Stateless,
    replies: None,
};

/// Every way of forwarding. The first has the VIP that `--against` names.
pub(crate) const MODES: [Mode; 7] = [
    PLAIN,
    Mode { name: "nat", forward: Forward::Nat, cost: Cost::StatelessNat, replies: Some(Replies::ByServer), ..PLAIN },
    Mode { name: "ipip", forward: Forward::Ipip, ..PLAIN },
    Mode { name: "gue", forward: Forward::Gue, ..PLAIN },
    Mode { name: "direct, slots changing hands", changing: true, cost: Cost::Tracked, ..PLAIN },
    Mode {
        name: "nat, track full",
        forward: Forward::Nat,
        flags: TRACK_FULL,
        one_server: true,
        cost: Cost::Tracked,
        replies: Some(Replies::ByConnection),
        ..PLAIN
    },
    Mode { name: "fullnat", forward: Forward::FullNat, cost: Cost::Tracked, ..PLAIN },
];

/// What a way of forwarding may cost, as a share of the reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cost {
    /// Keeps nothing of a flow.
    Stateless,
    /// The same, and writes both checksums.
    StatelessNat,
    /// Finds each flow in a table.
    Tracked,
    /// Has no counterpart in the reference.
    Free,
}

impl Cost {
    /// The bar under a load.
    pub(crate) fn bar(self, load: Load) -> Option<Bar> {
        match (self, load) {
            (Self::Stateless, Load::Known(100)) | (Self::Stateless | Self::StatelessNat, Load::New) => Some(0.45),
            (Self::StatelessNat | Self::Tracked, Load::Known(100)) => Some(0.50),
            (Self::Stateless | Self::StatelessNat, Load::Known(MOST)) => Some(0.35),
            (Self::Tracked, Load::Known(MOST)) => Some(0.60),
            (_, Load::Known(_) | Load::New) => None,
        }
    }
}

/// Who forwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Program {
    Reference,
    Sluice,
    /// What `--against` names.
    Against,
}

/// What `--against` is, which says what it can be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rival {
    /// Another build of Sluice.
    Sluice,
    /// Anything that balances one VIP.
    Foreign,
}

/// What is sent to a program, and what that may cost.
pub(crate) struct Row {
    pub(crate) program: Program,
    pub(crate) net: Net,
    name: String,
    pub(crate) cost: Cost,
    /// Packets of flows that were seen before.
    known: Stream,
    /// The first packets of those flows, in their order; none where nothing is remembered of them.
    opening: Vec<Stream>,
    /// Whether these packets open flows too.
    opens: bool,
}

/// Frames that differ in their flow.
#[derive(Clone, Debug)]
struct Stream {
    frame: Vec<u8>,
    varies: Varies,
}

/// Every row, those of a family together, the reference first.
pub(crate) fn all(rival: Option<Rival>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for net in Net::ALL {
        rows.push(to_vip(net, Program::Reference, 0, ("reference", Cost::Free))?);
        of_sluice(net, Program::Sluice, &mut rows)?;
        match rival {
            Some(Rival::Sluice) => of_sluice(net, Program::Against, &mut rows)?,
            Some(Rival::Foreign) if net == Net::V4 => {
                rows.push(to_vip(net, Program::Against, 0, ("foreign", Cost::Free))?);
            }
            Some(Rival::Foreign) | None => {}
        }
    }
    Ok(rows)
}

/// Every way of forwarding that Sluice has.
fn of_sluice(net: Net, program: Program, rows: &mut Vec<Row>) -> Result<()> {
    for (number, mode) in (0..).zip(&MODES) {
        let to = to_vip(net, program, number, (mode.name, mode.cost))?;
        let reply = Segment { source: net.server(number, 1), destination: net.client(), opens: false };
        let reply = mode.replies.map(|known| -> Result<Row> {
            Ok(Row {
                program,
                net,
                name: format!("{}, reply", mode.name),
                cost: Cost::Free,
                known: stream(&reply, net.varies(false))?,
                opening: match known {
                    Replies::ByConnection => [&to.opening[..], slice::from_ref(&to.known)].concat(),
                    Replies::ByServer => Vec::new(),
                },
                opens: false,
            })
        });
        rows.push(to);
        rows.extend(reply.transpose()?);
    }
    Ok(())
}

/// A client's packets.
fn to_vip(net: Net, program: Program, mode: u8, (name, cost): (&str, Cost)) -> Result<Row> {
    let segment = |opens| Segment { source: net.client(), destination: net.vip(mode), opens };
    Ok(Row {
        program,
        net,
        name: name.to_owned(),
        cost,
        known: stream(&segment(false), net.varies(true))?,
        opening: vec![stream(&segment(true), net.varies(true))?],
        opens: true,
    })
}

fn stream(segment: &Segment, varies: Varies) -> Result<Stream> {
    Ok(Stream { frame: segment.frame().context("a frame that cannot be")?, varies })
}

impl Row {
    /// What tells it from all others.
    pub(crate) fn label(&self) -> String {
        let Self { net, name, .. } = self;
        match self.program {
            Program::Reference | Program::Sluice => format!("{} {name}", net.name()),
            Program::Against => format!("against: {} {name}", net.name()),
        }
    }

    /// Whether it is the same as another, but for the program.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.net, &self.name) == (other.net, &other.name)
    }

    /// Whether it is measured under this load: nobody but a client opens flows.
    pub(crate) fn has(&self, load: Load) -> bool {
        load != Load::New || self.opens
    }

    /// What is timed.
    pub(crate) fn packets(&self, load: Load) -> Packets {
        match (load, self.opening.first()) {
            (Load::New, Some(opening)) => packets(opening, load),
            _ => packets(&self.known, load),
        }
    }

    /// What comes before, once for each flow.
    pub(crate) fn opening(&self, load: Load) -> impl Iterator<Item = Packets> {
        self.opening.iter().map(move |stream| packets(stream, load))
    }
}

fn packets(stream: &Stream, load: Load) -> Packets {
    let flows = match load {
        Load::Known(flows) => FIRST..FIRST + flows,
        Load::New => 0..NEW,
    };
    Packets { frame: stream.frame.clone(), varies: stream.varies, next: flows.start, flows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_told_from_every_other() {
        let rows = all(Some(Rival::Sluice)).unwrap();
        let labels: BTreeSet<_> = rows.iter().map(Row::label).collect();
        assert_eq!(labels.len(), rows.len());
        assert_eq!(rows.len(), 2 + 4 * (MODES.len() + 2));
    }

    #[test]
    fn replies_open_nothing_and_come_after_what_opened_their_connections() {
        let rows = all(None).unwrap();
        let row = |label: &str| rows.iter().find(|row| row.label() == label).unwrap();
        let replies = ["IPv4 nat, reply", "IPv6 nat, track full, reply"].map(row);
        assert!(replies.iter().all(|row| !row.has(Load::New) && row.has(Load::Known(1))));
        assert_eq!(replies[0].opening(Load::Known(1)).count(), 0);
        let opening: Vec<_> = replies[1].opening(Load::Known(1)).map(|packets| packets.varies).collect();
        assert_eq!(opening, [Varies::Source6; 2], "a connection is established by its second packet");
    }

    #[test]
    fn the_bars_are_those_that_were_set() {
        let bars = |cost: Cost| [Load::Known(100), Load::Known(60_000), Load::New].map(|load| cost.bar(load));
        assert_eq!(bars(Cost::Stateless), [Some(0.45), Some(0.35), Some(0.45)]);
        assert_eq!(bars(Cost::StatelessNat), [Some(0.50), Some(0.35), Some(0.45)]);
        assert_eq!(bars(Cost::Tracked), [Some(0.50), Some(0.60), None]);
        assert_eq!(bars(Cost::Free), [None; 3]);
    }
}
