//! What only looks.

use super::{Running, Said, number, word};
use crate::{
    admin::rows::{Filter, Form},
    l7,
    worker::rows::numbered_frontends,
};
use std::{fmt::Write as _, sync::atomic::Ordering::Relaxed, time::SystemTime};
use tokio::time::Instant;

impl Running {
    /// `show stat [<proxy> <type> <sid>] [typed|json] [up|no-maint]`.
    pub(super) fn show_stat(&mut self, rest: &[String], now: Instant) -> Said {
        let mut rows = self.rows(now);
        let (mut filter, mut words) = (Filter::default(), rest);
        if let [proxy, kinds, sid, others @ ..] = rest {
            let known = |number: i64| u32::try_from(number).ok();
            match number(proxy) {
                _ if rows.has_proxy(proxy) => filter.proxy = Some(proxy.clone()),
                0 => return Err("No such proxy.".to_owned()),
                // Any negative number is all of them.
                iid => filter.proxy = known(iid).map(|iid| iid.to_string()),
            }
            (filter.kinds, filter.sid) = (known(number(kinds)), known(number(sid)));
            words = others;
        }
        filter.hide_down = words.iter().any(|word| word == "up");
        filter.hide_maint = words.iter().any(|word| word == "no-maint");
        rows.retain(&filter);
        Ok(rows.shown(Form::of(words)))
    }

    pub(super) fn show_backend(&self) -> String {
        let names = self.halves.model.backends.iter().map(|backend| format!("{}\n", backend.name));
        format!("# name\n{}", names.collect::<String>())
    }

    /// By thread: what there is of each.
    pub(super) fn show_activity(&self) -> String {
        let threads = self.halves.model.global.threads;
        let live = &self.halves.live;
        let frontends: Vec<_> =
            self.halves.model.frontends.iter().filter_map(|frontend| live.frontend(&frontend.name)).collect();
        let line = |name: &str, of: &dyn Fn(usize) -> u64| {
            let each: Vec<_> = (0..threads).map(of).collect();
            let shown: Vec<_> = each.iter().map(u64::to_string).collect();
            format!("{name}: {} [ {} ]\n", each.iter().sum::<u64>(), shown.join(" "))
        };
        let accepted = |thread| frontends.iter().map(|live| live.counts.of(thread).opened.value()).sum();
        let requests = |thread| frontends.iter().map(|live| live.counts.of(thread).requests.value()).sum();
        format!("thread_id: 1 (1..{threads})\n{}{}", line("accepted", &accepted), line("requests", &requests))
    }

    /// `show errors [<proxy>] [request|response]`: of each frontend the last request that was none, if it came by HTTP/1. What is
    /// wrong with answers of servers is not kept.
    pub(super) fn show_errors(&self, rest: &[String]) -> Said {
        let model = &self.halves.model;
        let (kinds, names): (Vec<&str>, Vec<&str>) =
            rest.iter().map(String::as_str).partition(|word| matches!(*word, "request" | "response"));
        let named = names.first().copied().filter(|name| *name != "-1");
        let is_wanted = |name: &str| named.is_none_or(|named| named == name);
        if named.is_some_and(|name| {
            model.backend(name).is_none() && model.frontends.iter().all(|frontend| frontend.name != name)
        }) {
            return Err("No such proxy.".to_owned());
        }
        let frontends = numbered_frontends(model).filter(|(_, frontend)| is_wanted(&frontend.name));
        let found: Vec<_> = frontends
            .filter(|_| !kinds.contains(&"response"))
            .filter_map(|(iid, frontend)| {
                Some((iid, &frontend.name, self.halves.live.frontend(&frontend.name)?.refused.get()?))
            })
            .collect();
        let mut text = format!("Total events captured on [{}] : {}\n", l7::log::date(SystemTime::now()), found.len());
        for (iid, name, refused) in found {
            // Writing to a string does not fail.
            _ = write!(
                text,
                " \n[{}] frontend {name} (#{iid}): invalid request: {}\n  src {}, len {}\n \n{}",
                l7::log::date(refused.at),
                refused.why,
                refused.client,
                refused.length,
                refused.dump()
            );
        }
        Ok(text)
    }

    /// `show servers conn [<backend>]`. What is not known across threads is a `-`.
    pub(super) fn show_servers_conn(&self, rest: &[String]) -> Said {
        let threads = self.halves.model.global.threads;
        let mut text = format!(
            "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim \
             idle_cur idle_per_thr[{threads}]\n"
        );
        for (iid, backend) in self.numbered(rest)? {
            let live = self.halves.live.backend(&backend.name);
            for (place, server) in backend.servers.iter().enumerate() {
                let (ip, port) = (server.address.ip(), server.address.port());
                let open = live
                    .and_then(|live| live.servers.get(place))
                    .map_or(0, |live| live.connections().max(live.load.0.served.load(Relaxed) as u64));
                let names = format!("{}/{} {iid}/{}", backend.name, server.name, place + 1);
                let idle = vec!["-"; threads].join(" ");
                // Writing to a string does not fail.
                _ = writeln!(text, "{names} {ip} {port} - - {open} - - - - -1 - {idle}");
            }
        }
        Ok(text)
    }
}

/// `show env [<name>]`: none is shown, since configurations take secrets from there.
pub(super) fn environment(rest: &[String]) -> Said {
    match word(rest, 0) {
        "" => Ok(String::new()),
        _ => Err("Variable not found".to_owned()),
    }
}

/// `show table [<name>]`: there are none.
pub(super) fn table(rest: &[String]) -> Said {
    match word(rest, 0) {
        "" => Ok(String::new()),
        _ => Err("No such table".to_owned()),
    }
}
