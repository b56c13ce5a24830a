//! L7 PATH: one connection, in the order it goes.
