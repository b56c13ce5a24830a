//! The kernel as userspace sees it: the real object, real maps, real links, a real network.
//! Needs root, or CAP_BPF with CAP_NET_ADMIN and CAP_SYS_ADMIN for the namespaces.

mod world;
mod loading;
mod attaching;
mod writing;
mod flows;
mod unprivileged;
mod host;
mod following;
mod links;
mod explaining;
