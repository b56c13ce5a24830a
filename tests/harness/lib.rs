//! What the tests share: networks, processes, packets.
