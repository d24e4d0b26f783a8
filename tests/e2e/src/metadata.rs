//! Metadata of Milvus 2.1 as etcd has it: real keys, and values with the fields that a migration reads.

pub mod tool;

use crate::etcd::All;

/// What rootcoord leaves where something was deleted.
const TOMBSTONE: &[u8] = &[0xe2, 0x9b, 0xbc];

/// A protobuf message of numbers and bytes.
fn message(fields: &[(u8, Field<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, field) in fields {
        match field {
            Field::Number(value) => {
                out.push(number << 3);
                varint(&mut out, *value);
            }
            Field::Bytes(value) => {
                out.push(number << 3 | 2);
                varint(&mut out, value.len() as u64);
                out.extend_from_slice(value);
            }
        }
    }
    out
}

enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Metadata of 2.1 below a root path: so many collections with an index and so many segments each, an alias, a dropped collection, the log of definitions, what is loaded, and the
/// counters beside it, which no migration touches.
pub fn of_2_1(root: &str, collections: u64, segments: u64) -> All {
    use Field::{Bytes, Number};
    let mut all = All::new();
    let mut put = |key: String, value: Vec<u8>| all.insert(format!("{root}/{key}"), value);
    for collection in (0..collections).map(|n| 434_000_000_000_000_000 + n * 1_000) {
        let (partition, index, ts) = (collection + 1, collection + 2, 434_111_000_000_000_000 + collection);
        let schema = message(&[(1, Bytes(format!("c{collection}").as_bytes())), (2, Bytes(b"made by a test"))]);
        let field_index = message(&[(1, Number(100)), (2, Number(index))]);
        let info = message(&[
            (1, Number(collection)),
            (2, Bytes(&schema)),
            (3, Number(ts)),
            (4, Number(partition)),
            (5, Bytes(b"_default")),
            (6, Bytes(&field_index)),
        ]);
        put(format!("meta/root-coord/collection/{collection}"), info.clone());
        put(format!("meta/snapshots/root-coord/collection/{collection}_ts{ts}"), info.clone());
        put(format!("meta/root-coord/collection-alias/alias{collection}"), info.clone());
        put(format!("meta/snapshots/root-coord/collection-alias/alias{collection}_ts{ts}"), info.clone());
        let parameters = message(&[(1, Bytes(b"params")), (2, Bytes(br#"{"nlist":"128"}"#))]);
        put(format!("meta/root-coord/index/{collection}/{index}"), message(&[(1, Bytes(b"_default_idx")), (2, Number(index)), (3, Bytes(&parameters))]));
        for segment in (1..=segments).map(|n| collection + 10 + n * 2) {
            let build = segment + 1;
            let of_segment = [
                (1, Number(collection)),
                (2, Number(partition)),
                (3, Number(segment)),
                (4, Number(100)),
                (5, Number(index)),
                (6, Number(build)),
                (7, Number(1)),
            ];
            put(format!("meta/root-coord/segment-index/{segment}/{index}"), message(&of_segment));
            let path = format!("files/index_files/{build}/0/{partition}/{segment}/IVF");
            put(format!("meta/indexes/{build}"), message(&[(1, Number(build)), (2, Number(3)), (5, Bytes(path.as_bytes()))]));
            put(format!("meta/datacoord-meta/s/{collection}/{partition}/{segment}"), message(&[(1, Number(segment)), (2, Number(collection))]));
        }
        put(format!("meta/queryCoord-collectionMeta/{collection}"), message(&[(1, Number(collection)), (2, Number(partition)), (5, Number(100))]));
    }
    put("meta/snapshots/root-coord/collection/99_ts434111000000000099".into(), TOMBSTONE.to_vec());
    put("meta/root-coord/dd-operation".into(), b"{\"body\":\"\"}".to_vec());
    put("meta/snapshots/root-coord/dd-operation_ts434111000000000001".into(), b"{}".to_vec());
    put("meta/root-coord/dd-msg-send".into(), b"true".to_vec());
    put("meta/root-coord/credential/users/root".into(), b"{\"username\":\"root\"}".to_vec());
    put("meta/session/id".into(), b"42".to_vec());
    put("kv/gid/timestamp".into(), vec![0x17, 0, 0xff, 1]);
    put("kv/tso/timestamp".into(), vec![0x16, 0xfe, 0, 2]);
    put("meta2/root-coord/index/1/2".into(), b"of a neighbour".to_vec());
    all
}

/// How many keys [`of_2_1`] makes below the meta path.
pub fn entries(all: &All, root: &str) -> usize {
    all.keys().filter(|key| key.starts_with(&format!("{root}/meta/"))).count()
}
