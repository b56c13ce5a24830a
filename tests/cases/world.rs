//! The network of the golden rows, and the rows themselves.

pub(crate) use lb_tests_traffic::world::*;

use super::{Case, Expect};
use lb_common::Stop;
use lb_tests::packet::Frame;

/// How rows are made.
pub(crate) trait Rows {
    /// A row at the outer interface of [`tables`].
    fn row(&self, name: &str, input: Vec<u8>, expect: Expect) -> Case;

    /// A row that ends in a stop.
    fn stops(&self, name: &str, input: Vec<u8>, stop: Stop) -> Case {
        self.row(name, input, Expect::Stop(stop))
    }

    /// A packet that leaves.
    fn sends(&self, name: &str, input: &Frame, output: &Frame) -> Case {
        self.row(name, input.bytes(), Expect::Transmit(output.bytes()))
    }
}

impl Rows for Net {
    fn row(&self, name: &str, input: Vec<u8>, expect: Expect) -> Case {
        let name = format!("{}: {name}", self.name);
        let (tables, earlier) = (tables(), Vec::new());
        Case { name, tables, earlier, change: None, ingress: OUTSIDE, input, expect, notes: None }
    }
}
