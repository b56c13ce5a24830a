//! From the names of versions, cipher suites and groups to what rustls has.

use crate::model::{Algorithms, Curve, TlsVersion};
use rustls::{
    CipherSuite, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, ALL_CIPHER_SUITES, ALL_KX_GROUPS},
    },
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// The cryptography, with these algorithms alone. AES-128-GCM first where nothing else is said: it is the fastest where
/// the CPU has AES, and that is nearly everywhere.
pub(super) fn provider(chosen: &Algorithms) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let usual = std::mem::take(&mut provider.cipher_suites);
    let of_version = |version| usual.iter().copied().filter(move |suite| suite.version().version == version);
    let mut newest: Vec<_> = of_version(TLS13.version).collect();
    newest.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.cipher_suites = suites(chosen.ciphersuites.iter().map(|suite| suite.0)).unwrap_or(newest);
    let older = suites(chosen.ciphers.iter().map(|suite| suite.0));
    provider.cipher_suites.extend(older.unwrap_or_else(|| of_version(TLS12.version).collect()));
    if !chosen.curves.is_empty() {
        let group = |&Curve(number): &Curve| ALL_KX_GROUPS.iter().find(|group| u16::from(group.name()) == number);
        provider.kx_groups = chosen.curves.iter().filter_map(group).copied().collect();
    }
    Arc::new(provider)
}

/// `None`: nothing was said.
fn suites(chosen: impl Iterator<Item = u16>) -> Option<Vec<SupportedCipherSuite>> {
    let suite = |number| ALL_CIPHER_SUITES.iter().find(|suite| u16::from(suite.suite()) == number);
    let suites: Vec<_> = chosen.filter_map(suite).copied().collect();
    (!suites.is_empty()).then_some(suites)
}

/// The versions from the oldest on that is allowed.
pub(super) const fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        TlsVersion::V12 => BOTH,
        TlsVersion::V13 => NEWEST,
    }
}

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CIPHERS, CIPHERSUITES, CURVES, Cipher, CipherSuite};

    #[test]
    fn every_word_of_the_configuration_is_something_that_rustls_has_and_the_other_way_round() {
        let newest = CIPHERSUITES.iter().map(|(_, suite)| suite.0);
        let mut known: Vec<_> = newest.chain(CIPHERS.iter().map(|(_, suite)| suite.0)).collect();
        let mut had: Vec<_> = ALL_CIPHER_SUITES.iter().map(|suite| u16::from(suite.suite())).collect();
        known.sort_unstable();
        had.sort_unstable();
        assert_eq!(known, had);
        let mut known: Vec<_> = CURVES.iter().map(|(_, curve)| curve.0).collect();
        let mut had: Vec<_> = ALL_KX_GROUPS.iter().map(|group| u16::from(group.name())).collect();
        known.sort_unstable();
        had.sort_unstable();
        assert_eq!(known, had);
    }

    #[test]
    fn the_order_is_the_operators_and_the_fast_suite_comes_first_without_one() {
        let first = |chosen: &Algorithms| provider(chosen).cipher_suites.first().map(|suite| u16::from(suite.suite()));
        assert_eq!(first(&Algorithms::default()), Some(0x1301));
        let chosen = Algorithms {
            ciphersuites: vec![CipherSuite(0x1303), CipherSuite(0x1301)],
            ciphers: vec![Cipher(0xc02f)],
            curves: vec![Curve(0x0017)],
            ..Algorithms::default()
        };
        assert_eq!(first(&chosen), Some(0x1303));
        let provider = provider(&chosen);
        assert_eq!((provider.cipher_suites.len(), provider.kx_groups.len()), (3, 1));
    }
}
