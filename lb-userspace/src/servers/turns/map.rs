//! The map of HAProxy's static algorithms (lb_map.c): `static-rr` visits its entries in turn, map-based hashes point at
//! one. Pure.

/// As many entries as the weights sum up to, those of each server spread.
pub(super) fn map(servers: &[(usize, u16)]) -> Box<[usize]> {
    let divisor = super::divisor(servers);
    let mut scores: Vec<_> = servers
        .iter()
        .map(|(server, weight)| Score { server: *server, weight: i64::from(weight / divisor), score: 0 })
        .collect();
    let total: i64 = scores.iter().map(|it| it.weight).sum();
    let entry = |_| {
        // In whole rounds, as HAProxy compares: of those within one round the first of the file is taken.
        let mut best: Option<(i64, &mut Score)> = None;
        for it in &mut scores {
            it.score += it.weight;
            let rounds = (it.score + total) / total;
            if best.as_ref().is_none_or(|(most, _)| rounds > *most) {
                best = Some((rounds, it));
            }
        }
        let (_, best) = best?;
        best.score -= total;
        Some(best.server)
    };
    (0..total).map_while(entry).collect()
}

struct Score {
    server: usize,
    weight: i64,
    score: i64,
}
