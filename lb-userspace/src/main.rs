//! `sluice`: one binary, daemon and command line.

fn main() {}
