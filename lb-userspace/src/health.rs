//! HEALTH PATH 1: probes in, outcomes out.
