//! The map of HAProxy's static algorithms (lb_map.c): `static-rr` visits its entries in turn, map-based hashes point at
//! one. Pure.

/// As many entries as the weights sum up to, those of each server spread.
pub(super) fn map(servers: &[(usize, u16)]) -> Box<[usize]> {
    let divisor = super::divisor(servers);
    let mut entries: Vec<_> = servers
        .iter()
        .map(|(server, weight)| Entry { server: *server, weight: i64::from(weight / divisor), points: 0 })
        .collect();
    let total: i64 = entries.iter().map(|it| it.weight).sum();
    let entry = |_| {
        // In whole rounds, as HAProxy compares: of those within one round the first of the file is taken.
        let mut best: Option<(i64, &mut Entry)> = None;
        for it in &mut entries {
            it.points += it.weight;
            let rounds = (it.points + total) / total;
            if best.as_ref().is_none_or(|(most, _)| rounds > *most) {
                best = Some((rounds, it));
            }
        }
        let (_, best) = best?;
        best.points -= total;
        Some(best.server)
    };
    (0..total).map_while(entry).collect()
}

struct Entry {
    server: usize,
    weight: i64,
    points: i64,
}
