//! What the kernel half asks of the machine itself: of its cards and of settings of its kernel.

use super::{Finding, Severity, device::Device, host::Host};
use crate::model::Model;
use lb_common::Forward;

/// What is to be said of the cards that the kernel half is attached to, and of the kernel.
pub(super) fn findings(model: &Model, host: &Host, found: &mut Vec<Finding>) {
    let mut say = |severity, text: String, mend: String| found.push(Finding { severity, text, mend: Some(mend) });
    if host.kernel.jit == Some(false) {
        let text =
            "programs are not compiled (net.core.bpf_jit_enable is 0), and the kernel half takes many times as long";
        say(Severity::Warning, text.to_owned(), "sysctl -w net.core.bpf_jit_enable=1".to_owned());
    }
    let interfaces = &model.global.interfaces;
    for name in interfaces {
        if let Some(device) = host.devices.get(name) {
            of_card(name, device, host, &mut say);
        }
    }
    let nat = model.vips().into_iter().filter_map(|(vip, kernel)| {
        let backend = model.backends.get(kernel.frontend.backend)?;
        (backend.forward == Forward::Nat).then_some(vip.address.is_ipv4())
    });
    let families = nat.fold([false; 2], |[four, six], is_four| [four || is_four, six || !is_four]);
    let settings = [("IPv4", "net.ipv4.ip_forward"), ("IPv6", "net.ipv6.conf.all.forwarding")];
    for ((needed, forwards), (family, setting)) in families.into_iter().zip(host.kernel.forwards).zip(settings) {
        if needed && forwards == Some(false) {
            let text = format!(
                "this machine is no router for {family} ({setting} is 0): servers of `nat`, whose way out leads through it, reach nothing but clients"
            );
            say(Severity::Note, text, format!("sysctl -w {setting}=1"));
        }
    }
    for name in interfaces.iter().filter(|_| interfaces.len() > 1) {
        if host.kernel.strict.contains(name) {
            let text = format!(
                "`{name}` takes only packets whose answers would leave by it (rp_filter is 1): what clients or servers send to this machine itself by another way is lost without a word"
            );
            say(Severity::Note, text, format!("sysctl -w net/ipv4/conf/{name}/rp_filter=2"));
        }
    }
}

/// What is to be said of a card.
fn of_card(name: &str, device: &Device, host: &Host, say: &mut impl FnMut(Severity, String, String)) {
    let does = |feature: &str| device.features.contains(feature);
    for (feature, option) in [("rx-lro", "lro"), ("rx-gro-hw", "rx-gro-hw")] {
        if does(feature) {
            let text = format!(
                "`{name}` merges packets ({option}) that are then larger than any link takes: they cannot be forwarded, and many drivers refuse XDP"
            );
            say(Severity::Warning, text, format!("ethtool -K {name} {option} off"));
        }
    }
    let has_vlans = host.links.iter().any(|link| link.lower.as_deref() == Some(name));
    if does("rx-vlan-hw-parse") && has_vlans {
        let text = format!(
            "`{name}` takes VLAN tags off before the kernel half sees them: it cannot tell the VLANs on it apart"
        );
        say(Severity::Warning, text, format!("ethtool -K {name} rxvlan off"));
    }
    if device.driver == "veth" {
        let text = format!(
            "`{name}` is an end of a veth pair: what is sent by XDP arrives only if the other end has an XDP program or GRO, and checksums are whole only if it does not leave them to others"
        );
        let mend = "at the other end: ethtool -K PEER gro on tx off";
        say(Severity::Note, text, mend.to_owned());
    }
    let cpus = host.kernel.cpus;
    if device.queues > 0 && device.queues < cpus && device.driver != "veth" {
        let queues = device.queues;
        let text = format!("`{name}` receives by {queues} of {cpus} CPUs: the others have no part in the kernel half");
        say(Severity::Note, text, format!("ethtool -L {name} combined {cpus}, as far as the card has so many"));
    }
}
