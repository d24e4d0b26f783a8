//! The published JSON Schemas of our JSON, as committed in `policies/schema/`.

/// JSON Schema of the JSON of `check`.
pub const CHECK: &str = include_str!("../../policies/schema/check.schema.json");

/// JSON Schema of the JSON of `plan`.
pub const PLAN: &str = include_str!("../../policies/schema/plan.schema.json");

/// JSON Schema of a rule file.
pub const RULE: &str = include_str!("../../policies/schema/rule.schema.json");

/// JSON Schema of the rollout orders.
pub const ROLLOUT_ORDERS: &str = include_str!("../../policies/schema/rollout-orders.schema.json");

/// All schemas: name, what it describes, text.
pub const ALL: &[(&str, &str, &str)] = &[
    ("check", "the JSON of `milvus-lint check --format json`", CHECK),
    ("plan", "the JSON of `milvus-lint plan --format json`", PLAN),
    ("rule", "a rule file, `policies/rules/*.yaml`", RULE),
    ("rollout-orders", "the rollout orders, `policies/rollout-orders.yaml`", ROLLOUT_ORDERS),
];
