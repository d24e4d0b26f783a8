//! What etcd answers to a range of keys, from the imagined cluster's metadata.

use crate::controller::imagined::World;
use crate::metadata::grpc::Failure;
use crate::metadata::wire::{Fields, Message, Value};

/// gRPC's code of what asking again at once does not help against.
const UNKNOWN: u32 = 2;

/// The revision of all answers.
const REVISION: i64 = 5;

/// A lease that lives.
const LEASE: i64 = 7;

pub(super) fn range(world: &World, request: &[u8]) -> Result<Vec<u8>, Failure> {
    if world.is_etcd_down() {
        return Err(Failure::Refused(UNKNOWN, "no leader".into()));
    }
    let (mut from, mut end, mut is_count) = (&[][..], &[][..], false);
    for field in Fields::of(request) {
        match field.unwrap() {
            (1, Value::Bytes(key)) => from = key,
            (2, Value::Bytes(key)) => end = key,
            (9, Value::Number(flag)) => is_count = flag != 0,
            _ => {}
        }
    }
    let all = world.metadata.iter().map(|entry| (entry, 0)).chain(world.sessions.iter().map(|entry| (entry, LEASE)));
    let found: Vec<_> = all.filter(|((key, _), _)| (from..end).contains(&key.as_bytes())).collect();
    let mut message = Message::default().message(1, &Message::default().number(3, REVISION));
    for ((key, value), lease) in found.iter().filter(|_| !is_count) {
        message = message.message(2, &Message::default().bytes(1, key.as_bytes()).number(3, 1).bytes(5, value).number(6, *lease));
    }
    Ok(message.number(4, i64::try_from(found.len()).unwrap()).finish())
}
