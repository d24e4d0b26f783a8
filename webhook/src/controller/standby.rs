//! Whether coordinators have a standby, by the configuration that their pods mount. Pure.

use milvus_guard::rollout::observed::Known;
use milvus_guard::source::configuration::FILES;
use serde_json::Value;

use crate::cluster::text;

/// The longest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Coordinators that every cluster has; the index coordinator's work is done by the data coordinator since 2.3.
const COORDINATORS: [&str; 3] = ["rootCoord", "queryCoord", "dataCoord"];

/// Reads it from the ConfigMaps that Milvus mounts: later files over earlier ones; what none of them says is off, as Milvus has it.
#[must_use]
pub fn active_standby(maps: &[Value]) -> Known<bool> {
    let mut said = [false; COORDINATORS.len()];
    let mut is_read = false;
    for file in FILES {
        let content = match maps.iter().filter_map(|map| text(map, &format!("/data/{file}"))).collect::<Vec<_>>().as_slice() {
            [] => continue,
            [content] => *content,
            _ => return Known::No(format!("several of its ConfigMaps have a {file}").into()),
        };
        if content.len() > MAX_BYTES {
            return Known::No(format!("{file} is too long").into());
        }
        let Ok(content) = serde_yaml::from_str::<serde_yaml::Value>(content) else { return Known::No(format!("{file} cannot be read").into()) };
        is_read = true;
        for (coordinator, said) in COORDINATORS.iter().zip(&mut said) {
            *said = content.get(coordinator).and_then(|section| section.get("enableActiveStandby")).and_then(serde_yaml::Value::as_bool).unwrap_or(*said);
        }
    }
    if is_read { Known::Yes(said.iter().all(|said| *said)) } else { Known::No("no ConfigMap of its workloads has a configuration of Milvus".into()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_coordinators_have_a_standby_or_none_counts() {
        let all = "rootCoord: {enableActiveStandby: true}\nqueryCoord: {enableActiveStandby: true}\ndataCoord: {enableActiveStandby: true}\n";
        let of = |default: &str, user: &str| active_standby(&[json!({"data": {"default.yaml": default}}), json!({"data": {"user.yaml": user}})]);
        assert_eq!(of(all, ""), Known::Yes(true));
        assert_eq!(of("etcd: {}", all), Known::Yes(true));
        assert_eq!(of(all, "dataCoord: {enableActiveStandby: false}"), Known::Yes(false));
        assert_eq!(of("etcd: {}", ""), Known::Yes(false));
        assert!(matches!(of("a: [", ""), Known::No(_)));
        assert!(matches!(active_standby(&[json!({"data": {}})]), Known::No(_)));
        let both = json!({"data": {"default.yaml": all, "user.yaml": ""}});
        assert_eq!(active_standby(std::slice::from_ref(&both)), Known::Yes(true));
        assert!(matches!(active_standby(&[both.clone(), both]), Known::No(_)), "nobody knows which of them is mounted");
    }
}
