//! What is measured: a way of forwarding is one row, and each row is measured under every load.

use crate::bars::Bar;
use lb_ebpf_tools::rows::rearm::{TEMPLATE, Varies};
use lb_tests::{packet::Frame, tools::rearm::Packets};
use std::{fmt, net::SocketAddrV4};

use super::contenders::world::{CLIENT, DIRECT_VIP, NAT_VIP, SERVERS, answers, arrives};

/// Flows that were seen before.
const FIRST: u32 = 1_024;
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
    [Load::Known(1), Load::Known(100), Load::Known(10_000), Load::Known(60_000), Load::New];

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

/// What a way of forwarding may cost, as a share of the reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cost {
    /// Keeps nothing of a flow.
    Stateless,
    /// The same, and writes both checksums.
    StatelessNat,
    /// Has no counterpart in the reference.
    Free,
}

impl Cost {
    /// The bar under a load.
    pub(crate) fn bar(self, load: Load) -> Option<Bar> {
        match (self, load) {
            (Self::Stateless, Load::Known(100) | Load::New) | (Self::StatelessNat, Load::New) => Some(0.45),
            (Self::StatelessNat, Load::Known(100)) => Some(0.50),
            (Self::Stateless | Self::StatelessNat, Load::Known(60_000)) => Some(0.35),
            (Self::Stateless | Self::StatelessNat, Load::Known(_)) | (Self::Free, _) => None,
        }
    }
}

/// One way of forwarding.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) cost: Cost,
    /// A packet of a flow that was seen before.
    known: Frame,
    /// The first packet of a flow; none where the other end opens them.
    opening: Option<Frame>,
    varies: Varies,
}

/// Every row, the reference first.
pub(crate) fn all(rival: Option<Rival>) -> Vec<Row> {
    let mut rows = vec![to_vip("reference", Program::Reference, Cost::Free, DIRECT_VIP)];
    rows.extend(of_sluice(Program::Sluice));
    rows.extend(match rival {
        Some(Rival::Sluice) => of_sluice(Program::Against),
        Some(Rival::Foreign) => vec![to_vip("foreign", Program::Against, Cost::Free, DIRECT_VIP)],
        None => Vec::new(),
    });
    rows
}

/// Every way of forwarding that Sluice has.
fn of_sluice(program: Program) -> Vec<Row> {
    vec![
        to_vip("direct", program, Cost::Stateless, DIRECT_VIP),
        to_vip("nat", program, Cost::StatelessNat, NAT_VIP),
        reply("nat reply", program, SERVERS[1]),
    ]
}

/// A client's packets.
fn to_vip(name: &'static str, program: Program, cost: Cost, vip: SocketAddrV4) -> Row {
    let known = arrives(Frame::tcp(CLIENT, vip));
    let opening = Some(known.clone().syn());
    Row { name, program, cost, known, opening, varies: Varies::Source4 }
}

/// The packets of server 1.
fn reply(name: &'static str, program: Program, server: SocketAddrV4) -> Row {
    let known = answers(Frame::tcp(server, CLIENT), 1);
    Row { name, program, cost: Cost::Free, known, opening: None, varies: Varies::Destination4 }
}

impl Row {
    /// What tells it from all others.
    pub(crate) fn label(&self) -> String {
        match self.program {
            Program::Reference | Program::Sluice => self.name.to_owned(),
            Program::Against => format!("against: {}", self.name),
        }
    }

    /// Whether it is measured under this load: nobody but a client opens flows.
    pub(crate) fn has(&self, load: Load) -> bool {
        load != Load::New || self.opening.is_some()
    }

    /// What is timed.
    pub(crate) fn packets(&self, load: Load) -> Packets {
        match (load, &self.opening) {
            (Load::New, Some(opening)) => packets(opening, self.varies, load),
            _ => packets(&self.known, self.varies, load),
        }
    }

    /// What comes before, once for each flow.
    pub(crate) fn opening(&self, load: Load) -> Option<Packets> {
        Some(packets(self.opening.as_ref()?, self.varies, load))
    }
}

/// Any packets under this load, for a program that does not look at them.
pub(crate) fn of_wrapper(load: Load) -> Packets {
    packets(&Frame::tcp(CLIENT, DIRECT_VIP), Varies::Source4, load)
}

fn packets(frame: &Frame, varies: Varies, load: Load) -> Packets {
    let bytes = frame.bytes();
    let padding = TEMPLATE.saturating_sub(bytes.len());
    let flows = match load {
        Load::Known(flows) => FIRST..FIRST + flows,
        Load::New => 0..NEW,
    };
    Packets { frame: frame.clone().padding(padding).bytes(), varies, next: flows.start, flows }
}
