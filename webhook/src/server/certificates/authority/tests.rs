//! A rotation, step by step, and over a simulated life.

use super::*;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};
use std::sync::Arc;

const LIFETIMES: Lifetimes = Lifetimes { authority: 10_000, serving: 1000, overlap: 100 };
const BEGIN: i64 = 1_800_000_000;

fn names() -> Vec<String> {
    vec!["guard.ns.svc".into(), "127.0.0.1".into()]
}

fn step(stored: Option<&Shared>, announced: bool, now: i64) -> Option<(Shared, &'static str)> {
    match next(stored, &names(), &LIFETIMES, &|_| announced, now).unwrap() {
        Step::Keep => None,
        Step::Store(shared, why) => Some((*shared, why)),
    }
}

/// Whether a client that trusts `trusted` accepts what is served.
fn accepts(trusted: &str, chain: &str, now: i64) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(trusted));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let leaf = certificates(chain).remove(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now).unwrap()));
    verifier.verify_server_cert(&leaf, &[], &ServerName::try_from("guard.ns.svc").unwrap(), &[], time).is_ok()
}

#[test]
fn a_fresh_set_is_accepted_and_kept() {
    let (shared, _) = step(None, false, BEGIN).unwrap();
    assert!(accepts(&shared.authorities.concat(), &shared.chain, BEGIN));
    assert!(accepts(&shared.authorities.concat(), &shared.chain, BEGIN - 300), "a clock that is behind accepts it");
    assert!(step(Some(&shared), false, BEGIN + 10).is_none());
}

#[test]
fn a_new_authority_signs_only_once_it_is_announced_and_known() {
    let (first, _) = step(None, false, BEGIN).unwrap();
    let mut at = BEGIN + LIFETIMES.authority * 2 / 3 + 1;
    let (both, why) = step(Some(&first), true, at).unwrap();
    assert_eq!((why, both.authorities.len(), &both.chain), ("a new authority is announced", 2, &first.chain));
    at += LIFETIMES.overlap;
    // The serving certificate ended long ago here: so it is made at once; with one that lasts, it waits.
    let fresh_leaf = serving(&first.authorities[0], &first.authority_key, &names(), &LIFETIMES, at - 50).unwrap();
    let both = Shared { chain: fresh_leaf.0, key: fresh_leaf.1, ..both };
    assert!(step(Some(&both), true, at - 1).is_none(), "not before the overlap is over");
    assert!(step(Some(&both), false, at).is_none(), "not before clients are known to trust it");
    let (signed, why) = step(Some(&both), true, at).unwrap();
    assert_eq!((why, signed.authorities.len()), ("the new authority signs", 2));
    assert!(step(Some(&signed), true, at + LIFETIMES.overlap - 1).is_none());
    let (one, why) = step(Some(&signed), true, at + LIFETIMES.overlap).unwrap();
    assert_eq!((why, one.authorities.len()), ("the authority before it is dropped", 1));
    assert!(accepts(&one.authorities.concat(), &one.chain, at));
}

#[test]
fn changed_names_and_a_strange_key_are_noticed() {
    let (shared, _) = step(None, false, BEGIN).unwrap();
    let more = vec!["guard.ns.svc".into(), "other.ns.svc".into()];
    let Step::Store(_, why) = next(Some(&shared), &more, &LIFETIMES, &|_| true, BEGIN).unwrap() else { panic!() };
    assert_eq!(why, "names have changed");
    let strange = Shared { authority_key: KeyPair::generate().unwrap().serialize_pem(), ..shared.clone() };
    assert_eq!(step(Some(&strange), true, BEGIN).unwrap().1, "there is no usable one");
    let broken = Shared { chain: "nonsense".into(), ..shared };
    assert_eq!(step(Some(&broken), true, BEGIN).unwrap().1, "there is no usable one");
}

#[test]
fn over_two_lives_a_client_that_lags_behind_always_accepts() {
    let mut shared = step(None, false, BEGIN).unwrap().0;
    let mut history = vec![(BEGIN, shared.clone())];
    for now in (BEGIN..BEGIN + 2 * LIFETIMES.authority).step_by(20) {
        if let Some((stored, _)) = step(Some(&shared), true, now) {
            shared = stored;
            history.push((now, shared.clone()));
        }
        // A replica that serves what was stored 50 s ago, and a client that trusts what was announced 50 s ago.
        let lagging = &history.iter().rev().find(|(at, _)| *at <= now - 50).unwrap_or(&history[0]).1;
        assert!(accepts(&lagging.authorities.concat(), &shared.chain, now), "client lags at {}", now - BEGIN);
        assert!(accepts(&shared.authorities.concat(), &lagging.chain, now), "replica lags at {}", now - BEGIN);
    }
    assert!(history.len() > 30, "{} changes", history.len());
}

#[test]
fn nothing_of_a_key_is_printed() {
    let (shared, _) = step(None, false, BEGIN).unwrap();
    let printed = format!("{shared:?} {:?}", shared.material().unwrap());
    assert!(!printed.contains("BEGIN") && !printed.contains("key"), "{printed}");
}
